"""The commands, put together."""

from __future__ import annotations

from importlib.metadata import version as installed
from typing import Annotated

import typer

from mallcore.adapters.cli import (
    apis,
    audits,
    checks,
    contents,
    databases,
    demo,
    hooks,
    looking,
    serving,
    transfer,
    verifying,
)
from mallcore.adapters.cli.face import bind
from mallcore.adapters.cli.faces import FACES
from mallcore.adapters.cli.output import Output
from mallcore.adapters.cli.session import Cli
from mallcore.adapters.cli.shared import JsonOption, MallOption, command, group, refine

GROUPS = {
    "db": "The database's schema.",
    "channels": "Storefronts, each with a tree of its own.",
    "units": "Business units, which own channels.",
    "structure": "The tree of a channel and its history: every change is a revision.",
    "structure draft": "Edits kept aside until they are published.",
    "structure schedule": "What is to be done at a time.",
    "structure snapshot": "Names for a moment of one or many channels.",
    "attachments": "Pictures and files: every version kept, every access on record.",
    "access": "Roles, and who holds them where.",
    "access clients": "Programs that use the mall, a partner's say.",
    "access clients oauth": "How clients get tokens: secrets, scopes, and where their answers go.",
    "access consents": "What people let clients do in their name.",
    "access sessions": "Who is signed in, and ending that.",
    "access identities": "By which sign-ins elsewhere people are known here.",
    "access keys": "API keys of clients: what they narrow, new secrets, revoking.",
    "keys": "The keys of links, of persons and of the audit log: which there are, and new ones.",
    "api": "The versions of the API: what differs, what breaks, who uses which.",
    "audit": "What was done or refused, by whom, and when; and that nobody changed it since.",
    "webhooks": "What is sent to others when something happens here.",
}


def root(
    ctx: typer.Context,
    mall: MallOption = None,
    json: JsonOption = False,
    version: Annotated[bool, typer.Option("--version", metavar="", help="Show the version.")] = False,
) -> None:
    """The command line of a mall: its channels, their trees, and everything that ever changed in them."""
    if version:
        shown = {"version": installed("mallcore")}
        Output(json).result(shown, lambda out, _: out.say(f"mallcore {shown['version']}"))
        raise typer.Exit()
    refine(ctx, mall, json)


def app() -> typer.Typer:
    """All commands."""
    whole = typer.Typer(add_completion=False, rich_markup_mode="markdown", pretty_exceptions_enable=False)
    whole.callback(invoke_without_command=True)(root)
    command(whole, "demo")(demo.demo)
    command(whole, "init")(databases.init)
    command(whole, "serve")(serving.serve)
    command(whole, "doctor")(checks.doctor)
    groups = {"": whole}
    for path, help in GROUPS.items():
        above, _, name = path.rpartition(" ")
        groups[path] = group(name, help)
        groups[above].add_typer(groups[path])
    command(groups["db"], "upgrade")(databases.upgrade)
    command(groups["db"], "status")(databases.status)
    command(groups["structure"], "import")(transfer.import_)
    command(groups["structure"], "export")(transfer.export)
    command(groups["structure"], "show")(looking.show)
    command(groups["structure"], "watch")(looking.watch)
    command(groups["structure draft"], "tree")(looking.draft_tree)
    command(groups["structure schedule"], "run")(run_due)
    for name in ("put", "get", "collect"):
        command(groups["attachments"], name)(getattr(contents, name))
    command(groups["attachments"], "verify")(verifying.verify)
    for name in ("verify", "prove", "export", "ingest"):
        command(groups["audit"], name)(getattr(audits, name))
    for name in ("versions", "check", "diff", "notes", "schema"):
        command(groups["api"], name)(getattr(apis, name))
    command(groups["webhooks"], "deliver")(hooks.deliver)
    for face in FACES:
        bind(groups[face.path.rpartition(" ")[0]], face)
    return whole


def run_due(cli: Cli) -> None:
    """Carry out what is due now. `serve` does this by itself."""
    done = cli.mall.run_due()
    cli.out.result({"done": done}, lambda out, _: out.say(f"{done} done."))
