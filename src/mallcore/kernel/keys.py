"""The mall's own keys: root secrets by purpose and number, from which signing and sealing keys are derived.

A key is found by its number, so nobody ever tries one after the other. Rotation adds a number; the one before it still
verifies for as long as the overlap says. With the setting ``secret`` the rows hold ciphertext (AES-256-GCM).
"""

from __future__ import annotations

import base64
import os
import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from sqlalchemy import Column, Connection, Integer, String, Table, insert, select

from mallcore.errors import InvalidSettings, Unavailable, UnknownKey
from mallcore.kernel.tables import UtcTime, metadata

TOPIC = "keys"
PURPOSES = ("links", "subjects", "checkpoints", "credentials", "logins", "tokens")
"""What the mall keeps keys for: signed links and tickets, personal fields, checkpoints of the audit log, the digests of
what programs show as secrets, sessions of persons, and access tokens of our own authorization server."""

key = Table(
    "mall_key",
    metadata,
    Column("purpose", String(40), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("secret", String(200), nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Column("retires_at", UtcTime),
    Column("revoked_at", UtcTime),
)

_SEEN = select(key.c.purpose, key.c.number, key.c.retires_at, key.c.revoked_at).order_by(key.c.purpose, key.c.number)


@dataclass(frozen=True, slots=True)
class Key:
    """One root secret. ``retires_at`` is when it stops to verify: a newer one signs already."""

    purpose: str
    number: int
    secret: bytes = field(repr=False)
    created_at: datetime
    retires_at: datetime | None = None
    revoked_at: datetime | None = None

    def derive(self, use: str, length: int = 32) -> bytes:
        """A key for one use: HKDF-SHA-256 (RFC 5869) over the secret, bound to purpose and use."""
        info = f"mallcore/{self.purpose}/{use}".encode()
        return HKDF(algorithm=SHA256(), length=length, salt=None, info=info).derive(self.secret)


class Keyring:
    """The keys of a mall, in memory; forgotten when one changes anywhere.

    ``told`` says whether this process hears of changes made by others; while it does not, every look goes to the
    database. Reading uses a connection of its own, so it may happen in the middle of any unit of work.
    """

    def __init__(
        self,
        connect: Callable[[], AbstractContextManager[Connection]],
        told: Callable[[], bool],
        sealer: Sealer,
        clock: Callable[[], datetime],
    ) -> None:
        self._connect = connect
        self._told = told
        self._sealer = sealer
        self._clock = clock
        self._keys: dict[str, dict[int, Key]] = {}
        self._seen: Sequence[Any] = ()
        self.generation = 0

    def current(self, purpose: str) -> Key:
        """The key that signs now: the newest that is not revoked."""
        usable = [one for one in self._of(purpose).values() if one.revoked_at is None]
        if not usable:
            raise Unavailable(f"The mall has no key for {purpose}: rotate its keys to make one.", purpose=purpose)
        return max(usable, key=lambda one: one.number)

    def find(self, purpose: str, number: int) -> Key:
        """The key with this number, while it verifies; `UnknownKey` when it is retired, revoked or never was."""
        found = self._of(purpose).get(number)
        if found is None or found.revoked_at is not None:
            raise UnknownKey(purpose=purpose, key=number)
        if found.retires_at is not None and found.retires_at <= self._clock():
            raise UnknownKey(purpose=purpose, key=number)
        return found

    def every(self, purpose: str) -> list[Key]:
        """All keys there ever were for a purpose, oldest first; the revoked among them too."""
        return [self._of(purpose)[number] for number in sorted(self._of(purpose))]

    def forget(self) -> None:
        """Read keys anew from here on."""
        self.generation += 1
        self._keys = {}

    def look(self) -> None:
        """Forget what is known if a key has come, was retired or revoked: for whoever only hears that something did."""
        with self._connect() as connection:
            seen = connection.execute(_SEEN).all()
        if seen != self._seen:
            self._seen = seen
            self.forget()

    def _of(self, purpose: str) -> dict[int, Key]:
        known = self._keys.get(purpose) if self._told() else None
        if known is None:
            generation = self.generation
            known = self._read(purpose)
            if generation == self.generation:
                self._keys[purpose] = known
        return known

    def _read(self, purpose: str) -> dict[int, Key]:
        with self._connect() as connection:
            rows = connection.execute(select(key).where(key.c.purpose == purpose)).all()
        return {row.number: self._opened(row) for row in rows}

    def _opened(self, row: Any) -> Key:
        secret = self._sealer.open(row.secret, f"{row.purpose}/{row.number}")
        return Key(row.purpose, row.number, secret, row.created_at, row.retires_at, row.revoked_at)

    def row(self, purpose: str, number: int) -> dict[str, Any]:
        """A new key as a row, sealed."""
        secret = self._sealer.seal(os.urandom(32), f"{purpose}/{number}")
        return {"purpose": purpose, "number": number, "secret": secret, "created_at": self._clock()}

    def seal(self, content: bytes, about: str) -> str:
        """Another secret as text for a row, sealed as the keys are; it opens only as what it is about."""
        return self._sealer.seal(content, about)

    def open(self, text: str, about: str) -> bytes:
        """What `seal` was given; `InvalidSettings` when it was sealed under another setting ``secret``."""
        return self._sealer.open(text, about)

    def missing(self, connection: Connection, purposes: Iterable[str] = PURPOSES) -> list[str]:
        """The purposes that have no key yet."""
        there = set(connection.execute(select(key.c.purpose).distinct()).scalars())
        return [purpose for purpose in purposes if purpose not in there]

    def provide(self, connection: Connection) -> None:
        """Make the first key of every purpose that has none; the caller commits."""
        for purpose in self.missing(connection):
            connection.execute(insert(key), self.row(purpose, 1))
        self.forget()


class Sealer:
    """Seals secrets at rest under the setting ``secret``; without one they are only encoded."""

    def __init__(self, secret: str | None, old: str | None = None) -> None:
        self._secrets = [one for one in (secret, old) if one is not None]
        self._derived: dict[str, AESGCM] = {}
        self._lock = threading.Lock()

    @property
    def sealing(self) -> bool:
        """Whether there is a secret to seal with."""
        return bool(self._secrets)

    def seal(self, content: bytes, about: str) -> str:
        """The content as text that only this mall's secret opens, and only as what it is about."""
        if not self._secrets:
            return "plain:" + base64.b64encode(content).decode()
        nonce = os.urandom(12)
        sealed = self._cipher(self._secrets[0]).encrypt(nonce, content, about.encode())
        return "sealed:" + base64.b64encode(nonce + sealed).decode()

    def open(self, text: str, about: str) -> bytes:
        """What was sealed; `InvalidSettings` when it was sealed under another secret, or about something else."""
        kind, _, encoded = text.partition(":")
        content = base64.b64decode(encoded)
        if kind == "plain":
            return content
        for secret in self._secrets:
            try:
                return self._cipher(secret).decrypt(content[:12], content[12:], about.encode())
            except InvalidTag:
                continue
        raise InvalidSettings(setting="secret", reason="the keys in the database were sealed under another one")

    def _cipher(self, secret: str) -> AESGCM:
        with self._lock:
            if secret not in self._derived:
                found = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"mallcore/seal").derive(secret.encode())
                self._derived[secret] = AESGCM(found)
            return self._derived[secret]
