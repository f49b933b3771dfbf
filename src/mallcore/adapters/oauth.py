"""The authorization server beside, below or in front of a host's application: for ASGI, WSGI and Flask.

Its paths are fixed by its own URL, from the server's root: a browser and a client find them there, or not at all. In
FastAPI or Starlette: ``app.add_middleware(OAuthASGI, server=server)``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from mallcore.adapters.asgi import Receive, Scope, Send, body_of, request_of, start_of
from mallcore.adapters.wsgi import body_of as wsgi_body_of
from mallcore.adapters.wsgi import decoded, status_line
from mallcore.adapters.wsgi import request_of as wsgi_request_of
from mallcore.api import Request, Response
from mallcore.errors import MissingExtra

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

    from flask import Blueprint

__all__ = ["OAuthASGI", "OAuthServer", "OAuthWSGI", "oauth_blueprint"]

_LARGEST = 64 << 10  # bytes of a form


class OAuthServer(Protocol):
    """What answers at some paths, as `mallcore.backends.oauth.authorization_server` does."""

    @property
    def routes(self) -> Mapping[str, Mapping[str, Callable[[Request], Response]]]:
        """The paths, from the server's root, and their methods."""
        ...

    def takes(self, request: Request) -> bool:
        """Whether the path is one of them."""
        ...

    def answer(self, request: Request) -> Response | None:
        """The response; nothing at other paths. May wait for the database."""
        ...


class OAuthASGI:
    """An ASGI application that answers at the server's paths, and hands all else to ``app``."""

    def __init__(self, app: Callable[..., Any] | None = None, *, server: OAuthServer) -> None:
        self.app = app
        self.server = server

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = request_of(scope) if scope["type"] == "http" else None
        if request is None or not self.server.takes(request):
            await self._otherwise(scope, receive, send)
            return
        if request.method == "POST":
            body = await body_of(request, receive, _LARGEST)
            if body is None:
                return
            request.body = body
        response = await asyncio.to_thread(self.server.answer, request)
        assert response is not None
        await _send(response, send)

    async def _otherwise(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self.app is not None:
            await self.app(scope, receive, send)
        elif scope["type"] == "http":
            await _send(_not_here(), send)
        elif scope["type"] == "lifespan":
            await _live(receive, send)
        else:
            await send({"type": "websocket.close", "code": 1000})


async def _send(response: Response, send: Send) -> None:
    await send(start_of(response))
    await send({"type": "http.response.body", "body": response.body})


async def _live(receive: Receive, send: Send) -> None:
    """Nothing is opened or closed here."""
    for step in ("startup", "shutdown"):
        await receive()
        await send({"type": f"lifespan.{step}.complete"})


class OAuthWSGI:
    """A WSGI application that answers at the server's paths, and hands all else to ``app``."""

    def __init__(self, app: WSGIApplication | None = None, *, server: OAuthServer) -> None:
        self.app = app
        self.server = server

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = decoded(environ.get("PATH_INFO", "")) or "/"
        request = wsgi_request_of(environ, decoded(environ.get("SCRIPT_NAME", "")), path)
        if self.app is not None and not self.server.takes(request):
            return self.app(environ, start_response)
        request.body = wsgi_body_of(request, environ, _LARGEST)
        response = self.server.answer(request) or _not_here()
        start_response(status_line(response), response.headers)
        return [response.body]


def oauth_blueprint(server: OAuthServer, *, name: str = "oauth") -> Blueprint:
    """A Flask blueprint that answers at the server's paths: ``app.register_blueprint(oauth_blueprint(server))``.

    The host's functions are called inside Flask's request context, so that ``flask.session`` is there. It is registered
    without a prefix: the server's URL says what its paths begin with.
    """
    try:
        import flask
    except ImportError as error:
        raise MissingExtra(what="The Flask adapter", extra="flask") from error
    blueprint = flask.Blueprint(name, __name__)

    def oauth_view() -> flask.Response:
        asked = flask.request
        request = wsgi_request_of(asked.environ, asked.root_path, asked.path)
        request.body = asked.stream.read(_LARGEST + 1) if request.method == "POST" else b""
        response = server.answer(request) or _not_here()
        return flask.Response([response.body], response.status, response.headers)

    for number, (path, methods) in enumerate(server.routes.items()):
        blueprint.add_url_rule(
            path, f"oauth_{number}", oauth_view, methods=[*methods], provide_automatic_options=False
        )  # fmt: skip
    return blueprint


def _not_here() -> Response:
    return Response(404, [("content-type", "application/json")], b'{"error":"not_found"}')
