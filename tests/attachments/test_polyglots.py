"""Polyglots: files that are two things at once are kept, and served as the one that can do no harm."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from mallcore import Mall, Principal, attachments, structure
from mallcore.attachments.rules.serving import INLINE, UNKNOWN, safe_headers
from mallcore.attachments.rules.sniffing import detect
from tests.attachments import pictures

ME = Principal.system("test")
SCRIPT = b"<script>alert(document.domain)</script>"
JAR = pictures.packed({"META-INF/MANIFEST.MF": "Main-Class: Evil", "Evil.class": b"\xca\xfe\xba\xbe"})
PHP = b"<?php system($_GET['c']); __halt_compiler(); ?>"

POLYGLOTS = {
    "GIF and JavaScript": (b"GIF89a=1;/*" + bytes(20) + b"*/alert(1)//", "image/gif"),
    "GIF and JavaScript, well formed": (pictures.gif(comment=b"*/=1;alert(1)//"), "image/gif"),
    "GIF and HTML": (pictures.gif(comment=SCRIPT), "image/gif"),
    "GIF and JAR (GIFAR)": (pictures.gif() + JAR, "image/gif"),
    "JPEG and HTML": (pictures.jpeg(before=b"\xff\xfe\x00\x29" + SCRIPT), "image/jpeg"),
    "JPEG and JavaScript": (b"\xff\xd8\xff\xe0/*" + bytes(9) + b"*/=alert(1)//", "image/jpeg"),
    "JPEG and ZIP": (pictures.jpeg(after=JAR), "image/jpeg"),
    "PNG and PHP": (pictures.png(extra=pictures.chunk(b"tEXt", b"Comment\0" + PHP)), "image/png"),
    "PNG and HTML": (pictures.png(extra=pictures.chunk(b"tEXt", b"Title\0" + SCRIPT)), "image/png"),
    "PNG and ZIP": (pictures.png() + JAR, "image/png"),
    "PNG and PDF": (pictures.png(extra=pictures.chunk(b"tEXt", b"x\0%PDF-1.4\n")), "image/png"),
    "BMP and JavaScript": (b"BM=1;/*" + pictures.bmp()[7:] + b"*/;alert(1)", "image/bmp"),
    "WebP and HTML": (pictures.webp() + SCRIPT, "image/webp"),
    "PDF and HTML": (b"%PDF-1.4\n" + SCRIPT, "application/pdf"),
    "PDF and ZIP": (b"%PDF-1.4\n" + JAR, "application/pdf"),
    "HTML and PDF": (SCRIPT + b"\n%PDF-1.4\n", "text/html"),
    "HTML and GIF": (b"<!--" + pictures.gif() + b"-->" + SCRIPT, "text/html"),
    "HTML and ZIP": (SCRIPT + JAR, "text/html"),
    "ZIP and HTML": (pictures.packed({"index.html": SCRIPT}), "application/zip"),
    "shell and ZIP": (b"#!/bin/sh\n" + JAR, None),
    "PDF behind rubbish": (b"\0rubbish\n%PDF-1.4\n", UNKNOWN),
    "MP3 and HTML": (b"ID3\x03\0\0\0\0\0\x0a" + SCRIPT, "audio/mpeg"),
    "SVG with a script": (b"<svg xmlns='http://www.w3.org/2000/svg'>" + SCRIPT + b"</svg>", "image/svg+xml"),
    "SVG with an outside entity": (b"<?xml version='1.0'?><!DOCTYPE s [<!ENTITY x SYSTEM 'file:///etc/passwd'>]><svg>&x;</svg>",
                                   "image/svg+xml"),
    "MHTML": (b"MIME-Version: 1.0\r\nContent-Type: multipart/related; boundary=x\r\n\r\n--x\r\n" + SCRIPT, "text/html"),
    "CSV and HTML": (b"a,b\n1," + SCRIPT + b"\n", "text/html"),
}  # fmt: skip


@pytest.mark.parametrize("what", POLYGLOTS)
def test_a_polyglot_is_what_its_first_bytes_are(what: str) -> None:
    """What a viewer would open it as; and if that can be run, it goes out as bytes without a name for them."""
    content, expected = POLYGLOTS[what]
    found = detect(content[:4096], content[-70_000:])
    assert expected in (found, None)
    headers = safe_headers(found, "inline", "x")
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Content-Security-Policy"].startswith("sandbox")
    shown = headers["Content-Disposition"].startswith("inline")
    assert shown == (found in INLINE)
    assert not shown or headers["Content-Type"].startswith(("image/", "application/pdf"))
    assert "html" not in headers["Content-Type"]
    assert "svg" not in headers["Content-Type"]


@pytest.fixture(scope="module")
def mall() -> Iterator[Mall]:
    with Mall.open("sqlite://", objects="memory://") as mall:
        with mall.begin(ME) as ctx:
            structure.create_channel(ctx, slug="books", name="Books")
        yield mall


@pytest.mark.parametrize("claim", ["image/png", "text/html", "application/pdf"])
@pytest.mark.parametrize("what", POLYGLOTS)
def test_what_the_sender_says_changes_nothing(mall: Mall, what: str, claim: str) -> None:
    """The type a content is served by is detected; the one its sender declared is kept apart, and so is its name."""
    content, expected = POLYGLOTS[what]
    with mall.begin(ME) as ctx:
        version = attachments.upload_file(
            ctx, file=content, file_name="x.html", owner="channel:books", declared_type=claim
        )
    assert version.declared_type == claim
    assert expected in (version.detected_type, None)
    with mall.begin(ME) as ctx:
        delivered = attachments.deliver(ctx, version=version.ref, via="proxy")
        assert delivered.body is not None
        delivered.body.close()
    assert delivered.headers["Content-Disposition"].startswith("attachment")
    assert delivered.headers["X-Content-Type-Options"] == "nosniff"
