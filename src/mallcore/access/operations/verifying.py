"""Recognising clients by their API keys: from memory as long as this process hears of changes made by others."""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import datetime
from typing import Any, NamedTuple, NoReturn

from sqlalchemy import Connection, bindparam, func, select, update

from mallcore.access.model.clients import api_key, client
from mallcore.access.rules import api_keys as rules
from mallcore.errors import BadCredential, MallError, UnknownKey
from mallcore.kernel.context import Context, Credential, Principal
from mallcore.kernel.events import AccessDenied
from mallcore.kernel.keys import Keyring
from mallcore.kernel.ports import Presented
from mallcore.kernel.sparing import Sparing, neighbourhood
from mallcore.kernel.ticking import Ticker

log = logging.getLogger("mallcore.access")
CREDENTIALS = "credentials"
PURPOSE = "credentials"
Begin = Callable[..., AbstractContextManager[Context]]
_MOST = 20_000  # rows and accepted keys in memory
_MISSING_SECONDS = 10.0
_WRITE_SECONDS = 15.0
_UNTOLD_SECONDS = 1.0  # how long a key is taken to be alive where changes made by others are not heard of
_KEYS = select(api_key, client.c.disabled_at).join(client, client.c.id == api_key.c.client_id)
_NO_DIGEST = "0." + "0" * 64


class _Accepted(NamedTuple):
    """A key that was proven, by the digest of its whole text."""

    principal: Principal
    id: str
    until: datetime | None
    networks: tuple[rules.Network, ...]


class _Memory:
    """What is known until something changes. Who is still reading then writes into one that nobody looks at."""

    __slots__ = ("accepted", "keys", "missing", "peppers", "rows", "whole")

    def __init__(self, keys: int) -> None:
        self.keys = keys
        """The generation of the keyring."""
        self.accepted: dict[bytes, _Accepted] = {}
        self.rows: dict[str, Any] = {}
        self.whole = False
        """Whether the rows are all there are."""
        self.missing: dict[str, float] = {}
        self.peppers: dict[int, bytes] = {}


class _Life:
    """Tells of a principal that was recognised by a key whether it would be, still: somebody may have kept it."""

    __slots__ = ("_credential", "_id", "_kept", "_keys", "_memory", "_until", "_when")

    def __init__(self, keys: ApiKeys, memory: _Memory, row: Any, kept: str, until: datetime | None) -> None:
        self._keys = keys
        self._memory = memory
        self._id = row.id
        self._kept = kept
        self._until = until
        self._credential = _credential(row)
        self._when = time.monotonic()

    def __call__(self, wait: bool) -> bool | None:
        if self._until is not None and self._until <= self._keys.now():
            return False
        if self._memory is self._keys.memory or (
            time.monotonic() - self._when < _UNTOLD_SECONDS and not self._keys.told()
        ):
            return True
        return self._ask() if wait else None

    def _ask(self) -> bool:
        memory, row = self._keys.known(self._id)
        if row is None or row.revoked_at is not None or row.disabled_at is not None:
            return False
        if self._kept not in (row.digest, row.former) or _credential(row) != self._credential:
            return False
        self._memory, self._when = memory, time.monotonic()
        self._until = _end(row, self._kept)
        return self._until is None or self._until > self._keys.now()


class ApiVersions:
    """Port: which versions of the API a key can be pinned to. Without one that knows some, to none."""

    def known(self, version: str) -> bool:
        """Whether there is such a version, and it is served."""
        return False

    def latest(self) -> str | None:
        """What a key is pinned to that is pinned at its first use."""
        return None


class Plans:
    """Port: the names of the plans that limit how often a client may ask."""

    def __init__(self, names: Iterable[str] = ()) -> None:
        self.names = frozenset(names)


class ApiKeys:
    """The verifier of API keys.

    Every look at the database takes all keys, so that whoever guesses is answered from memory, and learns nothing from
    how long that takes. Of a mall with very many, it takes one at a time, and remembers for a while which are none.
    """

    def __init__(
        self,
        connect: Callable[[], AbstractContextManager[Connection]],
        told: Callable[[], bool],
        keyring: Keyring,
        clock: Callable[[], datetime],
        begin: Begin,
        versions: ApiVersions,
    ) -> None:
        self._connect = connect
        self._told = told
        self._keyring = keyring
        self._clock = clock
        self._begin = begin
        self._versions = versions
        self._sparing = Sparing(20, 300)
        self._lock = threading.Lock()
        self._used: dict[str, datetime] = {}
        self._writer: Ticker | None = None
        self._seen: tuple[Any, ...] = ()
        self._memory = _Memory(keyring.generation)

    def forget(self) -> None:
        """Read keys anew from here on."""
        self._memory = _Memory(self._keyring.generation)

    @property
    def _known(self) -> _Memory:
        """What is in memory: nothing, while changes made by others are not heard of."""
        if not self._told():
            return _Memory(0)
        if self._memory.keys != self._keyring.generation:
            self.forget()
        return self._memory

    @property
    def memory(self) -> Any:
        """What is in memory now: another object after every change."""
        return self._memory

    def told(self) -> bool:
        """Whether changes made by others are heard of."""
        return self._told()

    def now(self) -> datetime:
        """The time."""
        return self._clock()

    def known(self, id: str) -> tuple[Any, Any]:
        """A key as it is now, and the memory in which that is known."""
        memory = self._known
        return memory, self._row(memory, id)

    def notice(self, seen: tuple[Any, ...]) -> None:
        """Forget, if what can be seen of clients and keys at a glance is not what it was."""
        if seen != self._seen:
            self._seen = seen
            self.forget()

    def takes(self, token: str) -> bool:
        """Whether it begins as our keys do."""
        return token.startswith(rules.PREFIX)

    def recall(self, presented: Presented) -> Principal | None:
        """Whose key it is, if it was proven before and nothing has changed since."""
        memory = self._memory
        if not self._told() or memory.keys != self._keyring.generation:
            memory = self._known
        known = memory.accepted.get(_fingerprint(presented.token))
        if known is None:
            return None
        now = self._clock()
        if known.until is not None and known.until <= now:
            return None
        if known.networks and not rules.comes_from(presented.address, known.networks):
            return None
        self._used[known.id] = now
        return known.principal

    def verify(self, presented: Presented) -> Principal:
        """Whose key it is; `BadCredential`, put on record, when it is not to be accepted."""
        found = self.recall(presented)
        if found is not None:
            return found
        parts = rules.parsed(presented.token)
        if parts is None:
            self._refuse(presented, "checksum", None)
        memory, row = self.known(parts.id)
        reason, kept, until = self._judged(memory, row, parts.secret, presented.address)
        if reason is not None:
            self._refuse(presented, reason, row)
        if row.pin:
            row = self._pinned(row)
        credential = replace(_credential(row), alive=_Life(self, memory, row, kept, until))
        principal = Principal("client", row.client_id, credential=credential)
        if len(memory.accepted) < _MOST:
            ranges = rules.networks(row.addresses or ())
            memory.accepted[_fingerprint(presented.token)] = _Accepted(principal, row.id, until, ranges)
        self._note(row.id)
        return principal

    def _judged(self, memory: _Memory, row: Any, secret: str, address: str) -> tuple[str | None, str, datetime | None]:
        """Why the key is refused, if it is; the digest that fits, and until when it is good. The secret comes first."""
        now = self._clock()
        current = self._matches(memory, _NO_DIGEST if row is None else row.digest, secret)
        former = self._matches(memory, _NO_DIGEST if row is None else row.former or _NO_DIGEST, secret)
        if row is None or not (current or former):
            return "unknown" if row is None else "secret", "", None
        refusals = {
            "revoked": row.revoked_at is not None,
            "disabled": row.disabled_at is not None,
            "rotated": not current and (row.former_until is None or row.former_until <= now),
            "expired": row.expires_at is not None and row.expires_at <= now,
            "address": bool(row.addresses) and not rules.comes_from(address, rules.networks(row.addresses)),
        }
        refusal = next((reason for reason, so in refusals.items() if so), None)
        kept = row.digest if current else row.former
        return refusal, kept, _end(row, kept)

    def _matches(self, memory: _Memory, kept: str, secret: str) -> bool:
        number, _, wanted = kept.partition(".")
        return rules.same(rules.digest(self._pepper(memory, int(number)), secret), wanted)

    def _pepper(self, memory: _Memory, number: int) -> bytes:
        """The pepper with this number; one that makes nothing match, when there is none any more."""
        found = memory.peppers.get(number)
        if found is None:
            try:
                found = self._keyring.find(PURPOSE, number).derive("api-keys")
            except UnknownKey:
                found = b"none"
            memory.peppers[number] = found
        return found

    def sealed(self, secret: str) -> str:
        """What is kept of a new secret, under the newest pepper."""
        newest = self._keyring.current(PURPOSE)
        return f"{newest.number}.{rules.digest(newest.derive('api-keys'), secret)}"

    def _row(self, memory: _Memory, id: str) -> Any:
        if memory is not self._memory:  # it is nobody's: nothing is kept
            return self._read(id)
        if not memory.whole and not memory.rows:
            self._read_all(memory)
        known = memory.rows.get(id)
        if known is not None or memory.whole or time.monotonic() < memory.missing.get(id, 0.0):
            return known
        found = self._read(id)
        if found is None:
            if len(memory.missing) >= _MOST:
                memory.missing.clear()
            memory.missing[id] = time.monotonic() + _MISSING_SECONDS
        return found

    def _read_all(self, memory: _Memory) -> None:
        with self._connect() as connection:
            rows = connection.execute(_KEYS.limit(_MOST + 1)).all()
        memory.rows = {row.id: row for row in rows[:_MOST]}
        memory.whole = len(rows) <= _MOST

    def _read(self, id: str) -> Any:
        with self._connect() as connection:
            return connection.execute(_KEYS.where(api_key.c.id == id)).one_or_none()

    def _pinned(self, row: Any) -> Any:
        """The key, pinned to the version that is the latest at its first use."""
        with self._begin(Principal.system("access")) as ctx:
            ctx.commanding = True
            values = {"api_version": self._versions.latest(), "pin": False, "version": api_key.c.version + 1}
            ctx.execute(update(api_key).where(api_key.c.id == row.id, api_key.c.pin).values(**values))
            changed(ctx)
        return self._read(row.id)

    def _refuse(self, presented: Presented, reason: str, row: Any) -> NoReturn:
        withheld = self._sparing.take(neighbourhood(presented.address))
        if withheld is not None:
            whose = Principal.anonymous() if row is None else Principal.client(row.client_id)
            details = {"withheld": withheld, "address": presented.address}
            told = {name: value for name, value in details.items() if value}
            event = AccessDenied(
                subject="api-key" if row is None else row.id, principal=whose.ref, reason=reason, details=told
            )
            self._record(event, presented.request_id)
        raise BadCredential(reason=rules.REASONS[reason])

    def _record(self, event: AccessDenied, request_id: str | None) -> None:
        try:
            with self._begin(Principal.system("access"), request_id=request_id) as ctx:
                ctx.record(event)
        except MallError:
            log.exception("a refused API key could not be put on record")

    def _note(self, id: str) -> None:
        """Remember that a key was used; that is written in batches, by a thread that the first use starts."""
        self._used[id] = self._clock()
        if self._writer is None:
            with self._lock:
                if self._writer is None:
                    self._writer = Ticker(self.write_used, _WRITE_SECONDS, "mallcore-api-keys")
                    self._writer.start()

    def write_used(self) -> None:
        """Write when keys were last used, of all that were since this was done last."""
        used, self._used = self._used, {}
        if used:
            column = api_key.c.last_used_at
            later = (column.is_(None)) | (column < bindparam("used"))
            statement = (
                update(api_key).where(api_key.c.id == bindparam("key"), later).values(last_used_at=bindparam("used"))
            )
            with self._begin(Principal.system("access")) as ctx:
                ctx.commanding = True
                ctx.execute(statement, [{"key": id, "used": at} for id, at in sorted(used.copy().items())])

    def close(self) -> None:
        """Stop, and write what is not written yet."""
        if self._writer is not None:
            self._writer.stop()
            self.write_used()

    def forget_parent(self) -> None:
        """In a forked child: the thread stayed with the parent, and what it was to write, too."""
        self._lock, self._writer, self._used = threading.Lock(), None, {}
        self.forget()


def _fingerprint(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "replace")).digest()


def _end(row: Any, kept: str) -> datetime | None:
    """When a key ends for whoever has the secret of this digest."""
    ends = (row.expires_at, None if kept == row.digest else row.former_until)
    return min((one for one in ends if one is not None), default=None)


def _credential(row: Any) -> Credential:
    def limit(values: list[str] | None) -> frozenset[str] | None:
        return None if values is None else frozenset(values)

    scopes, units, channels = (limit(getattr(row, name)) for name in ("scopes", "units", "channels"))
    return Credential(row.id, scopes, units, channels, row.api_version, row.plan, row.client_id)


def look_at_credentials(ctx: Context) -> None:
    """See whether clients or keys changed: every change adds one, or raises a version."""
    seen = [
        ctx.execute(select(func.count(), func.sum(table.c.version)).select_from(table)).one()
        for table in (client, api_key)
    ]
    ctx.port(ApiKeys).notice(tuple(tuple(one) for one in seen))


def changed(ctx: Context) -> None:
    """Clients or keys are changed: everybody forgets what they know of them, when this is committed."""
    ctx.work.on_commit(ctx.port(ApiKeys).forget)
    ctx.backend.announce(ctx.connection, f"{CREDENTIALS} *")
