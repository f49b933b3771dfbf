"""Dispatch: one request in, one response out, through the same pipeline as every other call.

``quick`` answers what can be answered without waiting (on an event loop, say); ``run`` answers everything, and may wait
for the database. Neither raises: what goes wrong becomes a problem document.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from mallcore.api.answers import NOT_STORED, READS, Call, answer, finished, problem
from mallcore.api.arguments import arguments
from mallcore.api.bodies import Forms
from mallcore.api.converting import item, ran
from mallcore.api.graphql import face
from mallcore.api.http import Authenticate, Mall, Options, Request, Response
from mallcore.api.pages import PAGES
from mallcore.api.rates import Admission
from mallcore.api.receiving import Receiver
from mallcore.api.rules.negotiation import EVENTS, request_id_of
from mallcore.api.rules.problems import Refused, status_of
from mallcore.api.rules.routes import split
from mallcore.api.settling import GRAPHQL, Settling
from mallcore.api.streams import Streams
from mallcore.api.table import Table
from mallcore.api.tus import Tus
from mallcore.api.versions import Face, View
from mallcore.errors import Denied, LimitExceeded, MallError, StaleRevision, Unauthenticated, UnknownApiVersion
from mallcore.kernel.context import Context, Principal
from mallcore.kernel.ids import new_id
from mallcore.kernel.work import MemoryOnly

if TYPE_CHECKING:
    from mallcore.api.graphql.answering import GraphQL

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
        self._tus = Tus(mall, self.options.max_upload, self.begin, self._receiver.opened)
        self._authenticate = authenticate
        self._admission = Admission(mall, self.options)
        self._settling = Settling(mall, self.options.version)
        self._tables: dict[str, Table] = {}
        self._graphql: GraphQL | None = None

    def table(self, version: str) -> Table:
        """The routes of one version of the mall's catalogue as it is now."""
        known, catalogue = self._tables.get(version), self.mall.catalogue
        if known is None or known.view.catalogue is not catalogue:
            known = self._tables[version] = Table(self.mall.versions.view(catalogue, version), PAGES)
        return known

    @property
    def graphql(self) -> GraphQL:
        """The GraphQL face; `MissingExtra` where its library is not installed."""
        if self._graphql is None:
            self._graphql = face(self.mall, self.options.graphql)
        return self._graphql

    def settled(self, request: Request) -> View:
        """The view of the version that the request is for; its caller is known then. Raises what refuses it."""
        self._settling.read(request)
        release = self._settling.release(request, self._pin(request))
        table = self.table(release.name)
        self._settling.admit(request, release)
        return table.view

    def _find(self, request: Request) -> Call:
        """What answers the request, in the version that it is for."""
        release = self._settling.release(request, self._pin(request))
        table = self.table(release.name)
        self._settling.admit(request, release)
        entry, path = table.find(request)
        return Call(request, table, entry, path)

    def _pin(self, request: Request) -> str | None:
        """The version its caller is pinned to; not looked for when the request names one, or is for everybody."""
        if request.version or request.path in PAGES:
            return None
        credential = self._principal(request).credential
        return None if credential is None else credential.version

    def streams_body(self, request: Request) -> bool:
        """Whether the body is read while it comes: give it as ``request.stream`` then, and read nothing of it."""
        if request.method in (*READS, "OPTIONS"):
            return False
        try:
            self._settling.read(request)
            if self._tus.takes(request):
                return self._tus.streams_body(request)
            entry, _ = self.table(self._settling.release(request).name).find(request)
        except (Refused, UnknownApiVersion):
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
        self._settling.read(request)
        if request.path == GRAPHQL or self._tus.takes(request) or (self.options.blocking and request.path not in PAGES):
            return None
        if request.method == "OPTIONS":
            return self._options(request)
        call = self._find(request)
        if request.method not in READS:
            return None
        if call.entry.page is not None:
            return call.entry.page(request, self.mall, call.table, False)
        route = call.route
        if route.operation.kind != "query":
            return None
        given = arguments(route, call.path, request)
        with self.mall.memory(self._principal(request), request_id=request.request_id) as ctx:
            response = answer(call, _remembered(route.face, ctx, given))
        self._count(call, given)
        return response

    def _run(self, request: Request) -> Response:
        self._settling.read(request)
        if self._tus.takes(request):
            self._settling.admit(request, self._settling.release(request, self._pin(request)))
            return self._tus.answer(request)
        if request.method == "OPTIONS":
            return self._options(request)
        if request.path == GRAPHQL:
            return self.graphql.answer(request, self.settled(request), self.begin)
        call = self._find(request)
        if call.entry.page is not None:
            return call.entry.page(request, self.mall, call.table, True)
        if call.route.rest.streamed:
            with self._receiver.received(call.route, call.path, request, lambda: self._let_in(call)) as given:
                return self._carried_out(call, given)
        self._refuse_large(request)
        principal = self._principal(request)
        given = arguments(call.route, call.path, request)
        if call.route.operation.kind == "stream":
            return self._stream(call, given, principal)
        return self._carried_out(call, given)

    def _count(self, call: Call, given: Mapping[str, Any]) -> None:
        """Note who called what, in which version, with which of the parameters that are on their way out."""
        deprecated = call.route.face.deprecated
        used = [name for name in given if name in deprecated] if deprecated else ()
        principal = self._principal(call.request)
        self.mall.counter.count(principal, call.table.view.version, call.route.operation.name, used)

    def _carried_out(self, call: Call, given: dict[str, Any]) -> Response:
        self._count(call, given)
        response: Response | None = None
        try:
            with self.begin(call.request) as ctx:
                response = answer(call, ran(call.route.face, ctx, given))
                if ctx.replayed:
                    response.headers.append(("idempotency-replayed", "true"))
        except BaseException:
            if response is not None and response.chunks is not None:
                response.chunks.close()
            raise
        return response

    def begin(self, request: Request) -> AbstractContextManager[Context]:
        """A unit of work for the request's caller."""
        return self.mall.begin(self._principal(request), request_id=request.request_id)

    def _let_in(self, call: Call) -> None:
        """Refuse a caller who holds the operation's permission nowhere, before anything is kept of what it sends."""
        operation = call.route.operation
        with self.begin(call.request) as ctx:
            ctx.operation = operation.name
            if operation.permission is not None and not ctx.reach(operation.permission):
                ctx.refuse(operation.permission)

    def _principal(self, request: Request) -> Principal:
        if request.principal is None:
            request.address = request.address or self._admission.address(request)
            found = self._authenticate(request)
            if found is not None and not isinstance(found, Principal):
                raise TypeError(f"authenticate returned {type(found).__name__}, not a Principal or None")
            request.rated = self._admission.admit(found or _NOBODY, request)
            request.principal = found or _NOBODY
        return request.principal

    def _refuse_large(self, request: Request) -> None:
        declared = request.headers.get("content-length", "")
        size = max(len(request.body), int(declared) if declared.isdecimal() and len(declared) < 19 else 0)
        if size > self.options.max_body and request.method not in READS:
            raise Refused(413, LimitExceeded(what="the request's body", actual=size, limit=self.options.max_body))

    def _options(self, request: Request) -> Response:
        release = self._settling.release(request)
        table = self.table(release.name)
        self._settling.admit(request, release)
        if request.path == GRAPHQL:
            return Response(204, [("allow", "GET, HEAD, OPTIONS, POST")])
        allowed = ["GET", "OPTIONS"] if request.path == "*" else table.allowed(split(request.path))
        if not allowed:
            table.find(request)
        return Response(204, [("allow", ", ".join(allowed))])

    def _stream(self, call: Call, given: dict[str, Any], principal: Principal) -> Response:
        self._count(call, given)
        self.streams.reserve()
        try:
            with self.mall.begin(principal, request_id=call.request.request_id) as ctx:
                changes = ran(call.route.face, ctx, given)
        except BaseException:
            self.streams.cancel()
            raise
        stream = self.streams.open(changes, item(call.route.face))
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
        if status == 401:
            self._admission.refused(request)
        more = {"www-authenticate": self.options.challenge} if status == 401 else {}
        return problem(request, error, status, {**more, **(headers or {})})


def _status(request: Request, error: MallError) -> int:
    """The error's usual status; a revision that was expected by ``If-Match`` is a precondition that failed."""
    if isinstance(error, StaleRevision) and "if-match" in request.headers:
        return 412
    return status_of(type(error))


def _remembered(face: Face, ctx: Context, given: Mapping[str, Any]) -> Any:
    """The operation's result from memory. A refusal must go on record, and that takes the database."""
    try:
        return ran(face, ctx, given)
    except (Denied, Unauthenticated):
        ctx.work.denials.clear()
        raise MemoryOnly() from None
