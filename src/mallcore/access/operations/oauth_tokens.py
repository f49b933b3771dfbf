"""Codes and refresh tokens, as they are kept: by digest, each used once, in families that end as one.

These are no operations: the authorization server calls them, each in a unit of work of its own, so that what is found
out (a code that came twice) stays, although the request is refused.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, ClassVar

from sqlalchemy import delete, insert, select, update

from mallcore.access.model.oauth import oauth_code, oauth_denied, oauth_family, oauth_refresh
from mallcore.access.operations.oauth_denials import deny_tokens
from mallcore.access.rules.oauth import digest
from mallcore.kernel.context import Context
from mallcore.kernel.events import Event
from mallcore.kernel.ids import new_id


@dataclass(frozen=True, slots=True, kw_only=True)
class TokensEnded(Event):
    """A family of tokens ended before its time: ``after`` says why. The subject is the family's id."""

    name: ClassVar[str] = "access.tokens_ended"


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """What an authorization code stands for. ``redirect_uri`` is what its request named."""

    client: str
    principal: str
    redirect_uri: str | None
    scopes: tuple[str, ...]
    challenge: str = field(repr=False)
    family: str = field(default_factory=lambda: new_id("fam"))
    used: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Refresh:
    """A refresh token and its family; ``live`` if it can be used now."""

    family: str
    client: str
    principal: str
    scopes: tuple[str, ...]
    since: datetime
    until: datetime
    used: bool
    live: bool


def keep_code(ctx: Context, code: Code, seconds: float) -> str:
    """A new code that stands for this, good for so long."""
    text = secrets.token_urlsafe(32)
    ctx.execute(
        insert(oauth_code),
        {
            "digest": digest(text),
            "client": code.client,
            "principal": code.principal,
            "redirect_uri": code.redirect_uri,
            "scopes": list(code.scopes),
            "challenge": code.challenge,
            "family": code.family,
            "until": ctx.now() + timedelta(seconds=seconds),
        },
    )
    return text


def find_code(ctx: Context, text: str, client: str) -> Code | None:
    """What the code stands for, if it is this client's and its time is not over, or it was used."""
    row = ctx.execute(select(oauth_code).where(oauth_code.c.digest == digest(text))).one_or_none()
    if row is None or row.client != client or (row.used_at is None and row.until <= ctx.now()):
        return None
    return Code(
        client=row.client,
        principal=row.principal,
        redirect_uri=row.redirect_uri,
        scopes=tuple(row.scopes),
        challenge=row.challenge,
        family=row.family,
        used=row.used_at is not None,
    )


def use_code(ctx: Context, text: str, code: Code, seconds: float) -> bool:
    """Use the code, and begin its family, which lives so long at most. Whoever is second gets no, and ends the family.

    Of two at one moment, one waits here for the other's commit.
    """
    mine = (oauth_code.c.digest == digest(text), oauth_code.c.used_at.is_(None))
    if ctx.execute(update(oauth_code).where(*mine).values(used_at=ctx.now())).rowcount != 1:
        end_tokens(ctx, code.family, "a code was used twice")
        return False
    row = {"id": code.family, "client": code.client, "principal": code.principal, "scopes": list(code.scopes)}
    ctx.execute(insert(oauth_family), {**row, "at": ctx.now(), "until": ctx.now() + timedelta(seconds=seconds)})
    return True


def keep_refresh(ctx: Context, family: str, seconds: float) -> str:
    """A new refresh token of the family, good for so long, if the family lives so long."""
    text = secrets.token_urlsafe(32)
    until = ctx.now() + timedelta(seconds=seconds)
    ctx.execute(insert(oauth_refresh), {"digest": digest(text), "family": family, "until": until})
    return text


def find_refresh(ctx: Context, text: str) -> Refresh | None:
    """The refresh token and its family, if it is one of ours."""
    joined = select(oauth_refresh.c.used_at, oauth_refresh.c.until.label("good"), oauth_family).join(
        oauth_family, oauth_family.c.id == oauth_refresh.c.family
    )
    row = ctx.execute(joined.where(oauth_refresh.c.digest == digest(text))).one_or_none()
    if row is None:
        return None
    until = min(row.good, row.until)
    return Refresh(
        family=row.id,
        client=row.client,
        principal=row.principal,
        scopes=tuple(row.scopes),
        since=row.at,
        until=until,
        used=row.used_at is not None,
        live=row.used_at is None and row.ended_at is None and until > ctx.now(),
    )


def use_refresh(ctx: Context, text: str, refresh: Refresh) -> bool:
    """Use the token up. Whoever comes second with it gets no, and ends the family: one of the two is a thief.

    The family's row is locked first, so that one that ends while this is done is not gone on with.
    """
    alive = (oauth_family.c.id == refresh.family, oauth_family.c.ended_at.is_(None))
    if ctx.execute(update(oauth_family).where(*alive).values(client=oauth_family.c.client)).rowcount != 1:
        return False
    mine = (oauth_refresh.c.digest == digest(text), oauth_refresh.c.used_at.is_(None))
    if ctx.execute(update(oauth_refresh).where(*mine).values(used_at=ctx.now())).rowcount == 1:
        return True
    end_tokens(ctx, refresh.family, "a refresh token was used twice")
    return False


def end_tokens(ctx: Context, family: str, reason: str) -> bool:
    """End a family: its refresh tokens and its access tokens count no more. Returns whether it lived."""
    mine = (oauth_family.c.id == family, oauth_family.c.ended_at.is_(None))
    lived = ctx.execute(update(oauth_family).where(*mine).values(ended_at=ctx.now())).rowcount == 1
    if lived:
        deny_tokens(ctx, family)
        ctx.record(TokensEnded(subject=family, after={"reason": reason}))
    return lived


def end_tokens_of(ctx: Context, reason: str, *, client: str | None = None, principal: str | None = None) -> int:
    """End every family of a client, of a principal, or of both together, and the codes that would begin one.

    Returns how many families lived. Codes come first: who uses one at this moment is waited for, and ends, too.
    """
    given = {name: value for name, value in (("client", client), ("principal", principal)) if value is not None}
    codes, families = oauth_code.c, oauth_family.c
    unused = (codes.used_at.is_(None), *(codes[name] == value for name, value in given.items()))
    ctx.execute(update(oauth_code).where(*unused).values(used_at=ctx.now()))
    query = select(families.id).where(families.ended_at.is_(None), families.until > ctx.now())
    query = query.where(*(families[name] == value for name, value in given.items()))
    return sum(end_tokens(ctx, family, reason) for family in ctx.execute(query).scalars().all())


def forget_old_tokens(ctx: Context) -> int:
    """Drop codes, refresh tokens, families and denials whose time is over; returns how many rows."""
    now = ctx.now()
    over = select(oauth_family.c.id).where(oauth_family.c.until <= now)
    statements: tuple[Any, ...] = (
        delete(oauth_code).where(oauth_code.c.until <= now - timedelta(days=1)),  # one that comes again is still known
        delete(oauth_refresh).where(oauth_refresh.c.family.in_(over)),
        delete(oauth_family).where(oauth_family.c.until <= now),
        delete(oauth_denied).where(oauth_denied.c.until <= now),
    )
    return sum(ctx.execute(statement).rowcount for statement in statements)
