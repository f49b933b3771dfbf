"""The collector: what nothing refers to any more goes, bytes last, in steps of which each may be the last one done.

G0 marks rows (`mark`), in a transaction; G1 deletes objects by rows that are marked (`sweep`), in none; G2 forgets
those rows, in a transaction. Who finds marked rows goes on with G1, so a killed run is finished by the next, and
any number of them may run at once. Nothing that was marked comes back: a new claim has a new incarnation, thus a new
key (`staging.claimed`). Every deletion is on record before its bytes go.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta
from typing import Annotated, Any, NamedTuple

from pydantic import Field
from sqlalchemy import ColumnElement, and_, delete, exists, func, select, true, tuple_, update

from mallcore.attachments.model.reports import Collected, GraceSeconds, Undone
from mallcore.attachments.model.tables import blob, derivative, replica, upload, version
from mallcore.attachments.operations.abandoning import expire_uploads, lapsed, swept_uploads
from mallcore.attachments.operations.kept import ContentCollected
from mallcore.attachments.operations.roles import removed
from mallcore.attachments.rules.uploads import OPEN
from mallcore.errors import StageFirst
from mallcore.kernel.context import Context
from mallcore.kernel.operations import Rest, operation
from mallcore.kernel.progress import told

DAY = 86_400
_AT_ONCE = 200
_COPY = (replica.c.unit_id, replica.c.digest, replica.c.incarnation, replica.c.store)
Blob = tuple[str, str]
"""Unit and digest."""


class Swept(NamedTuple):
    """What G1 and G2 did."""

    objects: int
    undone: list[Undone]


@operation(permission="attachments.manage", errors=(StageFirst,), rest=Rest("POST", "/attachments/collect"))
def collect(
    ctx: Context,
    *,
    dry_run: bool = True,
    grace_seconds: GraceSeconds = DAY,
    limit: Annotated[
        int, Field(ge=1, description="How many contents at most; the rest is for the next run.")
    ] = 100_000,
) -> Collected:
    """Delete content that no version, derivative or upload refers to, and what abandoned uploads left.

    A dry run, the default, only counts. Safe while others write, and next to other collectors. Not within a unit of
    work that writes (`StageFirst`): it has transactions of its own, and none while objects are deleted.
    """
    if ctx.work.writing:
        raise StageFirst("Collecting has transactions of its own: do it in a unit of work that does not write.")
    ctx.work.let_go()
    if dry_run:
        return _counted(ctx, grace_seconds)
    return collected(ctx, grace_seconds, limit)


def collected(ctx: Context, grace_seconds: float, limit: int, only: Iterable[Blob] | None = None) -> Collected:
    """One run; with ``only``, of nothing but these contents (and of what is left over from earlier runs)."""
    uploads, marked = len(expire_uploads(ctx)), list[Any]()
    for part in [None] if only is None else _parts(only):
        marked += _marked(ctx, grace_seconds, limit - len(marked), part)
    swept, keys = sweep(ctx), swept_uploads(ctx)
    return Collected(
        dry_run=False,
        blobs=len(marked),
        size=sum(row.size for row in marked),
        objects=swept.objects + keys.objects,
        uploads=uploads,
        undone=(*swept.undone, *keys.undone),
    )


def _parts(only: Iterable[Blob]) -> Iterator[list[Blob]]:
    wanted = sorted(set(only))
    yield from (wanted[start : start + _AT_ONCE] for start in range(0, len(wanted), _AT_ONCE))


def _marked(ctx: Context, grace_seconds: float, limit: int, wanted: list[Blob] | None) -> list[Any]:
    """G0, in rounds: with an original goes the reason to keep its derivatives."""
    found = list[Any]()
    while (room := min(_AT_ONCE, limit - len(found))) > 0:
        marked = mark(ctx, grace_seconds, room, wanted)
        if not marked.rows:
            break
        found += marked.rows
        wanted = None if wanted is None else [*wanted, *marked.derived]
        told("marking", len(found), None)
    return found


def _counted(ctx: Context, grace_seconds: float) -> Collected:
    """What a run would do; derivatives that would lose their original are not among it."""
    found = select(func.count(), func.coalesce(func.sum(blob.c.size), 0)).where(_unreferenced(ctx, grace_seconds, True))
    left = select(func.count()).select_from(replica).where(replica.c.state == "deleting")
    with ctx.apart() as own:
        blobs, size = tuple(own.execute(found).one())
        uploads = own.execute(select(func.count()).select_from(upload).where(lapsed(own))).scalar_one()
        objects = own.execute(left).scalar_one()
    return Collected(dry_run=True, blobs=blobs, size=int(size), objects=objects, uploads=uploads)


def _unreferenced(ctx: Context, grace_seconds: float, foresee: bool = False) -> ColumnElement[bool]:
    """Content that nothing refers to: complete by construction, for it asks every table that can."""
    source = blob.alias("source")
    of_blob = {table: (table.c.unit_id == blob.c.unit_id) & (table.c.digest == blob.c.digest)
               for table in (version, derivative, upload)}  # fmt: skip
    alive = exists().where(source.c.unit_id == derivative.c.unit_id, source.c.digest == derivative.c.source_digest,
                           source.c.digest != blob.c.digest, source.c.state != "deleting")  # fmt: skip
    claims = upload.c.state.in_(OPEN) if not foresee else upload.c.state.in_(OPEN) & ~lapsed(ctx)
    old = blob.c.touched_at <= ctx.now() - timedelta(seconds=grace_seconds) if grace_seconds else true()
    return and_(
        blob.c.state.in_(("ready", "pending")),
        old,
        ~exists().where(of_blob[version], version.c.dropped_at.is_(None)),
        ~exists().where(of_blob[derivative], alive).correlate(blob),
        ~exists().where(of_blob[upload], upload.c.incarnation == blob.c.incarnation, claims),
    )


class Marked(NamedTuple):
    """What G0 marked, and what was derived from it."""

    rows: Sequence[Any]
    derived: list[Blob]


def mark(ctx: Context, grace_seconds: float, limit: int, only: list[Blob] | None = None) -> Marked:
    """G0: content that nothing refers to gets the state ``deleting``, and so do its copies; on record."""
    with ctx.apart() as own:
        _mark_superseded(own)
        free = _unreferenced(own, grace_seconds)
        query = select(blob.c.unit_id, blob.c.digest).where(free).order_by(blob.c.unit_id, blob.c.digest).limit(limit)
        if only is not None:
            query = query.where(tuple_(blob.c.unit_id, blob.c.digest).in_(only))
        # Never waits, so it holds nobody up. Whoever refers to a content locks its row first: so the second
        # statement, which sees all that was committed before we had the locks, sees every reference there is.
        locked = [(row.unit_id, row.digest) for row in own.execute(query.with_for_update(skip_locked=True, of=blob))]
        if not locked:
            return Marked([], [])
        taken = update(blob).where(tuple_(blob.c.unit_id, blob.c.digest).in_(locked), free).values(state="deleting")
        rows = own.execute(taken.returning(blob.c.unit_id, blob.c.digest, blob.c.incarnation, blob.c.size)).all()
        if not rows:
            return Marked([], [])
        derived = _mark_copies(own, [(row.unit_id, row.digest) for row in rows])
        for row in rows:
            about = {"incarnation": row.incarnation, "size": row.size}
            own.record(ContentCollected(subject=f"sha256:{row.digest}", unit_id=row.unit_id, details=about))
        return Marked(rows, derived)


def _mark_copies(ctx: Context, gone: list[Blob]) -> list[Blob]:
    """Copies go with their content; that something was derived from it, or into it, is forgotten."""
    ctx.execute(update(replica).where(tuple_(*_COPY[:2]).in_(gone)).values(state="deleting"))
    unit, source, product = derivative.c.unit_id, derivative.c.source_digest, derivative.c.digest
    derived = ctx.execute(select(unit, product).where(tuple_(unit, source).in_(gone), product.is_not(None))).all()
    ctx.execute(delete(derivative).where(tuple_(unit, source).in_(gone)))
    ctx.execute(delete(derivative).where(tuple_(unit, product).in_(gone)))
    return [(row.unit_id, row.digest) for row in derived]


def _mark_superseded(ctx: Context) -> None:
    """Lost copies of a content that somebody brought again, since when it has another incarnation."""
    newer = exists().where(blob.c.unit_id == replica.c.unit_id, blob.c.digest == replica.c.digest,
                           blob.c.incarnation != replica.c.incarnation, blob.c.state == "ready")  # fmt: skip
    ctx.execute(update(replica).where(replica.c.state == "lost", newer).values(state="deleting"))


def sweep(ctx: Context) -> Swept:
    """G1 and G2: for all copies that are marked, by whomever: the object goes, then the row."""
    done, undone = 0, list[Undone]()
    after: tuple[str, ...] | None = None
    while rows := doomed(ctx, after):
        after = tuple(rows[-1])[:4]
        gone, failed = delete_objects(ctx, rows)
        forget(ctx, gone)
        done, undone = done + len(gone), undone + failed
        told("deleting", done, None)
    return Swept(done, undone)


def doomed(ctx: Context, after: tuple[str, ...] | None = None) -> Sequence[Any]:
    """Copies that are marked, in the order of their keys."""
    query = select(*_COPY, replica.c.object_key).where(replica.c.state == "deleting").order_by(*_COPY).limit(_AT_ONCE)
    if after is not None:
        query = query.where(tuple_(*_COPY) > tuple_(*after))
    with ctx.apart() as own:
        return own.execute(query).all()


def delete_objects(ctx: Context, rows: Iterable[Any]) -> tuple[list[Any], list[Undone]]:
    """G1: outside any transaction."""
    gone, failed = list[Any](), list[Undone]()
    for row in rows:
        undone = removed(ctx, row.store, row.object_key)
        if undone is None:
            gone.append(row)
        else:
            failed.append(undone)
    return gone, failed


def forget(ctx: Context, rows: Iterable[Any]) -> None:
    """G2: the rows of copies that are gone, then of contents without any; a content claimed anew has left the state."""
    keys = [tuple(row)[:4] for row in rows]
    copies = exists().where(replica.c.unit_id == blob.c.unit_id, replica.c.digest == blob.c.digest,
                            replica.c.incarnation == blob.c.incarnation)  # fmt: skip
    with ctx.apart() as own:
        if keys:
            own.execute(delete(replica).where(tuple_(*_COPY).in_(keys), replica.c.state == "deleting"))
        own.execute(delete(blob).where(blob.c.state == "deleting", ~copies))
