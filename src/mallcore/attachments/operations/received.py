"""What happens to uploads that come in several requests, as events."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from mallcore.attachments.operations.happened import AttachmentEvent


@dataclass(frozen=True, slots=True, kw_only=True)
class TicketMade(AttachmentEvent):
    """A ticket is about to go out; ``details`` say what it allows, and where it leads."""

    name: ClassVar[str] = "attachments.ticket_made"


@dataclass(frozen=True, slots=True, kw_only=True)
class TicketUsed(AttachmentEvent):
    """Somebody came with a ticket of ours, and was let in to send what it allows."""

    name: ClassVar[str] = "attachments.ticket_used"


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadContinued(AttachmentEvent):
    """A part of a resumable upload is there."""

    name: ClassVar[str] = "attachments.upload_continued"


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadFinished(AttachmentEvent):
    """What has arrived was counted, hashed, looked into and taken: it waits to be attached."""

    name: ClassVar[str] = "attachments.upload_finished"


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadEnded(AttachmentEvent):
    """An upload was ended, or what had arrived was refused; ``details`` say why."""

    name: ClassVar[str] = "attachments.upload_ended"
