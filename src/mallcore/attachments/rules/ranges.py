"""Byte ranges of HTTP (RFC 9110, section 14): one range is served, several are answered with the whole content.

Who asks for very many gets a refusal that costs nothing: adding up thousands of overlapping ranges is an attack.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from mallcore.errors import RangeNotSatisfiable

MOST = 10  # ranges in one header; more is no honest client
LONGEST = 400  # characters of a header
_RANGES = re.compile(r"bytes[ \t]*=(.*)", re.IGNORECASE | re.ASCII)
_RANGE = re.compile(r"[ \t]*([0-9]*)-([0-9]*)[ \t]*", re.ASCII)


class Span(NamedTuple):
    """Bytes from ``start`` up to, not including, ``end``."""

    start: int
    end: int

    @property
    def length(self) -> int:
        """How many bytes."""
        return self.end - self.start


def asked_span(header: str | None, size: int) -> Span | None:
    """The part of a content that a Range header asks for; nothing when the whole is to be sent.

    A header that is none (another unit, a wrong form, several ranges) is ignored, as the standard has it.
    Raises `RangeNotSatisfiable` for a range beyond the content, and for a header that asks for very many.

    >>> asked_span("bytes=0-99", 1000), asked_span("bytes=-100", 1000), asked_span("bytes=0-1,5-6", 1000)
    (Span(start=0, end=100), Span(start=900, end=1000), None)
    """
    if header is None:
        return None
    if len(header) > LONGEST or header.count(",") >= MOST:
        raise RangeNotSatisfiable(range=header[:40] + "…", size=size)
    found = _RANGES.fullmatch(header)
    one = _RANGE.fullmatch(found[1]) if found else None
    if one is None or one.groups() == ("", ""):
        return None
    return _span(one[1], one[2], size, header)


def _span(first: str, last: str, size: int, header: str) -> Span | None:
    if not first:
        return _suffix(int(last), size, header)
    if last and int(last) < int(first):
        return None
    if int(first) >= size:
        raise RangeNotSatisfiable(range=header, size=size)
    return Span(int(first), min(int(last) + 1, size) if last else size)


def _suffix(length: int, size: int, header: str) -> Span | None:
    if length == 0:
        raise RangeNotSatisfiable(range=header, size=size)
    return Span(max(size - length, 0), size) if size else None


def content_range(span: Span | None, size: int) -> str:
    """The Content-Range header of a part; without a span the one of a 416.

    >>> content_range(Span(0, 100), 1000), content_range(None, 1000)
    ('bytes 0-99/1000', 'bytes */1000')
    """
    return f"bytes */{size}" if span is None else f"bytes {span.start}-{span.end - 1}/{size}"
