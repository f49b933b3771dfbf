"""How a request names a version of the API, and what responses say of a version's life.

RFC 9745 makes ``Deprecation`` a date of structured fields (``@1735689600``), RFC 8594 makes ``Sunset`` an HTTP-date.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import NamedTuple

HEADER = "mall-version"
LATEST = "latest"
_NAMED = re.compile(r"/(\d{4}-\d{2}-\d{2}|latest)(/.*)?", re.DOTALL)
_HEADER = re.compile(r"\d{4}-\d{2}-\d{2}|latest")


class InPath(NamedTuple):
    """A version in front of a path, and the path behind it."""

    version: str
    path: str


def in_path(path: str) -> InPath | None:
    """The version a path begins with.

    >>> in_path("/2026-11-01/channels/books"), in_path("/channels"), in_path("/latest")
    (InPath(version='2026-11-01', path='/channels/books'), None, InPath(version='latest', path='/'))
    """
    found = _NAMED.fullmatch(path)
    return None if found is None else InPath(found[1], found[2] or "/")


def in_header(value: str) -> str | None:
    """The version a header names; nothing when it is no version at all."""
    text = value.strip()
    return text if _HEADER.fullmatch(text) else None


def deprecation(at: datetime) -> str:
    """The value of a ``Deprecation`` header.

    >>> deprecation(datetime(2025, 1, 1, tzinfo=UTC))
    '@1735689600'
    """
    return f"@{int(at.timestamp())}"


def sunset(at: datetime) -> str:
    """The value of a ``Sunset`` header.

    >>> sunset(datetime(2027, 5, 1, tzinfo=UTC))
    'Sat, 01 May 2027 00:00:00 GMT'
    """
    return format_datetime(at.astimezone(UTC), usegmt=True)


def link(target: str, relation: str) -> str:
    """One link of a ``Link`` header (RFC 8288).

    >>> link("/api/versions/2026-05-01/notes", "deprecation")
    '</api/versions/2026-05-01/notes>; rel="deprecation"'
    """
    return f'<{target}>; rel="{relation}"'
