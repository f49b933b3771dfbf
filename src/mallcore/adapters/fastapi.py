"""The mall as a FastAPI router, whose operations also stand in the host's own OpenAPI document and ``/docs``."""

# No `from __future__ import annotations`: FastAPI reads the annotations of a function that is made in a function.

import contextlib
import weakref
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from mallcore.adapters.asgi import MallASGI, Receive, Scope, Send
from mallcore.api import Authenticate, Mall, Options, openapi
from mallcore.errors import MissingExtra
from mallcore.kernel.ids import new_id

if TYPE_CHECKING:
    from fastapi import APIRouter, FastAPI

__all__ = ["install", "mall_router"]

_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
_NAMESPACE = "mall."
_WHOLE = "mallpath"


def install(
    app: "FastAPI", mall: Mall, authenticate: Authenticate, *, prefix: str = "/mall", options: Options | None = None
) -> None:
    """Serve a mall's operations under ``prefix`` of an application, and show them in its documentation."""
    router, documented = _routed(mall, authenticate, prefix, options)
    app.include_router(router)
    documented.show_in(app)


def mall_router(
    mall: Mall, authenticate: Authenticate, *, prefix: str = "", options: Options | None = None
) -> "APIRouter":
    """A router that serves a mall's operations: ``app.include_router(mall_router(…, prefix="/mall"))``.

    Dependencies and prefixes given to ``include_router`` count as for any router. The operations come into the
    application's documentation when it starts up; `install` shows them at once.
    """
    return _routed(mall, authenticate, prefix, options)[0]


def _routed(
    mall: Mall, authenticate: Authenticate, prefix: str, options: Options | None
) -> "tuple[APIRouter, _Documented]":
    try:
        from fastapi import APIRouter, Request, Response, WebSocket
    except ImportError as error:
        raise MissingExtra(what="The FastAPI adapter", extra="fastapi") from error
    _take_whole_paths()
    asgi = MallASGI(mall, authenticate, options=options)
    documented = _Documented(mall, new_id("rest"))

    @contextlib.asynccontextmanager
    async def lifespan(app: Any) -> AsyncIterator[None]:
        documented.show_in(app)
        yield
        asgi.close()

    router = APIRouter(prefix=prefix, lifespan=lifespan)

    class Handed(Response):
        """Hands the request on to the mall, as an application mounted here."""

        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            base = scope["path"].removesuffix("/" + scope["path_params"]["path"])
            await asgi({**scope, "root_path": base}, receive, send)

    @router.websocket("/{path:path}")
    async def connect(socket: WebSocket) -> None:
        base = socket.scope["path"].removesuffix("/" + socket.scope["path_params"]["path"])
        await asgi({**socket.scope, "root_path": base}, socket.receive, socket.send)

    @router.api_route(f"/{{path:{_WHOLE}}}", methods=_METHODS, name=documented.name, include_in_schema=False)
    async def answer(request: Request) -> Response:
        return Handed()

    return router, documented


def _take_whole_paths() -> None:
    from starlette.convertors import PathConvertor, register_url_convertor

    class Whole(PathConvertor):
        """A path that may hold a newline, which Starlette's own converter does not take."""

        regex = r"[\s\S]*"

    register_url_convertor(_WHOLE, Whole())


class _Documented:
    """Adds a mall's operations to the OpenAPI document of the application that serves them.

    ``app.openapi`` is the place FastAPI has for this. What the mall offers may change while it runs, so the document is
    put together when it is asked for, and kept as long as both of its parts stay the same.
    """

    def __init__(self, mall: Mall, name: str) -> None:
        self.name = name
        self._mall = mall
        self._apps: weakref.WeakSet[Any] = weakref.WeakSet()

    def show_in(self, app: "FastAPI") -> None:
        """Show the operations in this application's document, from now on."""
        if app in self._apps:
            return
        self._apps.add(app)
        own = app.openapi
        made: dict[str, Any] = {}

        def merged_openapi() -> dict[str, Any]:
            theirs, catalogue = own(), self._mall.catalogue
            if made.get("of") != (id(theirs), id(catalogue)):
                made.update(of=(id(theirs), id(catalogue)), parts=(theirs, catalogue))
                made["document"] = self._merged(app, theirs)
            document: dict[str, Any] = made["document"]
            return document

        setattr(app, "openapi", merged_openapi)  # noqa: B010 - mypy takes no assignment to a method

    def _merged(self, app: "FastAPI", theirs: dict[str, Any]) -> dict[str, Any]:
        prefix = str(app.url_path_for(self.name, path="")).rstrip("/")
        ours = openapi(self._mall.catalogue, namespace=_NAMESPACE)
        components = dict(theirs.get("components", {}))
        for kind, found in ours["components"].items():
            components[kind] = {**components.get(kind, {}), **found}
        return {
            **theirs,
            "paths": {**theirs.get("paths", {}), **{prefix + path: item for path, item in ours["paths"].items()}},
            "components": components,
            "tags": list({tag["name"]: tag for tag in (*ours["tags"], *theirs.get("tags", []))}.values()),
        }
