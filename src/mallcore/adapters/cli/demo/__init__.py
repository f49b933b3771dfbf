"""`demo`: a mall of our own in a new folder, a walk through what can be done with it, and its API to try."""

from __future__ import annotations

import secrets
import shlex
import tempfile
import time
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from mallcore import Mall
from mallcore.adapters.cli import serving
from mallcore.adapters.cli.databases import DEFAULT_DATABASE, DatabaseOption, founded
from mallcore.adapters.cli.demo import changes, history, partners, pictures
from mallcore.adapters.cli.demo.stage import Stage, duration
from mallcore.adapters.cli.files import contents
from mallcore.adapters.cli.folder import prepared
from mallcore.adapters.cli.serving import Door
from mallcore.adapters.cli.session import Cli
from mallcore.errors import Unavailable

_OURS = "mall.json"


def demo(
    cli: Cli,
    dir: Annotated[
        str | None, typer.Option(metavar="DIR", help="Where to make the mall. [default: a new temporary folder]")
    ] = None,
    taxonomy: Annotated[
        str | None, typer.Option(metavar="FILE", help="Play with the categories of this file instead of our own.")
    ] = None,
    database: DatabaseOption = None,
    port: Annotated[
        int | None, typer.Option(metavar="N", min=0, max=65535, help="The API's port. [default: 8000, or a free one]")
    ] = None,
    no_serve: Annotated[bool, typer.Option("--no-serve", metavar="", help="End after the tour.")] = False,
) -> None:
    """Make a small mall in a new folder, walk through what can be done with it, and serve its API. Needs no network."""
    data = contents(taxonomy) if taxonomy is not None else files(__name__).joinpath(_OURS).read_bytes()
    door = None if no_serve else _door(port)
    chosen = dir or cli.named
    cli.folder = Path(chosen or tempfile.mkdtemp(prefix="mallcore-demo-")).resolve()
    prepared(cli.folder, "--dir")
    stage = Stage(cli.out)
    _welcome(cli)
    began = time.perf_counter()
    mall = founded(cli, database or DEFAULT_DATABASE, empty=True, follow=True)
    if taxonomy is None:
        (cli.folder / _OURS).write_bytes(data)
    changes.opened(mall, stage, shlex.quote(str(cli.folder)), time.perf_counter() - began)
    key = _tour(cli, mall, stage, data, taxonomy)
    _end(cli, stage, mall, door, key, time.perf_counter() - began)


def _welcome(cli: Cli) -> None:
    if not cli.out.json:
        cli.out.say("mallcore: a mall whose structure changes while it is read, and forgets nothing.", "bold")
        cli.out.say(f"This demo builds one in {cli.folder}, and shows what each step does and took.\n")


def _door(port: int | None) -> Door:
    """Taken before the tour begins: whoever asked for a port that can't be had learns it at once."""
    token = secrets.token_urlsafe(32)
    if port is not None:
        return Door(serving.bound(serving.HOST, port), token)
    try:
        return Door(serving.bound(serving.HOST, serving.PORT), token)
    except Unavailable:
        return Door(serving.bound(serving.HOST, 0), token)


def _tour(cli: Cli, mall: Mall, stage: Stage, data: bytes, taxonomy: str | None) -> str:
    """All steps; returns the key that a partner was given."""
    file = shlex.quote(taxonomy) if taxonomy is not None else _OURS
    tour = changes.imported(mall, cli.principal, stage, str(cli.folder), data, file)
    changes.create(tour)
    changes.move(tour)
    published = changes.publish(tour, changes.draft(tour))
    history.compare(tour, published)
    first = pictures.attach(tour)
    history.snapshot(tour)
    pictures.replace(tour, first, history.SNAPSHOT)
    history.campaign(tour)
    history.roll_back(tour, lambda: pictures.came_back(tour, first))
    history.read(tour)
    partners.versions(tour)
    key = partners.key(tour)
    partners.graphql(tour, key)
    history.verify(tour)
    history.audited(tour)
    return key


def _end(cli: Cli, stage: Stage, mall: Mall, door: Door | None, key: str, seconds: float) -> None:
    result: dict[str, Any] = {"mall": str(cli.folder), "steps": stage.summary(), "seconds": round(seconds, 3)}
    if door is not None:
        result |= {"url": door.url, "token": door.token, "try": tries(door, key)}
    cli.out.result(result, lambda out, _: _farewell(cli, door, key, seconds))
    cli.out.text.file.flush()
    if door is not None:
        with door.listening:
            serving.run(mall, door)
        cli.out.note(f"Stopped. The mall stays in {cli.folder}.")


def _farewell(cli: Cli, door: Door | None, key: str, seconds: float) -> None:
    out = cli.out
    out.say(f"That was the tour, in {duration(seconds)}. The mall stays in its folder:", "bold")
    out.say(f"    cd {shlex.quote(str(cli.folder))}")
    out.say("    mallcore structure log")
    if door is None:
        return
    out.say()
    out.say(f"Its API is at {door.url}  (Ctrl-C stops it)", "bold")
    out.say(f"    token  {door.token}")
    lines = tries(door, key)
    out.say("In another terminal, try: read the top of the tree, rename a category, see what that changed.")
    if len(lines) > 3:
        out.say(f"The last line asks by GraphQL, at {door.url}/graphql, with the partner's key.")
    for line in lines:
        out.say(Text(f"    {line}", "green"))


def tries(door: Door, key: str) -> list[str]:
    """Lines that work as they stand: reading, changing, comparing; and GraphQL, with the partner's key."""
    curl = f"curl -sS -H 'Authorization: Bearer {door.token}'"
    here = f"{door.url}/channels/{changes.CHANNEL}"
    edit = (
        f"-X PATCH -H 'Content-Type: application/json' -d '{{\"name\": \"Winter Wonders\"}}' {here}/nodes/winter-market"
    )
    query = f"curl -sS -H 'Authorization: Bearer {key}' {door.url}/graphql {serving.asked(partners.SHELVES)}"
    more = [query] if find_spec("graphql") else []  # an extra
    return [f"{curl} '{here}/tree?depth=1'", f"{curl} {edit}", f"{curl} {here}/diff", *more]
