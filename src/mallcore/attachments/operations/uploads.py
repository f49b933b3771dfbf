"""Resumable uploads: begun, then brought part by part, by whoever goes on where it stands; then finished.

Each part is an object of its own, so that no store's rule on sizes matters, and a part counts only when its row says
so: an object without such a row is as if it had never come. Of two parts at one offset, one counts.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any

from pydantic import Field
from sqlalchemy import func, insert, select, update

from mallcore.attachments.model.shapes import Content, FileName, MediaType, Meta, OwnerRef, Sha256, SlotName, Staged
from mallcore.attachments.model.shapes import UnitRef as Unit
from mallcore.attachments.model.tables import upload, upload_part
from mallcore.attachments.model.uploads import Offset, Size, Upload, UploadRef
from mallcore.attachments.operations.arriving import Arrived, arrived
from mallcore.attachments.operations.finishing import (
    begin,
    finished,
    give_up,
    part_key,
    part_row,
    refuse_writing,
    sources,
    staged,
    upload_row,
)
from mallcore.attachments.operations.owners import of_owner, of_upload, owner_of
from mallcore.attachments.operations.policies import Slots
from mallcore.attachments.operations.received import UploadContinued
from mallcore.attachments.operations.staging import Intended
from mallcore.attachments.rules.names import checked_file_name
from mallcore.attachments.rules.uploading import MOST_PARTS, checked_meta, parsed_checksum, refuse_beyond
from mallcore.errors import (
    ContentMismatch,
    ContentRefused,
    InvalidInput,
    LimitExceeded,
    StageFirst,
    StoreUnavailable,
    UnknownSlot,
    UnknownUpload,
    UploadClosed,
    WrongOffset,
)
from mallcore.kernel.context import Context
from mallcore.kernel.objects import Stores
from mallcore.kernel.operations import Rest, operation

KIND = "tus"
WAITS = timedelta(hours=24)  # how long an upload waits for its next part
Sum = Annotated[
    str | None,
    Field(max_length=200, description="Of this part, as tus writes it: `sha256` or `sha1`, a space, Base64."),
]
_CLOSED = (UnknownUpload, UploadClosed)


@operation(permission="attachments.write", subject=of_owner,
           errors=(InvalidInput, LimitExceeded, StageFirst, UnknownSlot),
           rest=Rest("POST", "/uploads", 201))  # fmt: skip
def begin_upload(
    ctx: Context,
    *,
    owner: OwnerRef,
    file_name: FileName,
    slot: SlotName = "file",
    unit: Unit = None,
    size: Size | None = None,
    sha256: Sha256 = None,
    declared_type: MediaType = None,
    meta: Meta = None,
) -> Upload:
    """Begin an upload that comes in parts, with `append`. Its size may be announced now or with its end."""
    about, policy = owner_of(ctx, owner, unit), ctx.port(Slots)[slot]
    intended = Intended(KIND, about, policy, checked_file_name(file_name), declared_type, checked_meta(meta))
    return _shape(begin(ctx, intended, size, sha256, WAITS, whole=False).row)


@operation(permission="attachments.write", subject=of_upload, errors=_CLOSED, rest=Rest("GET", "/uploads/{upload}"))
def get_upload(ctx: Context, *, upload: UploadRef) -> Upload:
    """Where an upload stands: whoever goes on with it begins at its ``offset``."""
    return _shape(upload_row(ctx, upload, KIND))


@operation(permission="attachments.write", subject=of_upload,
           errors=(ContentMismatch, InvalidInput, LimitExceeded, StageFirst, StoreUnavailable, WrongOffset, *_CLOSED),
           rest=Rest("PATCH", "/uploads/{upload}", raw="content", streamed=True))  # fmt: skip
def append(
    ctx: Context,
    *,
    upload: UploadRef,
    offset: Offset,
    content: Content,
    checksum: Sum = None,
    size: Size | None = None,
) -> Upload:
    """Bring the next bytes. When it returns they are there for good; of a part that is cut, what came before the cut.

    ``offset`` is where the upload stands: `WrongOffset` when it stands elsewhere, since another part was faster, say.
    With a ``checksum`` all of the part counts or nothing. ``size`` announces the size of the whole, if it was not.
    """
    refuse_writing(ctx)
    asked = None if checksum is None else parsed_checksum(checksum)
    row = _at(upload_row(ctx, upload, KIND), offset)
    whole = _whole(ctx, row, size)
    ctx.work.let_go()
    with arrived(content, whole - offset, "what is left of the upload in bytes", asked) as part:
        found = _kept(ctx, row, size, part)
        if part.cut is not None:
            raise part.cut
    return found


@operation(permission="attachments.write", subject=of_upload,
           errors=(ContentMismatch, ContentRefused, LimitExceeded, StageFirst, StoreUnavailable, WrongOffset,
                   *_CLOSED), rest=Rest("POST", "/uploads/{upload}/finish"))  # fmt: skip
def finish_upload(ctx: Context, *, upload: UploadRef) -> Staged:
    """Make the parts one content, to be attached with the upload's id within the hour. Doing so again is harmless.

    Content that is not what was announced, or that the slot does not take, ends the upload.
    """
    row = upload_row(ctx, upload, KIND)
    if row.state == "staged":
        return staged(ctx, row)
    if row.incarnation is None and row.size not in (None, row.received):
        raise WrongOffset(actual=row.received, given=row.size)
    return finished(ctx, row, sources(ctx, upload, "written"))


@operation(permission="attachments.write", subject=of_upload, errors=(StageFirst, *_CLOSED),
           rest=Rest("DELETE", "/uploads/{upload}", 204))  # fmt: skip
def end_upload(ctx: Context, *, upload: UploadRef) -> None:
    """Give an upload up, of whatever kind: what came is collected."""
    refuse_writing(ctx)
    give_up(ctx, upload_row(ctx, upload))


def _at(row: Any, offset: int) -> Any:
    """The row, if parts can be added at the offset."""
    if row.incarnation is not None:
        raise UploadClosed(upload=row.id, state="finished")
    if row.received != offset:
        raise WrongOffset(actual=row.received, given=offset)
    return row


def _whole(ctx: Context, row: Any, size: int | None) -> int:
    """How large the upload is, or may become."""
    if size is not None and row.size not in (None, size):
        raise InvalidInput(field="size", reason=f"{row.size} bytes were announced before")
    if size is not None and size < row.received:
        raise InvalidInput(field="size", reason=f"there are {row.received} bytes already")
    largest = ctx.port(Slots)[row.slot].largest
    refuse_beyond(f"the size for the slot {row.slot!r} in bytes", size or 0, largest)
    announced: int | None = row.size if size is None else size
    return largest if announced is None else min(largest, announced)


def _kept(ctx: Context, row: Any, size: int | None, part: Arrived) -> Upload:
    """The part's intent, its object, and then the row that makes it count."""
    number = 0
    if part.size > 0:
        key = part_key(row.id)
        with ctx.apart() as own:
            number = _planned(own, row, key)
        ctx.port(Stores)[row.store].put_new(key, part.file, size=part.size, sha256=part.digest)
    with ctx.apart() as own:
        return _counted(own, row, size, number, part)


def _planned(ctx: Context, row: Any, key: str) -> int:
    """The number of a part whose intent is now on record; those that came to nothing count too."""
    _at(upload_row(ctx, row.id, KIND, locked=True), row.received)
    query = select(func.max(upload_part.c.number)).where(upload_part.c.upload_id == row.id)
    number = (ctx.execute(query).scalar_one() or 0) + 1
    refuse_beyond("the number of parts", number, MOST_PARTS)
    ctx.execute(insert(upload_part), part_row(row.id, number, key, row.received))
    return int(number)


def _counted(ctx: Context, row: Any, size: int | None, number: int, part: Arrived) -> Upload:
    """One of those who stand at the offset gets here first."""
    current = _at(upload_row(ctx, row.id, KIND, locked=True), row.received)
    values: dict[str, Any] = {"received": current.received + part.size, "lease_until": ctx.now() + WAITS}
    if size is not None:
        values["size"] = size
    ctx.execute(update(upload).where(upload.c.id == row.id).values(**values))
    if number > 0:
        mine = (upload_part.c.upload_id == row.id, upload_part.c.number == number)
        ctx.execute(update(upload_part).where(*mine).values(state="written", size=part.size))
        details = {"offset": current.received, "size": part.size}
        ctx.record(UploadContinued(subject=row.id, unit_id=row.unit_id, channel_id=row.channel_id, details=details))
    return _shape(upload_row(ctx, row.id, KIND))


def _shape(row: Any) -> Upload:
    names = ("id", "slot", "unit_id", "file_name", "size", "state", "declared_type", "meta", "created_at")
    shown = {name: getattr(row, name) for name in names}
    return Upload(owner=f"{row.owner_kind}:{row.owner_id}", offset=row.received, expires=row.lease_until, **shown)
