"""Which branch of a union a value is: by what names it, or by its shape."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

Convert = Callable[[Any], Any]


class Branch(NamedTuple):
    """A model among others, as data of one version show it."""

    convert: Convert | None
    required: frozenset[str]
    known: frozenset[str]
    open: bool
    """Whether it may hold other keys, too."""
    tags: Mapping[str, Sequence[Any]]
    """The values of fields that are one of few."""


def choice(objects: Sequence[Branch], array: Convert | None, mapping: Convert | None) -> Convert | None:
    """What converts a value of a union whose branches are models, a kind of list, and a kind of dict."""
    one = _object(objects, mapping)
    if one is None and array is None:
        return None

    def convert(value: Any) -> Any:
        if isinstance(value, dict):
            return value if one is None else one(value)
        return array(value) if array is not None and isinstance(value, list) else value

    return convert


def _object(objects: Sequence[Branch], mapping: Convert | None) -> Convert | None:
    if all(one.convert is None for one in objects):
        return mapping if not objects else None
    if len(objects) == 1 and mapping is None:
        return objects[0].convert
    by_shape = _by_shape(objects, mapping)
    return _by_tag(objects, by_shape) or by_shape


def _by_tag(objects: Sequence[Branch], otherwise: Convert) -> Convert | None:
    """By the field that has a value of its own in every branch; what may be left out is not always there."""
    for tag in objects[0].tags:
        values = [value for one in objects for value in one.tags.get(tag, ())]
        if all(tag in one.tags for one in objects) and len(set(map(repr, values))) == len(values):
            table = {value: one.convert for one in objects for value in one.tags[tag]}

            def convert(d: Any, tag: str = tag, table: Mapping[Any, Convert | None] = table) -> Any:
                if tag not in d:
                    return otherwise(d)
                found = table.get(d[tag])
                return d if found is None else found(d)

            return convert
    return None


def _by_shape(objects: Sequence[Branch], mapping: Convert | None) -> Convert:
    """By the keys: the first branch that they fit, or else the one that they fit best."""

    def convert(d: Any) -> Any:
        keys = d.keys()
        for one in objects:
            if keys >= one.required and (one.open or keys <= one.known):
                return d if one.convert is None else one.convert(d)
        if mapping is not None:
            return mapping(d)
        best = max(objects, key=lambda one: len(keys & one.known) - len(one.required - keys))
        return d if best.convert is None else best.convert(d)

    return convert
