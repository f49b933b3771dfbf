"""Sniffing: what a content is, by its own bytes; what its sender says, and its file name, are not looked at.

The first bytes decide, as in the viewers and browsers that will open it. A polyglot is what its first bytes are: that
type is served with ``nosniff`` and in a sandbox, so what else it may be is never run. What is not recognised for
certain is `UNKNOWN`, which is always safe; nothing that a browser could run passes for text.
"""

from __future__ import annotations

import re

from mallcore.attachments.rules.archives import packed_type
from mallcore.attachments.rules.texts import text_type

HEAD = 4096  # bytes that decide
UNKNOWN = "application/octet-stream"

# Type, and the bytes it begins with. Longer marks come before shorter ones that they begin with.
_MARKS = (
    ("image/png", b"\x89PNG\r\n\x1a\n"),
    ("image/jpeg", b"\xff\xd8\xff"),
    ("image/gif", b"GIF89a"),
    ("image/gif", b"GIF87a"),
    ("image/tiff", b"II*\x00"),
    ("image/tiff", b"MM\x00*"),
    ("image/tiff", b"II+\x00"),
    ("image/tiff", b"MM\x00+"),
    ("image/jxl", b"\xff\x0a"),
    ("image/jxl", b"\x00\x00\x00\x0cJXL \r\n\x87\n"),
    ("image/jp2", b"\x00\x00\x00\x0cjP  \r\n\x87\n"),
    ("image/vnd.adobe.photoshop", b"8BPS\x00"),
    ("application/pdf", b"%PDF-"),
    ("application/postscript", b"%!PS"),
    ("application/postscript", b"\xc5\xd0\xd3\xc6"),
    ("application/rtf", b"{\\rtf"),
    ("application/x-ole-storage", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"),
    ("application/gzip", b"\x1f\x8b\x08"),
    ("application/x-7z-compressed", b"7z\xbc\xaf\x27\x1c"),
    ("application/vnd.rar", b"Rar!\x1a\x07"),
    ("application/x-xz", b"\xfd7zXZ\x00"),
    ("application/zstd", b"\x28\xb5\x2f\xfd"),
    ("application/vnd.sqlite3", b"SQLite format 3\x00"),
    ("audio/flac", b"fLaC"),
    ("audio/mpeg", b"ID3"),
    ("audio/midi", b"MThd\x00\x00\x00\x06"),
    ("font/woff", b"wOFF"),
    ("font/woff2", b"wOF2"),
    ("font/otf", b"OTTO"),
    ("font/ttf", b"\x00\x01\x00\x00\x00"),
    ("application/wasm", b"\x00asm"),
    ("application/java-vm", b"\xca\xfe\xba\xbe"),
    ("application/x-elf", b"\x7fELF"),
    ("application/x-mach-binary", b"\xcf\xfa\xed\xfe"),
    ("application/x-mach-binary", b"\xce\xfa\xed\xfe"),
    ("application/x-ms-shortcut", b"L\x00\x00\x00\x01\x14\x02\x00"),
    ("application/vnd.ms-cab-compressed", b"MSCF\x00\x00\x00\x00"),
    ("application/x-java-serialized", b"\xac\xed\x00\x05"),
)
# Marks that are too short, or that begin the files of several types.
_SHAPES = (
    ("image/vnd.microsoft.icon", re.compile(rb"\x00\x00\x01\x00[\x01-\xff]\x00..\x00?", re.DOTALL)),
    ("image/bmp", re.compile(rb"BM.{12}[\x0c\x28\x34\x38\x40\x6c\x7c]\x00\x00\x00", re.DOTALL)),
    ("application/x-bzip2", re.compile(rb"BZh[1-9](?:1AY&SY|\x17rE8P\x90)")),
    ("application/x-shockwave-flash", re.compile(rb"[FCZ]WS[\x01-\x40]")),
    ("application/vnd.microsoft.portable-executable", re.compile(rb"MZ.{58}..\x00\x00", re.DOTALL)),
    # An MPEG audio frame: layer III, a bit rate and a sampling rate that exist.
    ("audio/mpeg", re.compile(rb"\xff[\xfa\xfb\xf2\xf3\xe2\xe3][\x10-\x1b\x20-\x2b\x30-\xeb]")),
    ("application/x-tar", re.compile(rb".{257}ustar[\x00 ]", re.DOTALL)),
)
_RIFF = {b"WEBP": "image/webp", b"WAVE": "audio/wav", b"AVI ": "video/x-msvideo"}
_BRANDS = (  # in the order in which they count, whichever of a file's brands they are
    ("image/avif", (b"avif", b"avis")),
    ("image/heic", (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx")),
    ("image/heif", (b"mif1", b"msf1")),
    ("audio/mp4", (b"M4A ", b"M4B ")),
    ("video/quicktime", (b"qt  ",)),
    ("video/3gpp", (b"3gp4", b"3gp5", b"3gp6", b"3gp7", b"3gs7")),
    ("video/mp4", (b"isom", b"iso2", b"iso4", b"iso5", b"iso6", b"mp41", b"mp42", b"avc1", b"M4V ", b"dash", b"mmp4")),
)
_OGG = (
    (b"\x80theora", "video/ogg"),
    (b"OpusHead", "audio/ogg"),
    (b"\x01vorbis", "audio/ogg"),
    (b"\x7fFLAC", "audio/ogg"),
)


def detect(head: bytes, tail: bytes = b"") -> str:
    """The media type of a content that begins with ``head`` (its first `HEAD` bytes; fewer only when it has no more).

    ``tail``, its last bytes, tells apart the formats that are ZIP archives.

    >>> detect(b"GIF89a=0;alert(1)//"), detect(b" \\n<!-- x --><svg onload=alert(1)>")
    ('image/gif', 'image/svg+xml')
    """
    head = head[:HEAD]
    return _binary_type(head, tail) or text_type(head, complete=len(head) < HEAD) or UNKNOWN


def _binary_type(head: bytes, tail: bytes) -> str | None:
    for found, mark in _MARKS:
        if head.startswith(mark):
            return found
    for found, shape in _SHAPES:
        if shape.match(head):
            return found
    if head[:4] in (b"PK\x03\x04", b"PK\x05\x06"):
        return packed_type(head, tail)
    return _container_type(head)


def _container_type(head: bytes) -> str | None:
    """Types that stand inside a common frame: RIFF, ISO media, Matroska, Ogg."""
    if head[:4] == b"RIFF":
        return _RIFF.get(head[8:12])
    if head[4:8] == b"ftyp":
        return _branded(head)
    if head[:4] == b"\x1a\x45\xdf\xa3":
        kind = re.search(rb"\x42\x82[\x84-\x88](webm|matroska)", head[:128])
        return {b"webm": "video/webm", b"matroska": "video/matroska"}.get(kind[1]) if kind else None
    if head[:4] == b"OggS":
        return next((found for mark, found in _OGG if mark in head[:256]), None)
    return None


def _branded(head: bytes) -> str | None:
    """An ISO media file by its brands; the major one counts first."""
    size = int.from_bytes(head[:4], "big")
    if not 16 <= size <= 512 or size > len(head):
        return None
    brands = [head[8:12], *(head[at : at + 4] for at in range(16, size - 3, 4))]
    for wanted in (brands[:1], brands):
        for found, names in _BRANDS:
            if found == "image/heif" and wanted is not brands:
                continue  # mif1 says only that it is a still picture: another brand says which
            if any(name in wanted for name in names):
                return found
    return None
