"""tus 1.0.0, the protocol of resumable uploads: what its headers say, and what is wrong with them."""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from collections.abc import Mapping
from typing import Any

from mallcore.api.rules.negotiation import media_type
from mallcore.api.rules.problems import Refused
from mallcore.errors import InvalidInput

VERSION = "1.0.0"
PATH = "/tus"
EXTENSIONS = "creation,creation-with-upload,creation-defer-length,expiration,checksum,termination"
ALGORITHMS = "sha1,sha256"
MEDIA_TYPE = "application/offset+octet-stream"
CHECKSUM_MISMATCH = 460
_LONGEST = 16_000  # characters of Upload-Metadata
_LONGEST_TOLD = 6_000
_KEY = re.compile(r"[!-+\--~]+")  # ASCII without spaces and commas, as tus has it
_NAMED = {"filename": "file_name", "name": "file_name", "filetype": "declared_type", "type": "declared_type"}
_OURS = frozenset({"owner", "slot", "unit", "sha256"})


def refuse_other_versions(headers: Mapping[str, str]) -> None:
    """412 unless the client speaks this version."""
    if headers.get("tus-resumable") != VERSION:
        error = InvalidInput(field="Tus-Resumable", reason=f"this server speaks {VERSION}")
        raise Refused(412, error, {"tus-version": VERSION})


def refuse_pieces(headers: Mapping[str, str]) -> None:
    """400 for an upload that shall be joined with others: it would be taken for a whole one."""
    if "upload-concat" in headers:
        raise _wrong("Upload-Concat", "this server joins no uploads: send the parts one after another")


def brings_a_part(headers: Mapping[str, str]) -> bool:
    """Whether the request that begins an upload brings its first bytes, too."""
    return media_type(headers.get("content-type", "")) == MEDIA_TYPE


def number(headers: Mapping[str, str], name: str) -> int | None:
    """The number in a header; nothing when there is none.

    >>> number({"upload-offset": "70"}, "Upload-Offset")
    70
    """
    text = headers.get(name.lower())
    if text is None:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) < 16):
        raise _wrong(name, "it must be a number of bytes")
    return int(text)


def length(headers: Mapping[str, str]) -> int | None:
    """How large the upload will be; nothing when that is to be told later. 400 when it is neither said nor put off."""
    found, deferred = number(headers, "Upload-Length"), headers.get("upload-defer-length")
    if (found is None) == (deferred is None) or deferred not in (None, "1"):
        raise _wrong("Upload-Length", "give it, or Upload-Defer-Length: 1")
    return found


def metadata(header: str) -> dict[str, str]:
    """The pairs of an ``Upload-Metadata`` header.

    >>> metadata("filename YS5wbmc=,is_draft")
    {'filename': 'a.png', 'is_draft': ''}
    """
    if len(header) > _LONGEST:
        raise _wrong("Upload-Metadata", f"it has more than {_LONGEST} characters")
    found: dict[str, str] = {}
    for pair in filter(None, (one.strip() for one in header.split(","))):
        key, _, value = pair.partition(" ")
        if key in found:
            raise _wrong("Upload-Metadata", f"{key[:40]!r} is there twice")
        found[key] = _decoded(key, value)
    return found


def _decoded(key: str, value: str) -> str:
    try:
        return b64decode(value, validate=True).decode()
    except ValueError:  # no Base64, no ASCII, or no UTF-8
        raise _wrong("Upload-Metadata", f"{key[:40]!r} is no text in Base64") from None


def begun_with(pairs: Mapping[str, str]) -> dict[str, Any]:
    """What an upload is begun with: names that clients use mean ours, what else there is goes into ``meta``.

    >>> begun_with({"filename": "a.png", "owner": "channel:books", "album": "May"})
    {'file_name': 'a.png', 'owner': 'channel:books', 'meta': {'album': 'May'}}
    """
    found: dict[str, Any] = {}
    meta: dict[str, str] = {}
    for key, value in pairs.items():
        if key in _NAMED:
            found.setdefault(_NAMED[key], value)
        elif key in _OURS:
            found[key] = value
        elif key != "relativePath":  # some clients send the word "null"
            meta[key] = value
    return {**found, "meta": meta} if meta else found


def metadata_header(pairs: Mapping[str, Any]) -> str:
    """The header of these pairs; what is nothing, or has no place in a header, is left out.

    >>> metadata_header({"filename": "a.png", "two words": "no"})
    'filename YS5wbmc='
    """
    told, length = [], 0
    for key, value in pairs.items():
        if value in (None, "") or not _KEY.fullmatch(key):
            continue
        pair = f"{key} {b64encode(str(value).encode()).decode()}"
        length += len(pair) + 1
        if length <= _LONGEST_TOLD:  # clients refuse answers with long headers
            told.append(pair)
    return ",".join(told)


def _wrong(name: str, reason: str) -> Refused:
    return Refused(400, InvalidInput(field=name, reason=reason))
