"""The outbox: an event that somebody waits for is a row in its own transaction, so it is never lost and never a lie."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from sqlalchemy import insert, select

from mallcore.kernel.context import Context
from mallcore.kernel.events import Event
from mallcore.kernel.hooks import hookimpl
from mallcore.kernel.ids import new_id
from mallcore.webhooks.model.payloads import told
from mallcore.webhooks.model.tables import outbox, webhook
from mallcore.webhooks.rules.matching import Wanted, wants

TOPIC = "webhooks"
_ADD = insert(outbox)
_ANY = select(webhook.c.id).limit(1)
_WANTED = select(webhook.c.events, webhook.c.unit_id, webhook.c.channel_id)


class Interest:
    """Port: whether anybody waits for anything; a mall without subscriptions pays no statement for that.

    ``hears`` says whether this process hears of changes made by others; while it does not, the database is asked. Once
    there is any subscription, it is asked in each transaction which there are: what is committed there counts.
    """

    def __init__(self, hears: Callable[[], bool]) -> None:
        self._hears = hears
        self._anybody: bool | None = None
        self.generation = 0

    def anybody(self, ctx: Context) -> bool:
        """Whether there is any subscription, enabled or not: one that is not may be replayed to later."""
        known = self._anybody if self._hears() else None
        if known is None:
            generation = self.generation
            known = ctx.execute(_ANY).first() is not None
            self.notice(known, generation)
        return known

    def wanted(self, ctx: Context) -> list[Wanted]:
        """What the subscriptions wait for, as this transaction knows it."""
        local: list[Wanted] | None = ctx.work.local.get(TOPIC)
        if local is None:
            rows = ctx.execute(_WANTED).all() if self.anybody(ctx) else []
            local = [Wanted(frozenset(row.events), row.unit_id, row.channel_id) for row in rows]
            ctx.work.local[TOPIC] = local
        return local

    def changed(self, ctx: Context) -> None:
        """A subscription is made or changed here: this transaction knows at once, all others at its end."""
        ctx.work.local.pop(TOPIC, None)
        ctx.work.on_commit(self.forget)
        ctx.work.on_rollback(lambda: ctx.work.local.pop(TOPIC, None) and None)
        ctx.backend.announce(ctx.connection, f"{TOPIC} *")

    def notice(self, anybody: bool, generation: int) -> None:
        """Remember what was read, unless something changed since it was."""
        if generation == self.generation:
            self._anybody = anybody

    def forget(self) -> None:
        """Look anew from here on."""
        self.generation += 1
        self._anybody = None


def look(ctx: Context) -> None:
    """See whether there is a subscription now."""
    interest = ctx.port(Interest)
    generation = interest.generation
    interest.notice(ctx.execute(_ANY).first() is not None, generation)


class Outbox:
    """The plug-in that keeps an event for those who wait for it, in the event's transaction."""

    @hookimpl
    def event_recorded(self, ctx: Context, event: Event) -> None:
        """Keep it, if anybody waits for such a thing."""
        wanted = ctx.port(Interest).wanted(ctx)
        if any(wants(one, event.name, event.unit_id, event.channel_id) for one in wanted):
            row = row_of(event.name, event.subject, told(event), ctx.now())
            ctx.execute(_ADD, {**row, "unit_id": event.unit_id, "channel_id": event.channel_id})


def row_of(name: str, subject: str, payload: dict[str, Any], at: datetime) -> dict[str, Any]:
    """A row of the outbox, which waits to be spread."""
    return {"id": new_id("evt"), "event": name, "subject": subject[:300], "payload": payload, "at": at}
