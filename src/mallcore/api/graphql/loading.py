"""Edges, loaded together: all that a level of a document asks for is gathered before anything of it is answered."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from typing import Any

from mallcore.api.graphql.calls import called
from mallcore.api.graphql.gathering import Gathering
from mallcore.api.versions import Face
from mallcore.kernel.context import Context

_Key = tuple[str, str]
_PATIENCE = 3  # turns of the loop without another call: then all of a level have asked


class Loading:
    """The calls of one request, by operation and arguments: each is made once, and all that wait are made together.

    ``reading`` gives the Context of the unit of work that reads now.
    """

    def __init__(self, reading: Callable[[], Context]) -> None:
        self._reading = reading
        self._known: dict[_Key, asyncio.Future[Any]] = {}
        self._waiting: dict[_Key, tuple[Face, Mapping[str, Any]]] = {}
        self._quiet = 0

    def forget(self) -> None:
        """What was loaded may be old: something was written."""
        self._known.clear()

    async def load(self, face: Face, given: Mapping[str, Any]) -> Any:
        """What an operation answers, in the version's shape."""
        key = face.operation.name, json.dumps(given, sort_keys=True, default=str)
        found = self._known.get(key)
        if found is None:
            loop = asyncio.get_running_loop()
            found = self._known[key] = loop.create_future()
            if not self._waiting:
                loop.call_soon(self._turn, loop)
            self._waiting[key] = face, given
            self._quiet = 0
        return await found

    def _turn(self, loop: asyncio.AbstractEventLoop) -> None:
        """Wait until nobody asks for more, and then make the calls."""
        self._quiet += 1
        if self._quiet <= _PATIENCE:
            loop.call_soon(self._turn, loop)
            return
        waiting, self._waiting = self._waiting, {}
        for key, answer in zip(waiting, self._answers(list(waiting.values())), strict=True):
            future = self._known.get(key)
            if future is not None and not future.done():
                _settle(future, answer)

    def _answers(self, calls: list[tuple[Face, Mapping[str, Any]]]) -> list[Any]:
        try:
            ctx = self._reading()
            if len(calls) == 1:
                return [called(*_ordered(ctx, calls[0]))]
            return Gathering(ctx).all([_call(*one) for one in calls])
        except Exception as error:
            return [error] * len(calls)


def _ordered(ctx: Context, call: tuple[Face, Mapping[str, Any]]) -> tuple[Face, Context, Mapping[str, Any]]:
    return call[0], ctx, call[1]


def _call(face: Face, given: Mapping[str, Any]) -> Callable[[Context], Any]:
    return lambda ctx: called(face, ctx, given)


def _settle(future: asyncio.Future[Any], answer: Any) -> None:
    if isinstance(answer, Exception):
        future.set_exception(answer)
    else:
        future.set_result(answer)
