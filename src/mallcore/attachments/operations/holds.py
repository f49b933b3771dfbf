"""Legal holds and retention: what must be kept is kept, whoever asks for its removal."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from pydantic import Field
from sqlalchemy import insert, select, update

from mallcore.attachments.model.reports import Hold, HoldId
from mallcore.attachments.model.shapes import AttachmentRef, IdempotencyKey, Version, VersionRef
from mallcore.attachments.model.tables import attachment as attachments
from mallcore.attachments.model.tables import hold as holds
from mallcore.attachments.model.tables import version as versions
from mallcore.attachments.operations.kept import HoldPlaced, HoldReleased, RetentionSet
from mallcore.attachments.operations.owners import Given, attachment_row, of_attachment, of_row
from mallcore.attachments.operations.reading import found_version, one_version
from mallcore.attachments.rules.refs import parsed, version_ref
from mallcore.errors import (
    ContentErased,
    InvalidInput,
    InvalidReference,
    NothingToDo,
    OnHold,
    UnknownAttachment,
    UnknownHold,
    UnknownLabel,
    UnknownVersion,
)
from mallcore.kernel.context import Context
from mallcore.kernel.ids import new_id
from mallcore.kernel.operations import Rest, anywhere, operation
from mallcore.kernel.paging import Cursor, Limit, Page, decode, page
from mallcore.kernel.ports import Subject
from mallcore.kernel.reaching import seen

MANAGE = "attachments.manage"
Why = Annotated[str, Field(min_length=1, max_length=500, description="Kept on record.")]


def _of_hold(ctx: Context, given: Given) -> Subject:
    return of_row(attachment_row(ctx, _hold(ctx, given["hold"]).attachment_id))(ctx)


@operation(permission=MANAGE, kind="command", subject=of_attachment,
           errors=(ContentErased, UnknownAttachment, UnknownVersion),
           rest=Rest("POST", "/attachments/{attachment}/holds", 201))  # fmt: skip
def place_hold(
    ctx: Context,
    *,
    attachment: AttachmentRef,
    reason: Why,
    n: Annotated[int | None, Field(ge=1, description="One version; left out: all, those to come too.")] = None,
    idempotency_key: IdempotencyKey = None,
) -> Hold:
    """Place a legal hold: until it is released nothing expires, is dropped or erased that is under it."""
    anchor = attachment_row(ctx, attachment, locked=True)
    if n is not None:
        found = one_version(ctx, attachment, n)
        if found.dropped_at is not None:
            raise ContentErased(version=found.ref, at=found.dropped_at.isoformat())
    row = {"id": new_id("hld"), "unit_id": anchor.unit_id, "attachment_id": attachment, "n": n, "reason": reason}
    ctx.execute(insert(holds), {**row, "placed_by": ctx.principal.ref, "placed_at": ctx.now()})
    _record(ctx, HoldPlaced, anchor, n, {"hold": row["id"], "why": reason})
    return _shape(_hold(ctx, str(row["id"])))


@operation(permission=MANAGE, kind="command", subject=_of_hold, errors=(NothingToDo, UnknownHold),
           rest=Rest("POST", "/holds/{hold}/release"))  # fmt: skip
def release_hold(ctx: Context, *, hold: HoldId, idempotency_key: IdempotencyKey = None) -> Hold:
    """Release a hold; the record of it stays."""
    row = _hold(ctx, hold)
    now = {"released_by": ctx.principal.ref, "released_at": ctx.now()}
    if ctx.execute(update(holds).where(holds.c.id == hold, holds.c.released_at.is_(None)).values(**now)).rowcount != 1:
        raise NothingToDo()
    _record(ctx, HoldReleased, attachment_row(ctx, row.attachment_id), row.n, {"hold": hold})
    return _shape(_hold(ctx, hold))


@operation(permission=MANAGE, subject=anywhere, rest=Rest("GET", "/holds"))
def list_holds(
    ctx: Context,
    *,
    attachment: AttachmentRef | None = None,
    released: Annotated[bool, Field(description="Those that were released, too.")] = False,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[Hold]:
    """The holds that stand where the caller may place them, oldest first."""
    query = select(holds).join(attachments, attachments.c.id == holds.c.attachment_id)
    if attachment is not None:
        query = query.where(holds.c.attachment_id == attachment)
    if not released:
        query = query.where(holds.c.released_at.is_(None))
    reach = ctx.reach(MANAGE)
    if not reach.everywhere:
        query = query.where(seen(reach, attachments.c.unit_id, attachments.c.channel_id))
    if cursor is not None:
        query = query.where(holds.c.id > decode(cursor, str)[0])
    rows = ctx.execute(query.order_by(holds.c.id).limit(limit + 1)).all()
    return page(rows, limit, _shape, lambda row: (row.id,))


@operation(permission="attachments.write", kind="command", subject=of_attachment,
           errors=(ContentErased, InvalidInput, InvalidReference, NothingToDo, OnHold, UnknownAttachment, UnknownLabel,
                   UnknownVersion),
           rest=Rest("PUT", "/versions/{version}/retention"))  # fmt: skip
def set_retention(
    ctx: Context,
    *,
    version: VersionRef,
    until: Annotated[datetime | None, Field(description="Kept at least until then; without it: as long as wanted.")],
    idempotency_key: IdempotencyKey = None,
) -> Version:
    """Set until when a version must be kept. Who may manage attachments may shorten it; others only lengthen it."""
    anchor = attachment_row(ctx, parsed(version).attachment, locked=True)
    found = found_version(ctx, parsed(version))
    if found.dropped_at is not None:
        raise ContentErased(version=found.ref, at=found.dropped_at.isoformat())
    if until is not None and until.tzinfo is None:
        raise InvalidInput(field="until", reason="it has no time zone")
    before = found.retain_until
    if until == before:
        raise NothingToDo()
    shortened = before is not None and (until is None or until < before)
    if shortened and not ctx.may(MANAGE, of_row(anchor)(ctx)):
        raise OnHold(what=found.ref, reason=f"it must be kept until {before.isoformat() if before else ''}")
    mine = (versions.c.attachment_id == anchor.id, versions.c.n == found.n)
    ctx.execute(update(versions).where(*mine).values(retain_until=until))
    times = {"before": before and before.isoformat(), "until": until and until.isoformat()}
    _record(ctx, RetentionSet, anchor, found.n, times)
    return one_version(ctx, anchor.id, found.n)


def _hold(ctx: Context, id: str) -> Any:
    row = ctx.execute(select(holds).where(holds.c.id == id)).one_or_none()
    if row is None:
        raise UnknownHold(hold=id)
    return row


def _record(ctx: Context, kind: Any, anchor: Any, n: int | None, details: dict[str, Any]) -> None:
    about = version_ref(anchor.id, n) if n is not None else ""
    where = {"unit_id": anchor.unit_id, "channel_id": anchor.channel_id}
    ctx.record(kind(subject=anchor.id, version=about, details=details, **where))


def _shape(row: Any) -> Hold:
    names = ("id", "n", "reason", "placed_by", "placed_at", "released_by", "released_at")
    return Hold(attachment=row.attachment_id, **{name: getattr(row, name) for name in names})
