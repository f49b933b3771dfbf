"""Which format a text is in, told from its first lines. How it is read belongs in the reader of each format."""

from __future__ import annotations

import re
from csv import Error
from itertools import islice

from mallcore.structure.rules.formats.checking import Check
from mallcore.structure.rules.formats.decoding import content_lines
from mallcore.structure.rules.formats.entries import SEPARATOR
from mallcore.structure.rules.formats.tables import header_of, is_header

_SHOPIFY = re.compile(r"\S+ +: \S")
_GOOGLE = re.compile(r"\d+ - ")
_YML = re.compile(r"---\s*$|- +[\"']?(id|full_name)[\"']?:")
_NUMBERED = re.compile(r"(\S+) - ")
_SAMPLE, _HEAD = 50, 100_000


def detect_text(text: str, check: Check) -> str:
    """The name of the text's format.

    >>> from mallcore.structure.rules.formats.entries import Limits
    >>> [detect_text(text, Check(Limits())) for text in ("1 - A", "A > B", "id,name", "{}")]
    ['google', 'paths', 'csv', 'json']
    """
    lines = first_lines(text, check)
    if text.lstrip()[0] in "{[":
        return "json"
    if lines and _YML.match(lines[0]):
        return "shopify-yml"
    if _is_table(text):
        return "csv"
    if _are_shopify(lines):
        return "shopify-txt"
    if are_numbered(lines) or 2 * sum(map(bool, map(_GOOGLE.match, lines))) > len(lines):
        return "google"
    if SEPARATOR in text:
        return "paths"
    check.fail(0, "the format can't be told from the text: name it")


def first_lines(text: str, check: Check) -> list[str]:
    """The lines with something in them that a format is told by, at most 50 and whole."""
    head = text if len(text) <= _HEAD else text[:_HEAD].rpartition("\n")[0] or text
    return [line for _, line in islice(content_lines(head, check), _SAMPLE)]


def are_numbered(lines: list[str]) -> bool:
    """Whether every line begins with an id, as Google's do, rather than with a name that has a dash in it.

    >>> are_numbered(["1 - Books", "2 - Books > Poetry"]), are_numbered(["Sci-Fi - New", "Sci-Fi - New > Mars"])
    (True, False)
    """
    found = [match[1] for match in map(_NUMBERED.match, lines) if match]
    words = [key for key in found if not any(map(str.isdigit, key))]
    return 0 < len(lines) == len(found) and len(words) == len(set(words))


def _are_shopify(lines: list[str]) -> bool:
    return any(line.startswith("gid://") for line in lines) or (bool(lines) and all(map(_SHOPIFY.match, lines)))


def _is_table(text: str) -> bool:
    try:
        return is_header(header_of(text)[1])
    except Error:
        return False
