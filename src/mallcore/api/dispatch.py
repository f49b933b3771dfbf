"""Dispatch: one request in, one response out, through the same pipeline as every other call.

``quick`` answers what can be answered without waiting (on an event loop, say); ``run`` answers everything, and may wait
for the database. Neither raises: what goes wrong becomes a problem document.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any

from mallcore.api.answers import NOT_STORED, READS, Call, answer, finished, problem
from mallcore.api.arguments import arguments
from mallcore.api.bodies import Forms
from mallcore.api.http import Authenticate, Mall, Options, Request, Response
from mallcore.api.pages import PAGES
from mallcore.api.receiving import Receiver
from mallcore.api.rules.negotiation import EVENTS, request_id_of
from mallcore.api.rules.problems import Refused, status_of
from mallcore.api.rules.routes import split
from mallcore.api.streams import Streams
from mallcore.api.table import Table
from mallcore.api.tus import Tus
from mallcore.api.versions import View
from mallcore.errors import Denied, LimitExceeded, MallError, StaleRevision, Unauthenticated
from mallcore.kernel.context import Context, Principal
from mallcore.kernel.ids import new_id
from mallcore.kernel.operations import Operation, run
from mallcore.kernel.work import MemoryOnly

log = logging.getLogger("mallcore.api")
_NOBODY = Principal.anonymous()


class Dispatch:
    """The REST face of a mall, without a framework."""

    def __init__(
        self, mall: Mall, authenticate: Authenticate, options: Options | None = None, forms: Forms | None = None
    ) -> None:
        if inspect.iscoroutinefunction(authenticate):
            raise TypeError("authenticate is called from threads and from event loops: write it as a plain function")
        self.mall = mall
        self.options = options or Options()
        self.streams = Streams(self.options.max_streams, self.options.heartbeat)
        self._receiver = Receiver(self.options, forms)
        self._tus = Tus(mall, self.options.max_upload, self._begin, self._receiver.opened)
        self._authenticate = authenticate
        self._known: Table | None = None

    @property
    def table(self) -> Table:
        """The routes of the mall's catalogue as it is now."""
        known, catalogue = self._known, self.mall.catalogue
        if known is None or known.view.catalogue is not catalogue:
            known = self._known = Table(View(catalogue), PAGES)
        return known

    def streams_body(self, request: Request) -> bool:
        """Whether the body is read while it comes: give it as ``request.stream`` then, and read nothing of it."""
        if request.method in (*READS, "OPTIONS"):
            return False
        if self._tus.takes(request):
            return self._tus.streams_body(request)
        try:
            entry, _ = self.table.find(request)
        except Refused:
            return False
        return entry.plain is not None and entry.plain.rest.streamed

    def refuse(self, request: Request, error: MallError | Refused) -> Response:
        """The response of an adapter that can't take the request now."""

        def respond(request: Request) -> Response:
            raise error

        response = self._guarded(request, respond)
        assert response is not None
        return response

    def quick(self, request: Request) -> Response | None:
        """The response, if it can be had without waiting; the body need not be there yet."""
        return self._guarded(request, self._quick)

    def run(self, request: Request) -> Response:
        """The response. May wait for the database."""
        response = self._guarded(request, self._run)
        assert response is not None
        return response

    def close(self) -> None:
        """End all streams."""
        self.streams.close()

    def _guarded(self, request: Request, respond: Callable[[Request], Response | None]) -> Response | None:
        if not request.request_id:
            request.request_id = request_id_of(request.headers.get("x-request-id")) or new_id("req")
        try:
            response = respond(request)
        except MemoryOnly:
            return None
        except Refused as refused:
            response = self._problem(request, refused.error, refused.status, refused.headers)
        except MallError as error:
            response = self._problem(request, error, _status(request, error))
        except Exception as error:
            response = self._problem(request, MallError(), 500, cause=error)
        if response is not None and self._tus.takes(request):
            self._tus.finished(response)
        return None if response is None else finished(request, response)

    def _quick(self, request: Request) -> Response | None:
        if self._tus.takes(request):
            return None
        if request.method == "OPTIONS":
            return self._options(request)
        table = self.table
        entry, path = table.find(request)
        if request.method not in READS:
            return None
        if entry.page is not None:
            return entry.page(request, self.mall, table, False)
        route = entry.choose(request.headers.get("accept"))
        if route.operation.kind != "query" or self.options.blocking:
            return None
        given = arguments(route, path, request)
        with self.mall.memory(self._principal(request), request_id=request.request_id) as ctx:
            return answer(Call(request, entry, route, path), _remembered(route.operation, ctx, given))

    def _run(self, request: Request) -> Response:
        if self._tus.takes(request):
            return self._tus.answer(request)
        if request.method == "OPTIONS":
            return self._options(request)
        table = self.table
        entry, path = table.find(request)
        if entry.page is not None:
            return entry.page(request, self.mall, table, True)
        call = Call(request, entry, entry.choose(request.headers.get("accept")), path)
        if call.route.rest.streamed:
            with self._receiver.received(call.route, path, request, lambda: self._let_in(call)) as given:
                return self._carried_out(call, given)
        self._refuse_large(request)
        principal = self._principal(request)
        given = arguments(call.route, path, request)
        if call.route.operation.kind == "stream":
            return self._stream(call, given, principal)
        return self._carried_out(call, given)

    def _carried_out(self, call: Call, given: dict[str, Any]) -> Response:
        response: Response | None = None
        try:
            with self._begin(call.request) as ctx:
                response = answer(call, run(call.route.operation, ctx, given))
                if ctx.replayed:
                    response.headers.append(("idempotency-replayed", "true"))
        except BaseException:
            if response is not None and response.chunks is not None:
                response.chunks.close()
            raise
        return response

    def _begin(self, request: Request) -> AbstractContextManager[Context]:
        return self.mall.begin(self._principal(request), request_id=request.request_id)

    def _let_in(self, call: Call) -> None:
        """Refuse a caller who holds the operation's permission nowhere, before anything is kept of what it sends."""
        operation = call.route.operation
        with self._begin(call.request) as ctx:
            ctx.operation = operation.name
            if operation.permission is not None and not ctx.reach(operation.permission):
                ctx.refuse(operation.permission)

    def _principal(self, request: Request) -> Principal:
        if request.principal is None:
            found = self._authenticate(request)
            if found is not None and not isinstance(found, Principal):
                raise TypeError(f"authenticate returned {type(found).__name__}, not a Principal or None")
            request.principal = found or _NOBODY
        return request.principal

    def _refuse_large(self, request: Request) -> None:
        declared = request.headers.get("content-length", "")
        size = max(len(request.body), int(declared) if declared.isdecimal() and len(declared) < 19 else 0)
        if size > self.options.max_body and request.method not in READS:
            raise Refused(413, LimitExceeded(what="the request's body", actual=size, limit=self.options.max_body))

    def _options(self, request: Request) -> Response:
        allowed = ["GET", "OPTIONS"] if request.path == "*" else self.table.allowed(split(request.path))
        if not allowed:
            self.table.find(request)
        return Response(204, [("allow", ", ".join(allowed))])

    def _stream(self, call: Call, given: dict[str, Any], principal: Principal) -> Response:
        operation = call.route.operation
        self.streams.reserve()
        try:
            with self.mall.begin(principal, request_id=call.request.request_id) as ctx:
                changes = run(operation, ctx, given)
        except BaseException:
            self.streams.cancel()
            raise
        stream = self.streams.open(changes, operation.output)
        headers = [("content-type", EVENTS), NOT_STORED, ("x-accel-buffering", "no"), ("vary", "Accept")]
        if call.request.method == "HEAD":
            stream.close()
            return Response(200, headers)
        return Response(200, headers, stream=stream)

    @staticmethod
    def _logged(path: str) -> str:
        """A path for the log; of a link not the token, for whoever reads that could use it."""
        return "/links/…" if path.startswith("/links/") else path[:500]

    def _problem(
        self,
        request: Request,
        error: MallError,
        status: int,
        headers: Mapping[str, str] | None = None,
        cause: BaseException | None = None,
    ) -> Response:
        if status == 500:
            where = (request.request_id, request.method[:20], self._logged(request.path))
            log.error("request %s failed: %r %r", *where, exc_info=cause or error)
        more = {"www-authenticate": self.options.challenge} if status == 401 else {}
        return problem(request, error, status, {**more, **(headers or {})})


def _status(request: Request, error: MallError) -> int:
    """The error's usual status; a revision that was expected by ``If-Match`` is a precondition that failed."""
    if isinstance(error, StaleRevision) and "if-match" in request.headers:
        return 412
    return status_of(type(error))


def _remembered(operation: Operation, ctx: Context, given: dict[str, Any]) -> Any:
    """The operation's result from memory. A refusal must go on record, and that takes the database."""
    try:
        return run(operation, ctx, given)
    except (Denied, Unauthenticated):
        ctx.work.denials.clear()
        raise MemoryOnly() from None
