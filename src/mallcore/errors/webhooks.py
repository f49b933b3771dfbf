"""Errors of webhooks."""

from __future__ import annotations

from mallcore.errors.roots import NotFound


class UnknownWebhook(NotFound):
    """There is no webhook {webhook!r}."""

    code = "unknown-webhook"


class UnknownDelivery(NotFound):
    """There is no delivery {delivery!r} of the webhook {webhook!r}: it may be older than deliveries are kept."""

    code = "unknown-delivery"
