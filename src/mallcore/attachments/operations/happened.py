"""What happens to attachments, as events: each stands in the audit log, in the transaction of what it tells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from mallcore.kernel.events import Event


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
