"""Tables and shapes of the API: who uses which version of it, and how much."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, ConfigDict
from sqlalchemy import BigInteger, Column, Date, String, Table

from mallcore.kernel.tables import UtcTime, metadata

usage = Table(
    "mall_api_usage",
    metadata,
    Column("day", Date, primary_key=True),
    Column("client", String(200), primary_key=True),
    Column("version", String(40), primary_key=True),
    Column("operation", String(200), primary_key=True),
    Column("field", String(200), primary_key=True),  # a deprecated one that was sent or shown; "" for the call itself
    Column("count", BigInteger, nullable=False),
    Column("last_at", UtcTime, nullable=False),
)


notice = Table(
    "mall_api_notice",
    metadata,
    Column("version", String(40), primary_key=True),
    Column("state", String(20), primary_key=True),
    Column("at", UtcTime, nullable=False),  # when hosts were told that the version is in this state
)


class _Shape(BaseModel):
    model_config = ConfigDict(frozen=True)


class Usage(_Shape):
    """How often a client used an operation in a version of the API, or (``field``) something deprecated in it."""

    client: str
    version: str
    state: str
    operation: str
    field: str | None = None
    count: int
    last_at: datetime


class Concerned(_Shape):
    """A client of a version, and the operations it calls there that are different, or gone, in another version."""

    client: str
    version: str
    operations: list[str]
    calls: int
    last_at: datetime


class Breakage(_Shape):
    """Who would break if a version were shut down today, and its callers went on with another."""

    version: str
    state: str
    sunset: datetime | None
    successor: str | None
    clients: list[Concerned]
