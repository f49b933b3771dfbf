"""The unit of work: one transaction, opened when first needed, and what follows its outermost commit.

`OwnWork` has a session of its own. `JoinedWork` lives inside a host's session, behind a SAVEPOINT; what it announces
waits until the host's outermost transaction has committed, and is forgotten when any transaction around it rolls back.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, NamedTuple

from sqlalchemy import Connection
from sqlalchemy.orm import Session, SessionTransaction

from mallcore.errors import Conflict, SpoiledWork
from mallcore.kernel.events import AccessDenied
from mallcore.kernel.host import HostTransactions
from mallcore.kernel.ports import DatabaseBackend, SessionSource

Callback = Callable[[], None]
WORK = "mallcore.work"
"""Where a session of ours keeps the unit of work it belongs to."""


class _Mark(NamedTuple):
    """How far a unit of work was when a SAVEPOINT was set."""

    committed: int
    rolled_back: int
    spoiled: bool


class MemoryOnly(Exception):
    """Raised when an operation that was asked to answer from memory needs the database."""


class Work(ABC):
    """What both kinds share: the write that failed half-way, uncommitted state, and what happens afterwards."""

    def __init__(self) -> None:
        self.spoiled = False
        self.dirty = False
        """Whether a row was written: from then on a failing operation spoils the unit of work."""
        self.private = False
        """Whether reads may show rows of a host's transaction that can still be rolled back: they are never shared."""
        self.denials: list[AccessDenied] = []
        self.local: dict[Any, Any] = {}
        """Uncommitted state by key, seen only by this transaction (for example a channel's new tree)."""
        self._committed: list[Callback] = []
        self._rolled_back: list[Callback] = []
        self._marks: dict[SessionTransaction, _Mark] = {}

    @abstractmethod
    def session(self) -> Session:
        """The session, for reading."""

    @abstractmethod
    def write_session(self) -> Session:
        """The session, for reading and writing in one transaction."""

    @property
    @abstractmethod
    def begun(self) -> bool:
        """Whether a transaction is under way: what it reads may be older than what is committed."""

    @property
    def writing(self) -> bool:
        """Whether this unit of work has begun to write: where only one can, nobody else may until it ends."""
        return False

    @abstractmethod
    def commit(self) -> None:
        """Keep what was done; a spoiled unit of work is rolled back and raises."""

    @abstractmethod
    def rollback(self) -> None:
        """Undo what was done here."""

    def may_wait(self) -> None:  # noqa: B027 - most kinds of work may
        """Called before what may wait for a database in another way than through the session."""

    def let_go(self) -> None:  # noqa: B027 - a host's transaction is its own
        """Give back what is held for reading, before something that takes long; what is read later may be newer."""

    def on_commit(self, callback: Callback) -> None:
        """Call this after the outermost commit; it must not raise."""
        self._committed.append(callback)

    def on_rollback(self, callback: Callback) -> None:
        """Call this when what was written here is rolled back."""
        self._rolled_back.append(callback)

    def mark(self, savepoint: SessionTransaction) -> None:
        """A SAVEPOINT was set: remember how far we were."""
        self._marks[savepoint] = _Mark(len(self._committed), len(self._rolled_back), self.spoiled)

    def release(self, savepoint: SessionTransaction) -> None:
        """A SAVEPOINT is over, and what was done in it stands."""
        self._marks.pop(savepoint, None)

    def undo(self, savepoint: SessionTransaction) -> None:
        """A SAVEPOINT was rolled back: what was done since it was set is undone in memory, too, and not announced."""
        mark = self._marks.pop(savepoint, None)
        if mark is None:
            return
        undone, self._rolled_back[mark.rolled_back :] = self._rolled_back[mark.rolled_back :], []
        del self._committed[mark.committed :]
        self.spoiled = mark.spoiled  # a write that failed half-way within it is undone whole
        _call_all(undone)

    def refuse_if_spoiled(self) -> None:
        """Raise `SpoiledWork` when only a rollback is left."""
        if self.spoiled:
            raise SpoiledWork()


class MemoryWork(Work):
    """Answers from memory or not at all: an event loop can use it without ever being blocked."""

    def may_wait(self) -> None:
        raise MemoryOnly()

    def session(self) -> Session:
        raise MemoryOnly()

    def write_session(self) -> Session:
        raise MemoryOnly()

    @property
    def begun(self) -> bool:
        return False

    def commit(self) -> None:
        """Nothing was written."""

    def rollback(self) -> None:
        """Nothing was written."""


class OwnWork(Work):
    """A unit of work with its own session and transaction."""

    def __init__(self, source: SessionSource) -> None:
        super().__init__()
        self._source = source
        self._session: Session | None = None
        self._release: Callback | None = None

    def session(self) -> Session:
        if self._session is None:
            self._session = self._source.open()
            self._session.info[WORK] = self
        return self._session

    def write_session(self) -> Session:
        session = self.session()
        if self._release is None:
            if session.in_nested_transaction():
                raise Conflict(
                    "A SAVEPOINT is open in a unit of work that has only read until now: write before you set it, "
                    "or begin another unit of work."
                )
            # Nothing is written yet, so a reading transaction can end here: SQLite can't make it a writing one.
            session.rollback()
            self._release = self._source.begin_write(session)
        return session

    def let_go(self) -> None:
        if self._session is not None and self._release is None:
            self._session.rollback()

    @property
    def begun(self) -> bool:
        return self._session is not None and self._session.in_transaction()

    @property
    def writing(self) -> bool:
        return self._release is not None

    def commit(self) -> None:
        try:
            self.refuse_if_spoiled()
            if self._session is not None and self._release is not None:
                self._session.commit()
        except BaseException:
            self.rollback()
            raise
        self._close()
        _call_all(self._committed)

    def rollback(self) -> None:
        self._close()
        _call_all(self._rolled_back)

    def _close(self) -> None:
        try:
            if self._session is not None:
                self._session.close()
        finally:
            if self._release is not None:
                self._release()
                self._release = None


class JoinedWork(Work):
    """A unit of work inside a host's session: its rows and announcements share the fate of the host's transaction."""

    def __init__(self, session: Session, backend: DatabaseBackend) -> None:
        super().__init__()
        self._session = session
        self._backend = backend
        self._host = HostTransactions.of(session)
        self._host.works.append(self)
        self.local = self._host.local
        self.private = isinstance(session.bind, Connection)
        self._savepoint: SessionTransaction | None = None

    def session(self) -> Session:
        return self._session

    def write_session(self) -> Session:
        if self._savepoint is None:
            self._backend.join(self._session.connection())
            self._savepoint = self._session.begin_nested()
            self._host.writing = True
        return self._session

    @property
    def begun(self) -> bool:
        return self._session.in_transaction()

    @property
    def writing(self) -> bool:
        return self._host.writing  # an earlier unit of work in the host's transaction still holds its locks

    def commit(self) -> None:
        try:
            self.refuse_if_spoiled()
            if self._savepoint is not None:
                self._savepoint.commit()
        except BaseException:
            self.rollback()
            raise
        self._leave()
        self._host.follow(self._committed, self._rolled_back)

    def rollback(self) -> None:
        try:
            if self._savepoint is not None and self._savepoint.is_active:
                self._savepoint.rollback()
        finally:
            self._leave()
            _call_all(self._rolled_back)

    def _leave(self) -> None:
        if self in self._host.works:
            self._host.works.remove(self)

    def after_host(self, callback: Callback) -> None:
        """Call this when the host's transaction is over, however it ends (at once when there is none)."""
        self._host.at_end(callback)


def _call_all(callbacks: list[Callback]) -> None:
    waiting, callbacks[:] = list(callbacks), []
    for callback in waiting:
        callback()
