"""Where benchmarks run: a SQLite file in a temporary folder, a PostgreSQL of our own (fsync on), or a given one."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url

from mallcore import Mall
from mallcore.testing.servers import Databases, PostgresServer


class Place:
    """A database server (or a folder) that gives out empty databases."""

    def __init__(self, name: str, stack: ExitStack, server: Databases | None) -> None:
        self.name = name
        self._stack = stack
        self._server = server
        self._folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mallcore-bench-")))
        self._count = 0

    @property
    def is_postgres(self) -> bool:
        return self._server is not None

    def url(self) -> str:
        """The URL of a new, empty database."""
        self._count += 1
        if self._server is not None:
            return self._server.create_database()
        return f"sqlite:///{self._folder / f'{self._count}.db'}"

    def mall(self, **settings: object) -> Mall:
        """A mall on a new database, closed at the end."""
        return self.opened(self.url(), **settings)

    def opened(self, url: str, **settings: object) -> Mall:
        """A mall on this database, closed at the end."""
        return self._stack.enter_context(Mall.open(url, migrate="always", **settings))


@contextmanager
def place(database: str) -> Iterator[Place]:
    """``sqlite``, ``postgres`` (a server of our own, with fsync), or the URL of a PostgreSQL that runs."""
    with ExitStack() as stack:
        if database == "sqlite":
            yield Place("SQLite", stack, None)
        else:
            server = PostgresServer() if database == "postgres" else Databases(_dsn(database))
            found = stack.enter_context(server)
            yield Place(f"PostgreSQL {_version(found)}", stack, found)


def _dsn(database: str) -> str:
    return make_url(database).set(drivername="postgresql").render_as_string(hide_password=False)


def _version(server: Databases) -> str:
    engine = create_engine(server.url("postgres"))
    try:
        with engine.connect() as connection:
            return str(connection.execute(text("SHOW server_version")).scalar_one()).split()[0]
    finally:
        engine.dispose()
