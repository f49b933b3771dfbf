"""Sending one claim: read what is needed, send outside of any transaction, write down what became of it."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple

from sqlalchemy import select

from mallcore.errors import MallError
from mallcore.kernel.context import Context, Principal
from mallcore.kernel.ports import Subject
from mallcore.webhooks.hooks import Answer, Credentials, Message, Payloads, Places, Sender
from mallcore.webhooks.model.tables import delivery, outbox, webhook
from mallcore.webhooks.operations.claiming import Claim, mark, release, withhold
from mallcore.webhooks.operations.happened import PING
from mallcore.webhooks.operations.subscriptions import living_keys, owner_of
from mallcore.webhooks.rules.egress import Egress
from mallcore.webhooks.rules.matching import permission_to_read
from mallcore.webhooks.rules.signing import headers

log = logging.getLogger("mallcore.webhooks")
Begin = Callable[[Principal], AbstractContextManager[Context]]
ME = Principal.system("webhooks")
BUDGET = 20.0
"""Seconds after which a claim's messages are left to the next round, so that its lease never ends while one is sent."""
AGENT = "mallcore-webhooks/1"


class Letter(NamedTuple):
    """All that one message is made of, as it was read."""

    delivery: Any
    event: Any
    webhook: Any
    keys: list[bytes]
    payloads: Payloads
    egress: Egress
    now: datetime


@dataclass
class Sending:
    """Sends claims, one message after the other."""

    begin: Begin
    sender: Sender
    failing_days: int
    stopped: Callable[[], bool]
    sent: int = field(default=0)

    def send_all(self, held: Claim) -> int:
        """Send what is claimed, until something is wrong with the receiver; returns how many attempts were made."""
        ends, made = time.monotonic() + BUDGET, 0
        try:
            for id in held.deliveries:
                if self.stopped() or time.monotonic() >= ends:
                    break
                going_on, tried = self._one(held, id)
                made += tried
                if not going_on:
                    break
        finally:
            with self.begin(ME) as ctx:
                release(ctx, held)
        return made

    def _one(self, held: Claim, id: str) -> tuple[bool, int]:
        """Whether the next may follow, and how many attempts this was."""
        with self.begin(ME) as ctx:
            letter = _letter(ctx, held, id)
        if letter is None:
            return True, 0
        if not self._readable(letter):
            with self.begin(ME) as ctx:
                withhold(ctx, held, id, "its owner may not read what it is about")
            return True, 0
        answer = self._answer(letter)
        with self.begin(ME) as ctx:
            return mark(ctx, held, letter.delivery, answer, self.failing_days), 1

    def _readable(self, letter: Letter) -> bool:
        """Whether the owner may read, now, what the message is about."""
        event = letter.event
        if event.event == PING:
            return True
        permission = permission_to_read(event.event)
        with self.begin(owner_of(letter.webhook)) as ctx:
            if not _is_vouched(ctx, letter.webhook):
                return False
            reach = ctx.reach(permission)
            nodes: tuple[str, ...] = ()
            if reach.nodes and event.channel_id is not None:
                nodes = ctx.port(Places).lineage(ctx, event.channel_id, event.subject)
            return reach.covers(Subject(event.unit_id, event.channel_id, nodes))

    def _answer(self, letter: Letter) -> Answer:
        try:
            return self.sender.send(message(letter))
        except MallError as error:  # the URL leads where nothing is sent, or the version is gone
            return Answer(error=f"{error.code}: {error}")
        except Exception as error:  # a bug, in a plug-in say: it must not hold up the messages behind this one
            log.exception("the delivery %s could not be sent", letter.delivery.id)
            return Answer(error=f"it could not be made: {type(error).__name__}")


def _is_vouched(ctx: Context, hook: Any) -> bool:
    """Whether what let its owner's program make the subscription counts still: a key, say, or somebody's consent."""
    made_by = hook.narrowed
    return made_by is None or ctx.port(Credentials).good(ctx, hook.owner, made_by["id"], made_by.get("client"))


def _letter(ctx: Context, held: Claim, id: str) -> Letter | None:
    """What is needed to send a delivery that is still ours; nothing when it is not, or not wanted any more."""
    row = ctx.execute(select(delivery).where(delivery.c.id == id, delivery.c.claim == held.token)).one_or_none()
    hook = ctx.execute(select(webhook).where(webhook.c.id == held.webhook)).one_or_none()
    if row is None or hook is None or hook.state != "enabled":
        return None
    event = ctx.execute(select(outbox).where(outbox.c.id == row.event_id)).one_or_none()
    if event is None:
        return None
    keys = living_keys(ctx, hook.id)
    return Letter(row, event, hook, keys, ctx.port(Payloads), ctx.port(Egress), ctx.now())


def message(letter: Letter) -> Message:
    """The message, signed, for where it goes; made of the event at HEAD, in the subscriber's version."""
    body = body_of(letter.event, letter.webhook.version, letter.payloads)
    signed = headers(letter.keys, letter.event.id, int(letter.now.timestamp()), body)
    fixed = {"content-type": "application/json", "user-agent": AGENT}
    return Message(letter.egress.target(letter.webhook.url), body, {**fixed, **signed})


def body_of(event: Any, version: str | None, payloads: Payloads) -> bytes:
    """The body of a message about an event."""
    told = {
        "type": event.event,
        "timestamp": event.at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "data": payloads.payload(event.event, event.payload, version),
        "api_version": version,
    }
    return json.dumps(told, ensure_ascii=False, separators=(",", ":")).encode()
