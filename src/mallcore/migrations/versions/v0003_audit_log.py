"""The audit log: leaves of records, the tree over them, its checkpoints, persons under keys of their own, edge logs."""

from __future__ import annotations

import os
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Add the tables and columns; records that are there enter the tree as they are met."""
    _records()
    _tree()
    _checkpoints()
    _subjects()
    _lines()
    _begin()
    op.execute("UPDATE mall_schema SET version = 3")


def _column(name: str, kind: Any, *, null: bool = False, key: bool = False) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=null, primary_key=key, autoincrement=False)


def _records() -> None:
    for name, kind in (
        ("jti", sa.String(64)),
        ("sealed", sa.Text),
        ("form", sa.Integer),
        ("leaf", sa.LargeBinary),
        ("log_index", sa.BigInteger),
    ):
        op.add_column("mall_audit_record", _column(name, kind, null=True))
    op.create_index("ix_mall_audit_record_jti", "mall_audit_record", ["jti"])
    op.create_index("ix_mall_audit_record_log_index", "mall_audit_record", ["log_index"])
    waiting = sa.text("log_index IS NULL")
    op.create_index(
        "ix_mall_audit_record_waiting", "mall_audit_record", ["id"], sqlite_where=waiting, postgresql_where=waiting
    )


def _tree() -> None:
    op.create_table(
        "mall_audit_head",
        _column("id", sa.Integer, key=True),
        _column("origin", sa.String(100)),
        _column("size", sa.BigInteger),
    )
    op.create_table(
        "mall_audit_tile",
        _column("level", sa.Integer, key=True),
        _column("number", sa.BigInteger, key=True),
        _column("hashes", sa.LargeBinary),
    )


def _checkpoints() -> None:
    op.create_table(
        "mall_audit_checkpoint",
        _column("size", sa.BigInteger, key=True),
        _column("note", sa.Text),
        _column("key_number", sa.Integer),
        _column("made_at", _TIME),
        _column("stored_at", _TIME, null=True),
        _column("failure", sa.String(1000), null=True),
    )


def _subjects() -> None:
    op.create_table(
        "mall_audit_subject",
        _column("pseudonym", sa.String(40), key=True),
        _column("lookup", sa.String(64), null=True),
        _column("key_number", sa.Integer),
        _column("wrapped", sa.String(200), null=True),
        _column("ref", sa.Text, null=True),
        _column("made_at", _TIME),
        _column("erased_at", _TIME, null=True),
    )
    op.create_index("ix_mall_audit_subject_lookup", "mall_audit_subject", ["lookup"])
    op.create_index("ix_mall_audit_subject_erased_at", "mall_audit_subject", ["erased_at"])


def _lines() -> None:
    op.create_table("mall_audit_line", _column("digest", sa.String(64), key=True))


def _begin() -> None:
    """A log needs a name that no other log has: its checkpoints are signed under it."""
    head = sa.table("mall_audit_head", sa.column("id"), sa.column("origin"), sa.column("size"))
    op.execute(head.insert().values(id=1, origin=f"mallcore/audit/{os.urandom(8).hex()}", size=0))
