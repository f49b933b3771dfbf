"""Rows of a tree, depth-first, to the text of a file, piece by piece."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from mallcore.errors import InvalidInput
from mallcore.structure.rules.formats.checking import quoted
from mallcore.structure.rules.formats.entries import SEPARATOR, Row
from mallcore.structure.rules.formats.paths import split_path
from mallcore.structure.rules.formats.tables import ATTRIBUTE, COLUMNS, NAME


def render(format: str, rows: Iterable[Row], **header: object) -> Iterator[str]:
    """The text of a file in the format ``json``, ``csv`` or ``paths``, in pieces.

    ``json`` and ``csv`` carry everything; ``paths`` carries ids and names, and refuses names it could not read back.
    What is given as ``header`` stands before the nodes of ``json``.

    >>> rows = [Row(1, ("Home",), "cat_1", None, None, "category", "home", "Home")]
    >>> "".join(render("paths", rows))
    'cat_1 - Home\\n'
    >>> print("".join(render("csv", rows)), end="")
    id,external_id,parent_id,kind,slug,name,path,rules
    cat_1,,,category,home,Home,Home,
    """
    if format not in _WRITERS:
        reason = f"there is no format {format!r} to write: choose one of {', '.join(WRITTEN)}"
        raise InvalidInput(field="format", reason=reason)
    return _WRITERS[format](rows, header)


def _plain(value: object) -> object:
    """A mapping that is no dict, as a dict: what is kept immutable often is one."""
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} has no form in JSON")


_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False, default=_plain).encode


def _json(rows: Iterable[Row], header: Mapping[str, object]) -> Iterator[str]:
    """One node a line; what closes a node is written when the next row tells that no child follows."""
    yield "".join(f"{_encode(key)}:{_encode(value)}," for key, value in header.items()).join(("{", '"nodes":['))
    top = depth = -1
    for row in rows:
        if top < 0:
            top, before = row.depth, "\n"
        elif row.depth == depth + 1:
            before = "\n"
        elif top <= row.depth <= depth:
            before = "]}" * (depth - row.depth + 1) + ",\n"
        else:
            raise ValueError(f"row {row.id} on level {row.depth} can't follow level {depth}: rows come depth-first")
        depth = row.depth
        yield before + _node(row)
    yield "]}" * (depth - top + 1 if top >= 0 else 0) + "\n]}\n"


def _node(row: Row) -> str:
    """A node as JSON, its list of children left open."""
    fields: dict[str, Any] = {
        "id": row.id,
        "external_id": row.external_id,
        "kind": row.kind,
        "slug": row.slug,
        "name": row.name,
        "translations": row.translations,
        "attributes": row.attributes,
        "rules": list(row.rules),
    }
    return _encode(fields)[:-1] + ',"children":['


class _Echo:
    """What a `csv.writer` writes to when the text is wanted back."""

    def write(self, text: str) -> str:
        return text


def _csv(rows: Iterable[Row], header: Mapping[str, object]) -> Iterator[str]:
    """Rows are held until the last is seen: only then is it known which locales and attributes need a column."""
    held = list(rows)
    locales = sorted({locale for row in held for locale in row.translations})
    keys = sorted({key for row in held for key in row.attributes})
    write = csv.writer(_Echo(), lineterminator="\n").writerow
    names, attributes = [NAME + locale for locale in locales], [ATTRIBUTE + key for key in keys]
    yield write([*COLUMNS, *names, *attributes])
    top = held[0].depth if held else 0
    for row in held:
        yield write([*_cells(row, top), *_texts(row, locales), *_values(row, keys)])


def _cells(row: Row, top: int) -> list[str]:
    parent = row.parent_id or "" if row.depth > top else ""  # what stands above the first row is not in the file
    path = SEPARATOR.join(row.path)
    rules = _encode(list(row.rules)) if row.rules else ""
    return [row.id, row.external_id or "", parent, row.kind, row.slug, row.name, path, rules]


def _texts(row: Row, locales: list[str]) -> list[str]:
    return [row.translations.get(locale, "") for locale in locales]


def _values(row: Row, keys: list[str]) -> list[str]:
    return [_encode(row.attributes[key]) if key in row.attributes else "" for key in keys]


def _paths(rows: Iterable[Row], header: Mapping[str, object]) -> Iterator[str]:
    siblings: list[set[str]] = []  # of each level down to the last row, the names seen
    for row in rows:
        key, path = row.external_id or row.id, SEPARATOR.join(row.path)
        _refuse_unreadable(row, key, path)
        level = len(row.path)
        siblings[level:] = []
        siblings += [set() for _ in range(level - len(siblings))]
        if row.name in siblings[level - 1]:
            raise _unwritable(row, "has a sibling of the same name")
        siblings[level - 1].add(row.name)
        yield f"{key} - {path}\n"


def _refuse_unreadable(row: Row, key: str, path: str) -> None:
    if split_path(path) != list(row.path):
        raise _unwritable(row, "or a node above it has a name with the sign '>' set apart, which separates names there")
    if key.startswith("#") or not key.isprintable() or " " in key:
        raise _unwritable(row, f"has the id {quoted(key)}, which would not be taken for one")


def _unwritable(row: Row, reason: str) -> InvalidInput:
    return InvalidInput(field=f"the node {row.id}", reason=f"it {reason}: export as json or csv, which keep everything")


_WRITERS: dict[str, Callable[[Iterable[Row], Mapping[str, object]], Iterator[str]]] = {
    "json": _json,
    "csv": _csv,
    "paths": _paths,
}

WRITTEN = tuple(_WRITERS)
