"""One request's execution: units of work, the calls of its fields, and the answer as plain data."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, suppress
from types import CoroutineType
from typing import Any, TypeGuard

from graphql import DocumentNode, ExecutionResult, GraphQLSchema

from mallcore.api.graphql.calls import called
from mallcore.api.graphql.compiled.executor import CompilingExecutor, Late
from mallcore.api.graphql.failures import shown
from mallcore.api.graphql.loading import Loading
from mallcore.api.http import Request
from mallcore.api.versions import Face
from mallcore.errors import MallError
from mallcore.kernel.context import Context

Begin = Callable[[Request], AbstractContextManager[Context]]
Count = Callable[[str], None]
"""Told the name of each operation that a root field calls."""


class Session:
    """What the fields of one document share: what reads, reads in one unit of work; what writes, in one of its own."""

    def __init__(self, request: Request, begin: Begin, count: Count | None = None) -> None:
        self.request = request
        self._count = count
        self._begin = begin
        self._work: AbstractContextManager[Context] | None = None
        self._ctx: Context | None = None
        self._loading = Loading(self.context)
        self.watched: list[tuple[Face, Mapping[str, Any]]] = []

    def context(self) -> Context:
        """The unit of work that reads."""
        if self._ctx is None:
            self._work = self._begin(self.request)
            self._ctx = self._work.__enter__()
        return self._ctx

    def read(self, face: Face, given: Mapping[str, Any]) -> Any:
        """Run a query."""
        self._note(face)
        return called(face, self.context(), given)

    def load(self, face: Face, given: Mapping[str, Any]) -> Awaitable[Any]:
        """Run a query together with all others that are asked for now."""
        return self._loading.load(face, given)

    def watch(self, face: Face, given: Mapping[str, Any]) -> None:
        """Note what is to be watched."""
        self.watched.append((face, given))

    def write(self, face: Face, given: Mapping[str, Any]) -> Any:
        """Run an operation in a unit of work of its own, which is committed before anything else is done."""
        self.close()
        self._note(face)
        with self._begin(self.request) as ctx:
            return called(face, ctx, given)

    def _note(self, face: Face) -> None:
        if self._count is not None:
            self._count(face.operation.name)

    def close(self) -> None:
        """End the unit of work that reads: what was refused in it goes on record."""
        self._loading.forget()
        work, self._work, self._ctx = self._work, None, None
        if work is None:
            return
        with suppress(MallError):  # a read that failed spoiled it: its field has told so, and there is nothing to keep
            work.__exit__(None, None, None)


def executed(
    schema: GraphQLSchema, document: DocumentNode, name: str | None, variables: dict[str, Any] | None, session: Session,
    deadline: Any = None, root: Any = None,
) -> ExecutionResult:  # fmt: skip
    """Execute an operation; waits until all of it is there."""
    built = CompilingExecutor.build(
        schema, document, root, session, variables, name, is_awaitable=_is_coroutine, is_async_iterable=_never
    )
    if isinstance(built, list):
        return ExecutionResult(None, built)
    built.deadline = deadline  # type: ignore[attr-defined]
    try:
        found: Any = built.execute_operation()
        return _waited(found) if _is_coroutine(found) else found
    except Late:
        return ExecutionResult(None, [deadline.error()])


def _is_coroutine(value: Any) -> TypeGuard[Awaitable[Any]]:
    """Whether it is to be awaited: nothing else that a resolver here returns is."""
    return type(value) is CoroutineType


def _never(value: Any) -> TypeGuard[AsyncIterable[Any]]:
    return False


def _waited(result: Awaitable[ExecutionResult]) -> ExecutionResult:
    """Wait on an event loop of our own: it only decides what is asked of the database together."""

    async def wait() -> ExecutionResult:
        return await result

    def run() -> ExecutionResult:
        with asyncio.Runner() as runner:
            return runner.run(wait())

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return run()
    with ThreadPoolExecutor(1) as thread:  # called on an event loop, which can't run another
        return thread.submit(run).result()


def plain(result: ExecutionResult, request_id: str) -> dict[str, Any]:
    """A result as it is sent. Without data: nothing was executed, because the request is wrong."""
    errors = [shown(one, request_id) for one in result.errors or ()]
    found: dict[str, Any] = {"errors": errors} if errors else {}
    if result.data is not None or not errors:
        found["data"] = result.data
    return found
