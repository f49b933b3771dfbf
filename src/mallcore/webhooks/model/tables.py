"""The outbox of events, subscriptions with their secrets, and deliveries."""

from __future__ import annotations

from sqlalchemy import Column, Index, Integer, String, Table, Text, text

from mallcore.kernel.tables import Id, Json, UtcTime, metadata

_UNSPREAD = text("spread_at IS NULL")
_WAITING = text("state = 'waiting'")
_DEAD = text("state = 'dead'")

outbox = Table(
    "mall_outbox",
    metadata,
    Column("id", Id, primary_key=True),  # evt_…: what receivers tell messages apart by, and the order they come in
    Column("event", String(100), nullable=False),
    Column("unit_id", Id),
    Column("channel_id", Id),
    Column("subject", String(300), nullable=False),
    Column("payload", Json, nullable=False),  # at HEAD; a subscriber's version is made of it when it is sent
    Column("at", UtcTime, nullable=False, index=True),
    Column("spread_at", UtcTime),  # when its deliveries were made; nothing: it waits for that
    Index("ix_mall_outbox_unspread", "id", sqlite_where=_UNSPREAD, postgresql_where=_UNSPREAD),
)

webhook = Table(
    "mall_webhook",
    metadata,
    Column("id", Id, primary_key=True),
    Column("url", Text, nullable=False),
    Column("events", Json, nullable=False),
    Column("unit_id", Id),
    Column("channel_id", Id),
    Column("version", String(40)),
    Column("description", String(500), nullable=False),
    Column("state", String(20), nullable=False),
    Column("reason", String(500)),
    Column("owner", String(200), nullable=False),
    Column("narrowed", Json),  # by what credential its owner was narrowed when it said where messages go
    Column("created_at", UtcTime, nullable=False),
    Column("changed_at", UtcTime, nullable=False),
    Column("failing_since", UtcTime),
    Column("paused_until", UtcTime),  # nothing is sent there before: it could not be reached
)

webhook_secret = Table(
    "mall_webhook_secret",
    metadata,
    Column("webhook_id", Id, primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("secret", String(200), nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Column("retires_at", UtcTime),
)

delivery = Table(
    "mall_webhook_delivery",
    metadata,
    Column("id", Id, primary_key=True),
    Column("webhook_id", Id, nullable=False),
    Column("event_id", Id, nullable=False),
    Column("event", String(100), nullable=False),
    Column("state", String(20), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("due_at", UtcTime, nullable=False),
    Column("claim", String(40)),  # who sends it now; whoever comes after `claimed_until` may take it over
    Column("claimed_until", UtcTime),
    Column("status", Integer),
    Column("error", String(500)),
    Column("created_at", UtcTime, nullable=False),
    Column("tried_at", UtcTime),
    Index("uq_mall_webhook_delivery_event_id", "webhook_id", "event_id", unique=True),
    Index("ix_mall_webhook_delivery_waiting", "webhook_id", "due_at", sqlite_where=_WAITING,
          postgresql_where=_WAITING),
    Index("ix_mall_webhook_delivery_event_id", "event_id"),
    Index("ix_mall_webhook_delivery_dead", "id", sqlite_where=_DEAD, postgresql_where=_DEAD),
)  # fmt: skip
