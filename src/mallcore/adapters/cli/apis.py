"""The versions of the API from the command line. They are a matter of code, not of a mall: none is needed."""

from __future__ import annotations

import importlib
import json
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from mallcore import Mall
from mallcore.adapters.cli.files import STANDARD, store
from mallcore.adapters.cli.forms import table
from mallcore.adapters.cli.output import Output
from mallcore.adapters.cli.session import Cli
from mallcore.api import contracts, operations
from mallcore.errors import InvalidInput

_STYLES = {"breaking": "bold red", "warning": "yellow", "additive": "green"}


class NotesForm(StrEnum):
    """How notes are written."""

    markdown = "markdown"
    json = "json"
    atom = "atom"


class SchemaForm(StrEnum):
    """What a schema is written in."""

    openapi = "openapi"
    graphql = "graphql"
    contract = "contract"


PluginOption = Annotated[
    list[str] | None,
    typer.Option("--plugin", metavar="NAME", help="A plug-in that counts, too: an installed one, or MODULE:NAME."),
]
OutputOption = Annotated[str, typer.Option("--output", "-o", metavar="FILE", help="Where to; - is standard output.")]
SinceArgument = Annotated[str, typer.Argument(metavar="VERSION", help="The version that is used.")]
ToArgument = Annotated[str | None, typer.Argument(metavar="VERSION", help="A later one. [default: the newest stable]")]


def _opened(cli: Cli, plugins: list[str] | None) -> Mall:
    """A mall that is gone afterwards: what its API is depends on what is installed and plugged in alone."""
    return cli.use(Mall.open("sqlite://", follow=False, plugins=[_plugin(one) for one in plugins or ()]))


def _plugin(name: str) -> Any:
    module, colon, attribute = name.partition(":")
    if not colon:
        return name
    sys.path.insert(0, "")  # where one stands, as `python -m` has it
    try:
        found: Any = importlib.import_module(module)
        for part in attribute.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError, ValueError) as error:
        raise InvalidInput(field="--plugin", reason=f"{name[:100]} can't be imported ({error})"[:300]) from None
    finally:
        sys.path.remove("")
    return found() if isinstance(found, type) else found


def versions(cli: Cli, plugin: PluginOption = None) -> None:
    """List the versions of the API: which are stable, which end when."""
    _opened(cli, plugin)
    columns = ("name", "state", "latest", "stable_at", "deprecated_at", "sunset_at", "changes")
    cli.out.result(cli.call(operations.list_versions), table(*columns))


def check(
    cli: Cli,
    golden: Annotated[
        str | None,
        typer.Option("--golden", metavar="DIR", help="Golden files of a host's own operations. [default: mallcore's]"),
    ] = None,
    write: Annotated[
        bool, typer.Option("--write", metavar="", help="Make missing files, and update those that nothing breaks.")
    ] = False,
    plugin: PluginOption = None,
) -> None:
    """Compare what every version shows now with its golden file. Exits with 1 when somebody would be broken.

    A file that differs in something that breaks is never overwritten: declare a change in the next version, or, to
    break a promise on purpose, remove the file first.
    """
    which = contracts.ours if golden is None else contracts.of_host
    folder = contracts.OURS if golden is None else Path(golden)
    report = contracts.guard(_opened(cli, plugin), folder, which=which, write=write)
    if cli.out.json:
        cli.out.result(report.as_json(), lambda *_: None)
    else:
        _told(cli.out, report)
    if not report.ok:
        raise typer.Exit(1)


def _told(out: Output, report: contracts.Report) -> None:
    for one in report.versions:
        out.say(f"{one.version} ({one.state or 'no such version'}): {one.verdict}{', written' * one.written}", "bold")
        for found in one.differences:
            _difference(out, found)
        if one.advice:
            out.say(f"  {one.advice}")
    out.note("Every promise is kept." if report.ok else "A promise is broken.", "green" if report.ok else "bold red")


def _difference(out: Output, one: Any) -> None:
    """One difference in a line, with its rule, by which the reference explains it."""
    values = "" if one.old is None and one.new is None else f" {_short(one.old)} -> {_short(one.new)}"
    out.say(f"  {one.level}: {one.where}: {one.sentence}{values} [{one.rule}]", _STYLES[one.level])


def _short(value: Any) -> str:
    text = "-" if value is None else json.dumps(value, ensure_ascii=False, sort_keys=True)
    return text if len(text) <= 60 else text[:59] + "…"


def diff(cli: Cli, since: SinceArgument, to: ToArgument = None, plugin: PluginOption = None) -> None:
    """Show what differs between two versions, and who would be hurt by it."""
    _opened(cli, plugin)
    cli.out.result(cli.call(operations.diff_versions, version=since, to=to), _differences)


def _differences(out: Output, found: Any) -> None:
    for one in found.differences:
        _difference(out, one)
    counts = f"{found.breaking} breaking, {found.warnings} warnings, {found.additive} additive"
    out.note(f"{found.since} to {found.until}: {counts}")


def notes(
    cli: Cli,
    since: SinceArgument,
    to: ToArgument = None,
    format: Annotated[NotesForm, typer.Option("--format", help="How they are written.")] = NotesForm.markdown,
    output: OutputOption = STANDARD,
    plugin: PluginOption = None,
) -> None:
    """Write migration notes from one version to a later one, with payloads before and after each change."""
    _opened(cli, plugin)
    shown = cli.call(operations.notes, version=since, to=to)
    found = contracts.Notes.of(shown.model_dump(mode="json"))
    _write(cli, contracts.rendered(found, "json" if cli.out.json else format.value), output)


def schema(
    cli: Cli,
    version: Annotated[
        str | None, typer.Argument(metavar="VERSION", help="A version. [default: the newest stable]")
    ] = None,
    format: Annotated[SchemaForm, typer.Option("--format", help="What it is written in.")] = SchemaForm.openapi,
    output: OutputOption = STANDARD,
    plugin: PluginOption = None,
) -> None:
    """Write the schema of a version: OpenAPI, GraphQL's definition language, or the contract that is guarded."""
    mall = _opened(cli, plugin)
    name = version or mall.versions.latest(mall.services.clock())
    found = cli.call(operations.schema, version=name, form=format.value)
    _write(cli, found.body.decode().rstrip("\n") + "\n", output)


def _write(cli: Cli, text: str, output: str) -> None:
    if output == STANDARD:
        cli.out.write(text.encode())
        return
    store(Path(output), [text])
    cli.out.result({"file": output}, lambda out, _: out.say(f"{output}: {len(text.encode()):,} bytes."))
