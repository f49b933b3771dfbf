"""Tables and shapes of the API: who uses which version of it, and how much."""

from __future__ import annotations

from datetime import date, datetime

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


class Breaking(_Shape):
    """A client that calls what goes away with the sunset of a version it still uses."""

    client: str
    version: str
    sunset: date | None
    operations: list[str]
    calls: int
    last_at: datetime
