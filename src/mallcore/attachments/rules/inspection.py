"""Inspection: what a content is and how large a picture is, from headers alone. Nothing is decoded.

So a bomb is refused before a decoder sees it. Headers that are wrong, cut off or contradict one another leave the
facts unknown, and a slot that needs them refuses the content.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import BinaryIO, NamedTuple

from mallcore.attachments.rules.archives import TAIL, unpacked_size
from mallcore.attachments.rules.boxes import heif_size
from mallcore.attachments.rules.slots import Facts
from mallcore.attachments.rules.sniffing import HEAD, detect

MOST_FRAMES = 10_000  # counting ends here: no slot takes that many
_MOST_STEPS = 200_000  # of following one part to the next
_SOF = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_ALONE = frozenset({0x01, *range(0xD0, 0xD9)})  # JPEG markers that nothing follows


class Size(NamedTuple):
    """A picture's width and height in pixels, and how many frames it has."""

    width: int
    height: int
    frames: int = 1


class Malformed(Exception):
    """The headers are wrong, or end too early."""


def examined(file: BinaryIO, size: int) -> Facts:
    """What a content is, from its headers; the stream stands at its beginning before and after."""
    head, tail = file.read(HEAD), b""
    if head[:2] == b"PK":
        file.seek(max(0, size - TAIL))
        tail = file.read(TAIL)
    found = detect(head, tail)
    facts = _facts(file, size, found, packed=bool(tail))
    file.seek(0)
    return facts


def _facts(file: BinaryIO, size: int, found: str, packed: bool) -> Facts:
    if packed:
        return Facts(size, found, unpacked=unpacked_size(file, size))
    measure = _MEASURES.get(found)
    if measure is None:
        return Facts(size, found)
    try:
        file.seek(0)
        width, height, frames = measure(_Reader(file, size))
    except (Malformed, struct.error):
        return Facts(size, found)
    if width < 1 or height < 1 or frames < 1:
        return Facts(size, found)
    return Facts(size, found, width, height, frames)


class _Reader:
    """A file that is read in steps, of which there is an end."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file, self.size, self._steps, self.at = file, size, 0, 0

    def take(self, count: int) -> bytes:
        """So many bytes, or none of them."""
        self._steps += 1
        if self._steps > _MOST_STEPS or self.at + count > self.size:
            raise Malformed()
        read = self._file.read(count)
        if len(read) < count:
            raise Malformed()
        self.at += count
        return read

    def skip(self, count: int) -> None:
        """Go on behind so many bytes."""
        if count < 0 or self.at + count > self.size:
            raise Malformed()
        self.at += count
        self._file.seek(self.at)

    def find(self, mark: bytes) -> bool:
        """Whether these two bytes still come."""
        last = b""
        while piece := self._file.read(1 << 16):
            if mark in last + piece:
                return True
            last = piece[-1:]
        return False


def _png(file: _Reader) -> Size:
    file.skip(8)
    length, kind = struct.unpack(">L4s", file.take(8))
    if (length, kind) != (13, b"IHDR"):
        raise Malformed()
    width, height, depth, colour = struct.unpack(">LLBB", file.take(10))
    if depth not in (1, 2, 4, 8, 16) or colour not in (0, 2, 3, 4, 6) or max(width, height) >> 31:
        raise Malformed()
    file.skip(3 + 4)
    return Size(width, height, max(1, _png_frames(file)))


def _png_frames(file: _Reader) -> int:
    """How many frames the chunks hold or announce; a picture without its last chunk is cut off."""
    announced = held = 0
    data = False
    while True:
        length, kind = struct.unpack(">L4s", file.take(8))
        if kind == b"IEND":
            if not data:
                raise Malformed()
            file.skip(length + 4)
            return max(announced, held)
        data = data or kind == b"IDAT"
        held += kind == b"fcTL"
        if kind == b"acTL" and length == 8:
            announced = max(announced, struct.unpack(">L", file.take(4))[0])
            length -= 4
        file.skip(length + 4)


def _jpeg(file: _Reader) -> Size:
    file.skip(2)
    found = None
    while True:
        marker = _jpeg_marker(file)
        if marker in _ALONE:
            continue
        length = struct.unpack(">H", file.take(2))[0]
        if marker in _SOF:
            _, height, width = struct.unpack(">BHH", file.take(5))
            found = Size(max(width, found.width), max(height, found.height)) if found else Size(width, height)
            length -= 5
        file.skip(length - 2)
        if marker == 0xDA:
            break
    if found is None or not file.find(b"\xff\xd9"):
        raise Malformed()
    return found


def _jpeg_marker(file: _Reader) -> int:
    if file.take(1) != b"\xff":
        raise Malformed()
    marker = 0xFF
    while marker == 0xFF:  # any number of them may fill the gap
        marker = file.take(1)[0]
    if marker in (0x00, 0xD9):
        raise Malformed()
    return marker


def _gif(file: _Reader) -> Size:
    file.skip(6)
    width, height, packed = struct.unpack("<HHB", file.take(5))
    file.skip(2 + _table(packed))
    frames = 0
    while (block := file.take(1)) != b"\x3b":
        if block == b"\x21":
            file.skip(1)
        elif block == b"\x2c":
            left, top, wide, high, packed = struct.unpack("<HHHHB", file.take(9))
            width, height, frames = max(width, left + wide), max(height, top + high), frames + 1
            file.skip(_table(packed) + 1)
        else:
            raise Malformed()
        if frames >= MOST_FRAMES:
            break
        while length := file.take(1)[0]:
            file.skip(length)
    return Size(width, height, frames)


def _table(packed: int) -> int:
    """The bytes of a colour table, if there is one."""
    return 3 << ((packed & 7) + 1) if packed & 0x80 else 0


def _webp(file: _Reader) -> Size:
    file.skip(4)
    length = struct.unpack("<L", file.take(4))[0]
    end = 8 + length
    if end > file.size:
        raise Malformed()
    file.skip(4)
    width = height = animated = frames = 0
    while file.at + 8 <= end:
        kind, length = struct.unpack("<4sL", file.take(8))
        if file.at + length > end:
            raise Malformed()
        head = file.take(min(length, 30))
        wide, high = _webp_chunk(kind, head)
        width, height = max(width, wide), max(height, high)
        frames += kind in (b"VP8 ", b"VP8L")
        animated += kind == b"ANMF"
        file.skip(min(length + (length & 1), end - file.at + len(head)) - len(head))
    return Size(width, height, animated or frames)


def _webp_chunk(kind: bytes, head: bytes) -> tuple[int, int]:
    """The width and height that one chunk claims; 0 where it claims none."""
    if kind == b"VP8 ":
        if head[3:6] != b"\x9d\x01\x2a":
            raise Malformed()
        wide, high = struct.unpack_from("<HH", head, 6)
        return wide & 0x3FFF, high & 0x3FFF
    if kind == b"VP8L":
        if head[:1] != b"\x2f":
            raise Malformed()
        bits = struct.unpack_from("<L", head, 1)[0]
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8X":
        return _three(head, 4) + 1, _three(head, 7) + 1
    if kind == b"ANMF":
        return 2 * _three(head, 0) + _three(head, 6) + 1, 2 * _three(head, 3) + _three(head, 9) + 1
    return 0, 0


def _three(data: bytes, at: int) -> int:
    if at + 3 > len(data):
        raise Malformed()
    return int.from_bytes(data[at : at + 3], "little")


def _bmp(file: _Reader) -> Size:
    file.skip(14)
    length = struct.unpack("<L", file.take(4))[0]
    width, height = struct.unpack("<HH", file.take(4)) if length == 12 else struct.unpack("<ll", file.take(8))
    _, bits = struct.unpack("<HH", file.take(4))
    packed = length > 12 and struct.unpack("<L", file.take(4))[0] != 0
    if not packed and (width * bits + 31) // 32 * 4 * abs(height) > file.size:
        raise Malformed()
    return Size(width, abs(height))


def _heif(file: _Reader) -> Size:
    found = heif_size(file.take(min(file.size, 1 << 20)), file.size)
    if found is None:
        raise Malformed()
    return Size(*found)


_MEASURES: dict[str, Callable[[_Reader], Size]] = {
    "image/png": _png,
    "image/jpeg": _jpeg,
    "image/gif": _gif,
    "image/webp": _webp,
    "image/bmp": _bmp,
    "image/avif": _heif,
    "image/heic": _heif,
    "image/heif": _heif,
}
