"""`serve` and `demo` in a process of their own, and plain HTTP to them."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.cli.conftest import PROGRAM

PATIENCE = 90


@dataclass
class Server:
    """One that runs, and what it said when it began."""

    process: "subprocess.Popen[str]"
    said: dict[str, Any]

    @property
    def url(self) -> str:
        return str(self.said["url"])

    def get(self, path: str, token: str | None = None) -> httpx.Response:
        headers = {} if token is None else {"authorization": f"Bearer {token}"}
        return httpx.get(self.url + path, headers=headers, timeout=PATIENCE)

    def stop(self, number: int = signal.SIGINT) -> int:
        self.process.send_signal(number)
        return self.process.wait(PATIENCE)


@contextmanager
def running(*words: str, variables: dict[str, str] | None = None, home: Path | None = None) -> Iterator[Server]:
    """Start it with --json, read the one value it prints, and end it at the end."""
    process = subprocess.Popen(
        [*PROGRAM, "--json", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=home,
        env=os.environ | (variables or {}),
    )  # fmt: skip
    with process:
        try:
            assert process.stdout is not None
            text = ""
            while not text.endswith("}\n") or not _whole(text):
                line = process.stdout.readline()
                assert line, process.stderr and process.stderr.read()
                text += line
            yield Server(process, json.loads(text))
        finally:
            process.kill()


def _whole(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True
