"""Bytes to text, and text to numbered lines. What the lines mean belongs in the reader of each format."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NoReturn

from mallcore.structure.rules.formats.checking import Check

_DOUBTFUL = "# \t"  # what an empty line or a comment begins with; "" is in it too
_UTF8_BOM = b"\xef\xbb\xbf"
_FOREIGN_BOMS = {  # the longer first: one of UTF-32 begins as one of UTF-16
    b"\xff\xfe\x00\x00": "UTF-32",
    b"\x00\x00\xfe\xff": "UTF-32",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
}


def decode(data: bytes, check: Check) -> str:
    r"""The text of a UTF-8 file, with every line end made ``\n``.

    >>> from mallcore.structure.rules.formats.entries import Limits
    >>> decode(b"\xef\xbb\xbfA\r\nB", Check(Limits()))
    'A\nB'
    >>> decode(b"Clothes\nCaf\xe9s", Check(Limits()))
    Traceback (most recent call last):
    mallcore.errors.MalformedTaxonomy: The taxonomy can't be read; nothing was imported.
      line 2: the byte 0xE9 is not UTF-8: save the file as UTF-8
    """
    if len(data) > check.limits.bytes:
        check.fail(0, f"the file has {len(data):,} bytes, and the limit is {check.limits.bytes:,}")
    _refuse_foreign(data, check)
    try:
        text = data.removeprefix(_UTF8_BOM).decode()
    except UnicodeDecodeError:
        _blame_lines(data, check)
    if not text or text.isspace():
        check.fail(0, "the file is empty")
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


def _refuse_foreign(data: bytes, check: Check) -> None:
    for mark, encoding in _FOREIGN_BOMS.items():
        if data.startswith(mark):
            check.fail(1, f"the file is {encoding}: save it as UTF-8")
    if (at := data.find(0)) >= 0:
        check.fail(_line_at(data, at), "there is a zero byte: the file is UTF-16 without a mark, or no text at all")


def _blame_lines(data: bytes, check: Check) -> NoReturn:
    """Name each line that is not UTF-8; at least one is not. A line end is never part of another character."""
    for number, line in enumerate(data.splitlines(), 1):
        try:
            line.decode()
        except UnicodeDecodeError as error:
            check.add(number, f"the byte 0x{line[error.start]:02X} is not UTF-8: save the file as UTF-8")
    check.settle()
    raise AssertionError("bytes that do not decode have a line that does not")


def _line_at(data: bytes, at: int) -> int:
    before = data[:at]
    return 1 + before.count(b"\n") + before.count(b"\r") - before.count(b"\r\n")


def content_lines(text: str, check: Check) -> Iterator[tuple[int, str]]:
    r"""The lines that hold something, numbered from 1; comments begin with ``#`` and a space, or are bare.

    >>> from mallcore.structure.rules.formats.entries import Limits
    >>> list(content_lines("# version 3\n\n#1 Gifts\n", Check(Limits())))
    [(3, '#1 Gifts')]
    """
    if text.count("\n") > 4 * check.limits.entries + 1000:
        check.count(check.limits.entries + 1)  # before the lines are split: a split of so many fills the memory
    for number, line in enumerate(text.split("\n"), 1):
        if line[:1] not in _DOUBTFUL or _holds_something(line):
            yield number, line


def _holds_something(line: str) -> bool:
    return not line.isspace() and line[:2] not in ("", "#", "# ")
