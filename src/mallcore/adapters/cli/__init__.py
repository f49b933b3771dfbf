"""The command line: every operation by name, and what only a terminal needs: init, serve, doctor, demo.

typer and rich are imported when a command runs, never with mallcore.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence

from mallcore.errors import MissingExtra

INTERRUPTED = 130
_OPTIONAL = ("rich", "typer")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code: 0 it is done, 1 it was refused or failed, 2 it was not understood."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        try:
            from mallcore.adapters.cli.running import run
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] not in _OPTIONAL:
                raise
            return _missing(given)
        return run(given)
    except KeyboardInterrupt:
        return INTERRUPTED


def _missing(given: list[str]) -> int:
    error = MissingExtra(what="The command line", extra="cli")
    shown = json.dumps({"error": {"code": error.code, "message": str(error), **error.details}})
    print(shown if "--json" in given else f"error: {error}", file=sys.stderr)
    return 1
