"""Erasing somebody's uploads: their content goes at once, over pins and labels; the record of the versions stays."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from sqlalchemy import ColumnElement, and_, or_, select

from mallcore.attachments.model.reports import Erasure, Kept, PrincipalRef
from mallcore.attachments.model.tables import attachment, label, upload
from mallcore.attachments.model.tables import version as versions
from mallcore.attachments.operations.abandoning import expire_uploads
from mallcore.attachments.operations.collecting import Blob, collected
from mallcore.attachments.operations.dropping import drop, why_kept
from mallcore.attachments.operations.kept import UploadsErased
from mallcore.attachments.operations.labels import taken_away
from mallcore.attachments.operations.owners import attachment_row
from mallcore.attachments.operations.policies import Slots
from mallcore.attachments.operations.reading import one_version
from mallcore.attachments.rules.refs import owner_parts
from mallcore.errors import InvalidReference, StageFirst
from mallcore.kernel.context import Context
from mallcore.kernel.operations import Rest, operation

_EVERYTHING = 10**9


@operation(permission="attachments.manage", errors=(InvalidReference, StageFirst),
           rest=Rest("POST", "/attachments/erase"))  # fmt: skip
def erase(ctx: Context, *, principal: PrincipalRef) -> Erasure:
    """Erase what somebody uploaded: what belongs to them, and what they put into slots that are not public.

    Over snapshots, histories and labels; only a hold or a retention keeps a version, and the answer says which. What
    no one else's version holds is deleted from every store at once. Reading it then raises `ContentErased`.
    """
    if ctx.work.writing:
        raise StageFirst("Erasing has transactions of its own: do it in a unit of work that does not write.")
    ctx.work.let_go()
    kind, id = owner_parts(principal)
    belongs = and_(upload.c.owner_kind == kind, upload.c.owner_id == id)
    uploads = expire_uploads(ctx, or_(belongs, upload.c.created_by == principal) & (upload.c.kind != "copy"))
    with ctx.apart() as own:
        gone, labels, kept = _dropped(own, _theirs(own, kind, id))
        count = len(gone)
        about = {"versions": count, "uploads": len(uploads), "kept": [one.version for one in kept]}
        own.record(UploadsErased(subject=principal, details=about))
    gone += [(row.unit_id, row.digest) for row in uploads if row.digest is not None]
    return Erasure(
        principal=principal,
        versions=count,
        uploads=len(uploads),
        labels=labels,
        kept=kept,
        collected=collected(ctx, 0, _EVERYTHING, gone),
    )


def _theirs(ctx: Context, kind: str, id: str) -> ColumnElement[bool]:
    public = [slot.name for slot in ctx.port(Slots).values() if slot.public]
    belongs = and_(attachment.c.owner_kind == kind, attachment.c.owner_id == id)
    made = and_(versions.c.created_by == f"{kind}:{id}", attachment.c.slot.not_in(public))
    return and_(or_(belongs, made), versions.c.dropped_at.is_(None))


def _dropped(ctx: Context, theirs: ColumnElement[bool]) -> tuple[list[Blob], int, list[Kept]]:
    """The contents that lost a version, how many labels went, and what is kept."""
    query = select(versions.c.attachment_id, versions.c.n, versions.c.unit_id, versions.c.digest)
    query = query.join(attachment, attachment.c.id == versions.c.attachment_id).where(theirs)
    rows = defaultdict[str, list[Any]](list)
    for row in ctx.execute(query.order_by(versions.c.attachment_id, versions.c.n)):
        rows[row.attachment_id].append(row)
    gone, labels, kept = list[Blob](), 0, list[Kept]()
    for id, of_one in rows.items():
        anchor = attachment_row(ctx, id, locked=True)
        going = list[Any]()
        for row in of_one:
            found = one_version(ctx, id, row.n)
            refusal = why_kept(ctx, found)
            if refusal is not None:
                kept.append(Kept(version=found.ref, reason=str(refusal)))
            elif found.dropped_at is None:
                going.append(row)
        labels += _unlabelled(ctx, anchor, {row.n for row in going})
        # what somebody called it and said of it goes with it
        drop(ctx, anchor, [row.n for row in going], "erased", file_name="erased", meta=None, declared_type=None)
        gone += [(row.unit_id, row.digest) for row in going]
    return gone, labels, kept


def _unlabelled(ctx: Context, anchor: Any, numbers: set[int]) -> int:
    rows = ctx.execute(select(label).where(label.c.attachment_id == anchor.id)).all()
    theirs = [row for row in rows if row.n in numbers]
    for row in theirs:
        taken_away(ctx, anchor, row.name, row.n)
    return len(theirs)
