"""Uploads that were given up: their lease ended. What they may have written goes, now and once more much later.

An intent names every key its upload may write, so nothing that was written is ever unknown. A key that a copy's row
names is left alone: the collector deletes it with the row. That is safe because no row names a key anew: a copy's row
comes into being together with the intent that names the same key.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, delete, or_, select, tuple_, update

from mallcore.attachments.model.reports import Undone
from mallcore.attachments.model.tables import replica, upload, upload_part
from mallcore.attachments.operations.kept import UploadExpired
from mallcore.attachments.operations.roles import removed
from mallcore.attachments.rules.uploads import EXPIRED, GIVEN_UP_AFTER, OPEN, SWEPT, is_over
from mallcore.errors import MallError
from mallcore.kernel.context import Context
from mallcore.kernel.objects import Stores
from mallcore.kernel.progress import told

_AT_ONCE = 200
Key = tuple[str, str]
"""Store and key."""


class SweptUploads(NamedTuple):
    """Objects that were deleted, and those that could not be."""

    objects: int
    undone: list[Undone]


def lapsed(ctx: Context) -> ColumnElement[bool]:
    """Uploads whose lease has ended."""
    return upload.c.state.in_(OPEN) & (upload.c.lease_until <= ctx.now())


def expire_uploads(ctx: Context, condition: ColumnElement[bool] | None = None) -> list[Any]:
    """Give up uploads whose lease has ended (or others); whoever is just attaching one is not disturbed."""
    rows = list[Any]()
    while found := _expired(ctx, lapsed(ctx) if condition is None else condition & upload.c.state.in_(OPEN)):
        rows += found
        told("giving up uploads", len(rows), None)
    return rows


def _expired(ctx: Context, condition: ColumnElement[bool]) -> Sequence[Any]:
    with ctx.apart() as own:
        query = select(upload).where(condition).limit(_AT_ONCE).with_for_update(skip_locked=True)
        rows = own.execute(query).all()
        if rows:
            ids = [row.id for row in rows]
            alive = own.backend.among(upload.c.id, ids) & upload.c.state.in_(OPEN)
            own.execute(update(upload).where(alive).values(state=EXPIRED))
        for row in rows:
            about = {"owner": f"{row.owner_kind}:{row.owner_id}", "digest": row.digest, "store": row.store}
            own.record(UploadExpired(subject=row.id, unit_id=row.unit_id, channel_id=row.channel_id, details=about))
        return rows


def swept_uploads(ctx: Context) -> SweptUploads:
    """Delete what uploads that were given up have written, and forget those whose time is over."""
    objects, undone = 0, list[Undone]()
    last = ""
    while rows := _waiting(ctx, last):
        last = rows[-1].id
        done, failed, stuck = _swept(ctx, rows)
        _settle(ctx, [row for row in rows if row.id not in stuck])
        objects, undone = objects + done, undone + failed
    return SweptUploads(objects, undone)


def _waiting(ctx: Context, last: str) -> Sequence[Any]:
    over = (upload.c.state == SWEPT) & (upload.c.lease_until <= ctx.now() - GIVEN_UP_AFTER)
    query = select(upload).where(or_(upload.c.state == EXPIRED, over), upload.c.id > last)
    with ctx.apart() as own:
        return own.execute(query.order_by(upload.c.id).limit(_AT_ONCE)).all()


def _swept(ctx: Context, rows: Sequence[Any]) -> tuple[int, list[Undone], set[str]]:
    """How many objects went, what failed, and the uploads it failed for."""
    keys = _keys(ctx, rows)
    owned = _owned(ctx, {key for _, key in keys})
    done, failed, stuck = 0, list[Undone](), set[str]()
    for id, key in keys:
        if key in owned:
            continue
        there = _is_there(ctx, *key)
        undone = removed(ctx, *key)
        done += there and undone is None
        if undone is not None:
            failed.append(undone)
            stuck.add(id)
    return done, failed, stuck


def _is_there(ctx: Context, store: str, key: str) -> bool:
    """Only for the count: most uploads that were given up wrote nothing, or what the collector has just deleted."""
    try:
        return ctx.port(Stores)[store].stat(key) is not None
    except MallError:
        return False


def _keys(ctx: Context, rows: Sequence[Any]) -> list[tuple[str, Key]]:
    """All keys that the uploads may have written, each with its upload."""
    stores = {row.id: row.store for row in rows}
    keys = [(row.id, (row.store, row.object_key)) for row in rows if row.object_key is not None]
    with ctx.apart() as own:
        parts = own.execute(select(upload_part).where(own.backend.among(upload_part.c.upload_id, list(stores)))).all()
    return keys + [(row.upload_id, (stores[row.upload_id], row.object_key)) for row in parts]


def _owned(ctx: Context, keys: Iterable[Key]) -> set[Key]:
    """Those of the keys that belong to a copy."""
    wanted = list(keys)
    found = set[Key]()
    with ctx.apart() as own:
        for start in range(0, len(wanted), _AT_ONCE):
            mine = tuple_(replica.c.store, replica.c.object_key).in_(wanted[start : start + _AT_ONCE])
            found |= {(row.store, row.object_key) for row in own.execute(select(replica).where(mine))}
    return found


def _settle(ctx: Context, rows: Sequence[Any]) -> None:
    over = [row.id for row in rows if is_over(row.lease_until, ctx.now())]
    waits = [row.id for row in rows if not is_over(row.lease_until, ctx.now())]
    with ctx.apart() as own:
        among = own.backend.among
        own.execute(update(upload).where(among(upload.c.id, waits), upload.c.state == EXPIRED).values(state=SWEPT))
        own.execute(delete(upload_part).where(among(upload_part.c.upload_id, over)))
        own.execute(delete(upload).where(among(upload.c.id, over), upload.c.state.in_((EXPIRED, SWEPT))))
