"""Subscriptions: made, changed and removed; their secrets, rotated with an overlap; and a ping to try them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import Field
from sqlalchemy import ColumnElement, delete, func, insert, or_, select, update

from mallcore.errors import InvalidInput, LimitExceeded, UnknownChannel, UnknownUnit, UnknownWebhook
from mallcore.kernel.context import Context, Credential, Principal
from mallcore.kernel.ids import new_id
from mallcore.kernel.keys import Keyring
from mallcore.kernel.operations import Rest, anywhere, operation
from mallcore.kernel.paging import Cursor, Limit, Page, decode, page
from mallcore.kernel.ports import Reach, Subject
from mallcore.kernel.reaching import seen
from mallcore.webhooks.hooks import Payloads, Places
from mallcore.webhooks.model.payloads import known_events
from mallcore.webhooks.model.shapes import (
    Description,
    IdempotencyKey,
    NewWebhook,
    Patterns,
    Secret,
    Url,
    Version,
    Webhook,
    WebhookId,
)
from mallcore.webhooks.model.tables import delivery, webhook_secret
from mallcore.webhooks.model.tables import webhook as webhooks
from mallcore.webhooks.operations.happened import (
    PING,
    SecretRotated,
    WebhookChanged,
    WebhookCreated,
    WebhookRemoved,
)
from mallcore.webhooks.operations.outbox import Interest
from mallcore.webhooks.rules.egress import Egress
from mallcore.webhooks.rules.matching import checked_patterns
from mallcore.webhooks.rules.signing import LENGTH, secret_of

MANAGE, READ = "webhooks.manage", "webhooks.read"
MOST = 1000
LIVING = 3
"""How many secrets of one subscription sign at once; the oldest ends when there is one more."""
OVERLAP = 24 * 3600
_Reference = Annotated[str | None, Field(max_length=7000)]


def of_scope(ctx: Context, given: Mapping[str, Any]) -> Subject:
    """Subject: the unit or channel that a new subscription is about."""
    return Subject(*_scope(ctx, given.get("unit"), given.get("channel")))


def of_webhook(ctx: Context, given: Mapping[str, Any]) -> Subject:
    """Subject: the unit or channel that a subscription is about."""
    row = webhook_row(ctx, given["webhook"])
    return Subject(row.unit_id, row.channel_id)


def _scope(ctx: Context, unit: str | None, channel: str | None) -> tuple[str | None, str | None]:
    if channel is not None:
        unit_id, channel_id, _ = ctx.port(Places).node(ctx, channel, None)
        return unit_id, channel_id
    return (None, None) if unit is None else (ctx.port(Places).unit(ctx, unit), None)


def webhook_row(ctx: Context, id: str) -> Any:
    """The row of a subscription; `UnknownWebhook` when there is none."""
    row = ctx.execute(select(webhooks).where(webhooks.c.id == id)).one_or_none()
    if row is None:
        raise UnknownWebhook(webhook=id)
    return row


def within(reach: Reach) -> ColumnElement[bool]:
    """Condition: subscriptions within reach."""
    return seen(reach, webhooks.c.unit_id, webhooks.c.channel_id)


def shape(row: Any) -> Webhook:
    """A subscription as callers see it."""
    names = set(Webhook.model_fields) - {"unit", "channel"}
    return Webhook(unit=row.unit_id, channel=row.channel_id, **{name: getattr(row, name) for name in names})


@operation(permission=MANAGE, kind="command", subject=of_scope,
           errors=(InvalidInput, LimitExceeded, UnknownChannel, UnknownUnit),
           rest=Rest("POST", "/webhooks", 201))  # fmt: skip
def create_webhook(
    ctx: Context,
    *,
    url: Url,
    events: Patterns,
    unit: _Reference = None,
    channel: _Reference = None,
    version: Version | None = None,
    description: Description = "",
    idempotency_key: IdempotencyKey = None,
) -> NewWebhook:
    """Have events sent to a URL, signed with a secret that is shown this once.

    A message is sent only while the subscription's owner, who is the caller, may read what it is about. With ``unit``
    or ``channel`` only what happens there is sent; ``version`` pins the shapes to a version of the API.

    >>> made = create_webhook(ctx, url="https://shop.example/hooks", events=["structure.*"], channel="books")
    >>> made.secret.startswith("whsec_"), made.state
    (True, 'enabled')
    """
    _refuse_too_many(ctx)
    unit_id, channel_id = _scope(ctx, unit, channel)
    row = {
        **_checked(ctx, url, events),
        **_owner(ctx),
        "version": ctx.port(Payloads).version(version),
        "id": new_id("whk"),
        "unit_id": unit_id,
        "channel_id": channel_id,
        "description": description,
        "state": "enabled",
        "created_at": ctx.now(),
        "changed_at": ctx.now(),
    }
    ctx.execute(insert(webhooks), row)
    made = _new_secret(ctx, row["id"], 1)
    ctx.port(Interest).changed(ctx)
    after = {"host": ctx.port(Egress).target(url).host, "events": row["events"], "owner": row["owner"]}
    ctx.record(WebhookCreated(subject=row["id"], unit_id=unit_id, channel_id=channel_id, after=after))
    return NewWebhook(**shape(webhook_row(ctx, row["id"])).model_dump(), secret=made)


def _refuse_too_many(ctx: Context) -> None:
    found = ctx.execute(select(func.count()).select_from(webhooks)).scalar_one()
    if found >= MOST:
        raise LimitExceeded(what="The number of webhooks", actual=found + 1, limit=MOST)


def _checked(ctx: Context, url: str, events: list[str]) -> dict[str, Any]:
    """Where to, and what: refused here if no message could ever go there. Its name is looked up when one does."""
    ctx.port(Egress).target(url)
    return {"url": url, "events": list(checked_patterns(events, [*known_events(), PING]))}


def _owner(ctx: Context) -> dict[str, Any]:
    """In whose name messages are sent: the caller's, with what narrows it now."""
    if ctx.principal.kind == "anonymous":
        raise InvalidInput(field="owner", reason="nobody in particular can't own a webhook: sign in")
    credential = ctx.principal.credential
    narrowed = None
    if credential is not None:
        parts = {name: getattr(credential, name) for name in ("scopes", "units", "channels")}
        told = {"id": credential.id, "client": credential.client}
        narrowed = {**told, **{name: one and sorted(one) for name, one in parts.items()}}
    return {"owner": ctx.principal.ref, "narrowed": narrowed}


def owner_of(row: Any) -> Principal:
    """The owner of a subscription, as far as it was let when it said where messages go."""
    kind, _, id = row.owner.partition(":")
    if row.narrowed is None:
        return Principal(kind, id)
    scopes, units, channels = (
        None if row.narrowed[name] is None else frozenset(row.narrowed[name])
        for name in ("scopes", "units", "channels")
    )
    return Principal(kind, id, credential=Credential(row.narrowed["id"], scopes, units, channels))


@operation(permission=READ, subject=anywhere, rest=Rest("GET", "/webhooks"))
def list_webhooks(ctx: Context, *, limit: Limit = 50, cursor: Cursor = None) -> Page[Webhook]:
    """The subscriptions the caller may see, in the order they were made."""
    query = select(webhooks).where(within(ctx.reach(READ))).order_by(webhooks.c.id).limit(limit + 1)
    if cursor is not None:
        query = query.where(webhooks.c.id > decode(cursor, str)[0])
    return page(ctx.execute(query).all(), limit, shape, lambda row: (row.id,))


@operation(permission=READ, subject=of_webhook, errors=(UnknownWebhook,), rest=Rest("GET", "/webhooks/{webhook}"))
def get_webhook(ctx: Context, *, webhook: WebhookId) -> Webhook:
    """One subscription, without its secrets."""
    return shape(webhook_row(ctx, webhook))


@operation(permission=MANAGE, kind="command", subject=of_webhook,
           errors=(InvalidInput, UnknownWebhook), rest=Rest("PATCH", "/webhooks/{webhook}"))  # fmt: skip
def update_webhook(
    ctx: Context,
    *,
    webhook: WebhookId,
    url: Url | None = None,
    events: Patterns | None = None,
    version: Version | None = None,
    description: Description | None = None,
    state: Literal["enabled", "disabled"] | None = None,
    idempotency_key: IdempotencyKey = None,
) -> Webhook:
    """Change what is given. Who changes the URL or the events is the owner from then on: it is sent what they may read.

    What waited while it was disabled is sent when it is enabled; what happened meanwhile, when it is replayed.

    >>> made = create_webhook(ctx, url="https://shop.example/hooks", events=["structure.*"])
    >>> update_webhook(ctx, webhook=made.id, state="disabled").state
    'disabled'
    """
    row = webhook_row(ctx, webhook)
    values = _changes(ctx, row, url, events)
    if version is not None:
        values["version"] = ctx.port(Payloads).version(version)
    if description is not None:
        values["description"] = description
    if state is not None:
        values |= {"state": state, "reason": None, "failing_since": None, "paused_until": None}
    values = {name: one for name, one in values.items() if one != getattr(row, name)}
    if values:
        change(ctx, row, values)
    return shape(webhook_row(ctx, webhook))


def _changes(ctx: Context, row: Any, url: str | None, events: list[str] | None) -> dict[str, Any]:
    if url is None and events is None:
        return {}
    return {**_checked(ctx, url or row.url, events or row.events), **_owner(ctx)}


def change(ctx: Context, row: Any, values: dict[str, Any]) -> None:
    """Change a subscription's row, and put on record what is another now: of a URL, which may be secret, the host."""
    ctx.execute(update(webhooks).where(webhooks.c.id == row.id).values(changed_at=ctx.now(), **values))
    ctx.port(Interest).changed(ctx)
    where = {"subject": row.id, "unit_id": row.unit_id, "channel_id": row.channel_id}
    old = {name: getattr(row, name) for name in values}
    ctx.record(WebhookChanged(**where, before=_told(ctx, old), after=_told(ctx, values)))


def _told(ctx: Context, values: Mapping[str, Any]) -> dict[str, Any]:
    told = {name: one for name, one in values.items() if name in ("events", "version", "description", "state", "owner")}
    if "url" in values:
        told["host"] = urlsplit(values["url"]).hostname
    return told


@operation(permission=MANAGE, kind="command", subject=of_webhook, errors=(UnknownWebhook,),
           rest=Rest("DELETE", "/webhooks/{webhook}"))  # fmt: skip
def remove_webhook(ctx: Context, *, webhook: WebhookId, idempotency_key: IdempotencyKey = None) -> Webhook:
    """Send nothing there any more. Its secrets and what waited for it are gone; the audit log knows it was there."""
    row = webhook_row(ctx, webhook)
    ctx.execute(delete(webhooks).where(webhooks.c.id == row.id))
    for table in (delivery, webhook_secret):
        ctx.execute(delete(table).where(table.c.webhook_id == row.id))
    ctx.port(Interest).changed(ctx)
    ctx.record(WebhookRemoved(subject=row.id, unit_id=row.unit_id, channel_id=row.channel_id))
    return shape(row)


@operation(permission=MANAGE, kind="command", subject=of_webhook, errors=(UnknownWebhook,),
           rest=Rest("POST", "/webhooks/{webhook}/secret"))  # fmt: skip
def rotate_secret(
    ctx: Context,
    *,
    webhook: WebhookId,
    overlap_seconds: Annotated[int, Field(ge=0, le=30 * 24 * 3600)] = OVERLAP,
    idempotency_key: IdempotencyKey = None,
) -> Secret:
    """Sign with another secret, too, and with those before it until the overlap ends: a day, unless you say.

    >>> made = create_webhook(ctx, url="https://shop.example/hooks", events=["structure.*"])
    >>> rotate_secret(ctx, webhook=made.id).number
    2
    """
    row, until = webhook_row(ctx, webhook), ctx.now() + timedelta(seconds=overlap_seconds)
    secrets, mine = webhook_secret.c, webhook_secret.c.webhook_id == webhook
    number = (ctx.execute(select(func.max(secrets.number)).where(mine)).scalar_one() or 0) + 1
    later = or_(secrets.retires_at.is_(None), secrets.retires_at > until)
    ctx.execute(update(webhook_secret).where(mine, later).values(retires_at=until))
    ctx.execute(delete(webhook_secret).where(mine, secrets.number <= number - LIVING))
    made = _new_secret(ctx, webhook, number)
    after = {"number": number, "others_until": until.isoformat()}
    ctx.record(SecretRotated(subject=webhook, unit_id=row.unit_id, channel_id=row.channel_id, after=after))
    return Secret(webhook=webhook, number=number, secret=made, created_at=ctx.now(), others_until=until)


def _new_secret(ctx: Context, webhook: str, number: int) -> str:
    key = os.urandom(LENGTH)
    sealed = ctx.port(Keyring).seal(key, f"webhook/{webhook}/{number}")
    row = {"webhook_id": webhook, "number": number, "secret": sealed, "created_at": ctx.now()}
    ctx.execute(insert(webhook_secret), row)
    return secret_of(key)


def living_keys(ctx: Context, webhook: str) -> list[bytes]:
    """The keys that sign now, the newest first."""
    secrets = webhook_secret.c
    alive = or_(secrets.retires_at.is_(None), secrets.retires_at > ctx.now())
    query = select(webhook_secret).where(secrets.webhook_id == webhook, alive).order_by(secrets.number.desc())
    ring = ctx.port(Keyring)
    return [ring.open(row.secret, f"webhook/{webhook}/{row.number}") for row in ctx.execute(query).all()]
