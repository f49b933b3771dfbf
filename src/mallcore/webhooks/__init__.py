"""Webhooks: events sent to whoever subscribed, signed, in the subscriber's version, at least once.

An event is kept in an outbox in its own transaction, so nothing is lost and nothing is told that was rolled back. It is
sent outside of any transaction, tried again for a day, kept for replay, and never sent to a private address.
"""

from mallcore.webhooks.hooks import Answer, Credentials, Message, Payloads, Places, Sender, WebhookHooks
from mallcore.webhooks.model.payloads import (
    AttachmentData,
    DenialData,
    EventData,
    PingData,
    RevisionData,
    known_events,
    shape_of,
)
from mallcore.webhooks.model.shapes import Delivery, NewWebhook, Replay, Secret, Webhook
from mallcore.webhooks.operations.deliveries import (
    get_delivery,
    list_dead,
    list_deliveries,
    ping,
    replay,
    replay_since,
)
from mallcore.webhooks.operations.dispatching import Dispatcher
from mallcore.webhooks.operations.happened import (
    PING,
    Replayed,
    SecretRotated,
    WebhookChanged,
    WebhookCreated,
    WebhookDisabled,
    WebhookRemoved,
)
from mallcore.webhooks.operations.outbox import TOPIC, Interest, Outbox, look
from mallcore.webhooks.operations.subscriptions import (
    create_webhook,
    get_webhook,
    list_webhooks,
    remove_webhook,
    rotate_secret,
    update_webhook,
)
from mallcore.webhooks.rules.egress import Egress, Target
from mallcore.webhooks.rules.matching import permission_to_read

__all__ = [
    "PING",
    "TOPIC",
    "Answer",
    "AttachmentData",
    "Credentials",
    "Delivery",
    "DenialData",
    "Dispatcher",
    "Egress",
    "EventData",
    "Interest",
    "Message",
    "NewWebhook",
    "Outbox",
    "Payloads",
    "PingData",
    "Places",
    "Replay",
    "Replayed",
    "RevisionData",
    "Secret",
    "SecretRotated",
    "Sender",
    "Target",
    "Webhook",
    "WebhookChanged",
    "WebhookCreated",
    "WebhookDisabled",
    "WebhookHooks",
    "WebhookRemoved",
    "create_webhook",
    "get_delivery",
    "get_webhook",
    "known_events",
    "list_dead",
    "list_deliveries",
    "list_webhooks",
    "look",
    "permission_to_read",
    "ping",
    "remove_webhook",
    "replay",
    "replay_since",
    "rotate_secret",
    "shape_of",
    "update_webhook",
]
