"""Uploads that come in several requests: how they begin, and how what has come becomes content.

What arrives lies under keys of its own until the upload is finished: then it is read once, counted, hashed and looked
into, whatever its sender has said of it, and goes the way of all content (`staging`). A row tells each key there may
be: those of what arrived move to a row of their own, which the collector finds when they are of no more use.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from contextlib import closing
from datetime import timedelta
from typing import Any, BinaryIO, NamedTuple, cast

from sqlalchemy import insert, select, update

from mallcore.attachments.model.shapes import Staged
from mallcore.attachments.model.tables import blob, upload, upload_part
from mallcore.attachments.operations.arriving import Joined
from mallcore.attachments.operations.happened import UploadBegun
from mallcore.attachments.operations.policies import Slots
from mallcore.attachments.operations.quarantine import found_at_upload, refuse_bad, scanned
from mallcore.attachments.operations.received import UploadEnded, UploadFinished
from mallcore.attachments.operations.roles import written_store
from mallcore.attachments.operations.staging import (
    STAGED_FOR,
    Claim,
    Intended,
    Spooled,
    claimed,
    kept_until,
    spooled,
    written,
)
from mallcore.attachments.rules.uploading import refuse_beyond
from mallcore.attachments.rules.uploads import EXPIRED, OPEN
from mallcore.errors import (
    ContentMismatch,
    ContentRefused,
    LimitExceeded,
    MallError,
    ObjectMissing,
    StageFirst,
    StoreUnavailable,
    UnknownUpload,
    UploadClosed,
)
from mallcore.kernel.context import Context
from mallcore.kernel.ids import new_id
from mallcore.kernel.objects import Stores

_SOURCES = "parts"  # the kind of the row that what arrived moves to
REFUSALS = (ContentMismatch, ContentRefused, LimitExceeded)


class Begun(NamedTuple):
    """An upload whose intent is committed, and the key of what is to arrive, where it is one object."""

    row: Any
    key: str


def begin(
    ctx: Context, intended: Intended, size: int | None, sha256: str | None, lease: timedelta, *, whole: bool
) -> Begun:
    """Commit the intent of an upload; ``whole``: it arrives as one object."""
    refuse_writing(ctx)
    refuse_beyond(f"the size for the slot {intended.slot.name!r} in bytes", size or 0, intended.slot.largest)
    id = new_id("upl")
    key = part_key(id)
    with ctx.apart() as own:
        row = _intent(own, id, intended) | {"size": size, "digest": sha256, "lease_until": own.now() + lease}
        own.execute(insert(upload), row)
        if whole:
            own.execute(insert(upload_part), part_row(id, 0, key, 0))
        details = {"owner": intended.owner.ref, "slot": intended.slot.name, "kind": intended.kind, "size": size}
        unit_id, channel_id = intended.owner.unit_id, intended.owner.channel_id
        own.record(UploadBegun(subject=id, unit_id=unit_id, channel_id=channel_id, details=details))
        return Begun(upload_row(own, id, intended.kind), key)


def refuse_writing(ctx: Context) -> None:
    """Raise `StageFirst` in a unit of work that writes: bytes must not move while it holds its locks."""
    if ctx.work.writing:
        raise StageFirst()


def part_key(id: str) -> str:
    """A key for what arrives, which nobody can guess and nobody uses again."""
    return f"u/{id}.{secrets.token_hex(16)}"


def part_row(id: str, number: int, key: str, start: int) -> dict[str, Any]:
    """The intent of a part."""
    return {"upload_id": id, "number": number, "object_key": key, "start": start, "size": 0, "state": "writing"}


def _intent(ctx: Context, id: str, intended: Intended) -> dict[str, Any]:
    owner = intended.owner
    return {
        "id": id,
        "kind": intended.kind,
        "unit_id": owner.unit_id,
        "channel_id": owner.channel_id,
        "owner_kind": owner.kind,
        "owner_id": owner.id,
        "slot": intended.slot.name,
        "store": written_store(ctx),
        "received": 0,
        "file_name": intended.file_name,
        "declared_type": intended.declared_type,
        "meta": intended.meta,
        "state": "open",
        "created_by": ctx.principal.ref,
        "created_at": ctx.now(),
    }


def upload_row(ctx: Context, id: str, kind: str | None = None, *, locked: bool = False) -> Any:
    """The row of an upload that is alive, of this kind: `UnknownUpload` or `UploadClosed` otherwise."""
    query = select(upload).where(upload.c.id == id)
    row = ctx.execute(query.with_for_update() if locked else query).one_or_none()
    if row is None or row.kind not in ((kind,) if kind else ("direct", "tus")):
        raise UnknownUpload(upload=id)
    if row.state not in OPEN or row.lease_until <= ctx.now():
        raise UploadClosed(upload=id, state="attached or expired")
    return row


def sources(ctx: Context, id: str, *states: str) -> Sequence[Any]:
    """What has arrived of an upload, in order, with the store it lies in."""
    mine = upload_part.c.upload_id.in_((id, _sources_id(id)))
    query = select(upload_part, upload.c.store).join(upload, upload.c.id == upload_part.c.upload_id).where(mine)
    return ctx.execute(query.where(upload_part.c.state.in_(states)).order_by(upload_part.c.start)).all()


def finished(ctx: Context, row: Any, parts: Sequence[Any]) -> Staged:
    """Make what has arrived content that waits to be attached; doing so again answers the same."""
    refuse_writing(ctx)
    policy = ctx.port(Slots)[row.slot]
    ctx.work.let_go()
    stores = ctx.port(Stores)
    stream = Joined([lambda part=part: stores[part.store].open(part.object_key) for part in parts])  # type: ignore[misc]
    size = row.received if row.size is None else row.size
    try:
        with closing(stream), spooled(cast(BinaryIO, stream), policy, size=size, sha256=row.digest) as content:
            return _kept(ctx, row, content)
    except REFUSALS as error:
        give_up(ctx, row, error)
        raise
    except ObjectMissing:
        return staged_meanwhile(ctx, row, StoreUnavailable(store=row.store, reason="a part of the upload is missing"))


def _kept(ctx: Context, row: Any, content: Spooled) -> Staged:
    """Claim, write, and say so: each in a step that can be done again."""
    slot = ctx.port(Slots)[row.slot]
    found_at_upload(ctx, row.unit_id, content.digest, scanned(ctx, content.file, content.facts, slot))
    with ctx.apart() as own:
        current = upload_row(own, row.id, row.kind, locked=True)
        if current.state == "staged":  # another request was faster
            return staged(own, current)
        refuse_bad(own, row.unit_id, content.digest, slot)
        claim = claimed(own, row.unit_id, content)
        _claim(own, current, content, claim)
    if claim.object_key is not None:
        written(ctx, content, claim.store, claim.object_key, kept_until(ctx, slot))
    with ctx.apart() as own:
        return _done(own, row, content, claim)


def _claim(ctx: Context, row: Any, content: Spooled, claim: Claim) -> None:
    """The intent now names the content; what arrived is named by a row of its own, while it is needed."""
    if row.object_key not in (None, claim.object_key):  # an earlier try may still be writing there
        _leave(ctx, row, new_id("upl"), EXPIRED, row.object_key)
    if row.incarnation is None:
        _leave(ctx, row, _sources_id(row.id), "open", None)
        moved = update(upload_part).where(upload_part.c.upload_id == row.id)
        ctx.execute(moved.values(upload_id=_sources_id(row.id)))
    values = {
        "store": claim.store,
        "object_key": claim.object_key,
        "incarnation": claim.incarnation,
        "digest": content.digest,
        "size": content.facts.size,
        "received": content.facts.size,
    }
    ctx.execute(update(upload).where(upload.c.id == row.id).values(**values))


def _leave(ctx: Context, row: Any, id: str, state: str, key: str | None) -> None:
    """A row by which the collector finds keys of this upload."""
    same = ("unit_id", "channel_id", "owner_kind", "owner_id", "slot", "store", "file_name", "created_by", "created_at",
            "lease_until")  # fmt: skip
    new = {name: getattr(row, name) for name in same}
    ctx.execute(insert(upload), new | {"id": id, "kind": _SOURCES, "state": state, "object_key": key, "received": 0})


def _sources_id(id: str) -> str:
    return f"{id}.p"


def _done(ctx: Context, row: Any, content: Spooled, claim: Claim) -> Staged:
    mine = (upload.c.id == row.id, upload.c.state == "open", upload.c.incarnation == claim.incarnation)
    values = {"state": "staged", "lease_until": ctx.now() + STAGED_FOR}
    if ctx.execute(update(upload).where(*mine).values(**values)).rowcount == 1:
        _let_sources_go(ctx, row.id)
        details = {"kind": row.kind, "digest": content.digest, "store": claim.store}
        ctx.record(UploadFinished(subject=row.id, unit_id=row.unit_id, channel_id=row.channel_id, details=details))
    return staged(ctx, upload_row(ctx, row.id))


def _let_sources_go(ctx: Context, id: str) -> None:
    ctx.execute(update(upload).where(upload.c.id == _sources_id(id)).values(state=EXPIRED))


def give_up(ctx: Context, row: Any, error: MallError | None = None) -> bool:
    """The upload is over: refused, or ended; what has arrived is collected. Returns whether it was alive."""
    with ctx.apart() as own:
        alive = (upload.c.id == row.id, upload.c.state.in_(OPEN))
        ended = own.execute(update(upload).where(*alive).values(state=EXPIRED)).rowcount == 1
        _let_sources_go(own, row.id)
        details = {"kind": row.kind, "reason": "ended" if error is None else f"{error.code}: {error}"[:300]}
        own.record(UploadEnded(subject=row.id, unit_id=row.unit_id, channel_id=row.channel_id, details=details))
    return ended


def staged_meanwhile(ctx: Context, row: Any, error: MallError) -> Staged:
    """What somebody else has finished meanwhile, so that its parts are gone; raises the error when nobody has."""
    with ctx.apart() as own:
        current = upload_row(own, row.id, row.kind)
        if current.state == "staged":
            return staged(own, current)
    raise error


def staged(ctx: Context, row: Any) -> Staged:
    """The shape of a finished upload."""
    mine = (blob.c.unit_id == row.unit_id, blob.c.digest == row.digest)
    detected = ctx.execute(select(blob.c.detected_type).where(*mine)).scalar_one()
    names = ("id", "slot", "unit_id", "file_name", "size", "digest", "lease_until")
    shown = {name: getattr(row, name) for name in names}
    return Staged(owner=f"{row.owner_kind}:{row.owner_id}", detected_type=detected, **shown)
