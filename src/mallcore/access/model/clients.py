"""Tables and shapes of clients, and of the API keys by which they are recognised."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, SerializationInfo, field_serializer
from sqlalchemy import Boolean, Column, Integer, String, Table

from mallcore.kernel.tables import Id, Json, UtcTime, metadata

client = Table(
    "mall_client",
    metadata,
    Column("id", Id, primary_key=True),
    Column("name", String(200), nullable=False),
    Column("owner", String(200)),
    Column("contact", String(500)),
    Column("version", Integer, nullable=False),
    Column("created_by", String(200), nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Column("disabled_at", UtcTime),
)

api_key = Table(
    "mall_api_key",
    metadata,
    Column("id", Id, primary_key=True),  # the part of a key's text that is no secret, so this is how one is found
    Column("client_id", Id, nullable=False, index=True),
    Column("name", String(200), nullable=False),
    Column("digest", String(80), nullable=False),  # number of the pepper, point, HMAC-SHA-256 in hex
    Column("former", String(80)),
    Column("former_until", UtcTime),
    Column("scopes", Json),
    Column("units", Json),
    Column("channels", Json),
    Column("addresses", Json),
    Column("api_version", String(40)),
    Column("pin", Boolean, nullable=False),  # whether the first use sets the version
    Column("plan", String(100)),
    Column("expires_at", UtcTime),
    Column("version", Integer, nullable=False),
    Column("created_by", String(200), nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Column("revoked_at", UtcTime),
    Column("last_used_at", UtcTime),  # written now and then, so it raises no version
)


class _Shape(BaseModel):
    model_config = ConfigDict(frozen=True)


class Client(_Shape):
    """A program that uses the mall: a partner's, or one of the mall's own.

    ``principal`` is what it is granted roles as. Its id is made by the mall, so nobody inherits another's grants by
    choosing a name.
    """

    id: str
    principal: str
    name: str
    owner: str | None = Field(None, description="The principal that answers for it.")
    contact: str | None = Field(None, description="How to reach whoever runs it.")
    version: int
    created_by: str
    created_at: datetime
    disabled_at: datetime | None = None


class ApiKey(_Shape):
    """What may be known of an API key. Its limits only narrow what its client may do; nothing: no limit."""

    id: str
    client: str
    name: str
    state: Literal["active", "expired", "revoked"]
    scopes: list[str] | None = Field(None, description="Permissions, or patterns such as `structure.*`.")
    units: list[str] | None = Field(None, description="Ids of units.")
    channels: list[str] | None = Field(None, description="Ids of channels.")
    addresses: list[str] | None = Field(None, description="Where it may be used from.")
    api_version: str | None = Field(None, description="The version of the API that it speaks where it names none.")
    plan: str | None = Field(None, description="How often it may ask.")
    expires_at: datetime | None = None
    former_until: datetime | None = Field(None, description="Until when the secret before this one is good, too.")
    version: int
    created_by: str
    created_at: datetime
    revoked_at: datetime | None = None
    last_used_at: datetime | None = Field(None, description="Roughly: it is written now and then.")


class NewApiKey(ApiKey):
    """An API key with its secret, which is shown now and never again."""

    secret: Annotated[
        str | None,
        Field(
            repr=False,
            description="The whole key. Nothing, when this answers a request that came before: then rotate the key.",
        ),
    ] = None

    @field_serializer("secret")
    def _shown_once(self, value: str | None, info: SerializationInfo) -> str | None:
        return None if info.context and info.context.get("kept") else value
