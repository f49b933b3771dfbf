"""The boxes of ISO media files, as far as they tell how large a picture is (AVIF, HEIC)."""

from __future__ import annotations

import struct
from collections.abc import Iterator

_INSIDE = {b"meta": 4, b"iprp": 0, b"ipco": 0, b"moov": 0, b"trak": 0, b"mdia": 0, b"minf": 0, b"stbl": 0}
_DEEPEST = 8
_MOST = 10_000


def heif_size(data: bytes, size: int) -> tuple[int, int, int] | None:
    """Width, height and frames of a still picture or a sequence, from the file's beginning; None when it is not clear.

    A picture may be put together of others: the largest extent that is claimed anywhere counts.
    """
    extents: list[tuple[int, int]] = []
    samples: list[int] = []
    complete, there = True, False
    for count, (kind, body, ends) in enumerate(_boxes(data, size, 0, len(data))):
        if count > _MOST:
            return None
        complete = complete and (ends <= size)
        there = there or kind in (b"mdat", b"idat")
        if kind == b"ispe" and len(body) >= 12:
            extents.append(struct.unpack_from(">LL", body, 4))
        elif kind == b"stsz" and len(body) >= 12:
            samples.append(struct.unpack_from(">L", body, 8)[0])
        elif kind == b"tkhd" and len(body) >= 84:
            wide, high = struct.unpack_from(">LL", body, len(body) - 8)
            extents.append((wide >> 16, high >> 16))
    if not (extents and complete and there):
        return None
    width, height = (max(extent[axis] for extent in extents) for axis in (0, 1))
    return width, height, max(samples, default=1)


def _boxes(data: bytes, size: int, at: int, end: int, depth: int = 0) -> Iterator[tuple[bytes, bytes, int]]:
    """Kind, body (its first bytes) and end of each box that begins in this part of the data, and of those inside."""
    while at + 8 <= end:
        length, kind = struct.unpack_from(">L4s", data, at)
        head = 8
        if length == 1 and at + 16 <= end:
            length, head = struct.unpack_from(">Q", data, at + 8)[0], 16
        elif length == 0:  # up to the end of the file
            length = size - at
        if length < head:
            return
        yield kind, data[at + head : min(at + length, at + 200)], at + length
        if kind in _INSIDE and depth < _DEEPEST:
            yield from _boxes(data, size, at + head + _INSIDE[kind], min(at + length, end), depth + 1)
        at += length
