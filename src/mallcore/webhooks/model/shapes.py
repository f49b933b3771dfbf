"""What callers see of webhooks."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, SerializationInfo, field_serializer

State = Literal["waiting", "sent", "dead", "withheld"]
WebhookId = Annotated[str, Field(max_length=40, description="A webhook's id.")]
DeliveryId = Annotated[str, Field(max_length=40, description="A delivery's id.")]
Url = Annotated[str, Field(min_length=1, max_length=2000, description="Where messages are sent, with https://.")]
Patterns = Annotated[
    list[Annotated[str, Field(min_length=1, max_length=100)]],
    Field(min_length=1, max_length=50, description="Names of events, or patterns such as `structure.*` and `*`."),
]
Version = Annotated[str, Field(min_length=1, max_length=40, description="The API version whose shapes are sent.")]
Description = Annotated[str, Field(max_length=500)]
IdempotencyKey = Annotated[str | None, Field(min_length=1, max_length=200)]


class _Shape(BaseModel):
    model_config = ConfigDict(frozen=True)


class Webhook(_Shape):
    """A subscription: which events are sent where, in whose name, in which version of the API.

    ``failing_since`` is when messages began to fail, if they do; ``reason`` is why it is disabled.
    """

    id: str
    url: str
    events: list[str]
    unit: str | None = None
    channel: str | None = None
    version: str | None = None
    description: str = ""
    state: Literal["enabled", "disabled"]
    reason: str | None = None
    owner: str
    created_at: datetime
    changed_at: datetime
    failing_since: datetime | None = None


class Secret(_Shape):
    """A secret that signs messages: shown when it is made, and never again, not by its idempotency key either."""

    webhook: str
    number: int
    secret: str | None = Field(default=None, repr=False)
    created_at: datetime
    others_until: datetime | None = None

    @field_serializer("secret")
    def _shown_once(self, value: str | None, info: SerializationInfo) -> str | None:
        return None if info.context and info.context.get("kept") else value


class NewWebhook(Webhook):
    """A subscription that was just made, with the secret its receiver verifies messages with: it is shown this once."""

    secret: str | None = Field(default=None, repr=False)

    @field_serializer("secret")
    def _shown_once(self, value: str | None, info: SerializationInfo) -> str | None:
        return None if info.context and info.context.get("kept") else value


class Delivery(_Shape):
    """One event on its way to one subscriber. ``event_id`` is the `webhook-id` of all its attempts.

    It is ``waiting`` until it is ``sent``, or ``dead`` after the last attempt; ``withheld`` when the owner of the
    subscription may not read what it is about.
    """

    id: str
    webhook: str
    event_id: str
    event: str
    state: State
    attempts: int
    due_at: datetime
    status: int | None = None
    error: str | None = None
    created_at: datetime
    tried_at: datetime | None = None


class Replay(_Shape):
    """How many deliveries wait again."""

    webhook: str
    deliveries: int
