"""Delivery: the answers to requests for content, by those who may read it, with links, and at public addresses."""

from __future__ import annotations

import secrets
from typing import Annotated

from pydantic import Field, SkipValidation

from mallcore.attachments.model.links import Delivered, Disposition, PublicUrl, Purpose, Recipe, Via
from mallcore.attachments.model.shapes import AttachmentRef, Version, VersionRef
from mallcore.attachments.operations.answering import answered
from mallcore.attachments.operations.contents import content_of, is_public, shown_as
from mallcore.attachments.operations.edges import Addresses, Edges
from mallcore.attachments.operations.happened import ContentRead, LinkDenied
from mallcore.attachments.operations.links import KEYS, Admitted, Refusal, decide, link_key
from mallcore.attachments.operations.owners import of_attachment
from mallcore.attachments.operations.quarantine import refuse_on_record
from mallcore.attachments.operations.reading import found_version, one_version
from mallcore.attachments.operations.ways import Out, Way, about, event_of, file_path, sent, way_of
from mallcore.attachments.rules.expiry import BUCKET, bucketed, repeated_jti
from mallcore.attachments.rules.refs import parsed
from mallcore.attachments.rules.serving import IMMUTABLE, path_name, shown_name
from mallcore.attachments.rules.tokens import ANYONE
from mallcore.errors import (
    ContentErased,
    InvalidInput,
    InvalidReference,
    LinkRefused,
    Quarantined,
    StoreUnavailable,
    UnknownAttachment,
    UnknownLabel,
    UnknownVersion,
)
from mallcore.kernel.context import Context
from mallcore.kernel.keys import Keyring
from mallcore.kernel.operations import Asked, Rest, operation
from mallcore.kernel.recording import deciding, record_now

Request = Annotated[Asked, SkipValidation]
Seconds = Annotated[int, Field(ge=1, le=24 * 3600, description="How long a URL at an edge is good, at least.")]
_PLAIN = Asked()


@operation(permission="attachments.read", subject=of_attachment,
           errors=(ContentErased, InvalidInput, InvalidReference, Quarantined, StoreUnavailable, UnknownAttachment,
                   UnknownLabel, UnknownVersion),
           rest=Rest("GET", "/versions/{version}/content", asked="asked"))  # fmt: skip
def deliver(
    ctx: Context,
    *,
    version: VersionRef,
    derivative: Recipe = None,
    disposition: Disposition = "inline",
    seconds: Seconds = 300,
    via: Via = "auto",
    asked: Request = _PLAIN,
) -> Delivered:
    """The answer to a request for a version, whose caller may read it: a redirect to where it lies, or its bytes.

    ``via`` says what is tried first: an edge, the store, the mall itself; what can't be had is passed over.
    """
    found = found_version(ctx, parsed(version))
    refuse_on_record(ctx, found)
    content = content_of(ctx, found, derivative)
    out = Out(content, shown_as(ctx, content, disposition), shown_name(found.file_name))
    way = way_of(ctx, out, via, asked)
    out = _dated(ctx, out, way, seconds)
    record_now(ctx, event_of(out, way))
    return sent(ctx, out, way, asked)


@operation(permission=None, errors=(ContentErased, LinkRefused, Quarantined, StoreUnavailable),
           rest=Rest("GET", "/links/{token}", asked="asked", verbatim=True))  # fmt: skip
def deliver_link(
    ctx: Context, *, token: str, purpose: Purpose = "content", via: Via = "auto", asked: Request = _PLAIN
) -> Delivered:
    """The answer to a request with a link, whose bearer is the caller. Raises as `open_link` does.

    What a link shows to one person, or only once, never gets a URL at an edge, which others could use too: it is sent
    by the store within a minute, or by the mall. A link that is good once is answered with the whole content.
    """
    with deciding(ctx) as own:
        found = decide(own, _spelt(token, asked), purpose, uses=asked.method != "HEAD")
        going = found if isinstance(found, Refusal) else _planned(own, found, via, asked)
    if isinstance(going, Refusal):
        raise going.error
    return sent(ctx, *going, asked)


@operation(permission=None, errors=(ContentErased, InvalidInput, Quarantined, StoreUnavailable, UnknownVersion),
           rest=Rest("GET", "/files/{attachment}/{n}/{name}", asked="asked", verbatim=True,
                     also="/files/{attachment}/{n}/{derivative}/{name}"))  # fmt: skip
def deliver_file(
    ctx: Context,
    *,
    attachment: AttachmentRef,
    n: Annotated[int, Field(ge=1, le=10**9)],
    name: Annotated[str, Field(max_length=100)],
    derivative: Recipe = None,
    asked: Request = _PLAIN,
) -> Delivered:
    """What lies at ``/files/<attachment>/<n>/<name>``: the content of public slots, for everybody.

    Content of other slots only for a request that comes through one of the mall's edges, which has checked (or whose
    signature lets us check) that it may. Anything else is not there.
    """
    found = one_version(ctx, attachment, n)
    edge = ctx.port(Edges).admitted_by(asked.target, asked.headers)
    public = is_public(ctx, found)
    if not public and edge is None:
        record_now(ctx, _unsigned(ctx, found))
    # One content has one address, or a cache could be filled with copies of it.
    if (not public and edge is None) or path_name(found.file_name) != name:
        raise UnknownVersion(attachment=attachment, version=n)
    refuse_on_record(ctx, found)
    content = content_of(ctx, found, derivative)
    record_now(ctx, ContentRead(**about(content), details={} if edge is None else {"edge": edge.name}))
    cached = IMMUTABLE if public else f"private, max-age={BUCKET}"
    shown = shown_as(ctx, content, "inline")
    return answered(ctx, content, asked, disposition=shown, name=found.file_name, cached=cached, public=public)


@operation(permission="attachments.read", subject=of_attachment,
           errors=(InvalidInput, InvalidReference, UnknownAttachment, UnknownLabel, UnknownVersion),
           rest=Rest("GET", "/versions/{version}/public-url"))  # fmt: skip
def public_url(ctx: Context, *, version: VersionRef, derivative: Recipe = None) -> PublicUrl:
    """Where a version of a public slot lies for everybody, and for ever: at the first edge that works, or here."""
    found = found_version(ctx, parsed(version))
    if not is_public(ctx, found):
        raise InvalidInput(field="version", reason=f"content of the slot {found.slot!r} is not public: make a link")
    path = file_path(content_of(ctx, found, derivative))
    edge = next(iter(ctx.port(Edges).ready(public=True)), None)
    url = ctx.port(Addresses).url + path if edge is None else edge.public_url(path)
    return PublicUrl(version=found.ref, url=url)


def _spelt(token: str, asked: Asked) -> str:
    """The token, if the request names it and nothing else: a link takes no parameters, and its path has one form."""
    return token if asked.target in ("", f"/links/{token}") else ""


def _planned(ctx: Context, found: Admitted, via: Via, asked: Asked) -> tuple[Out, Way]:
    """What a link sends out, and which way; on record when this returns."""
    claims, content = found
    now = ctx.now().timestamp()
    out = Out(
        content,
        shown_as(ctx, content, "inline" if claims.disposition == "inline" else "attachment"),
        claims.file_name,
        claims.jti,
        bucketed(now, min(300, max(1, int(claims.expires - now)))),
        claims.once,
    )
    way = way_of(ctx, out, via, asked, edges=claims.bound_to == ANYONE or is_public(ctx, content.version))
    ctx.record(event_of(out, way))
    return out, way


def _dated(ctx: Context, out: Out, way: Way, seconds: int) -> Out:
    """With the id and the end of its URL; at an edge both repeat, so that caches find the URL again."""
    if way.edge is None:
        return out._replace(jti=secrets.token_hex(16))
    expires = bucketed(ctx.now().timestamp(), seconds)
    key = link_key(ctx.port(Keyring).current(KEYS))
    content = out.content
    jti = repeated_jti(key, content.version.ref, content.recipe, ctx.principal.ref, expires)
    return out._replace(jti=jti, expires=expires)


def _unsigned(ctx: Context, found: Version) -> LinkDenied:
    return LinkDenied(
        subject=found.attachment,
        unit_id=found.unit_id,
        channel_id=found.channel_id,
        operation=ctx.operation,
        permission="attachments.read",
        principal=ctx.principal.ref,
        reason="not-signed",
        details={"version": found.ref},
    )
