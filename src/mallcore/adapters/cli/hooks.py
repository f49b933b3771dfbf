"""Webhooks as commands: subscriptions, their deliveries, and sending what waits."""

from __future__ import annotations

from mallcore import webhooks
from mallcore.adapters.cli import forms
from mallcore.adapters.cli.face import Face
from mallcore.adapters.cli.forms import table
from mallcore.adapters.cli.session import Cli

_WEBHOOK = table("id", "url", "events", "channel", "version", "state", "failing_since", "owner")
_DELIVERY = table("id", "event", "state", "attempts", "status", "error", "due_at", "event_id")
WEBHOOKS = (
    Face("webhooks create", webhooks.create_webhook, "url", forms.card),
    Face("webhooks list", webhooks.list_webhooks, show=_WEBHOOK),
    Face("webhooks show", webhooks.get_webhook, "webhook", forms.card),
    Face("webhooks update", webhooks.update_webhook, "webhook", forms.card),
    Face("webhooks remove", webhooks.remove_webhook, "webhook", forms.card),
    Face("webhooks rotate", webhooks.rotate_secret, "webhook", forms.card),
    Face("webhooks ping", webhooks.ping, "webhook", forms.card),
    Face("webhooks deliveries", webhooks.list_deliveries, "webhook", _DELIVERY),
    Face("webhooks delivery", webhooks.get_delivery, "webhook delivery", forms.card),
    Face("webhooks dead", webhooks.list_dead, show=_DELIVERY),
    Face("webhooks replay", webhooks.replay, "webhook delivery", forms.card),
    Face("webhooks replay-since", webhooks.replay_since, "webhook since", forms.card),
)


def deliver(cli: Cli) -> None:
    """Send what is due now, until nothing is. `serve` does this by itself."""
    made = cli.mall.services.ports[webhooks.Dispatcher].deliver()
    cli.out.result({"attempts": made}, lambda out, _: out.say(f"{made} attempts."))
