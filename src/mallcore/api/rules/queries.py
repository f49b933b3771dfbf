"""Query strings as arguments: which are lists, which hold JSON, and what is wrong with the rest."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import parse_qsl

from mallcore.api.rules.problems import Refused
from mallcore.errors import InvalidInput

MOST_FIELDS = 200
_BROKEN_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")


def arguments(query: str, lists: frozenset[str], documents: frozenset[str]) -> dict[str, Any]:
    """The fields of a query string. A field of ``lists`` may be repeated; one of ``documents`` is JSON.

    >>> arguments("depth=2&only=a&only=b&settle=%7B%22*%22%3A%22ours%22%7D", frozenset({"only"}), frozenset({"settle"}))
    {'depth': '2', 'only': ['a', 'b'], 'settle': {'*': 'ours'}}
    """
    return gathered(_pairs(query), lists, documents)


def gathered(pairs: Iterable[tuple[str, str]], lists: frozenset[str], documents: frozenset[str]) -> dict[str, Any]:
    """Names and texts as arguments: a name of ``lists`` may come again, a text of ``documents`` is JSON."""
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in lists:
            found.setdefault(name, []).append(value)
        elif name in found:
            raise Refused(400, InvalidInput(field=name[:200], reason="it may be given only once"))
        else:
            found[name] = _document(name, value) if name in documents else value
    return found


def _pairs(query: str) -> list[tuple[str, str]]:
    if _BROKEN_ESCAPE.search(query):
        raise _wrong("a % must be followed by two hexadecimal digits")
    try:
        pairs = parse_qsl(query, keep_blank_values=True, errors="strict", max_num_fields=MOST_FIELDS)
    except UnicodeDecodeError:
        raise _wrong("it is not UTF-8") from None
    except ValueError:
        raise _wrong(f"it has more than {MOST_FIELDS} fields") from None
    if any("\0" in name or "\0" in value for name, value in pairs):
        raise _wrong("it holds a null byte")
    return pairs


def _document(name: str, value: str) -> Any:
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        raise Refused(400, InvalidInput(field=name, reason="it must be JSON")) from None


def _wrong(reason: str) -> Refused:
    return Refused(400, InvalidInput(field="query", reason=reason))
