"""Attachments: every version retrievable, every access on record.

Content is staged in an object store before, and outside, the unit of work that refers to it, and attached in it. A
version never changes; labels move between versions; nodes and snapshots hold versions for ever. Nothing is deleted
but by the collector, which works from rows.
"""

from mallcore.attachments.hooks import AttachmentHooks, Derive, Edge, Finding
from mallcore.attachments.model.links import Delivered, Link, Opened, PublicUrl
from mallcore.attachments.model.reports import (
    Collected,
    Erasure,
    Hold,
    Kept,
    Mirrored,
    Scrubbed,
    StoreInfo,
    Undone,
)
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
from mallcore.attachments.model.uploads import Ticket, Upload
from mallcore.attachments.operations.attaching import attach, upload_file
from mallcore.attachments.operations.collecting import collect
from mallcore.attachments.operations.delivering import deliver, deliver_file, deliver_link, public_url
from mallcore.attachments.operations.derivatives import derivative, open_derivative
from mallcore.attachments.operations.dropping import drop_version
from mallcore.attachments.operations.edges import Addresses, Edges
from mallcore.attachments.operations.erasing import erase
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
    UploadRefused,
    VerdictRecorded,
    VersionAdded,
)
from mallcore.attachments.operations.holds import list_holds, place_hold, release_hold, set_retention
from mallcore.attachments.operations.housekeeping import keep_stores
from mallcore.attachments.operations.kept import (
    ContentCollected,
    CopyDrained,
    CopyLost,
    CopyMade,
    HoldPlaced,
    HoldReleased,
    RetentionSet,
    StoreRoleSet,
    UnknownDeleted,
    UploadExpired,
    UploadsErased,
    VersionDropped,
)
from mallcore.attachments.operations.labels import label_history, remove_label, set_label
from mallcore.attachments.operations.links import Epochs, forget_old_links, link, open_link, revoke_link
from mallcore.attachments.operations.mirroring import list_stores, migrate, mirror
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
from mallcore.attachments.operations.received import (
    TicketMade,
    TicketUsed,
    UploadContinued,
    UploadEnded,
    UploadFinished,
)
from mallcore.attachments.operations.restoring import restore_version
from mallcore.attachments.operations.scrubbing import scrub
from mallcore.attachments.operations.staging import stage
from mallcore.attachments.operations.tickets import begin_direct, finish_direct, receive_direct
from mallcore.attachments.operations.uploads import append, begin_upload, end_upload, finish_upload, get_upload
from mallcore.attachments.operations.verdicts import list_quarantined, list_verdicts, record_verdict
from mallcore.attachments.rules.recipes import Recipe
from mallcore.attachments.rules.slots import Facts, Slot
from mallcore.attachments.rules.tokens import token_in

__all__ = [
    "Addresses",
    "Attachment",
    "AttachmentHooks",
    "AttachmentRemoved",
    "Collected",
    "ContentCollected",
    "ContentRead",
    "ContentRedirected",
    "CopyDrained",
    "CopyLost",
    "CopyMade",
    "Delivered",
    "Derivative",
    "DerivativeMade",
    "Derive",
    "Edge",
    "Edges",
    "Epochs",
    "Erasure",
    "Facts",
    "Finding",
    "Hold",
    "HoldPlaced",
    "HoldReleased",
    "Kept",
    "Label",
    "LabelMove",
    "LabelSet",
    "Link",
    "LinkDenied",
    "LinkMade",
    "LinkOpened",
    "LinkRevoked",
    "Mirrored",
    "Moments",
    "Opened",
    "Owners",
    "Pins",
    "PublicUrl",
    "Recipe",
    "RetentionSet",
    "Scrubbed",
    "Slot",
    "Slots",
    "Staged",
    "StoreInfo",
    "StoreRoleSet",
    "Ticket",
    "TicketMade",
    "TicketUsed",
    "Undone",
    "UnknownDeleted",
    "Upload",
    "UploadBegun",
    "UploadContinued",
    "UploadEnded",
    "UploadExpired",
    "UploadFinished",
    "UploadRefused",
    "UploadsErased",
    "Verdict",
    "VerdictRecorded",
    "Version",
    "VersionAdded",
    "VersionDropped",
    "Waiting",
    "append",
    "attach",
    "begin_direct",
    "begin_upload",
    "collect",
    "deliver",
    "deliver_file",
    "deliver_link",
    "derivative",
    "drop_version",
    "end_upload",
    "erase",
    "finish_direct",
    "finish_upload",
    "forget_old_links",
    "get_attachment",
    "get_upload",
    "get_version",
    "keep_stores",
    "label_history",
    "link",
    "list_attachments",
    "list_holds",
    "list_quarantined",
    "list_stores",
    "list_verdicts",
    "list_versions",
    "migrate",
    "mirror",
    "open_derivative",
    "open_link",
    "open_version",
    "place_hold",
    "public_url",
    "receive_direct",
    "record_verdict",
    "release_hold",
    "remove_attachment",
    "remove_label",
    "restore_version",
    "revoke_link",
    "scrub",
    "set_label",
    "set_retention",
    "stage",
    "token_in",
    "upload_file",
]
