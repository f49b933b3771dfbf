"""Giving committed records their places in the tree, in batches: short transactions that hold the head's lock."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from sqlalchemy import bindparam, insert, select, update

from mallcore.audit.model.tables import audit_head, audit_record, audit_tile
from mallcore.audit.operations.trail import finished
from mallcore.audit.rules import tiles
from mallcore.audit.rules.leaves import leaf
from mallcore.audit.rules.tree import Node, leaf_hash
from mallcore.errors import LogBroken
from mallcore.kernel.context import Context
from mallcore.kernel.work import OwnWork

BATCH = 2000
_COLUMNS = audit_record.c
_WAITING = select(_COLUMNS.id, _COLUMNS.leaf).where(_COLUMNS.log_index.is_(None)).order_by(_COLUMNS.id)
_PLACE = update(audit_record).where(_COLUMNS.id == bindparam("which")).values(log_index=bindparam("place"))
_SEAL = (
    update(audit_record)
    .where(_COLUMNS.id == bindparam("which"))
    .values({name: bindparam(f"new_{name}") for name in ("principal", "subject", "before", "after", "form", "leaf")})
)


class Head(NamedTuple):
    """The log's name, and how long it is."""

    origin: str
    size: int


@contextmanager
def committed(ctx: Context) -> Iterator[Context]:
    """A unit of work that reads what is committed by now, all of one moment: the caller's may see less, or more."""
    ctx.work.may_wait()
    work = OwnWork(ctx.services.source)
    if not ctx.backend.serial_writes:  # else every transaction reads of one moment anyway
        work.session().connection(execution_options={"isolation_level": "REPEATABLE READ"})
    try:
        yield Context(ctx.services, ctx.principal, work, ctx.request_id)
    finally:
        work.rollback()


def head_of(ctx: Context) -> Head:
    """The head as this unit of work sees it."""
    row = ctx.execute(select(audit_head.c.origin, audit_head.c.size)).one()
    return Head(row.origin, row.size)


def node_of(ctx: Context) -> Node:
    """Reads hashes of the tree from its tiles, each tile once."""
    read: dict[tuple[int, int], bytes] = {}

    def tile(level: int, number: int) -> bytes:
        if (level, number) not in read:
            read[level, number] = tile_of(ctx, level, number)
        return read[level, number]

    return tiles.node_reader(tile)


def tile_of(ctx: Context, level: int, number: int) -> bytes:
    """The hashes of a tile; `LogBroken` when it is not there."""
    found = ctx.execute(
        select(audit_tile.c.hashes).where(audit_tile.c.level == level, audit_tile.c.number == number)
    ).scalar_one_or_none()
    if found is None:
        raise LogBroken(index=number * tiles.WIDTH << 8 * level, reason=f"tile {level}/{number} of the tree is missing")
    return bytes(found)


def sequence(ctx: Context) -> int:
    """Give every committed record that waits its place; returns how many did. Any number of processes may do this.

    Needs a unit of work that does not write (`StageFirst` on a database with one writer).
    """
    with committed(ctx) as now:
        if now.execute(_WAITING.limit(1)).first() is None:
            return 0
    total = 0
    while True:
        with ctx.apart() as own:
            added = _append(own)
        total += added
        if added < BATCH:
            return total


def _append(ctx: Context) -> int:
    """One batch: the lock first, for what waits is only known under it."""
    size = int(ctx.execute(select(audit_head.c.size).with_for_update()).scalar_one())
    rows = ctx.execute(_WAITING.limit(BATCH)).all()
    if rows:
        hashes = _hashes(ctx, rows)
        _keep_tiles(ctx, size, hashes)
        ctx.execute(_PLACE, [{"which": row.id, "place": size + at} for at, row in enumerate(rows)])
        ctx.execute(update(audit_head).values(size=size + len(rows)))
    return len(rows)


def _hashes(ctx: Context, rows: Sequence[Any]) -> list[bytes]:
    """The rows' leaves; where old code wrote a row, it is sealed and hashed now."""
    old = [row.id for row in rows if row.leaf is None or len(row.leaf) != 32]
    made = _sealed(ctx, old) if old else {}
    return [made.get(row.id) or bytes(row.leaf) for row in rows]


def _sealed(ctx: Context, ids: list[str]) -> dict[str, bytes]:
    found = ctx.execute(select(audit_record).where(ctx.backend.among(_COLUMNS.id, ids))).mappings()
    rows = [finished(ctx, dict(row)) if row["form"] is None else _hashed(row) for row in found]
    ctx.execute(_SEAL, [{"which": row["id"], **{f"new_{name}": row[name] for name in _SEALED}} for row in rows])
    return {row["id"]: row["leaf"] for row in rows}


_SEALED = ("principal", "subject", "before", "after", "form", "leaf")


def _hashed(row: Any) -> dict[str, Any]:
    """A row that has a form, and lost its hash."""
    return {**row, "leaf": leaf_hash(leaf(row))}


def _keep_tiles(ctx: Context, size: int, hashes: list[bytes]) -> None:
    def tile(level: int, number: int) -> bytes:
        data = tile_of(ctx, level, number)
        if len(data) < 32 * ((size >> 8 * level) % tiles.WIDTH):
            raise LogBroken(index=size, reason=f"tile {level}/{number} of the tree is cut")
        return data

    for (level, number), data in tiles.grown(size, hashes, tile).items():
        there = (audit_tile.c.level == level, audit_tile.c.number == number)
        known = ctx.execute(select(audit_tile.c.number).where(*there)).first() is not None
        if known:
            ctx.execute(update(audit_tile).where(*there).values(hashes=data))
        else:
            ctx.execute(insert(audit_tile), {"level": level, "number": number, "hashes": data})
