"""Following other processes: one background thread a mall, told by the database's bus, or polling while it is gone."""

from __future__ import annotations

import logging
import os
import threading
import weakref
from collections.abc import Callable

log = logging.getLogger("mallcore.bus")

Listen = Callable[[Callable[["str | None"], None], threading.Event], None]
Heard = Callable[[str], None]
Look = Callable[[], None]


class Follower:
    """Runs ``listen`` in a thread and hands on what is heard, by topic; without the bus it polls.

    Started by the first who reads from memory, so that a short script pays nothing. A forked child starts its own.
    """

    def __init__(self, listen: Listen, poll: float, enabled: bool = True) -> None:
        self.running = False
        self.connected = False
        """Whether the bus is there; while it is not, the thread polls."""
        self._listen = listen
        self._poll = poll
        self._enabled = enabled
        self._topics: dict[str, Heard] = {}
        self._looks: list[Look] = []
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        _followers.add(self)

    def subscribe(self, topic: str, heard: Heard, look: Look) -> None:
        """Call ``heard`` with what is announced on a topic, and ``look`` when something may have been missed."""
        self._topics[topic] = heard
        self._looks.append(look)

    def start(self) -> None:
        """Begin to follow, unless it is running, switched off or stopped for good."""
        with self._lock:
            if self.running or not self._enabled or self._stop.is_set():
                return
            self._thread = threading.Thread(target=self._run, name="mallcore-follower", daemon=True)
            self.running = True
            self._thread.start()

    def heard(self) -> bool:
        """Whether this process hears of changes made by others; begins to, if it does not yet."""
        if not self.running:
            self.start()
        return self.running

    def stop(self) -> None:
        """End the thread and wait for it."""
        self._stop.set()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout=10)
        self.running = False

    def forget_thread(self) -> None:
        """In a forked child: the thread stayed with the parent."""
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread, self.running, self.connected = None, False, False

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._listen(self._hear, self._stop)
            except Exception as error:
                if self.connected:
                    log.warning("the bus is gone, polling every %s s: %s", self._poll, type(error).__name__)
            self.connected = False
            if not self._stop.wait(self._poll):
                self._look()

    def _hear(self, payload: str | None) -> None:
        self.connected = True
        if payload is None:
            self._look()
            return
        topic, _, what = payload.partition(" ")
        heard = self._topics.get(topic)
        if heard is not None:
            self._safely(lambda: heard(what))

    def _look(self) -> None:
        for look in self._looks:
            self._safely(look)

    def _safely(self, call: Callable[[], None]) -> None:
        try:
            call()
        except Exception as error:
            if not self._stop.is_set():
                log.warning("could not follow: %s: %s", type(error).__name__, error)


_followers: weakref.WeakSet[Follower] = weakref.WeakSet()


def _after_fork() -> None:
    for follower in list(_followers):
        follower.forget_thread()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
