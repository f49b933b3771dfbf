"""The foundation: units, channels, the structure with its history, drafts, schedules, snapshots, access, audit."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from alembic import context, op

from mallcore.kernel.ids import new_id

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_HASH_PARTITIONS = 32
_JSON = sa.JSON(none_as_null=True)
_TIME = sa.DateTime(timezone=True)
_ID = sa.String(40)


def upgrade() -> None:
    """Create everything, and the unit ``main`` that a mall begins with."""
    _kernel()
    _channels()
    _history()
    _drafts()
    _snapshots()
    _access()
    _audit()
    _begin()


def _column(name: str, kind: Any, *more: Any, null: bool = False, key: bool = False) -> sa.Column[Any]:
    return sa.Column(name, kind, *more, nullable=null, primary_key=key, autoincrement=False)


def _kernel() -> None:
    op.create_table(
        "mall_schema",
        _column("id", sa.Integer, key=True),
        _column("version", sa.Integer),
        _column("oldest", sa.Integer),
    )
    op.create_table(
        "mall_idempotency",
        _column("principal", sa.String(200), key=True),
        _column("key", sa.String(200), key=True),
        _column("fingerprint", sa.String(64)),
        _column("result", sa.Text, null=True),
        _column("at", _TIME),
    )
    op.create_index("ix_mall_idempotency_at", "mall_idempotency", ["at"])


def _channels() -> None:
    op.create_table(
        "mall_unit",
        _column("id", _ID, key=True),
        _column("slug", sa.String(100)),
        _column("name", sa.String(200)),
        _column("version", sa.Integer),
        _column("created_at", _TIME),
        sa.UniqueConstraint("slug", name="uq_mall_unit_slug"),
    )
    op.create_table(
        "mall_channel",
        _column("id", _ID, key=True),
        _column("unit_id", _ID, sa.ForeignKey("mall_unit.id", name="fk_mall_channel_unit_id")),
        _column("slug", sa.String(100)),
        _column("name", sa.String(200)),
        _column("locale", sa.String(35)),
        _column("currency", sa.String(3)),
        _column("head", sa.BigInteger),
        _column("digest", sa.String(64)),
        _column("created_at", _TIME),
        _column("revised_at", _TIME),
        _column("removed_at", _TIME, null=True),
        sa.UniqueConstraint("unit_id", "slug", name="uq_mall_channel_unit_id_slug"),
    )


def _history() -> None:
    """The two tables that grow: on PostgreSQL partitioned by channel, a list or 32 hash partitions."""
    by = "HASH" if context.config.attributes.get("partitions") == "hash" else "LIST"
    partitioned: dict[str, Any] = {"postgresql_partition_by": f"{by} (channel_id)"}
    op.create_table(
        "mall_revision",
        _column("channel_id", _ID, key=True),
        _column("number", sa.BigInteger, key=True),
        _column("author", sa.String(200)),
        _column("message", sa.String(1000)),
        _column("at", _TIME),
        _column("edits", sa.Text),
        _column("digest", sa.String(64)),
        **partitioned,
    )
    op.create_index("ix_mall_revision_channel_id_at", "mall_revision", ["channel_id", "at"])
    op.create_table(
        "mall_node",
        _column("channel_id", _ID, key=True),
        _column("node_id", _ID, key=True),
        _column("from_revision", sa.BigInteger, key=True),
        _column("to_revision", sa.BigInteger),
        _column("kind", sa.String(10)),
        _column("parent_id", _ID, null=True),
        _column("position", sa.BigInteger),
        _column("slug", sa.String(100)),
        _column("name", sa.String(200)),
        _column("external_id", sa.String(200), null=True),
        _column("translations", _JSON, null=True),
        _column("attributes", _JSON, null=True),
        _column("rules", _JSON, null=True),
        **partitioned,
    )
    op.create_index("ix_mall_node_channel_id_to_revision", "mall_node", ["channel_id", "to_revision"])
    op.create_index("ix_mall_node_channel_id_from_revision", "mall_node", ["channel_id", "from_revision"])
    if by == "HASH" and op.get_bind().dialect.name == "postgresql":
        for table in ("mall_revision", "mall_node"):
            for rest in range(_HASH_PARTITIONS):
                values = f"WITH (MODULUS {_HASH_PARTITIONS}, REMAINDER {rest})"
                op.execute(f"CREATE TABLE {table}_{rest:02d} PARTITION OF {table} FOR VALUES {values}")


def _drafts() -> None:
    op.create_table(
        "mall_draft",
        _column("id", _ID, key=True),
        _column("channel_id", _ID, sa.ForeignKey("mall_channel.id", name="fk_mall_draft_channel_id")),
        _column("name", sa.String(200)),
        _column("author", sa.String(200)),
        _column("base", sa.BigInteger),
        _column("edits", sa.Text),
        _column("state", sa.String(10)),
        _column("version", sa.Integer),
        _column("created_at", _TIME),
        _column("changed_at", _TIME),
        _column("revision", sa.BigInteger, null=True),
    )
    op.create_index("ix_mall_draft_channel_id", "mall_draft", ["channel_id"])
    op.create_table(
        "mall_schedule",
        _column("id", _ID, key=True),
        _column("channel_id", _ID, sa.ForeignKey("mall_channel.id", name="fk_mall_schedule_channel_id")),
        _column("action", sa.String(10)),
        _column("draft_id", _ID, null=True),
        _column("draft_version", sa.Integer, null=True),
        _column("revision", sa.BigInteger, null=True),
        _column("author", sa.String(200)),
        _column("message", sa.String(1000)),
        _column("at", _TIME),
        _column("state", sa.String(10)),
        _column("created_at", _TIME),
        _column("done_at", _TIME, null=True),
        _column("result", sa.BigInteger, null=True),
        _column("error", sa.Text, null=True),
    )
    op.create_index("ix_mall_schedule_channel_id", "mall_schedule", ["channel_id"])
    op.create_index("ix_mall_schedule_state_at", "mall_schedule", ["state", "at"])


def _snapshots() -> None:
    op.create_table(
        "mall_snapshot",
        _column("name", sa.String(100), key=True),
        _column("author", sa.String(200)),
        _column("message", sa.String(1000)),
        _column("at", _TIME),
    )
    op.create_table(
        "mall_snapshot_head",
        _column(
            "snapshot",
            sa.String(100),
            sa.ForeignKey("mall_snapshot.name", name="fk_mall_snapshot_head_snapshot"),
            key=True,
        ),
        _column("channel_id", _ID, sa.ForeignKey("mall_channel.id", name="fk_mall_snapshot_head_channel_id"), key=True),
        _column("revision", sa.BigInteger),
    )
    op.create_index("ix_mall_snapshot_head_channel_id", "mall_snapshot_head", ["channel_id"])


def _access() -> None:
    op.create_table(
        "mall_role",
        _column("name", sa.String(100), key=True),
        _column("permissions", _JSON),
        _column("version", sa.Integer),
    )
    op.create_table(
        "mall_access_grant",
        _column("id", _ID, key=True),
        _column("principal", sa.String(200)),
        _column("role", sa.String(100)),
        _column("scope", sa.String(10)),
        _column("scope_id", _ID, null=True),
        _column("channel_id", _ID, null=True),
        _column("author", sa.String(200)),
        _column("at", _TIME),
    )
    op.create_index("ix_mall_access_grant_principal", "mall_access_grant", ["principal"])
    op.create_index("ix_mall_access_grant_scope_scope_id", "mall_access_grant", ["scope", "scope_id"])


def _audit() -> None:
    op.create_table(
        "mall_audit_record",
        _column("id", _ID, key=True),
        _column("at", _TIME),
        _column("principal", sa.String(200)),
        _column("operation", sa.String(100)),
        _column("event", sa.String(100)),
        _column("outcome", sa.String(10)),
        _column("subject", sa.String(200)),
        _column("unit_id", _ID, null=True),
        _column("channel_id", _ID, null=True),
        _column("revision", sa.BigInteger, null=True),
        _column("before", _JSON, null=True),
        _column("after", _JSON, null=True),
        _column("request_id", sa.String(100)),
    )
    op.create_index("ix_mall_audit_record_channel_id_id", "mall_audit_record", ["channel_id", "id"])
    op.create_index("ix_mall_audit_record_principal_id", "mall_audit_record", ["principal", "id"])
    op.create_index("ix_mall_audit_record_subject_id", "mall_audit_record", ["subject", "id"])


def _begin() -> None:
    schema = sa.table("mall_schema", sa.column("id"), sa.column("version"), sa.column("oldest"))
    op.bulk_insert(schema, [{"id": 1, "version": 1, "oldest": 1}])
    names = ("id", "slug", "name", "version")
    unit = sa.table("mall_unit", *(sa.column(name) for name in names), sa.column("created_at", _TIME))
    op.bulk_insert(
        unit, [{"id": new_id("unt"), "slug": "main", "name": "Main", "version": 1, "created_at": datetime.now(UTC)}]
    )
