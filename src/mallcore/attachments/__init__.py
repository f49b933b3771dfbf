"""Attachments: every version retrievable, every access on record.

Content is staged in an object store before, and outside, the unit of work that refers to it, and attached in it. A
version never changes; labels move between versions; nodes and snapshots hold versions for ever. Nothing is deleted
but by the collector, which works from rows.
"""

from mallcore.attachments.model.shapes import Attachment, Label, LabelMove, Staged, Version
from mallcore.attachments.operations.attaching import attach, upload_file
from mallcore.attachments.operations.happened import (
    AttachmentRemoved,
    ContentRead,
    LabelSet,
    UploadBegun,
    VersionAdded,
)
from mallcore.attachments.operations.labels import label_history, remove_label, set_label
from mallcore.attachments.operations.moments import Moments
from mallcore.attachments.operations.owners import Owners
from mallcore.attachments.operations.pinning import Pins
from mallcore.attachments.operations.policies import Slots
from mallcore.attachments.operations.reading import (
    get_attachment,
    get_version,
    list_attachments,
    list_versions,
    open_version,
    remove_attachment,
)
from mallcore.attachments.operations.staging import stage
from mallcore.attachments.rules.slots import Slot

__all__ = [
    "Attachment",
    "AttachmentRemoved",
    "ContentRead",
    "Label",
    "LabelMove",
    "LabelSet",
    "Moments",
    "Owners",
    "Pins",
    "Slot",
    "Slots",
    "Staged",
    "UploadBegun",
    "Version",
    "VersionAdded",
    "attach",
    "get_attachment",
    "get_version",
    "label_history",
    "list_attachments",
    "list_versions",
    "open_version",
    "remove_attachment",
    "remove_label",
    "set_label",
    "stage",
    "upload_file",
]
