"""What a call is about: channels and nodes for the access check; times, names and numbers as revisions."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import func, select

from mallcore.errors import InvalidReference, NotFound, UnknownRevision, UnknownSnapshot, UnknownUnit
from mallcore.kernel.context import Context
from mallcore.kernel.ids import is_id
from mallcore.kernel.operations import Resolver
from mallcore.kernel.ports import MALL, Subject
from mallcore.structure.model.tables import channel, draft, revision, schedule, snapshot_head, unit
from mallcore.structure.operations.trees import Known, at_revision, caught_up, head, known
from mallcore.structure.rules.tree import Tree

Given = Mapping[str, Any]
_NUMBER = re.compile(r"-?[0-9]{1,18}")


def of_unit(ctx: Context, given: Given) -> Subject:
    """The unit a call names, or the mall's only one."""
    reference = given.get("unit")
    return MALL if reference is None else Subject(unit_id=unit_row(ctx, reference).id)


def of_channel(ctx: Context, given: Given) -> Subject:
    """The channel a call names."""
    found = known(ctx, given["channel"])
    return Subject(found.unit_id, found.id)


def of_channels(ctx: Context, given: Given) -> Subject | Iterable[Subject]:
    """Each channel a call names, or the whole mall when it names none."""
    references = given.get("channels")
    if references is None:
        return MALL
    return [of_channel(ctx, {"channel": reference}) for reference in references]


def of_node(ctx: Context, given: Given) -> Subject:
    """The node a call reads, with everything above it, in the revision it reads."""
    found = known(ctx, given["channel"])
    reference = given.get("node")
    if reference is None:
        return Subject(found.unit_id, found.id)
    try:
        tree = tree_at(ctx, found, given.get("at"))
        line = tree.lineage(tree.find(reference).id)
    except NotFound as error:
        error.subject = Subject(found.unit_id, found.id)  # whoever may see the whole channel may know what is not in it
        raise
    return Subject(found.unit_id, found.id, tuple(one.id for one in line))


def of_row(table: Any, parameter: str) -> Resolver:
    """The channel of a draft or schedule that a call names by its id."""

    def resolve(ctx: Context, given: Given) -> Subject:
        channel_id = ctx.execute(select(table.c.channel_id).where(table.c.id == given[parameter])).scalar_one_or_none()
        if channel_id is None:
            raise UnknownUnit(unit=given[parameter])
        found = known(ctx, channel_id)
        return Subject(found.unit_id, found.id)

    return resolve


of_draft = of_row(draft, "draft")
of_schedule = of_row(schedule, "schedule")


def partly(permission: str) -> Resolver:
    """The channel of an edit, open to whoever may edit anything in it; the edit itself is checked node by node."""

    def resolve(ctx: Context, given: Given) -> Subject:
        found = known(ctx, given["channel"])
        reach = ctx.reach(permission)
        tree = head(ctx, found.id) if reach.nodes else None
        inside = tuple(one for one in reach.nodes if tree is not None and one in tree)
        return Subject(found.unit_id, found.id, inside)

    return resolve


def unit_row(ctx: Context, reference: str | None) -> Any:
    """The unit behind an id or slug; without one, the only unit there is."""
    query = select(unit)
    if reference is not None:
        query = query.where(unit.c.id == reference if is_id(reference, "unt") else unit.c.slug == reference)
    rows = ctx.execute(query.limit(2)).all()
    if len(rows) > 1:
        raise UnknownUnit("There are several units: say which.", unit=None)
    if not rows:
        raise UnknownUnit(unit=reference)
    return rows[0]


def number_at(ctx: Context, found: Known, at: int | datetime | str) -> int:
    """The revision that a number, a time or a snapshot's name stands for."""
    if isinstance(at, str):
        return _number_of_text(ctx, found, at)
    if isinstance(at, datetime):
        return _number_of_time(ctx, found, at)
    last = head(ctx, found.id).revision
    if at > last and found.id not in ctx.work.local:
        last = caught_up(ctx, found.id).revision  # memory may be a moment behind
    if not 0 <= at <= last:
        raise UnknownRevision(revision=at, first=0, last=last)
    return at


def _number_of_text(ctx: Context, found: Known, text: str) -> int:
    if _NUMBER.fullmatch(text):
        return number_at(ctx, found, int(text))
    if text[:1].isdigit():
        return _number_of_time(ctx, found, _time(text))
    query = select(snapshot_head.c.revision).where(
        snapshot_head.c.snapshot == text, snapshot_head.c.channel_id == found.id
    )
    number = ctx.execute(query).scalar_one_or_none()
    if number is None:
        raise UnknownSnapshot(snapshot=text[:100])
    return int(number)


def _time(text: str) -> datetime:
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidReference(reference=text[:100]) from None
    if time.tzinfo is None:
        raise InvalidReference(reference=text[:100])
    return time


def _number_of_time(ctx: Context, found: Known, at: datetime) -> int:
    query = select(func.max(revision.c.number)).where(revision.c.channel_id == found.id, revision.c.at <= at)
    number = ctx.execute(query).scalar_one()
    if number is None:
        created = ctx.execute(select(channel.c.created_at).where(channel.c.id == found.id)).scalar_one()
        raise UnknownRevision(
            f"The channel {found.slug!r} did not exist at {at.isoformat()}: it was created at {created.isoformat()}.",
            revision=at.isoformat(),
            first=0,
            last=0,
        )
    return int(number)


def tree_at(ctx: Context, found: Known, at: int | datetime | str | None, min_revision: int | None = None) -> Tree:
    """The channel's tree at a revision, a time or a snapshot; without one, its head."""
    if at is None:
        return head(ctx, found.id, min_revision)
    number = number_at(ctx, found, at)
    newest = head(ctx, found.id, min_revision)
    return newest if newest.revision == number else at_revision(ctx, found.id, number)
