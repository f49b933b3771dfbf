"""Table and shape of audit records."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict
from sqlalchemy import BigInteger, Column, Index, String, Table

from mallcore.kernel.tables import Id, Json, UtcTime, metadata

audit_record = Table(
    "mall_audit_record",
    metadata,
    Column("id", Id, primary_key=True),
    Column("at", UtcTime, nullable=False),
    Column("principal", String(200), nullable=False),
    Column("operation", String(100), nullable=False),
    Column("event", String(100), nullable=False),
    Column("outcome", String(10), nullable=False),
    Column("subject", String(200), nullable=False),
    Column("unit_id", Id),
    Column("channel_id", Id),
    Column("revision", BigInteger),
    Column("before", Json),
    Column("after", Json),
    Column("request_id", String(100), nullable=False),
    Index("ix_mall_audit_record_channel_id_id", "channel_id", "id"),
    Index("ix_mall_audit_record_principal_id", "principal", "id"),
    Index("ix_mall_audit_record_subject_id", "subject", "id"),
)


class Record(BaseModel):
    """One thing that was done, or refused (``outcome`` is ``ok`` or ``denied``)."""

    model_config = ConfigDict(frozen=True)

    id: str
    at: datetime
    principal: str
    operation: str
    event: str
    outcome: str
    subject: str
    unit_id: str | None = None
    channel_id: str | None = None
    revision: int | None = None
    before: dict[str, Any] | None = None
    after: dict[str, Any] | None = None
    request_id: str
