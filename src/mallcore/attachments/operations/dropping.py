"""Dropping versions: the content is given up, the record stays. What still shows or must keep a version forbids it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import ColumnElement, and_, exists, or_, select, true, tuple_, update

from mallcore.attachments.model.reports import Reason
from mallcore.attachments.model.shapes import IdempotencyKey, Version, VersionRef
from mallcore.attachments.model.tables import attachment, hold, label, pin
from mallcore.attachments.model.tables import version as versions
from mallcore.attachments.operations.kept import VersionDropped
from mallcore.attachments.operations.owners import attachment_row, of_attachment
from mallcore.attachments.operations.policies import Slots
from mallcore.attachments.operations.reading import found_version, one_version
from mallcore.attachments.rules.refs import parsed, version_ref
from mallcore.attachments.rules.slots import Slot
from mallcore.errors import (
    ContentErased,
    InUse,
    InvalidReference,
    MallError,
    OnHold,
    UnknownAttachment,
    UnknownLabel,
    UnknownVersion,
)
from mallcore.kernel.context import Context
from mallcore.kernel.operations import Rest, operation

_AT_ONCE = 200
_VERSION = (versions.c.attachment_id, versions.c.n)
HELD = exists().where(
    hold.c.attachment_id == versions.c.attachment_id,
    hold.c.released_at.is_(None),
    or_(hold.c.n.is_(None), hold.c.n == versions.c.n),
)
LABELLED = exists().where(label.c.attachment_id == versions.c.attachment_id, label.c.n == versions.c.n)
PINNED = exists().where(pin.c.attachment_id == versions.c.attachment_id, pin.c.n == versions.c.n)


@operation(permission="attachments.manage", kind="command", subject=of_attachment,
           errors=(ContentErased, InUse, InvalidReference, OnHold, UnknownAttachment, UnknownLabel, UnknownVersion),
           rest=Rest("DELETE", "/versions/{version}"))  # fmt: skip
def drop_version(
    ctx: Context, *, version: VersionRef, reason: Reason = "dropped", idempotency_key: IdempotencyKey = None
) -> Version:
    """Give up the content of a version; the record of it stays, and what nothing else refers to is collected.

    `InUse` while a label, a snapshot or a channel's history shows it; `OnHold` under a hold or a retention.
    """
    anchor = attachment_row(ctx, parsed(version).attachment, locked=True)
    found = found_version(ctx, parsed(version))
    if found.dropped_at is not None:
        raise ContentErased(version=found.ref, at=found.dropped_at.isoformat())
    refusal = why_kept(ctx, found) or _why_shown(ctx, found)
    if refusal is not None:
        raise refusal
    drop(ctx, anchor, [found.n], reason)
    return one_version(ctx, found.attachment, found.n)


def why_kept(ctx: Context, found: Version) -> MallError | None:
    """The hold or the retention that keeps a version, as a refusal."""
    query = select(hold).where(hold.c.attachment_id == found.attachment, hold.c.released_at.is_(None))
    row = ctx.execute(query.where(or_(hold.c.n.is_(None), hold.c.n == found.n)).limit(1)).first()
    if row is not None:
        return OnHold(what=found.ref, reason=f"{row.reason} ({row.id})")
    if found.retain_until is not None and found.retain_until > ctx.now():
        return OnHold(what=found.ref, reason=f"it must be kept until {found.retain_until.isoformat()}")
    return None


def _why_shown(ctx: Context, found: Version) -> MallError | None:
    mine = select(label.c.name).where(label.c.attachment_id == found.attachment, label.c.n == found.n)
    row = ctx.execute(mine.limit(1)).first()
    if row is not None:
        return InUse(what=found.ref, by=f"the label {row.name!r}")
    pins = select(pin.c.holder).where(pin.c.attachment_id == found.attachment, pin.c.n == found.n)
    row = ctx.execute(pins.order_by(pin.c.holder).limit(1)).first()
    return None if row is None else InUse(what=found.ref, by=row.holder)


def drop(ctx: Context, anchor: Any, numbers: Iterable[int], reason: str, **more: Any) -> None:
    """Drop versions of an attachment whose row is locked; on record."""
    for n in numbers:
        mine = (versions.c.attachment_id == anchor.id, versions.c.n == n)
        ctx.execute(update(versions).where(*mine).values(dropped_at=ctx.now(), dropped_for=reason, **more))
        ctx.record(
            VersionDropped(
                subject=anchor.id,
                unit_id=anchor.unit_id,
                channel_id=anchor.channel_id,
                version=version_ref(anchor.id, n),
                details={"reason": reason},
            )
        )


def expire_versions(ctx: Context) -> int:
    """Drop what the slots no longer keep; never what is labelled, pinned, held or retained. Part of housekeeping."""
    bounded = [one for one in ctx.port(Slots).values() if one.keep_versions is not None or one.keep_days is not None]
    return sum(_expired(ctx, slot) for slot in bounded)


def _expired(ctx: Context, slot: Slot) -> int:
    total = 0
    while rows := _expire(ctx, slot):
        total += len(rows)
    return total


def _expire(ctx: Context, slot: Slot) -> Sequence[Any]:
    """Some versions of a slot; the anchors are locked first, so that what forbids it is seen, or waits."""
    with ctx.apart() as own:
        free = _beyond(own, slot)
        query = select(*_VERSION).join(attachment, attachment.c.id == versions.c.attachment_id)
        query = query.where(attachment.c.slot == slot.name, free).limit(_AT_ONCE)
        held = [tuple(row) for row in own.execute(query.with_for_update(skip_locked=True, of=attachment))]
        if not held:
            return []
        still = select(*_VERSION).join(attachment, attachment.c.id == versions.c.attachment_id)
        rows = own.execute(still.where(tuple_(*_VERSION).in_(held), free)).all()
        for row in rows:
            drop(own, attachment_row(own, row.attachment_id), [row.n], "expired")
        return rows


def _beyond(ctx: Context, slot: Slot) -> ColumnElement[bool]:
    """Beyond every bound that the slot sets, and kept by nothing else."""
    retained = versions.c.retain_until.is_not(None) & (versions.c.retain_until > ctx.now())
    many = true() if slot.keep_versions is None else versions.c.n <= attachment.c.head - slot.keep_versions
    long = true() if slot.keep_days is None else versions.c.created_at < ctx.now() - timedelta(days=slot.keep_days)
    return and_(versions.c.dropped_at.is_(None), many, long, ~retained, ~HELD, ~LABELLED, ~PINNED)
