"""Schedules: a draft published at a time, a revision undone at a time; together, a campaign.

A due schedule is claimed, carried out and marked done in one transaction. So it runs once, however many processes
look for it, and a crash leaves it as it was: waiting.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, ClassVar

from pydantic import AwareDatetime, Field
from sqlalchemy import insert, select, tuple_, update

from mallcore.errors import (
    ChannelRemoved,
    Conflict,
    DraftClosed,
    InvalidInput,
    NothingToDo,
    ScheduleClosed,
    UnknownDraft,
    UnknownRevision,
    UnknownSchedule,
)
from mallcore.kernel.context import Context, Principal
from mallcore.kernel.events import Event
from mallcore.kernel.ids import new_id
from mallcore.kernel.operations import Rest, operation
from mallcore.kernel.paging import Cursor, Limit, Page, decode, page
from mallcore.structure.model.shapes import ChannelRef, IdempotencyKey, Message, Schedule, ScheduleState
from mallcore.structure.model.tables import schedule as schedule_table
from mallcore.structure.operations.drafts import PUBLISH, DraftId, draft_row, opened, published
from mallcore.structure.operations.history import undone
from mallcore.structure.operations.scopes import number_at, of_channel, of_draft, of_schedule
from mallcore.structure.operations.trees import Known, known, refuse_removed

ScheduleId = Annotated[str, Field(max_length=40, description="A schedule's id.")]
KEEP_LATER_CHANGES = {"*": "theirs"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleChanged(Event):
    """A schedule was made, cancelled, done, or has failed; ``after`` says which."""

    name: ClassVar[str] = "structure.schedule_changed"


@operation(permission=PUBLISH, kind="command", subject=of_draft,
           errors=(UnknownDraft, DraftClosed, ChannelRemoved, InvalidInput),
           rest=Rest("POST", "/drafts/{draft}/schedules", 201))  # fmt: skip
def schedule_draft(
    ctx: Context,
    *,
    draft: DraftId,
    at: AwareDatetime,
    undo_at: AwareDatetime | None = None,
    message: Message = "",
    idempotency_key: IdempotencyKey = None,
) -> list[Schedule]:
    """Publish a draft at a time, and with ``undo_at`` take it back at another: a campaign.

    The undo takes back only what the campaign changed; what others changed since stays as they left it. What is
    published is the draft as it is now: if it is edited afterwards, the schedule fails, and says so.

    >>> draft = open_draft(ctx, channel="books", name="Christmas").id
    >>> day = datetime.fromisoformat("2026-12-01T00:00:00Z")
    >>> [one.action for one in schedule_draft(ctx, draft=draft, at=day, undo_at=day + timedelta(days=26))]
    ['publish', 'undo']
    """
    row, found = opened(ctx, draft, None)
    refuse_removed(ctx, found)
    if undo_at is not None and undo_at <= at:
        raise InvalidInput(field="undo_at", reason="it must be later than 'at'")
    times: list[tuple[str, datetime]] = [("publish", at), *([("undo", undo_at)] if undo_at is not None else [])]
    return [_make(ctx, found, action, time, message, draft=row) for action, time in times]


@operation(permission=PUBLISH, kind="command", subject=of_channel, errors=(UnknownRevision, ChannelRemoved),
           rest=Rest("POST", "/channels/{channel}/revisions/{number}/schedules", 201))  # fmt: skip
def schedule_undo(
    ctx: Context,
    *,
    channel: ChannelRef,
    number: Annotated[int, Field(ge=1)],
    at: AwareDatetime,
    message: Message = "",
    idempotency_key: IdempotencyKey = None,
) -> Schedule:
    """Take back, at a time, what a revision changed."""
    found = known(ctx, channel)
    refuse_removed(ctx, found)
    number_at(ctx, found, number)
    return _make(ctx, found, "undo", at, message, revision=number)


def _make(
    ctx: Context,
    found: Known,
    action: str,
    at: datetime,
    message: str,
    draft: Any = None,
    revision: int | None = None,
) -> Schedule:
    row: dict[str, Any] = {
        "id": new_id("sch"),
        "channel_id": found.id,
        "action": action,
        "draft_id": None if draft is None else draft.id,
        "draft_version": None if draft is None else draft.version,
        "revision": revision,
        "author": ctx.principal.ref,
        "message": message,
        "at": at,
        "state": "waiting",
        "created_at": ctx.now(),
    }
    ctx.execute(insert(schedule_table), row)
    _tell(ctx, found, row["id"], {"state": "waiting", "action": action, "at": at.isoformat()})
    return _shape(_schedule(ctx, row["id"]))


@operation(permission=PUBLISH, subject=of_channel, rest=Rest("GET", "/channels/{channel}/schedules"))
def list_schedules(
    ctx: Context,
    *,
    channel: ChannelRef,
    state: ScheduleState | None = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[Schedule]:
    """The schedules of a channel by time."""
    query = select(schedule_table).where(schedule_table.c.channel_id == known(ctx, channel).id)
    if state is not None:
        query = query.where(schedule_table.c.state == state)
    key = (schedule_table.c.at, schedule_table.c.id)
    if cursor is not None:
        time, id = decode(cursor, str, str)
        query = query.where(tuple_(*key) > (_cursor_time(time), id))
    rows = ctx.execute(query.order_by(*key).limit(limit + 1)).all()
    return page(rows, limit, _shape, lambda row: (row.at.isoformat(), row.id))


def _cursor_time(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise InvalidInput(field="cursor", reason="it is not a cursor of this list") from None


@operation(permission=PUBLISH, kind="command", subject=of_schedule, errors=(UnknownSchedule, ScheduleClosed),
           rest=Rest("DELETE", "/schedules/{schedule}"))  # fmt: skip
def cancel_schedule(ctx: Context, *, schedule: ScheduleId, idempotency_key: IdempotencyKey = None) -> Schedule:
    """Cancel what was to be done at a time, if it is not done yet."""
    row = _schedule(ctx, schedule)
    if not _close(ctx, row, "cancelled"):
        raise ScheduleClosed(schedule=schedule, state=_schedule(ctx, schedule).state)
    _tell(ctx, known(ctx, row.channel_id), schedule, {"state": "cancelled"})
    return _shape(_schedule(ctx, schedule))


def due(ctx: Context) -> list[str]:
    """The ids of schedules whose time has come, the earliest first."""
    waiting = (schedule_table.c.state == "waiting", schedule_table.c.at <= ctx.now())
    query = select(schedule_table.c.id).where(*waiting).order_by(schedule_table.c.at, schedule_table.c.id)
    return list(ctx.execute(query.limit(100)).scalars())


@operation(permission="structure.schedules", kind="command", errors=(UnknownSchedule, ScheduleClosed))
def carry_out(ctx: Context, *, schedule: ScheduleId) -> Schedule:
    """Do what a schedule says, in its author's name, if it is due; the scheduler calls this. Only one caller can."""
    row = _schedule(ctx, schedule)
    if row.at > ctx.now() or _before_its_publish(ctx, row):
        return _shape(row)
    if not _close(ctx, row, "done"):
        raise ScheduleClosed(schedule=schedule, state=_schedule(ctx, schedule).state)
    found = known(ctx, row.channel_id)
    result = _do(ctx, found, row)
    ctx.execute(update(schedule_table).where(schedule_table.c.id == row.id).values(result=result))
    _tell(ctx, found, row.id, {"state": "done", "result": result}, result)
    return _shape(_schedule(ctx, row.id))


@operation(permission="structure.schedules", kind="command", errors=(UnknownSchedule,))
def give_up(ctx: Context, *, schedule: ScheduleId, error: Annotated[str, Field(max_length=5000)]) -> Schedule:
    """Mark a waiting schedule as failed and keep the reason; nothing of it was done."""
    row = _schedule(ctx, schedule)
    if _close(ctx, row, "failed", error=error):
        _tell(ctx, known(ctx, row.channel_id), row.id, {"state": "failed", "error": error[:500]})
    return _shape(_schedule(ctx, schedule))


def _do(ctx: Context, found: Known, row: Any) -> int | None:
    """Publish or undo as the schedule's author; the number of the revision made, if one was needed."""
    caller, ctx.principal = ctx.principal, _author(row.author)
    try:
        if row.action == "publish":
            waiting, _ = opened(ctx, row.draft_id, None)
            if waiting.version != row.draft_version:
                raise Conflict("The draft was changed after it was scheduled: schedule it again.", draft=row.draft_id)
            return published(ctx, found, waiting, None, row.message, None).tree.revision
        number = row.revision if row.draft_id is None else draft_row(ctx, row.draft_id).revision
        if number is None:
            raise NothingToDo("The draft was never published, so there is nothing to undo.", draft=row.draft_id)
        message = row.message or f"Undo revision {number} as scheduled"
        outcome = undone(ctx, found, number, KEEP_LATER_CHANGES, message, None, PUBLISH)
        return outcome.tree.revision if outcome.changes else None
    finally:
        ctx.principal = caller


def _before_its_publish(ctx: Context, row: Any) -> bool:
    """Whether a campaign's undo came up while its publish still waits, or is being done by another process."""
    if row.action != "undo" or row.draft_id is None:
        return False
    first = (schedule_table.c.draft_id == row.draft_id, schedule_table.c.action == "publish")
    waiting = (*first, schedule_table.c.state == "waiting", schedule_table.c.at <= row.at)
    return ctx.execute(select(schedule_table.c.id).where(*waiting).limit(1)).first() is not None


def _author(ref: str) -> Principal:
    """Whoever made the schedule; what they may no longer do when its time comes is refused then."""
    kind, _, id = ref.partition(":")
    return Principal(kind, id)


def _close(ctx: Context, row: Any, state: str, **values: Any) -> bool:
    """Take a schedule out of waiting; only one transaction can."""
    mine = (schedule_table.c.id == row.id, schedule_table.c.state == "waiting")
    closed = update(schedule_table).where(*mine).values(state=state, done_at=ctx.now(), **values)
    return ctx.execute(closed).rowcount == 1


def _schedule(ctx: Context, schedule: str) -> Any:
    row = ctx.execute(select(schedule_table).where(schedule_table.c.id == schedule)).one_or_none()
    if row is None:
        raise UnknownSchedule(schedule=schedule)
    return row


def _tell(ctx: Context, found: Known, schedule: str, after: dict[str, Any], number: int | None = None) -> None:
    ctx.record(
        ScheduleChanged(subject=schedule, unit_id=found.unit_id, channel_id=found.id, revision=number, after=after)
    )


def _shape(row: Any) -> Schedule:
    names = ("id", "action", "revision", "author", "at", "state", "done_at", "result", "error")
    return Schedule(channel=row.channel_id, draft=row.draft_id, **{name: getattr(row, name) for name in names})
