"""Who is whose parent, who comes first, and what those are called that have no id of their own."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any
from unicodedata import normalize

from mallcore.structure.rules.formats.checking import Check, quoted
from mallcore.structure.rules.formats.entries import EMPTY, SEPARATOR, Entry, Limits
from mallcore.structure.rules.formats.paths import Columns

# of an entry all but the ids: name, slug, kind, translations, attributes, rules, line
Fields = tuple[str, str | None, str | None, Mapping[str, str], Mapping[str, object], tuple[Any, ...], int]

TOP = -1  # in a list of parents' indices: has none

_BETWEEN_WORDS = re.compile(r"[\W_]+")


def link(columns: Columns, check: Check) -> tuple[Entry, ...]:
    """The entries of a path format.

    >>> from mallcore.structure.rules.formats.entries import Limits
    >>> link(Columns([1, 2], ["", ""], ["Home", "Home > Garden"]), Check(Limits()))[1][:3]
    ('home/garden', 'home', 'Garden')
    """
    lines, ids, paths = columns
    names = [path.rpartition(SEPARATOR)[2] for path in paths]
    if max(map(len, names), default=0) > check.limits.name:
        for line, name in zip(lines, names, strict=True):
            check.name(line, name)
    parents = parents_by_path(paths, lines, check)
    fields = [(name, None, None, EMPTY, EMPTY, (), line) for line, name in zip(lines, names, strict=True)]
    return assemble(ids, fields, parents, lines, check)


def parents_by_path(paths: Sequence[str], places: Sequence[int], check: Check) -> list[int]:
    """For each path the index of the one above it; each missing ancestor is reported once.

    >>> from mallcore.structure.rules.formats.entries import Limits
    >>> parents_by_path(["A", "A > B", "A > B > C"], [1, 2, 3], Check(Limits()))
    [-1, 0, 1]
    """
    report_twins(paths, places, "path", check)
    index = {path: at for at, path in enumerate(paths)}
    index[""] = TOP
    above = [path.rpartition(SEPARATOR)[0] for path in paths]
    for place, path in zip(places, above, strict=True):
        if path not in index:
            check.add(place, f"the ancestor {quoted(path)} is missing")
            index[path] = TOP
    return [index[path] for path in above]


def parents_by_id(
    ids: Sequence[tuple[str, str]], wanted: Sequence[str], places: Sequence[int], check: Check
) -> list[int]:
    """For each parent's id that is wanted ("" = none) the index of its bearer.

    A bearer has an own id and an external id; exports name parents by the former, so it is looked up first.

    >>> from mallcore.structure.rules.formats.entries import Limits
    >>> parents_by_id([("1", "ap"), ("2", "ap-1"), ("3", "")], ["", "1", "ap-1"], [2, 3, 4], Check(Limits()))
    [-1, 0, 1]
    """
    report_twins([own for own, _ in ids], places, "id", check)
    index = {external: at for at, (_, external) in enumerate(ids)}
    index |= {own: at for at, (own, _) in enumerate(ids)}
    index[""] = TOP
    for place, parent in zip(places, wanted, strict=True):
        if parent not in index:
            check.add(place, f"the parent {quoted(parent)} is missing")
    return [index.get(parent, TOP) for parent in wanted]


def assemble(
    ids: Sequence[str], fields: Sequence[Fields], parents: list[int], places: Sequence[int], check: Check
) -> tuple[Entry, ...]:
    """The entries in order, with the ids of their parents; ids are made where there are none.

    ``places`` are what problems are reported by: lines, or whatever ``check.places`` turns into lines.
    """
    check.count(len(fields))
    report_twins(ids, places, "id", check)
    check.settle()
    if not fields:
        check.fail(0, "there is no category in it")
    order = arrange(parents, places, check)
    keys = _keys(ids, fields, parents, order)
    report_twins(keys, places, "category", check)
    check.settle()
    new = tuple.__new__  # what Entry() comes to, at half the time
    above: list[str | None] = [*keys, None]  # the last is found by TOP
    return tuple([new(Entry, (keys[at], above[parents[at]], *fields[at])) for at in order])


def report_twins(values: Sequence[str], places: Sequence[int], what: str, check: Check) -> None:
    """Note each value that stood before; "" may stand anywhere."""
    if len(set(values)) == len(values):
        return
    first: dict[str, int] = {}
    for value, place in zip(values, places, strict=True):
        if value and (before := first.setdefault(value, place)) != place:
            check.add(place, f"the {what} {quoted(value)} stands on {check.places.spot(before)} already")


def arrange(parents: list[int], places: Sequence[int], check: Check) -> Sequence[int]:
    """The indices with parents before children: file order where that does it, else depth-first.

    >>> from mallcore.structure.rules.formats.entries import Limits
    >>> arrange([1, TOP, 1], [1, 2, 3], Check(Limits()))
    [1, 0, 2]
    """
    order: Sequence[int] = range(len(parents))
    if any(parent >= at for at, parent in enumerate(parents)):
        order = _depth_first(parents)
    _refuse_loops(parents, order, places, check)
    _refuse_depth(parents, order, places, check)
    check.settle()
    return order


def _depth_first(parents: list[int]) -> list[int]:
    below: dict[int, list[int]] = {}
    for at, parent in enumerate(parents):
        below.setdefault(parent, []).append(at)
    order: list[int] = []
    waiting = below.get(TOP, [])[::-1]
    while waiting:
        order.append(waiting.pop())
        waiting += reversed(below.get(order[-1], ()))
    return order


def _refuse_loops(parents: list[int], order: Sequence[int], places: Sequence[int], check: Check) -> None:
    if len(order) < len(parents):
        for at in sorted(set(range(len(parents))).difference(order)):
            check.add(places[at], "the category is its own ancestor, or below one that is")


def _refuse_depth(parents: list[int], order: Sequence[int], places: Sequence[int], check: Check) -> None:
    depth = [0] * (len(parents) + 1)  # the last is the top's, found by TOP
    for at in order:
        depth[at] = depth[parents[at]] + 1
    if max(depth) > check.limits.depth:
        for at in order:
            if depth[at] > check.limits.depth:
                check.add(places[at], f"the category is on level {depth[at]}, and the limit is {check.limits.depth}")


def _keys(ids: Sequence[str], fields: Sequence[Fields], parents: list[int], order: Sequence[int]) -> list[str]:
    taken = set(ids)
    if "" not in taken:
        return list(ids)
    keys = [*ids, ""]  # the last is the top's, found by TOP
    for at in order:
        name, slug, *_ = fields[at]
        keys[at] = keys[at] or made_id(keys[parents[at]], name, slug, taken)
        taken.add(keys[at])
    return keys[:-1]


def made_id(parent: str, name: str, slug: str | None, taken: set[str]) -> str:
    """An id for a category without one: the path of slugs, the same at every import of the same path.

    Where two siblings' names leave the same slug, the later is told apart by a digest of its name.

    >>> made_id("books", "Science & Fiction", None, set())
    'books/science-fiction'
    >>> made_id("books", "C++", None, {"books/c"})
    'books/c~f1d81f50'
    """
    slug = slug or _BETWEEN_WORDS.sub("-", normalize("NFKC", name).casefold()).strip("-")
    key = f"{parent}/{slug}" if parent else slug
    if not slug or key in taken:
        key += "~" + _digest(name, 4)
    return _short(key)


def _short(key: str, longest: int = Limits().id) -> str:
    return key if len(key) <= longest else f"{key[: longest - 17]}~{_digest(key, 8)}"


def _digest(text: str, size: int) -> str:
    return blake2b(text.encode(), digest_size=size).hexdigest()
