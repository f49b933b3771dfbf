"""Answers over HTTP that the mall gives itself: the whole content, a part of it, or that it need not be sent."""

from __future__ import annotations

from mallcore.attachments.model.links import Delivered, Disposition
from mallcore.attachments.operations.contents import Content
from mallcore.attachments.operations.reading import opened_blob
from mallcore.attachments.rules.conditional import Current, answer, etag_of, http_date, range_counts
from mallcore.attachments.rules.ranges import Span, asked_span, content_range
from mallcore.attachments.rules.serving import NOT_KEPT, digest_header, safe_headers
from mallcore.errors import RangeNotSatisfiable
from mallcore.kernel.context import Context
from mallcore.kernel.operations import Asked

_UNCHANGED = ("ETag", "Last-Modified", "Cache-Control", "Repr-Digest")  # what a 304 repeats


def answered(
    ctx: Context,
    content: Content,
    asked: Asked,
    *,
    disposition: Disposition,
    name: str,
    cached: str,
    public: bool = False,
    whole: bool = False,
    jti: str | None = None,
) -> Delivered:
    """The answer to a request for a content; with ``whole`` no part of it is served."""
    headers = {
        **safe_headers(content.content_type, disposition, name, public=public),
        "Cache-Control": cached,
        "ETag": etag_of(content.digest),
        "Last-Modified": http_date(content.version.created_at),
        "Repr-Digest": digest_header(content.digest),
        "Accept-Ranges": "none" if whole else "bytes",
    }
    current = Current(headers["ETag"], content.version.created_at)
    found = answer(asked.headers, current, asked.method)
    if found == "not-modified":
        return _without_content(304, {name: headers[name] for name in _UNCHANGED}, jti)
    if found == "failed":
        return _without_content(412, {"Cache-Control": NOT_KEPT, "Content-Length": "0"}, jti)
    try:
        span = None if whole else _span(content.size, asked, current)
    except RangeNotSatisfiable:
        refused = {"Content-Range": content_range(None, content.size), "Cache-Control": NOT_KEPT, "Content-Length": "0"}
        return _without_content(416, refused, jti)
    return _with_content(ctx, content, asked, span, headers, jti)


def sent_elsewhere(mode: str, url: str, jti: str) -> Delivered:
    """A redirect; nobody keeps it, for it tells where the content is good only now, or only for its reader."""
    headers = {
        "Location": url,
        "Cache-Control": NOT_KEPT,
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
        "Content-Length": "0",
    }
    return Delivered(mode="edge" if mode == "edge" else "redirect", status=302, headers=headers, jti=jti)


def _span(size: int, asked: Asked, current: Current) -> Span | None:
    """Ranges are for GET, and for a content that is still the one the client knows."""
    if asked.method != "GET" or not range_counts(asked.headers, current):
        return None
    return asked_span(asked.headers.get("range"), size)


def _with_content(
    ctx: Context, content: Content, asked: Asked, span: Span | None, headers: dict[str, str], jti: str | None
) -> Delivered:
    headers["Content-Length"] = str(content.size if span is None else span.length)
    if span is None:
        headers["Content-Digest"] = headers["Repr-Digest"]
    else:
        headers["Content-Range"] = content_range(span, content.size)
    body = None
    if asked.method == "GET":
        start, end = span or (0, None)
        body = opened_blob(ctx, content.version.unit_id, content.digest, start, end)
    status = 200 if span is None else 206
    return Delivered(mode="proxy", status=status, headers=headers, body=body, jti=jti)


def _without_content(status: int, headers: dict[str, str], jti: str | None) -> Delivered:
    return Delivered(mode="proxy", status=status, headers={"X-Content-Type-Options": "nosniff", **headers}, jti=jti)
