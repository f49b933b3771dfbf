"""API keys, clients, tokens, sign-ins, webhooks, and who uses which version of the API."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Add tables; nothing that is there changes."""
    _usage()
    op.execute("UPDATE mall_schema SET version = 4")


def _column(name: str, kind: Any, *, null: bool = False, key: bool = False) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=null, primary_key=key, autoincrement=False)


def _usage() -> None:
    op.create_table(
        "mall_api_usage",
        _column("day", sa.Date, key=True),
        _column("client", sa.String(200), key=True),
        _column("version", sa.String(40), key=True),
        _column("operation", sa.String(200), key=True),
        _column("field", sa.String(200), key=True),
        _column("count", sa.BigInteger),
        _column("last_at", _TIME),
    )
