"""Tables and shapes of OAuth2: clients, codes, families of refresh tokens, consents, what is denied."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Boolean, Column, Integer, String, Table

from mallcore.kernel.tables import Id, Json, UtcTime, metadata

oauth_client = Table(
    "mall_oauth_client",
    metadata,
    Column("client", String(180), primary_key=True),
    Column("auth_method", String(40), nullable=False),
    Column("grant_types", Json, nullable=False),
    Column("redirect_uris", Json, nullable=False),
    Column("scopes", Json, nullable=False),
    Column("secret", String(64)),  # a digest, as the one below
    Column("old_secret", String(64)),
    Column("old_secret_until", UtcTime),
    Column("jwks", Json),
    Column("trusted", Boolean, nullable=False),
    Column("introspects", Boolean, nullable=False),
    Column("version", Integer, nullable=False),
    Column("created_at", UtcTime, nullable=False),
)

oauth_code = Table(
    "mall_oauth_code",
    metadata,
    Column("digest", String(64), primary_key=True),
    Column("client", String(180), nullable=False),
    Column("principal", String(200), nullable=False),
    Column("redirect_uri", String(600)),  # nothing: the request named none
    Column("scopes", Json, nullable=False),
    Column("challenge", String(43), nullable=False),
    Column("family", Id, nullable=False),
    Column("until", UtcTime, nullable=False, index=True),
    Column("used_at", UtcTime),
)

oauth_family = Table(
    "mall_oauth_family",
    metadata,
    Column("id", Id, primary_key=True),
    Column("client", String(180), nullable=False, index=True),
    Column("principal", String(200), nullable=False, index=True),
    Column("scopes", Json, nullable=False),
    Column("at", UtcTime, nullable=False),
    Column("until", UtcTime, nullable=False, index=True),
    Column("ended_at", UtcTime),
)

oauth_refresh = Table(
    "mall_oauth_refresh",
    metadata,
    Column("digest", String(64), primary_key=True),
    Column("family", Id, nullable=False, index=True),
    Column("until", UtcTime, nullable=False),
    Column("used_at", UtcTime),
)

oauth_consent = Table(
    "mall_oauth_consent",
    metadata,
    Column("principal", String(200), primary_key=True),
    Column("client", String(180), primary_key=True),
    Column("scopes", Json, nullable=False),
    Column("at", UtcTime, nullable=False),
)

oauth_denied = Table(
    "mall_oauth_denied",
    metadata,
    Column("id", String(200), primary_key=True),  # of a token, of a family, or `client:…`
    Column("at", UtcTime, nullable=False),
    Column("until", UtcTime, nullable=False, index=True),
)


class _Shape(BaseModel):
    model_config = ConfigDict(frozen=True)


class OAuthClient(_Shape):
    """How a client asks for tokens, and what it may get; its secret is known to itself alone.

    ``scopes`` are what it may ask for at most. A ``trusted`` one is the host's own: nobody is asked for consent.
    One that ``introspects`` may ask about any token, as an API elsewhere that gets them.
    """

    client: str
    name: str
    auth_method: str
    grant_types: list[str]
    redirect_uris: list[str]
    scopes: list[str]
    jwks: dict[str, Any] | None = None
    trusted: bool = False
    introspects: bool = False
    old_secret_until: datetime | None = None
    version: int = 1
    created_at: datetime


class OAuthSecret(_Shape):
    """A client's new secret, shown this once: only its digest is kept."""

    client: OAuthClient
    secret: str | None = Field(default=None, repr=False)


class OAuthConsent(_Shape):
    """What somebody lets a client do in their name."""

    principal: str
    client: str
    scopes: list[str]
    at: datetime
