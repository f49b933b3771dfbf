"""What happens to subscriptions, as events: on record, and heard of by whoever subscribed to `webhooks.*`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from mallcore.kernel.events import Event

PING = "webhooks.ping"
"""The name of the message that only proves that messages arrive; nothing happened, so it is no event."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookCreated(Event):
    """A subscription was made; ``after`` has its host and its events."""

    name: ClassVar[str] = "webhooks.created"


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookChanged(Event):
    """A subscription was changed; ``before`` and ``after`` have what is another now."""

    name: ClassVar[str] = "webhooks.changed"


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookDisabled(Event):
    """A subscription was disabled by the mall itself; ``after`` says why."""

    name: ClassVar[str] = "webhooks.disabled"


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookRemoved(Event):
    """A subscription was removed, with its secrets and what waited for it."""

    name: ClassVar[str] = "webhooks.removed"


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretRotated(Event):
    """A subscription got another secret; ``after`` has its number, and until when the ones before it sign, too."""

    name: ClassVar[str] = "webhooks.secret_rotated"


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed(Event):
    """Messages are sent again; ``after`` says how many, and since when or which."""

    name: ClassVar[str] = "webhooks.replayed"
