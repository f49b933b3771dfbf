"""Taxonomy files: bytes to entries and rows back to text, for every format the mall imports and exports.

All or nothing: `parse` returns every category of a file, or raises one `MalformedTaxonomy` that lists what is wrong,
each with its line. Pure: no file is opened here and no tree is changed.
"""

from __future__ import annotations

from collections.abc import Callable

from mallcore.structure.rules.formats.checking import Check
from mallcore.structure.rules.formats.decoding import decode
from mallcore.structure.rules.formats.detecting import are_numbered, detect_text, first_lines
from mallcore.structure.rules.formats.entries import EMPTY, Entry, Limits, Row, Taxonomy
from mallcore.structure.rules.formats.linking import link
from mallcore.structure.rules.formats.nested import read_json
from mallcore.structure.rules.formats.paths import read_numbered, read_plain
from mallcore.structure.rules.formats.tables import read_csv
from mallcore.structure.rules.formats.writing import WRITTEN, render
from mallcore.structure.rules.formats.yml import read_yml

__all__ = ["EMPTY", "FORMATS", "WRITTEN", "Entry", "Limits", "Row", "Taxonomy", "detect", "parse", "render"]

_READERS: dict[str, Callable[[str, Check], tuple[Entry, ...]]] = {
    "shopify-txt": lambda text, check: link(read_numbered(text, check, " : "), check),
    "shopify-yml": lambda text, check: link(read_yml(text, check), check),
    "google": lambda text, check: link(read_numbered(text, check, " - "), check),
    "paths": lambda text, check: link(read_plain(text, check), check),
    "csv": read_csv,
    "json": read_json,
}

FORMATS = tuple(_READERS)


def parse(data: bytes, format: str | None = None, *, limits: Limits = Limits()) -> Taxonomy:  # noqa: B008 - immutable
    """The categories of a taxonomy file, parents before children; the format is detected unless named.

    >>> taxonomy = parse(b"# Google_Product_Taxonomy_Version: 2021-09-21\\n1 - Animals\\n3237 - Animals > Live Animals")
    >>> taxonomy.format, [(entry.external_id, entry.parent, entry.name) for entry in taxonomy.entries]
    ('google', [('1', None, 'Animals'), ('3237', '1', 'Live Animals')])
    """
    check = Check(limits)
    if format is not None and format not in _READERS:
        check.fail(0, f"there is no format {format!r}: choose one of {', '.join(FORMATS)}")
    text = decode(data, check)
    found = _numbered_or_not(text, format, check) if format else detect_text(text, check)
    return Taxonomy(found, _READERS[found](text, check))


def detect(data: bytes) -> str:
    """The format of a taxonomy file, by its content.

    >>> detect(b"- id: ap\\n  full_name: Animals")
    'shopify-yml'
    """
    check = Check(Limits())
    return detect_text(decode(data, check), check)


def _numbered_or_not(text: str, format: str, check: Check) -> str:
    """``paths`` is what our own export of ids and paths is called too."""
    if format == "paths" and are_numbered(first_lines(text, check)):
        return "google"
    return format
