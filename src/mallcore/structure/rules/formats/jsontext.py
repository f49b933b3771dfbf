"""JSON text to plain values, with every way it can go wrong made one error, and the lines its categories stand on."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from mallcore.structure.rules.formats.checking import RepeatedKey

_TOKEN = re.compile(r'("(?:[^"\\]|\\.)*+")\s*(:?)|[{}\[\]]', re.DOTALL)


class NotJson(Exception):
    """The text is no JSON; ``line`` is 0 where it can't be told."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(reason)
        self.line = line
        self.reason = reason


def load(text: str) -> Any:
    """The value of a JSON text; an object with a key twice comes as a `RepeatedKey`.

    >>> load('{"a": [1, null]}')
    {'a': [1, None]}
    """
    try:
        return _decode(text)
    except json.JSONDecodeError as error:
        raise NotJson(error.lineno, f"it is not JSON: {error.msg} at column {error.colno}") from None
    except RecursionError:
        raise NotJson(0, "the JSON is nested too deeply") from None
    except ValueError:  # Python's guard against numbers that take minutes to read
        raise NotJson(0, "the JSON holds a whole number of too many digits") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    return made if len(made) == len(pairs) else RepeatedKey(made)


_decode = json.JSONDecoder(object_pairs_hook=_object).decode


def node_lines(text: str) -> list[int]:
    r"""The line on which each category's object opens, in the order of the text. Only for reports: it is slow.

    >>> node_lines('{"nodes": [\n{"name": "A", "children": [{"name": "B"}]},\n{"name": "C"}]}')
    [2, 2, 3]
    """
    lines: list[int] = []
    line, seen = 1, 0
    for at, role in _openings(text):
        if role == "node":
            line, seen = line + text.count("\n", seen, at), at
            lines.append(line)
    return lines


def _openings(text: str) -> Iterator[tuple[int, str]]:
    """Each list and object that opens, with what it is: the top, a list of nodes, a node, or something else."""
    open_roles, key = [""], ""
    for token in _TOKEN.finditer(text):
        if token[1]:
            key = json.loads(token[1], strict=False) if token[2] else ""
        elif token[0] in "{[":
            open_roles.append(_role(open_roles[-1], key, token[0]))
            key = ""
            yield token.start(), open_roles[-1]
        elif len(open_roles) > 1:
            open_roles.pop()


def _role(outer: str, key: str, bracket: str) -> str:
    match (outer, key, bracket):
        case ("", _, "{"):
            return "top"
        case ("", _, "[") | ("top", "nodes", "[") | ("node", "children", "["):
            return "list"
        case ("list", _, "{"):
            return "node"
    return "other"
