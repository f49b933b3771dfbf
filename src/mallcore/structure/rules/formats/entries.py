"""The values that go in and out of taxonomy files. How a format spells them belongs in the other files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

EMPTY: Mapping[str, Any] = MappingProxyType({})
SEPARATOR = " > "


class Limits(NamedTuple):
    """What a taxonomy file may measure; a file beyond it is refused, never cut."""

    bytes: int = 256 * 2**20
    entries: int = 1_000_000
    depth: int = 64
    name: int = 200
    id: int = 200
    slug: int = 100
    nesting: int = 16  # of lists and objects in one attribute or rule
    problems: int = 20  # how many are listed before reading stops


class Entry(NamedTuple):
    """One category of a taxonomy file.

    >>> Entry("ap-1", "ap", "Live Animals").translations
    mappingproxy({})
    """

    external_id: str
    parent: str | None
    name: str
    slug: str | None = None
    kind: str | None = None
    translations: Mapping[str, str] = EMPTY
    attributes: Mapping[str, object] = EMPTY
    rules: tuple[Any, ...] = ()
    line: int = 0  # where it stands in the file, from 1; 0 where lines mean nothing (JSON)


class Taxonomy(NamedTuple):
    """A file as read: its format, and its entries in file order with parents before their children."""

    format: str
    entries: tuple[Entry, ...]


class Row(NamedTuple):
    """One node to be written; rows come depth-first. ``path`` holds the names from the top down to the node's own."""

    depth: int
    path: tuple[str, ...]
    id: str
    external_id: str | None
    parent_id: str | None
    kind: str
    slug: str
    name: str
    translations: Mapping[str, str] = EMPTY
    attributes: Mapping[str, object] = EMPTY
    rules: Iterable[Any] = ()
