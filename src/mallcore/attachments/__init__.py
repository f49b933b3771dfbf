"""Attachments: every version retrievable, every access on record.

Content is staged in an object store before, and outside, the unit of work that refers to it, and attached in it. A
version never changes; labels move between versions; nodes and snapshots hold versions for ever. Nothing is deleted
but by the collector, which works from rows.
"""

from mallcore.attachments.hooks import AttachmentHooks, Derive, Edge, Finding
from mallcore.attachments.model.links import Delivered, Link, Opened, PublicUrl
from mallcore.attachments.model.shapes import (
    Attachment,
    Derivative,
    Label,
    LabelMove,
    Staged,
    Verdict,
    Version,
    Waiting,
)
from mallcore.attachments.operations.attaching import attach, upload_file
from mallcore.attachments.operations.delivering import deliver, deliver_file, deliver_link, public_url
from mallcore.attachments.operations.derivatives import derivative, open_derivative
from mallcore.attachments.operations.edges import Addresses, Edges
from mallcore.attachments.operations.happened import (
    AttachmentRemoved,
    ContentRead,
    ContentRedirected,
    DerivativeMade,
    LabelSet,
    LinkDenied,
    LinkMade,
    LinkOpened,
    LinkRevoked,
    UploadBegun,
    VerdictRecorded,
    VersionAdded,
)
from mallcore.attachments.operations.labels import label_history, remove_label, set_label
from mallcore.attachments.operations.links import Epochs, forget_old_links, link, open_link, revoke_link
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
from mallcore.attachments.operations.restoring import restore_version
from mallcore.attachments.operations.staging import stage
from mallcore.attachments.operations.verdicts import list_quarantined, list_verdicts, record_verdict
from mallcore.attachments.rules.recipes import Recipe
from mallcore.attachments.rules.slots import Facts, Slot
from mallcore.attachments.rules.tokens import token_in

__all__ = [
    "Addresses",
    "Attachment",
    "AttachmentHooks",
    "AttachmentRemoved",
    "ContentRead",
    "ContentRedirected",
    "Delivered",
    "Derivative",
    "DerivativeMade",
    "Derive",
    "Edge",
    "Edges",
    "Epochs",
    "Facts",
    "Finding",
    "Label",
    "LabelMove",
    "LabelSet",
    "Link",
    "LinkDenied",
    "LinkMade",
    "LinkOpened",
    "LinkRevoked",
    "Moments",
    "Opened",
    "Owners",
    "Pins",
    "PublicUrl",
    "Recipe",
    "Slot",
    "Slots",
    "Staged",
    "UploadBegun",
    "Verdict",
    "VerdictRecorded",
    "Version",
    "VersionAdded",
    "Waiting",
    "attach",
    "deliver",
    "deliver_file",
    "deliver_link",
    "derivative",
    "forget_old_links",
    "get_attachment",
    "get_version",
    "label_history",
    "link",
    "list_attachments",
    "list_quarantined",
    "list_verdicts",
    "list_versions",
    "open_derivative",
    "open_link",
    "open_version",
    "public_url",
    "record_verdict",
    "remove_attachment",
    "remove_label",
    "restore_version",
    "revoke_link",
    "set_label",
    "stage",
    "token_in",
    "upload_file",
]
