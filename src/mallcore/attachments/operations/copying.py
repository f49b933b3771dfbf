"""Copying one content from store to store, as an upload does: intent and row first, then the bytes, then the claim.

A copy's key is drawn anew, never the one of another store: no key is named by a row twice. While it is made, the intent
keeps the content from being collected; when its process dies, the collector finds the key by the intent or by the row.
"""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Any, BinaryIO, NamedTuple

from sqlalchemy import delete, func, insert, select, update

from mallcore.attachments.model.reports import Undone
from mallcore.attachments.model.tables import blob, replica, upload, version
from mallcore.attachments.operations.kept import CopyLost, CopyMade
from mallcore.attachments.operations.reading import replicas
from mallcore.attachments.operations.staging import STAGED_FOR, locked, new_incarnation
from mallcore.attachments.rules.refs import object_key
from mallcore.attachments.rules.uploads import EXPIRED, OPEN
from mallcore.errors import ContentMismatch, MallError, ObjectExists, ObjectMissing, StoreUnavailable
from mallcore.kernel.context import Context
from mallcore.kernel.ids import new_id
from mallcore.kernel.objects import ObjectStore, Stores

_PIECE = 1 << 18


class Planned(NamedTuple):
    """A copy that is to be made: its intent, what of, and where to."""

    id: str
    content: Any
    store: str
    key: str


def copied(ctx: Context, content: Any, to: str, *, reread: bool = False) -> Undone | bool:
    """Copy a content (a row of blob) to a store: whether there was something to do, or what went wrong.

    Its hash is checked on the way; with ``reread`` the store is asked for it again, too.
    """
    planned = plan(ctx, content, to)
    if planned is None:
        return False
    try:
        transfer(ctx, planned, reread)
    except MallError as error:
        give_up(ctx, planned)
        return Undone(store=to, key=planned.key, reason=f"{error.code}: {error}"[:500])
    return settle(ctx, planned) or Undone(store=to, key=planned.key, reason="the content was collected meanwhile")


def plan(ctx: Context, content: Any, to: str) -> Planned | None:
    """The intent and the row of the copy; nothing when the store has it, or the content is about to go."""
    with ctx.apart() as own:
        if not _held(own, content):
            return None
        key = object_key(content.unit_id, content.digest, new_incarnation())
        row = own.execute(select(replica).where(*_copy_of(content, to))).one_or_none()
        if row is None:
            new = {"unit_id": content.unit_id, "digest": content.digest, "incarnation": content.incarnation}
            new |= {"store": to, "object_key": key, "state": "pending", "created_at": own.now()}
            own.execute(insert(replica), new)
        elif row.state == "pending":  # somebody died over it, or wrote it beside us: the key holds this or nothing
            key = row.object_key
        elif row.state == "lost":
            own.execute(insert(upload), _intent(own, content, to, row.object_key, EXPIRED))
            own.execute(update(replica).where(*_copy_of(content, to)).values(object_key=key, state="pending"))
        else:
            return None
        intent = _intent(own, content, to, key, "open")
        own.execute(insert(upload), intent)
    return Planned(intent["id"], content, to, key)


def _held(ctx: Context, content: Any) -> bool:
    """Whether the content is still there, in this incarnation; then nobody changes its copies until we are done."""
    mine = (blob.c.unit_id == content.unit_id, blob.c.digest == content.digest)
    row = ctx.execute(select(blob).where(*mine).with_for_update()).one_or_none()
    return row is not None and (row.incarnation, row.state) == (content.incarnation, "ready")


def _copy_of(content: Any, store: str) -> tuple[Any, ...]:
    names = ("unit_id", "digest", "incarnation")
    return (*(replica.c[name] == getattr(content, name) for name in names), replica.c.store == store)


def _intent(ctx: Context, content: Any, store: str, key: str, state: str) -> dict[str, Any]:
    return {
        "id": new_id("upl"),
        "kind": "copy",
        "unit_id": content.unit_id,
        "owner_kind": "unit",
        "owner_id": content.unit_id,
        "slot": "",
        "store": store,
        "object_key": key,
        "incarnation": content.incarnation,
        "digest": content.digest,
        "size": content.size,
        "received": 0,
        "file_name": "",
        "state": state,
        "created_by": ctx.principal.ref,
        "created_at": ctx.now(),
        "lease_until": ctx.now() + STAGED_FOR,
    }


def transfer(ctx: Context, planned: Planned, reread: bool = False) -> None:
    """The bytes: from whichever other copy is whole."""
    content, stores = planned.content, ctx.port(Stores)
    with ctx.apart() as own:
        sources = [row for row in replicas(own, content.unit_id, content.digest) if row.store != planned.store]
        until = _retained(own, content)
    failed: MallError = ObjectMissing(key=content.digest)
    for source in sources:
        try:
            with stores[source.store].open(source.object_key) as stream:
                _put(stores[planned.store], planned, stream, until, reread)
            return
        except ContentMismatch as error:
            mark_lost(ctx, source, str(error))
            failed = error
        except (ObjectMissing, StoreUnavailable) as error:
            failed = error
    raise failed


def _retained(ctx: Context, content: Any) -> datetime | None:
    """Until when some version of the content must be kept."""
    mine = (version.c.unit_id == content.unit_id, version.c.digest == content.digest, version.c.dropped_at.is_(None))
    until: datetime | None = ctx.execute(select(func.max(version.c.retain_until)).where(*mine)).scalar_one()
    return until


def _put(store: ObjectStore, planned: Planned, stream: BinaryIO, until: datetime | None, reread: bool) -> None:
    content = planned.content
    about: dict[str, Any] = {"size": content.size, "sha256": content.digest, "content_type": content.detected_type}
    try:
        store.put_new(planned.key, stream, **about, **locked(store, until))
    except ObjectExists:
        reread = True
    if reread and digest_of(store, planned.key) != content.digest:
        raise ObjectExists(f"The store {store.url} has other content under {planned.key!r}.", key=planned.key)


def digest_of(store: ObjectStore, key: str) -> str:
    """The SHA-256 of what a store gives."""
    found = hashlib.sha256()
    with store.open(key) as stream:
        while piece := stream.read(_PIECE):
            found.update(piece)
    return found.hexdigest()


def settle(ctx: Context, planned: Planned) -> bool:
    """The copy counts, if the content is still there in this incarnation; else the collector takes what was written."""
    with ctx.apart() as own:
        content, mine = planned.content, (upload.c.id == planned.id, upload.c.state.in_(OPEN))
        pending = (*_copy_of(content, planned.store), replica.c.state == "pending", replica.c.object_key == planned.key)
        if not _held(own, content):
            own.execute(update(upload).where(*mine).values(state=EXPIRED))
            return False
        now = {"state": "ready", "verified_at": own.now()}
        if own.execute(update(replica).where(*pending).values(**now)).rowcount == 1:
            about = {"store": planned.store, "size": content.size}
            own.record(CopyMade(subject=f"sha256:{content.digest}", unit_id=content.unit_id, details=about))
        elif not _is_ready(own, planned):  # the row went meanwhile: what was written is nobody's
            own.execute(update(upload).where(*mine).values(state=EXPIRED))
            return False
        own.execute(delete(upload).where(*mine))
        return True


def _is_ready(ctx: Context, planned: Planned) -> bool:
    """Whether somebody else has made the very same copy."""
    same = (*_copy_of(planned.content, planned.store), replica.c.object_key == planned.key, replica.c.state == "ready")
    return ctx.execute(select(replica.c.store).where(*same)).first() is not None


def give_up(ctx: Context, planned: Planned) -> None:
    """The copy was not made: its intent need not wait for the end of its lease."""
    with ctx.apart() as own:
        mine = (upload.c.id == planned.id, upload.c.state.in_(OPEN))
        own.execute(update(upload).where(*mine).values(state=EXPIRED))


def mark_lost(ctx: Context, copy: Any, reason: str) -> bool:
    """A copy is missing or not what it should be; not if it is about to be deleted anyhow."""
    with ctx.apart() as own:
        if not _held(own, copy):
            return False
        same = (*_copy_of(copy, copy.store), replica.c.object_key == copy.object_key, replica.c.state == "ready")
        if own.execute(update(replica).where(*same).values(state="lost")).rowcount != 1:
            return False
        about = {"store": copy.store, "key": copy.object_key, "why": reason[:500]}
        own.record(CopyLost(subject=f"sha256:{copy.digest}", unit_id=copy.unit_id, details=about))
        return True
