"""A host's own routes behind the mall's access: dependencies for FastAPI, decorators for Flask."""

# No `from __future__ import annotations`: FastAPI reads the annotations of a function that is made in a function.

import functools
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, TypeVar

from mallcore import access
from mallcore.adapters.wsgi import request_of
from mallcore.api import Authenticate, Mall, Options, Refused, Request
from mallcore.api.rates import Admission
from mallcore.api.rules.negotiation import request_id_of
from mallcore.api.rules.problems import MEDIA_TYPE, document, status_of
from mallcore.errors import MallError, MissingExtra, NotFound
from mallcore.kernel.context import Context, Principal
from mallcore.kernel.ids import new_id
from mallcore.kernel.ports import MALL, Subject

if TYPE_CHECKING:
    from starlette.requests import Request as StarletteRequest

__all__ = ["FastAPIGuard", "FlaskGuard"]

View = TypeVar("View", bound=Callable[..., Any])
_NOBODY = Principal.anonymous()


class _Gate:
    """What both guards do with a request: who asks, whether it is too often, and whether that principal may."""

    def __init__(self, mall: Mall, authenticate: Authenticate, options: Options | None) -> None:
        self._mall = mall
        self._authenticate = authenticate
        self._options = options or Options()
        self._admission = Admission(mall, self._options)

    def let_in(self, request: Request) -> None:
        """Find out who asks, and count the request."""
        request.request_id = request_id_of(request.headers.get("x-request-id")) or new_id("req")
        request.address = self._admission.address(request)
        principal = self._authenticate(request) or _NOBODY
        request.rated = self._admission.admit(principal, request)
        request.principal = principal

    def begin(self, request: Request) -> AbstractContextManager[Context]:
        """A unit of work of whoever asks."""
        return self._mall.begin(request.principal or _NOBODY, request_id=request.request_id)

    def require(self, request: Request, permission: str, named: dict[str, str]) -> None:
        """Refuse, and put on record, whoever may not do this to what the path names."""
        with self.begin(request) as ctx:
            ctx.operation = f"{request.method} {request.path}"[:200]
            try:
                ctx.require(permission, _subject(ctx, named))
            except NotFound:  # what is unknown looks like what is foreign
                if ctx.reach(permission).everywhere:
                    raise
                ctx.refuse(permission)

    def problem(self, request: Request, error: MallError | Refused) -> tuple[int, dict[str, str], dict[str, Any]]:
        """An error as a status, headers, and a problem document."""
        found = error if isinstance(error, Refused) else Refused(status_of(type(error)), error)
        if found.status == 401:
            self._admission.refused(request)
            found.headers.setdefault("www-authenticate", self._options.challenge)
        shown = document(found.error, found.status, request.instance, request.request_id)
        return found.status, {**dict(request.rated), **found.headers}, shown


def _subject(ctx: Context, named: dict[str, str]) -> Subject:
    places = ctx.port(access.Places)
    if "channel" in named:
        unit_id, channel_id, _ = places.node(ctx, named["channel"], None)
        return Subject(unit_id, channel_id)
    return Subject(places.unit(ctx, named["unit"])) if "unit" in named else MALL


class FastAPIGuard:
    """Dependencies for a host's own routes: ``Depends(guard.require("orders.refund"))`` gives who asks, or refuses.

    What is refused is an ``HTTPException`` whose detail is the problem document.
    """

    def __init__(self, mall: Mall, authenticate: Authenticate, *, options: Options | None = None) -> None:
        try:
            import fastapi
        except ImportError as error:
            raise MissingExtra(what="The FastAPI adapter", extra="fastapi") from error
        self._gate = _Gate(mall, authenticate, options)
        self._refusal = fastapi.HTTPException
        self.principal = self._dependency(None, {})
        """A dependency: who asks, anonymous callers too."""

    def require(self, permission: str, *, unit: str = "", channel: str = "") -> Callable[..., Any]:
        """A dependency: who asks, if it holds the permission. ``unit`` or ``channel`` is the parameter of the path that
        names where; without one, it has to hold it in the whole mall.
        """
        return self._dependency(permission, _given(unit, channel))

    def begin(self, request: "StarletteRequest") -> AbstractContextManager[Context]:
        """A unit of work of whoever asks. Enter it in the route itself, so that it is committed before the answer."""
        return self._gate.begin(self._known(request))

    def _dependency(self, permission: str | None, names: dict[str, str]) -> Callable[..., Any]:
        from fastapi import Request, Response

        def guarded(request: Request, response: Response) -> Principal:
            asked = self._known(request)
            response.headers.update(dict(asked.rated))
            if permission is not None:
                named = {kind: request.path_params[name] for kind, name in names.items()}
                self._refusing(asked, functools.partial(self._gate.require, asked, permission, named))
            return asked.principal or _NOBODY

        return guarded

    def _known(self, request: "StarletteRequest") -> Request:
        """The request as the mall's API sees it; made, and counted, once."""
        asked: Request | None = getattr(request.state, "mall_request", None)
        if asked is None:
            headers: dict[str, str] = {}
            for name, value in request.headers.items():
                headers[name] = f"{headers[name]}, {value}" if name in headers else value
            asked = Request(request.method, request.url.path, request.url.query, headers, origin=request.scope)
            self._refusing(asked, functools.partial(self._gate.let_in, asked))
            request.state.mall_request = asked
        return asked

    def _refusing(self, asked: Request, call: Callable[[], None]) -> None:
        try:
            call()
        except (MallError, Refused) as error:
            status, headers, shown = self._gate.problem(asked, error)
            raise self._refusal(status, shown, headers) from None


class FlaskGuard:
    """Decorators for a host's own views: ``@guard.require("orders.refund")`` under the route, or a problem document."""

    def __init__(self, mall: Mall, authenticate: Authenticate, *, options: Options | None = None) -> None:
        try:
            import flask
        except ImportError as error:
            raise MissingExtra(what="The Flask adapter", extra="flask") from error
        self._flask = flask
        self._gate = _Gate(mall, authenticate, options)

    @property
    def principal(self) -> Principal:
        """Who asks, anonymous callers too."""
        return self._known().principal or _NOBODY

    def require(self, permission: str, *, unit: str = "", channel: str = "") -> Callable[[View], View]:
        """A decorator: the view is called for whoever holds the permission. ``unit`` or ``channel`` is the parameter of
        the path that names where; without one, it has to hold it in the whole mall.
        """

        def decorate(view: View) -> View:
            @functools.wraps(view)
            def guarded(*args: Any, **given: Any) -> Any:
                asked = self._known()
                named = {kind: given[name] for kind, name in _given(unit, channel).items()}
                self._refusing(asked, lambda: self._gate.require(asked, permission, named))
                response = self._flask.make_response(view(*args, **given))
                response.headers.update(dict(asked.rated))
                return response

            return guarded  # type: ignore[return-value]

        return decorate

    def begin(self) -> AbstractContextManager[Context]:
        """A unit of work of whoever asks."""
        return self._gate.begin(self._known())

    def _known(self) -> Request:
        known: Request | None = self._flask.g.get("mall_request")
        if known is None:
            asked = self._flask.request
            known = request_of(asked.environ, "", asked.path)
            self._refusing(known, functools.partial(self._gate.let_in, known))
            self._flask.g.mall_request = known
        return known

    def _refusing(self, asked: Request, call: Callable[[], None]) -> None:
        try:
            call()
        except (MallError, Refused) as error:
            status, headers, shown = self._gate.problem(asked, error)
            response = self._flask.make_response(self._flask.json.dumps(shown), status, headers)
            response.mimetype = MEDIA_TYPE
            self._flask.abort(response)


def _given(unit: str, channel: str) -> dict[str, str]:
    return {kind: name for kind, name in (("unit", unit), ("channel", channel)) if name}
