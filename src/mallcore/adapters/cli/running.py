"""One run, from what was typed to the exit code: nothing a mall refuses ends in a traceback."""

from __future__ import annotations

import os
import sys
import traceback
from functools import cache
from itertools import takewhile
from typing import Any

import typer

from mallcore.adapters.cli import INTERRUPTED
from mallcore.adapters.cli.app import app
from mallcore.adapters.cli.output import Output, reader_gone
from mallcore.errors import MallError

USAGE = 2
TRACEBACK_VARIABLE = "MALLCORE_TRACEBACK"
_PARSING = next(kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException")


def run(arguments: list[str]) -> int:
    """Run what was typed; returns the exit code."""
    out = Output("--json" in takewhile(lambda word: word != "--", arguments))
    try:
        code = _command().main(arguments, prog_name="mallcore", standalone_mode=False)
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except MallError as error:
        out.error(error)
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED
    except BrokenPipeError:
        return reader_gone()
    except Exception as error:
        if isinstance(error, _PARSING):
            return _misunderstood(out, error)
        _unexpected(out, error)
    return 1


@cache
def _command() -> Any:
    return typer.main.get_command(app())


def _misunderstood(out: Output, error: BaseException) -> int:
    context = getattr(error, "ctx", None)
    message = error.format_message()  # type: ignore[attr-defined]
    if context is not None and not out.json:
        message += f"\n  {' '.join(context.get_usage().split())}\n  Help: {context.command_path} --help"
    out.failed("usage", message)
    return USAGE


def _unexpected(out: Output, error: Exception) -> None:
    """Something nobody foresaw: a bug, and where to see more of it."""
    if os.environ.get(TRACEBACK_VARIABLE):
        traceback.print_exc()
    message = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no more is known'}"
    out.failed("internal", f"{message}. This is a bug: set {TRACEBACK_VARIABLE}=1 and run it again to see where.")
