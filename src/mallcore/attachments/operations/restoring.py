"""Restoring: an old content becomes the newest version, without a byte being moved."""

from __future__ import annotations

from typing import Any

from sqlalchemy import insert, update

from mallcore.attachments.model.shapes import IdempotencyKey, Version, VersionRef
from mallcore.attachments.model.tables import blob
from mallcore.attachments.model.tables import version as versions
from mallcore.attachments.operations.attaching import Expect, Labelled, counted
from mallcore.attachments.operations.happened import VersionAdded
from mallcore.attachments.operations.labels import moved
from mallcore.attachments.operations.owners import attachment_row, of_attachment
from mallcore.attachments.operations.policies import Slots
from mallcore.attachments.operations.reading import found_version, one_version
from mallcore.attachments.operations.staging import kept_until
from mallcore.attachments.rules.refs import LIVE, parsed, version_ref
from mallcore.errors import (
    ContentErased,
    InvalidReference,
    LabelMoved,
    UnknownAttachment,
    UnknownLabel,
    UnknownVersion,
)
from mallcore.kernel.context import Context
from mallcore.kernel.operations import Rest, operation


@operation(permission="attachments.write", kind="command", subject=of_attachment,
           errors=(ContentErased, InvalidReference, LabelMoved, UnknownAttachment, UnknownLabel, UnknownVersion),
           rest=Rest("POST", "/versions/{version}/restoration", 201))  # fmt: skip
def restore_version(
    ctx: Context,
    *,
    version: VersionRef,
    label: Labelled = LIVE,
    expect: Expect = None,
    idempotency_key: IdempotencyKey = None,
) -> Version:
    """Make an old content the newest version: a new number for the same bytes, which are not copied."""
    old = found_version(ctx, parsed(version))
    anchor = attachment_row(ctx, old.attachment, locked=True)
    _held(ctx, one_version(ctx, old.attachment, old.n))
    counted(ctx, anchor)
    n = anchor.head + 1
    ctx.execute(insert(versions), _again(ctx, old, n))
    details = {"digest": old.digest, "size": old.size, "restored": old.ref, "slot": old.slot}
    ctx.record(
        VersionAdded(
            subject=anchor.id,
            unit_id=anchor.unit_id,
            channel_id=anchor.channel_id,
            version=version_ref(anchor.id, n),
            details=details,
        )
    )
    if label is not None:
        moved(ctx, anchor, label, n, expect)
    return one_version(ctx, anchor.id, n)


def _held(ctx: Context, old: Version) -> None:
    """Keep the collector from the content while this transaction refers to it; `ContentErased` when it is too late."""
    mine = (blob.c.unit_id == old.unit_id, blob.c.digest == old.digest, blob.c.state == "ready")
    held = ctx.execute(update(blob).where(*mine).values(touched_at=ctx.now())).rowcount
    if old.dropped_at is not None or held != 1:
        raise ContentErased(version=old.ref, at=(old.dropped_at or ctx.now()).isoformat())


def _again(ctx: Context, old: Version, n: int) -> dict[str, Any]:
    same = ("unit_id", "digest", "size", "file_name", "declared_type", "detected_type", "meta")
    slots = {slot.name: slot for slot in ctx.port(Slots).values()}
    return {name: getattr(old, name) for name in same} | {
        "attachment_id": old.attachment,
        "n": n,
        "created_by": ctx.principal.ref,
        "created_at": ctx.now(),
        "retain_until": kept_until(ctx, slots[old.slot]) if old.slot in slots else None,
    }
