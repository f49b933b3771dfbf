"""What only this mall reads again: cookies and tickets it hands out, and what its rows say of persons."""

from __future__ import annotations

import base64
import binascii
import hmac
import json
import os
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from mallcore.errors import UnknownKey
from mallcore.kernel.keys import Key, Keyring

LOGINS, PERSONS = "logins", "subjects"
_NONCE = 12


@lru_cache(64)
def _derived(key: Key, use: str) -> bytes:
    return key.derive(use)


@lru_cache(64)
def _cipher(key: Key, use: str) -> AESGCM:
    return AESGCM(_derived(key, use))


def digest(key: Key, use: str, text: str) -> str:
    """What stands for a secret where it is looked for: of use to nobody without the key."""
    return hmac.digest(_derived(key, use), text.encode("utf-8", "replace"), "sha256").hex()


def seal(keyring: Keyring, purpose: str, use: str, value: Mapping[str, Any], about: str = "") -> str:
    """A JSON object that only this mall opens, and only for the same use, about the same thing."""
    key, nonce = keyring.current(purpose), os.urandom(_NONCE)
    content = _cipher(key, use).encrypt(nonce, json.dumps(value, separators=(",", ":")).encode(), about.encode())
    return f"{key.number}.{base64.urlsafe_b64encode(nonce + content).decode().rstrip('=')}"


def opened(keyring: Keyring, purpose: str, use: str, text: str, about: str = "") -> dict[str, Any] | None:
    """What was sealed; nothing, if it was not by this mall, for this use, by a key that still counts."""
    number, _, encoded = text.partition(".")
    if not number.isdecimal() or not number.isascii() or len(number) > 9:
        return None
    try:
        key = keyring.find(purpose, int(number))
        content = base64.b64decode(encoded + "=" * (-len(encoded) % 4), altchars=b"-_", validate=True)
        plain = _cipher(key, use).decrypt(content[:_NONCE], content[_NONCE:], about.encode())
    except (UnknownKey, InvalidTag, binascii.Error, ValueError):
        return None
    found: dict[str, Any] = json.loads(plain)
    return found
