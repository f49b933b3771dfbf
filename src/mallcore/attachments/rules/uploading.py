"""Uploads that come in several requests: limits, what a ticket is bound to, checksums of parts."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from mallcore.errors import ContentMismatch, InvalidInput, LimitExceeded

MOST_PARTS = 10_000
LONGEST_META = 16_384  # bytes of its JSON
DEEPEST_META = 8
ALGORITHMS = ("sha256", "sha1")
"""Checksums a part may come with; tus demands sha1."""


class Checksum(NamedTuple):
    """What the sender says a part's digest is."""

    algorithm: str
    digest: bytes

    @property
    def name(self) -> str:
        """The algorithm as people write it."""
        return {"sha256": "SHA-256", "sha1": "SHA-1"}[self.algorithm]


def parsed_checksum(text: str) -> Checksum:
    """A checksum as tus writes it: the algorithm, a space, the digest in Base64.

    >>> parsed_checksum("sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0=").algorithm
    'sha1'
    """
    algorithm, _, encoded = text.partition(" ")
    if algorithm not in ALGORITHMS:
        raise InvalidInput(field="checksum", reason=f"it begins with one of: {', '.join(ALGORITHMS)}")
    try:
        digest = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        digest = b""
    if len(digest) != hashlib.new(algorithm, usedforsecurity=False).digest_size:
        raise InvalidInput(field="checksum", reason=f"it holds no {algorithm} digest in Base64")
    return Checksum(algorithm, digest)


def terms(method: str, size: int, sha256: str | None, declared_type: str | None, key: str) -> str:
    """A digest of all that a ticket allows: one request, for one content of one size and type, to one place."""
    parts = (method, str(size), sha256 or "", declared_type or "", key)
    return hashlib.sha256("\n".join(f"{len(part)}:{part}" for part in parts).encode()).hexdigest()


def refuse_beyond(what: str, actual: int, limit: int) -> None:
    """Raise `LimitExceeded` when there is more than there may be."""
    if actual > limit:
        raise LimitExceeded(what=what, actual=actual, limit=limit)


def refuse_other_type(declared: str | None, sent: str | None) -> None:
    """Raise `ContentMismatch` when the media type of the request is not the one that the ticket was made for."""
    if declared is not None and sent is not None and sent.strip().lower() != declared.strip().lower():
        raise ContentMismatch(what="media type", expected=declared, actual=sent[:100])


def checked_meta(meta: dict[str, Any] | None) -> dict[str, Any] | None:
    """The sender's own facts, if they are small, flat and JSON that every database can hold.

    >>> checked_meta({"alt": "A cover"})
    {'alt': 'A cover'}
    """
    if meta is None:
        return None
    for level, value in _values(meta):
        if level > DEEPEST_META:
            raise InvalidInput(field="meta", reason=f"it is nested deeper than {DEEPEST_META} levels")
        reason = _unstorable(value)
        if reason is not None:
            raise InvalidInput(field="meta", reason=reason)
    size = len(json.dumps(meta, ensure_ascii=False, separators=(",", ":")).encode())
    refuse_beyond("the size of the meta data in bytes", size, LONGEST_META)
    return meta


def _values(meta: Any) -> Iterator[tuple[int, Any]]:
    """All values and names with their levels; what lies too deep is not looked into."""
    stack: list[tuple[int, Any]] = [(1, meta)]
    while stack:
        level, value = stack.pop()
        yield level, value
        if isinstance(value, Mapping):
            stack += [(level, name if isinstance(name, str) else object()) for name in value]
            stack += [(level + 1, one) for one in value.values()]
        elif isinstance(value, list | tuple):
            stack += [(level + 1, one) for one in value]


def _unstorable(value: Any) -> str | None:
    if value is None or isinstance(value, bool | Mapping | list | tuple):
        return None
    if isinstance(value, str):
        broken = "\0" in value or any("\ud800" <= sign <= "\udfff" for sign in value)
        return "it holds a null byte or a lone surrogate" if broken else None
    if isinstance(value, float):
        return None if math.isfinite(value) else "it holds a number that JSON has not"
    if isinstance(value, int):
        return None if -(1 << 53) <= value <= 1 << 53 else "it holds a number beyond 2 to the power of 53"
    return "it is not JSON"
