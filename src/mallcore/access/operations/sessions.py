"""Sessions: opening one for whoever has signed in, listing and ending them, and the ends of all of a principal's.

A session is known by a random token that is nowhere in the database; what stands there is its keyed digest. Each end of
all sessions raises the principal's epoch, and links made for it before are refused with them.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Annotated, Any, ClassVar

from pydantic import Field
from sqlalchemy import Select, and_, bindparam, delete, func, insert, select, update

from mallcore.access.model import SessionsEnded, session_epoch
from mallcore.access.model.logins import EndReason, SessionInfo, login_state
from mallcore.access.model.logins import session as sessions
from mallcore.access.operations.oauth_tokens import end_tokens_of
from mallcore.access.operations.sealing import LOGINS, PERSONS, digest, opened, seal
from mallcore.access.rules import checked_principal
from mallcore.access.rules.logins import PREFIX, checked_lives, key_number
from mallcore.errors import InvalidInput, UnknownKey, UnknownSession
from mallcore.kernel.context import Context, Principal
from mallcore.kernel.events import Event
from mallcore.kernel.ids import new_id
from mallcore.kernel.keys import Keyring
from mallcore.kernel.operations import Rest, operation
from mallcore.kernel.paging import Cursor, Limit, Page, decode, page

IdempotencyKey = Annotated[str | None, Field(min_length=1, max_length=200)]
PrincipalRef = Annotated[str | None, Field(max_length=200, description="Whose: `user:…`; nothing: all one may see.")]
SessionId = Annotated[str, Field(max_length=40, description="The session's id, `ses_…`.")]
IDLE, LIFE = 12 * 3600, 14 * 24 * 3600
_KEPT = timedelta(days=30)
_USE = "session"
_EPOCH = func.coalesce(session_epoch.c.epoch, 0)
_ROWS = select(sessions, _EPOCH.label("current")).join_from(
    sessions, session_epoch, session_epoch.c.principal == sessions.c.principal, isouter=True
)
_OF_TOKEN = _ROWS.where(sessions.c.digest == bindparam("found"))  # made once: every request asks this


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionsClosed(Event):
    """All sessions of a principal were ended, and with them the links that were made for it."""

    name: ClassVar[str] = "access.sessions_ended"


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionOpened(Event):
    """Somebody signed in; ``after`` says by which provider and identity."""

    name: ClassVar[str] = "access.session_opened"


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionClosed(Event):
    """One session was ended; ``after`` says why."""

    name: ClassVar[str] = "access.session_ended"


@dataclass(frozen=True, slots=True)
class Lives:
    """How long sessions are good: after a request, and in all."""

    idle_seconds: int = IDLE
    life_seconds: int = LIFE

    def __post_init__(self) -> None:
        checked_lives(self.idle_seconds, self.life_seconds)


@dataclass(frozen=True, slots=True)
class Caller:
    """From where somebody signs in; kept sealed."""

    address: str = field(default="", repr=False)
    user_agent: str = field(default="", repr=False)

    @property
    def details(self) -> dict[str, str]:
        """What of it is known, cut to what is kept."""
        found = {"address": self.address[:100], "user_agent": self.user_agent[:300]}
        return {name: value for name, value in found.items() if value}


@dataclass(frozen=True, slots=True)
class SignedInBy:
    """By what somebody signed in: the identity, its provider, and what that calls the sign-in."""

    identity: str | None = None
    provider: str | None = None
    provider_session: str | None = None
    proof: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class NewSession:
    """A session, with the token that only whoever signed in gets, and only now."""

    id: str
    principal: str
    token: str = field(repr=False)
    expires_at: datetime


class Sessions:
    """Fulfils other packages' question: how often were the sessions of a principal ended?"""

    def epoch(self, ctx: Context, principal: str) -> int:
        """The principal's epoch, as the database has it now."""
        query = select(session_epoch.c.epoch).where(session_epoch.c.principal == principal)
        return ctx.execute(query).scalar_one_or_none() or 0


def open_session(
    ctx: Context, *, user: str, caller: Caller | None = None, by: SignedInBy | None = None, replaces: str | None = None
) -> NewSession:
    """Open a session for a user whom the host, or a login provider, has just authenticated. Only a system may.

    ``replaces`` is the token the browser came with: that session is over, whosever it was.
    """
    if ctx.principal.kind != "system":
        ctx.refuse("access.manage")
    mine = acting(ctx, Principal.user(user))
    if replaces is not None:
        _replace(mine, replaces)
    key = ctx.port(Keyring).current(LOGINS)
    token = f"{PREFIX}{key.number}_{secrets.token_urlsafe(32)}"
    caller, by = caller or Caller(), by or SignedInBy()
    row: dict[str, Any] = _new_row(mine, caller, by) | {"digest": digest(key, _USE, token)}
    mine.execute(insert(sessions), row)
    after = {"identity": by.identity, "provider": by.provider}
    mine.record(SessionOpened(subject=row["id"], after=after, details=caller.details))
    return NewSession(row["id"], mine.principal.ref, token, row["expires_at"])


def _new_row(ctx: Context, caller: Caller, by: SignedInBy) -> dict[str, Any]:
    keyring, lives, now, id = ctx.port(Keyring), ctx.port(Lives), ctx.now(), new_id("ses")
    principal = checked_principal(ctx.principal.ref)
    return {
        "id": id, "principal": principal, "epoch": Sessions().epoch(ctx, principal),
        "identity": by.identity, "provider": by.provider, "provider_session": by.provider_session,
        "proof": None if by.proof is None else seal(keyring, PERSONS, "proof", {"proof": by.proof}, id),
        "about": seal(keyring, PERSONS, "session", caller.details, id), "created_at": now, "seen_at": now,
        "idle_until": now + timedelta(seconds=lives.idle_seconds),
        "expires_at": now + timedelta(seconds=lives.life_seconds),
    }  # fmt: skip


def acting(ctx: Context, principal: Principal) -> Context:
    """A Context in the same unit of work for whom it is done; it may write."""
    own = Context(ctx.services, principal, ctx.work, ctx.request_id)
    own.operation, own.commanding = ctx.operation, True
    return own


def of_token(ctx: Context, token: str) -> Any:
    """The row behind a session's token, with its principal's ``current`` epoch; nothing, if there is none."""
    number = key_number(token)
    if number is None:
        return None
    try:
        key = ctx.port(Keyring).find(LOGINS, number)
    except UnknownKey:
        return None
    return ctx.execute(_OF_TOKEN, {"found": digest(key, _USE, token)}).one_or_none()


def is_live(ctx: Context, id: str, principal: str) -> bool:
    """Whether the principal has such a session, which is good now."""
    return (
        ctx.execute(_live(ctx, _ROWS).where(sessions.c.id == id, sessions.c.principal == principal)).first() is not None
    )


def _live(ctx: Context, query: Select[Any]) -> Select[Any]:
    same, now = sessions.c.epoch == _EPOCH, ctx.now()
    return query.where(sessions.c.ended_at.is_(None), sessions.c.expires_at > now, sessions.c.idle_until > now, same)


def close(ctx: Context, reason: EndReason, *which: Any) -> list[Any]:
    """End the sessions there are among these, on record; returns their rows as they were."""
    rows = ctx.execute(select(sessions).where(sessions.c.ended_at.is_(None), *which)).all()
    ended = {"ended_at": ctx.now(), "reason": reason, "proof": None}
    for row in rows:
        ctx.execute(update(sessions).where(sessions.c.id == row.id).values(ended))
        ctx.record(SessionClosed(subject=row.id, after={"principal": row.principal, "reason": reason}))
    return list(rows)


def _replace(ctx: Context, token: str) -> None:
    row = of_token(ctx, token)
    if row is not None:
        close(ctx, "replaced", sessions.c.id == row.id)


@operation(permission="access.manage", kind="command", errors=(InvalidInput,), rest=Rest("POST", "/sessions/end"))
def end_sessions(
    ctx: Context,
    *,
    principal: Annotated[str, Field(max_length=200, description="Whose: `user:…`, `client:…` or `plugin:…`.")],
    idempotency_key: IdempotencyKey = None,
) -> SessionsEnded:
    """End all sessions of this principal, and refuse from now on every link that was made for it, or for one of them.

    Tokens (OAuth2) that clients have in its name end, too; what it consented to stays, for when it signs in again.
    Call this when somebody signs out everywhere, or is locked out. A host with sign-ins of its own ends those itself.
    """
    checked_principal(principal)
    row = {"principal": principal, "epoch": 0, "at": ctx.now()}
    ctx.add_new(session_epoch, row)
    mine = session_epoch.c.principal == principal
    ctx.execute(update(session_epoch).where(mine).values(epoch=session_epoch.c.epoch + 1, at=ctx.now()))
    ended = {"ended_at": ctx.now(), "reason": "everywhere", "proof": None}
    ctx.execute(update(sessions).where(sessions.c.principal == principal, sessions.c.ended_at.is_(None)).values(ended))
    end_tokens_of(ctx, "the sessions were ended", principal=principal)
    found = ctx.execute(select(session_epoch).where(mine)).one()
    ctx.record(SessionsClosed(subject=principal, before={"epoch": found.epoch - 1}, after={"epoch": found.epoch}))
    return SessionsEnded(principal=principal, epoch=found.epoch, at=found.at)


@operation(permission=None, rest=Rest("GET", "/sessions"))
def list_sessions(
    ctx: Context,
    *,
    principal: PrincipalRef = None,
    over: Annotated[bool, Field(description="Also those that are over; they are kept for 30 days.")] = False,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[SessionInfo]:
    """Sessions in the order they were opened: one's own, or, with the permission `access.read`, anybody's."""
    query = _ROWS.order_by(sessions.c.id).limit(limit + 1)
    if (whose := whose_to_see(ctx, principal)) is not None:
        query = query.where(sessions.c.principal == whose)
    if not over:
        query = _live(ctx, query)
    if cursor is not None:
        query = query.where(sessions.c.id > decode(cursor, str)[0])
    return page(ctx.execute(query).all(), limit, lambda row: _shown(ctx, row), lambda row: (row.id,))


def is_own(ctx: Context, principal: str) -> bool:
    """Whether this is the caller, in person: what was given only some of one's permissions is not."""
    credential = ctx.principal.credential
    return ctx.principal.ref == principal and (credential is None or credential.scopes is None)


def whose_to_see(ctx: Context, principal: str | None) -> str | None:
    """Whose rows are listed (nothing: all there are); a caller who asks for another's needs `access.read`."""
    own = ctx.principal.ref
    if ctx.principal.kind == "user" and is_own(ctx, own) and principal in (own, None):
        return own if principal == own or not ctx.may("access.read") else None
    ctx.require("access.read")
    return principal


@operation(permission=None, kind="command", errors=(UnknownSession,), rest=Rest("DELETE", "/sessions/{session}"))
def end_session(ctx: Context, *, session: SessionId, idempotency_key: IdempotencyKey = None) -> SessionInfo:
    """End a session of one's own, or, with the permission `access.manage`, anybody's: its token is refused at once."""
    row = ctx.execute(_ROWS.where(sessions.c.id == session)).one_or_none()
    if row is None or not is_own(ctx, row.principal):
        ctx.require("access.manage")
    if row is None or row.ended_at is not None:
        raise UnknownSession(session=session)
    reason: EndReason = "signed-out" if row.id == ctx.principal.session else "ended"
    close(ctx, reason, sessions.c.id == session)
    return _shown(ctx, ctx.execute(_ROWS.where(sessions.c.id == session)).one())


def _shown(ctx: Context, row: Any) -> SessionInfo:
    about = opened(ctx.port(Keyring), PERSONS, "session", row.about, row.id) or {}
    known = {name: getattr(row, name) for name in SessionInfo.model_fields if hasattr(row, name)}
    return SessionInfo(**{**known, **about, "current": row.id == ctx.principal.session})


def proof_of(ctx: Context, row: Any) -> str | None:
    """What the provider wants to see when a session is ended."""
    found = None if row.proof is None else opened(ctx.port(Keyring), PERSONS, "proof", row.proof, row.id)
    return None if found is None else found["proof"]


def forget_old_sessions(ctx: Context) -> None:
    """Drop what nobody asks for any more: part of the mall's housekeeping."""
    then = ctx.now() - _KEPT
    ctx.execute(delete(sessions).where(sessions.c.expires_at < then))
    ctx.execute(delete(sessions).where(and_(sessions.c.ended_at.is_not(None), sessions.c.ended_at < then)))
    ctx.execute(delete(login_state).where(login_state.c.expires_at < ctx.now()))
