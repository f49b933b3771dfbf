"""Deliveries: which there are, which are dead, a ping to try a subscription, and sending again what was kept."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AwareDatetime, Field
from sqlalchemy import insert, select, update

from mallcore.errors import InvalidInput, UnknownDelivery, UnknownWebhook
from mallcore.kernel.context import Context
from mallcore.kernel.ids import new_id
from mallcore.kernel.operations import Rest, anywhere, operation
from mallcore.kernel.paging import Cursor, Limit, Page, decode, page
from mallcore.webhooks.model.shapes import Delivery, DeliveryId, IdempotencyKey, Replay, State, WebhookId
from mallcore.webhooks.model.tables import delivery, outbox
from mallcore.webhooks.model.tables import webhook as webhooks
from mallcore.webhooks.operations import happened
from mallcore.webhooks.operations.outbox import row_of
from mallcore.webhooks.operations.subscriptions import MANAGE, READ, of_webhook, webhook_row, within
from mallcore.webhooks.rules.matching import Wanted, wants

MOST_REPLAYED = 10_000
_AGAIN: dict[str, Any] = {"state": "waiting", "attempts": 0, "claim": None, "claimed_until": None, "error": None}


def shape(row: Any) -> Delivery:
    """A delivery as callers see it."""
    names = set(Delivery.model_fields) - {"webhook"}
    return Delivery(webhook=row.webhook_id, **{name: getattr(row, name) for name in names})


def new_delivery(ctx: Context, webhook: str, event_id: str, event: str) -> dict[str, Any]:
    """The row of a delivery that waits."""
    now = ctx.now()
    row = {"id": new_id("dlv"), "webhook_id": webhook, "event_id": event_id, "event": event, "state": "waiting"}
    return {**row, "attempts": 0, "due_at": now, "created_at": now}


@operation(permission=MANAGE, kind="command", subject=of_webhook, errors=(UnknownWebhook,),
           rest=Rest("POST", "/webhooks/{webhook}/ping", 202))  # fmt: skip
def ping(ctx: Context, *, webhook: WebhookId, idempotency_key: IdempotencyKey = None) -> Delivery:
    """Send a message `webhooks.ping` that says nothing, to see whether it arrives: look at the delivery a little later.

    >>> made = create_webhook(ctx, url="https://shop.example/hooks", events=["structure.*"])
    >>> ping(ctx, webhook=made.id).state
    'waiting'
    """
    found = webhook_row(ctx, webhook)
    row = row_of(happened.PING, webhook, {"subject": webhook}, ctx.now())
    where = {"unit_id": found.unit_id, "channel_id": found.channel_id, "spread_at": ctx.now()}
    ctx.execute(insert(outbox), {**row, **where})
    made = new_delivery(ctx, webhook, row["id"], happened.PING)
    ctx.execute(insert(delivery), made)
    _resume(ctx, webhook)
    return shape(_delivery(ctx, webhook, made["id"]))


@operation(permission=READ, subject=of_webhook, errors=(UnknownWebhook,),
           rest=Rest("GET", "/webhooks/{webhook}/deliveries"))  # fmt: skip
def list_deliveries(
    ctx: Context, *, webhook: WebhookId, state: State | None = None, limit: Limit = 50, cursor: Cursor = None
) -> Page[Delivery]:
    """What was sent to a subscriber or waits to be, the newest event first."""
    query = select(delivery).where(delivery.c.webhook_id == webhook).order_by(delivery.c.event_id.desc())
    if state is not None:
        query = query.where(delivery.c.state == state)
    if cursor is not None:
        query = query.where(delivery.c.event_id < decode(cursor, str)[0])
    return page(ctx.execute(query.limit(limit + 1)).all(), limit, shape, lambda row: (row.event_id,))


@operation(permission=READ, subject=of_webhook, errors=(UnknownDelivery, UnknownWebhook),
           rest=Rest("GET", "/webhooks/{webhook}/deliveries/{delivery}"))  # fmt: skip
def get_delivery(ctx: Context, *, webhook: WebhookId, delivery: DeliveryId) -> Delivery:
    """One delivery: how often it was tried, and what came back last."""
    return shape(_delivery(ctx, webhook, delivery))


@operation(permission=READ, subject=anywhere, rest=Rest("GET", "/dead-deliveries"))
def list_dead(ctx: Context, *, limit: Limit = 50, cursor: Cursor = None) -> Page[Delivery]:
    """The deliveries that were given up after the last attempt, of all subscriptions the caller may see."""
    mine = select(webhooks.c.id).where(within(ctx.reach(READ)))
    query = select(delivery).where(delivery.c.state == "dead", delivery.c.webhook_id.in_(mine))
    if cursor is not None:
        query = query.where(delivery.c.id < decode(cursor, str)[0])
    rows = ctx.execute(query.order_by(delivery.c.id.desc()).limit(limit + 1)).all()
    return page(rows, limit, shape, lambda row: (row.id,))


@operation(permission=MANAGE, kind="command", subject=of_webhook, errors=(UnknownDelivery, UnknownWebhook),
           rest=Rest("POST", "/webhooks/{webhook}/deliveries/{delivery}/replay"))  # fmt: skip
def replay(
    ctx: Context, *, webhook: WebhookId, delivery: DeliveryId, idempotency_key: IdempotencyKey = None
) -> Delivery:
    """Send one message again, whatever became of it, with the `webhook-id` it had."""
    row, found = webhook_row(ctx, webhook), _delivery(ctx, webhook, delivery)
    _again(ctx, [found.event_id], webhook)
    after = {"deliveries": 1, "delivery": delivery}
    ctx.record(happened.Replayed(subject=webhook, unit_id=row.unit_id, channel_id=row.channel_id, after=after))
    return shape(_delivery(ctx, webhook, delivery))


@operation(permission=MANAGE, kind="command", subject=of_webhook, errors=(InvalidInput, UnknownWebhook),
           rest=Rest("POST", "/webhooks/{webhook}/replay"))  # fmt: skip
def replay_since(
    ctx: Context,
    *,
    webhook: WebhookId,
    since: Annotated[AwareDatetime, Field(description="From when on; what is older than is kept is gone.")],
    until: AwareDatetime | None = None,
    idempotency_key: IdempotencyKey = None,
) -> Replay:
    """Send again all that happened since a time, also what happened while the subscription was disabled.

    Only what some subscription of the mall waited for when it happened was kept, and for as long as the settings say.

    >>> made = create_webhook(ctx, url="https://shop.example/hooks", events=["structure.*"])
    >>> replay_since(ctx, webhook=made.id, since=ctx.now()).deliveries
    0
    """
    row = webhook_row(ctx, webhook)
    kept = _kept(ctx, row, since, until)
    _again(ctx, [one.id for one in kept], webhook)
    for one in kept:
        ctx.add_new(delivery, new_delivery(ctx, webhook, one.id, one.event))
    after = {"deliveries": len(kept), "since": since.isoformat()}
    ctx.record(happened.Replayed(subject=webhook, unit_id=row.unit_id, channel_id=row.channel_id, after=after))
    return Replay(webhook=webhook, deliveries=len(kept))


def _kept(ctx: Context, row: Any, since: AwareDatetime, until: AwareDatetime | None) -> list[Any]:
    """What the outbox still has that a subscription waits for."""
    columns = outbox.c
    query = select(columns.id, columns.event, columns.unit_id, columns.channel_id)
    query = query.where(columns.at >= since, columns.spread_at.is_not(None), columns.event != happened.PING)
    if until is not None:
        query = query.where(columns.at < until)
    wanted = Wanted(frozenset(row.events), row.unit_id, row.channel_id)
    found = [one for one in ctx.execute(query.order_by(columns.id)).all()
             if wants(wanted, one.event, one.unit_id, one.channel_id)]  # fmt: skip
    if len(found) > MOST_REPLAYED:
        raise InvalidInput(field="since", reason=f"that is {len(found)} messages; replay {MOST_REPLAYED} at a time")
    return found


def _again(ctx: Context, events: list[str], webhook: str) -> None:
    _resume(ctx, webhook)  # first, as whoever writes down what became of a message does: so nobody waits for a waiter
    mine = (delivery.c.webhook_id == webhook, ctx.backend.among(delivery.c.event_id, events))
    ctx.execute(update(delivery).where(*mine).values(due_at=ctx.now(), **_AGAIN))


def _resume(ctx: Context, webhook: str) -> None:
    """Somebody wants to see what happens, so a pause ends."""
    ctx.execute(update(webhooks).where(webhooks.c.id == webhook).values(paused_until=None))


def _delivery(ctx: Context, webhook: str, id: str) -> Any:
    row = ctx.execute(select(delivery).where(delivery.c.id == id, delivery.c.webhook_id == webhook)).one_or_none()
    if row is None:
        raise UnknownDelivery(delivery=id, webhook=webhook)
    return row
