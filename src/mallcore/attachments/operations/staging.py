"""Staging: bytes reach the store before, and outside, the unit of work that will refer to them.

The write protocol (states in docs/explanation/the-write-protocol.md): an intent and the claim of the blob's row are
committed first (U0, U1); then the object is written under a key that belongs to this claim alone (U2); the caller's
transaction only claims what is there (U3, in `attaching`). Nothing is deleted here, whatever fails: the collector
works from the intents.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from io import BytesIO
from typing import Any, BinaryIO, NamedTuple, cast

from sqlalchemy import insert, select, update

from mallcore.attachments.model.shapes import (
    Content,
    FileName,
    MediaType,
    Meta,
    OwnerRef,
    Sha256,
    SlotName,
    Staged,
    UnitRef,
)
from mallcore.attachments.model.tables import blob, replica, upload
from mallcore.attachments.operations.arriving import pieces
from mallcore.attachments.operations.happened import UploadBegun
from mallcore.attachments.operations.owners import Owner, of_owner, owner_of
from mallcore.attachments.operations.policies import Slots
from mallcore.attachments.operations.quarantine import found_at_upload, refusals_on_record, refuse_bad, scanned
from mallcore.attachments.operations.roles import written_store
from mallcore.attachments.rules.inspection import examined
from mallcore.attachments.rules.names import checked_file_name
from mallcore.attachments.rules.refs import object_key
from mallcore.attachments.rules.slots import Facts, Slot, refusal
from mallcore.attachments.rules.uploading import checked_meta
from mallcore.errors import (
    ContentMismatch,
    ContentRefused,
    InvalidInput,
    LimitExceeded,
    ObjectExists,
    StageFirst,
    StoreUnavailable,
)
from mallcore.kernel.context import Context
from mallcore.kernel.ids import new_id
from mallcore.kernel.objects import ObjectStore, Stores
from mallcore.kernel.operations import operation

STAGED_FOR = timedelta(hours=1)  # how long staged content waits to be attached
DERIVE = "derive"  # the kind of an upload that nobody sent
_IN_MEMORY = 1 << 20


class Spooled(NamedTuple):
    """Content that was read once: where it lies meanwhile, and what is known of it."""

    file: BinaryIO
    digest: str
    facts: Facts


class Claim(NamedTuple):
    """A blob's row as this upload holds it: which incarnation, and under which key its bytes are still to be written.

    Without a key there is nothing to write, and nothing that the collector would have to delete should this fail.
    """

    incarnation: str
    store: str
    object_key: str | None


class Intended(NamedTuple):
    """What an upload is for."""

    kind: str
    owner: Owner
    slot: Slot
    file_name: str
    declared_type: str | None
    meta: dict[str, Any] | None


@operation(
    permission="attachments.write",
    subject=of_owner,
    errors=(ContentMismatch, ContentRefused, InvalidInput, LimitExceeded, StoreUnavailable),
)
def stage(
    ctx: Context,
    *,
    file: Content,
    file_name: FileName,
    owner: OwnerRef,
    slot: SlotName = "file",
    unit: UnitRef = None,
    declared_type: MediaType = None,
    size: int | None = None,
    sha256: Sha256 = None,
    meta: Meta = None,
) -> Staged:
    """Bring content into the store, to be attached in this or another unit of work within the hour.

    Call it before the unit of work writes (`StageFirst` where that would wait for itself). What is announced (``size``,
    ``sha256``) is checked. Content that is never attached is collected.
    """
    about = owner_of(ctx, owner, unit)
    policy = ctx.port(Slots)[slot]
    with refusals_on_record(ctx, about, policy):
        intended = Intended("stage", about, policy, checked_file_name(file_name), declared_type, checked_meta(meta))
        ctx.work.let_go()  # whoever sends slowly must not hold a connection to the database meanwhile
        with spooled(file, policy, size=size, sha256=sha256) as content:
            return keep(ctx, intended, content)


@contextmanager
def spooled(file: Content, slot: Slot, *, size: int | None = None, sha256: str | None = None) -> Iterator[Spooled]:
    """Read the content to its end, once: count it, hash it, look into it; refuse what the slot does not take."""
    if not (isinstance(file, bytes) or hasattr(file, "read")):
        raise InvalidInput(field="file", reason=f"it is bytes or a stream of bytes, not {type(file).__name__}")
    stream = BytesIO(file) if isinstance(file, bytes) else file
    with tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY) as spool:
        digest, read = _copied(stream, cast(BinaryIO, spool), slot)
        for what, expected, actual in (("size", size, read), ("SHA-256", sha256, digest)):
            if expected is not None and expected != actual:
                raise ContentMismatch(what=what, expected=expected, actual=actual)
        spool.seek(0)
        facts = examined(cast(BinaryIO, spool), read)
        reason = refusal(slot, facts)
        if reason is not None:
            raise ContentRefused(slot=slot.name, reason=reason)
        spool.seek(0)
        yield Spooled(cast(BinaryIO, spool), digest, facts)


def _copied(stream: BinaryIO, spool: BinaryIO, slot: Slot) -> tuple[str, int]:
    found, read = hashlib.sha256(), 0
    for piece in pieces(stream):
        read += len(piece)
        if read > slot.largest:
            raise LimitExceeded(what=f"the size for the slot {slot.name!r} in bytes", actual=read, limit=slot.largest)
        found.update(piece)
        spool.write(piece)
    return found.hexdigest(), read


def keep(ctx: Context, intended: Intended, content: Spooled) -> Staged:
    """U0 to U2: intent and claim, then the bytes. The content then waits for U3."""
    if ctx.work.writing:  # on every database, though only some would wait for themselves
        raise StageFirst()
    unit_id, slot = intended.owner.unit_id, intended.slot
    if intended.kind != DERIVE:  # what is made of a content goes by the verdicts on that content
        found_at_upload(ctx, unit_id, content.digest, scanned(ctx, content.file, content.facts, slot))
    id, until = new_id("upl"), ctx.now() + STAGED_FOR
    with ctx.apart() as own:
        refuse_bad(own, unit_id, content.digest, slot)
        claim = claimed(own, unit_id, content)
        own.execute(insert(upload), _intent(own, id, intended, content, claim) | {"lease_until": until})
        own.record(
            UploadBegun(
                subject=id,
                unit_id=unit_id,
                channel_id=intended.owner.channel_id,
                details={"owner": intended.owner.ref, "slot": slot.name, "digest": content.digest},
            )
        )
    if claim.object_key is not None:
        written(ctx, content, claim.store, claim.object_key, kept_until(ctx, slot))
    facts = content.facts
    return Staged(
        id=id,
        owner=intended.owner.ref,
        slot=slot.name,
        unit_id=unit_id,
        file_name=intended.file_name,
        size=facts.size,
        digest=content.digest,
        detected_type=facts.detected_type,
        lease_until=until,
    )


def _intent(ctx: Context, id: str, intended: Intended, content: Spooled, claim: Claim) -> dict[str, Any]:
    owner = intended.owner
    return {
        "id": id,
        "kind": intended.kind,
        "unit_id": owner.unit_id,
        "channel_id": owner.channel_id,
        "owner_kind": owner.kind,
        "owner_id": owner.id,
        "slot": intended.slot.name,
        "store": claim.store,
        "object_key": claim.object_key,
        "incarnation": claim.incarnation,
        "digest": content.digest,
        "size": content.facts.size,
        "received": content.facts.size,
        "file_name": intended.file_name,
        "declared_type": intended.declared_type,
        "meta": intended.meta,
        "state": "open",
        "created_by": ctx.principal.ref,
        "created_at": ctx.now(),
    }


def claimed(ctx: Context, unit_id: str, content: Spooled) -> Claim:
    """U1: the blob's row, with an incarnation that nobody deletes under us; in a transaction of its own."""
    mine = (blob.c.unit_id == unit_id, blob.c.digest == content.digest)
    row = None
    while row is None:  # the collector may take the row between the two statements, and then it is ours to make
        ctx.add_new(blob, _blob(ctx, unit_id, content))
        row = ctx.execute(select(blob).where(*mine).with_for_update()).one_or_none()
    values: dict[str, Any] = {"touched_at": ctx.now()}
    if row.state == "deleting" or _is_lost(ctx, row):
        # a new incarnation has a new key: the collector may finish with the old one at leisure
        values |= {"incarnation": new_incarnation(), "state": "pending"}
    ctx.execute(update(blob).where(*mine).values(**values))
    return _placed(ctx, row, values.get("incarnation", row.incarnation), values.get("state", row.state) == "pending")


def _is_lost(ctx: Context, row: Any) -> bool:
    """Whether no store has a copy any more: then who brings the content again heals it."""
    same = (replica.c[name] == row._mapping[name] for name in ("unit_id", "digest", "incarnation"))
    held = select(replica.c.store).where(*same, replica.c.state == "ready").limit(1)
    return row.state == "ready" and ctx.execute(held).first() is None


def _blob(ctx: Context, unit_id: str, content: Spooled) -> dict[str, Any]:
    return {
        "unit_id": unit_id,
        "digest": content.digest,
        "incarnation": new_incarnation(),
        "size": content.facts.size,
        "state": "pending",
        "detected_type": content.facts.detected_type,
        "facts": content.facts.to_json(),
        "created_at": ctx.now(),
        "touched_at": ctx.now(),
    }


def new_incarnation() -> str:
    """Never the same twice: it is what keeps a late deletion from meeting new bytes."""
    return os.urandom(16).hex()


def _placed(ctx: Context, row: Any, incarnation: str, to_write: bool) -> Claim:
    """The claim, with a replica's row for the store that is written to."""
    store = written_store(ctx)
    if not to_write:
        return Claim(incarnation, store, None)
    key = object_key(row.unit_id, row.digest, incarnation)
    mine = {"unit_id": row.unit_id, "digest": row.digest, "incarnation": incarnation, "store": store}
    ctx.add_new(replica, {**mine, "object_key": key, "state": "pending", "created_at": ctx.now()})
    return Claim(incarnation, store, key)


def kept_until(ctx: Context, slot: Slot) -> datetime | None:
    """Until when what comes into the slot now must be kept, if it must."""
    return None if slot.retain_days is None else ctx.now() + timedelta(days=slot.retain_days)


def written(ctx: Context, content: Spooled, name: str, key: str, until: datetime | None = None) -> None:
    """U2: the bytes, under a key that is free or holds the same bytes already; locked until then where that can be."""
    store, facts = ctx.port(Stores)[name], content.facts
    about: dict[str, Any] = {"size": facts.size, "sha256": content.digest, "content_type": facts.detected_type}
    content.file.seek(0)
    try:
        store.put_new(key, content.file, **about, **locked(store, until))
    except ObjectExists:
        found = store.stat(key)
        if found.size != facts.size or found.sha256 not in (None, content.digest):
            raise StoreUnavailable(store=store.url, reason="an object it holds is not what was written") from None


def locked(store: ObjectStore, until: datetime | None) -> dict[str, Any]:
    """How to ask a store that can to let nobody, not even us, delete an object before then."""
    return {"retain_until": until} if until is not None and store.capabilities.retain_until else {}
