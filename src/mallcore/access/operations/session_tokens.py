"""Whose a session's token is, asked with every request; when a session was last seen is noted in batches."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from typing import Any, NoReturn

from sqlalchemy import bindparam, update
from sqlalchemy.exc import SQLAlchemyError

from mallcore.access.model.logins import session as sessions
from mallcore.access.operations.sessions import Caller, Lives, of_token
from mallcore.access.rules.logins import PREFIX, why_over
from mallcore.errors import BadCredential, MallError
from mallcore.kernel.context import Context, Credential, Principal
from mallcore.kernel.events import AccessDenied
from mallcore.kernel.ports import Presented
from mallcore.kernel.sparing import Sparing, neighbourhood

SEEN_EVERY = timedelta(seconds=60)
_LATELY = timedelta(seconds=1)
"""So long the answer to one request counts: that asks about many things, and none of them takes longer."""
_MOST_NOTED = 1000
_SYSTEM = Principal.system("sessions")


class _Life:
    """Tells of a principal that was recognised by a session whether it would be, still: somebody may have kept it."""

    __slots__ = ("_at", "_token", "_tokens")

    def __init__(self, tokens: SessionTokens, token: str) -> None:
        self._tokens = tokens
        self._token = token
        self._at = tokens.now()

    def __call__(self, wait: bool) -> bool | None:
        now = self._tokens.now()
        if now - self._at < _LATELY:
            return True
        if not wait:
            return None
        good = self._tokens.lives(self._token)
        if good:
            self._at = now
        return good


class SessionTokens:
    """The `Verifier` of sessions. ``begin`` opens a unit of work; the database is asked every time.

    So the end of a session counts with the next request, in every process. A refusal goes on record.
    """

    def __init__(self, begin: Callable[..., AbstractContextManager[Context]], now: Callable[[], datetime]) -> None:
        self.now = now
        self._begin = begin
        self._sparing = Sparing(20, 300)
        self._noted: dict[str, datetime] = {}
        self._since: datetime | None = None
        self._lock = threading.Lock()

    def takes(self, token: str) -> bool:
        """Whether the token looks like a session's."""
        return token.startswith(PREFIX)

    def recall(self, presented: Presented) -> Principal | None:
        """Nothing: whether a session is over is always asked."""
        return None

    def verify(self, presented: Presented) -> Principal:
        """The user behind the token."""
        with self._begin(_SYSTEM, request_id=presented.request_id) as ctx:
            row, now = of_token(ctx, presented.token), ctx.now()
            why = "unknown" if row is None else self._why_over(ctx, row, now)
            if row is None or why is not None:
                self._refuse(ctx, row, why or "unknown", presented.address)
            due = self._note(row, now)
        if due:
            self.flush()
        return Principal(
            "user", row.principal.partition(":")[2], row.id, Credential(row.id, alive=_Life(self, presented.token))
        )

    def lives(self, token: str) -> bool:
        """Whether a session is good still. To ask is no use of it: a stream keeps none from being idle for too long."""
        with self._begin(_SYSTEM) as ctx:
            row = of_token(ctx, token)
            return row is not None and self._why_over(ctx, row, ctx.now()) is None

    def _refuse(self, ctx: Context, row: Any, why: str, address: str) -> NoReturn:
        """A token that is good no more may be a stolen one: whoever looks finds that it was shown."""
        withheld = self._sparing.take(neighbourhood(address))
        if withheld is not None:
            details = {**Caller(address).details, **({"withheld": withheld} if withheld else {})}
            subject, whose = ("session", "anonymous:*") if row is None else (row.id, row.principal)
            ctx.work.denials.append(AccessDenied(subject=subject, principal=whose, reason=why, details=details))
        raise BadCredential(reason="the session is over")

    def _why_over(self, ctx: Context, row: Any, now: datetime) -> str | None:
        seen = self._noted.get(row.id)
        lately = seen and seen + timedelta(seconds=ctx.port(Lives).idle_seconds)
        idle_until = max(row.idle_until, lately) if lately else row.idle_until
        return why_over(now, idle_until, row.expires_at, row.ended_at is not None, (row.epoch, row.current))

    def _note(self, row: Any, now: datetime) -> bool:
        """Remember that a session was seen; says whether it is time to write down what is noted."""
        with self._lock:
            if now - max(row.seen_at, self._noted.get(row.id, row.seen_at)) >= SEEN_EVERY:
                self._noted[row.id] = now
                self._since = self._since or now
            return self._since is not None and (now - self._since >= SEEN_EVERY or len(self._noted) >= _MOST_NOTED)

    def flush(self) -> None:
        """Write down which sessions were seen. While the database can't be written, that stays noted."""
        with self._lock:
            noted, self._noted, self._since = self._noted, {}, None
        if not noted:
            return
        try:
            self._write(noted)
        except (MallError, SQLAlchemyError):
            with self._lock:
                self._noted = {**noted, **self._noted}

    def _write(self, noted: dict[str, datetime]) -> None:
        with self._begin(_SYSTEM) as ctx:
            ctx.commanding = True
            idle = timedelta(seconds=ctx.port(Lives).idle_seconds)
            rows = [{"which": id, "at": at, "until": at + idle} for id, at in sorted(noted.items())]
            seen: dict[str, Any] = {"seen_at": bindparam("at"), "idle_until": bindparam("until")}
            which = (sessions.c.id == bindparam("which"), sessions.c.seen_at < bindparam("at"))
            ctx.execute(update(sessions).where(*which).values(seen), rows)
