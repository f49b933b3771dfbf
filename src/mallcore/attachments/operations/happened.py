"""What happens to attachments, as events: each stands in the audit log, in the transaction of what it tells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from mallcore.kernel.events import AccessDenied, Event


@dataclass(frozen=True, slots=True, kw_only=True)
class AttachmentEvent(Event):
    """Something that is about one version (or one attachment) and, maybe, a store."""

    version: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadBegun(AttachmentEvent):
    """The intent of an upload is on record; not a byte was written."""

    name: ClassVar[str] = "attachments.upload_begun"


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadRefused(AccessDenied):
    """Content was not taken: it is not what was announced, or not what the slot takes; ``reason`` says why."""

    name: ClassVar[str] = "attachments.upload_refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionAdded(AttachmentEvent):
    """An attachment got a new version."""

    name: ClassVar[str] = "attachments.version_added"


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelSet(AttachmentEvent):
    """A label was moved, or taken away."""

    name: ClassVar[str] = "attachments.label_set"


@dataclass(frozen=True, slots=True, kw_only=True)
class AttachmentRemoved(AttachmentEvent):
    """An attachment was removed from view; its versions stay."""

    name: ClassVar[str] = "attachments.removed"


@dataclass(frozen=True, slots=True, kw_only=True)
class ContentRead(AttachmentEvent):
    """The bytes of a version were opened for reading."""

    name: ClassVar[str] = "attachments.read"


@dataclass(frozen=True, slots=True, kw_only=True)
class ContentRedirected(AttachmentEvent):
    """Somebody was sent to an edge or a store for the bytes of a version; ``details`` have the ``jti`` in the URL."""

    name: ClassVar[str] = "attachments.redirected"


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkMade(AttachmentEvent):
    """A link to a version was made; ``details`` say for whom, for what and how long."""

    name: ClassVar[str] = "attachments.link_made"


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkOpened(AttachmentEvent):
    """A link was checked, and allowed what it says."""

    name: ClassVar[str] = "attachments.link_opened"


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkDenied(AccessDenied):
    """A link was checked and refused; ``reason`` says why."""

    name: ClassVar[str] = "attachments.link_refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkRevoked(AttachmentEvent):
    """A link was revoked: it opens no more."""

    name: ClassVar[str] = "attachments.link_revoked"


@dataclass(frozen=True, slots=True, kw_only=True)
class VerdictRecorded(AttachmentEvent):
    """A check found a content clean or bad, or could not tell; ``details`` say which, and by what."""

    name: ClassVar[str] = "attachments.verdict_recorded"


@dataclass(frozen=True, slots=True, kw_only=True)
class DerivativeMade(AttachmentEvent):
    """A derivative of a version was made; ``details`` have its recipe."""

    name: ClassVar[str] = "attachments.derivative_made"
