"""SQLite: one file, many processes. WAL, foreign keys, and transactions that mean to write say so when they begin."""

from __future__ import annotations

import json
import os
import sqlite3
import threading
from collections.abc import Callable, Iterable
from typing import Any, ClassVar

from sqlalchemy import Connection, Engine, bindparam, event, func, select
from sqlalchemy.exc import DBAPIError

from mallcore.errors import DatabaseBusy, DatabaseNotReady, DatabaseReadOnly, MallError, Unavailable
from mallcore.kernel.hooks import hookimpl
from mallcore.kernel.ports import DatabaseBackend

_LOOK_SECONDS = 0.05


class _Fork:
    """SQLite has locks of its own in memory; a child forked while our thread holds one would wait for it for ever."""

    def __init__(self) -> None:
        self.held = threading.RLock()

    def before(self) -> None:
        self.held.acquire()

    def in_parent(self) -> None:
        self.held.release()

    def in_child(self) -> None:
        self.held = threading.RLock()


_fork = _Fork()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_fork.before, after_in_parent=_fork.in_parent, after_in_child=_fork.in_child)


class Sqlite:
    """The `DatabaseBackend` of SQLite."""

    name: ClassVar[str] = "sqlite"
    write_options: ClassVar[dict[str, Any]] = {"mallcore_begin": "IMMEDIATE"}
    announcement: ClassVar[str | None] = None
    serial_writes: ClassVar[bool] = True

    def __init__(self, busy_seconds: float = 10.0) -> None:
        self._busy_seconds = busy_seconds

    def prepare(self, engine: Engine) -> None:
        """Begin transactions ourselves: the driver's own way breaks SAVEPOINTs and can't begin to write at once."""
        busy = int(self._busy_seconds * 1000)

        @event.listens_for(engine, "connect")
        def configure(connection: Any, _: Any) -> None:
            connection.isolation_level = None
            cursor = connection.cursor()
            try:
                for pragma in (f"busy_timeout={busy}", "foreign_keys=ON", "synchronous=NORMAL", "cache_size=-16000"):
                    cursor.execute(f"PRAGMA {pragma}")
                _use_wal(cursor)
            finally:
                cursor.close()

        @event.listens_for(engine, "begin")
        def begin(connection: Connection) -> None:
            mode = connection.get_execution_options().get("mallcore_begin", "DEFERRED")
            connection.exec_driver_sql(f"BEGIN {mode}")

    def join(self, connection: Connection) -> None:
        """Begin, where the driver did not: it does so before a change only, and a SAVEPOINT is none.

        Without this, our RELEASE would end the host's transaction, and its rollback would come too late.
        """
        if not connection.connection.driver_connection.in_transaction:  # type: ignore[union-attr]
            connection.exec_driver_sql("BEGIN IMMEDIATE")

    def translate(self, error: Exception) -> MallError | None:
        """The mall's word for a driver's error."""
        if not isinstance(error, DBAPIError):
            return None
        text = str(error.orig)
        if "locked" in text or "busy" in text:
            return DatabaseBusy(seconds=self._busy_seconds)
        if "readonly" in text or "disk is full" in text or "unable to open" in text or "disk I/O" in text:
            return DatabaseReadOnly(f"The database can't be written ({text}): nothing was changed.")
        if "not a database" in text or "malformed" in text:
            return Unavailable(f"The file is no SQLite database, or a damaged one ({text}): restore it from a copy.")
        return DatabaseNotReady() if "no such table" in text else None

    def create_partitions(self, connection: Connection, tables: Iterable[str], channel_id: str) -> None:
        """SQLite has no partitions and needs none."""

    def bulk_insert(self, connection: Connection, table: Any, rows: list[tuple[Any, ...]]) -> None:
        """One prepared statement, run by the driver for all rows."""
        marks = ", ".join("?" * len(table.c))
        names = ", ".join(f'"{column.name}"' for column in table.c)
        connection.exec_driver_sql(f"INSERT INTO {table.name} ({names}) VALUES ({marks})", rows)

    def among(self, column: Any, values: list[str]) -> Any:
        """All values as one JSON parameter: SQLite bounds the number of parameters."""
        each = func.json_each(bindparam(None, json.dumps(values))).table_valued("value")
        return column.in_(select(each.c.value))

    def announce(self, connection: Connection, payload: str) -> None:
        """Nothing to do: other processes see that the file changed."""

    def listen(self, engine: Engine, heard: Callable[[str | None], None], stop: threading.Event) -> None:
        """Watch the file's change counter, which costs microseconds to read."""
        with _fork.held:
            connection = engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        try:
            cursor = connection.connection.cursor()
            seen = None
            while not stop.is_set():
                with _fork.held:
                    current = cursor.execute("PRAGMA data_version").fetchone()
                    if current != seen:
                        seen = current
                        heard(None)
                stop.wait(_LOOK_SECONDS)
        finally:
            with _fork.held:
                connection.close()


def _use_wal(cursor: Any) -> None:
    """Readers and a writer side by side; a file that can't be written keeps the mode it has."""
    try:
        cursor.execute("PRAGMA journal_mode=WAL")
    except sqlite3.OperationalError:
        return


@hookimpl
def database_backend(engine: Engine, busy_seconds: float) -> DatabaseBackend | None:
    """Serve engines of the SQLite dialect."""
    return Sqlite(busy_seconds) if engine.dialect.name == "sqlite" else None
