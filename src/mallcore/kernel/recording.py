"""Deny closed: a decision stands on record, committed, before anybody acts on it; where it can't be, nothing is done.

``ctx.record`` shares the fate of the unit of work, which ends after the operation has answered. That is too late for
what can't be taken back: a byte, or a URL, that goes out. So such a decision is recorded in a transaction of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from sqlalchemy.exc import SQLAlchemyError

from mallcore.errors import Unavailable
from mallcore.kernel.context import Context
from mallcore.kernel.events import Event


class Recorder:
    """Port: puts decisions on record before they are acted upon, all of a call in one transaction of its own."""

    @contextmanager
    def deciding(self, ctx: Context) -> Iterator[Context]:
        """A unit of work in which something is decided and recorded; both are committed at the end of the block.

        Raises `Unavailable` when the log can't be written, and `StageFirst` where only one transaction can write at a
        time and the caller's does: it would wait for itself, and its own commit would come too late.
        """
        ctx.work.may_wait()
        try:
            with ctx.apart() as own:
                yield own
        except (Unavailable, SQLAlchemyError) as error:
            raise Unavailable("The audit log can't be written, so nothing is served: try again later.") from error

    def record_now(self, ctx: Context, *events: Event) -> None:
        """Record them and commit; raises as `deciding` does."""
        with self.deciding(ctx) as own:
            for event in events:
                own.record(event)


def deciding(ctx: Context) -> AbstractContextManager[Context]:
    """A unit of work of its own for one decision, through the mall's `Recorder`: it reads, decides and records.

    What is decided must leave the block as a value: an error raised in it would take the record with it.
    """
    return ctx.port(Recorder).deciding(ctx)


def record_now(ctx: Context, *events: Event) -> None:
    """Put events on record through the mall's `Recorder`: committed when this returns, whatever becomes of the caller.

    Raises `Unavailable` when the audit log can't be written, and `StageFirst` on a database with one writer when this
    unit of work is that writer (serve in a unit of work that only reads).
    """
    ctx.port(Recorder).record_now(ctx, *events)
