"""How a function becomes a command: the options every command takes, and the life of its `Cli`."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Annotated, Any, TypeVar

import typer

from mallcore.adapters.cli.output import reader_gone
from mallcore.adapters.cli.session import FOLDER_VARIABLE, Cli, Options

F = TypeVar("F", bound=Callable[..., None])
_KEYWORD = inspect.Parameter.KEYWORD_ONLY

MallOption = Annotated[
    str | None,
    typer.Option("--mall", metavar="DIR", help=f"The mall's folder. [default: {FOLDER_VARIABLE}, or this folder]"),
]
JsonOption = Annotated[bool, typer.Option("--json", metavar="", help="Print JSON, also for errors.")]


def group(name: str, help: str) -> typer.Typer:
    """A group of commands, which takes the shared options too."""
    made = typer.Typer(name=name, help=help, rich_markup_mode="markdown", pretty_exceptions_enable=False)
    made.callback(invoke_without_command=True, help=help)(refine)
    return made


def refine(ctx: typer.Context, mall: MallOption = None, json: JsonOption = False) -> None:
    """Keep the shared options given here for the command behind; without one, show which there are."""
    ctx.obj = options(ctx).refined(mall, json)
    if ctx.invoked_subcommand is None:
        if ctx.obj.json:
            ctx.fail("Missing command.")
        typer.echo(ctx.get_help())
        raise typer.Exit(2)


def options(ctx: typer.Context) -> Options:
    """The shared options as given so far."""
    return ctx.obj if isinstance(ctx.obj, Options) else Options()


def command(app: typer.Typer, name: str, **more: Any) -> Callable[[F], F]:
    """Register a function whose first argument is a `Cli`, with the shared options added to its own."""

    def register(function: F) -> F:
        own = list(inspect.signature(function, eval_str=True).parameters.values())[1:]
        add(app, name, function, own, inspect.getdoc(function) or "", **more)
        return function

    return register


def add(
    app: typer.Typer, name: str, function: Callable[..., None], own: Iterable[inspect.Parameter], help: str, **more: Any
) -> None:
    """Register a command by the parameters it takes beside the shared options."""

    def run(ctx: typer.Context, mall: str | None, json: bool, **given: Any) -> None:
        try:
            with Cli(options(ctx).refined(mall, json)) as cli:
                function(cli, **given)
        except BrokenPipeError:
            raise typer.Exit(reader_gone()) from None

    shared = [_parameter("mall", MallOption, None), _parameter("json", JsonOption, False)]
    parameters = [_parameter("ctx", typer.Context), *(one.replace(kind=_KEYWORD) for one in own), *shared]
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {one.name: one.annotation for one in parameters}
    app.command(name, help=help, **more)(run)


def _parameter(name: str, annotation: Any, default: Any = inspect.Parameter.empty) -> inspect.Parameter:
    return inspect.Parameter(name, _KEYWORD, annotation=annotation, default=default)
