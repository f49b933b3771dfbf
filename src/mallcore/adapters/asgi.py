"""The mall as an ASGI 3 application, to be served alone or mounted in another one."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import MutableMapping
from typing import Any

from mallcore.adapters.bridging import Contents, Receive, Send, Uploads
from mallcore.adapters.forms import read_form
from mallcore.adapters.graphql_ws import GraphQLSockets
from mallcore.api import Authenticate, Dispatch, EventStream, Mall, Options, Request, Response

__all__ = ["MallASGI", "Receive", "Scope", "Send"]

Scope = MutableMapping[str, Any]

_BODILESS = ("GET", "HEAD", "OPTIONS")


class MallASGI:
    """Serves a mall's operations. Reads from memory are answered on the event loop; all else waits in a thread.

    ``authenticate`` gets the `Request` and returns a `Principal`, or nothing for anonymous callers.
    """

    def __init__(self, mall: Mall, authenticate: Authenticate, *, options: Options | None = None) -> None:
        self.dispatch = Dispatch(mall, authenticate, options, read_form)
        self._uploads = Uploads(self.dispatch)
        self._contents = Contents(self.dispatch.options)
        self._sockets = GraphQLSockets(self.dispatch)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self._http(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        else:
            await self._sockets.serve(request_of(scope), scope.get("subprotocols") or [], receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = request_of(scope)
        response = self.dispatch.quick(request)
        if response is None:
            response = await self._patient(request, receive)
        if response is None:
            return
        if response.chunks is not None:
            await self._contents.send(start_of(response), response.chunks, receive, send)
        elif response.stream is None:
            await send(start_of(response))
            await send({"type": "http.response.body", "body": response.body})
        else:
            await _Streaming(response.stream, receive, send).run(start_of(response))

    async def _patient(self, request: Request, receive: Receive) -> Response | None:
        """The response of what may wait; nothing when the client is gone."""
        if self.dispatch.streams_body(request):
            return await self._uploads.run(request, receive)
        if request.method not in _BODILESS:
            body = await body_of(request, receive, self.dispatch.options.max_body)
            if body is None:
                return None
            request.body = body
        return await asyncio.to_thread(self.dispatch.run, request)

    def close(self) -> None:
        """End all streams and WebSockets: the server goes."""
        self._sockets.close()
        self.dispatch.close()

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        """The mall belongs to the host, so nothing is opened or closed here but the streams."""
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                await send({"type": "lifespan.startup.complete"})
            elif message["type"] == "lifespan.shutdown":
                self.close()
                await send({"type": "lifespan.shutdown.complete"})
                return


def request_of(scope: Scope) -> Request:
    base, path = scope.get("root_path", "").rstrip("/"), scope["path"]
    if base and (path == base or path.startswith(base + "/")):
        path = path[len(base) :]
    headers: dict[str, str] = {}
    for raw, value in scope["headers"]:
        name, text = raw.decode("latin-1"), value.decode("latin-1")
        glue = "; " if name == "cookie" else ", "  # HTTP/2 may send each cookie by itself
        headers[name] = f"{headers[name]}{glue}{text}" if name in headers else text
    query = scope.get("query_string", b"").decode("latin-1")
    raw = (scope.get("raw_path") or b"").decode("latin-1")
    return Request(scope.get("method", "GET"), path or "/", query, headers, base=base, origin=scope, raw_path=raw)


async def body_of(request: Request, receive: Receive, limit: int) -> bytes | None:
    """The body, up to one byte more than the limit; nothing when the client is gone."""
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and len(declared) < 19 and int(declared) > limit:
        return b""
    parts: list[bytes] = []
    size = 0
    while size <= limit:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if not message.get("more_body", False):
            break
    return b"".join(parts)


def start_of(response: Response) -> dict[str, Any]:
    headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in response.headers]
    return {"type": "http.response.start", "status": response.status, "headers": headers}


class _Streaming:
    """One open stream: sleeps on the event loop until something is there, the client goes, or a heartbeat is due."""

    def __init__(self, stream: EventStream, receive: Receive, send: Send) -> None:
        self._stream = stream
        self._receive = receive
        self._send = send
        self._news = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    async def run(self, start: dict[str, Any]) -> None:
        gone = asyncio.ensure_future(self._gone())
        gone.add_done_callback(lambda _: self._news.set())
        try:
            self._stream.subscribe(self._wake)
            await self._send(start)
            await self._write(self._stream.opening)
            while not (gone.done() or self._stream.over):
                await self._next()
            if not gone.done():
                await self._send({"type": "http.response.body", "body": b""})
        except OSError:
            return  # the client went away while we were writing
        finally:
            gone.cancel()
            self._stream.close()

    async def _next(self) -> None:
        self._news.clear()
        frames = await asyncio.to_thread(self._stream.fetch)
        if frames:
            await self._write(frames)
            return
        try:
            await asyncio.wait_for(self._news.wait(), self._stream.heartbeat)
        except TimeoutError:
            await self._write(self._stream.beat)

    async def _write(self, part: bytes) -> None:
        await self._send({"type": "http.response.body", "body": part, "more_body": True})

    async def _gone(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass

    def _wake(self) -> None:
        with contextlib.suppress(RuntimeError):  # the loop may be closed by now
            self._loop.call_soon_threadsafe(self._news.set)
