"""Limits of values, compared: what got tighter, what looser."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

Schema = Mapping[str, Any]
Told = tuple[Any, ...]
"""A rule's name without its direction, what was, what is."""

_LOWEST = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")
_HIGHEST = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")
_COUNTS = ("minLength", "minItems", "minProperties")
_TEXTS = ("pattern", "format")
KNOWN = frozenset({*_LOWEST, *_HIGHEST, *_TEXTS, "uniqueItems", "multipleOf"})
"""The keywords that are judged here."""


def limits(old: Schema, new: Schema) -> Iterator[Told]:
    """What differs in the limits of two simple schemas.

    >>> list(limits({"maxLength": 20}, {"maxLength": 10}))
    [('limit-tightened', {'maxLength': 20}, {'maxLength': 10})]
    """
    for name in (*_LOWEST, *_HIGHEST):
        yield from _bound(name, old, new)
    yield from _unique(old, new)
    yield from _multiples(old, new)
    for name in _TEXTS:
        yield from _text(name, old.get(name), new.get(name))


def _bound(name: str, old: Schema, new: Schema) -> Iterator[Told]:
    before, after = (None if name in _COUNTS and one.get(name) == 0 else one.get(name) for one in (old, new))
    if before == after:
        return
    if before is None or after is None:
        tighter = before is None
    else:
        tighter = after > before if name in _LOWEST else after < before
    yield "limit-tightened" if tighter else "limit-loosened", {name: before}, {name: after}


def _unique(old: Schema, new: Schema) -> Iterator[Told]:
    before, after = (bool(one.get("uniqueItems")) for one in (old, new))
    if before != after:
        yield "limit-tightened" if after else "limit-loosened", {"uniqueItems": before}, {"uniqueItems": after}


def _multiples(old: Schema, new: Schema) -> Iterator[Told]:
    before, after = old.get("multipleOf"), new.get("multipleOf")
    if before == after:
        return
    values = {"multipleOf": before}, {"multipleOf": after}
    if after is not None and (before is None or before % after != 0):
        yield "limit-tightened", *values
    if before is not None and (after is None or after % before != 0):
        yield "limit-loosened", *values


def _text(name: str, before: str | None, after: str | None) -> Iterator[Told]:
    if before != after:
        change = "tightened" if before is None else "loosened" if after is None else "changed"
        yield f"{name}-{change}", before, after
