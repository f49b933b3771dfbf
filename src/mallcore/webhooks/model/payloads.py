"""What a message tells of an event: one small shape for all, and a few with more fields."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel, ConfigDict

from mallcore.kernel.events import AccessDenied, Event


class EventData(BaseModel):
    """What every message tells: the id of what it is about, where that is, and what changed of it.

    ``before`` and ``after`` hold the fields that changed; of a revision of many nodes, counts.
    """

    model_config = ConfigDict(frozen=True)

    subject: str
    unit_id: str | None = None
    channel_id: str | None = None
    revision: int | None = None
    before: dict[str, Any] | None = None
    after: dict[str, Any] | None = None


class RevisionData(EventData):
    """A channel got a revision: ``changed`` is the number of nodes it changed."""

    message: str = ""
    changed: int = 0


class AttachmentData(EventData):
    """Something happened to an attachment; ``version`` refers to the version it is about."""

    version: str = ""


class DenialData(EventData):
    """A call was refused: who called, which operation it was, and what was missing."""

    principal: str = ""
    operation: str = ""
    permission: str = ""
    reason: str = ""


class PingData(EventData):
    """A message that only proves that messages arrive."""


SHAPES: dict[str, type[EventData]] = {
    "structure.revised": RevisionData,
    "webhooks.ping": PingData,
}


def shape_of(kind: type[Event]) -> type[EventData]:
    """The shape of the messages about a kind of event."""
    if kind.name in SHAPES:
        return SHAPES[kind.name]
    if issubclass(kind, AccessDenied):
        return DenialData
    return AttachmentData if hasattr(kind, "version") else EventData


def told(event: Event) -> dict[str, Any]:
    """What a message tells of this event: no ``details``, for they may name addresses and links."""
    shape = shape_of(type(event))
    given = {name: getattr(event, name) for name in shape.model_fields}
    return shape.model_construct(**{name: _plain(one) for name, one in given.items()}).model_dump(mode="json")


def _plain(value: Any) -> Any:
    return dict(value) if hasattr(value, "keys") else value


def known_events() -> dict[str, type[Event]]:
    """Every kind of event this process has heard of, by name; those of plug-ins among them."""
    found = {kind.name: kind for kind in _below(Event) if "name" in kind.__dict__ and kind.name != Event.name}
    return dict(sorted(found.items()))


def _below(kind: type[Event]) -> Iterator[type[Event]]:
    for one in kind.__subclasses__():
        yield one
        yield from _below(one)
