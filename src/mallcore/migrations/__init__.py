"""The schema's versions. Every migration first expands; what old code needs is dropped a release later, if ever.

``mall_schema.oldest`` in the database says from which version of the code on it can be used. So code of version n runs
on any newer database whose ``oldest`` is not above n: a rolling deployment migrates first and restarts afterwards.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Engine, inspect, text

from mallcore.errors import DatabaseNotReady, DatabaseTooNew

VERSION = 4  # of this code: the number of its newest migration


def state(connection: Connection) -> tuple[int, int]:
    """The version of the database and the oldest code that can use it; (0, 0) when there is no mall in it."""
    if not inspect(connection).has_table("mall_schema"):
        return 0, 0
    found = connection.execute(text("SELECT version, oldest FROM mall_schema")).one()
    return int(found.version), int(found.oldest)


def check(engine: Engine) -> bool:
    """Whether the database is up to date or newer; raises `DatabaseTooNew` when this code can't use it."""
    with engine.connect() as connection:
        version, oldest = state(connection)
    if oldest > VERSION:
        raise DatabaseTooNew(found=version)
    return version >= VERSION


def require(engine: Engine) -> None:
    """Raise `DatabaseNotReady` unless the database has a mall of this version or newer; ``found`` is what it has."""
    if not check(engine):
        with engine.connect() as connection:
            raise DatabaseNotReady(found=state(connection)[0], needed=VERSION)


def upgrade(engine: Engine, options: dict[str, Any] | None = None, partitions: str = "list", to: str = "head") -> int:
    """Bring the database to the newest version in one transaction; returns the one it had. Many processes may try."""
    from alembic import command
    from alembic.config import Config

    with engine.connect().execution_options(**(options or {})) as connection, connection.begin():
        if engine.dialect.name == "postgresql":
            connection.execute(text("SET LOCAL lock_timeout = 0"))  # another's upgrade may take its time
            connection.execute(text("SELECT pg_advisory_xact_lock(hashtextextended('mallcore.migrations', 0))"))
        before, oldest = state(connection)
        if oldest > VERSION:
            raise DatabaseTooNew(found=before)
        if before < VERSION or to != "head":
            config = Config()
            config.set_main_option("script_location", "mallcore:migrations")
            config.attributes.update(connection=connection, partitions=partitions)
            command.upgrade(config, to)
    return before
