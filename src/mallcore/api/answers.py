"""Results and errors as responses: status, entity tag, where to read what was made, problem documents."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import quote

from mallcore.api.converting import lowered
from mallcore.api.deliveries import Delivery, delivered, is_delivery
from mallcore.api.http import Request, Response
from mallcore.api.rules.negotiation import JSON, accepts, matches, names
from mallcore.api.rules.problems import MEDIA_TYPE, Refused, document
from mallcore.api.table import Entry, Route, Table
from mallcore.errors import Conflict, InvalidInput, MallError, RangeNotSatisfiable

READS = ("GET", "HEAD")
_FRESH = ("cache-control", "private, no-cache")
NOT_STORED = ("cache-control", "no-store")
_NOSNIFF = ("x-content-type-options", "nosniff")
_NOTHING_TO_SHOW = ("content-type", "text/plain; charset=utf-8")
_REFUSALS = (412, 416)
_ABOUT_A_BODY = ("cache-control", "content-length", "content-type")
_HARMLESS = re.compile(r"[!#-~]{0,200}")


class Call(NamedTuple):
    """A request that found its operation, or a page."""

    request: Request
    table: Table
    entry: Entry
    path: dict[str, str]

    @property
    def route(self) -> Route:
        """The operation that fits what the caller accepts."""
        return self.entry.choose(self.request.headers.get("accept"))

    @property
    def reading(self) -> bool:
        """Whether nothing is asked for but to see."""
        return self.request.method in READS


def answer(call: Call, result: Any) -> Response:
    """The result as a response: what a read shows is tagged, and not sent again to whoever has it."""
    if is_delivery(result):
        return _delivered(call.request, result)
    accept = call.request.headers.get("accept")
    form = next((one for one in call.route.rest.forms if accept is not None and names(accept, one)), None)
    if form is not None:
        return _in_form(call, result, form)
    # Of what is described as JSON, ``content_type`` is a member like others.
    content_type: str = getattr(result, "content_type", JSON) if hasattr(result, "body") else JSON
    if accept is not None and not accepts(accept, content_type.partition(";")[0]):
        raise Refused(406, InvalidInput(field="accept", reason=f"this answers {content_type}"))
    headers = [("content-type", content_type), _FRESH if call.reading else NOT_STORED]
    revision = getattr(result, "revision", None)
    if isinstance(revision, int):
        headers.append(("mall-revision", str(revision)))
    if call.entry.stream is not None or call.route.rest.forms:
        headers.append(("vary", "Accept"))
    if call.reading:
        return _tagged(call, result, headers)
    location = _location(call, result)
    if location is not None:
        headers.append(("location", location))
    if call.route.rest.status == 204:
        return Response(204, headers[1:])
    return Response(call.route.rest.status, headers, _body(call.route, result))


def _in_form(call: Call, result: Any, form: str) -> Response:
    """The result in another form than JSON; it may refer to the address it is at."""
    body = str(result.in_form(form, call.request.instance)).encode()
    headers = [("content-type", f"{form}; charset=utf-8"), _FRESH, ("vary", "Accept"), ("etag", tag_of(body))]
    known = call.request.headers.get("if-none-match")
    if known is not None and matches(known, headers[-1][1]):
        return Response(304, headers[1:])
    return Response(call.route.rest.status, headers, body)


def _delivered(request: Request, result: Delivery) -> Response:
    """What an operation answers itself; what it refuses by a status alone becomes a problem document like any other."""
    response = delivered(request.method, result)
    if response.status not in _REFUSALS:
        return response
    told = {name: value for name, value in response.headers if name not in _ABOUT_A_BODY}
    if response.status == 412:
        return problem(request, Conflict("The content is another one than the request expects."), 412, told)
    size = told.get("content-range", "").rpartition("/")[2]
    return problem(request, RangeNotSatisfiable(range=request.headers.get("range", "")[:100], size=size), 416, told)


def _tagged(call: Call, result: Any, headers: list[tuple[str, str]]) -> Response:
    """A read's response. The body of a result that brings its own tag is made only when it is sent."""
    tag: str | None = getattr(result, "etag", None)
    if tag is not None and call.route.face.down is not None:
        tag = f"{tag}.{call.table.view.version}"  # what is shown differs, and so must its name
    body = _body(call.route, result) if tag is None else None
    etag = _etag(result, _digest(body or b"") if tag is None else tag)
    headers.append(("etag", etag))
    known = call.request.headers.get("if-none-match")
    if known is not None and matches(known, etag):
        return Response(304, headers[1:])
    return Response(call.route.rest.status, headers, _body(call.route, result) if body is None else body)


def _etag(result: Any, tag: str) -> str:
    """A quoted tag that begins with what ``expected_revision`` is compared with, so that it can be an ``If-Match``."""
    number = getattr(result, "version", None)
    if not isinstance(number, int):
        number = getattr(result, "revision", None)
    # A tag may hold a caller's text (a locale, say), and a header must not.
    safe = tag if _HARMLESS.fullmatch(tag) else _digest(tag.encode("utf-8", "replace"))
    return f'"{number}.{safe}"' if isinstance(number, int) else f'"{safe}"'


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:32]


def _body(route: Route, result: Any) -> bytes:
    return lowered(route.face, result)


def _location(call: Call, result: Any) -> str | None:
    """Where what was made can be read: its id or name (or what it belongs to) under the path that reads such."""
    if call.route.location is None:
        return None
    *parts, last = call.route.location
    found = (getattr(result, name, None) for name in ("id", "name", last[1:-1]))
    named = next((one for one in found if isinstance(one, str)), None)
    if named is None:
        return None
    filled = [call.path[part[1:-1]] if part.startswith("{") else part for part in parts]
    return quote(call.request.base, safe="/") + "".join(f"/{quote(part, safe=':')}" for part in (*filled, named))


def page(request: Request, content: bytes, status: int = 200, etag: str | None = None) -> Response:
    """A page of the API itself."""
    headers = [("content-type", JSON), _FRESH if status == 200 else NOT_STORED]
    if etag is not None:
        headers.append(("etag", etag))
        known = request.headers.get("if-none-match")
        if known is not None and matches(known, etag):
            return Response(304, headers[1:])
    return Response(status, headers, content)


def tag_of(content: bytes) -> str:
    """The entity tag of bytes."""
    return f'"{_digest(content)}"'


def problem(request: Request, error: MallError, status: int, headers: Mapping[str, str]) -> Response:
    """An error as a problem document."""
    shown = document(error, status, request.instance, request.request_id)
    # A caller's text may hold what has no place in UTF-8 (lone surrogates).
    content = json.dumps(shown, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
    more = {"retry-after": "1", **headers} if status == 503 else headers
    return Response(status, [("content-type", MEDIA_TYPE), NOT_STORED, *more.items()], content)


def finished(request: Request, response: Response) -> Response:
    """Headers every response has; a HEAD has no body, but tells how long it would be."""
    headers = response.headers
    if response.header(_NOSNIFF[0]) is None:
        headers.append(_NOSNIFF)
    headers.append(("x-request-id", request.request_id))
    headers += request.told
    headers += [one for one in request.rated if response.header(one[0]) is None]
    if response.status not in (204, 304) and response.header("content-type") is None:
        headers.append(_NOTHING_TO_SHOW)
    bytes_only = response.stream is None and response.chunks is None
    if bytes_only and response.status not in (204, 304) and response.header("content-length") is None:
        headers.append(("content-length", str(len(response.body))))
    if request.method == "HEAD":
        response.body = b""
    return response
