"""Following a host's transactions: SAVEPOINTs, the outermost commit, a connection the host began before its session.

SQLAlchemy's ``after_commit`` also fires for a SAVEPOINT, and a session that is closed without commit fires no rollback
event. So a transaction counts as committed only when ``after_commit`` fired for it, and what waits on it moves to its
parent until there is none.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from sqlalchemy import Connection, event
from sqlalchemy.orm import Session, SessionTransaction

Callback = Callable[[], None]
_KEY = "mallcore.host"


class _Waiting(NamedTuple):
    committed: list[Callback]
    rolled_back: list[Callback]

    def settle(self, happened: bool) -> None:
        for callback in self.committed if happened else self.rolled_back:
            callback()


class HostTransactions:
    """What waits on the transactions of one host session."""

    def __init__(self, session: Session) -> None:
        self.local: dict[Any, Any] = {}
        self.works: list[Any] = []
        """Units of work that are under way in this session: a SAVEPOINT inside one is no end of it."""
        self.writing = False
        """Whether a unit of work of ours wrote in the outermost transaction that is open."""
        self._session = session
        self._waiting: dict[SessionTransaction, list[_Waiting]] = {}
        self._committed: set[SessionTransaction] = set()
        self._ending: list[Callback] = []
        event.listen(session, "after_commit", self._after_commit)
        event.listen(session, "after_transaction_create", self._after_create)
        event.listen(session, "after_transaction_end", self._after_end)

    @classmethod
    def of(cls, session: Session) -> HostTransactions:
        """The one follower of this session."""
        follower = session.info.get(_KEY)
        if follower is None:
            follower = session.info[_KEY] = cls(session)
        return follower

    def follow(self, committed: list[Callback], rolled_back: list[Callback]) -> None:
        """Call one of the two lists when the transaction that is open now, and all around it, is decided."""
        waiting = _Waiting(list(committed), list(rolled_back))
        current = self._current()
        if current is None:
            waiting.settle(True)
        else:
            self._waiting.setdefault(current, []).append(waiting)

    def at_end(self, callback: Callback) -> None:
        """Call this when the outermost transaction is over and holds no lock any more, however it ended."""
        self._ending.append(callback)
        if self._current() is None:
            self._end()

    def _end(self) -> None:
        ending, self._ending = self._ending, []
        outer = _outer_connection(self._session)
        if outer is not None and ending:
            _OuterTransaction.of(outer).at_end(ending)
        else:
            _call_all(ending)

    def _current(self) -> SessionTransaction | None:
        return self._session.get_nested_transaction() or self._session.get_transaction()

    def _after_commit(self, session: Session) -> None:
        current = self._current()
        if current is not None:
            self._committed.add(current)

    def _after_create(self, session: Session, transaction: SessionTransaction) -> None:
        if transaction.nested:
            for work in self.works:
                work.mark(transaction)

    def _after_end(self, session: Session, transaction: SessionTransaction) -> None:
        happened = transaction in self._committed
        for work in list(self.works):
            work.release(transaction) if happened else work.undo(transaction)
        self._committed.discard(transaction)
        waiting = self._waiting.pop(transaction, [])
        parent = transaction.parent
        if not happened:
            _settle(waiting, False)
        elif parent is not None:
            self._waiting.setdefault(parent, []).extend(waiting)
        else:
            self._outermost(waiting)
        if parent is None:
            self.local.clear()
            self.writing = False
            self._end()

    def _outermost(self, waiting: list[_Waiting]) -> None:
        outer = _outer_connection(self._session)
        if outer is None or not waiting:
            _settle(waiting, True)
        else:
            _OuterTransaction.of(outer).wait(outer, waiting)


def _settle(waiting: list[_Waiting], happened: bool) -> None:
    for one in waiting:
        one.settle(happened)


def _call_all(callbacks: list[Callback]) -> None:
    for callback in callbacks:
        callback()


def _outer_connection(session: Session) -> Connection | None:
    """The connection a host bound its session to, when it still is inside a transaction of the host's own."""
    bind = session.bind
    return bind if isinstance(bind, Connection) and bind.in_transaction() else None


class _OuterTransaction:
    """Waits for transactions that a host begins on a connection, outside its sessions.

    A connection tells of a COMMIT before it is done, so it counts only when the next thing is heard of the connection.
    Listeners stay for the life of the connection: SQLAlchemy lets none go while it calls them.
    """

    def __init__(self) -> None:
        self._waiting: list[tuple[list[_Waiting], int]] = []
        """With each: the number of the innermost SAVEPOINT around it; of later ones a rollback does not reach it."""
        self._ending: list[Callback] = []
        self._committing = False

    @classmethod
    def of(cls, connection: Connection) -> _OuterTransaction:
        """The one that follows this connection, until it goes back to its pool."""
        found: _OuterTransaction | None = connection.info.get(_KEY)
        if found is None:
            found = connection.info[_KEY] = cls()
            for name in ("commit", "rollback", "begin", "rollback_savepoint"):
                event.listen(connection, name, getattr(found, f"_on_{name}"))
            if not event.contains(connection.engine, "checkin", _checked_in):
                event.listen(connection.engine, "checkin", _checked_in)
        return found

    def wait(self, connection: Connection, waiting: list[_Waiting]) -> None:
        """Settle these when the transaction that is open now is decided."""
        nested = connection.get_nested_transaction()
        # Events tell of a SAVEPOINT that is set without its name, so it is read where SQLAlchemy keeps it.
        self._waiting.append((waiting, 0 if nested is None else _number(nested._savepoint)))

    def at_end(self, callbacks: list[Callback]) -> None:
        """Call these when the transaction is over."""
        self._ending.extend(callbacks)

    def decide(self) -> None:
        """The connection's last word was heard."""
        self._settle(self._committing)
        ending, self._ending = self._ending, []
        _call_all(ending)

    def _on_commit(self, connection: Connection) -> None:
        self._committing = True

    def _on_rollback(self, connection: Connection) -> None:
        self._settle(False)

    def _on_begin(self, connection: Connection) -> None:
        self.decide()

    def _on_rollback_savepoint(self, connection: Connection, name: str, context: None) -> None:
        undone = [waiting for waiting, around in self._waiting if _number(name) <= around]
        self._waiting = [(waiting, around) for waiting, around in self._waiting if _number(name) > around]
        for waiting in undone:
            _settle(waiting, False)

    def _settle(self, happened: bool) -> None:
        waiting, self._waiting = self._waiting, []
        self._committing = False
        for one, _ in waiting:
            _settle(one, happened)


def _number(savepoint: str) -> int:
    """SQLAlchemy numbers the SAVEPOINTs of a connection as it sets them."""
    return int(savepoint.rpartition("_")[2])


def _checked_in(dbapi_connection: Any, record: Any) -> None:
    follower = record.info.pop(_KEY, None)
    if follower is not None:
        follower.decide()
