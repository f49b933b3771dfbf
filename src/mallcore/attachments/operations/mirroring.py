"""Mirrors and migration, online: copies are rows, so a store is filled, preferred and emptied one content at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Any

from pydantic import Field
from sqlalchemy import and_, exists, func, select, tuple_, update

from mallcore.attachments.model.reports import Mirrored, StoreInfo, StoreName, Undone
from mallcore.attachments.model.tables import blob, replica, store_state, upload
from mallcore.attachments.operations import roles
from mallcore.attachments.operations.collecting import delete_objects, forget
from mallcore.attachments.operations.copying import copied
from mallcore.attachments.operations.kept import CopyDrained, StoreRoleSet
from mallcore.attachments.rules.uploads import OPEN
from mallcore.errors import InvalidInput, StageFirst, StoreUnavailable, UnknownStore
from mallcore.kernel.context import Context
from mallcore.kernel.objects import Stores
from mallcore.kernel.operations import Rest, operation
from mallcore.kernel.progress import told

_AT_ONCE = 200
_COPY = (replica.c.unit_id, replica.c.digest, replica.c.incarnation, replica.c.store)
_OF_BLOB = and_(
    replica.c.unit_id == blob.c.unit_id,
    replica.c.digest == blob.c.digest,
    replica.c.incarnation == blob.c.incarnation,
)


@operation(permission="attachments.manage", rest=Rest("GET", "/stores"))
def list_stores(ctx: Context) -> list[StoreInfo]:
    """The object stores, what each is for, and how much lies in it."""
    state = replica.c.state
    query = select(
        replica.c.store,
        func.count().filter(state == "ready").label("copies"),
        func.coalesce(func.sum(blob.c.size).filter(state == "ready"), 0).label("size"),
        func.count().filter(state == "pending").label("pending"),
        func.count().filter(state == "lost").label("lost"),
    ).join(blob, _OF_BLOB)
    found = {row.store: row for row in ctx.execute(query.group_by(replica.c.store))}
    urls = {row.name: row.url for row in ctx.execute(select(store_state))}
    return [_info(ctx, name, role, found.get(name), urls) for name, role in roles.roles(ctx).items()]


def _info(ctx: Context, name: str, role: str, row: Any, urls: dict[str, str]) -> StoreInfo:
    stores = ctx.port(Stores)
    numbers = {one: int(getattr(row, one, 0)) for one in ("copies", "size", "pending", "lost")}
    url = stores[name].url if name in stores else urls.get(name, "")
    return StoreInfo.model_validate({"name": name, "url": url, "role": role, **numbers})


@operation(permission="attachments.manage", errors=(InvalidInput, StageFirst, StoreUnavailable, UnknownStore),
           rest=Rest("POST", "/stores/{store}/mirror"))  # fmt: skip
def mirror(ctx: Context, *, store: StoreName) -> Mirrored:
    """Make a store a mirror and copy to it what it lacks; from then on keeping house copies what is new.

    Each copy is checked by its hash. A run that was stopped is taken up by the next.
    """
    _apart_only(ctx)
    with ctx.apart() as own:
        if roles.written_store(own) == store:
            raise InvalidInput(field="store", reason=f"{store!r} is the store that is written to")
        _give(own, store, roles.MIRROR)
    return fill(ctx, store)


@operation(permission="attachments.manage", errors=(InvalidInput, StageFirst, StoreUnavailable, UnknownStore),
           rest=Rest("POST", "/stores/{to}/migrate"))  # fmt: skip
def migrate(
    ctx: Context,
    *,
    to: StoreName,
    drain: Annotated[bool, Field(description="Empty the store that was written to before.")] = True,
) -> Mirrored:
    """Move to another store while everything goes on: fill it, check each copy, write to it, empty the old one.

    Readers use whichever copy is ready. Stopped anywhere, it goes on where it was when it is called again. As long as
    something could not be copied, the old store stays the one that is written to.
    """
    _apart_only(ctx)
    with ctx.apart() as own:
        done = roles.written_store(own) == to
        if not done:
            _give(own, to, roles.MIRROR)
    first = fill(ctx, to, reread=True)
    if first.undone:
        return first
    if not done:
        with ctx.apart() as own:
            before = roles.written_store(own)
            _give(own, to, roles.WRITTEN)
            if drain:
                _give(own, before, roles.DRAINED)
    return _together(first, empty(ctx))


def empty(ctx: Context) -> Mirrored:
    """What is in stores that are being emptied goes to the store that is written to, and then goes."""
    with ctx.apart() as own:
        to, emptied = roles.written_store(own), [one for one, role in roles.roles(own).items() if role == roles.DRAINED]
    filled = fill(ctx, to, reread=True)
    drained, undone, left = 0, list[Undone](), 0
    for store in emptied:
        done, failed = _drained(ctx, store, to)
        drained, undone, left = drained + done, undone + failed, left + _count(ctx, store)
    return filled.model_copy(update={"drained": drained, "left": left, "undone": (*filled.undone, *undone)})


def fill(ctx: Context, store: str, *, reread: bool = False) -> Mirrored:
    """Copy to a store whatever it lacks."""
    done, size, undone, total = 0, 0, list[Undone](), _lacking_count(ctx, store)
    told("copying", 0, total)
    for content in _lacking(ctx, store):
        result = copied(ctx, content, store, reread=reread)
        if isinstance(result, Undone):
            undone.append(result)
        elif result:
            done, size = done + 1, size + content.size
        told("copying", done + len(undone), total)
    return Mirrored(store=store, copied=done, size=size, drained=0, left=len(undone), undone=tuple(undone))


def _lacks(store: str) -> Any:
    there = exists().where(_OF_BLOB, replica.c.store == store, replica.c.state.in_(("ready", "deleting")))
    return and_(blob.c.state == "ready", ~there.correlate(blob))


def _lacking_count(ctx: Context, store: str) -> int:
    with ctx.apart() as own:
        return int(own.execute(select(func.count()).select_from(blob).where(_lacks(store))).scalar_one())


def _lacking(ctx: Context, store: str) -> Iterator[Any]:
    """Contents of which the store has no copy, in the order of their keys."""
    keys = (blob.c.unit_id, blob.c.digest)
    after: tuple[str, str] | None = None
    while True:
        query = select(blob).where(_lacks(store)).order_by(*keys).limit(_AT_ONCE)
        if after is not None:
            query = query.where(tuple_(*keys) > tuple_(*after))
        with ctx.apart() as own:
            rows = own.execute(query).all()
        if not rows:
            return
        yield from rows
        after = (rows[-1].unit_id, rows[-1].digest)


def _drained(ctx: Context, store: str, to: str) -> tuple[int, list[Undone]]:
    """Delete copies from a store, each once another store has one that was checked."""
    done, undone = 0, list[Undone]()
    while rows := _marked(ctx, store, to):
        gone, failed = delete_objects(ctx, rows)
        forget(ctx, gone)
        done, undone = done + len(gone), undone + failed
        told("draining", done, None)
    return done, undone


def _marked(ctx: Context, store: str, to: str) -> Sequence[Any]:
    """Copies that may go, marked as such: what marks or makes copies holds the content's row, and so do we."""
    other = replica.alias("other")
    same = (other.c[name] == replica.c[name] for name in ("unit_id", "digest", "incarnation"))
    written = exists().where(upload.c.object_key == replica.c.object_key, upload.c.state.in_(OPEN))
    free = and_(
        replica.c.store == store,
        replica.c.state.in_(("ready", "pending", "lost")),
        exists().where(*same, other.c.store == to, other.c.state == "ready").correlate(replica),
        ~written.correlate(replica),
    )
    with ctx.apart() as own:
        query = select(*_COPY).join(blob, _OF_BLOB).where(free, blob.c.state == "ready").limit(_AT_ONCE)
        held = [tuple(row) for row in own.execute(query.with_for_update(skip_locked=True, of=blob))]
        if not held:
            return []
        marking = update(replica).where(tuple_(*_COPY).in_(held), free).values(state="deleting")
        rows = own.execute(marking.returning(*_COPY, replica.c.object_key)).all()
        for row in rows:
            about = {"store": store, "key": row.object_key}
            own.record(CopyDrained(subject=f"sha256:{row.digest}", unit_id=row.unit_id, details=about))
        return rows


def _count(ctx: Context, store: str) -> int:
    with ctx.apart() as own:
        return int(own.execute(select(func.count()).select_from(replica).where(replica.c.store == store)).scalar_one())


def _give(ctx: Context, store: str, role: str) -> None:
    before = roles.give_role(ctx, store, role)
    if before != role:
        ctx.record(StoreRoleSet(subject=f"store:{store}", before={"role": before}, after={"role": role}))


def _together(first: Mirrored, second: Mirrored) -> Mirrored:
    more = {"copied": first.copied + second.copied, "size": first.size + second.size}
    return second.model_copy(update={**more, "undone": (*first.undone, *second.undone)})


def _apart_only(ctx: Context) -> None:
    if ctx.work.writing:
        raise StageFirst("This has transactions of its own: do it in a unit of work that does not write.")
    ctx.work.let_go()
