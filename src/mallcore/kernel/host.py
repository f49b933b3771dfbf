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
        self._session = session
        self._waiting: dict[SessionTransaction, list[_Waiting]] = {}
        self._committed: set[SessionTransaction] = set()
        event.listen(session, "after_commit", self._after_commit)
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

    def _current(self) -> SessionTransaction | None:
        return self._session.get_nested_transaction() or self._session.get_transaction()

    def _after_commit(self, session: Session) -> None:
        current = self._current()
        if current is not None:
            self._committed.add(current)

    def _after_end(self, session: Session, transaction: SessionTransaction) -> None:
        happened = transaction in self._committed
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

    def _outermost(self, waiting: list[_Waiting]) -> None:
        outer = _outer_connection(self._session)
        if outer is None or not waiting:
            _settle(waiting, True)
        else:
            _OuterTransaction(outer, waiting)


def _settle(waiting: list[_Waiting], happened: bool) -> None:
    for one in waiting:
        one.settle(happened)


def _outer_connection(session: Session) -> Connection | None:
    """The connection a host bound its session to, when it still is inside a transaction of the host's own."""
    bind = session.bind
    return bind if isinstance(bind, Connection) and bind.in_transaction() else None


class _OuterTransaction:
    """Waits for a transaction that was begun on the connection, outside the session.

    A connection tells of a COMMIT before it is done, so it counts only when the next thing is heard of the connection.
    """

    def __init__(self, connection: Connection, waiting: list[_Waiting]) -> None:
        self._connection = connection
        self._waiting = waiting
        self._committing = False
        self._listeners: list[tuple[Any, str, Any]] = [
            (connection, "commit", self._on_commit),
            (connection, "rollback", self._on_rollback),
            (connection, "begin", self._on_next),
            (connection.engine, "checkin", self._on_checkin),
            (connection.engine, "reset", self._on_checkin),
        ]
        self._dbapi = connection.connection.dbapi_connection
        for listener in self._listeners:
            event.listen(*listener)

    def _on_commit(self, connection: Connection) -> None:
        self._committing = True

    def _on_rollback(self, connection: Connection) -> None:
        self._decide(False)

    def _on_next(self, connection: Connection) -> None:
        self._decide(self._committing)

    def _on_checkin(self, dbapi_connection: Any, *_: Any) -> None:
        if dbapi_connection is self._dbapi:
            self._decide(self._committing)

    def _decide(self, happened: bool) -> None:
        waiting, self._waiting = self._waiting, []
        for listener in self._listeners:
            if event.contains(*listener):
                event.remove(*listener)
        _settle(waiting, happened)
