"""Spreading: an event in the outbox becomes a delivery for each subscription that waits for it, once.

Rows are taken because they wait, not because they come behind the last one: transactions commit in another order than
they began. Where several may write at once, each dispatcher passes over the rows that another one holds.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from sqlalchemy import delete, exists, select, update
from sqlalchemy.dialects import postgresql, sqlite

from mallcore.kernel.context import Context
from mallcore.webhooks.model.tables import delivery, outbox, webhook
from mallcore.webhooks.operations.deliveries import new_delivery
from mallcore.webhooks.rules.matching import Wanted, wants

MOST = 200
MOST_DROPPED = 10_000
"""How many old events are dropped in one transaction."""
_WAITING = select(outbox.c.id).where(outbox.c.spread_at.is_(None)).limit(1)
_NEXT = select(outbox).where(outbox.c.spread_at.is_(None)).order_by(outbox.c.id).limit(MOST)
_ENABLED = select(webhook).where(webhook.c.state == "enabled")


def spread(ctx: Context) -> int:
    """Make the deliveries of the events that wait, in one transaction; returns how many events."""
    if ctx.execute(_WAITING).first() is None:
        return 0
    with ctx.apart() as own:
        rows = own.execute(_NEXT.with_for_update(skip_locked=True)).all()
        subscriptions = [(row.id, Wanted(frozenset(row.events), row.unit_id, row.channel_id))
                         for row in own.execute(_ENABLED).all()]  # fmt: skip
        made = [new_delivery(own, id, row.id, row.event) for row in rows for id, wanted in subscriptions
                if wants(wanted, row.event, row.unit_id, row.channel_id)]  # fmt: skip
        if made:
            _add(own, made)
        ids = own.backend.among(outbox.c.id, [row.id for row in rows])
        own.execute(update(outbox).where(ids).values(spread_at=own.now()))
    return len(rows)


def _add(ctx: Context, rows: list[dict[str, Any]]) -> None:
    dialect: Any = postgresql if ctx.backend.name == "postgres" else sqlite
    ctx.execute(dialect.insert(delivery).on_conflict_do_nothing(), rows)


def forget_old(ctx: Context, days: int) -> int:
    """Drop events older than so many days, with their deliveries; not those that wait to be sent. Returns how many."""
    events, deliveries, old = outbox.c, delivery.c, ctx.now() - timedelta(days=days)
    enabled = select(webhook.c.id).where(webhook.c.state == "enabled")
    waits = exists().where(
        deliveries.event_id == events.id, deliveries.state == "waiting", deliveries.webhook_id.in_(enabled)
    )
    gone = (events.at < old, events.spread_at.is_not(None), ~waits)
    with ctx.apart() as own:
        ids = list(own.execute(select(events.id).where(*gone).order_by(events.id).limit(MOST_DROPPED)).scalars())
        own.execute(delete(delivery).where(own.backend.among(deliveries.event_id, ids)))
        own.execute(delete(outbox).where(own.backend.among(events.id, ids)))
    return len(ids)
