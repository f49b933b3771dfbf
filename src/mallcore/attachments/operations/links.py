"""Links: making them, opening them, revoking them. Each decision is on record before anybody can act on it."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import Field
from sqlalchemy import delete, select, update

from mallcore.attachments.model.links import Disposition, Link, Opened, Purpose, Recipe
from mallcore.attachments.model.shapes import FileName, VersionRef
from mallcore.attachments.model.tables import link_use
from mallcore.attachments.operations.contents import Content, content_of, refuse_unservable, shown_as
from mallcore.attachments.operations.edges import Addresses
from mallcore.attachments.operations.happened import LinkDenied, LinkMade, LinkOpened, LinkRevoked
from mallcore.attachments.operations.owners import of_attachment
from mallcore.attachments.operations.quarantine import refuse_on_record
from mallcore.attachments.operations.reading import found_version
from mallcore.attachments.rules.refs import owner_parts, parsed
from mallcore.attachments.rules.serving import served_type, shown_name
from mallcore.attachments.rules.tokens import (
    ANYONE,
    LEEWAY,
    LONGEST,
    SLOWEST,
    Claims,
    binding,
    is_bound_to,
    number_in,
    opened,
    refusal,
    signed,
)
from mallcore.errors import (
    ContentErased,
    InvalidInput,
    InvalidReference,
    LinkRefused,
    MallError,
    NotFound,
    Quarantined,
    UnknownAttachment,
    UnknownKey,
    UnknownLabel,
    UnknownVersion,
)
from mallcore.kernel.context import Context
from mallcore.kernel.keys import Key, Keyring
from mallcore.kernel.operations import Rest, operation
from mallcore.kernel.ports import MALL, Subject
from mallcore.kernel.recording import deciding, record_now

KEYS = "links"
To = Annotated[
    str,
    Field(
        min_length=2,
        max_length=200,
        description="Who may open it: `me`, `session` (the caller's own), `anyone`, or a principal as `user:ada`.",
    ),
]
Seconds = Annotated[int, Field(ge=1, le=SLOWEST)]
_JTI = re.compile(r"[0-9a-f]{32}")
TokenOrJti = Annotated[str, Field(min_length=32, max_length=LONGEST, description="The link's token, or its jti.")]
Method = Literal["get", "put"]


class Epochs:
    """Port: how often the sessions of a principal were ended; the package that ends them fulfils it."""

    def epoch(self, ctx: Context, principal: str) -> int:
        """The number of ends."""
        return 0


class Admitted(NamedTuple):
    """A link that holds: what it says, and the content it is about."""

    claims: Claims
    content: Content


class Refusal(NamedTuple):
    """A link that does not: the error to raise, and what the link says, if that is known."""

    error: MallError
    claims: Claims | None


@operation(permission="attachments.link", subject=of_attachment,
           errors=(ContentErased, InvalidInput, InvalidReference, Quarantined, UnknownAttachment, UnknownLabel,
                   UnknownVersion),
           rest=Rest("POST", "/versions/{version}/links", 201))  # fmt: skip
def link(
    ctx: Context,
    *,
    version: VersionRef,
    to: To = "me",
    seconds: Seconds = 300,
    once: bool = False,
    disposition: Disposition = "inline",
    file_name: FileName | None = None,
    derivative: Recipe = None,
    purpose: Purpose = "content",
) -> Link:
    """A link to the version that is meant now, also when its label moves later. Needs attachments.read there, too.

    ``to`` says who may open it, and for how long ``seconds``. A link that is good ``once`` opens for the first who
    comes. ``disposition`` asks for a file to be shown or saved; what is not a picture or a PDF, or lies in a slot that
    does not show things, is always saved.
    """
    ctx.require("attachments.read", of_attachment(ctx, {"version": version}))
    found = found_version(ctx, parsed(version))
    refuse_on_record(ctx, found)
    content = content_of(ctx, found, derivative)
    key = ctx.port(Keyring).current(KEYS)
    bound_to, epoch = _bound(ctx, link_key(key), to)
    claims = _claims(ctx, content, seconds)._replace(
        purpose=purpose,
        bound_to=bound_to,
        epoch=epoch,
        disposition=shown_as(ctx, content, disposition),
        once=once,
        file_name=shown_name(file_name or found.file_name),
    )
    token = signed(claims, key.number, link_key(key))
    _made(ctx, claims, content, to)
    return Link(
        url=f"{ctx.port(Addresses).url}/links/{token}",
        token=token,
        version=found.ref,
        jti=claims.jti,
        expires=datetime.fromtimestamp(claims.expires, UTC),
    )


@operation(permission=None, errors=(ContentErased, LinkRefused, Quarantined))
def open_link(ctx: Context, *, token: str, purpose: Purpose = "content") -> Opened:
    """What a link allows its bearer, who is the caller. A link that is good once is used up by this.

    Raises `LinkRefused`, whose ``reason`` is one of: too-long, forged, unknown-key, wrong-method, wrong-purpose,
    not-yet-valid, expired, foreign, ended, revoked, used, gone. Allowed or refused, it is on record before you know.
    """
    with deciding(ctx) as own:
        found = decide(own, token, purpose)
    if isinstance(found, Refusal):
        raise found.error
    claims, content = found
    return Opened(
        version=content.version,
        recipe=content.recipe or None,
        digest=content.digest,
        size=content.size,
        content_type=served_type(content.content_type),
        file_name=claims.file_name,
        disposition="inline" if claims.disposition == "inline" else "attachment",
        jti=claims.jti,
        once=claims.once,
        expires=datetime.fromtimestamp(claims.expires, UTC),
    )


def _of_link(ctx: Context, given: Mapping[str, Any]) -> Subject:
    """A link given whole tells what it is for; of a jti alone nobody knows, so that is the whole mall's business."""
    if _JTI.fullmatch(given["link"]):
        return MALL
    claims = opened(given["link"], lambda number: _key(ctx, number))
    return of_attachment(ctx, {"version": claims.version})


@operation(permission="attachments.link", kind="command", subject=_of_link, errors=(LinkRefused, UnknownAttachment),
           rest=Rest("DELETE", "/links/{link}", 204))  # fmt: skip
def revoke_link(ctx: Context, *, link: TokenOrJti) -> None:
    """Refuse a link from now on: given whole, or by its ``jti``, which the audit log tells.

    With a jti alone this takes attachments.link in the whole mall, for it does not tell what the link is for.
    """
    jti = link if _JTI.fullmatch(link) else opened(link, lambda number: _key(ctx, number)).jti
    now = ctx.now()
    longest = now + timedelta(seconds=SLOWEST + 2 * LEEWAY)
    if not ctx.add_new(link_use, {"jti": jti, "revoked_at": now, "expires_at": longest}):
        ctx.execute(update(link_use).where(link_use.c.jti == jti).values(revoked_at=now))
    ctx.record(LinkRevoked(subject=f"link:{jti}", details={"jti": jti}))


def decide(ctx: Context, token: str, purpose: str, *, uses: bool = True, method: Method = "get") -> Admitted | Refusal:
    """What becomes of a token now, and for the caller; on record with it, within `deciding`.

    Without ``uses`` a link that is good once stays good: for requests that get no content.
    """
    found = _decided(ctx, token, purpose, method, uses)
    ctx.record(_denied(ctx, found) if isinstance(found, Refusal) else _allowed(found))
    return found


def link_key(key: Key) -> bytes:
    """The key that signs links, derived from one of the mall's for this use alone."""
    return _derived(key)


@lru_cache(maxsize=64)
def _derived(key: Key) -> bytes:
    return key.derive(KEYS)


def forget_old_links(ctx: Context) -> int:
    """Drop what is known of links that have expired anyway; returns how many. Part of housekeeping."""
    return ctx.execute(delete(link_use).where(link_use.c.expires_at < ctx.now())).rowcount


def _claims(ctx: Context, content: Content, seconds: int) -> Claims:
    """That anyone may get the content, from now on and for so long."""
    start = int(ctx.now().timestamp())
    return Claims(
        method="get",
        purpose="content",
        version=content.version.ref,
        jti=secrets.token_hex(16),
        not_before=start,
        expires=start + seconds,
        recipe=content.recipe,
    )


def _bound(ctx: Context, key: bytes, to: str) -> tuple[str, int]:
    """How a token names whom it is for, and that principal's epoch."""
    if to == "anyone":
        return ANYONE, 0
    session = ctx.principal.session if to == "session" else None
    if to == "session" and session is None:
        raise InvalidInput(field="to", reason="the caller has no session: make its principal with one")
    if to in ("me", "session"):
        ref = ctx.principal.ref
    else:
        kind, id = owner_parts(to)
        ref = f"{kind}:{id}"
    return binding(key, ref, session), ctx.port(Epochs).epoch(ctx, ref)


def _decided(ctx: Context, token: str, purpose: str, method: str, uses: bool) -> Admitted | Refusal:
    claims: Claims | None = None
    try:
        claims = opened(token, lambda number: _key(ctx, number))
        _refuse(ctx, claims, _key(ctx, number_in(token)) or b"", purpose, method)
        found = found_version(ctx, parsed(claims.version))
        refuse_unservable(ctx, found)
        content = content_of(ctx, found, claims.recipe)
        if claims.once and uses:
            _use(ctx, claims)
    except (NotFound, InvalidInput):
        return Refusal(LinkRefused(reason="gone"), claims)
    except (LinkRefused, ContentErased, Quarantined) as error:
        return Refusal(error, claims)
    return Admitted(claims, content)


def _key(ctx: Context, number: int) -> bytes | None:
    try:
        return link_key(ctx.port(Keyring).find(KEYS, number))
    except UnknownKey:
        return None


def _refuse(ctx: Context, claims: Claims, key: bytes, purpose: str, method: str) -> None:
    """Raise `LinkRefused` unless the claims hold now, and for the caller."""
    principal = ctx.principal
    reason = refusal(claims, ctx.now().timestamp(), method, purpose)
    if reason is None and not is_bound_to(claims, key, principal.ref, principal.session):
        reason = "foreign"
    if reason is None and claims.bound_to != ANYONE and ctx.port(Epochs).epoch(ctx, principal.ref) != claims.epoch:
        reason = "ended"
    if reason is None:
        reason = _spent(ctx, claims)
    if reason is not None:
        raise LinkRefused(reason=reason)


def _spent(ctx: Context, claims: Claims) -> str | None:
    row = ctx.execute(select(link_use).where(link_use.c.jti == claims.jti)).one_or_none()
    if row is None:
        return None
    if row.revoked_at is not None:
        return "revoked"
    return "used" if row.used_at is not None and claims.once else None


def _use(ctx: Context, claims: Claims) -> None:
    """Use up a link that is good once; of many who try at the same time, one does."""
    end = datetime.fromtimestamp(claims.expires, UTC) + timedelta(seconds=2 * LEEWAY)
    if not ctx.add_new(link_use, {"jti": claims.jti, "used_at": ctx.now(), "expires_at": end}):
        raise LinkRefused(reason="used")


def _made(ctx: Context, claims: Claims, content: Content, to: str) -> None:
    version = content.version
    details = {
        "jti": claims.jti, "to": ctx.principal.ref if to in ("me", "session") else to, "purpose": claims.purpose,
        "seconds": claims.expires - claims.not_before, "once": claims.once, "recipe": claims.recipe,
    }  # fmt: skip
    record_now(
        ctx,
        LinkMade(
            subject=version.attachment,
            unit_id=version.unit_id,
            channel_id=version.channel_id,
            version=version.ref,
            details={name: value for name, value in details.items() if value},
        ),
    )


def _allowed(found: Admitted) -> LinkOpened:
    version, claims = found.content.version, found.claims
    return LinkOpened(
        subject=version.attachment,
        unit_id=version.unit_id,
        channel_id=version.channel_id,
        version=version.ref,
        details={"jti": claims.jti, "purpose": claims.purpose},
    )


def _denied(ctx: Context, found: Refusal) -> LinkDenied:
    """The refusal as an event: what a forged token says is not repeated, it may be anything."""
    claims = found.claims
    reason = found.error.details["reason"] if isinstance(found.error, LinkRefused) else found.error.code
    told = {} if claims is None else {"jti": claims.jti, "purpose": claims.purpose, "version": claims.version}
    return LinkDenied(
        subject="link" if claims is None else claims.version.partition("@")[0],
        operation=ctx.operation,
        permission="attachments.link",
        principal=ctx.principal.ref,
        reason=reason,
        details=told,
    )
