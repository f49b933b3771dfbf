"""The mall as a Flask blueprint."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mallcore.adapters.forms import read_form
from mallcore.adapters.wsgi import Flowing, end_known, no_length, request_of
from mallcore.api import Authenticate, Dispatch, Mall, Options, Request, Response
from mallcore.errors import MissingExtra

if TYPE_CHECKING:
    from flask import Blueprint

__all__ = ["mall_blueprint"]

_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


def mall_blueprint(
    mall: Mall, authenticate: Authenticate, *, name: str = "mall", options: Options | None = None
) -> Blueprint:
    """A blueprint that serves a mall's operations: ``app.register_blueprint(mall_blueprint(…), url_prefix="/mall")``.

    ``authenticate`` gets the `Request` and returns a `Principal`, or nothing for anonymous callers; it runs inside
    Flask's request context, so ``flask.session`` and ``flask.g`` are there.
    """
    try:
        import flask
    except ImportError as error:
        raise MissingExtra(what="The Flask adapter", extra="flask") from error
    dispatch = Dispatch(mall, authenticate, options, read_form)
    blueprint = flask.Blueprint(name, __name__)

    def mall_view(path: str = "") -> flask.Response:
        asked = flask.request
        base = asked.root_path + asked.path.removesuffix(path)
        request = request_of(asked.environ, base, "/" + path)
        response = dispatch.quick(request)
        if response is None:
            response = _patient(dispatch, request)
        # A list, because Flask counts plain bytes itself: a HEAD tells the length of what a GET would send.
        return flask.Response(response.chunks or response.stream or [response.body], response.status, response.headers)

    for rule in ("/", "/<path:path>"):
        blueprint.add_url_rule(
            rule, "api", mall_view, methods=_METHODS, provide_automatic_options=False, merge_slashes=False
        )
    return blueprint


def _patient(dispatch: Dispatch, request: Request) -> Response:
    import flask

    environ = flask.request.environ
    if not dispatch.streams_body(request):
        request.body = _body(request, dispatch.options.max_body)
    elif not end_known(request, environ):
        return dispatch.refuse(request, no_length())
    else:
        request.stream = Flowing(environ)
    return dispatch.run(request)


def _body(request: Request, limit: int) -> bytes:
    """The body, as Flask has it; too large a one is left unread, and refused by what its length says."""
    import flask
    from werkzeug.exceptions import RequestEntityTooLarge

    asked = flask.request
    asked.max_content_length = limit
    try:
        return asked.get_data()
    except RequestEntityTooLarge:
        request.headers = {**request.headers, "content-length": str(max(asked.content_length or 0, limit + 1))}
        return b""
