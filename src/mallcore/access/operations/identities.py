"""Identities: whom a sign-in elsewhere counts as here, by issuer and subject; never by an e-mail address alone."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Annotated, Any, ClassVar

from pydantic import Field
from sqlalchemy import delete, select, update

from mallcore.access.hooks import Identity, LoginProvider
from mallcore.access.model.logins import IdentityInfo, login_state
from mallcore.access.model.logins import identity as identities
from mallcore.access.model.logins import session as sessions
from mallcore.access.operations.sealing import LOGINS, PERSONS, opened, seal
from mallcore.access.operations.sessions import (
    IdempotencyKey,
    PrincipalRef,
    acting,
    close,
    is_live,
    is_own,
    whose_to_see,
)
from mallcore.access.rules import checked_principal
from mallcore.errors import IdentityTaken, LoginRefused, UnknownIdentity
from mallcore.kernel.context import Context, Principal
from mallcore.kernel.events import Event
from mallcore.kernel.ids import new_id
from mallcore.kernel.keys import Keyring
from mallcore.kernel.operations import Rest, operation
from mallcore.kernel.paging import Cursor, Limit, Page, decode, page

NewUser = Callable[[Identity], str | None]
"""The id of a new user for an identity that nobody here has, or nothing: it may not come in. It must be a new one."""
IdentityId = Annotated[str, Field(max_length=40, description="The identity's id, `idt_…`.")]
_TICKET = "link"
_TICKET_GOOD = timedelta(minutes=10)


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentityLinked(Event):
    """A sign-in elsewhere counts as a user from now on; ``after`` says whose, and that of which provider."""

    name: ClassVar[str] = "access.identity_linked"


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentityUnlinked(Event):
    """A sign-in elsewhere counts as nobody any more."""

    name: ClassVar[str] = "access.identity_unlinked"


def any_new_user(identity: Identity) -> str:
    """A user of a random id: nothing of a person is in it, and nobody can have been granted anything before."""
    return str(uuid.uuid4())


def once(ctx: Context, what: str, until: datetime) -> bool:
    """Whether this is used for the first time; it is remembered until then, by a digest."""
    return ctx.add_new(login_state, {"id": sha256(what.encode()).hexdigest(), "expires_at": until})


def known(ctx: Context, identity: Identity) -> Any:
    """The row of an identity that somebody here has; nothing, if nobody has it."""
    mine = (identities.c.issuer == identity.issuer, identities.c.subject == identity.subject)
    return ctx.execute(select(identities).where(*mine)).one_or_none()


def seen(ctx: Context, row: Any, identity: Identity) -> None:
    """Keep what the provider says now, and when it did."""
    values = {"about": _about(ctx, row.id, identity), "last_at": ctx.now()}
    ctx.execute(update(identities).where(identities.c.id == row.id).values(values))


def provisioned(ctx: Context, provider: str, identity: Identity, new_user: NewUser) -> Any:
    """The row of an identity that comes for the first time, for a user who comes with it."""
    user = new_user(identity)
    if user is None:
        raise LoginRefused(reason="nobody here has this identity, and it may not come in by itself")
    principal = checked_principal(Principal.user(user).ref)
    # A rule that finds users by their e-mail address would hand one over to whoever gets that address elsewhere.
    if ctx.execute(select(identities.c.id).where(identities.c.principal == principal).limit(1)).first():
        raise LoginRefused(reason="the user it would be signs in otherwise: sign in so, and link this identity")
    return _added(acting(ctx, Principal.user(user)), provider, identity)


def _added(ctx: Context, provider: str, identity: Identity) -> Any:
    """The new row, of the acting principal; whoever else comes with the same identity at this moment gets it, too."""
    id, now = new_id("idt"), ctx.now()
    row = {
        "id": id, "issuer": identity.issuer, "subject": identity.subject, "principal": ctx.principal.ref,
        "provider": provider, "about": _about(ctx, id, identity), "created_at": now, "last_at": now,
    }  # fmt: skip
    if ctx.add_new(identities, row):
        after = {"principal": ctx.principal.ref, "provider": provider, "issuer": identity.issuer}
        ctx.record(IdentityLinked(subject=id, after=after))
    return known(ctx, identity)


def _about(ctx: Context, id: str, identity: Identity) -> str:
    about = {"email": identity.email, "email_verified": identity.email_verified, "name": identity.name}
    return seal(ctx.port(Keyring), PERSONS, "identity", about, id)


def ticket_for(ctx: Context, provider: LoginProvider, identity: Identity, session: str) -> str:
    """What `link_identity` takes: good for ten minutes, once, in this session."""
    refuse_doubtful(provider, identity)
    about = {
        "issuer": identity.issuer, "subject": identity.subject, "email": identity.email, "name": identity.name,
        "provider": provider.name, "session": session, "until": (ctx.now() + _TICKET_GOOD).timestamp(),
        "id": uuid.uuid4().hex,
    }  # fmt: skip
    return seal(ctx.port(Keyring), LOGINS, _TICKET, about)


def refuse_doubtful(provider: LoginProvider, identity: Identity) -> None:
    """Refuse to link what nobody who is trusted has vouched for."""
    if not provider.trusted:
        raise LoginRefused(reason="this provider is not trusted to say whose an identity is")
    if not (identity.email and identity.email_verified):
        raise LoginRefused(reason="the provider has not verified an e-mail address")


@operation(permission=None, kind="command", errors=(IdentityTaken, LoginRefused), rest=Rest("POST", "/identities", 201))
def link_identity(
    ctx: Context,
    *,
    ticket: Annotated[str, Field(max_length=6000, description="What the sign-in elsewhere ended with.", repr=False)],
    idempotency_key: IdempotencyKey = None,
) -> IdentityInfo:
    """Let a sign-in elsewhere count as oneself, too: confirms what one has just done in this very session.

    Only a provider that is trusted gives tickets, and only for an e-mail address it has verified.
    """
    about = opened(ctx.port(Keyring), LOGINS, _TICKET, ticket)
    user = None if about is None else _holder(ctx, about["session"])
    if about is None or user is None or about["until"] < ctx.now().timestamp():
        ctx.refuse("access.link_identity")
    assert about is not None
    assert user is not None
    if not once(ctx, about["id"], datetime.fromtimestamp(about["until"], ctx.now().tzinfo)):
        raise LoginRefused(reason="this ticket was used before")
    identity = Identity(about["issuer"], about["subject"], about["email"], True, about["name"])
    row = known(ctx, identity) or _added(acting(ctx, user), about["provider"], identity)
    if row.principal != user.ref:
        raise IdentityTaken()
    return _shown(ctx, row)


def _holder(ctx: Context, session: str) -> Principal | None:
    """Who confirms: the caller in the session of the ticket, or that session's user, for whom a system acts."""
    row = ctx.execute(select(sessions.c.principal).where(sessions.c.id == session)).one_or_none()
    if row is None or not is_live(ctx, session, row.principal):
        return None
    acts = ctx.principal.kind == "system" or (ctx.principal.session == session and ctx.principal.ref == row.principal)
    return Principal.user(row.principal.partition(":")[2], session) if acts else None


@operation(permission=None, rest=Rest("GET", "/identities"))
def list_identities(
    ctx: Context, *, principal: PrincipalRef = None, limit: Limit = 50, cursor: Cursor = None
) -> Page[IdentityInfo]:
    """By which sign-ins elsewhere one is known here; with the permission `access.read`, anybody's."""
    query = select(identities).order_by(identities.c.id).limit(limit + 1)
    if (whose := whose_to_see(ctx, principal)) is not None:
        query = query.where(identities.c.principal == whose)
    if cursor is not None:
        query = query.where(identities.c.id > decode(cursor, str)[0])
    return page(ctx.execute(query).all(), limit, lambda row: _shown(ctx, row), lambda row: (row.id,))


@operation(permission=None, kind="command", errors=(UnknownIdentity,), rest=Rest("DELETE", "/identities/{identity}"))
def unlink_identity(ctx: Context, *, identity: IdentityId, idempotency_key: IdempotencyKey = None) -> IdentityInfo:
    """Let a sign-in elsewhere count as nobody: one's own, or, with the permission `access.manage`, anybody's.

    The sessions that were opened by it are over. Who signs in by it again comes as somebody new.
    """
    row = ctx.execute(select(identities).where(identities.c.id == identity)).one_or_none()
    if row is None or not is_own(ctx, row.principal):
        ctx.require("access.manage")
    if row is None:
        raise UnknownIdentity(identity=identity)
    ctx.execute(delete(identities).where(identities.c.id == identity))
    close(ctx, "unlinked", sessions.c.identity == identity)
    before = {"principal": row.principal, "provider": row.provider, "issuer": row.issuer}
    ctx.record(IdentityUnlinked(subject=identity, before=before))
    return _shown(ctx, row)


def _shown(ctx: Context, row: Any) -> IdentityInfo:
    about = opened(ctx.port(Keyring), PERSONS, "identity", row.about, row.id) or {}
    names = ("id", "principal", "provider", "issuer", "subject", "created_at", "last_at")
    return IdentityInfo(**{name: getattr(row, name) for name in names}, **about)
