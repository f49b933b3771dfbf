"""ZIP archives: which of the many formats they are, and how much they say they hold. Nothing is ever unpacked."""

from __future__ import annotations

import re
import struct
from typing import BinaryIO, NamedTuple

TAIL = (1 << 16) + 22  # bytes at the end within which an archive's own end must begin
MOST_ENTRIES = 100_000
_LARGEST_LIST = 32 << 20
_LOCAL = re.compile(rb"PK\x03\x04(?=(.{22})(.{2})(.{2})).", re.DOTALL)
_MIMETYPE = re.compile(
    rb"application/(?:epub\+zip|vnd\.oasis\.opendocument\.(?:text|spreadsheet|presentation|graphics))"
)
_OFFICE = {
    "word": ("wordprocessingml.document", "word.document"),
    "xl": ("spreadsheetml.sheet", "excel.sheet"),
    "ppt": ("presentationml.presentation", "powerpoint.presentation"),
}


class _End(NamedTuple):
    """An archive's own end: where its list of contents lies."""

    entries: int
    size: int
    offset: int


def packed_type(head: bytes, tail: bytes = b"") -> str:
    """The media type of what begins as a ZIP archive, by the names of its members."""
    named = _MIMETYPE.match(head, 38)  # OpenDocument and EPUB put their type first, unpacked, for just this purpose
    if named and head[30:38] == b"mimetype" and head[38 + len(named[0]) :][:2] == b"PK":
        return named[0].decode()
    names = [*_local_names(head), *_listed_names(tail)]
    if "[Content_Types].xml" in names:
        folder = next((found for found in _OFFICE if any(name.startswith(f"{found}/") for name in names)), None)
        if folder is not None:
            plain, macros = _OFFICE[folder]
            if any(name.endswith("vbaProject.bin") for name in names):
                return f"application/vnd.ms-{macros}.macroenabled.12"
            return f"application/vnd.openxmlformats-officedocument.{plain}"
    if "AndroidManifest.xml" in names:
        return "application/vnd.android.package-archive"
    return "application/java-archive" if "META-INF/MANIFEST.MF" in names else "application/zip"


def _local_names(head: bytes) -> list[str]:
    """The names of the members that begin within the first bytes."""
    found = []
    for match in _LOCAL.finditer(head):
        at, length = match.start() + 30, struct.unpack_from("<H", head, match.start() + 26)[0]
        found.append(head[at : at + min(length, 300)].decode("utf-8", "replace"))
    return found


def _listed_names(tail: bytes) -> list[str]:
    """The names in what is seen of the archive's list of contents."""
    found: list[str] = []
    at = tail.find(b"PK\x01\x02")
    while at >= 0 and at + 46 <= len(tail) and len(found) < MOST_ENTRIES:
        length = struct.unpack_from("<H", tail, at + 28)[0]
        found.append(tail[at + 46 : at + 46 + min(length, 300)].decode("utf-8", "replace"))
        at = tail.find(b"PK\x01\x02", at + 46)
    return found


def unpacked_size(file: BinaryIO, size: int) -> int | None:
    """How many bytes an archive says it holds; None when it has no list of contents that can be followed.

    A member that lies outside the list, or is listed twice, counts as often as it is listed: bombs are made like that.
    """
    file.seek(max(0, size - TAIL))
    tail = file.read(TAIL)
    end = _end(tail, size)
    if end is None or end.entries > MOST_ENTRIES or end.size > _LARGEST_LIST:
        return None
    file.seek(end.offset)
    return _summed(file.read(end.size), end.entries)


def _end(tail: bytes, size: int) -> _End | None:
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or at + 22 > len(tail):
        return None
    entries, length, offset = struct.unpack_from("<HLL", tail, at + 10)
    begins = size - len(tail) + at
    if offset + length > begins:  # lies, or an archive of the 64-bit kind: more than anybody uploads here
        return None
    return _End(entries, length, begins - length)  # bytes before the archive shift it, and its offsets do not know


def _summed(listed: bytes, entries: int) -> int | None:
    at = total = 0
    for _ in range(entries):
        if listed[at : at + 4] != b"PK\x01\x02" or at + 46 > len(listed):
            return None
        total += struct.unpack_from("<L", listed, at + 24)[0]
        at += 46 + sum(struct.unpack_from("<HHH", listed, at + 28))
    return total if at == len(listed) else None
