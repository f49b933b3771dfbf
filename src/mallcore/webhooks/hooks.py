"""What webhooks ask of the rest of the house: payloads in a version, places, and somebody who sends."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from mallcore.errors import InvalidInput, UnknownChannel, UnknownUnit
from mallcore.kernel.context import Context
from mallcore.kernel.hooks import hookspec
from mallcore.webhooks.rules.egress import Egress, Target


class Payloads:
    """Port: what a message tells, in the version its subscriber is pinned to; the package of the API fulfils it.

    Until somebody does there is one version only, which nobody can be pinned to.
    """

    def version(self, asked: str | None) -> str | None:
        """The version a subscription is pinned to: the one asked for, or the one that is the newest now."""
        if asked is not None:
            raise InvalidInput(field="version", reason="this mall has no versions of its API")
        return None

    def payload(self, event_name: str, data: Mapping[str, Any], version: str | None) -> dict[str, Any]:
        """The data of an event, made of that of HEAD; pure, and called outside of any transaction."""
        return dict(data)


class Places:
    """Port: finds the ids behind the references of a subscription's scope; the package that owns them fulfils it."""

    def unit(self, ctx: Context, reference: str) -> str:
        """A unit's id."""
        raise UnknownUnit(unit=reference)

    def node(self, ctx: Context, channel: str, reference: str | None) -> tuple[str, str, str]:
        """A unit's, channel's and node's ids (without a reference, the channel's root)."""
        raise UnknownChannel(channel=channel)

    def lineage(self, ctx: Context, channel_id: str, node_id: str) -> tuple[str, ...]:
        """A node's id and those above it, as the channel is now; nothing when the node is gone."""
        return ()


class Credentials:
    """Port: whether a credential by which a subscription was made is good still; the package of access fulfils it."""

    def good(self, ctx: Context, owner: str, id: str, client: str | None) -> bool:
        """Whether its bearer may still act for the owner, as far as that is known here."""
        return True


@dataclass(frozen=True, slots=True)
class Message:
    """What is to be sent, and where to."""

    target: Target
    body: bytes = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: a status, or nothing but the reason why there was none."""

    status: int | None = None
    error: str | None = None
    retry_after: str | None = None


class Sender(Protocol):
    """Sends a message to an address that was looked at, and follows nobody elsewhere. Called by several threads."""

    def send(self, message: Message) -> Answer:
        """Send it. Whatever goes wrong out there is an answer, too: nothing is raised for it."""
        ...


class WebhookHooks:
    """The hooks of webhooks."""

    @hookspec(firstresult=True)
    def webhook_sender(self, egress: Egress) -> Sender | None:
        """Provide: who sends messages, within what the mall allows."""
