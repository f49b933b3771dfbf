"""Counting who uses which version of the API: in memory while requests are answered, in the database now and then."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from datetime import date, datetime
from typing import Any, NamedTuple

from sqlalchemy.dialects import postgresql, sqlite

from mallcore.api.model import usage
from mallcore.kernel.context import Context, Principal

_MOST = 10_000  # clients may be many, but they must not fill the memory
_SECONDS = 10.0
OTHERS = "others:*"


class _Key(NamedTuple):
    day: date
    client: str
    version: str
    operation: str
    field: str


def client_of(principal: Principal) -> str:
    """Under what name a caller is counted: a program by its own, people together, for what they do is their affair.

    >>> client_of(Principal.client("till")), client_of(Principal.user("ada"))
    ('client:till', 'user:*')
    """
    credential = principal.credential
    if credential is not None and credential.client is not None:
        return credential.client if ":" in credential.client else f"client:{credential.client}"
    return f"{principal.kind}:*" if principal.kind in ("user", "anonymous") else principal.ref


class Counter:
    """Port: counts calls. ``flush`` writes what was counted since, in one statement."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._counts: dict[_Key, list[Any]] = {}
        self._flushed = time.monotonic()

    @property
    def waiting(self) -> bool:
        """Whether there is anything to write."""
        return bool(self._counts)

    @property
    def due(self) -> bool:
        """Whether what there is has waited for long enough."""
        return self.waiting and time.monotonic() - self._flushed > _SECONDS

    def count(self, principal: Principal, version: str, operation: str, fields: Iterable[str] = ()) -> None:
        """One call, and the deprecated fields it used."""
        now = self._clock()
        client = client_of(principal)[:200]
        with self._lock:
            for name in ("", *fields):
                self._add(_Key(now.date(), client, version, operation, name[:200]), 1, now)

    def _add(self, key: _Key, times: int, at: datetime) -> None:
        if key not in self._counts and len(self._counts) >= _MOST:
            key = key._replace(client=OTHERS)
        found = self._counts.setdefault(key, [0, at])
        found[0] += times
        found[1] = max(found[1], at)

    def flush(self, ctx: Context) -> int:
        """Add what was counted to what is stored; returns how many rows. What a rollback takes is counted again."""
        with self._lock:
            counts, self._counts = self._counts, {}
            self._flushed = time.monotonic()
        if not counts:
            return 0
        ctx.work.on_rollback(lambda: self._put_back(counts))
        ctx.execute(_added(ctx), [{**key._asdict(), "count": n, "last_at": at} for key, (n, at) in counts.items()])
        return len(counts)

    def _put_back(self, counts: dict[_Key, list[Any]]) -> None:
        with self._lock:
            for key, (times, at) in counts.items():
                self._add(key, times, at)

    def forget_parent(self) -> None:
        """In a forked child: what the parent counted is the parent's to write."""
        self._lock = threading.Lock()
        self._counts = {}


def _added(ctx: Context) -> Any:
    dialect: Any = postgresql if ctx.backend.name == "postgres" else sqlite
    statement = dialect.insert(usage)
    new, table = statement.excluded, usage.c
    return statement.on_conflict_do_update(
        index_elements=list(usage.primary_key.columns),
        set_={"count": table.count + new.count, "last_at": new.last_at},
    )
