"""Paths of fields (``cart.lines.0.price``) against the JSON schema of what a caller may send."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

Schema = Mapping[str, Any]
_REFERENCE = "#/$defs/"


def known_part(path: str, schema: Schema) -> str:
    """The longest beginning of a path that the schema knows; all of it where not even its first part is known.

    >>> lines = {"type": "array", "items": {"properties": {"price": {"type": "string"}}}}
    >>> known_part("lines.0.price.amount", {"properties": {"lines": lines}})
    'lines.0.price'
    """
    kept: list[str] = []
    places = list(_branches(schema, schema))
    for part in path.split("."):
        below = [branch for place in places for one in _below(place, part) for branch in _branches(one, schema)]
        if not below:
            below = [place for place in places if _is_called(place, part)] if len(places) > 1 else []
        if not below:
            break
        places = below
        kept.append(part)
    return ".".join(kept) or path


def _branches(one: Schema, whole: Schema) -> Iterator[Schema]:
    """What a value may be: references are followed."""
    reference = one.get("$ref", "")
    if reference.startswith(_REFERENCE):
        yield from _branches(whole["$defs"][reference.removeprefix(_REFERENCE)], whole)
        return
    several = one.get("anyOf") or one.get("oneOf")
    for branch in several or ():
        yield from _branches(branch, whole)
    if not several:
        yield one


def _below(place: Schema, part: str) -> Iterator[Schema]:
    """What stands at one part of a path."""
    if part in place.get("properties", {}):
        yield place["properties"][part]
    elif isinstance(place.get("additionalProperties"), Mapping):
        yield place["additionalProperties"]
    elif part.isdecimal():
        items = [*place.get("prefixItems", ()), place["items"]] if place.get("items") else place.get("prefixItems", [])
        yield from items[int(part) : int(part) + 1] or items[-1:]


def _is_called(place: Schema, part: str) -> bool:
    """Whether a branch goes by a name: that of its model, or the value by which it is told from others."""
    return part == place.get("title") or any(part == one.get("const") for one in place.get("properties", {}).values())
