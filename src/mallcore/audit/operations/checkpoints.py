"""Checkpoints: signed in a transaction of their own, then written to the second store, with the tiles they stand on.

A checkpoint that could not be written waits in its row, and is tried again. Bytes never move inside a transaction.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from datetime import timedelta
from io import BytesIO
from typing import Any

from sqlalchemy import ColumnElement, select, update

from mallcore.audit.model.shapes import SignedCheckpoint, VerificationKeyInfo
from mallcore.audit.model.tables import audit_checkpoint, audit_record
from mallcore.audit.operations.sequencing import Head, committed, head_of, node_of, sequence, tile_of
from mallcore.audit.rules import notes, tiles
from mallcore.audit.rules.leaves import leaf
from mallcore.audit.rules.tree import leaf_hash, root
from mallcore.errors import LogBroken, MallError, ObjectExists, ObjectMissing
from mallcore.kernel.context import Context
from mallcore.kernel.keys import Keyring
from mallcore.kernel.objects import ObjectStore, Stores
from mallcore.kernel.operations import Rest, operation
from mallcore.kernel.paging import Cursor, Limit, Page, decode, page

PURPOSE = "checkpoints"
_COLUMNS = audit_checkpoint.c
_NEWEST_FIRST = select(audit_checkpoint).order_by(_COLUMNS.size.desc())


def keep_log(ctx: Context, records: int, seconds: float) -> int:
    """Sequence what waits, make a checkpoint when it is time, and write those that wait; returns how many records.

    It is time when the log has grown by so many records since the last one, or at all and that one is so old.
    """
    added = sequence(ctx)
    with committed(ctx) as now:
        newest, head = now.execute(_NEWEST_FIRST.limit(1)).first(), head_of(now)
    grown = head.size - (newest.size if newest else 0)
    old = newest is None or ctx.now() - newest.made_at >= timedelta(seconds=seconds)
    if grown >= records or (grown > 0 and old):
        sign(ctx)
    publish(ctx)
    return added


def sign(ctx: Context) -> Any:
    """The checkpoint of the log as it is now: its row, made unless it is there. Never one that breaks with the last."""
    sequence(ctx)
    with committed(ctx) as now:
        head, newest = head_of(now), now.execute(_NEWEST_FIRST.limit(1)).first()
        if newest is not None:
            _require_growth(now, head, notes.checkpoint(newest.note))
            if newest.size == head.size:
                return newest
        found = root(node_of(now), head.size)
    key = ctx.port(Keyring).current(PURPOSE)
    note = notes.signed(head.origin, head.size, found, key.derive("ed25519"))
    with ctx.apart() as own:
        own.add_new(
            audit_checkpoint,
            {"size": head.size, "note": note, "key_number": key.number, "made_at": ctx.now()},
        )
        return own.execute(select(audit_checkpoint).where(_COLUMNS.size == head.size)).one()


def _require_growth(ctx: Context, head: Head, old: notes.Checkpoint) -> None:
    """Whoever shortened or rewrote the tree gets no signature for it."""
    if head.size < old.size:
        raise LogBroken(index=head.size, reason=f"the log ends here, and had {old.size} records: its end is cut")
    if root(node_of(ctx), old.size) != old.root:
        raise LogBroken(index=0, reason=f"the first {old.size} records are not those of the last checkpoint")


def publish(ctx: Context) -> None:
    """Write the checkpoints that wait to the second store, oldest first, until one fails: why is kept in their rows."""
    store = ctx.port(Stores).checkpoints
    with committed(ctx) as now:
        waiting = now.execute(_NEWEST_FIRST.where(_COLUMNS.stored_at.is_(None))).all()
        stored = now.execute(_NEWEST_FIRST.where(_COLUMNS.stored_at.is_not(None)).limit(1)).first()
    if store is None:
        return
    since: int | None = None
    for row in reversed(waiting):
        try:
            since = _known_size(store, stored) if since is None else since
            _store(ctx, store, row, min(since, row.size))
        except MallError as error:
            _keep(ctx, _COLUMNS.stored_at.is_(None), failure=f"{error.code}: {error}"[:1000])
            if isinstance(error, LogBroken):
                raise
            return
        _keep(ctx, _COLUMNS.size == row.size, stored_at=ctx.now(), failure=None)
        since = row.size


def _known_size(store: ObjectStore, stored: Any) -> int:
    """How much of the tree the store has; nothing, when it is not the one that has the last checkpoint."""
    if stored is None:
        return 0
    try:
        store.stat(key_of(notes.checkpoint(stored.note).origin, stored.size))
    except ObjectMissing:
        return 0
    return int(stored.size)


def _keep(ctx: Context, which: ColumnElement[bool], **values: Any) -> None:
    with ctx.apart() as own:
        own.execute(update(audit_checkpoint).where(which).values(**values))


def _store(ctx: Context, store: ObjectStore, row: Any, since: int) -> None:
    """The tiles first: whoever reads a checkpoint finds the tree it stands for."""
    origin = notes.checkpoint(row.note).origin
    for level, number, width in tiles.shown(row.size, since):
        with committed(ctx) as now:
            hashes = tile_of(now, level, number)[: 32 * width]
            leaves = list(_leaves(now, number, tiles.hashes(hashes))) if level == 0 else []
        put(store, f"{origin}/{tiles.path(level, number, width)}", hashes)
        if level == 0:
            put(store, f"{origin}/{tiles.path('entries', number, width)}", tiles.bundle(leaves))
    put(store, key_of(origin, row.size), row.note.encode())


def key_of(origin: str, size: int) -> str:
    """Where the second store keeps a checkpoint: the last key of a log is its newest."""
    return f"checkpoint/{origin}/{size:020d}"


def _leaves(ctx: Context, number: int, hashes: Sequence[bytes]) -> Iterator[bytes]:
    """The leaves of a tile, which must be what it was made of."""
    index, start = audit_record.c.log_index, number * tiles.WIDTH
    query = select(audit_record).where(index >= start, index < start + len(hashes)).order_by(index)
    rows = ctx.execute(query).mappings().all()
    for at, hashed in enumerate(hashes):
        found = leaf(dict(rows[at])) if at < len(rows) else b""
        if leaf_hash(found) != hashed:
            raise LogBroken(index=start + at, reason="the record is not the one that was sequenced")
        yield found


def put(store: ObjectStore, key: str, content: bytes) -> None:
    """Keep an object that is there already or not; another one under its key is somebody else's log."""
    try:
        store.put_new(key, BytesIO(content), size=len(content), sha256=tiles.digest(content))
    except ObjectExists:
        if get(store, key) != content:
            raise LogBroken(index=0, reason=f"the second store holds another {key}: the log was forked") from None


def get(store: ObjectStore, key: str) -> bytes:
    """The whole content of an object."""
    with store.open(key) as stream:
        return stream.read()


def newest_stored(ctx: Context, origin: str) -> notes.Checkpoint | None:
    """The newest checkpoint in the second store, which whoever changes the database does not reach."""
    store = ctx.port(Stores).checkpoints
    if store is None:
        return None
    keys = [one.key for one in store.iter(f"checkpoint/{origin}/")]
    return notes.checkpoint(get(store, max(keys)).decode()) if keys else None


def keys_of(ctx: Context, origin: str) -> list[notes.VerificationKey]:
    """What verifies the log's checkpoints: every key that is not revoked."""
    every = ctx.port(Keyring).every(PURPOSE)
    return [notes.public_key(origin, one.derive("ed25519")) for one in every if one.revoked_at is None]


def _shown(row: Any) -> SignedCheckpoint:
    found = base64.b64encode(notes.checkpoint(row.note).root).decode()
    return SignedCheckpoint(
        size=row.size, root=found, note=row.note, made_at=row.made_at, stored_at=row.stored_at, failure=row.failure
    )


@operation(permission="audit.manage", errors=(LogBroken,), rest=Rest("POST", "/audit/checkpoints"))
def checkpoint(ctx: Context) -> SignedCheckpoint:
    """Make a checkpoint of the log as it is now, and write it to the second store; where that fails, it is kept.

    >>> made = checkpoint(ctx)
    >>> made.note.splitlines()[1] == str(made.size), made.failure
    (True, None)
    """
    made = sign(ctx)
    publish(ctx)
    with committed(ctx) as now:
        return _shown(now.execute(select(audit_checkpoint).where(_COLUMNS.size == made.size)).one())


@operation(permission="audit.read", rest=Rest("GET", "/audit/checkpoints"))
def list_checkpoints(ctx: Context, *, limit: Limit = 50, cursor: Cursor = None) -> Page[SignedCheckpoint]:
    """The checkpoints, newest first."""
    query = _NEWEST_FIRST.limit(limit + 1)
    if cursor is not None:
        query = query.where(_COLUMNS.size < decode(cursor, int)[0])
    return page(ctx.execute(query).all(), limit, _shown, lambda row: (row.size,))


@operation(permission="audit.read", rest=Rest("GET", "/audit/keys"))
def verification_keys(ctx: Context) -> list[VerificationKeyInfo]:
    """The keys that verify checkpoints, oldest first; give them to whoever checks the log from outside."""
    ctx.work.may_wait()
    origin, ring = head_of(ctx).origin, ctx.port(Keyring)
    current = ring.current(PURPOSE).number
    return [
        VerificationKeyInfo(
            number=one.number,
            key=str(notes.public_key(origin, one.derive("ed25519"))),
            state="revoked" if one.revoked_at else "current" if one.number == current else "old",
            created_at=one.created_at,
        )
        for one in ring.every(PURPOSE)
    ]
