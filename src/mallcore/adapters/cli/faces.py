"""Every operation that is a command just as it is: its words on the command line, and how its result looks."""

from __future__ import annotations

from typing import Any

from mallcore import Context, access, attachments, audit, structure
from mallcore.adapters.cli import contents, forms
from mallcore.adapters.cli.credentials import API_KEYS, CLIENTS, OAUTH
from mallcore.adapters.cli.face import Face
from mallcore.adapters.cli.forms import table
from mallcore.adapters.cli.hooks import WEBHOOKS
from mallcore.adapters.cli.records import records
from mallcore.adapters.cli.signins import SIGN_INS
from mallcore.api import operations as api

TO_TOP = "Its new parent's id or path; / is the top of the channel."


def scope_told_by_parts(ctx: Context, given: dict[str, Any]) -> None:
    """Take a grant's scope from what it names, when it is not given."""
    if given.get("scope") is None:
        parts = ("subtree", "node"), ("channel", "channel"), ("unit", "unit")
        given["scope"] = next((scope for scope, name in parts if given.get(name) is not None), "mall")


def channel_by_name(ctx: Context, given: dict[str, Any]) -> None:
    """Audit records know a channel's id: look it up."""
    if given.get("channel") is not None:
        given["channel"] = structure.get_channel(ctx, channel=given["channel"]).id


def attachment_of_reference(ctx: Context, given: dict[str, Any]) -> None:
    """Audit records know an attachment's id: take it out of the reference of a version."""
    given["subject"] = given["subject"].partition("@")[0]


_DRAFT = table("id", "name", "state", "base", "edits", "revision", "author", "changed_at")
_LOG = table("number", "at", "author", "message")

UNITS = (
    Face("units create", structure.create_unit, "slug", forms.card, required="name"),
    Face("units list", structure.list_units, show=table("slug", "name", "id")),
    Face("units show", structure.get_unit, "unit", forms.card),
    Face("units rename", structure.update_unit, "unit name", forms.card),
)
CHANNELS = (
    Face("channels create", structure.create_channel, "slug", forms.card),
    Face("channels list", structure.list_channels, show=table("slug", "name", "locale", "currency", "revision", "id")),
    Face("channels show", structure.get_channel, "channel", forms.card),
    Face("channels update", structure.update_channel, "channel", forms.card),
    Face("channels remove", structure.remove_channel, "channel", forms.card),
    Face("channels restore", structure.restore_channel, "channel", forms.card),
)
NODES = (
    Face("structure create", structure.create_node, "name", forms.changed, edit="create"),
    Face("structure node", structure.get_node, "node", forms.node),
    Face("structure update", structure.update_node, "node", forms.changed, edit="update"),
    Face("structure rename", structure.update_node, "node name", forms.changed, "translations attributes", "name",
         help="Give a node another name, and with --slug another part of its path.", edit="update"),
    Face("structure move", structure.move, "node parent", forms.changed, required="parent", edit="move",
         help="Move a node, with all below it, under another parent (`/`: to the top), to a place among its children."),
    Face("structure reorder", structure.reorder, "children", forms.applied, edit="reorder"),
    Face("structure remove", structure.remove, "node", forms.applied, edit="remove"),
    Face("structure restore", structure.restore, "node", forms.applied),
    Face("structure set-rules", structure.set_rules, "rules", forms.applied, edit="set_rules"),
    Face("structure rules", structure.effective_rules, "node", forms.rules),
    Face("structure edit", structure.edit, "edits", forms.applied),
)  # fmt: skip
HISTORY = (
    Face("structure log", structure.log, show=_LOG),
    Face("structure revision", structure.get_revision, "number", forms.revision),
    Face("structure diff", structure.diff_revisions, "a b", forms.difference),
    Face("structure rollback", structure.rollback, show=forms.applied, required="to"),
    Face("structure undo", structure.undo, "number", forms.applied),
    Face("structure verify", structure.verify, show=forms.verified),
)
DRAFTS = (
    Face("structure draft open", structure.open_draft, "name", forms.drafted),
    Face("structure draft list", structure.list_drafts, show=_DRAFT),
    Face("structure draft show", structure.get_draft, "draft", forms.card),
    Face("structure draft edit", structure.edit_draft, "draft edits", forms.drafted),
    Face("structure draft diff", structure.preview_draft, "draft", forms.preview),
    Face("structure draft publish", structure.publish_draft, "draft", forms.applied),
    Face("structure draft schedule", structure.schedule_draft, "draft", forms.schedules, required="at"),
    Face("structure draft discard", structure.discard_draft, "draft", forms.drafted),
)
SCHEDULES = (
    Face("structure schedule list", structure.list_schedules, show=forms.schedules),
    Face("structure schedule undo", structure.schedule_undo, "number", forms.schedules, required="at"),
    Face("structure schedule cancel", structure.cancel_schedule, "schedule", forms.schedules),
)
SNAPSHOTS = (
    Face("structure snapshot create", structure.create_snapshot, "name", forms.card),
    Face("structure snapshot list", structure.list_snapshots, show=table("name", "at", "author", "message", "heads")),
    Face("structure snapshot show", structure.get_snapshot, "snapshot", forms.card),
)
ACCESS = (
    Face("access roles", access.list_roles, show=table("name", "built_in", "permissions")),
    Face("access set-role", access.set_role, "role permissions", forms.card),
    Face("access remove-role", access.remove_role, "role", forms.card),
    Face(
        "access grants",
        access.list_grants,
        show=table("id", "principal", "role", "scope", "scope_id", "granted_by", "granted_at"),
    ),
    Face("access grant", access.grant, "principal role", forms.card, prepare=scope_told_by_parts),
    Face("access revoke", access.revoke, "grant", forms.card),
)
_VERSION = table("ref", "file_name", "size", "detected_type", "created_by", "created_at", "dropped_for")
_ATTACHMENT = table("id", "owner", "slot", "head", "labels", "created_at", "removed_at")
ATTACHMENTS = (
    Face("attachments list", attachments.list_attachments, show=_ATTACHMENT),
    Face("attachments show", attachments.get_attachment, "attachment", forms.card),
    Face("attachments version", attachments.get_version, "version", forms.card),
    Face("attachments versions", attachments.list_versions, "attachment", _VERSION),
    Face("attachments label", attachments.set_label, "attachment label to", forms.card),
    Face("attachments unlabel", attachments.remove_label, "attachment label", contents.done),
    Face("attachments moves", attachments.label_history, "attachment label", table("number", "n", "by", "at")),
    Face("attachments restore", attachments.restore_version, "version", contents.named),
    Face("attachments remove", attachments.remove_attachment, "attachment", forms.card),
    Face("attachments link", attachments.link, "version", contents.linked, otherwise={"to": "anyone"},
         help="Make a link to a version, for whoever has it. With `--to user:ada` it is for her alone."),
    Face("attachments revoke-link", attachments.revoke_link, "link", contents.done),
    Face("attachments log", audit.list_records, "subject", records, without="channel", required="subject",
         prepare=attachment_of_reference,
         help="List what was done with an attachment, or refused: uploads, reads, links, labels, holds, newest first."),
)  # fmt: skip
STORES = (
    Face("attachments stores", attachments.list_stores,
         show=table("name", "role", "copies", "size", "pending", "lost", "url")),
    Face("attachments scrub", attachments.scrub, show=forms.card, long=True,
         wrong=lambda found: len(found.missing) + len(found.corrupt) > found.healed),
    Face("attachments mirror", attachments.mirror, "store", forms.card, long=True),
    Face("attachments migrate", attachments.migrate, "to", forms.card, long=True),
    Face("attachments retain", attachments.set_retention, "version", forms.card),
    Face("attachments drop", attachments.drop_version, "version", forms.card, final=True),
    Face("attachments hold", attachments.place_hold, "attachment", forms.card),
    Face("attachments release", attachments.release_hold, "hold", forms.card),
    Face("attachments holds", attachments.list_holds, show=table("id", "attachment", "n", "reason", "placed_by")),
    Face("attachments erase", attachments.erase, "principal", forms.card, long=True, final=True),
    Face("attachments quarantine", attachments.list_quarantined, show=table(*attachments.Waiting.model_fields)),
    Face("attachments verdict", attachments.record_verdict, "check result", forms.card),
)  # fmt: skip
KEYS = (
    Face("keys list", access.list_keys, show=table("purpose", "number", "state", "created_at", "retires_at")),
    Face("keys rotate", access.rotate_key, "purpose", forms.card),
    Face("keys revoke", access.revoke_key, "purpose number", forms.card),
)
AUDIT = (
    Face("audit show", audit.list_records, show=records, prepare=channel_by_name),
    Face("audit list", audit.list_records,
         show=table("id", "index", "at", "principal", "operation", "outcome", "subject"), prepare=channel_by_name,
         help="List records with their ids and places in the log, narrowed as `audit show`."),
    Face("audit record", audit.get_record, "record", forms.card),
    Face("audit checkpoint", audit.checkpoint, show=forms.card),
    Face("audit checkpoints", audit.list_checkpoints, show=table("size", "root", "made_at", "stored_at", "failure")),
    Face("audit keys", audit.verification_keys, show=table("number", "state", "created_at", "key")),
    Face("audit erase-subject", audit.erase_subject, "principal", forms.card, final=True),
)  # fmt: skip
API = (
    Face("api usage", api.usage, show=table("client", "version", "state", "operation", "field", "count", "last_at")),
    Face("api breakage", api.breakage, "version", forms.card),
)
FACES = (
    *UNITS,
    *CHANNELS,
    *NODES,
    *HISTORY,
    *DRAFTS,
    *SCHEDULES,
    *SNAPSHOTS,
    *ATTACHMENTS,
    *STORES,
    *ACCESS,
    *CLIENTS,
    *API_KEYS,
    *OAUTH,
    *SIGN_INS,
    *KEYS,
    *AUDIT,
    *WEBHOOKS,
    *API,
)
