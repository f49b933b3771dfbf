"""API keys: making them for clients, narrowing, rotating with an overlap, revoking. Their secrets are shown once."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any, ClassVar

from pydantic import AwareDatetime, Field
from sqlalchemy import insert, select, update

from mallcore.access.model.clients import ApiKey, NewApiKey, api_key
from mallcore.access.operations.clients import ClientName, ClientRef, ExpectedRevision, IdempotencyKey, client_row
from mallcore.access.operations.grants import Places, known_permissions
from mallcore.access.operations.verifying import ApiKeys, ApiVersions, Plans, changed
from mallcore.access.operations.widening import refuse_wider
from mallcore.access.rules import api_keys as rules
from mallcore.access.rules import checked_permissions
from mallcore.errors import (
    Conflict,
    InvalidInput,
    NothingToDo,
    StaleRevision,
    UnknownApiKey,
    UnknownChannel,
    UnknownClient,
    UnknownUnit,
)
from mallcore.kernel.context import Context
from mallcore.kernel.events import Event
from mallcore.kernel.ids import new_id
from mallcore.kernel.operations import Rest, operation
from mallcore.kernel.paging import Cursor, Limit, Page, decode, page

OVERLAP = 7 * 24 * 3600
"""Seconds the secret before the newest stays good, when nothing else is said."""
FIRST_USE = "first-use"
ApiKeyRef = Annotated[str, Field(max_length=40, description="The key's id, which is no secret.")]
Patterns = Annotated[
    list[Annotated[str, Field(max_length=100)]] | None,
    Field(min_length=1, max_length=100, description="What it is good for: permissions, or patterns as in roles."),
]
_References = list[Annotated[str, Field(max_length=200)]] | None
UnitRefs = Annotated[
    _References, Field(min_length=1, max_length=200, description="It counts only there, and in `channels`.")
]
ChannelRefs = Annotated[
    _References, Field(min_length=1, max_length=200, description="It counts only there, and in `units`.")
]
End = Annotated[AwareDatetime | None, Field(description="When it ends; without it, when it is revoked.")]
Addresses = Annotated[
    list[Annotated[str, Field(max_length=60)]] | None,
    Field(min_length=1, max_length=rules.MOST_NETWORKS, description="Where it may be used from, as `192.0.2.0/24`."),
]
Version = Annotated[
    str | None,
    Field(max_length=40, description="The API version it speaks where it names none; `first-use`: the latest then."),
]
PlanName = Annotated[str | None, Field(max_length=100, description="How often it may ask: a plan of the settings.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKeyCreated(Event):
    """A client got an API key; ``after`` has its limits."""

    name: ClassVar[str] = "access.api_key_created"


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKeyChanged(Event):
    """What an API key may be used for was changed."""

    name: ClassVar[str] = "access.api_key_changed"


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKeyRotated(Event):
    """An API key got a new secret; ``after`` says until when the one before it is good."""

    name: ClassVar[str] = "access.api_key_rotated"


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKeyRevoked(Event):
    """An API key was revoked: it is accepted no more."""

    name: ClassVar[str] = "access.api_key_revoked"


@operation(permission="access.manage", kind="command",
           errors=(Conflict, InvalidInput, UnknownChannel, UnknownClient, UnknownUnit),
           rest=Rest("POST", "/api-keys", 201))  # fmt: skip
def create_api_key(
    ctx: Context,
    *,
    client: ClientRef,
    name: ClientName,
    scopes: Patterns = None,
    units: UnitRefs = None,
    channels: ChannelRefs = None,
    addresses: Addresses = None,
    api_version: Version = None,
    plan: PlanName = None,
    expires_at: End = None,
    idempotency_key: IdempotencyKey = None,
) -> NewApiKey:
    """Make a key for a client. What is given only narrows what the client's roles allow it; the secret is shown once.

    >>> till = create_client(ctx, name="Tills")
    >>> create_api_key(ctx, client=till.id, name="Till 4", scopes=["structure.read"]).secret[:8]
    'mk_live_'
    """
    whose = client_row(ctx, client)
    if whose.disabled_at is not None:
        raise Conflict("This client is disabled: enable it before it gets a key.")
    limits = _limits(ctx, scopes, units, channels, addresses, plan) | _pin(ctx, api_version)
    refuse_wider(ctx, limits["scopes"], "a key")
    id = new_id("key")
    secret, sealed = _secret(ctx, id)
    row = {
        "id": id,
        "client_id": whose.id,
        "name": name,
        "digest": sealed,
        **limits,
        "expires_at": _future(ctx, expires_at),
        "version": 1,
        "created_by": ctx.principal.ref,
        "created_at": ctx.now(),
    }
    ctx.execute(insert(api_key), row)
    ctx.record(ApiKeyCreated(subject=id, after={"client": f"client:{whose.id}", "name": name, **_told(row)}))
    changed(ctx)
    return NewApiKey(secret=secret, **_shown(ctx, key_row(ctx, id)))


@operation(permission="access.read", errors=(UnknownClient,), rest=Rest("GET", "/api-keys"))
def list_api_keys(
    ctx: Context, *, client: ClientRef | None = None, limit: Limit = 50, cursor: Cursor = None
) -> Page[ApiKey]:
    """API keys in the order they were made, of one client if asked; those that are no longer good among them."""
    query = select(api_key).order_by(api_key.c.id).limit(limit + 1)
    if client is not None:
        query = query.where(api_key.c.client_id == client_row(ctx, client).id)
    if cursor is not None:
        query = query.where(api_key.c.id > decode(cursor, str)[0])
    rows = ctx.execute(query).all()
    return page(rows, limit, lambda row: ApiKey(**_shown(ctx, row)), lambda row: (row.id,))


@operation(permission="access.read", errors=(UnknownApiKey,), rest=Rest("GET", "/api-keys/{api_key}"))
def get_api_key(ctx: Context, *, api_key: ApiKeyRef) -> ApiKey:
    """One API key, without its secret: that is nowhere."""
    return ApiKey(**_shown(ctx, key_row(ctx, api_key)))


@operation(permission="access.manage", kind="command",
           errors=(Conflict, InvalidInput, StaleRevision, UnknownApiKey, UnknownChannel, UnknownUnit),
           rest=Rest("PATCH", "/api-keys/{api_key}"))  # fmt: skip
def update_api_key(
    ctx: Context,
    *,
    api_key: ApiKeyRef,
    name: ClientName | None = None,
    scopes: Patterns = None,
    units: UnitRefs = None,
    channels: ChannelRefs = None,
    everywhere: Annotated[bool, Field(description="Take away its limits to units and channels.")] = False,
    addresses: Addresses = None,
    api_version: Version = None,
    plan: PlanName = None,
    expires_at: End = None,
    expected_revision: ExpectedRevision = None,
    idempotency_key: IdempotencyKey = None,
) -> ApiKey:
    """Change what a key may be used for, at once and everywhere; what is not given stays.

    All scopes are ``["*"]``, all addresses ``["0.0.0.0/0", "::/0"]``.
    """
    row = key_row(ctx, api_key)
    if row.revoked_at is not None:
        raise Conflict("This key is revoked: make another one.")
    limits = _limits(ctx, scopes, units, channels, addresses, plan) | _pin(ctx, api_version)
    kept = () if api_version is not None else ("api_version", "pin")
    values = {one: value for one, value in limits.items() if value is not None and one not in kept}
    if api_version == FIRST_USE:
        values["api_version"] = None
    if everywhere:
        _refuse_both(units, channels)
        values |= {"units": None, "channels": None}
    refuse_wider(ctx, values.get("scopes", row.scopes), "a key")
    more = {"name": name, "expires_at": _future(ctx, expires_at)}
    values |= {one: value for one, value in more.items() if value is not None}
    _store(ctx, row, values, expected_revision)
    ctx.record(ApiKeyChanged(subject=row.id, before=_told(row._mapping, values), after=_told(values, values)))
    return ApiKey(**_shown(ctx, key_row(ctx, row.id)))


@operation(permission="access.manage", kind="command", errors=(Conflict, StaleRevision, UnknownApiKey),
           rest=Rest("POST", "/api-keys/{api_key}/rotate"))  # fmt: skip
def rotate_api_key(
    ctx: Context,
    *,
    api_key: ApiKeyRef,
    overlap_seconds: Annotated[int, Field(ge=0, le=365 * 24 * 3600)] = OVERLAP,
    idempotency_key: IdempotencyKey = None,
) -> NewApiKey:
    """Give a key a new secret, which is shown once. The one before it stays good until the overlap ends.

    Two secrets are good at most: one that was replaced earlier ends now. With an overlap of 0, so do all.
    """
    row = key_row(ctx, api_key)
    if rules.state(row.revoked_at, row.expires_at, ctx.now()) != "active":
        raise Conflict("This key is revoked or has expired: make another one.")
    refuse_wider(ctx, row.scopes, "a key")
    secret, sealed = _secret(ctx, row.id)
    until = ctx.now() + timedelta(seconds=overlap_seconds)
    former = (
        {"former": row.digest, "former_until": until} if overlap_seconds else {"former": None, "former_until": None}
    )
    _store(ctx, row, {"digest": sealed, **former}, None)
    ctx.record(ApiKeyRotated(subject=row.id, after={"overlap_until": until.isoformat()}))
    return NewApiKey(secret=secret, **_shown(ctx, key_row(ctx, row.id)))


@operation(permission="access.manage", kind="command", errors=(NothingToDo, StaleRevision, UnknownApiKey),
           rest=Rest("DELETE", "/api-keys/{api_key}"))  # fmt: skip
def revoke_api_key(ctx: Context, *, api_key: ApiKeyRef, idempotency_key: IdempotencyKey = None) -> ApiKey:
    """Accept a key no more, with none of its secrets, from the moment this is committed."""
    row = key_row(ctx, api_key)
    if row.revoked_at is not None:
        raise NothingToDo("This key is revoked already.")
    _store(ctx, row, {"revoked_at": ctx.now(), "former": None, "former_until": None}, None)
    ctx.record(ApiKeyRevoked(subject=row.id, before={"revoked": False}, after={"revoked": True}))
    return ApiKey(**_shown(ctx, key_row(ctx, row.id)))


def key_row(ctx: Context, id: str) -> Any:
    """The row of an API key; `UnknownApiKey` when there is none."""
    row = ctx.execute(select(api_key).where(api_key.c.id == id)).one_or_none()
    if row is None:
        # Somebody may have put the whole key here: what is said and logged of it must not hold its secret.
        raise UnknownApiKey(api_key=id if id.startswith("key_") else id[:8] + "…")
    return row


def _secret(ctx: Context, id: str) -> tuple[str, str]:
    """A new text of a key, and what is kept of it."""
    text = rules.written(id, os.urandom(32))
    parts = rules.parsed(text)
    assert parts is not None
    return text, ctx.port(ApiKeys).sealed(parts.secret)


def _limits(
    ctx: Context,
    scopes: list[str] | None,
    units: list[str] | None,
    channels: list[str] | None,
    addresses: list[str] | None,
    plan: str | None,
) -> dict[str, Any]:
    """Limits as they are kept; refuses what this mall does not have."""
    places = ctx.port(Places)
    if plan is not None and plan not in ctx.port(Plans).names:
        raise InvalidInput(field="plan", reason=f"the settings have no plan {plan!r}")
    return {
        "scopes": None if scopes is None else list(checked_permissions(scopes, known_permissions(ctx), "scopes")),
        "units": _ids(places.unit(ctx, one) for one in units) if units is not None else None,
        "channels": _ids(places.node(ctx, one, None)[1] for one in channels) if channels is not None else None,
        "addresses": None if addresses is None else rules.checked_networks(addresses),
        "plan": plan,
    }


def _ids(found: Iterable[str]) -> list[str]:
    return sorted(set(found))


def _pin(ctx: Context, version: str | None) -> dict[str, Any]:
    versions = ctx.port(ApiVersions)
    if version == FIRST_USE and versions.latest() is not None:
        return {"api_version": None, "pin": True}
    if version is not None and not versions.known(version):
        raise InvalidInput(field="api_version", reason=f"this mall's API has no version {version!r} that is served")
    return {"api_version": version, "pin": False}


def _future(ctx: Context, expires_at: datetime | None) -> datetime | None:
    if expires_at is not None and expires_at <= ctx.now():
        raise InvalidInput(field="expires_at", reason="it is past")
    return expires_at


def _refuse_both(units: list[str] | None, channels: list[str] | None) -> None:
    if units is not None or channels is not None:
        raise InvalidInput(field="everywhere", reason="it takes away limits, so give no units and channels with it")


def _store(ctx: Context, row: Any, values: dict[str, Any], expected: int | None) -> None:
    if expected is not None and expected != row.version:
        raise StaleRevision(expected=expected, actual=row.version)
    mine = (api_key.c.id == row.id, api_key.c.version == row.version)
    if ctx.execute(update(api_key).where(*mine).values(version=row.version + 1, **values)).rowcount != 1:
        raise StaleRevision(expected=row.version, actual=key_row(ctx, row.id).version)
    changed(ctx)


_TOLD = ("name", "scopes", "units", "channels", "addresses", "api_version", "plan", "expires_at")


def _told(row: Any, only: Iterable[str] = _TOLD) -> dict[str, Any]:
    """What the record of a key says: its limits, never its secret."""
    found = {name: row[name] for name in _TOLD if name in only and row.get(name) is not None}
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in found.items()}


def _shown(ctx: Context, row: Any) -> dict[str, Any]:
    hidden = ("client_id", "digest", "former", "pin")
    found = {name: value for name, value in row._mapping.items() if name not in hidden}
    found["api_version"] = FIRST_USE if row.pin else row.api_version
    return {**found, "client": row.client_id, "state": rules.state(row.revoked_at, row.expires_at, ctx.now())}
