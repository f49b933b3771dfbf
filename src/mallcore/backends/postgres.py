"""PostgreSQL: a partition for each channel, COPY for bulk, LISTEN/NOTIFY as the bus."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import Any, ClassVar

from sqlalchemy import Connection, Engine, Text, any_, bindparam, event, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.exc import DataError, DBAPIError

from mallcore.errors import DatabaseBusy, DatabaseNotReady, DatabaseReadOnly, InvalidInput, MallError, Unavailable
from mallcore.kernel.hooks import hookimpl
from mallcore.kernel.ports import DatabaseBackend

_CHANNEL = "mallcore"
_WAIT_SECONDS = 0.5
_MISSED_SECONDS = 5.0  # a bus that went silent without an error, behind a pooler say, costs no more than this
_NOTIFY = text("SELECT pg_notify(:channel, :payload)")


class Postgres:
    """The `DatabaseBackend` of PostgreSQL, over psycopg 3."""

    name: ClassVar[str] = "postgres"
    write_options: ClassVar[dict[str, Any]] = {}
    announcement: ClassVar[str | None] = _CHANNEL
    serial_writes: ClassVar[bool] = False

    def __init__(self, busy_seconds: float = 10.0) -> None:
        self._busy_seconds = busy_seconds

    def prepare(self, engine: Engine) -> None:
        """Have statements wait for a lock no longer than the settings say; all else is set up by the server's owner."""
        wait = f"SET lock_timeout = {int(self._busy_seconds * 1000)}"

        @event.listens_for(engine, "connect")
        def configure(connection: Any, _: Any) -> None:
            with connection.cursor() as cursor:
                cursor.execute(wait)
            connection.commit()

    def join(self, connection: Connection) -> None:
        """Nothing to do: the driver began the transaction with the first statement."""

    def translate(self, error: Exception) -> MallError | None:
        """The mall's word for a driver's error, by its SQLSTATE."""
        if not isinstance(error, DBAPIError):
            return None
        if isinstance(error, DataError):
            return InvalidInput(field="input", reason="it holds a value that the database can't")
        state = getattr(error.orig, "sqlstate", None) or ""
        if state in {"55P03", "40P01", "40001", "57014"}:
            return DatabaseBusy(seconds=self._busy_seconds)
        if state == "25006":
            return DatabaseReadOnly()
        if state in {"42P01", "42703"}:
            return DatabaseNotReady()
        if error.connection_invalidated or state[:2] in {"08", "57", "53"} or not state:
            return Unavailable("The database can't be reached, or gave up the connection: nothing was changed.")
        return None

    def create_partitions(self, connection: Connection, tables: Iterable[str], channel_id: str) -> None:
        """A partition of each table, made beside it and then attached: readers and writers of others are not held up.

        Where the table is partitioned by hash there is nothing to make. The id is one of ours, so it can stand in DDL.
        """
        for table in tables:
            if _strategy(connection, table) != "l":
                continue
            name = f"{table}_{channel_id}"
            connection.execute(text(f"CREATE TABLE {name} (LIKE {table} INCLUDING DEFAULTS INCLUDING CONSTRAINTS)"))
            connection.execute(text(f"ALTER TABLE {table} ATTACH PARTITION {name} FOR VALUES IN ('{channel_id}')"))

    def bulk_insert(self, connection: Connection, table: Any, rows: list[tuple[Any, ...]]) -> None:
        """COPY, the fastest way in."""
        names = ", ".join(f'"{column.name}"' for column in table.c)
        cursor: Any = connection.connection.cursor()
        with cursor.copy(f"COPY {table.name} ({names}) FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)

    def among(self, column: Any, values: list[str]) -> Any:
        """One array parameter."""
        return column == any_(bindparam(None, values, type_=ARRAY(Text)))

    def announce(self, connection: Connection, payload: str) -> None:
        """NOTIFY: delivered when, and only when, this transaction commits."""
        connection.execute(_NOTIFY, {"channel": _CHANNEL, "payload": payload})

    def listen(self, engine: Engine, heard: Callable[[str | None], None], stop: threading.Event) -> None:
        """Hear notifications on a connection of our own; look for ourselves at the start, and now and then."""
        with engine.connect() as connection:
            driver: Any = connection.connection.driver_connection
            connection.detach()  # it holds LISTEN: it must not go back into the pool
            driver.rollback()
            driver.autocommit = True
            driver.execute(f"LISTEN {_CHANNEL}")
            quiet = _MISSED_SECONDS
            while not stop.is_set():
                if quiet >= _MISSED_SECONDS:
                    heard(None)
                    quiet = 0.0
                for notification in driver.notifies(timeout=_WAIT_SECONDS):
                    heard(notification.payload)
                    if stop.is_set():
                        return
                quiet += _WAIT_SECONDS


def _strategy(connection: Connection, table: str) -> str | None:
    query = text("SELECT partstrat::text FROM pg_partitioned_table WHERE partrelid = to_regclass(:table)")
    strategy: str | None = connection.execute(query, {"table": table}).scalar_one_or_none()
    return strategy


@hookimpl
def database_backend(engine: Engine, busy_seconds: float) -> DatabaseBackend | None:
    """Serve engines of the PostgreSQL dialect."""
    return Postgres(busy_seconds) if engine.dialect.name == "postgresql" else None
