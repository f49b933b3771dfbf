"""Claims: which deliveries this process sends next, and what became of them. No transaction lasts while one is sent.

A claim has an end. A process that dies leaves it behind, and another one sends the message again: with the same id, so
that its receiver can tell. Only who holds the claim writes down what became of it.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import func, or_, select, update

from mallcore.kernel.context import Context
from mallcore.kernel.ids import new_id
from mallcore.webhooks.hooks import Answer
from mallcore.webhooks.model.tables import delivery, webhook
from mallcore.webhooks.operations.happened import WebhookDisabled
from mallcore.webhooks.rules.retries import UNREACHABLE, asked_for, delay, pause, verdict

LEASE = timedelta(seconds=120)  # longer than all that is sent in one round may take
MOST = 20
"""How many messages of one subscription are claimed at once."""
_HOOKS, _DELIVERIES = webhook.c, delivery.c
_FREE = {"claim": None, "claimed_until": None}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A subscription that has messages waiting, and whether it fails."""

    id: str
    url: str
    failing: bool


@dataclass(frozen=True, slots=True)
class Claim:
    """Deliveries of one subscription that this process may send until its lease ends, in order."""

    webhook: str
    token: str
    deliveries: tuple[str, ...]
    until: datetime


def waiting(ctx: Context, busy: Iterable[str]) -> list[Endpoint]:
    """Subscriptions with messages that are due and that nobody sends: those that work first, then who waits longest."""
    now, there = ctx.now(), _DELIVERIES
    held = select(there.webhook_id).where(there.state == "waiting", there.claimed_until > now)
    query = (
        select(_HOOKS.id, _HOOKS.url, _HOOKS.failing_since)
        .join(delivery, there.webhook_id == _HOOKS.id)
        .where(there.state == "waiting", there.due_at <= now, _HOOKS.state == "enabled")
        .where(or_(_HOOKS.paused_until.is_(None), _HOOKS.paused_until <= now))
        .where(_HOOKS.id.not_in(held), _HOOKS.id.not_in(list(busy)))
        .group_by(_HOOKS.id, _HOOKS.url, _HOOKS.failing_since)
        .order_by(_HOOKS.failing_since.is_not(None), func.min(there.due_at))
        .limit(200)
    )
    return [Endpoint(row.id, row.url, row.failing_since is not None) for row in ctx.execute(query).all()]


def claim(ctx: Context, webhook: str) -> Claim | None:
    """Claim the next messages of a subscription; nothing, when another process was faster."""
    now, token = ctx.now(), new_id("clm")
    free = or_(_DELIVERIES.claimed_until.is_(None), _DELIVERIES.claimed_until <= now)
    mine = (_DELIVERIES.webhook_id == webhook, _DELIVERIES.state == "waiting", _DELIVERIES.due_at <= now, free)
    query = select(_DELIVERIES.id).where(*mine).order_by(_DELIVERIES.event_id).limit(MOST)
    with ctx.apart() as own:
        ids = list(own.execute(query.with_for_update(skip_locked=True)).scalars())
        taken = update(delivery).where(own.backend.among(_DELIVERIES.id, ids), *mine)
        done = own.execute(taken.values(claim=token, claimed_until=now + LEASE)).rowcount
    return Claim(webhook, token, tuple(ids), now + LEASE) if done else None


def release(ctx: Context, held: Claim) -> None:
    """Give back what was not sent."""
    with ctx.apart() as own:
        own.execute(update(delivery).where(_DELIVERIES.claim == held.token).values(_FREE))


def withhold(ctx: Context, held: Claim, id: str, reason: str) -> None:
    """The message may not be sent: it is done with."""
    with ctx.apart() as own:
        _settle(own, held, id, state="withheld", error=reason)


def mark(ctx: Context, held: Claim, row: Any, answer: Answer, failing_days: int) -> bool:
    """Write down what came back; returns whether the next message may follow at once."""
    found = verdict(answer.status)
    with ctx.apart() as own:
        hook = own.execute(select(webhook).where(_HOOKS.id == held.webhook).with_for_update()).one_or_none()
        if hook is None or not _tried(own, held, row, answer, found):
            return False
        if found == "done":
            if hook.failing_since is not None or hook.paused_until is not None:
                _change(own, hook.id, failing_since=None, paused_until=None)
            return True
        return _failed(own, hook, row, answer, failing_days)


def _tried(ctx: Context, held: Claim, row: Any, answer: Answer, found: str) -> bool:
    """Whether the delivery was still ours to write down."""
    attempts = row.attempts + 1
    values: dict[str, Any] = {"attempts": attempts, "status": answer.status, "error": _error(answer)}
    if found == "done":
        return _settle(ctx, held, row.id, state="sent", **values)
    seconds = delay(attempts, random.random(), asked_for(answer.retry_after, ctx.now()))
    if found == "gone" or seconds is None:
        return _settle(ctx, held, row.id, state="dead", **values)
    return _settle(ctx, held, row.id, due_at=ctx.now() + timedelta(seconds=seconds), **values)


def _error(answer: Answer) -> str | None:
    if answer.status is not None and 200 <= answer.status < 300:
        return None
    return (answer.error or f"it answered {answer.status}")[:500]


def _settle(ctx: Context, held: Claim, id: str, **values: Any) -> bool:
    mine = (_DELIVERIES.id == id, _DELIVERIES.claim == held.token)
    return ctx.execute(update(delivery).where(*mine).values(tried_at=ctx.now(), **_FREE, **values)).rowcount == 1


def _failed(ctx: Context, hook: Any, row: Any, answer: Answer, failing_days: int) -> bool:
    """The subscription fails: it is paused when nothing there answers, and disabled when that lasts for days."""
    now, since = ctx.now(), hook.failing_since or ctx.now()
    if answer.status == 410:
        return _disable(ctx, hook, "its receiver is gone for good: it answered 410")
    if now - since >= timedelta(days=failing_days):
        return _disable(ctx, hook, f"nothing was taken there since {since.isoformat(timespec='seconds')}")
    unreachable = answer.status in UNREACHABLE
    seconds = pause(row.attempts + 1, random.random(), asked_for(answer.retry_after, now))
    until = now + timedelta(seconds=seconds) if unreachable else hook.paused_until
    _change(ctx, hook.id, failing_since=since, paused_until=until)
    return not unreachable


def _disable(ctx: Context, hook: Any, reason: str) -> bool:
    _change(ctx, hook.id, state="disabled", reason=reason)
    where = {"subject": hook.id, "unit_id": hook.unit_id, "channel_id": hook.channel_id}
    ctx.record(WebhookDisabled(**where, before={"state": "enabled"}, after={"state": "disabled", "reason": reason}))
    return False


def _change(ctx: Context, id: str, **values: Any) -> None:
    ctx.execute(update(webhook).where(_HOOKS.id == id).values(values))
