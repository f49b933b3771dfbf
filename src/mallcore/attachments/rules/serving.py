"""How content is served: the headers that keep a browser from running what somebody uploaded.

The type is the detected one, never what the sender said. What is not on the inline list is downloaded, whatever the
link asks for; what a browser could run is not even called by its name.
"""

from __future__ import annotations

import re
import unicodedata
from base64 import b64encode
from typing import Literal
from urllib.parse import quote

Disposition = Literal["inline", "attachment"]
INLINE = frozenset({
    "application/pdf", "image/avif", "image/bmp", "image/gif", "image/jpeg", "image/png", "image/tiff",
    "image/vnd.microsoft.icon", "image/webp",
})  # fmt: skip
"""What may be shown in a page: raster images and PDF. Nothing that can hold a script is on this list."""
UNKNOWN = "application/octet-stream"
IMMUTABLE = "public, max-age=31536000, immutable"
NOT_KEPT = "private, no-store"
ASKED_AGAIN = "private, no-cache"
_TYPE = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]{0,60}/[a-z0-9][a-z0-9!#$&^_.+-]{0,60}")
# Types a browser, a plug-in or a viewer may run or expand: they go out as nameless bytes.
_SCRIPTABLE = re.compile(
    r".*(?:html|svg|xml|script|flash|java|wasm|mathml|xsl|manifest|multipart|message|hta|xpi|x-sh\b).*", re.ASCII
)
_INVISIBLE = {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}  # line breaks, and marks that make names look like others


def served_type(detected: str) -> str:
    """The media type a content is served as.

    >>> served_type("image/png"), served_type("image/svg+xml"), served_type("text/html")
    ('image/png', 'application/octet-stream', 'application/octet-stream')
    """
    plain = detected.partition(";")[0].strip().lower()
    if not _TYPE.fullmatch(plain) or _SCRIPTABLE.fullmatch(plain):
        return UNKNOWN
    return plain


def served_disposition(detected: str, asked: Disposition = "inline") -> Disposition:
    """Whether a content is shown or downloaded: what is not on the inline list is never shown."""
    return "inline" if asked == "inline" and served_type(detected) in INLINE else "attachment"


def shown_name(name: str) -> str:
    """A file name that is one name on every system, and looks like what it is.

    >>> shown_name("../a\\u202egnp.exe"), shown_name('C:\\\\b"c.txt')
    ('agnp.exe', "b'c.txt")
    """
    last = re.split(r"[/\\]", name)[-1]
    visible = "".join(
        sign for sign in unicodedata.normalize("NFC", last) if unicodedata.category(sign) not in _INVISIBLE
    )
    return visible.replace('"', "'").strip(" .")[:150] or "file"


def content_disposition(disposition: Disposition, name: str) -> str:
    """The header with its name twice (RFC 6266, RFC 8187): for old clients in ASCII, for others as it is.

    >>> content_disposition("attachment", "Käse.png")
    'attachment; filename="Kase.png"; filename*=UTF-8\\'\\'K%C3%A4se.png'
    """
    shown = shown_name(name)
    ascii_name = path_name(shown)
    if ascii_name == shown:
        return f'{disposition}; filename="{shown}"'
    return f"{disposition}; filename=\"{ascii_name}\"; filename*=UTF-8''{quote(shown, safe='')}"


def path_name(name: str) -> str:
    """A file name as the last segment of a URL, in letters that are never escaped.

    >>> path_name("Käse & Brot.png")
    'Kase-Brot.png'
    """
    plain = unicodedata.normalize("NFKD", shown_name(name)).encode("ascii", "ignore").decode()
    return re.sub(r"[^A-Za-z0-9._]+", "-", plain).strip("-.")[:100] or "file"


def safe_headers(detected: str, asked: Disposition, name: str, *, public: bool = False) -> dict[str, str]:
    """The headers without which no content leaves the house."""
    return {
        "Content-Type": served_type(detected),
        "Content-Disposition": content_disposition(served_disposition(detected, asked), name),
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "sandbox; default-src 'none'",
        "Cross-Origin-Resource-Policy": "cross-origin" if public else "same-site",
        "Referrer-Policy": "no-referrer",
    }


def digest_header(digest: str) -> str:
    """A SHA-256 in hex as ``Repr-Digest`` and ``Content-Digest`` have it (RFC 9530).

    >>> digest_header("00" * 32)
    'sha-256=:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=:'
    """
    return f"sha-256=:{b64encode(bytes.fromhex(digest)).decode()}:"


def public_path(attachment: str, n: int, name: str, recipe: str = "") -> str:
    """Where a version's content lies for ever: another content has another path.

    >>> public_path("att_1", 3, "Front view.png")
    '/files/att_1/3/Front-view.png'
    """
    parts = ("files", attachment, str(n), *((recipe,) if recipe else ()), path_name(name))
    return "/" + "/".join(parts)
