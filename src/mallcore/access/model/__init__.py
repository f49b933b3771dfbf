"""Tables and shapes of access."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict
from sqlalchemy import Column, Index, Integer, String, Table

from mallcore.kernel.tables import Id, Json, UtcTime, metadata

role = Table(
    "mall_role",
    metadata,
    Column("name", String(100), primary_key=True),
    Column("permissions", Json, nullable=False),
    Column("version", Integer, nullable=False),
)

access_grant = Table(
    "mall_access_grant",
    metadata,
    Column("id", Id, primary_key=True),
    Column("principal", String(200), nullable=False, index=True),
    Column("role", String(100), nullable=False),
    Column("scope", String(10), nullable=False),
    Column("scope_id", Id),
    Column("channel_id", Id),
    Column("author", String(200), nullable=False),
    Column("at", UtcTime, nullable=False),
    Index("ix_mall_access_grant_scope_scope_id", "scope", "scope_id"),
)

session_epoch = Table(
    "mall_session_epoch",
    metadata,
    Column("principal", String(200), primary_key=True),
    Column("epoch", Integer, nullable=False),  # how often its sessions were ended: links name the one they belong to
    Column("at", UtcTime, nullable=False),
)


class _Shape(BaseModel):
    model_config = ConfigDict(frozen=True)


class Role(_Shape):
    """A named set of permissions."""

    name: str
    permissions: list[str]
    built_in: bool
    version: int = 1


class Grant(_Shape):
    """A role that a principal holds somewhere; ``scope_id`` is a unit's, channel's or node's id (mall: nothing)."""

    id: str
    principal: str
    role: str
    scope: str
    scope_id: str | None = None
    channel_id: str | None = None
    granted_by: str
    granted_at: datetime


class Bounds(_Shape):
    """The units and channels outside of which a credential counts for nothing."""

    units: list[str]
    channels: list[str]


class Permission(_Shape):
    """Where the caller holds a permission: in these places, as far as they lie ``within`` what else bounds it."""

    permission: str
    everywhere: bool
    units: list[str]
    channels: list[str]
    nodes: list[str]
    within: Bounds | None = None


class Permissions(_Shape):
    """What the caller may do."""

    principal: str
    permissions: list[Permission]
    credential: str | None = None


class KeyInfo(_Shape):
    """What may be known of a key: not its secret. The newest signs, those before it only verify, until they retire."""

    purpose: str
    number: int
    state: Literal["signing", "verifying", "retired", "revoked"]
    created_at: datetime
    retires_at: datetime | None = None
    revoked_at: datetime | None = None


class SessionsEnded(_Shape):
    """How often the sessions of a principal were ended, and when last."""

    principal: str
    epoch: int
    at: datetime
