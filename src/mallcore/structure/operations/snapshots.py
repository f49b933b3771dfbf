"""Snapshots: names for a moment of one or many channels, readable by name for ever."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from pydantic import Field
from sqlalchemy import Select, insert, select
from sqlalchemy.exc import IntegrityError

from mallcore.errors import AlreadyExists, ChannelRemoved, InvalidInput, UnknownChannel, UnknownSnapshot
from mallcore.kernel.context import Context
from mallcore.kernel.events import Event
from mallcore.kernel.operations import Rest, anywhere, operation
from mallcore.kernel.paging import Cursor, Limit, Page, decode, page
from mallcore.kernel.reaching import seen
from mallcore.structure.model.shapes import ChannelRef, IdempotencyKey, Message, Snapshot
from mallcore.structure.model.tables import channel, snapshot, snapshot_head
from mallcore.structure.operations.scopes import of_channels
from mallcore.structure.operations.trees import known

_NAME = re.compile(r"[a-z][a-z0-9]*(?:[-_.][a-z0-9]+)*")
SnapshotName = Annotated[
    str, Field(max_length=100, description="Begins with a letter: a-z, 0-9, single - _ . between.")
]


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotMade(Event):
    """A snapshot was made."""

    name: ClassVar[str] = "structure.snapshot_made"


@operation(permission="structure.snapshot", kind="command", subject=of_channels,
           errors=(AlreadyExists, ChannelRemoved, InvalidInput, UnknownChannel),
           rest=Rest("POST", "/snapshots", 201))  # fmt: skip
def create_snapshot(
    ctx: Context,
    *,
    name: SnapshotName,
    channels: Annotated[list[ChannelRef] | None, Field(min_length=1, max_length=1000)] = None,
    message: Message = "",
    idempotency_key: IdempotencyKey = None,
) -> Snapshot:
    """Name the heads of some channels, or of all that are not removed, as they are at one moment.

    >>> list(create_snapshot(ctx, name="launch").heads.values())
    [2]
    """
    if not _NAME.fullmatch(name):
        raise InvalidInput(
            field="name", reason="it begins with a letter and has only a-z, 0-9 and single - _ . between"
        )
    if ctx.execute(select(snapshot.c.name).where(snapshot.c.name == name)).first():
        raise AlreadyExists(what="snapshot", name=name)
    found = None if channels is None else {known(ctx, one) for one in channels}
    heads = _heads(ctx, None if found is None else sorted(one.id for one in found))
    for missing in (one for one in found or () if one.id not in heads):
        raise ChannelRemoved(channel=missing.slug)
    if not heads:
        raise InvalidInput(field="channels", reason="there is no channel to make a snapshot of")
    row = _store(ctx, name, message, heads)
    for channel_id, number in heads.items():
        unit_id, after = known(ctx, channel_id).unit_id, {"snapshot": name}
        ctx.record(SnapshotMade(subject=name, unit_id=unit_id, channel_id=channel_id, revision=number, after=after))
    return Snapshot(heads=heads, **row)


def _heads(ctx: Context, ids: list[str] | None) -> dict[str, int]:
    """The heads, held until the transaction ends: together they are one moment of the mall."""
    query = select(channel.c.id, channel.c.head).where(channel.c.removed_at.is_(None)).order_by(channel.c.id)
    if ids is not None:
        query = query.where(channel.c.id.in_(ids))
    return {row.id: row.head for row in ctx.execute(query.with_for_update(read=True))}


def _store(ctx: Context, name: str, message: str, heads: dict[str, int]) -> dict[str, Any]:
    row = {"name": name, "author": ctx.principal.ref, "message": message, "at": ctx.now()}
    try:
        ctx.execute(insert(snapshot), row)
    except IntegrityError:
        raise AlreadyExists(what="snapshot", name=name) from None
    rows = [{"snapshot": name, "channel_id": channel_id, "revision": number} for channel_id, number in heads.items()]
    ctx.execute(insert(snapshot_head), rows)
    return row


@operation(permission="structure.read", subject=anywhere, rest=Rest("GET", "/snapshots"))
def list_snapshots(ctx: Context, *, limit: Limit = 50, cursor: Cursor = None) -> Page[Snapshot]:
    """The snapshots of channels the caller may see, by name."""
    query = select(snapshot.c.name).where(snapshot.c.name.in_(_visible(ctx))).order_by(snapshot.c.name)
    if cursor is not None:
        query = query.where(snapshot.c.name > decode(cursor, str)[0])
    names = list(ctx.execute(query.limit(limit + 1)).scalars())
    return page(names, limit, lambda name: get(ctx, name), lambda name: (name,))


@operation(
    permission="structure.read", subject=anywhere, errors=(UnknownSnapshot,), rest=Rest("GET", "/snapshots/{snapshot}")
)
def get_snapshot(ctx: Context, *, snapshot: SnapshotName) -> Snapshot:
    """One snapshot: the revisions it names, of channels the caller may see."""
    return get(ctx, snapshot)


def get(ctx: Context, name: str) -> Snapshot:
    """A snapshot as far as the caller may see it; `UnknownSnapshot` when that is nothing."""
    visible = _heads_seen(ctx).where(snapshot_head.c.snapshot == name)
    heads = {row.channel_id: row.revision for row in ctx.execute(visible)}
    row = ctx.execute(select(snapshot).where(snapshot.c.name == name)).one_or_none()
    if row is None or not heads:
        raise UnknownSnapshot(f"There is no snapshot {name!r}.", snapshot=name)
    return Snapshot(heads=heads, **row._mapping)


def _heads_seen(ctx: Context) -> Select[*tuple[Any, ...]]:
    query = select(snapshot_head.c.channel_id, snapshot_head.c.revision, snapshot_head.c.snapshot)
    reach = ctx.reach("structure.read")
    if reach.everywhere:
        return query
    shown = select(channel.c.id).where(seen(reach, channel.c.unit_id, channel.c.id))
    return query.where(snapshot_head.c.channel_id.in_(shown))


def _visible(ctx: Context) -> Select[*tuple[Any, ...]]:
    return select(_heads_seen(ctx).subquery().c.snapshot)
