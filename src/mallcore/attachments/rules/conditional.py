"""Conditional requests of HTTP (RFC 9110, section 13): whether to send the content, a part of it, or neither.

A version never changes, so its digest is a strong entity tag.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from typing import Literal, NamedTuple

Answer = Literal["send", "not-modified", "failed"]
LONGEST = 8000  # characters of a header that is looked at
_TAG = re.compile(r'(W/)?("[\x21\x23-\x7e\x80-\xff]*")')


class Current(NamedTuple):
    """What the content is now: its entity tag, in quotes, and since when."""

    etag: str
    modified: datetime


def etag_of(digest: str) -> str:
    """The strong entity tag of a content.

    >>> etag_of("ab" * 4)
    '"abababab"'
    """
    return f'"{digest}"'


def answer(headers: Mapping[str, str], current: Current, method: str = "GET") -> Answer:
    """What to do, by the headers of the request (names in lower case), in the order the standard gives."""
    if not _still_the_one(headers, current):
        return "failed"
    none_match = headers.get("if-none-match")
    if none_match is not None:
        return "not-modified" if _among(none_match, current.etag, weak=True) else "send"
    since = _time(headers.get("if-modified-since")) if method in ("GET", "HEAD") else None
    return "not-modified" if since is not None and _seconds(current.modified) <= since else "send"


def _still_the_one(headers: Mapping[str, str], current: Current) -> bool:
    match = headers.get("if-match")
    if match is not None:
        return _among(match, current.etag, weak=False)
    since = _time(headers.get("if-unmodified-since"))
    return since is None or _seconds(current.modified) <= since


def range_counts(headers: Mapping[str, str], current: Current) -> bool:
    """Whether a Range header counts: with If-Range only while the content is the one the client has a part of."""
    condition = headers.get("if-range")
    if condition is None:
        return True
    if condition.strip().startswith(('"', "W/")):
        return condition.strip() == current.etag
    return _time(condition) == _seconds(current.modified)


def http_date(time: datetime) -> str:
    """A time as headers have it.

    >>> http_date(datetime(2026, 11, 24, 12, 0, 0, 5, UTC))
    'Tue, 24 Nov 2026 12:00:00 GMT'
    """
    return format_datetime(_seconds(time), usegmt=True)


def _among(header: str, etag: str, *, weak: bool) -> bool:
    if header.strip() == "*":
        return True
    return any(tag == etag and (weak or not mark) for mark, tag in _TAG.findall(header[:LONGEST]))


def _seconds(time: datetime) -> datetime:
    return time.astimezone(UTC).replace(microsecond=0)


def _time(header: str | None) -> datetime | None:
    """The time in a header; nothing when it is none, for then the header does not count."""
    try:
        time = parsedate_to_datetime(header[:100]) if header else None
        return time.astimezone(UTC) if time is not None and time.tzinfo is not None else None
    except (ValueError, OverflowError):
        return None
