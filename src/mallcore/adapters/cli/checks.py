"""`doctor`: is everything here that a mall needs, and does it hold? Each check that fails says the way out."""

from __future__ import annotations

import platform
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import Annotated, Any

import typer

from mallcore import Mall, migrations, structure
from mallcore.adapters.cli import databases
from mallcore.adapters.cli.findings import Finding, checkpoints, sealed, stores
from mallcore.adapters.cli.folder import address
from mallcore.adapters.cli.output import Output
from mallcore.adapters.cli.progress import bars
from mallcore.adapters.cli.session import Cli
from mallcore.errors import DatabaseNotReady, MallError

EXTRAS = {
    "asyncio": ("aiosqlite",),
    "cli": ("rich", "typer", "uvicorn"),
    "fastapi": ("fastapi", "uvicorn"),
    "flask": ("flask",),
    "postgres": ("psycopg",),
}
_MARKS = {"ok": ("ok  ", "green"), "note": ("note", "yellow"), "failed": ("FAIL", "bold red")}
_DRIFT = timedelta(seconds=5)
_PARTITIONED = (
    "SELECT p.partstrat::text, (SELECT count(*) FROM pg_inherits i WHERE i.inhparent = p.partrelid) "
    "FROM pg_partitioned_table p WHERE p.partrelid = to_regclass('mall_node')"
)


def doctor(
    cli: Cli,
    contracts: Annotated[
        bool, typer.Option("--contracts", metavar="", help="Ask every promise of each object store: takes a minute.")
    ] = False,
) -> None:
    """Check the installation, database, object stores, and every channel's history. Exits with 1 if something fails."""
    findings: list[Finding] = []
    for finding in checked(cli, contracts):
        findings.append(finding)
        if not cli.out.json:
            _show(cli.out, finding)
    failed = sum(one.state == "failed" for one in findings)
    if cli.out.json:
        cli.out.result({"ok": failed == 0, "checks": findings}, _nothing)
    else:
        cli.out.say(
            "All is well." if failed == 0 else f"{failed} checks failed.", "bold" if failed == 0 else "bold red"
        )
    if failed:
        raise typer.Exit(1)


def _nothing(out: Output, value: Any) -> None:
    return None


def _show(out: Output, finding: Finding) -> None:
    mark, style = _MARKS[finding.state]
    out.say(f"{mark}  {finding.check}: {finding.found}", style if finding.state != "ok" else "")
    if finding.way_out:
        out.say(f"      {finding.way_out}")


def checked(cli: Cli, contracts: bool = False) -> Iterator[Finding]:
    """All checks in order; those of the database need one that opens."""
    yield Finding("python", "ok", f"{platform.python_version()} on {sys.platform}")
    yield Finding("mallcore", "ok", f"{version('mallcore')}, with {', '.join(sorted(installed())) or 'no extra'}")
    try:
        mall = cli.open(follow=False, migrate="never")
    except DatabaseNotReady as error:
        reason = f"it is at schema {error.details.get('found', 0)}, and this version needs {migrations.VERSION}"
        yield Finding("database", "failed", reason, "Run `mallcore db upgrade`.")
    except MallError as error:
        yield Finding("database", "failed", str(error), _WAYS.get(error.code, ""))
    else:
        yield Finding("database", "ok", f"{address(mall)}, schema {databases.version(mall)}")
        yield from (_guarded(name, check, mall) for name, check in _CHECKS.items())
        yield from stores(mall, contracts)
        yield from _histories(cli)


_WAYS = {
    "not-found": "Run `mallcore init`, or name the folder with --mall.",
    "unavailable": "Start the database server, or correct `database` in mall.toml.",
    "missing-extra": "Install the package it names.",
    "database-read-only": "Give yourself the right to write its file and folder; see that the disk is not full.",
    "database-busy": "Another process holds the database: end it, or try again.",
    "database-too-new": "Upgrade the mallcore package.",
    "invalid-settings": "Correct mall.toml, or the MALLCORE_ variable it comes from.",
}


def installed() -> Iterator[str]:
    """The extras whose packages are all here."""
    for extra, packages in EXTRAS.items():
        if all(find_spec(package) is not None for package in packages):
            with suppress(PackageNotFoundError):
                yield extra


def _guarded(name: str, check: Callable[[Mall], Finding], mall: Mall) -> Finding:
    try:
        return check(mall)
    except Exception as error:
        known = mall.backend.translate(error)
        return Finding(name, "failed", str(known or error), _WAYS.get(known.code if known else "", ""))


def _storage(mall: Mall) -> Finding:
    """How the database keeps a mall: SQLite's journal, PostgreSQL's partitions."""
    with mall.engine.connect() as connection:
        if mall.backend.name == "sqlite":
            mode = connection.exec_driver_sql("PRAGMA journal_mode").scalar_one()
            if mode == "wal":
                return Finding("storage", "ok", "SQLite in WAL mode: readers do not wait for the writer")
            way = "Put the file on a local disk that can be written."
            return Finding("storage", "failed", f"SQLite in {mode} mode: readers wait for the writer", way)
        if mall.backend.name == "postgres":
            row = connection.exec_driver_sql(_PARTITIONED).one_or_none()
            how = {"l": "one for each channel", "h": "by hash"}.get(row[0], row[0]) if row else "none"
            return Finding("storage", "ok", f"PostgreSQL, partitions {how} ({row[1] if row else 0})")
    return Finding("storage", "ok", mall.backend.name)


def _writable(mall: Mall) -> Finding:
    """Whether a transaction that writes can begin; it is rolled back."""
    with (
        mall.engine.connect().execution_options(**mall.backend.write_options) as connection,
        connection.begin() as begun,
    ):
        connection.exec_driver_sql("UPDATE mall_schema SET version = version")
        begun.rollback()
    return Finding("writing", "ok", "the database can be written")


def _clock(mall: Mall) -> Finding:
    """This machine's clock beside the database's: schedules go by the first, and revisions' times too."""
    if mall.backend.name != "postgres":
        return Finding("clock", "ok", datetime.now(UTC).isoformat(timespec="seconds"))
    with mall.engine.connect() as connection:
        there = connection.exec_driver_sql("SELECT clock_timestamp()").scalar_one()
    apart = abs(datetime.now(UTC) - there)
    if apart > _DRIFT:
        return Finding("clock", "failed", f"{apart.total_seconds():.0f} s away from the database's", "Set both by NTP.")
    return Finding("clock", "ok", f"within {max(apart.total_seconds(), 0.01):.2f} s of the database's")


_CHECKS: dict[str, Callable[[Mall], Finding]] = {
    "storage": _storage,
    "writing": _writable,
    "clock": _clock,
    "audit log": checkpoints,
    "keys": sealed,
}


def _histories(cli: Cli) -> Iterator[Finding]:
    """The history of every channel, replayed."""
    channels = _channels(cli)
    if not channels:
        yield Finding("channels", "note", "there is none yet: mallcore channels create SLUG --name NAME")
    with bars(cli.out) as shown:
        for number, channel in enumerate(channels):
            shown.told("verifying histories", number, len(channels))
            yield _history(cli, channel)


def _channels(cli: Cli) -> list[Any]:
    found: list[Any] = []
    for removed in (False, True):
        cursor = None
        while True:
            page = cli.call(structure.list_channels, removed=removed, limit=200, cursor=cursor)
            found += page.items
            cursor = page.next
            if cursor is None:
                break
    return found


def _history(cli: Cli, channel: Any) -> Finding:
    name = f"history of {channel.slug}"
    try:
        held = cli.call(structure.verify, channel=channel.id)
    except MallError as error:
        way = "Somebody changed its rows behind the mall's back: restore the database from a backup."
        return Finding(name, "failed", str(error), way if error.code == "history-broken" else _WAYS.get(error.code, ""))
    return Finding(name, "ok", f"{held.revisions} revisions, {held.nodes:,} nodes")
