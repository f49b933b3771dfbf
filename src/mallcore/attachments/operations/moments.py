"""Moments: what a label named at a time, in a snapshot, or when a channel had a revision."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import select

from mallcore.attachments.model.tables import label_move, pin
from mallcore.errors import InvalidReference
from mallcore.kernel.context import Context


class Moments:
    """Port: knows the times of revisions and the names of snapshots; the package that owns them fulfils it."""

    def time_of(self, ctx: Context, channel: str, revision: int) -> datetime:
        """When a channel got a revision."""
        raise InvalidReference(reference=f"{channel}@{revision}")

    def require_snapshot(self, ctx: Context, name: str) -> None:
        """Raise `UnknownSnapshot` unless the caller may see one of this name."""
        raise InvalidReference(reference=name)


def number_then(ctx: Context, attachment: str, label: str, at: datetime | str) -> int | None:
    """The version a label named at a moment; nothing when it stood nowhere."""
    moment = at if isinstance(at, datetime) else _moment(ctx, at)
    if isinstance(moment, datetime):
        return _at_time(ctx, attachment, label, moment)
    ctx.port(Moments).require_snapshot(ctx, moment)
    mine = (pin.c.attachment_id == attachment, pin.c.holder == f"snapshot:{moment}", pin.c.label == label)
    return ctx.execute(select(pin.c.n).where(*mine)).scalar_one_or_none()


def _moment(ctx: Context, text: str) -> datetime | str:
    """A time, or the name of a snapshot: those begin with a letter."""
    channel, sign, revision = text.rpartition("@")
    if sign:
        if not (revision.isdecimal() and len(revision) < 19):
            raise InvalidReference(reference=text[:100])
        return ctx.port(Moments).time_of(ctx, channel, int(revision))
    if not text[:1].isdigit():
        return text[:100]
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidReference(reference=text[:100]) from None
    if time.tzinfo is None:
        raise InvalidReference(reference=text[:100])
    return time


def _at_time(ctx: Context, attachment: str, label: str, time: datetime) -> int | None:
    mine = (label_move.c.attachment_id == attachment, label_move.c.name == label, label_move.c.at <= time)
    query = select(label_move.c.n).where(*mine).order_by(label_move.c.number.desc()).limit(1)
    return ctx.execute(query).scalar_one_or_none()
