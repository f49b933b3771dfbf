"""The mall as a WSGI application, to be served alone or mounted in another one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from mallcore.adapters.forms import read_form
from mallcore.api import Authenticate, Dispatch, Mall, Options, Refused, Request, Response
from mallcore.errors import InvalidInput

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

__all__ = ["MallWSGI"]


class MallWSGI:
    """Serves a mall's operations. An open event stream occupies the thread that serves it.

    ``authenticate`` gets the `Request` and returns a `Principal`, or nothing for anonymous callers.
    """

    def __init__(self, mall: Mall, authenticate: Authenticate, *, options: Options | None = None) -> None:
        self.dispatch = Dispatch(mall, authenticate, options, read_form)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = decoded(environ.get("PATH_INFO", "")) or "/"
        request = request_of(environ, decoded(environ.get("SCRIPT_NAME", "")), path)
        response = self.dispatch.quick(request)
        if response is None:
            response = self._patient(request, environ)
        sent = response.chunks or response.stream
        try:
            start_response(status_line(response), response.headers)
        except BaseException:
            if sent is not None:
                sent.close()
            raise
        return [response.body] if sent is None else sent

    def _patient(self, request: Request, environ: WSGIEnvironment) -> Response:
        if not self.dispatch.streams_body(request):
            request.body = body_of(request, environ, self.dispatch.options.max_body)
        elif not end_known(request, environ):
            return self.dispatch.refuse(request, no_length())
        else:
            request.stream = Flowing(environ)
        return self.dispatch.run(request)


def request_of(environ: Mapping[str, Any], base: str, path: str) -> Request:
    """The request in a WSGI environ, without its body."""
    headers = {name[5:].replace("_", "-").lower(): value for name, value in environ.items() if name.startswith("HTTP_")}
    for name in ("CONTENT_TYPE", "CONTENT_LENGTH"):
        if environ.get(name):
            headers[name.replace("_", "-").lower()] = environ[name]
    query = environ.get("QUERY_STRING", "")
    raw = environ.get("RAW_URI") or environ.get("REQUEST_URI") or ""  # servers differ; wsgiref has neither
    raw_path = raw.partition("?")[0] if raw.startswith("/") else ""
    method = environ["REQUEST_METHOD"].upper()
    return Request(method, path, query, headers, base=base.rstrip("/"), origin=environ, raw_path=raw_path)


def no_length() -> Refused:
    """For a body of unknown length, on a server that does not mark its end."""
    return Refused(411, InvalidInput(field="content-length", reason="this server can't tell where the body ends"))


def end_known(request: Request, environ: Mapping[str, Any]) -> bool:
    """Whether reading stops at the end of the body: by its length, or because the server sees to it."""
    return request.headers.get("content-length", "").isdecimal() or bool(environ.get("wsgi.input_terminated"))


class Flowing:
    """The body as it comes: where the server lets us, a read gives what is there, so that a slow client is noticed."""

    def __init__(self, environ: Mapping[str, Any]) -> None:
        stream = environ["wsgi.input"]
        self._read: Callable[[int], bytes] = getattr(stream, "read1", stream.read)

    def read(self, size: int, /) -> bytes:
        """Up to so many bytes; waits for the first."""
        return self._read(size)


def status_line(response: Response) -> str:
    """``200 OK``; a status that no standard knows (tus has one) has no words."""
    known = response.status in HTTPStatus._value2member_map_
    return f"{response.status} {HTTPStatus(response.status).phrase if known else 'Refused'}"


def decoded(text: str) -> str:
    """PEP 3333 hands bytes as if they were Latin-1."""
    return text.encode("latin-1").decode("utf-8", "replace")


def body_of(request: Request, environ: Mapping[str, Any], limit: int) -> bytes:
    """The body, up to one byte more than the limit. Without a length there is one only if the server marks its end."""
    if request.method in ("GET", "HEAD", "OPTIONS"):
        return b""
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and len(declared) < 19:
        size = int(declared) if int(declared) <= limit else 0
    else:
        size = limit + 1 if environ.get("wsgi.input_terminated") else 0
    body: bytes = environ["wsgi.input"].read(size) if size else b""
    return body
