"""Reading: attachments, their versions, what was live at a time, and the bytes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Annotated, Any, BinaryIO

from pydantic import Field
from sqlalchemy import select

from mallcore.attachments.model.shapes import (
    At,
    Attachment,
    AttachmentRef,
    IdempotencyKey,
    OwnerRef,
    SlotName,
    UnitRef,
    Version,
    VersionRef,
)
from mallcore.attachments.model.tables import attachment as attachments
from mallcore.attachments.model.tables import blob, label, replica
from mallcore.attachments.model.tables import version as versions
from mallcore.attachments.operations.happened import AttachmentRemoved, ContentRead
from mallcore.attachments.operations.moments import number_then
from mallcore.attachments.operations.owners import attachment_row, of_attachment, owned_by, within
from mallcore.attachments.operations.quarantine import refuse_on_record
from mallcore.attachments.operations.roles import best_first
from mallcore.attachments.operations.verified import verified
from mallcore.attachments.rules.refs import LIVE, Ref, parsed, version_ref
from mallcore.errors import (
    ContentErased,
    InvalidReference,
    NothingToDo,
    ObjectMissing,
    Quarantined,
    RangeNotSatisfiable,
    StoreDenied,
    StoreUnavailable,
    UnknownAttachment,
    UnknownLabel,
    UnknownVersion,
)
from mallcore.kernel.context import Context
from mallcore.kernel.objects import Stores
from mallcore.kernel.operations import Rest, anywhere, operation
from mallcore.kernel.paging import Cursor, Limit, Page, decode, page
from mallcore.kernel.recording import record_now

_Byte = Annotated[int, Field(ge=0)]
_VERSION = (
    select(
        versions,
        attachments.c.owner_kind,
        attachments.c.owner_id,
        attachments.c.slot,
        attachments.c.channel_id,
        blob.c.facts,
    )
    .join(attachments, attachments.c.id == versions.c.attachment_id)
    .outerjoin(blob, (blob.c.unit_id == versions.c.unit_id) & (blob.c.digest == versions.c.digest))
)


@operation(permission="attachments.read", subject=of_attachment, errors=(UnknownAttachment,),
           rest=Rest("GET", "/attachments/{attachment}"))  # fmt: skip
def get_attachment(ctx: Context, *, attachment: AttachmentRef) -> Attachment:
    """One attachment, with where its labels stand."""
    return _attachments(ctx, [attachment_row(ctx, attachment)])[0]


@operation(permission="attachments.read", subject=anywhere, rest=Rest("GET", "/attachments"))
def list_attachments(
    ctx: Context,
    *,
    owner: OwnerRef | None = None,
    unit: UnitRef = None,
    slot: SlotName | None = None,
    removed: Annotated[bool, Field(description="List those that were removed, too.")] = False,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[Attachment]:
    """The attachments of an owner, or all that the caller may see, oldest first."""
    columns = attachments.c
    query = select(attachments).order_by(columns.id).limit(limit + 1)
    reach = ctx.reach("attachments.read")
    if owner is not None:
        query = query.where(owned_by(ctx, owner, unit, reach))
    if slot is not None:
        query = query.where(columns.slot == slot)
    if not removed:
        query = query.where(columns.removed_at.is_(None))
    if not reach.everywhere:
        query = query.where(within(ctx, reach))
    if cursor is not None:
        query = query.where(columns.id > decode(cursor, str)[0])
    rows = ctx.execute(query).all()
    shown = {one.id: one for one in _attachments(ctx, rows[:limit])}
    return page(rows, limit, lambda row: shown[row.id], lambda row: (row.id,))


def _attachments(ctx: Context, rows: Iterable[Any]) -> list[Attachment]:
    """Shapes of rows, whose labels are read in one query."""
    rows = list(rows)
    stands: dict[str, dict[str, int]] = {row.id: {} for row in rows}
    for one in ctx.execute(select(label).where(ctx.backend.among(label.c.attachment_id, list(stands)))):
        stands[one.attachment_id][one.name] = one.n
    return [
        Attachment(
            id=row.id,
            owner=f"{row.owner_kind}:{row.owner_id}",
            slot=row.slot,
            unit_id=row.unit_id,
            channel_id=row.channel_id,
            head=row.head,
            labels=stands[row.id],
            created_by=row.created_by,
            created_at=row.created_at,
            removed_at=row.removed_at,
        )
        for row in rows
    ]


@operation(permission="attachments.read", subject=of_attachment,
           errors=(InvalidReference, UnknownAttachment, UnknownLabel, UnknownVersion),
           rest=Rest("GET", "/versions/{version}"))  # fmt: skip
def get_version(ctx: Context, *, version: VersionRef, at: At = None) -> Version:
    """One version: by number, digest or label; with ``at``, the one its label named then."""
    return found_version(ctx, parsed(version), at)


@operation(permission="attachments.read", subject=of_attachment, errors=(UnknownAttachment,),
           rest=Rest("GET", "/attachments/{attachment}/versions"))  # fmt: skip
def list_versions(
    ctx: Context, *, attachment: AttachmentRef, limit: Limit = 50, cursor: Cursor = None
) -> Page[Version]:
    """All versions of an attachment, newest first; those whose content was dropped too."""
    attachment_row(ctx, attachment)
    query = _VERSION.where(versions.c.attachment_id == attachment).order_by(versions.c.n.desc()).limit(limit + 1)
    if cursor is not None:
        query = query.where(versions.c.n < decode(cursor, int)[0])
    return page(ctx.execute(query).all(), limit, _shape, lambda row: (row.n,))


def found_version(ctx: Context, ref: Ref, at: datetime | str | None = None) -> Version:
    """The version a reference names, now or at a moment."""
    if ref.n is not None:
        return one_version(ctx, ref.attachment, ref.n)
    if ref.digest is not None:
        return _by_digest(ctx, ref)
    name = ref.label or LIVE
    n = number_then(ctx, ref.attachment, name, at) if at is not None else _labelled(ctx, ref.attachment, name)
    if n is None:
        raise UnknownLabel(attachment=ref.attachment, label=name)
    return one_version(ctx, ref.attachment, n)


def _labelled(ctx: Context, attachment: str, name: str) -> int | None:
    query = select(label.c.n).where(label.c.attachment_id == attachment, label.c.name == name)
    return ctx.execute(query).scalar_one_or_none()


def one_version(ctx: Context, attachment: str, n: int) -> Version:
    """The version with this number; `UnknownVersion` when there is none."""
    row = ctx.execute(_VERSION.where(versions.c.attachment_id == attachment, versions.c.n == n)).one_or_none()
    if row is None:
        raise UnknownVersion(attachment=attachment, version=n)
    return _shape(row)


def _by_digest(ctx: Context, ref: Ref) -> Version:
    mine = (versions.c.attachment_id == ref.attachment, versions.c.digest == ref.digest)
    row = ctx.execute(_VERSION.where(*mine).order_by(versions.c.n).limit(1)).one_or_none()
    if row is None:
        raise UnknownVersion(attachment=ref.attachment, version=f"sha256:{ref.digest}")
    return _shape(row)


def _shape(row: Any) -> Version:
    facts = row.facts or {}
    names = ("n", "unit_id", "channel_id", "slot", "file_name", "size", "digest", "detected_type", "declared_type",
             "meta", "created_by", "created_at", "retain_until", "dropped_at", "dropped_for")  # fmt: skip
    return Version(
        ref=version_ref(row.attachment_id, row.n),
        attachment=row.attachment_id,
        owner=f"{row.owner_kind}:{row.owner_id}",
        width=facts.get("width"),
        height=facts.get("height"),
        **{name: getattr(row, name) for name in names},
    )


@operation(permission="attachments.read", subject=of_attachment,
           errors=(ContentErased, InvalidReference, Quarantined, RangeNotSatisfiable, StoreUnavailable,
                   UnknownVersion))  # fmt: skip
def open_version(
    ctx: Context, *, version: VersionRef, start: _Byte = 0, end: _Byte | None = None, at: At = None
) -> BinaryIO:
    """The bytes of a version, from ``start`` up to, not including, ``end``; the caller closes the stream.

    That it is read goes on record before the first byte comes. (For content behind links, see `open_link`.)
    """
    found = found_version(ctx, parsed(version), at)
    if start > found.size or (end is not None and end < start):
        raise RangeNotSatisfiable(range=f"{start}-{end}", size=found.size)
    refuse_on_record(ctx, found)
    read_on_record(ctx, found)
    return opened(ctx, found, start, end)


def read_on_record(ctx: Context, found: Version) -> None:
    """Put on record, for good, that the content is about to be read: where that can't be done, nothing is served."""
    about = found.attachment, found.unit_id, found.channel_id
    record_now(ctx, ContentRead(subject=about[0], unit_id=about[1], channel_id=about[2], version=found.ref))


def opened(ctx: Context, found: Version, start: int = 0, end: int | None = None) -> BinaryIO:
    """The bytes of a version from whichever replica has them. Permission and record are the caller's business."""
    if found.dropped_at is not None:
        raise ContentErased(version=found.ref, at=found.dropped_at.isoformat())
    return opened_blob(ctx, found.unit_id, found.digest, start, end)


def opened_blob(ctx: Context, unit_id: str, digest: str, start: int = 0, end: int | None = None) -> BinaryIO:
    """The bytes of a unit's content: from the store that is written to when it has them, else from a mirror."""
    stores, failed = ctx.port(Stores), None
    for row in _read_twice(ctx, unit_id, digest):
        try:
            stream = stores[row.store].open(row.object_key, start, end)
            whole = start == 0 and end is None
            return verified(stream, digest, stores[row.store].url) if whole else stream
        except (ObjectMissing, StoreDenied, StoreUnavailable) as error:
            failed = failed or error
    reason = "none of the copies can be read" if failed is None else str(failed)
    raise StoreUnavailable(store=", ".join(stores.names), reason=reason) from failed


def _read_twice(ctx: Context, unit_id: str, digest: str) -> Iterator[Any]:
    """The copies, and those that came since: a store may be emptied between our look at the rows and at the store."""
    seen = replicas(ctx, unit_id, digest)
    yield from seen
    known = {(row.store, row.object_key) for row in seen}
    yield from (row for row in replicas(ctx, unit_id, digest) if (row.store, row.object_key) not in known)


def replicas(ctx: Context, unit_id: str, digest: str) -> list[Any]:
    """Where a content lies, best copy first."""
    mine = (replica.c.unit_id == unit_id, replica.c.digest == digest, replica.c.state == "ready")
    current = (blob.c.unit_id == unit_id) & (blob.c.digest == digest) & (blob.c.incarnation == replica.c.incarnation)
    query = best_first(select(replica).join(blob, current).where(*mine))
    stores = ctx.port(Stores)
    return [row for row in ctx.execute(query) if row.store in stores]


@operation(permission="attachments.write", kind="command", subject=of_attachment,
           errors=(NothingToDo, UnknownAttachment), rest=Rest("DELETE", "/attachments/{attachment}"))  # fmt: skip
def remove_attachment(ctx: Context, *, attachment: AttachmentRef, idempotency_key: IdempotencyKey = None) -> Attachment:
    """Take an attachment out of lists. Its versions stay readable by their references; a new version brings it back."""
    row = attachment_row(ctx, attachment, locked=True)
    if row.removed_at is not None:
        raise NothingToDo()
    values = {"removed_at": ctx.now()}
    ctx.execute(attachments.update().where(attachments.c.id == attachment).values(**values))
    ctx.record(AttachmentRemoved(subject=attachment, unit_id=row.unit_id, channel_id=row.channel_id))
    return _attachments(ctx, [attachment_row(ctx, attachment)])[0]
