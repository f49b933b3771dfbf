"""Sniffing and inspection: a content is what its bytes are, and as large as its headers say, or nobody knows."""

from __future__ import annotations

import gzip
import struct
import tarfile
from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mallcore.attachments import Facts
from mallcore.attachments.rules.inspection import MOST_FRAMES, examined
from mallcore.attachments.rules.serving import INLINE, served_type
from mallcore.attachments.rules.sniffing import HEAD, UNKNOWN, detect
from tests.attachments import pictures


def facts(content: bytes) -> Facts:
    stream = BytesIO(content)
    found = examined(stream, len(content))
    assert stream.tell() == 0
    return found


def tar() -> bytes:
    out = BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("a"))
    return out.getvalue()


def media(brand: bytes, *others: bytes) -> bytes:
    return pictures.box(b"ftyp", brand, bytes(4), *others) + bytes(16)


KNOWN = {
    "image/png": pictures.png(),
    "image/jpeg": pictures.jpeg(),
    "image/gif": pictures.gif(),
    "image/webp": pictures.webp(),
    "image/avif": pictures.avif(),
    "image/heic": media(b"heic", b"mif1"),
    "image/bmp": pictures.bmp(),
    "image/vnd.microsoft.icon": b"\0\0\x01\0\x01\0\x10\x10\0\0" + bytes(40),
    "image/tiff": b"II*\0" + bytes(20),
    "application/pdf": b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n",
    "application/zip": pictures.packed({"a.txt": "a"}),
    "application/java-archive": pictures.packed({"META-INF/MANIFEST.MF": "a"}),
    "application/epub+zip": pictures.packed({"x": "y"}, ("mimetype", "application/epub+zip")),
    "application/vnd.oasis.opendocument.text": pictures.packed(
        {"content.xml": "<x/>"}, ("mimetype", "application/vnd.oasis.opendocument.text")
    ),
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": pictures.office("word"),
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": pictures.office("xl"),
    "application/vnd.ms-word.document.macroenabled.12": pictures.packed(
        {"[Content_Types].xml": "", "word/document.xml": "", "word/vbaProject.bin": ""}
    ),
    "application/gzip": gzip.compress(b"a"),
    "application/x-tar": tar(),
    "application/x-7z-compressed": b"7z\xbc\xaf\x27\x1c\0\x04" + bytes(30),
    "application/vnd.rar": b"Rar!\x1a\x07\x01\0" + bytes(9),
    "application/x-ole-storage": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(20),
    "video/mp4": media(b"isom", b"iso2", b"avc1", b"mp41"),
    "video/quicktime": media(b"qt  "),
    "audio/mp4": media(b"M4A ", b"isom"),
    "video/webm": b"\x1a\x45\xdf\xa3\x9f\x42\x86\x81\x01\x42\x82\x84webm" + bytes(20),
    "audio/mpeg": b"ID3\x04" + bytes(20),
    "audio/ogg": b"OggS\0\x02" + bytes(22) + b"\x01\x13OpusHead\x01",
    "audio/wav": b"RIFF\x24\0\0\0WAVEfmt ",
    "audio/flac": b"fLaC\0\0\0\x22",
    "font/woff2": b"wOF2\0\x01\0\0",
    "application/vnd.microsoft.portable-executable": b"MZ" + bytes(70),
    "application/x-elf": b"\x7fELF\x02\x01",
    "application/wasm": b"\0asm\x01\0\0\0",
    "application/x-shockwave-flash": b"CWS\x0a\0\0\0\0",
    "application/json": b'{"a": [1, 2]}',
    "text/csv": b"sku,name\n1,One\n2,Two\n",
    "text/plain": "Grüße aus dem Buchladen.\n".encode(),
    "text/html": b"<!DOCTYPE html><html></html>",
    "image/svg+xml": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
    "application/xml": b"<?xml version='1.0'?><rss></rss>",
    "text/x-shellscript": b"#!/bin/sh\nrm -rf /\n",
}


@pytest.mark.parametrize("expected", KNOWN)
def test_a_content_is_known_by_its_bytes(expected: str) -> None:
    """Each format is told by its first bytes, and the archives among them by what they hold."""
    assert facts(KNOWN[expected]).detected_type == expected


@pytest.mark.parametrize(
    "content",
    [b"", b"\0", b"\xff", b"\x00\x01\x02\x03", b"BM\0", b"RIFF\0", b"MZ\x90", b"\x1f\x8b", b" " * HEAD, b"\n" * 9000],
)
def test_what_is_not_known_for_certain_is_nothing(content: bytes) -> None:
    """A mark that is cut off, or nothing but space with who knows what behind, is bytes and no more."""
    assert facts(content).detected_type == UNKNOWN


HIDDEN_PAGES = [
    b"<html>", b"  \r\n\t<html>", b"<HTML>", b"\xef\xbb\xbf<html>", b"\xef\xbb\xbf\xef\xbb\xbf <script>",
    b"\0\0<script>",
    b"<!-- " + b"x" * 9000 + b" --><script>alert(1)</script>", b"<!-- x --><!-- y --><body onload=alert(1)>",
    b"<!---><script>alert(1)</script>", b"<?xml version='1.0'?><html xmlns='http://www.w3.org/1999/xhtml'/>",
    b"<!DOCTYPE html SYSTEM 'about:legacy-compat'><title>", b"<x-widget onclick=alert(1)>",
    b"<a href=javascript:alert(1)>",
    b"<img src=x onerror=alert(1)>", b"<marquee onstart=alert(1)>", b"</p><script>alert(1)</script>",
    b"Dear reader,\n<script>alert(1)</script>", b"sku,name\n1,<script src=//evil>\n2,x\n",
    b'{"a": "<script>x</script>"}',
    "\ufeff<script>".encode("utf-16-le"), "\ufeff<script>".encode("utf-16-be"), "<script>x".encode("utf-16-le"),
    "<script>x".encode("utf-16-be"), "\ufeff<script>".encode("utf-32-le"), b"\x0b\x0c\x1b<script>", b"\xc2\xa0<script>",
    b"<sCrIpT/x>alert(1)", b"<?php system($_GET[0]); ?>", b"<?= `id` ?>", b"<?xml-stylesheet href='x'?><html>",
    b"<!DOCTYPE foo [<!ENTITY x 'y'>]><html>", b"<math><mtext>", b"<object data=x>", b"<svg/onload=alert(1)>",
]  # fmt: skip


@pytest.mark.parametrize("content", HIDDEN_PAGES)
def test_a_page_is_a_page_however_it_is_hidden(content: bytes) -> None:
    """Behind spaces, marks, comments, prologs and other encodings: what a browser could run goes out as bytes."""
    found = facts(content).detected_type
    assert served_type(found) == UNKNOWN or found == "application/x-httpd-php"
    assert found not in INLINE


@pytest.mark.parametrize(
    "content",
    [
        b"<svg onload=alert(1)>", b"<?xml version='1.0'?>\n<!-- c -->\n<svg/>",
        b"<ns:svg xmlns:ns='http://www.w3.org/2000/svg'/>",
        b"<!DOCTYPE svg PUBLIC '-//W3C//DTD SVG 1.1//EN' 'x'><svg/>",
        "\ufeff<?xml version='1.0'?><svg/>".encode("utf-16"),
        b"<!DOCTYPE x [<!ENTITY a '<'>]><svg/>", b"\n\n<SVG/>", b"<g xmlns='http://www.w3.org/2000/svg'/>",
    ],
)  # fmt: skip
def test_a_drawing_is_a_drawing(content: bytes) -> None:
    """SVG is called by its name, so that no slot takes it for a picture unawares, and it is never shown."""
    found = facts(content).detected_type
    assert found == "image/svg+xml"
    assert found not in INLINE


@pytest.mark.parametrize(
    "content", [b"+ADw-script+AD4-alert(1)+ADw-/script+AD4-", "<script>".encode("cp037"), b"a\x1b$B"]
)
def test_text_in_a_hidden_encoding_is_no_text(content: bytes) -> None:
    """Encodings that give another meaning to harmless letters are not text here."""
    assert facts(content).detected_type == UNKNOWN


@pytest.mark.parametrize(
    "content", ["1 < 2 and 3 > 2", "<3 books", "[1] a footnote", "a, b\nc", "{not json}", "naïve café"]
)
def test_plain_text_stays_plain_text(content: str) -> None:
    """What only looks a little like something else is still read as text."""
    assert facts(content.encode()).detected_type == "text/plain"


@given(st.binary(max_size=300), st.binary(max_size=100))
def test_every_content_has_a_type(head: bytes, tail: bytes) -> None:
    """Whatever the bytes are, looking at them ends, with a type."""
    assert "/" in detect(head, tail)
    assert facts(head).size == len(head)


@given(st.sampled_from(sorted(KNOWN)), st.integers(0, 400), st.binary(min_size=1, max_size=3))
def test_a_damaged_content_has_facts(kind: str, at: int, damage: bytes) -> None:
    """Whatever is overwritten, the facts are numbers above zero, or unknown."""
    content = KNOWN[kind]
    found = facts(content[:at] + damage + content[at + len(damage) :])
    assert all(value is None or value > 0 for value in (found.width, found.height, found.frames))


@given(
    st.text(alphabet=st.sampled_from(" \t\r\n\0\ufeff"), max_size=40),
    st.sampled_from(["<script>", "<html>", "<svg ", "<body "]),
)
def test_no_white_space_hides_a_tag(space: str, tag: str) -> None:
    """However much nothing there is before it, a tag at the beginning is found."""
    for encoding in ("utf-8", "utf-16-le", "utf-16-be"):
        assert served_type(facts((space + tag + "x").encode(encoding)).detected_type) == UNKNOWN


MEASURED = [
    (pictures.png(7, 5), (7, 5, 1)), (pictures.png(7, 5, frames=3), (7, 5, 3)), (pictures.gif(7, 5), (7, 5, 1)),
    (pictures.gif(7, 5, frames=9), (7, 5, 9)), (pictures.jpeg(700, 500), (700, 500, 1)),
    (pictures.webp(7, 5), (7, 5, 1)),
    (pictures.webp(7, 5, kind=b"VP8L"), (7, 5, 1)), (pictures.webp(7, 5, kind=b"VP8 "), (7, 5, 1)),
    (pictures.avif(7, 5), (7, 5, 1)), (pictures.bmp(7, 5), (7, 5, 1)), (pictures.bmp(7, -5 + 10), (7, 5, 1)),
    (pictures.jpeg(9, 8, before=b"\xff\xe1\x00\x04ab" * 3 + b"\xff\xff\xfe\x00\x03x"), (9, 8, 1)),
]  # fmt: skip


@pytest.mark.parametrize(("content", "expected"), MEASURED)
def test_a_picture_is_measured_without_decoding_it(content: bytes, expected: tuple[int, int, int]) -> None:
    """Width, height and frames stand in the headers of every format that slots take."""
    found = facts(content)
    assert (found.width, found.height, found.frames) == expected


@pytest.mark.parametrize("content", [content for content, _ in MEASURED if not content.startswith(b"BM")])
def test_a_picture_that_is_cut_off_is_not_measured(content: bytes) -> None:
    """Wherever a picture ends too early, its facts are unknown, and so a slot for pictures refuses it."""
    for end in range(12, len(content) - 1):
        found = facts(content[:end])
        assert (found.width, found.height, found.frames) == (None, None, None)


@pytest.mark.parametrize(
    ("content", "pixels"),
    [
        (pictures.png(60_000, 60_000, pixels=b""), 3_600_000_000),
        (pictures.gif(65_535, 65_535), 4_294_836_225),
        (pictures.jpeg(65_535, 65_535), 4_294_836_225),
        (pictures.webp(16_777_216, 256), 4_294_967_296),
        (pictures.avif(100_000, 100_000), 10_000_000_000),
    ],
)
def test_a_bomb_is_as_large_as_it_says(content: bytes, pixels: int) -> None:
    """A thousand bytes that claim billions of pixels are known for what they are."""
    found = facts(content)
    assert len(content) < 1024
    assert (found.width or 0) * (found.height or 0) == pixels


def test_frames_beyond_the_limit_are_not_counted() -> None:
    """A GIF of a hundred thousand frames is left after the first ten thousand."""
    assert facts(pictures.gif(frames=100_000)).frames == MOST_FRAMES


def test_a_frame_may_be_larger_than_its_sheet() -> None:
    """A GIF whose frame juts out, a JPEG with two sizes, an AVIF of parts: the largest claim counts."""
    jutting = pictures.gif(2, 2).replace(struct.pack("<HHHHB", 0, 0, 1, 1, 0), struct.pack("<HHHHB", 9, 0, 5000, 1, 0))
    assert facts(jutting).width == 5009
    frame = b"\xff\xc0\x00\x0b\x08" + struct.pack(">HH", 9000, 8000) + b"\x01\x01\x11\0"
    assert facts(pictures.jpeg(2, 2, before=frame)).height == 9000
    parts = box_of((5, 5), (7000, 3))
    assert (facts(parts).width, facts(parts).height) == (7000, 5)


def box_of(*extents: tuple[int, int]) -> bytes:
    boxes = [pictures.box(b"ispe", bytes(4), struct.pack(">LL", *extent)) for extent in extents]
    meta = pictures.box(b"meta", bytes(4), pictures.box(b"iprp", pictures.box(b"ipco", *boxes)))
    return pictures.box(b"ftyp", b"avif", bytes(4), b"mif1") + meta + pictures.box(b"mdat")


@pytest.mark.parametrize(
    "content",
    [
        pictures.avif(said=False),
        pictures.webp(0x4000, 5, kind=b"VP8 "),
        pictures.png(0, 5),
        pictures.gif(frames=0),
        pictures.jpeg(16, 0),
        b"\x89PNG\r\n\x1a\n" + pictures.chunk(b"IEND", b""),
        pictures.box(b"ftyp", b"avif", bytes(4), b"mif1") + struct.pack(">L4sQ", 1, b"meta", 4),
        pictures.box(b"ftyp", b"avif", bytes(4), b"mif1") + (pictures.box(b"meta") * 12_000),
        b"RIFF\xff\xff\xff\xffWEBPVP8X" + bytes(18),
    ],
)
def test_headers_that_say_nothing_are_not_guessed(content: bytes) -> None:
    """A picture without pixels, without frames, with lengths that can't be: its size is unknown."""
    found = facts(content)
    assert (found.width, found.height) == (None, None)


def test_an_archive_says_what_it_unpacks_to() -> None:
    """A bomb of a few kilobytes is as large as its list of contents says; a list that lies says nothing."""
    bomb = pictures.packed({f"{n}.txt": bytes(10_000_000) for n in range(3)})
    assert len(bomb) < 100_000
    assert facts(bomb).unpacked == 30_000_000
    assert facts(b"PK\x03\x04" + bytes(40)).unpacked is None
    assert facts(bomb[:-30]).unpacked is None
    assert facts(bomb.replace(b"PK\x01\x02", b"PK\x01\x09")).unpacked is None


def test_an_archive_behind_other_bytes_is_still_followed() -> None:
    """Bytes before an archive shift it; a comment behind it does not hide its end."""
    plain = pictures.packed({"a": "x" * 100})
    shifted = plain[:4] + b"\0" * 26 + plain
    assert facts(shifted).unpacked == 100
    assert facts(plain[:-2] + b"\x05\0hello").unpacked == 100
