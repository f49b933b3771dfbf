"""Making a mall and keeping its database up to date: `init`, `db upgrade`, `db status`."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer

from mallcore import Mall, migrations, structure
from mallcore.adapters.cli.folder import address, prepared, write_settings
from mallcore.adapters.cli.output import Output
from mallcore.adapters.cli.session import DATABASE_VARIABLE, Cli, require_mall
from mallcore.errors import AlreadyExists, DatabaseNotReady, DatabaseTooNew
from mallcore.settings import FILE, MallSettings

DEFAULT_DATABASE: str = MallSettings.model_fields["database"].default.get_secret_value()

DatabaseOption = Annotated[
    str | None,
    typer.Option("--database", metavar="URL", help="SQLAlchemy URL. [default: a SQLite file mall.db in the folder]"),
]


def init(
    cli: Cli,
    database: DatabaseOption = None,
    objects: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Where attachments will lie. [default: a folder beside the database]"),
    ] = None,
) -> None:
    """Make a mall: write `mall.toml` in its folder, and bring its database to this version."""
    prepared(cli.folder)
    mall = founded(cli, database, objects)
    place = {"mall": str(cli.folder.resolve()), "settings": str(cli.folder / FILE)}
    cli.out.result({**place, "database": address(mall), "schema": version(mall)}, _initialised)


@contextmanager
def private_files() -> Iterator[None]:
    """What is made in the block is nobody else's to read: a mall's database holds its keys."""
    before = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(before)


def founded(
    cli: Cli, database: str | None, objects: str | None = None, *, empty: bool = False, **settings: Any
) -> Mall:
    """Bring the database up to date, then write the settings: a folder that has settings has a mall that opens."""
    url = database
    if url is None and DATABASE_VARIABLE not in os.environ:
        url = DEFAULT_DATABASE
    secret = (
        None if "MALLCORE_SECRET" in os.environ else secrets.token_urlsafe(32)
    )  # the keys are sealed from the start
    with working(cli.out, "preparing the database"), private_files():
        more = {"follow": False, "secret": secret, **settings}
        opened = Mall.open(url, folder=cli.folder, objects=objects, migrate="always", **more)
    mall = cli.use(opened)
    if empty and cli.call(structure.list_channels, limit=1).items:
        raise AlreadyExists(
            f"The database {address(mall)} has channels already, and they are left as they are: name an empty one.",
            what="mall",
            name=address(mall),
        )
    mall.keys.current("links")  # sealed from the start; those that are there must open under the secret we have
    write_settings(cli.folder, {"database": url, "objects": objects, "secret": secret})
    return mall


def _initialised(out: Output, result: dict[str, Any]) -> None:
    out.say(f"A mall in {result['mall']}")
    out.say(f"  settings  {result['settings']}")
    out.say(f"  database  {result['database']}, brought to schema {result['schema']}")
    out.note("Next: mallcore channels create books --name Books")


def upgrade(cli: Cli) -> None:
    """Bring the database to this version. Safe while an older version runs, and in many processes at once."""
    before = state(cli)["schema"]
    with working(cli.out, "upgrading the database"):
        mall = cli.open(follow=False, migrate="always")
    result = {"database": address(mall), "before": before, "schema": version(mall), "changed": version(mall) != before}
    cli.out.result(result, _upgraded)


def _upgraded(out: Output, result: dict[str, Any]) -> None:
    if result["changed"]:
        out.say(f"{result['database']}: brought from schema {result['before']} to {result['schema']}.")
    else:
        out.say(f"{result['database']}: up to date, at schema {result['schema']}.")


def status(cli: Cli) -> None:
    """Show the schema the database has and the one this version needs. Exits with 1 when it can't be used as it is."""
    found = state(cli)
    cli.out.result(
        found,
        lambda out, _: out.say(f"schema {found['schema']}, this version has {found['newest']}: {found['state']}."),
    )
    if found["state"] not in ("up to date", "newer, and usable"):
        raise typer.Exit(1)


def state(cli: Cli) -> dict[str, Any]:
    """The schema the database has, found without changing it."""
    require_mall(cli.folder)
    try:
        with Mall.open(folder=cli.folder, follow=False, migrate="never") as mall:
            found, known = version(mall), "up to date"
    except DatabaseNotReady as error:
        found = error.details.get("found", 0)
        known = "run `mallcore db upgrade`"
    except DatabaseTooNew as error:
        found, known = error.details["found"], "upgrade the mallcore package"
    if found > migrations.VERSION and known == "up to date":
        known = "newer, and usable"
    return {"schema": found, "newest": migrations.VERSION, "state": known}


def version(mall: Mall) -> int:
    """The schema of an open mall's database."""
    with mall.engine.connect() as connection:
        return migrations.state(connection)[0]


@contextmanager
def working(out: Output, what: str) -> Iterator[None]:
    """A sign of life on a terminal while nobody knows how long it takes."""
    if not out.watched:
        yield
        return
    with out.notes.status(what):
        yield
