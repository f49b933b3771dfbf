"""The schema: made from nothing, equal to what the code declares, usable by older code, refused when too new."""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Iterator
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, Engine, NullPool, create_engine, inspect, text

from mallcore import Mall, Principal, migrations, structure
from mallcore.errors import DatabaseNotReady, DatabaseTooNew
from mallcore.kernel.tables import metadata
from mallcore.migrations import versions
from tests.proofs.workers import Workers

ME = Principal.system("test")
NUMBERS = sorted(int(found.name[1:5]) for found in pkgutil.iter_modules(versions.__path__))
OWN = {"mall_alembic", "mall_schema"}  # tables of the migrations themselves


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """The database without a mall, as a host would see it."""
    made = create_engine(database_url, poolclass=NullPool)
    yield made
    made.dispose()


def _set(engine: Engine, version: int, oldest: int) -> None:
    with engine.begin() as connection:
        values = {"version": version, "oldest": oldest}
        connection.execute(text("UPDATE mall_schema SET version = :version, oldest = :oldest"), values)


def _story(url: str) -> None:
    """What code of this version does with a mall, from creating to undoing."""
    with Mall.open(url, migrate="always") as mall, mall.begin(ME) as ctx:
        channel = structure.create_channel(ctx, slug="books", name="Books")
        structure.create_category(ctx, channel="books", name="Fiction", idempotency_key="one")
        draft = structure.open_draft(ctx, channel="books", name="Draft").id
        structure.edit_draft(ctx, draft=draft, edits=[{"op": "create", "name": "Crime"}])  # type: ignore[list-item]
        structure.publish_draft(ctx, draft=draft)
        structure.create_snapshot(ctx, name="now", channels=["books"])
        structure.rollback(ctx, channel="books", to=0)
        structure.remove_channel(ctx, channel=channel.id)
        structure.restore_channel(ctx, channel=channel.id)
        assert structure.verify(ctx, channel="books").revisions == 3


def test_a_mall_is_made_from_nothing(database_url: str, engine: Engine) -> None:
    """An empty database becomes a mall of this version, and a second upgrade finds nothing to do."""
    with Mall.open(database_url, migrate="always") as mall:
        assert mall.upgrade() == migrations.VERSION
        with engine.connect() as connection:
            assert migrations.state(connection)[0] == migrations.VERSION
    _story(database_url)


def test_a_mall_that_is_not_there_is_said_to_be_missing(database_url: str) -> None:
    """Who opens an empty database without upgrading it is told so, and nothing is made."""
    with pytest.raises(DatabaseNotReady) as refused:
        Mall.open(database_url, migrate="never")
    assert refused.value.details == {"found": 0, "needed": migrations.VERSION}


def test_four_processes_open_a_new_mall_at_once(database_url: str, workers: Workers) -> None:
    """The first open may happen in many processes at one moment: all succeed, and they share one mall."""
    units = workers.at_once("opening", [{"url": database_url}] * 4)
    assert units == [units[0]] * 4


@pytest.mark.parametrize("partitions", ["list", "hash"])
def test_the_database_is_what_the_code_declares(database_url: str, engine: Engine, partitions: str) -> None:
    """Alembic finds no difference between the migrated database and the tables in the code."""
    with Mall.open(database_url, migrate="always", partitions=partitions) as mall, mall.begin(ME) as ctx:
        structure.create_channel(ctx, slug="books", name="Books")
    with engine.connect() as connection:
        children = _children(connection)
        assert (len(children) > 2) == (connection.dialect.name == "postgresql" and partitions == "hash")

        def ours(found: Any, name: str | None, kind: str, reflected: bool, other: Any) -> bool:
            table = name if kind == "table" else found.table.name
            return table not in OWN | children

        options = {"include_object": ours, "compare_type": True, "compare_server_default": True}
        assert compare_metadata(MigrationContext.configure(connection, opts=options), metadata) == []


def _children(connection: Connection) -> set[str]:
    """The tables that are partitions of others."""
    if connection.dialect.name != "postgresql":
        return set()
    return set(
        connection.execute(text("SELECT relname FROM pg_class WHERE relispartition AND relkind = 'r'")).scalars()
    )


def test_code_uses_a_newer_database_that_allows_it(database_url: str, engine: Engine) -> None:
    """A database one version ahead, expanded in ways a migration may, is used by this code without a difference."""
    Mall.open(database_url, migrate="always").close()
    with engine.begin() as connection:
        for statement in EXPANSIONS:
            connection.execute(text(statement))
    _set(engine, migrations.VERSION + 1, migrations.VERSION)
    _story(database_url)
    with Mall.open(database_url, migrate="always"), engine.connect() as connection:
        assert migrations.state(connection) == (migrations.VERSION + 1, migrations.VERSION)


@pytest.mark.parametrize("migrate", ["always", "never"])
def test_code_refuses_a_database_that_is_too_new(database_url: str, engine: Engine, migrate: str) -> None:
    """A database that old code can't use is refused by name of its version, and left as it is."""
    Mall.open(database_url, migrate="always").close()
    _set(engine, migrations.VERSION + 2, migrations.VERSION + 1)
    with pytest.raises(DatabaseTooNew) as refused:
        Mall.open(database_url, migrate=migrate)
    assert refused.value.details["found"] == migrations.VERSION + 2
    with engine.connect() as connection:
        assert migrations.state(connection) == (migrations.VERSION + 2, migrations.VERSION + 1)


def test_migrations_are_numbered() -> None:
    """Every migration is named by its number, follows the one before, and the newest is the code's version."""
    modules = [found.name for found in pkgutil.iter_modules(versions.__path__)]
    assert [name for name in modules if not re.fullmatch(r"v\d{4}_[a-z0-9_]+", name)] == []
    assert list(range(1, migrations.VERSION + 1)) == NUMBERS
    for name in sorted(modules):
        number = int(name[1:5])
        module = importlib.import_module(f"{versions.__name__}.{name}")
        assert module.revision == f"{number:04d}"
        assert module.down_revision == (f"{number - 1:04d}" if number > 1 else None)


# What old code needs of a database: its tables and columns as it knows them, and that the rows it writes are accepted.


def _shape(connection: Connection) -> dict[str, dict[str, Any]]:
    """Columns, and what refuses rows, of every table that is no partition."""
    look = inspect(connection)
    return {
        table: {
            "columns": {
                column["name"]: (str(column["type"]), column["nullable"], column["default"] is not None)
                for column in look.get_columns(table)
            },
            "refusals": _refusals(look, table),
        }
        for table in set(look.get_table_names()) - _children(connection)
    }


def _refusals(look: Any, table: str) -> set[str]:
    unique = {("unique", *one["column_names"]) for one in look.get_unique_constraints(table)}
    unique |= {("unique", *one["column_names"]) for one in look.get_indexes(table) if one["unique"]}
    foreign = {("foreign", *one["constrained_columns"], one["referred_table"]) for one in look.get_foreign_keys(table)}
    checks = {("check", one["sqltext"]) for one in look.get_check_constraints(table)}
    key = {("key", *look.get_pk_constraint(table)["constrained_columns"])}
    return {repr(one) for one in unique | foreign | checks | key}


def contractions(before: dict[str, dict[str, Any]], after: dict[str, dict[str, Any]]) -> list[str]:
    """How one schema is narrower than the one before: what would break code that knows only that."""
    found = [f"{table} is gone" for table in before.keys() - after.keys()]
    for table in before.keys() & after.keys():
        old, new = before[table]["columns"], after[table]["columns"]
        found += [f"{table}.{name} is gone" for name in old.keys() - new.keys()]
        found += [f"{table}.{name} is another" for name in old.keys() & new.keys() if _narrower(old[name], new[name])]
        needed = {name for name in new.keys() - old.keys() if not (new[name][1] or new[name][2])}
        found += [f"{table}.{name} must be given" for name in needed]
        found += [f"{table} refuses more: {one}" for one in after[table]["refusals"] - before[table]["refusals"]]
    return sorted(found)


def _narrower(old: tuple[str, bool, bool], new: tuple[str, bool, bool]) -> bool:
    """A longer string is no other type; a column that may be left out or empty must stay so."""
    lengths = [re.fullmatch(r"VARCHAR\((\d+)\)", kind) for kind in (old[0], new[0])]
    same = old[0] == new[0]
    if lengths[0] and lengths[1]:
        same = int(lengths[0][1]) <= int(lengths[1][1])
    return not same or (old[1] and not new[1]) or (old[2] and not new[2] and not new[1])


EXPANSIONS = (
    "ALTER TABLE mall_draft ADD COLUMN reviewer VARCHAR(200)",
    "ALTER TABLE mall_channel ADD COLUMN theme VARCHAR(20) NOT NULL DEFAULT 'plain'",
    "ALTER TABLE mall_node ADD COLUMN image VARCHAR(200)",
    "CREATE TABLE mall_note (id VARCHAR(40) PRIMARY KEY, channel_id VARCHAR(40) NOT NULL REFERENCES mall_channel (id))",
    "CREATE INDEX ix_draft_author ON mall_draft (author)",
)
CONTRACTIONS = {
    "DROP TABLE mall_snapshot_head": "mall_snapshot_head is gone",
    "ALTER TABLE mall_snapshot RENAME TO mall_named": "mall_snapshot is gone",
    "ALTER TABLE mall_draft DROP COLUMN edits": "mall_draft.edits is gone",
    "ALTER TABLE mall_draft RENAME COLUMN state TO condition": "mall_draft.state is gone",
    "CREATE UNIQUE INDEX uq_draft_name ON mall_draft (name)": "mall_draft refuses more: ('unique', 'name')",
}


def test_every_migration_only_expands(database_url: str, engine: Engine) -> None:
    """From the second on, a migration takes nothing away from the code before it (today there is only the first)."""
    with Mall.open(database_url, migrate="always") as mall:
        options = mall.backend.write_options
    for table in ("mall_alembic", *reversed(metadata.sorted_tables), "mall_schema"):
        with engine.begin() as connection:
            connection.execute(text(f"DROP TABLE {table}"))
    migrations.upgrade(engine, options, to="0001")
    narrowed: dict[int, list[str]] = {}
    for number in NUMBERS[1:]:
        with engine.connect() as connection:
            before = _shape(connection)
        migrations.upgrade(engine, options, to=f"{number:04d}")
        with engine.connect() as connection:
            assert migrations.state(connection)[0] == number
            narrowed[number] = contractions(before, _shape(connection))
    assert {number: found for number, found in narrowed.items() if found} == {}
    assert len(narrowed) == migrations.VERSION - 1


def test_expanding_is_told_from_contracting(database_url: str, engine: Engine) -> None:
    """The rule itself: new tables, indexes and columns that may be left out pass; what is lost or refused does not."""
    Mall.open(database_url, migrate="always").close()
    with engine.connect() as connection:
        first = _shape(connection)
    with engine.begin() as connection:
        for statement in EXPANSIONS:
            connection.execute(text(statement))
        assert contractions(first, _shape(connection)) == []
    for statement, told in CONTRACTIONS.items():
        with engine.connect() as connection:
            connection.execute(text(statement))
            assert told in contractions(first, _shape(connection))
            connection.rollback()


@pytest.mark.postgres
def test_narrowed_columns_are_told(postgres_url: str) -> None:
    """The rule itself, where a column can be altered: another type, a shorter one, or one that must be given."""
    Mall.open(postgres_url, migrate="always").close()
    engine = create_engine(postgres_url, poolclass=NullPool)
    with engine.connect() as connection:
        first = _shape(connection)
        for change, told in {
            "name TYPE VARCHAR(300)": [],
            "name TYPE VARCHAR(100)": ["mall_draft.name is another"],
            "base TYPE INTEGER": ["mall_draft.base is another"],
            "revision SET NOT NULL": ["mall_draft.revision is another"],
        }.items():
            connection.execute(text(f"ALTER TABLE mall_draft ALTER COLUMN {change}"))
            assert contractions(first, _shape(connection)) == told
            connection.rollback()
        connection.execute(text("ALTER TABLE mall_draft ADD COLUMN reviewer VARCHAR(200) NOT NULL"))
        assert contractions(first, _shape(connection)) == ["mall_draft.reviewer must be given"]
