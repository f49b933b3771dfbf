"""The Mall: settings and plug-ins in, a working mall out. The only place where things are wired."""

from __future__ import annotations

import logging
import os
import re
import tempfile
import weakref
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.orm import Session, scoped_session

from mallcore import attachments, audit, migrations, structure
from mallcore.api.counting import Counter
from mallcore.api.versions import Versions
from mallcore.errors import InvalidSettings, MallError, ScheduleClosed
from mallcore.kernel.bus import Follower
from mallcore.kernel.context import Context, Principal
from mallcore.kernel.events import AccessDenied
from mallcore.kernel.keys import Keyring
from mallcore.kernel.objects import ObjectStore
from mallcore.kernel.operations import forget_old_keys
from mallcore.kernel.ports import DatabaseBackend, Policy
from mallcore.kernel.ticking import Chores, Ticker, do
from mallcore.kernel.work import JoinedWork, MemoryWork, OwnWork, Work
from mallcore.opening import Given, engine_of, handed_over, sealer_of, settings_of, stores_of
from mallcore.settings import MallSettings
from mallcore.wiring import catalogue_of, plugged, wired

log = logging.getLogger("mallcore")
# What keeps a schedule waiting: the database, or a draft that was changed at the very moment.
_PASSING = {"database-busy", "database-read-only", "stale-revision", "unavailable"}
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:/+=-]{1,100}")


class Mall:
    """One mall in one process. Make it with `open`, use it through `begin`, end it with `close`."""

    def __init__(
        self, engine: Engine, settings: MallSettings, given: Given | None = None, *, owns_engine: bool = False
    ) -> None:
        given = given or Given()
        self.settings = settings
        self.engine = engine
        self._owns_engine = owns_engine
        self._scratch: tempfile.TemporaryDirectory[str] | None = None
        self._scheduler: Ticker | None = None
        self._kept_house: datetime | None = None
        self.plugins = plugged(given)
        self.backend = self._backend()
        if owns_engine:
            self.backend.prepare(engine)
        self.follower = Follower(
            lambda heard, stop: self.backend.listen(engine, heard, stop), settings.poll_seconds, settings.follow
        )
        self.catalogue = catalogue_of(self.plugins.hook)
        self.stores = stores_of(settings, given, self.plugins.hook, given.folder or Path())
        self.chores = Chores()
        clock = given.clock or (lambda: datetime.now(UTC))
        self.keys = Keyring(engine.connect, lambda: self.follower.running, sealer_of(settings), clock)
        self.services = wired(self, given, clock)
        _malls.add(self)

    def _backend(self) -> DatabaseBackend:
        found = self.plugins.hook.database_backend(engine=self.engine, busy_seconds=self.settings.busy_seconds)
        if found is None:
            raise InvalidSettings(
                setting="database", reason=f"no plug-in serves {self.engine.dialect.name!r} databases"
            )
        backend: DatabaseBackend = found
        return backend

    @classmethod
    def open(
        cls,
        database: str | Engine | None = None,
        *,
        objects: str | ObjectStore | None = None,
        stores: Mapping[str, str | ObjectStore] | None = None,
        folder: str | Path | None = None,
        slots: Iterable[attachments.Slot] = (),
        edges: Iterable[attachments.Edge] = (),
        plugins: Iterable[object] = (),
        policy: Policy | None = None,
        logins: Iterable[Any] = (),
        issuers: Iterable[Any] = (),
        clock: Callable[[], datetime] | None = None,
        **settings: Any,
    ) -> Mall:
        """Open a mall, and bring an embedded (SQLite) database up to date.

        ``database`` is a SQLAlchemy URL or a host's own engine, which is used as it is and never closed; ``sqlite://``
        is a mall that is gone when it is closed. What is not given comes from the environment (``MALLCORE_*``), then
        from ``mall.toml`` in ``folder``. ``objects`` is where attachments are kept: a URL, or a store of the host's
        own; ``stores`` are further ones by name; ``slots`` are policies for what is uploaded; ``edges``
        deliver content in the mall's place, the first that works does. ``logins`` are ways to sign in, ``issuers``
        others whose access tokens count here. Raises `InvalidSettings`, `DatabaseNotReady`, `DatabaseTooNew`,
        `DatabaseReadOnly`.

        >>> from mallcore import Mall, Principal, structure
        >>> with Mall.open("sqlite://") as mall, mall.begin(Principal.system()) as ctx:
        ...     structure.create_channel(ctx, slug="books", name="Books").slug
        'books'
        """
        where = Path(folder) if folder is not None else None
        found = settings_of(database, where, objects, stores or {}, settings)
        given = Given(
            folder=where,
            stores=handed_over(objects, stores or {}),
            slots=slots,
            edges=edges,
            plugins=plugins,
            policy=policy,
            logins=logins,
            issuers=issuers,
            clock=clock,
        )
        mall = cls(database, found, given) if isinstance(database, Engine) else _opened(cls, found, given)
        try:
            mall._prepare()
        except BaseException:
            mall.close()
            raise
        return mall

    def _prepare(self) -> None:
        automatic = self.settings.migrate == "always" or (
            self.settings.migrate == "auto" and self.backend.name == "sqlite"
        )
        try:
            if automatic and not migrations.check(self.engine):
                self.upgrade()
            migrations.require(self.engine)
            self._provide_keys()
        except DBAPIError as error:
            raise self.backend.translate(error) or error from error

    def _provide_keys(self) -> None:
        """Every mall has keys from the start; a database that can't be written keeps those it has."""
        with self.engine.connect() as connection:
            if not self.keys.missing(connection):
                return
        writing = self.engine.connect().execution_options(**self.backend.write_options)
        with writing as connection, suppress(IntegrityError), connection.begin():  # another process may be faster
            self.keys.provide(connection)
        self.keys.forget()

    @property
    def versions(self) -> Versions:
        """The versions of the API, with what our own packages and plug-ins say of them."""
        found: Versions = self.services.ports[Versions]
        return found

    @property
    def counter(self) -> Counter:
        """Counts who uses which version of the API."""
        found: Counter = self.services.ports[Counter]
        return found

    def now(self) -> datetime:
        """The time by the mall's clock, aware and in UTC."""
        return self.services.clock()

    def upgrade(self) -> int:
        """Bring the database's schema to this version; returns the version it had (0: there was no mall)."""
        return migrations.upgrade(self.engine, self.backend.write_options, self.settings.partitions)

    def begin(
        self,
        principal: Principal,
        *,
        session: Session | scoped_session[Session] | None = None,
        request_id: str | None = None,
    ) -> AbstractContextManager[Context]:
        """One unit of work: everything in the ``with`` block is committed together at its end, or nothing is.

        With a host's ``session`` it joins the host's transaction behind a SAVEPOINT: what is done here is committed or
        rolled back with it, and announced after the host's outermost commit.
        """
        source = self.services.source
        if isinstance(session, scoped_session):
            session = session()
        work = OwnWork(source) if session is None else JoinedWork(session, source.backend)
        return _Begun(self, principal, work, request_id)

    def memory(self, principal: Principal, *, request_id: str | None = None) -> AbstractContextManager[Context]:
        """A unit of work that answers from memory, or raises `mallcore.kernel.work.MemoryOnly`; it never blocks."""
        return _Begun(self, principal, MemoryWork(), request_id)

    def context(self, principal: Principal, work: Work, request_id: str | None = None) -> Context:
        """A Context over a unit of work whose end is somebody else's business."""
        if request_id is not None and not _REQUEST_ID.fullmatch(request_id):
            request_id = None
        return Context(self.services, principal, work, request_id)

    def record_denials(self, ctx: Context) -> None:
        """Put refusals on record, in a transaction of their own: what was refused may have been rolled back."""
        denials, ctx.work.denials = ctx.work.denials, []
        if denials:
            if isinstance(ctx.work, JoinedWork):
                ctx.work.after_host(lambda: self._record(ctx, denials))
            else:
                self._record(ctx, denials)

    @staticmethod
    def _record(ctx: Context, denials: list[AccessDenied]) -> None:
        work = OwnWork(ctx.services.source)
        recording = Context(ctx.services, ctx.principal, work, ctx.request_id)
        recording.commanding = True
        try:
            for denial in denials:
                recording.record(denial)
            work.commit()
        except Exception:
            work.rollback()
            log.exception("a refusal could not be put on record (request %s)", ctx.request_id)

    def run_due(self) -> int:
        """Carry out the schedules whose time has come; returns how many. Any number of processes may do this."""
        with self.begin(Principal.system("scheduler")) as ctx:
            waiting = structure.due(ctx)
        return sum(self._carry_out(schedule) for schedule in waiting)

    def _carry_out(self, schedule: str) -> bool:
        system = Principal.system("scheduler")
        try:
            with self.begin(system) as ctx:
                return structure.carry_out(ctx, schedule=schedule).state == "done"
        except ScheduleClosed:  # another process was faster
            return False
        except MallError as error:
            if error.code in _PASSING:
                log.warning("schedule %s waits: %s", schedule, error)
                return False
            with self.begin(system) as ctx:
                structure.give_up(ctx, schedule=schedule, error=f"{error.code}: {error}"[:5000])
            return False
        except Exception:  # a bug, in a plug-in say: it must not hold up the schedules behind this one
            log.exception("schedule %s could not be carried out, and waits", schedule)
            return False

    def start_scheduler(self, seconds: float = 1.0) -> None:
        """Look for due schedules in the background, and keep house now and then, until the mall is closed."""
        if self._scheduler is None:
            self._scheduler = Ticker(self._tick, seconds, "mallcore-scheduler")
            self._scheduler.start()

    def _tick(self) -> None:
        self.run_due()
        self.keep_log()
        do(self.chores.ticks)
        hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
        if hour != self._kept_house:
            self._kept_house = hour
            self.keep_house()
            do(self.chores.hours)

    def keep_log(self) -> int:
        """Give new records of the audit log their places, and keep its checkpoints; returns how many records.

        The scheduler does this at every tick. Any number of processes may.
        """
        with self.begin(Principal.system("audit")) as ctx:
            return audit.keep_log(ctx, self.settings.checkpoint_records, self.settings.checkpoint_seconds)

    def keep_house(self) -> int:
        """Drop idempotency keys that are too old to be asked for (returns how many), and keep the stores in order.

        The scheduler does this every hour. Any number of processes may.
        """
        system = Principal.system("housekeeping")
        work = OwnWork(self.services.source)
        ctx = self.context(system, work)
        ctx.commanding = True
        try:
            dropped = forget_old_keys(ctx, self.settings.idempotency_days)
            attachments.forget_old_links(ctx)
            work.commit()
        except BaseException:
            work.rollback()
            raise
        if self.settings.collect == "auto":
            with self.begin(system) as ctx:
                attachments.keep_stores(ctx, self.settings.collect_grace)
        return dropped

    def close(self) -> None:
        """Stop what runs in the background and close what we opened; nothing of the host's."""
        if self._scheduler is not None:
            self._scheduler.stop()
            self._scheduler = None
        do(self.chores.closing)
        self.follower.stop()
        self.stores.close()
        if self._owns_engine:
            self.engine.dispose()
        if self._scratch is not None:
            self._scratch.cleanup()

    def _forget_parent(self) -> None:
        """In a forked child: connections and locks belong to the parent. (A host's engine is its own affair.)"""
        if self._owns_engine:
            self._parents_pool = self.engine.pool  # kept, for its collection would close the parent's connections
            self.engine.dispose(close=False)
        self._scheduler = None
        self.services.source.forget_parent()
        do(self.chores.forked)
        if self._scratch is not None:
            self._scratch._finalizer.detach()  # type: ignore[attr-defined]  # the parent removes it
            self._scratch = None

    def __enter__(self) -> Mall:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Mall on {self.engine.url.render_as_string(hide_password=True)}>"


class _Begun(AbstractContextManager["Context"]):
    """The ``with`` block of a unit of work."""

    __slots__ = ("_ctx", "_mall", "_work")

    def __init__(self, mall: Mall, principal: Principal, work: Any, request_id: str | None) -> None:
        self._mall = mall
        self._work = work
        self._ctx = mall.context(principal, work, request_id)

    def __enter__(self) -> Context:
        return self._ctx

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._commit()
            else:
                self._work.rollback()
        finally:
            if self._work.denials:
                self._mall.record_denials(self._ctx)

    def _commit(self) -> None:
        try:
            self._work.commit()
        except DBAPIError as error:
            raise self._mall.backend.translate(error) or error from error


_malls: weakref.WeakSet[Mall] = weakref.WeakSet()


def _after_fork() -> None:
    for mall in list(_malls):
        mall._forget_parent()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def _opened(cls: type[Mall], settings: MallSettings, given: Given) -> Mall:
    """A mall on an engine of our own. A scratch mall leaves nothing behind: its objects lie in its folder too."""
    engine, scratch = engine_of(settings, given.folder or Path())
    try:
        if scratch is not None:
            given = replace(given, folder=Path(scratch.name))
        mall = cls(engine, settings, given, owns_engine=True)
    except BaseException:  # a plug-in that is refused, say
        engine.dispose()
        if scratch is not None:
            scratch.cleanup()
        raise
    mall._scratch = scratch
    return mall
