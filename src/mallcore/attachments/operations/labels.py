"""Labels: movable names of versions, moved by compare-and-set; every move stays on record."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field
from sqlalchemy import delete, insert, select, update

from mallcore.attachments.model.shapes import AttachmentRef, IdempotencyKey, Label, LabelMove, LabelName, Number
from mallcore.attachments.model.tables import label as labels
from mallcore.attachments.model.tables import label_move, version
from mallcore.attachments.operations.happened import LabelSet
from mallcore.attachments.operations.owners import attachment_row, of_attachment
from mallcore.attachments.rules.refs import is_label, version_ref
from mallcore.errors import ContentErased, InvalidInput, LabelMoved, UnknownAttachment, UnknownLabel, UnknownVersion
from mallcore.kernel.context import Context
from mallcore.kernel.operations import Rest, operation
from mallcore.kernel.paging import Cursor, Limit, Page, decode, page

Expect = Annotated[
    int | None, Field(ge=0, le=999_999_999, description="The version at which the label must stand now; 0: at none.")
]


@operation(permission="attachments.write", kind="command", subject=of_attachment,
           errors=(ContentErased, InvalidInput, LabelMoved, UnknownAttachment, UnknownVersion),
           rest=Rest("PUT", "/attachments/{attachment}/labels/{label}"))  # fmt: skip
def set_label(
    ctx: Context,
    *,
    attachment: AttachmentRef,
    label: LabelName,
    to: Number,
    expect: Expect = None,
    idempotency_key: IdempotencyKey = None,
) -> Label:
    """Move a label to a version, or make it. With ``expect`` only from there: `LabelMoved` says where it stands."""
    anchor = attachment_row(ctx, attachment, locked=True)
    return moved(ctx, anchor, label, to, expect)


@operation(permission="attachments.write", kind="command", subject=of_attachment,
           errors=(LabelMoved, UnknownAttachment, UnknownLabel),
           rest=Rest("DELETE", "/attachments/{attachment}/labels/{label}", 204))  # fmt: skip
def remove_label(
    ctx: Context,
    *,
    attachment: AttachmentRef,
    label: LabelName,
    expect: Expect = None,
    idempotency_key: IdempotencyKey = None,
) -> None:
    """Take a label away; the version stays."""
    anchor = attachment_row(ctx, attachment, locked=True)
    current = _current(ctx, attachment, label)
    if current is None:
        raise UnknownLabel(attachment=attachment, label=label)
    _refuse_moved(label, expect, current)
    taken_away(ctx, anchor, label, current)


@operation(
    permission="attachments.read",
    subject=of_attachment,
    errors=(UnknownAttachment,),
    rest=Rest("GET", "/attachments/{attachment}/labels/{label}/moves"),
)
def label_history(
    ctx: Context, *, attachment: AttachmentRef, label: LabelName, limit: Limit = 50, cursor: Cursor = None
) -> Page[LabelMove]:
    """Where a label has stood, newest first."""
    columns = label_move.c
    query = select(label_move).where(columns.attachment_id == attachment, columns.name == label)
    if cursor is not None:
        query = query.where(columns.number < decode(cursor, int)[0])
    rows = ctx.execute(query.order_by(columns.number.desc()).limit(limit + 1)).all()
    return page(rows, limit, _move, lambda row: (row.number,))


def moved(ctx: Context, anchor: Any, label: str, to: int, expect: int | None) -> Label:
    """Move a label of an attachment whose row is locked."""
    if not is_label(label):
        raise InvalidInput(field="label", reason="it begins with a letter and has only a-z, 0-9 and single - _ between")
    current = _current(ctx, anchor.id, label)
    _refuse_moved(label, expect, current)
    _refuse_gone(ctx, anchor.id, to)
    if current == to:
        return _label(ctx, anchor.id, label)
    values = {"n": to, "at": ctx.now()}
    if current is None:
        ctx.execute(insert(labels), {"attachment_id": anchor.id, "name": label, "moves": 0, **values})
    else:
        ctx.execute(update(labels).where(*_mine(anchor.id, label)).values(**values))
    _on_record(ctx, anchor, label, current, to)
    return _label(ctx, anchor.id, label)


def taken_away(ctx: Context, anchor: Any, label: str, current: int) -> None:
    """Take a label off an attachment whose row is locked."""
    ctx.execute(delete(labels).where(*_mine(anchor.id, label)))
    _on_record(ctx, anchor, label, current, None)


def _mine(attachment: str, label: str) -> tuple[Any, ...]:
    return labels.c.attachment_id == attachment, labels.c.name == label


def _current(ctx: Context, attachment: str, label: str) -> int | None:
    return ctx.execute(select(labels.c.n).where(*_mine(attachment, label))).scalar_one_or_none()


def _refuse_moved(label: str, expect: int | None, current: int | None) -> None:
    if expect is not None and expect != (current or 0):
        raise LabelMoved(label=label, expected=expect, actual=current)


def _refuse_gone(ctx: Context, attachment: str, n: int) -> None:
    """A label stands only at a version that can be read."""
    query = select(version.c.dropped_at).where(version.c.attachment_id == attachment, version.c.n == n)
    row = ctx.execute(query).one_or_none()
    if row is None:
        raise UnknownVersion(attachment=attachment, version=n)
    if row.dropped_at is not None:
        raise ContentErased(version=version_ref(attachment, n), at=row.dropped_at.isoformat())


def _on_record(ctx: Context, anchor: Any, label: str, before: int | None, after: int | None) -> None:
    mine = (label_move.c.attachment_id == anchor.id, label_move.c.name == label)
    last = ctx.execute(select(label_move.c.number).where(*mine).order_by(label_move.c.number.desc()).limit(1))
    number = (last.scalar_one_or_none() or 0) + 1
    row = {"attachment_id": anchor.id, "name": label, "number": number, "n": after}
    ctx.execute(insert(label_move), {**row, "by": ctx.principal.ref, "at": ctx.now()})
    ctx.execute(update(labels).where(*_mine(anchor.id, label)).values(moves=number))
    ctx.record(
        LabelSet(
            subject=anchor.id,
            unit_id=anchor.unit_id,
            channel_id=anchor.channel_id,
            version=version_ref(anchor.id, after) if after else "",
            before={label: before},
            after={label: after},
        )
    )


def _label(ctx: Context, attachment: str, label: str) -> Label:
    row = ctx.execute(select(labels).where(*_mine(attachment, label))).one()
    return Label(attachment=attachment, name=label, n=row.n, ref=version_ref(attachment, row.n), at=row.at)


def _move(row: Any) -> LabelMove:
    return LabelMove(name=row.name, number=row.number, n=row.n, by=row.by, at=row.at)
