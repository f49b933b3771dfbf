"""`doctor`: what it checks, what it finds wrong, and the way out of each."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from mallcore import migrations
from mallcore.adapters.cli import checks
from tests.cli.typing_in import Typed, type_in

Cli = Callable[..., Typed]


def findings(done: Typed) -> dict[str, Any]:
    import json

    return {one["check"]: one for one in json.loads(done.stdout)["checks"]}


def test_a_mall_that_is_well(books: Cli) -> None:
    """Exit code 0; versions, database, storage, clock and the history of each channel."""
    done = books("doctor", "--json")
    assert done.json["ok"] is True
    assert list(findings(done)) == [
        "python", "mallcore", "database", "storage", "writing", "clock", "audit log", "keys", "store main",
        "history of books",
    ]  # fmt: skip
    shown = books("doctor")
    assert shown.out.endswith("All is well.\n")
    assert "WAL" in shown.out


def test_object_stores_are_tried(books: Cli, folder: Path) -> None:
    """A store that can't be written is named, with the way out; `--contracts` asks it every promise."""
    assert "contract" in findings(books("doctor", "--contracts", "--json"))["store main"]["found"]
    assert list((folder / "objects").rglob("check-*")) == []
    with (folder / "mall.toml").open("a", encoding="utf-8") as settings:
        settings.write('stores = {broken = "file:/dev/null/objects"}\n')
    done = books("doctor", "--json")
    assert (done.code, findings(done)["store broken"]["state"]) == (1, "failed")
    assert findings(done)["store main"]["state"] == "ok"


def test_removed_channels_are_checked_too(books: Cli) -> None:
    """Their history is kept, so it must hold."""
    books("channels", "remove", "books")
    assert findings(books("doctor", "--json"))["history of books"]["state"] == "ok"


def test_an_empty_mall_is_told_what_comes_next(cli: Cli) -> None:
    """A note is no failure."""
    done = cli("doctor", "--json")
    assert findings(done)["channels"]["state"] == "note"
    assert done.code == 0


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE mall_revision SET message = 'forged' WHERE number = 2",
        "UPDATE mall_node SET name = 'forged' WHERE slug = 'crime'",
        "DELETE FROM mall_revision WHERE number = 1",
    ],
)
def test_a_history_that_was_tampered_with_is_found(books: Cli, folder: Path, statement: str) -> None:
    """A message, a name, a whole revision: the channel is named, and what to do."""
    with closing(sqlite3.connect(folder / "mall.db")) as connection, connection:
        connection.execute(statement)
    done = books("doctor", "--json")
    found = findings(done)["history of books"]
    assert (done.code, found["state"]) == (1, "failed")
    assert "backup" in found["way_out"]
    assert books("structure", "verify", "--json").error["code"] == "history-broken"
    assert "FAIL  history of books" in books("doctor").out


def test_no_mall_is_a_failure_with_a_way_out(tmp_path: Path) -> None:
    """Versions are told all the same."""
    done = type_in("doctor", "--mall", str(tmp_path), "--json")
    found = findings(done)
    assert (done.code, found["database"]["state"], found["python"]["state"]) == (1, "failed", "ok")
    assert "mallcore init" in found["database"]["way_out"]


def test_a_server_that_is_away_is_a_failure_with_a_way_out(folder: Path, cli: Cli) -> None:
    """Nothing answers at the URL."""
    (folder / "mall.toml").write_text('database = "postgresql://127.0.0.1:1/mall"')
    found = findings(cli("doctor", "--json"))["database"]
    assert found["state"] == "failed"
    assert "Start the database server" in found["way_out"]


def test_a_journal_that_blocks_readers_is_a_failure(folder: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """A SQLite file that did not take WAL mode is named."""
    monkeypatch.setattr(
        "mallcore.backends.sqlite._use_wal", lambda cursor: cursor.execute("PRAGMA journal_mode=DELETE")
    )
    found = findings(cli("doctor", "--json"))["storage"]
    assert found["state"] == "failed"
    assert found["way_out"]


def test_a_check_that_breaks_is_a_failure(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """One check's error does not end the others."""

    def broken(mall: object) -> checks.Finding:
        raise ValueError("no clock here")

    monkeypatch.setitem(checks._CHECKS, "clock", broken)
    done = cli("doctor", "--json")
    assert findings(done)["clock"] == {"check": "clock", "state": "failed", "found": "no clock here", "way_out": ""}
    assert "channels" in findings(done)


@pytest.mark.postgres
def test_postgres_from_nothing_to_well(postgres_url: str, tmp_path: Path) -> None:
    """Not migrated: everything says `db upgrade`, and nothing is made; then it is well, with its partitions counted."""
    (tmp_path / "mall.toml").write_text(f'database = "{postgres_url}"')
    here = ["--mall", str(tmp_path)]
    assert type_in("channels", "list", *here, "--json").error["code"] == "database-not-ready"
    assert "mallcore db upgrade" in findings(type_in("doctor", *here, "--json"))["database"]["way_out"]
    assert type_in("db", "upgrade", *here).out.endswith(f"brought from schema 0 to {migrations.VERSION}.\n")
    assert type_in("channels", "create", "books", "--name", "Books", *here).code == 0
    done = type_in("doctor", *here, "--json")
    assert "one for each channel (1)" in findings(done)["storage"]["found"]
    assert done.json["ok"] is True


@pytest.mark.postgres
def test_init_brings_postgres_up_to_date(postgres_url: str, tmp_path: Path) -> None:
    """And says so."""
    done = type_in("init", "--database", postgres_url, "--mall", str(tmp_path))
    assert f"brought to schema {migrations.VERSION}" in done.out
    assert type_in("db", "status", "--mall", str(tmp_path), "--json").json["state"] == "up to date"
