"""What keeping house does to attachments and their copies, as events."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from mallcore.attachments.operations.happened import AttachmentEvent


@dataclass(frozen=True, slots=True, kw_only=True)
class ContentCollected(AttachmentEvent):
    """Nothing referred to a content any more: it is marked, and its copies are about to be deleted."""

    name: ClassVar[str] = "attachments.collected"


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadExpired(AttachmentEvent):
    """An upload was given up: its lease ended before anything was attached."""

    name: ClassVar[str] = "attachments.upload_expired"


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyLost(AttachmentEvent):
    """A store has lost a copy, or holds other bytes in its place."""

    name: ClassVar[str] = "attachments.copy_lost"


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyMade(AttachmentEvent):
    """A content was copied to a store, and checked there by its hash."""

    name: ClassVar[str] = "attachments.copied"


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyDrained(AttachmentEvent):
    """A copy is about to be deleted from a store that is being emptied."""

    name: ClassVar[str] = "attachments.drained"


@dataclass(frozen=True, slots=True, kw_only=True)
class UnknownDeleted(AttachmentEvent):
    """Objects that no row knows are about to be deleted from a store."""

    name: ClassVar[str] = "attachments.unknown_deleted"


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreRoleSet(AttachmentEvent):
    """An object store was given another role."""

    name: ClassVar[str] = "attachments.store_role_set"


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldPlaced(AttachmentEvent):
    """A legal hold was placed: what is under it is kept."""

    name: ClassVar[str] = "attachments.hold_placed"


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldReleased(AttachmentEvent):
    """A legal hold was released."""

    name: ClassVar[str] = "attachments.hold_released"


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionSet(AttachmentEvent):
    """Until when a version must be kept was set."""

    name: ClassVar[str] = "attachments.retention_set"


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionDropped(AttachmentEvent):
    """A version's content was given up; the record of the version stays."""

    name: ClassVar[str] = "attachments.version_dropped"


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadsErased(AttachmentEvent):
    """Somebody's uploads were erased; ``details`` say how many, and what a hold kept."""

    name: ClassVar[str] = "attachments.erased"
