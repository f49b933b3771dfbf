"""Ways out: which of them a content takes, how that stands on record, and the answer that sends it on its way."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, NamedTuple

from mallcore.attachments.hooks import Edge
from mallcore.attachments.model.links import Delivered, Disposition, Via
from mallcore.attachments.operations.answering import answered, sent_elsewhere
from mallcore.attachments.operations.contents import Content, is_public, shown_as
from mallcore.attachments.operations.edges import Edges
from mallcore.attachments.operations.happened import AttachmentEvent, ContentRead, ContentRedirected
from mallcore.attachments.operations.reading import replicas
from mallcore.attachments.rules.expiry import REDIRECT
from mallcore.attachments.rules.serving import (
    ASKED_AGAIN,
    IMMUTABLE,
    INLINE,
    NOT_KEPT,
    content_disposition,
    public_path,
    served_type,
    shown_name,
)
from mallcore.kernel.context import Context
from mallcore.kernel.objects import Stores
from mallcore.kernel.operations import Asked


class Out(NamedTuple):
    """A content about to go out: how it is to be shown, the id of its URL, and until when that is good at an edge."""

    content: Content
    disposition: Disposition
    name: str
    jti: str = ""
    expires: int = 0
    once: bool = False


class Way(NamedTuple):
    """Through an edge, from a store (its replica's row), or with neither of them through the mall."""

    edge: Edge | None = None
    replica: Any = None
    path: str = ""


def way_of(ctx: Context, out: Out, via: Via, asked: Asked, *, edges: bool = True) -> Way:
    """The first way there is, in the order that is asked for. The mall answers HEAD: URLs are signed for GET."""
    if via == "proxy" or asked.method == "HEAD" or out.once:
        return Way()
    public = is_public(ctx, out.content.version)
    way = _at_edge(ctx, out, public) if edges and via != "redirect" else None
    if way is None and not public:
        way = _in_store(ctx, out.content)
    return way or Way()


def _at_edge(ctx: Context, out: Out, public: bool) -> Way | None:
    for edge in ctx.port(Edges).ready(public=public):
        if edge.store is None and (edge.overrides or _is_plain(ctx, out)):
            return Way(edge, None, file_path(out.content))
        if edge.store is not None and (edge.overrides or _is_picture(ctx, out)):
            for row in replicas(ctx, out.content.version.unit_id, out.content.digest):
                if row.store == edge.store:
                    return Way(edge, row, f"/{row.object_key}")
    return None


def _is_plain(ctx: Context, out: Out) -> bool:
    """Whether it goes out as it would without anybody's asking: shown if it may be, under its own name."""
    usual = shown_as(ctx, out.content, "inline")
    return out.disposition == usual and out.name == shown_name(out.content.version.file_name)


def _is_picture(ctx: Context, out: Out) -> bool:
    """Whether nothing bad comes of it when it is shown without our headers: a store's own are what then counts."""
    shown = out.disposition == "inline" and _is_plain(ctx, out)
    return shown and served_type(out.content.content_type) in INLINE


def _in_store(ctx: Context, content: Content) -> Way | None:
    stores = ctx.port(Stores)
    for row in replicas(ctx, content.version.unit_id, content.digest):
        if stores[row.store].capabilities.presign_get:
            return Way(None, row)
    return None


def file_path(content: Content) -> str:
    """Where the content lies on the mall's own routes."""
    version = content.version
    return public_path(version.attachment, version.n, version.file_name, content.recipe)


def about(content: Content) -> dict[str, Any]:
    """What events say of the version whose content it is."""
    version = content.version
    return {
        "subject": version.attachment,
        "unit_id": version.unit_id,
        "channel_id": version.channel_id,
        "version": version.ref,
    }


def event_of(out: Out, way: Way) -> AttachmentEvent:
    """That it goes out, and which way."""
    details = {"jti": out.jti, **({"recipe": out.content.recipe} if out.content.recipe else {})}
    if way.edge is not None:
        return ContentRedirected(**about(out.content), details={**details, "edge": way.edge.name})
    if way.replica is not None:
        return ContentRedirected(**about(out.content), details={**details, "store": way.replica.store})
    return ContentRead(**about(out.content), details=details)


def sent(ctx: Context, out: Out, way: Way, asked: Asked) -> Delivered:
    """The answer; what it allows is on record by now."""
    if way.edge is not None:
        return sent_elsewhere("edge", _edge_url(ctx, out, way.edge, way.path), out.jti)
    if way.replica is not None:
        return sent_elsewhere("redirect", _store_url(ctx, out, way.replica), out.jti)
    public = is_public(ctx, out.content.version)
    cached = NOT_KEPT if out.once else IMMUTABLE if public else ASKED_AGAIN
    return answered(
        ctx,
        out.content,
        asked,
        disposition=out.disposition,
        name=out.name,
        cached=cached,
        public=public,
        whole=out.once,
        jti=out.jti,
    )


def _edge_url(ctx: Context, out: Out, edge: Edge, path: str) -> str:
    if is_public(ctx, out.content.version):
        return edge.public_url(path)
    until = datetime.fromtimestamp(out.expires, UTC)
    header, kind = _said(out)
    return edge.signed_url(path, expires=until, jti=out.jti, disposition=header, content_type=kind)


def _store_url(ctx: Context, out: Out, replica: Any) -> str:
    header, kind = _said(out)
    store = ctx.port(Stores)[replica.store]
    query = {"x-mall-jti": out.jti}
    signed = store.sign_get(replica.object_key, seconds=REDIRECT, disposition=header, content_type=kind, query=query)
    return signed.url


def _said(out: Out) -> tuple[str, str]:
    """Content-Disposition and Content-Type, for those who send it in our place."""
    kind = served_type(out.content.content_type)
    return content_disposition(out.disposition, out.name), kind
