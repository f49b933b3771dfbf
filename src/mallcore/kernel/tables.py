"""The one MetaData all tables live in, column types shared by packages, and the kernel's own table."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import JSON, Column, DateTime, Dialect, MetaData, String, Table, Text
from sqlalchemy.types import TypeDecorator

from mallcore.errors import InvalidInput

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# Not JSONB: that writes 1e20 as an integer and -0.0 as 0, and then rows are no longer what a digest was made of.
Json = JSON(none_as_null=True)
Id = String(40)


class UtcTime(TypeDecorator[datetime]):
    """An aware time, in UTC on the way in and out (SQLite keeps no time zone of its own)."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        try:
            return None if value is None else value.astimezone(UTC)
        except OverflowError:  # the edge of the calendar, in another zone
            raise InvalidInput(field="time", reason="it is beyond what can be stored") from None

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def canonical(value: Any) -> str:
    """JSON with one spelling for one value: sorted keys, no spaces, no NaN. What digests are made of.

    >>> canonical({"b": 1, "a": [None, "ü"]})
    '{"a":[null,"ü"],"b":1}'
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


idempotency = Table(
    "mall_idempotency",
    metadata,
    Column("principal", String(200), primary_key=True),
    Column("key", String(200), primary_key=True),
    Column("fingerprint", String(64), nullable=False),
    Column("result", Text),
    Column("at", UtcTime, nullable=False, index=True),
)
