"""Bodies between an event loop and threads: a request's is pulled into a thread, a response's is pulled out of one."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import threading
from collections.abc import Awaitable, Callable, MutableMapping
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from typing import Any

from mallcore.api import Chunks, Dispatch, Options, Request, Response
from mallcore.errors import Unavailable

__all__ = ["Contents", "Incoming", "Receive", "Send", "Uploads"]

_FETCHING = 32  # threads at most, for all contents of an application

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class Incoming:
    """A request's body for a thread that reads it.

    A message is asked for when the one before is used up, so that no more than one is ever in memory, and the client
    is told to wait by its connection. Make it on the event loop, and close it there.
    """

    def __init__(self, receive: Receive, patience: float) -> None:
        self._receive = receive
        self._patience = patience
        self._loop = asyncio.get_running_loop()
        self._rest = memoryview(b"")
        self._over = False
        self._lock = threading.Lock()
        self._closed = False
        self._waiting: Future[Message] | None = None

    def read(self, size: int, /) -> bytes:
        """Up to so many bytes; nothing at the end. Raises an `OSError` when the client is gone, or silent."""
        while not self._rest and not self._over:
            self._take(self._next())
        piece, self._rest = self._rest[:size], self._rest[size:]
        return bytes(piece)

    def _take(self, message: Message) -> None:
        if message["type"] == "http.disconnect":
            raise ConnectionError("the client is gone")
        self._rest = memoryview(message.get("body", b""))
        self._over = not message.get("more_body", False)

    def _next(self) -> Message:
        with self._lock:
            if self._closed:
                raise ConnectionError("the request is over")
            self._waiting = waiting = asyncio.run_coroutine_threadsafe(self._received(), self._loop)
        try:
            return waiting.result(self._patience)
        except TimeoutError:
            waiting.cancel()
            raise
        except CancelledError:
            raise ConnectionError("the request is over") from None

    async def _received(self) -> Message:
        return await self._receive()

    def on_loop(self, call: Callable[[], None]) -> None:
        """Call this on the event loop, if it is still there."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(call)

    def close(self) -> None:
        """Nothing more is read: a thread that waits for more is told so."""
        with self._lock:
            self._closed = True
            if self._waiting is not None:
                self._waiting.cancel()


class Uploads:
    """Threads for requests whose body is read while it comes: a slow client must not take those of the others."""

    def __init__(self, dispatch: Dispatch) -> None:
        self._dispatch = dispatch
        self._free = dispatch.options.max_uploads
        self._threads: ThreadPoolExecutor | None = None

    async def run(self, request: Request, receive: Receive) -> Response:
        """The response, if there is a place for one more."""
        most = self._dispatch.options.max_uploads
        if not self._free:
            error = Unavailable(f"There are {most} uploads under way: try again later.", limit=most)
            return self._dispatch.refuse(request, error)
        if self._threads is None:
            self._threads = ThreadPoolExecutor(most, "mallcore-upload")
        incoming = request.stream = Incoming(receive, self._dispatch.options.patience)
        context = contextvars.copy_context()
        done = self._threads.submit(lambda: context.run(self._dispatch.run, request))
        self._free -= 1
        done.add_done_callback(lambda _: incoming.on_loop(self._give_back))
        try:
            return await asyncio.wrap_future(done)
        finally:
            incoming.close()

    def _give_back(self) -> None:
        self._free += 1


class Contents:
    """Sends contents piece by piece. The pieces are fetched in threads of their own: a store may let them wait."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._threads: ThreadPoolExecutor | None = None

    async def send(self, start: Message, chunks: Chunks, receive: Receive, send: Send) -> None:
        """Send one content, which is closed in all cases.

        A client that goes away ends it, and so does one that takes it too slowly, for the store waits with us.
        """
        gone, options = asyncio.ensure_future(_gone(receive)), self._options
        try:
            await send(start)
            while not gone.done() and (piece := await self._fetched(chunks)) is not None:
                async with asyncio.timeout(options.patience + len(piece) / options.slowest):
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
            if not gone.done():
                await send({"type": "http.response.body", "body": b""})
        except OSError:
            return  # the client is gone or too slow, or the store broke off: the server sees that something is missing
        finally:
            gone.cancel()
            await asyncio.shield(asyncio.to_thread(chunks.close))

    async def _fetched(self, chunks: Chunks) -> bytes | None:
        if self._threads is None:
            self._threads = ThreadPoolExecutor(_FETCHING, "mallcore-content")
        return await asyncio.get_running_loop().run_in_executor(self._threads, next, chunks, None)


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
