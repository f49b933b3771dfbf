"""AsyncMall: the one bridge from asyncio. Operations are the same functions.

`AsyncContext.run` takes an operation and its arguments, and gives its result; type checkers see through it.
For hosts that hold an ``AsyncEngine``; behind a thread pool, the plain `Mall` is quicker.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from mallcore.errors import InvalidSettings, MissingExtra
from mallcore.kernel.context import Context, Principal, Services
from mallcore.kernel.ports import DatabaseBackend
from mallcore.kernel.work import JoinedWork, OwnWork
from mallcore.mall import Mall

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

P = ParamSpec("P")
T = TypeVar("T")

_DRIVERS = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+psycopg"}
_SYNC = {"sqlite": "sqlite", "postgresql": "postgresql+psycopg"}


class AsyncMall:
    """A mall for asyncio: `open` it, use it through `begin`, `close` it (or ``async with``)."""

    def __init__(self, mall: Mall, engine: AsyncEngine | None = None, *, owns_mall: bool = False) -> None:
        self.mall = mall
        self._owns_mall = owns_mall
        self._owns_engine = engine is None
        self.engine = _engine(mall) if engine is None else engine
        self._services: Services = dataclasses.replace(mall.services, source=_AsyncSessions(self.engine, mall.backend))

    @classmethod
    def open(cls, database: str | AsyncEngine | None = None, **more: Any) -> AsyncMall:
        """Open a mall over a URL, or a host's ``AsyncEngine``, which is never closed; takes what `Mall.open` takes.

        What runs in the background (following other processes) uses a few plain connections to the same database.
        """
        if database is None or isinstance(database, str):
            return cls(Mall.open(_plain(database), **more), owns_mall=True)
        url = database.url.set(drivername=_SYNC.get(database.url.get_backend_name(), database.url.drivername))
        return cls(Mall.open(url.render_as_string(hide_password=False), **more), database, owns_mall=True)

    def begin(
        self, principal: Principal, *, session: AsyncSession | None = None, request_id: str | None = None
    ) -> AbstractAsyncContextManager[AsyncContext]:
        """One unit of work, as `Mall.begin`; with a host's ``AsyncSession`` it joins the host's transaction."""
        from sqlalchemy.ext.asyncio import AsyncSession

        bridge = AsyncSession(self.engine) if session is None else session
        source = self._services.source
        work = OwnWork(source) if session is None else JoinedWork(session.sync_session, source.backend)
        inner = self.mall.context(principal, work, request_id)
        inner.services = self._services
        return _Begun(self, AsyncContext(inner, bridge))

    async def close(self) -> None:
        """Close what we opened; nothing of the host's."""
        if self._owns_engine:
            await self.engine.dispose()
        if self._owns_mall:
            self.mall.close()

    async def __aenter__(self) -> AsyncMall:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


class AsyncContext:
    """A Context whose operations are awaited."""

    __slots__ = ("_bridge", "ctx")

    def __init__(self, ctx: Context, bridge: AsyncSession) -> None:
        self.ctx = ctx
        self._bridge = bridge

    async def run(self, operation: Callable[Concatenate[Context, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What the operation gives; the event loop goes on while the database works."""
        return await self._bridge.run_sync(lambda _: operation(self.ctx, *args, **kwargs))


class _Begun(AbstractAsyncContextManager["AsyncContext"]):
    """The ``async with`` block of a unit of work."""

    def __init__(self, amall: AsyncMall, ctx: AsyncContext) -> None:
        self._amall = amall
        self._ctx = ctx

    async def __aenter__(self) -> AsyncContext:
        return self._ctx

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        failed = kind is not None
        await self._ctx.run(lambda ctx: self._end(ctx, failed))

    def _end(self, ctx: Context, failed: bool) -> None:
        try:
            if failed:
                ctx.work.rollback()
            else:
                ctx.work.commit()
        except DBAPIError as error:
            raise self._amall.mall.backend.translate(error) or error from error
        finally:
            self._amall.mall.record_denials(ctx)


class _AsyncSessions:
    """The `SessionSource` over an ``AsyncEngine``; its sessions work inside `AsyncContext.run` only.

    Writers do not queue here: waiting for a lock would stop the event loop. The database makes them wait.
    """

    def __init__(self, engine: AsyncEngine, backend: DatabaseBackend) -> None:
        self.engine = engine
        self.backend = backend

    def open(self) -> Session:
        """A new session on the engine."""
        from sqlalchemy.ext.asyncio import AsyncSession

        return AsyncSession(self.engine, expire_on_commit=False, autoflush=False).sync_session

    def forget_parent(self) -> None:
        """Nothing: an event loop does not survive a fork."""

    def begin_write(self, session: Session) -> Callable[[], None]:
        """Begin to write."""
        session.connection(execution_options=self.backend.write_options)
        return lambda: None


def _plain(database: str | None) -> str | None:
    """A URL without its async driver."""
    if database is None:
        return None
    for name, driver in (("sqlite", "sqlite+aiosqlite"), ("postgresql+psycopg", "postgresql+asyncpg")):
        if database.startswith(driver + ":"):
            return name + database.removeprefix(driver)
    return database


def _engine(mall: Mall) -> AsyncEngine:
    """An async engine on the mall's own database."""
    driver = _DRIVERS.get(mall.engine.url.get_backend_name())
    if driver is None:
        raise InvalidSettings(setting="database", reason="there is no async driver for it")
    try:
        from sqlalchemy.ext.asyncio import create_async_engine

        engine = create_async_engine(mall.engine.url.set(drivername=driver))
    except ImportError as error:
        raise MissingExtra(what="AsyncMall", extra="asyncio") from error
    mall.backend.prepare(engine.sync_engine)
    return engine
