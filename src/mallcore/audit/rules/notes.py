"""Checkpoints as C2SP tlog-checkpoint writes them: a note of origin, size and root, signed with Ed25519.

Stands on `cryptography`, beside the standard library.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from mallcore.errors import InvalidInput

_ED25519 = b"\x01"
_BODY = re.compile(r"([^\n+]+)\n(0|[1-9][0-9]{0,17})\n([A-Za-z0-9+/]{43}=)\n(?:[^\n]+\n)*")
_SIGNATURE = re.compile(r"— ([^ \n+]+) ([A-Za-z0-9+/]+={0,2})")


class Signature(NamedTuple):
    """A line below a note: whose, by which key, and the signature."""

    name: str
    key_id: bytes
    content: bytes


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A signed note: how long a log was, and the root of its tree then. ``text`` is all of it."""

    origin: str
    size: int
    root: bytes
    body: str
    signatures: tuple[Signature, ...]
    text: str


@dataclass(frozen=True, slots=True)
class VerificationKey:
    """What verifies the checkpoints of a log: its name, and an Ed25519 public key."""

    name: str
    public: bytes

    @property
    def id(self) -> bytes:
        """The four bytes by which signatures name the key."""
        return sha256(self.name.encode() + b"\n" + _ED25519 + self.public).digest()[:4]

    def __str__(self) -> str:
        return f"{self.name}+{self.id.hex()}+{base64.b64encode(_ED25519 + self.public).decode()}"


def verification_key(text: str) -> VerificationKey:
    """The key that C2SP's ``vkey`` form holds."""
    name, _, rest = text.strip().partition("+")
    key_id, _, encoded = rest.partition("+")
    try:
        content = base64.b64decode(encoded, validate=True)
    except binascii.Error:
        content = b""
    found = VerificationKey(name, content[1:])
    if content[:1] != _ED25519 or len(content) != 33 or found.id.hex() != key_id:
        raise InvalidInput(field="key", reason="it is no Ed25519 vkey: NAME+HASH+KEY, as `audit keys` shows it")
    return found


def public_key(name: str, seed: bytes) -> VerificationKey:
    """What verifies the signatures made with a secret of 32 bytes."""
    return VerificationKey(name, Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw())


def signed(origin: str, size: int, root: bytes, seed: bytes) -> str:
    """The checkpoint of a log, signed in its own name. One log of one size has one text: Ed25519 draws no lots."""
    body = f"{origin}\n{size}\n{base64.b64encode(root).decode()}\n"
    key = Ed25519PrivateKey.from_private_bytes(seed)
    content = public_key(origin, seed).id + key.sign(body.encode())
    return f"{body}\n— {origin} {base64.b64encode(content).decode()}\n"


def checkpoint(text: str) -> Checkpoint:
    """Read a note; `InvalidInput` when it has not the form of a checkpoint."""
    body, empty, below = text.partition("\n\n")
    match = _BODY.fullmatch(body + "\n")
    lines = [_SIGNATURE.fullmatch(line) for line in below.removesuffix("\n").split("\n")]
    if not empty or match is None or not all(lines):
        raise InvalidInput(field="checkpoint", reason="it is no signed note of an origin, a size and a root")
    signatures = tuple(_signature(line) for line in lines if line is not None)
    return Checkpoint(match[1], int(match[2]), base64.b64decode(match[3]), body + "\n", signatures, text)


def _signature(line: re.Match[str]) -> Signature:
    try:
        content = base64.b64decode(line[2], validate=True)
    except binascii.Error:
        content = b""
    return Signature(line[1], content[:4], content[4:])


def checkpoints(text: str) -> list[Checkpoint]:
    """All notes of a file, one behind the other."""
    parts = re.split(r"(?<=\n)(?=[^\n—][^\n]*\n[0-9]+\n)", text)
    return [checkpoint(part.strip("\n") + "\n") for part in parts if part.strip()]


def signer(found: Checkpoint, keys: Iterable[VerificationKey]) -> VerificationKey | None:
    """The key by which the note is signed; nothing when none of the keys is named in it.

    Raises `InvalidSignature` when a signature names one of the keys and is not its.
    """
    for one in found.signatures:
        for key in keys:
            if (one.name, one.key_id) == (key.name, key.id):
                Ed25519PublicKey.from_public_bytes(key.public).verify(one.content, found.body.encode())
                return key
    return None


def is_signed(found: Checkpoint, keys: Sequence[VerificationKey]) -> bool:
    """Whether one of the keys made the checkpoint."""
    try:
        return signer(found, keys) is not None
    except InvalidSignature:
        return False
