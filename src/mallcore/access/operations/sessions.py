"""The ends of sessions: each raises a principal's epoch, and links made for it before are refused."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from pydantic import Field
from sqlalchemy import select, update

from mallcore.access.model import SessionsEnded, session_epoch
from mallcore.access.rules import checked_principal
from mallcore.errors import InvalidInput
from mallcore.kernel.context import Context
from mallcore.kernel.events import Event
from mallcore.kernel.operations import Rest, operation

IdempotencyKey = Annotated[str | None, Field(min_length=1, max_length=200)]


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionsClosed(Event):
    """All sessions of a principal were ended, and with them the links that were made for it."""

    name: ClassVar[str] = "access.sessions_ended"


class Sessions:
    """Fulfils other packages' question: how often were the sessions of a principal ended?"""

    def epoch(self, ctx: Context, principal: str) -> int:
        """The principal's epoch, as the database has it now."""
        query = select(session_epoch.c.epoch).where(session_epoch.c.principal == principal)
        return ctx.execute(query).scalar_one_or_none() or 0


@operation(permission="access.manage", kind="command", errors=(InvalidInput,), rest=Rest("POST", "/sessions/end"))
def end_sessions(
    ctx: Context,
    *,
    principal: Annotated[str, Field(max_length=200, description="Whose: `user:…`, `client:…` or `plugin:…`.")],
    idempotency_key: IdempotencyKey = None,
) -> SessionsEnded:
    """Refuse from now on every link that was made for this principal, or for one of its sessions.

    Signing people in and out is the host's business: call this when somebody signs out everywhere, or is locked out.
    """
    checked_principal(principal)
    row = {"principal": principal, "epoch": 0, "at": ctx.now()}
    ctx.add_new(session_epoch, row)
    mine = session_epoch.c.principal == principal
    ctx.execute(update(session_epoch).where(mine).values(epoch=session_epoch.c.epoch + 1, at=ctx.now()))
    found = ctx.execute(select(session_epoch).where(mine)).one()
    ctx.record(SessionsClosed(subject=principal, before={"epoch": found.epoch - 1}, after={"epoch": found.epoch}))
    return SessionsEnded(principal=principal, epoch=found.epoch, at=found.at)
