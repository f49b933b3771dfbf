"""What happened, told to whoever listens: recorded inside the transaction, announced after the outermost commit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One thing that happened. Subclasses give it its ``name``, in the past tense.

    ``before`` and ``after`` are small JSON values for the audit record: the fields that changed, not the whole thing.
    ``details`` are further ones about what happened (a store, a reason, a link's ``jti``); ``address`` and
    ``user_agent`` among them are a person's, and are kept sealed.
    """

    name: ClassVar[str] = "event"
    subject: str
    unit_id: str | None = None
    channel_id: str | None = None
    revision: int | None = None
    before: Mapping[str, Any] | None = None
    after: Mapping[str, Any] | None = None
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessDenied(Event):
    """A call was refused; ``operation`` and ``permission`` say which, ``principal`` to whom."""

    name: ClassVar[str] = "access.denied"
    operation: str = ""
    permission: str = ""
    principal: str = ""
    reason: str = ""
