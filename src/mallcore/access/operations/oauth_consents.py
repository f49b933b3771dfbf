"""Consents: what people let clients do in their name, and taking it back."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, ClassVar

from pydantic import Field
from sqlalchemy import delete, select, update

from mallcore.access.model.oauth import OAuthConsent, oauth_consent
from mallcore.access.operations.oauth_clients import ClientId, IdempotencyKey
from mallcore.access.operations.oauth_tokens import end_tokens_of
from mallcore.access.operations.sessions import is_own
from mallcore.errors import UnknownConsent
from mallcore.kernel.context import Context
from mallcore.kernel.events import Event
from mallcore.kernel.operations import Rest, operation
from mallcore.kernel.paging import Cursor, Limit, Page, decode, page

PrincipalRef = Annotated[str, Field(max_length=200, description="Whose; nothing: the caller's own.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsentGiven(Event):
    """Somebody lets a client act in their name, as far as ``after`` says."""

    name: ClassVar[str] = "access.consent_given"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsentTaken(Event):
    """Somebody lets a client act in their name no more."""

    name: ClassVar[str] = "access.consent_taken"


@operation(permission=None, rest=Rest("GET", "/oauth-consents"))
def list_oauth_consents(
    ctx: Context, *, principal: PrincipalRef | None = None, limit: Limit = 50, cursor: Cursor = None
) -> Page[OAuthConsent]:
    """What the caller lets clients do in its name, by client. What others do is shown to who may manage access."""
    query = select(oauth_consent).where(oauth_consent.c.principal == _whose(ctx, principal))
    if cursor is not None:
        query = query.where(oauth_consent.c.client > decode(cursor, str)[0])
    rows = ctx.execute(query.order_by(oauth_consent.c.client).limit(limit + 1)).all()
    return page(rows, limit, lambda row: OAuthConsent(**row._mapping), lambda row: (row.client,))


@operation(permission=None, kind="command", errors=(UnknownConsent,), rest=Rest("DELETE", "/oauth-consents/{client}"))
def withdraw_oauth_consent(
    ctx: Context, *, client: ClientId, principal: PrincipalRef | None = None, idempotency_key: IdempotencyKey = None
) -> OAuthConsent:
    """Let a client act in the caller's name no more: what tokens it has for that end with this commit."""
    whose = _whose(ctx, principal)
    client = client.removeprefix("client:")
    mine = (oauth_consent.c.principal == whose, oauth_consent.c.client == client)
    row = ctx.execute(select(oauth_consent).where(*mine)).one_or_none()
    if row is None:
        raise UnknownConsent(client=client)
    ctx.execute(delete(oauth_consent).where(*mine))
    end_tokens_of(ctx, "the consent was withdrawn", client=client, principal=whose)
    ctx.record(ConsentTaken(subject=client, before={"principal": whose, "scopes": row.scopes}))
    return OAuthConsent(**row._mapping)


def consented(ctx: Context, principal: str, client: str) -> frozenset[str]:
    """The scopes somebody let a client have before: for the authorization server."""
    mine = (oauth_consent.c.principal == principal, oauth_consent.c.client == client)
    return frozenset(ctx.execute(select(oauth_consent.c.scopes).where(*mine)).scalar_one_or_none() or ())


def keep_consent(ctx: Context, principal: str, client: str, scopes: Iterable[str]) -> None:
    """Remember that somebody lets a client have these scopes, beside those it may have already."""
    before = consented(ctx, principal, client)
    whole = sorted({*before, *scopes})
    if whole == sorted(before):
        return
    row = {"principal": principal, "client": client, "scopes": whole, "at": ctx.now()}
    if not ctx.add_new(oauth_consent, row):
        mine = (oauth_consent.c.principal == principal, oauth_consent.c.client == client)
        ctx.execute(update(oauth_consent).where(*mine).values(scopes=whole, at=ctx.now()))
    ctx.record(ConsentGiven(subject=client, after={"principal": principal, "scopes": whole}))


def _whose(ctx: Context, principal: str | None) -> str:
    whose = principal or ctx.principal.ref
    if not is_own(ctx, whose):  # a client that was let do something in their name must not end what others were let
        ctx.require("access.manage")
    return whose
