"""Sessions from one engine; where only one can write at a time, writers of this process queue here, in order."""

from __future__ import annotations

import threading
from collections.abc import Callable

from sqlalchemy import Engine, event
from sqlalchemy.orm import Session, SessionTransaction

from mallcore.errors import DatabaseBusy
from mallcore.kernel.ports import DatabaseBackend
from mallcore.kernel.work import WORK


class WorkSession(Session):
    """A session of a unit of work, which hears of the SAVEPOINTs that are set in it."""


@event.listens_for(WorkSession, "after_transaction_create")
def _set(session: Session, transaction: SessionTransaction) -> None:
    if transaction.nested and WORK in session.info:
        session.info[WORK].mark(transaction)


@event.listens_for(WorkSession, "after_soft_rollback")
def _rolled_back(session: Session, transaction: SessionTransaction) -> None:
    if transaction.nested and WORK in session.info:
        session.info[WORK].undo(transaction)


class EngineSessions:
    """The `SessionSource` of a mall."""

    def __init__(self, engine: Engine, backend: DatabaseBackend, busy_seconds: float) -> None:
        self.engine = engine
        self.backend = backend
        self._busy_seconds = busy_seconds
        self._turn = threading.Lock() if backend.serial_writes else None

    def open(self) -> Session:
        """A new session on the engine."""
        return WorkSession(self.engine, expire_on_commit=False, autoflush=False)

    def forget_parent(self) -> None:
        """In a forked child: whoever held the lock stayed with the parent."""
        self._turn = threading.Lock() if self.backend.serial_writes else None

    def begin_write(self, session: Session) -> Callable[[], None]:
        """Begin to write; within one process the database's own way of waiting is unfair and slow, so wait here."""
        turn = self._turn
        if turn is None:
            session.connection(execution_options=self.backend.write_options)
            return _nothing
        if not turn.acquire(timeout=self._busy_seconds):
            raise DatabaseBusy(seconds=self._busy_seconds)
        try:
            session.connection(execution_options=self.backend.write_options)
        except BaseException:
            turn.release()
            raise
        return turn.release


def _nothing() -> None:
    return None
