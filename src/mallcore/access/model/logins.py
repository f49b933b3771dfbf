"""Tables and shapes of signing in: identities elsewhere, sessions here, and what counts only once."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict
from sqlalchemy import Column, Index, Integer, String, Table, Text, UniqueConstraint

from mallcore.kernel.tables import Id, UtcTime, metadata

identity = Table(
    "mall_identity",
    metadata,
    Column("id", Id, primary_key=True),
    Column("issuer", String(500), nullable=False),
    Column("subject", String(255), nullable=False),
    Column("principal", String(200), nullable=False, index=True),
    Column("provider", String(100), nullable=False),
    Column("about", Text, nullable=False),  # the e-mail address and the name, sealed
    Column("created_at", UtcTime, nullable=False),
    Column("last_at", UtcTime, nullable=False),
    UniqueConstraint("issuer", "subject"),
)

session = Table(
    "mall_session",
    metadata,
    Column("id", Id, primary_key=True),
    Column("digest", String(64), nullable=False, unique=True),  # keyed; the token itself is nowhere
    Column("principal", String(200), nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("identity", Id),
    Column("provider", String(100)),
    Column("provider_session", String(255)),
    Column("proof", Text),  # what the provider wants to see at logout, sealed
    Column("about", Text, nullable=False),  # address and user agent, sealed
    Column("created_at", UtcTime, nullable=False),
    Column("seen_at", UtcTime, nullable=False),
    Column("idle_until", UtcTime, nullable=False),
    Column("expires_at", UtcTime, nullable=False, index=True),
    Column("ended_at", UtcTime),
    Column("reason", String(40)),
    Index("ix_mall_session_principal_id", "principal", "id"),
    Index("ix_mall_session_identity", "identity"),
)

login_state = Table(
    "mall_login_state",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("expires_at", UtcTime, nullable=False, index=True),
)
"""What was used and must not be used again before it expires: states, tickets, messages of providers; as digests."""

EndReason = Literal["signed-out", "replaced", "ended", "everywhere", "provider", "unlinked"]


class _Shape(BaseModel):
    model_config = ConfigDict(frozen=True)


class IdentityInfo(_Shape):
    """A sign-in elsewhere that counts as a user here; ``email`` and ``name`` are what the provider said last."""

    id: str
    principal: str
    provider: str
    issuer: str
    subject: str
    email: str | None = None
    email_verified: bool = False
    name: str | None = None
    created_at: datetime
    last_at: datetime


class SessionInfo(_Shape):
    """A sign-in that is, or was, good for requests. ``seen_at`` may lag by a minute."""

    id: str
    principal: str
    identity: str | None = None
    provider: str | None = None
    current: bool = False
    created_at: datetime
    seen_at: datetime
    idle_until: datetime
    expires_at: datetime
    ended_at: datetime | None = None
    reason: str | None = None
    address: str | None = None
    user_agent: str | None = None
