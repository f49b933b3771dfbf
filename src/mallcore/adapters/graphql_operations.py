"""The operations under way on one WebSocket: a task for each, which waits in threads for what the mall answers."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from mallcore.api import Dispatch, Request
from mallcore.errors import Unavailable
from mallcore.kernel.ids import new_id

if TYPE_CHECKING:
    from mallcore.api.graphql.live import Watch
    from mallcore.api.versions import View

__all__ = ["Operations"]

Tell = Callable[[Mapping[str, Any]], Awaitable[None]]


class Operations:
    """The operations of one connection. ``tell`` sends a message, ``again`` asks if its caller is still welcome."""

    def __init__(self, dispatch: Dispatch, request: Request, tell: Tell, again: Callable[[], Awaitable[None]]) -> None:
        self.tasks: dict[str, asyncio.Task[None]] = {}
        self._dispatch = dispatch
        self._most = dispatch.options.graphql.max_subscriptions
        self._request = request
        self._tell = tell
        self._again = again
        self._loop = asyncio.get_running_loop()

    async def run(self, id: str, payload: Mapping[str, Any], view: View | None) -> None:
        """Run one operation to its end."""
        from mallcore.api.graphql.failures import of_mall
        from mallcore.api.graphql.live import Refusal, Watch, begun, unexpected

        request = replace(self._request, request_id=new_id("req"), principal=None)  # each is let in by itself
        try:
            assert view is not None
            if len(self.tasks) > self._most:
                text = f"There are {self._most} operations under way on this connection: end one first."
                raise Refusal([of_mall(Unavailable(text, limit=self._most), request.request_id)])
            graphql, begin = self._dispatch.graphql, self._dispatch.begin
            found = await asyncio.to_thread(begun, graphql, payload, request, view, begin)
            if isinstance(found, Watch):
                await self._watch(id, found)
            else:
                await self._tell({"type": "next", "id": id, "payload": found})
            last: dict[str, Any] = {"type": "complete", "id": id}
        except Refusal as refusal:
            last = {"type": "error", "id": id, "payload": refusal.errors}
        except OSError:
            return  # the client is gone
        except Exception as error:
            last = {"type": "error", "id": id, "payload": unexpected(error, request)}
        if self.tasks.get(id) is asyncio.current_task():
            del self.tasks[id]
            with contextlib.suppress(OSError):  # the client may be gone
                await self._tell(last)

    async def _watch(self, id: str, watch: Watch) -> None:
        """Tell what happens, until access ends. Whether the caller is still welcome is asked whenever it is quiet."""
        news = asyncio.Event()
        watch.subscribe(lambda: self._wake(news))
        try:
            while True:
                news.clear()
                found = await asyncio.to_thread(watch.fetch)
                for result in found:
                    await self._tell({"type": "next", "id": id, "payload": result})
                if not found:
                    await self._quiet(news)
        finally:
            watch.close()

    async def _quiet(self, news: asyncio.Event) -> None:
        try:
            await asyncio.wait_for(news.wait(), self._dispatch.options.graphql.heartbeat)
        except TimeoutError:
            await self._again()

    def _wake(self, news: asyncio.Event) -> None:
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(news.set)
