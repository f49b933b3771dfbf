"""Files made by code: small true ones of many formats, and those that lie."""

from __future__ import annotations

import struct
import zlib
from io import BytesIO
from zipfile import ZIP_DEFLATED, ZipFile


def chunk(kind: bytes, body: bytes) -> bytes:
    """A chunk of a PNG."""
    return struct.pack(">L", len(body)) + kind + body + struct.pack(">L", zlib.crc32(kind + body))


def png(width: int = 2, height: int = 2, *, pixels: bytes | None = None, extra: bytes = b"", frames: int = 0) -> bytes:
    """A grey PNG; its header may claim more pixels than there are."""
    rows = (b"\0" + b"\x80" * width) * height if pixels is None else pixels
    header = chunk(b"IHDR", struct.pack(">LLBBBBB", width, height, 8, 0, 0, 0, 0))
    animated = chunk(b"acTL", struct.pack(">LL", frames, 0)) if frames else b""
    data = chunk(b"IDAT", zlib.compress(rows))
    return b"\x89PNG\r\n\x1a\n" + header + animated + extra + data + chunk(b"IEND", b"")


def gif(width: int = 2, height: int = 2, *, frames: int = 1, comment: bytes = b"") -> bytes:
    """A GIF with frames of one pixel."""
    head = b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + b"\0\0\0\xff\xff\xff"
    said = b"\x21\xfe" + bytes([len(comment)]) + comment + b"\0" if comment else b""
    frame = b"\x2c" + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02\x02\x44\x01\0"
    return head + said + frame * frames + b"\x3b"


def jpeg(width: int = 16, height: int = 16, *, before: bytes = b"", after: bytes = b"") -> bytes:
    """What has the markers of a JPEG; no decoder gets far with it."""
    frame = struct.pack(">BHHB", 8, height, width, 1) + b"\x01\x11\0"
    return (
        b"\xff\xd8\xff\xe0\x00\x10JFIF\0\x01\x01\0\0\x01\0\x01\0\0" + before
        + b"\xff\xc0" + struct.pack(">H", len(frame) + 2) + frame
        + b"\xff\xda\x00\x08\x01\x01\0\0\x3f\0" + b"\x12\x34" + b"\xff\xd9" + after
    )  # fmt: skip


def webp(width: int = 16, height: int = 16, *, kind: bytes = b"VP8X") -> bytes:
    """A WebP whose header claims this size."""
    if kind == b"VP8X":
        body = bytes(4) + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
        rest = b"VP8L" + struct.pack("<L", 6) + b"\x2f" + struct.pack("<L", 0) + b"\0"
    elif kind == b"VP8L":
        body, rest = b"\x2f" + struct.pack("<L", (width - 1) | (height - 1) << 14) + b"\0", b""
    else:
        body, rest = b"\x10\0\0\x9d\x01\x2a" + struct.pack("<HH", width, height), b""
    chunks = kind + struct.pack("<L", len(body)) + body + rest
    return b"RIFF" + struct.pack("<L", len(chunks) + 4) + b"WEBP" + chunks


def box(kind: bytes, *inside: bytes) -> bytes:
    """A box of an ISO media file."""
    body = b"".join(inside)
    return struct.pack(">L", len(body) + 8) + kind + body


def avif(width: int = 16, height: int = 16, *, brand: bytes = b"avif", said: bool = True) -> bytes:
    """What has the boxes of an AVIF of this size."""
    extent = box(b"ispe", bytes(4), struct.pack(">LL", width, height)) if said else b""
    meta = box(b"meta", bytes(4), box(b"iprp", box(b"ipco", extent)))
    return box(b"ftyp", brand, bytes(4), b"mif1", brand) + meta + box(b"mdat", bytes(32))


def bmp(width: int = 2, height: int = 2) -> bytes:
    """A BMP of 24 bits."""
    rows = bytes((width * 24 + 31) // 32 * 4 * height)
    header = struct.pack("<LllHHLLllLL", 40, width, height, 1, 24, 0, len(rows), 0, 0, 0, 0)
    return b"BM" + struct.pack("<LHHL", 54 + len(rows), 0, 0, 54) + header + rows


def packed(names: dict[str, bytes | str], first: tuple[str, str] | None = None) -> bytes:
    """A ZIP archive; ``first`` is a member that is stored, as the formats do that begin with their type."""
    out = BytesIO()
    with ZipFile(out, "w", ZIP_DEFLATED) as archive:
        if first is not None:
            archive.writestr(first[0], first[1], compress_type=0)
        for name, content in names.items():
            archive.writestr(name, content)
    return out.getvalue()


def office(folder: str) -> bytes:
    """What is packed like a document of Word (``word``), Excel (``xl``) or PowerPoint (``ppt``)."""
    return packed({"[Content_Types].xml": "<Types/>", "_rels/.rels": "<R/>", f"{folder}/document.xml": "<d/>"})
