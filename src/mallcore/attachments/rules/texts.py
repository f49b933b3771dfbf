"""Text and markup: what of them is harmless. Whatever a browser could take for a page is called by its name."""

from __future__ import annotations

import codecs
import csv
import json
import re
from collections.abc import Iterator

_BOMS = ((codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"), (codecs.BOM_UTF16_LE, "utf-16"),
         (codecs.BOM_UTF16_BE, "utf-16"), (codecs.BOM_UTF8, "utf-8-sig"))  # fmt: skip
_JUNK = re.compile(rb"^[\x00-\x20\x7f\xa0]+|^(?:\xef\xbb\xbf|\xff\xfe|\xfe\xff)|^\xc2[\x80-\xa0]")
# What may stand before the element that tells: prologs, doctypes, comments. Each is bounded by what it ends with.
_BEFORE = re.compile(
    rb"^(?:<\?xml.*?\?>|<!--.*?--!?>|<!doctype[^>\[]*(?:\[[^\]]*\])?[^>]*>|<\?(?!php|=).*?\?>)", re.DOTALL
)
_HTML = re.compile(
    rb"^(?:<!--|<!doctype\s+html|</?(?:html|head|body|script|iframe|h[1-6]|div|font|table|a|style|title|b|br|p|img|link"
    rb"|meta|base|form|input|button|video|audio|object|embed|applet|frame|frameset|template|noscript|details|math|span"
    rb"|ul|ol|li|i|u|em|strong|center|marquee|pre|code|section|article|main|nav|header|footer|textarea|select|isindex"
    rb"|[a-z]+-[a-z-]*)[\s/>])"
)
# Wherever it stands, text with one of these was made to be run.
_ACTIVE = re.compile(rb"<(?:script|html|svg|iframe|object|embed|body|applet)[\s/>]|<!doctype\s+html|<\?php|javascript:")
_TAG = re.compile(rb"^<[a-z_!?/]")
_SVG = re.compile(rb"<(?:[a-z_][\w.-]*:)?svg[\s/>]|http://www\.w3\.org/2000/svg")
_ENCODED = re.compile(rb"\+ADw[-A-Za-z0-9+/]")  # "<" in UTF-7, which has no mark of its own
_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0e-\x1f\x7f]")
_LINES = (
    ("text/x-shellscript", re.compile(rb"#!\s*/")),
    ("text/cache-manifest", re.compile(rb"cache manifest")),
    ("message/rfc822", re.compile(rb"(?:mime-version|received|return-path|message-id):\s*\S")),
    ("text/vcard", re.compile(rb"begin:vcard\r?\n")),
    ("text/calendar", re.compile(rb"begin:vcalendar\r?\n")),
    ("application/x-mswinurl", re.compile(rb"\[internetshortcut\]")),
)


def text_type(head: bytes, *, complete: bool) -> str | None:
    """The media type of text or markup by its first bytes; None for what is neither, or can't be told."""
    plain = _stripped(head)
    if not plain:  # nothing, or nothing but space so far: anything may follow
        return "text/plain" if complete and head.strip() == b"" and head else None
    markup = _markup_type(plain)
    if markup is not None:
        return markup
    text = _decoded(head, complete)
    if text is None or _ENCODED.search(head):
        return None
    if _ACTIVE.search(plain):
        return "text/html"
    named = next((found for found, shape in _LINES if shape.match(plain)), None)
    return named or _data_type(text, complete) or "text/plain"


def _stripped(head: bytes) -> bytes:
    """Lower case, without what comes before the first sign that shows; UTF-16 loses its zero bytes, whatever its order.

    Who wants to hide a page writes it so that a reader sees nothing and a browser sees everything.
    """
    for bom, _ in _BOMS:
        if head.startswith(bom):
            head = head[len(bom) :]
            break
    plain = head.replace(b"\x00", b"").lower()
    while (junk := _JUNK.match(plain)) is not None:
        plain = plain[junk.end() :]
    return plain


def _markup_type(plain: bytes) -> str | None:
    """What a browser makes of something that begins with a tag; None when it does not."""
    if not _TAG.match(plain):
        return None
    if plain.startswith((b"<?php", b"<?=")):
        return "application/x-httpd-php"
    inner = _after_prologs(plain)
    if _SVG.match(inner) or (not _HTML.match(inner) and _SVG.search(plain)):
        return "image/svg+xml"
    if _HTML.match(inner) or _HTML.match(plain):
        return "application/xhtml+xml" if plain.startswith(b"<?xml") else "text/html"
    if b"http://www.w3.org/1999/xhtml" in plain:
        return "application/xhtml+xml"
    return "text/html" if _ACTIVE.search(plain) and not plain.startswith(b"<?xml") else "application/xml"


def _after_prologs(plain: bytes) -> bytes:
    while (before := _BEFORE.match(plain)) is not None:
        plain = plain[before.end() :].lstrip()
    return plain


def _decoded(head: bytes, complete: bool) -> str | None:
    """The text, if it is one in an encoding that says so, in UTF-8, or in the one that Windows is used to."""
    encoding = next((name for bom, name in _BOMS if head.startswith(bom)), "utf-8")
    for name in (encoding, "cp1252") if encoding == "utf-8" else (encoding,):
        try:
            text = codecs.getincrementaldecoder(name)().decode(head, final=complete)
        except (UnicodeDecodeError, UnicodeError):
            if sum(sign < 0x80 for sign in head) * 4 < len(head) * 3:
                return None  # hardly a letter of it is plain: nobody's old file, but bytes, or a hidden encoding
            continue
        return None if _CONTROLS.search(text) else text
    return None


def _data_type(text: str, complete: bool) -> str | None:
    if _is_json(text, complete):
        return "application/json"
    return "text/csv" if _is_csv(text, complete) else None


def _is_json(text: str, complete: bool) -> bool:
    """Whether the text is an object or a list in JSON, or begins like one."""
    if not text.lstrip().startswith(("{", "[")):
        return False
    if not complete:
        return re.match(r'\s*(?:\{\s*"(?:[^"\\]|\\.)*"\s*:|\[\s*["{\[0-9tfn-])', text) is not None
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _is_csv(text: str, complete: bool) -> bool:
    """Whether the text is a table: two rows at least, two columns at least, and as many in each row."""
    lines = text.splitlines()[: None if complete else -1][:50]
    return any(_widths(lines, mark) for mark in ",;\t")


def _widths(lines: list[str], mark: str) -> bool:
    try:
        widths = [len(row) for row in _rows(lines, mark)]
    except csv.Error:
        return False
    return len(widths) > 1 and widths[0] > 1 and len(set(widths)) == 1


def _rows(lines: list[str], mark: str) -> Iterator[list[str]]:
    return (row for row in csv.reader(lines, delimiter=mark, strict=True) if row)
