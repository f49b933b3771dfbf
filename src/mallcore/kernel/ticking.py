"""A thread that calls a function every so often until it is stopped; and what there is to be done by it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

log = logging.getLogger("mallcore.ticking")
Chore = Callable[[], object]


@dataclass(slots=True)
class Chores:
    """What packages want done beside operations: with every tick of the scheduler, every hour, when the mall is closed
    (before anything it stands on is), and in a forked child (where connections and locks belong to the parent)."""

    ticks: list[Chore] = field(default_factory=list)
    hours: list[Chore] = field(default_factory=list)
    closing: list[Chore] = field(default_factory=list)
    forked: list[Chore] = field(default_factory=list)


def do(chores: Iterable[Chore]) -> None:
    """Do each of them; one that fails is logged, and does not hold up the others."""
    for chore in chores:
        try:
            chore()
        except Exception:
            log.exception("%s failed", getattr(chore, "__qualname__", chore))


class Ticker:
    """Calls ``tick`` every ``seconds``; what it raises is logged, and the next tick comes all the same."""

    def __init__(self, tick: Callable[[], object], seconds: float, name: str) -> None:
        self._tick = tick
        self._seconds = seconds
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin to tick."""
        self._thread.start()

    def stop(self) -> None:
        """Stop, and wait for a tick under way."""
        self._stop.set()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(timeout=30)

    def _run(self) -> None:
        while not self._stop.wait(self._seconds):
            try:
                self._tick()
            except Exception:
                log.exception("a tick failed")
