"""What is refused before its time: single tokens, families of tokens, all that a client got until now."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, func, select, update

from mallcore.access.model.oauth import oauth_denied
from mallcore.kernel.context import Context

TOKENS = "tokens"
LONGEST_TOKEN = 24 * 3600
"""Seconds an access token of ours is good at most: so long is a denial kept."""
_SEEN = select(func.count(), func.max(oauth_denied.c.at)).select_from(oauth_denied)


class DeniedTokens:
    """Port: says whether a token was taken back, from memory where this process hears of others' changes.

    A denial of a token or a family is for good; that of a client is of all it got up to that moment.
    """

    def __init__(
        self,
        connect: Callable[[], AbstractContextManager[Connection]],
        told: Callable[[], bool],
        clock: Callable[[], datetime],
    ) -> None:
        self._connect = connect
        self._told = told
        self._clock = clock
        self._known: Mapping[str, datetime] | None = None
        self._seen: Any = None
        self._generation = 0

    @property
    def ready(self) -> bool:
        """Whether the answer is in memory."""
        return self._known is not None and self._told()

    def refuses(self, ids: Iterable[str], client: str, issued_at: float) -> bool:
        """Whether a token is taken back, that bears these ids, belongs to this client and was issued then."""
        mine = f"client:{client}"
        known = self._of((*ids, mine))
        if any(id in known for id in ids):
            return True
        return mine in known and issued_at <= known[mine].timestamp()

    def forget(self) -> None:
        """Read anew from here on."""
        self._generation += 1
        self._known = None

    def look(self) -> None:
        """Forget, if something was denied elsewhere: for whoever only hears that something happened."""
        with self._connect() as connection:
            seen = tuple(connection.execute(_SEEN).one())
        if seen != self._seen:
            self._seen = seen
            self.forget()

    def _of(self, ids: tuple[str, ...]) -> Mapping[str, datetime]:
        if not self._told():
            return self._read(oauth_denied.c.id.in_(ids))
        known = self._known
        if known is None:
            generation = self._generation
            known = self._read(oauth_denied.c.until > self._clock())
            if generation == self._generation:
                self._known = known
        return known

    def _read(self, which: Any) -> Mapping[str, datetime]:
        with self._connect() as connection:
            rows = connection.execute(select(oauth_denied.c.id, oauth_denied.c.at).where(which))
            return {row.id: row.at for row in rows}


def first(ctx: Context, what: str) -> bool:
    """Whether this comes for the first time: it is noted as denied, so that it does not count again."""
    until = ctx.now() + timedelta(seconds=LONGEST_TOKEN)
    return ctx.add_new(oauth_denied, {"id": what, "at": ctx.now(), "until": until})


def deny_tokens(ctx: Context, id: str) -> None:
    """Refuse a token, a family (by its id) or what a client got until now (``client:…``), from this commit on."""
    until = ctx.now() + timedelta(seconds=LONGEST_TOKEN)
    if not ctx.add_new(oauth_denied, {"id": id, "at": ctx.now(), "until": until}):
        ctx.execute(update(oauth_denied).where(oauth_denied.c.id == id).values(at=ctx.now(), until=until))
    ctx.work.on_commit(ctx.port(DeniedTokens).forget)
    ctx.backend.announce(ctx.connection, f"{TOKENS} *")
