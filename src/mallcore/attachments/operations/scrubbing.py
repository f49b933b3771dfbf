"""Scrubbing: the store and the rows are compared, in both directions, and what is there is hashed again.

It fails closed. Objects are listed before rows are asked for, so what an upload writes meanwhile is never taken for
unknown; nothing is deleted before all was listed and all rows were read; an object whose age is not known stays.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta
from itertools import chain, islice
from typing import Annotated, Any, NamedTuple

from pydantic import Field
from sqlalchemy import select, tuple_, update

from mallcore.attachments.model.reports import GraceSeconds, Scrubbed, StoreName
from mallcore.attachments.model.tables import blob, replica, upload, upload_part
from mallcore.attachments.operations.collecting import DAY
from mallcore.attachments.operations.copying import copied, digest_of, mark_lost
from mallcore.attachments.operations.kept import UnknownDeleted
from mallcore.attachments.operations.roles import removed, written_store
from mallcore.attachments.rules.uploads import PREFIXES
from mallcore.errors import ObjectMissing, StageFirst, StoreDenied, StoreUnavailable, UnknownStore
from mallcore.kernel.context import Context
from mallcore.kernel.objects import ObjectStore, Stat, Stores
from mallcore.kernel.operations import Rest, operation
from mallcore.kernel.progress import told

_AT_ONCE = 500
_COPY = (replica.c.unit_id, replica.c.digest, replica.c.incarnation, replica.c.store)


class _Looked(NamedTuple):
    """What was seen of the copies that rows tell of."""

    copies: int
    hashed: int
    missing: list[Any]
    corrupt: list[Any]


@operation(permission="attachments.manage", errors=(StageFirst, StoreDenied, StoreUnavailable, UnknownStore),
           rest=Rest("POST", "/attachments/scrub"))  # fmt: skip
def scrub(
    ctx: Context,
    *,
    store: Annotated[StoreName | None, Field(description="Default: the store that is written to.")] = None,
    sample: Annotated[float, Field(ge=0, le=1, description="Which part of the copies is read and hashed.")] = 1.0,
    delete: Annotated[bool, Field(description="Delete unknown objects that are older than the grace.")] = False,
    grace_seconds: GraceSeconds = DAY,
) -> Scrubbed:
    """Compare a store with the rows, and hash what it has; heal from other stores what is missing or corrupt.

    Any error of the store ends it, with nothing deleted. Unknown objects are reported, and deleted only when asked.
    """
    if ctx.work.writing:
        raise StageFirst("Scrubbing has transactions of its own: do it in a unit of work that does not write.")
    ctx.work.let_go()
    name = store or _written(ctx)
    kept = ctx.port(Stores)[name]
    listed, unknown = _listed(ctx, name, kept)
    looked = _looked(ctx, name, kept, sample)
    bad = [*looked.missing, *looked.corrupt]
    healed = _healed(ctx, name)
    deleted = _deleted(ctx, name, unknown, grace_seconds) if delete else 0
    return Scrubbed(
        store=name,
        listed=listed,
        copies=looked.copies,
        hashed=looked.hashed,
        missing=[row.object_key for row in looked.missing],
        corrupt=[row.object_key for row in looked.corrupt],
        healed=healed if bad or healed else 0,
        unknown=[one.key for one in unknown],
        deleted=deleted,
    )


def _written(ctx: Context) -> str:
    with ctx.apart() as own:
        return written_store(own)


def _listed(ctx: Context, name: str, store: ObjectStore) -> tuple[int, list[Stat]]:
    """How many objects of ours there are, and those no row knows: each is listed before its row is asked for."""
    total, unknown = 0, list[Stat]()
    ours = chain.from_iterable(store.iter(prefix) for prefix in PREFIXES)
    while part := list(islice(ours, _AT_ONCE)):
        total += len(part)
        known = _known(ctx, name, [one.key for one in part])
        unknown += [one for one in part if one.key not in known]
        told("listing", total, None)
    return total, unknown


def _known(ctx: Context, name: str, keys: list[str]) -> set[str]:
    """Those of the keys that some row names: of a copy, of an upload, or of a part of one."""
    queries = (
        select(replica.c.object_key).where(replica.c.store == name, replica.c.object_key.in_(keys)),
        select(upload.c.object_key).where(upload.c.store == name, upload.c.object_key.in_(keys)),
        select(upload_part.c.object_key).where(upload_part.c.object_key.in_(keys)),
    )
    with ctx.apart() as own:
        return {row.object_key for query in queries for row in own.execute(query)}


def _looked(ctx: Context, name: str, store: ObjectStore, sample: float) -> _Looked:
    copies, hashed, missing, corrupt = 0, 0, list[Any](), list[Any]()
    for rows in _copies(ctx, name):
        whole = list[Any]()
        for row in rows:
            to_hash = row.state == "lost" or random.random() < sample
            verdict = _verdict(store, row, to_hash)
            copies, hashed = copies + 1, hashed + to_hash
            if verdict is None:
                whole += [row] if to_hash else []
            elif row.state == "ready" and mark_lost(ctx, row, verdict):
                (missing if verdict == "missing" else corrupt).append(row)
        _verified(ctx, whole)
        told("checking", copies, None)
    return _Looked(copies, hashed, missing, corrupt)


def _copies(ctx: Context, name: str) -> Iterator[Sequence[Any]]:
    """The copies that should be in a store, in the order of their keys."""
    after: tuple[str, ...] | None = None
    current = (blob.c.unit_id == replica.c.unit_id) & (blob.c.digest == replica.c.digest)
    current &= blob.c.incarnation == replica.c.incarnation
    mine = (replica.c.store == name, replica.c.state.in_(("ready", "lost")), blob.c.state == "ready")
    while True:
        query = select(replica, blob.c.size, blob.c.detected_type).join(blob, current).where(*mine)
        if after is not None:
            query = query.where(tuple_(*_COPY) > tuple_(*after))
        with ctx.apart() as own:
            rows = own.execute(query.order_by(*_COPY).limit(_AT_ONCE)).all()
        if not rows:
            return
        yield rows
        after = tuple(rows[-1])[:4]


def _verdict(store: ObjectStore, row: Any, to_hash: bool) -> str | None:
    """What is wrong with a copy; nothing when it is whole, as far as was looked."""
    try:
        size = store.stat(row.object_key).size
        if size != row.size:
            return f"it has {size} bytes instead of {row.size}"
        if to_hash and (found := digest_of(store, row.object_key)) != row.digest:
            return f"its SHA-256 is {found}"
    except ObjectMissing:
        return "missing"
    return None


def _verified(ctx: Context, rows: Iterable[Any]) -> None:
    """Copies that were read whole; one that was lost and is back counts again."""
    with ctx.apart() as own:
        for row in rows:
            same = (*(column == value for column, value in zip(_COPY, tuple(row)[:4], strict=True)),
                    replica.c.object_key == row.object_key, replica.c.state.in_(("ready", "lost")))  # fmt: skip
            own.execute(update(replica).where(*same).values(state="ready", verified_at=own.now()))


def _healed(ctx: Context, name: str) -> int:
    """Copies that were lost and are made again from another store."""
    mine = (replica.c.store == name, replica.c.state == "lost", blob.c.state == "ready")
    current = (blob.c.unit_id == replica.c.unit_id) & (blob.c.digest == replica.c.digest)
    current &= blob.c.incarnation == replica.c.incarnation
    other = replica.alias("other")
    same = (other.c[one] == replica.c[one] for one in ("unit_id", "digest", "incarnation"))
    elsewhere = select(other.c.store).where(*same, other.c.state == "ready").exists()
    with ctx.apart() as own:
        rows = own.execute(select(blob).join(replica, current).where(*mine, elsewhere)).all()
    return sum(copied(ctx, row, name, reread=True) is True for row in rows)


def _deleted(ctx: Context, name: str, unknown: list[Stat], grace_seconds: float) -> int:
    """Delete what no row knows still, once it is older than the grace; on record first."""
    before = ctx.now() - timedelta(seconds=grace_seconds)
    old = [one.key for one in unknown if one.modified is not None and one.modified <= before]
    done = 0
    for start in range(0, len(old), _AT_ONCE):
        part = old[start : start + _AT_ONCE]
        known = _known(ctx, name, part)
        keys = [key for key in part if key not in known]
        with ctx.apart() as own:
            own.record(UnknownDeleted(subject=f"store:{name}", details={"keys": keys}))
        done += sum(removed(ctx, name, key) is None for key in keys)
    return done
