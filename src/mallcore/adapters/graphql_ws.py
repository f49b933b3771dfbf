"""GraphQL over WebSockets, by the protocol ``graphql-transport-ws``: queries, mutations, and subscriptions."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mallcore.adapters.bridging import Receive, Send
from mallcore.adapters.graphql_operations import Operations
from mallcore.api import Dispatch, Refused, Request
from mallcore.api.settling import is_graphql
from mallcore.errors import MallError, MissingExtra

if TYPE_CHECKING:
    from mallcore.api.versions import View

__all__ = ["GraphQLSockets"]


class GraphQLSockets:
    """The WebSockets of one application."""

    def __init__(self, dispatch: Dispatch) -> None:
        self._dispatch = dispatch
        self._open: set[_Socket] = set()

    async def serve(self, request: Request, protocols: list[str], receive: Receive, send: Send) -> None:
        """Serve one connection until either side closes it."""
        from mallcore.api.graphql import protocol

        if (await receive())["type"] != "websocket.connect":
            return
        if not is_graphql(request.path) or not self._installed():
            await send({"type": "websocket.close", "code": 1000})  # before it is accepted: 403
            return
        fits = protocol.PROTOCOL in protocols
        await send({"type": "websocket.accept", "subprotocol": protocol.PROTOCOL if fits else None})
        socket = _Socket(self._dispatch, request, receive, send)
        try:
            if not fits:
                raise protocol.other_protocol()
            if len(self._open) >= self._dispatch.options.graphql.max_connections:
                raise protocol.full()
            self._open.add(socket)
            with contextlib.suppress(OSError):  # the client is gone, while it is told something
                await socket.run()
        except protocol.Closed as closed:
            with contextlib.suppress(OSError, RuntimeError):  # the client may be gone already
                await send({"type": "websocket.close", "code": closed.code, "reason": closed.reason[:100]})
        finally:
            self._open.discard(socket)
            await socket.stop()

    def _installed(self) -> bool:
        try:
            return bool(self._dispatch.graphql)
        except MissingExtra:
            return False

    def close(self) -> None:
        """Close all of them: the server goes. May be called from any thread."""
        from mallcore.api.graphql import protocol

        for socket in list(self._open):
            socket.end(protocol.leaving())


class _Socket:
    """One connection: messages are read here, and each operation is a task of its own."""

    def __init__(self, dispatch: Dispatch, request: Request, receive: Receive, send: Send) -> None:
        self._dispatch = dispatch
        self._options = dispatch.options.graphql
        self._request = request
        self._receive = receive
        self._send = send
        self._sending = asyncio.Lock()
        self._view: View | None = None
        self._operations = Operations(dispatch, request, self._tell, self._again)
        self._tasks = self._operations.tasks
        self._loop = asyncio.get_running_loop()
        self._ended: asyncio.Future[None] = self._loop.create_future()

    async def run(self) -> None:
        """Read until the client goes; raises `Closed` when it is we who close."""
        from mallcore.api.graphql import protocol

        try:
            first = await asyncio.wait_for(self._message(), self._options.init_seconds)
        except TimeoutError:
            raise protocol.slow() from None
        if first is None:
            return
        told = protocol.credentials(first)
        headers = protocol.trusted_headers(self._request.headers)
        self._request.headers = headers if told is None else {**headers, "authorization": told}
        self._view = await asyncio.to_thread(self._settled)
        await self._tell({"type": "connection_ack"})
        while (message := await self._message()) is not None:
            await self._take(message)

    def end(self, why: Exception) -> None:
        """Close the connection."""

        def end() -> None:
            if not self._ended.done():
                self._ended.set_exception(why)

        with contextlib.suppress(RuntimeError):  # the loop may be closed by now
            self._loop.call_soon_threadsafe(end)

    async def stop(self) -> None:
        """End what is under way."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._ended.cancel()

    async def _message(self) -> dict[str, Any] | None:
        """The next message; nothing when the client is gone."""
        from mallcore.api.graphql import protocol

        reading: asyncio.Future[Any] = asyncio.ensure_future(self._receive())
        try:
            await asyncio.wait((reading, self._ended), return_when=asyncio.FIRST_COMPLETED)
            if self._ended.done():
                self._ended.result()
            event = await reading
        finally:
            reading.cancel()
        if event["type"] == "websocket.disconnect":
            return None
        return protocol.read(event.get("text"), self._options.max_message)

    def _settled(self) -> View:
        """The version that is asked for, once the caller is known."""
        from mallcore.api.graphql import protocol

        try:
            view = self._dispatch.settled(self._request)
            self._dispatch.begin(self._request)  # not entered: it only has to be known who asks
            return view
        except (MallError, Refused) as error:
            raise protocol.refused(error) from None

    async def _again(self) -> None:
        """Close the connection when its caller is welcome no longer."""
        from mallcore.api.graphql import protocol

        self._request.principal = None
        try:
            await asyncio.to_thread(self._settled)
        except protocol.Closed as closed:
            if closed.code != protocol.LATER:  # who has asked too often may wait
                self.end(closed)

    async def _take(self, message: Mapping[str, Any]) -> None:
        from mallcore.api.graphql import protocol

        kind = message["type"]
        if kind == "ping":
            await self._tell({"type": "pong", **({"payload": message["payload"]} if "payload" in message else {})})
        elif kind == "complete":
            if (task := self._tasks.pop(str(message.get("id")), None)) is not None:
                task.cancel()
        elif kind == "subscribe":
            id, payload = protocol.operation(message, self._tasks)
            self._tasks[id] = asyncio.create_task(self._operations.run(id, payload, self._view))
        elif kind == "connection_init":
            raise protocol.Closed(4429, "Too many initialisation requests")
        elif kind != "pong":
            raise protocol.invalid()

    async def _tell(self, message: Mapping[str, Any]) -> None:
        text = json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace").decode()
        async with self._sending:
            await self._send({"type": "websocket.send", "text": text})
