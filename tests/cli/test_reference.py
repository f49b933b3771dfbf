"""The reference page of the command line is made from its commands; run this file as a program to write it anew."""

import inspect
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any, get_origin

import typer

from mallcore.adapters.cli.app import app
from mallcore.adapters.cli.parameters import bare

REPOSITORY = Path(__file__).resolve().parent.parent.parent
PAGE = REPOSITORY / "docs" / "reference" / "cli.md"
HEAD = """\
# Command line

`pip install "mallcore[cli]"` brings the program `mallcore`. This page is made from its commands.

Every command takes, before it or behind it:

`--mall DIR`
: The mall's folder, where `mallcore init` wrote `mall.toml`. Without it: the variable `MALLCORE_MALL`, or the folder
  one stands in.

`--json`
: Print JSON. Lists are `{"items": [...], "next": ...}`; `next` is what `--cursor` takes to go on. Only the result goes
  to stdout. Messages, progress bars and errors go to stderr, an error as `{"error": {"code", "message", ...}}`. The
  codes are those of the [errors](errors.md).

| exit code | meaning |
|---|---|
| 0 | it is done |
| 1 | it was refused, or failed; `db status` and `doctor` also end so when something is amiss |
| 2 | the command was not understood |
| 130 | it was interrupted (Ctrl-C); `serve` and `demo`, which end that way, end with 0 |

Commands act in the name of `system:cli:USER`, which may do everything. That name stands in revisions and audit
records. A node is named by its id or by its path of slugs; a channel by its slug, its id, or `unit:slug`. The file `-`
is standard input or output. An error that is a bug of ours says so; `MALLCORE_TRACEBACK=1` then shows where.
"""


def registered(app: Any, path: str = "mallcore") -> Iterator[tuple[str, str, list[inspect.Parameter] | None]]:
    """All groups and commands with their words, their help, and their own parameters (a group has none)."""
    for one in app.registered_commands:
        own = [
            parameter for parameter in inspect.signature(one.callback).parameters.values() if parameter.name != "ctx"
        ]
        yield f"{path} {one.name}", one.help, [each for each in own if spelt(each)[:1] not in (["--mall"], ["--json"])]
    for group in app.registered_groups:
        name = f"{path} {group.typer_instance.info.name}"
        yield name, group.typer_instance.info.help, None
        yield from registered(group.typer_instance, name)


def page() -> str:
    return HEAD + "".join(section(*one) for one in registered(app()))


def section(path: str, help: str, parameters: list[inspect.Parameter] | None) -> str:
    text = inspect.cleandoc(help).replace("``", "`")
    if parameters is None:
        return f"\n## {path}\n\n{text}\n"
    places = [placed(one) for one in parameters if not spelt(one)]
    usage = " ".join([path, *places, *(["[OPTIONS]"] if len(parameters) > len(places) else [])])
    level = "###" if path.count(" ") > 1 else "##"
    return f"\n{level} {path}\n\n{text}\n\n```text\n{usage}\n```\n" + "".join(map(described, parameters))


def info(parameter: inspect.Parameter) -> Any:
    return parameter.annotation.__metadata__[0]


def spelt(parameter: inspect.Parameter) -> list[str]:
    """How an option is spelt; nothing for what is typed by place."""
    found = info(parameter)
    if isinstance(found, typer.models.ArgumentInfo):
        return []
    given = [one for one in (found.default, *(found.param_decls or ())) if isinstance(one, str)]
    return given or ["--" + parameter.name.replace("_", "-")]


def placed(parameter: inspect.Parameter) -> str:
    kind = bare(parameter.annotation)
    name = (info(parameter).metavar or parameter.name.upper()) + ("..." if get_origin(kind) is list else "")
    return name if parameter.default is parameter.empty else f"[{name}]"


def described(parameter: inspect.Parameter) -> str:
    help, words = info(parameter).help or "", spelt(parameter)
    if not words:
        return f"\n`{placed(parameter).strip('[]')}`\n: {help or 'Its ' + parameter.name + '.'}\n"
    kind = bare(parameter.annotation)
    choices = isinstance(kind, type) and issubclass(kind, Enum)
    values = "|".join(one.value for one in kind) if choices else info(parameter).metavar
    shown = ", ".join(f"`{one}`" for one in words) + (f" `{values}`" if values and kind is not bool else "")
    known = getattr(parameter.default, "value", parameter.default)
    default = f" Default: {known}." if type(known) in (int, str) and known != "" else ""
    required = " Required." if parameter.default is parameter.empty else ""
    return f"\n{shown}\n: {help}{default}{required}\n"


def test_every_parameter_is_explained() -> None:
    """No option or argument stands there without a word."""
    mute = [
        f"{path} {one.name}"
        for path, _, parameters in registered(app())
        for one in parameters or ()
        if not info(one).help
    ]
    assert mute == []


def test_the_page_is_what_the_commands_are() -> None:
    """After a change of a command, run `python tests/cli/test_reference.py`."""
    assert PAGE.read_text(encoding="utf-8") == page()


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
