"""How things of the mall are called in GraphQL. Pure: an operation's dotted name, a parameter's, an enum's value."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Sequence

_WORD = re.compile(r"[^0-9A-Za-z]+")
_NAME = re.compile(r"[_A-Za-z][_0-9A-Za-z]*")
_RESERVED = {"true", "false", "null"}


@functools.lru_cache(maxsize=4096)
def camel(name: str) -> str:
    """The name of a field or argument: snake_case as camelCase.

    >>> camel("created_at"), camel("id"), camel("sha256"), camel("_private")
    ('createdAt', 'id', 'sha256', 'private')
    """
    first, *rest = [part for part in _WORD.split(name.replace("_", " ")) if part] or ["field"]
    found = first[:1].lower() + first[1:] + "".join(part[:1].upper() + part[1:] for part in rest)
    return found if _NAME.fullmatch(found) else f"x{found}"


def pascal(name: str) -> str:
    """The name of a type.

    >>> pascal("structure.create_node"), pascal("kind")
    ('StructureCreateNode', 'Kind')
    """
    found = camel(name.replace(".", "_"))
    return found[:1].upper() + found[1:]


def field_name(operation: str) -> str:
    """The root field of an operation: its dotted name in camelCase, always.

    >>> field_name("structure.create_channel")
    'structureCreateChannel'
    """
    return camel(operation.replace(".", "_"))


def value_names(values: Sequence[object]) -> list[str] | None:
    """The names of an enum's values, or nothing when they can't be names that differ.

    >>> value_names(["set_rules", "a-b"]), value_names(["a-b", "a_b"]), value_names([1])
    (['SET_RULES', 'A_B'], None, None)
    """
    if not all(isinstance(one, str) for one in values):
        return None
    found = [_WORD.sub("_", str(one)).upper() for one in values]
    fits = all(_NAME.fullmatch(one) and not one.startswith("__") for one in found)
    return found if fits and len(set(found)) == len(found) and not _RESERVED & set(found) else None


def free(wanted: Iterable[str], taken: Iterable[str]) -> str:
    """The first name that is not taken; the last of them with a number when all are.

    >>> free(["Channel", "ShopChannel"], {"Channel"}), free(["A"], {"A", "A2"})
    ('ShopChannel', 'A3')
    """
    known, name = set(taken), ""
    for name in wanted:
        if name not in known:
            return name
    number = 2
    while f"{name}{number}" in known:
        number += 1
    return f"{name}{number}"


def text_of(docstring: str | None) -> str | None:
    """A docstring as Markdown, which GraphQL's descriptions are."""
    return docstring.replace("``", "`").strip() or None if docstring else None
