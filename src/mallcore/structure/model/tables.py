"""The tables of the structure. On PostgreSQL `revision` and `node` are partitioned by channel (see the migrations)."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Integer, String, Table, Text, UniqueConstraint

from mallcore.kernel.tables import Id, Json, UtcTime, metadata

OPEN = 2**63 - 1  # to_revision of a node version that is still in force

unit = Table(
    "mall_unit",
    metadata,
    Column("id", Id, primary_key=True),
    Column("slug", String(100), nullable=False, unique=True),
    Column("name", String(200), nullable=False),
    Column("version", Integer, nullable=False),
    Column("created_at", UtcTime, nullable=False),
)

channel = Table(
    "mall_channel",
    metadata,
    Column("id", Id, primary_key=True),
    Column("unit_id", Id, ForeignKey("mall_unit.id"), nullable=False),
    Column("slug", String(100), nullable=False),
    Column("name", String(200), nullable=False),
    Column("locale", String(35), nullable=False),
    Column("currency", String(3), nullable=False),
    Column("head", BigInteger, nullable=False),
    Column("digest", String(64), nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Column("revised_at", UtcTime, nullable=False),
    Column("removed_at", UtcTime),
    UniqueConstraint("unit_id", "slug"),
)

revision = Table(
    "mall_revision",
    metadata,
    Column("channel_id", Id, primary_key=True),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("author", String(200), nullable=False),
    Column("message", String(1000), nullable=False),
    Column("at", UtcTime, nullable=False),
    Column("edits", Text, nullable=False),
    Column("digest", String(64), nullable=False),
    Index("ix_mall_revision_channel_id_at", "channel_id", "at"),
)

node = Table(
    "mall_node",
    metadata,
    Column("channel_id", Id, primary_key=True),
    Column("node_id", Id, primary_key=True),
    Column("from_revision", BigInteger, primary_key=True, autoincrement=False),
    Column("to_revision", BigInteger, nullable=False),
    Column("kind", String(10), nullable=False),
    Column("parent_id", Id),
    Column("position", BigInteger, nullable=False),
    Column("slug", String(100), nullable=False),
    Column("name", String(200), nullable=False),
    Column("external_id", String(200)),
    Column("translations", Json),
    Column("attributes", Json),
    Column("rules", Json),
    Index("ix_mall_node_channel_id_to_revision", "channel_id", "to_revision"),
    Index("ix_mall_node_channel_id_from_revision", "channel_id", "from_revision"),
)

draft = Table(
    "mall_draft",
    metadata,
    Column("id", Id, primary_key=True),
    Column("channel_id", Id, ForeignKey("mall_channel.id"), nullable=False, index=True),
    Column("name", String(200), nullable=False),
    Column("author", String(200), nullable=False),
    Column("base", BigInteger, nullable=False),
    Column("edits", Text, nullable=False),
    Column("state", String(10), nullable=False),
    Column("version", Integer, nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Column("changed_at", UtcTime, nullable=False),
    Column("revision", BigInteger),
)

schedule = Table(
    "mall_schedule",
    metadata,
    Column("id", Id, primary_key=True),
    Column("channel_id", Id, ForeignKey("mall_channel.id"), nullable=False, index=True),
    Column("action", String(10), nullable=False),
    Column("draft_id", Id),
    Column("draft_version", Integer),
    Column("revision", BigInteger),
    Column("author", String(200), nullable=False),
    Column("message", String(1000), nullable=False),
    Column("at", UtcTime, nullable=False),
    Column("state", String(10), nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Column("done_at", UtcTime),
    Column("result", BigInteger),
    Column("error", Text),
    Index("ix_mall_schedule_state_at", "state", "at"),
)

snapshot = Table(
    "mall_snapshot",
    metadata,
    Column("name", String(100), primary_key=True),
    Column("author", String(200), nullable=False),
    Column("message", String(1000), nullable=False),
    Column("at", UtcTime, nullable=False),
)

snapshot_head = Table(
    "mall_snapshot_head",
    metadata,
    Column("snapshot", String(100), ForeignKey("mall_snapshot.name"), primary_key=True),
    Column("channel_id", Id, ForeignKey("mall_channel.id"), primary_key=True, index=True),
    Column("revision", BigInteger, nullable=False),
)
