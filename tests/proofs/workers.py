"""Other processes for tests: each is started once and does one deed of `deeds.py` after the other."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

AHEAD = 0.5
"""Seconds until all begin at once; who needs longer to be ready begins later, and the test is only less sharp."""


class Worker:
    """One process."""

    def __init__(self) -> None:
        script = Path(__file__).with_name("worker.py")
        self._process = subprocess.Popen(
            [sys.executable, str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._ready = False

    def tell(self, deed: str, **given: Any) -> None:
        """Have it begin a deed."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"deed": deed, "given": given}) + "\n")
        self._process.stdin.flush()

    def hear(self) -> Any:
        """Wait for what the deed returned; an exception in it is raised here."""
        if not self._ready:
            self._ready = self._line() == {"answer": "ready"}
        found = self._line()
        if "trace" in found:
            raise AssertionError(found["trace"])
        return found["answer"]

    def dies(self, deed: str, **given: Any) -> bool:
        """Whether a deed ended by SIGKILL; it may also end well."""
        self.tell(deed, **given)
        if not self._ready:
            self._ready = self._line() == {"answer": "ready"}
        found = self._line()
        if "trace" in found:
            raise AssertionError(found["trace"])
        return found.get("killed") == signal.SIGKILL

    def _line(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the worker ended"
        found: dict[str, Any] = json.loads(line)
        return found

    def stop(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait(20)
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()


class Workers:
    """As many processes as a test wants, started when first wanted."""

    def __init__(self) -> None:
        self._all: list[Worker] = []

    def __getitem__(self, number: int) -> Worker:
        while len(self._all) <= number:
            self._all.append(Worker())
        return self._all[number]

    def at_once(self, deed: str, given: list[dict[str, Any]]) -> list[Any]:
        """One process for each of the arguments, all beginning at one moment; what they returned."""
        workers = [self[number] for number in range(len(given))]
        at = time.monotonic() + AHEAD
        for worker, one in zip(workers, given, strict=True):
            worker.tell(deed, at=at, **one)
        return [worker.hear() for worker in workers]

    def stop(self) -> None:
        """End them all."""
        for worker in self._all:
            worker.stop()
