"""Taxonomy files in and out: `structure import` and `structure export`."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

from mallcore import structure
from mallcore.adapters.cli import forms
from mallcore.adapters.cli.files import STANDARD, contents, store
from mallcore.adapters.cli.progress import bars, tracked
from mallcore.adapters.cli.session import Cli

ChannelOption = Annotated[
    str | None,
    typer.Option("--channel", metavar="TEXT", help="The channel; may be left out when the mall has one."),
]
Written = Enum("Written", {"json": "json", "csv": "csv", "paths": "paths"}, type=str)


def import_(
    cli: Cli,
    file: Annotated[str, typer.Argument(metavar="FILE", help="The taxonomy file, or - for standard input.")],
    channel: ChannelOption = None,
    format: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="shopify-txt, shopify-yml, google, paths, csv or json. [default: found out from the content]",
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", metavar="", help="Change nothing; show what would change.")
    ] = False,
    keep_missing: Annotated[
        bool, typer.Option("--keep-missing", metavar="", help="Keep nodes imported before that the file lacks.")
    ] = False,
    message: Annotated[
        str, typer.Option("--message", "-m", metavar="TEXT", help="Why; kept with the revision.", show_default=False)
    ] = "",
    expect: Annotated[int | None, typer.Option(metavar="N", help="Refuse unless this is the head.")] = None,
    idempotency_key: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Repeating a command with its key answers, and changes nothing.")
    ] = None,
) -> None:
    """Bring a channel to the state of a taxonomy file, as one revision of adds, removals, moves and renames.

    Nodes are matched by the source's ids. Those imported before and missing now are removed, unless `--keep-missing`.
    """
    name = cli.channel(channel)
    given: dict[str, Any] = {"format": format, "dry_run": dry_run, "keep_missing": keep_missing, "message": message}
    given |= {"expected_revision": expect, "idempotency_key": idempotency_key}
    with bars(cli.out) as shown:
        data = contents(file, lambda done, total: shown.told("reading", done, total))
        found = cli.call(structure.import_taxonomy, channel=name, data=data, **given)
    cli.out.result(found, forms.imported)


def export(
    cli: Cli,
    channel: ChannelOption = None,
    format: Annotated[Written, typer.Option(help="json and csv carry everything, paths ids and names.")] = Written.json,
    at: Annotated[
        str | None, typer.Option(metavar="TEXT", help="A revision's number, a time, or a snapshot's name.")
    ] = None,
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="FILE", help="Where to; - is standard output.")
    ] = STANDARD,
) -> None:
    """Write a channel's tree as a file that `structure import` reads again."""
    name = cli.channel(channel)
    with cli.begin() as ctx:
        file = structure.export(ctx, channel=name, format=format.value, at=at)
    pieces = tracked(cli.out, "writing", file.pieces(), len(file.tree) + 2)
    if output == STANDARD:
        for piece in pieces:
            cli.out.text.file.write(piece)
        return
    size = store(Path(output), pieces)
    result = {"file": output, "format": format.value, "revision": file.revision, "nodes": len(file.tree), "bytes": size}
    cli.out.result(
        result, lambda out, _: out.say(f"{output}: revision {file.revision}, {len(file.tree):,} nodes, {size:,} bytes.")
    )
