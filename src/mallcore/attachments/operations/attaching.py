"""U3: the caller's transaction claims what was staged, and makes it a version."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field
from sqlalchemy import insert, select, update

from mallcore.attachments.model.shapes import (
    AttachmentRef,
    Content,
    FileName,
    IdempotencyKey,
    LabelName,
    MediaType,
    Meta,
    OwnerRef,
    Sha256,
    SlotName,
    Staged,
    UnitRef,
    Version,
)
from mallcore.attachments.model.tables import attachment, blob, replica, upload
from mallcore.attachments.model.tables import version as versions
from mallcore.attachments.operations.happened import VersionAdded
from mallcore.attachments.operations.labels import moved
from mallcore.attachments.operations.owners import Given, attachment_row, located, of_owner, of_row
from mallcore.attachments.operations.policies import Slots
from mallcore.attachments.operations.reading import one_version
from mallcore.attachments.operations.staging import DERIVE, kept_until, stage
from mallcore.attachments.rules.refs import LIVE, version_ref
from mallcore.attachments.rules.uploads import OPEN, SWEPT
from mallcore.errors import (
    ContentMismatch,
    ContentRefused,
    InvalidInput,
    LabelMoved,
    LimitExceeded,
    StoreUnavailable,
    UnknownAttachment,
    UnknownUpload,
    UploadClosed,
)
from mallcore.kernel.context import Context
from mallcore.kernel.ids import new_id
from mallcore.kernel.operations import Rest, operation
from mallcore.kernel.ports import Subject

Attach = Annotated[AttachmentRef | None, Field(description="The attachment that gets it; default: a new one.")]
Labelled = Annotated[LabelName | None, Field(description="The label that moves to the new version, if any.")]
_MEDIA = ("application/octet-stream", "multipart/form-data", "*/*")
Expect = Annotated[
    int | None, Field(ge=0, le=999_999_999, description="The version at which the label must stand; 0: at none.")
]


def _of_staged(ctx: Context, given: Given) -> Subject:
    row = _upload(ctx, given["staged"])
    return located(ctx, row.owner_kind, row.owner_id, row.unit_id, row.channel_id).subject


@operation(permission="attachments.write", kind="command", subject=_of_staged,
           errors=(InvalidInput, LabelMoved, UnknownAttachment, UnknownUpload, UploadClosed),
           rest=Rest("POST", "/attachments/staged/{staged}", 201))  # fmt: skip
def attach(
    ctx: Context,
    *,
    staged: Annotated[str | Staged, Field(description="What `stage` returned, or its id.")],
    attachment: Attach = None,
    label: Labelled = LIVE,
    expect: Expect = None,
    idempotency_key: IdempotencyKey = None,
) -> Version:
    """Make staged content a version: of a new attachment, or of one that is there.

    In the caller's transaction: if that rolls back, whole or to a SAVEPOINT, the content stays staged. `UploadClosed`
    when it was attached already, or waited too long and was collected: stage it again.
    """
    row = _intent(ctx, staged)
    _taken(ctx, row)
    anchor = _anchor(ctx, row, attachment)
    n = anchor.head + 1 if attachment is not None else 1
    ctx.execute(insert(versions), _version(ctx, row, anchor.id, n))
    ref = version_ref(anchor.id, n)
    ctx.record(
        VersionAdded(
            subject=anchor.id,
            unit_id=row.unit_id,
            channel_id=row.channel_id,
            version=ref,
            details={"digest": row.digest, "size": row.size, "upload": row.id, "slot": row.slot, "store": row.store},
        )
    )
    if label is not None:
        moved(ctx, anchor, label, n, expect)
    return one_version(ctx, anchor.id, n)


def claimed_by(ctx: Context, staged: str | Staged) -> None:
    """U3 of content that becomes no version: its intent is dropped, and its blob is ready."""
    _taken(ctx, _upload(ctx, staged))


def _upload(ctx: Context, staged: str | Staged) -> Any:
    id = staged if isinstance(staged, str) else staged.id
    row = ctx.execute(select(upload).where(upload.c.id == id)).one_or_none()
    if row is None or row.kind in ("copy", "parts"):  # those are the mall's own
        raise UnknownUpload(upload=id)
    return row


def _intent(ctx: Context, staged: str | Staged) -> Any:
    row = _upload(ctx, staged)
    if row.kind == DERIVE:  # nobody sent it, so nobody attaches it
        raise UnknownUpload(upload=row.id)
    if row.incarnation is None or (row.kind in ("direct", "tus") and row.state == "open"):
        raise UploadClosed(f"The upload {row.id!r} is not finished: finish it, then attach it.", upload=row.id)
    return row


def _taken(ctx: Context, row: Any) -> None:
    """The intent is done and the blob is ready; fenced: only if it is the very incarnation that was claimed.

    The collector forgets the row later: until then a retried call can be let in, and be told what became of it.
    """
    done = update(upload).where(upload.c.id == row.id, upload.c.state.in_(OPEN)).values(state=SWEPT, object_key=None)
    if ctx.execute(done).rowcount != 1:
        raise UploadClosed(upload=row.id, state="attached or expired")
    first = _claimed(ctx, row, "pending")
    if not (_copied(ctx, row) if first else _claimed(ctx, row, "ready")):
        raise UploadClosed(upload=row.id, state="collected")


def _claimed(ctx: Context, row: Any, state: str) -> bool:
    """Whether the blob was in this state, and is ready and ours to refer to from now on."""
    held = update(blob).where(*_same(blob, row), blob.c.state == state)
    return ctx.execute(held.values(state="ready", touched_at=ctx.now())).rowcount == 1


def _copied(ctx: Context, row: Any) -> bool:
    """The copy this upload wrote counts from now on.

    Only for who makes the blob ready: of a blob that is pending everybody who claimed it wrote a copy. Who finds it
    ready may have written nothing; if it did, to another store, `mirror` looks at that copy.
    """
    mine = update(replica).where(*_same(replica, row), replica.c.store == row.store, replica.c.state == "pending")
    return ctx.execute(mine.values(state="ready", verified_at=ctx.now())).rowcount == 1


def _same(table: Any, row: Any) -> tuple[Any, ...]:
    """The very content, unit and incarnation that an intent is about."""
    return tuple(table.c[name] == getattr(row, name) for name in ("unit_id", "digest", "incarnation"))


def _anchor(ctx: Context, row: Any, id: str | None) -> Any:
    """The attachment's row, locked; a new one when none is named."""
    if id is None:
        new = {
            "id": new_id("att"),
            "unit_id": row.unit_id,
            "channel_id": row.channel_id,
            "owner_kind": row.owner_kind,
            "owner_id": row.owner_id,
            "slot": row.slot,
            "head": 1,
            "created_by": ctx.principal.ref,
            "created_at": ctx.now(),
        }
        ctx.execute(insert(attachment), new)
        return attachment_row(ctx, new["id"])
    found = attachment_row(ctx, id, locked=True)
    if (found.owner_kind, found.owner_id, found.unit_id, found.slot) != (
        row.owner_kind,
        row.owner_id,
        row.unit_id,
        row.slot,
    ):
        if not ctx.may("attachments.write", of_row(found)(ctx)):
            raise UnknownAttachment(attachment=id)
        reason = f"the content was staged for {row.owner_kind}:{row.owner_id} and the slot {row.slot!r}"
        raise InvalidInput(field="attachment", reason=f"{reason}: stage it for the attachment's owner and slot")
    counted(ctx, found)
    return found


def counted(ctx: Context, anchor: Any) -> None:
    """One version more; an attachment that was removed is back."""
    ctx.execute(update(attachment).where(attachment.c.id == anchor.id).values(head=anchor.head + 1, removed_at=None))


def _version(ctx: Context, row: Any, id: str, n: int) -> dict[str, Any]:
    detected = select(blob.c.detected_type).where(blob.c.unit_id == row.unit_id, blob.c.digest == row.digest)
    return {
        "attachment_id": id,
        "n": n,
        "unit_id": row.unit_id,
        "digest": row.digest,
        "size": row.size,
        "file_name": row.file_name,
        "declared_type": row.declared_type,
        "detected_type": ctx.execute(detected).scalar_one(),
        "meta": row.meta,
        "created_by": ctx.principal.ref,
        "created_at": ctx.now(),
        "retain_until": kept_until(ctx, ctx.port(Slots)[row.slot]),
    }


def _before(ctx: Context, given: Given) -> Given:
    """The bytes go to the store before the command writes anything."""
    names = ("file", "file_name", "owner", "slot", "unit", "declared_type", "size", "sha256", "meta")
    return {"file": stage(ctx, **{name: given[name] for name in names})}


@operation(permission="attachments.write", kind="command", subject=of_owner, before=_before,
           errors=(ContentMismatch, ContentRefused, InvalidInput, LabelMoved, LimitExceeded, StoreUnavailable,
                   UnknownAttachment),
           rest=Rest("POST", "/attachments", 201, raw="file", streamed=True, accepts=_MEDIA))  # fmt: skip
def upload_file(
    ctx: Context,
    *,
    file: Content,
    file_name: FileName,
    owner: OwnerRef,
    slot: SlotName = "file",
    unit: UnitRef = None,
    attachment: Attach = None,
    label: Labelled = LIVE,
    expect: Expect = None,
    declared_type: MediaType = None,
    size: int | None = None,
    sha256: Sha256 = None,
    meta: Meta = None,
    idempotency_key: IdempotencyKey = None,
) -> Version:
    """Upload a file as a version: `stage` and `attach` in one. The label ``live`` moves to it unless told otherwise."""
    return attach(ctx, staged=file.id, attachment=attachment, label=label, expect=expect)  # type: ignore[union-attr]
