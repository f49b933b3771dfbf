"""Signatures of the Standard Webhooks scheme: HMAC-SHA-256 over id, time and body, under each secret that lives."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Iterable

PREFIX = "whsec_"
LENGTH = 32


def secret_of(key: bytes) -> str:
    """A secret as its owner writes it down.

    >>> secret_of(bytes(3))
    'whsec_AAAA'
    """
    return PREFIX + base64.b64encode(key).decode()


def signature(key: bytes, id: str, timestamp: int, body: bytes) -> str:
    """One signature, with the name of its kind."""
    signed = hmac.digest(key, f"{id}.{timestamp}.".encode() + body, hashlib.sha256)
    return "v1," + base64.b64encode(signed).decode()


def headers(keys: Iterable[bytes], id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The three headers of a message; while a secret is rotated there are several signatures.

    >>> headers([b"old", b"new"], "evt_1", 0, b"{}")["webhook-signature"].count("v1,")
    2
    """
    return {
        "webhook-id": id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(signature(key, id, timestamp, body) for key in keys),
    }
