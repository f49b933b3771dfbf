"""Typing a command in this process: what it says, and how it ends."""

import io
import json
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

from mallcore.adapters.cli import main


@dataclass(frozen=True)
class Typed:
    """One command that was run: its exit code, and the bytes of its two streams."""

    code: int
    stdout: bytes
    stderr: bytes

    @property
    def out(self) -> str:
        return self.stdout.decode()

    @property
    def err(self) -> str:
        return self.stderr.decode()

    @property
    def json(self) -> Any:
        """What stdout holds, and nothing else."""
        assert self.code == 0, self.err
        return json.loads(self.stdout)

    @property
    def error(self) -> dict[str, Any]:
        """The error that stderr holds, and nothing on stdout."""
        assert (self.code != 0, self.stdout) == (True, b""), self.out
        found: dict[str, Any] = json.loads(self.stderr)["error"]
        return found


def type_in(*words: str, stdin: bytes = b"") -> Typed:
    """Run one command."""
    out, err = io.BytesIO(), io.BytesIO()
    given = io.TextIOWrapper(io.BytesIO(stdin))
    streams = [io.TextIOWrapper(one, encoding="utf-8", write_through=True) for one in (out, err)]
    with redirect_stdout(streams[0]), redirect_stderr(streams[1]), patch.object(sys, "stdin", given):
        code = main(list(words))
    for one in streams:
        one.flush()
    return Typed(code, out.getvalue(), err.getvalue())
