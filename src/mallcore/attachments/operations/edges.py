"""The edges of a mall, in their order: which of them works, and which a request came through."""

from __future__ import annotations

import logging
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta

from mallcore.attachments.hooks import Edge
from mallcore.attachments.rules.circuits import Circuit, after, lets_through
from mallcore.errors import InvalidSettings

log = logging.getLogger("mallcore")
EVERY = timedelta(seconds=10)
"""How often an edge is asked whether it works."""
PATIENCE = 2.0  # seconds


class Addresses:
    """Port: where the mall's own content routes are reached from outside; links begin with it."""

    def __init__(self, url: str = "") -> None:
        self.url = url.rstrip("/")


class Edges:
    """Port: the edges, best first. One that fails several times in a row is passed over until it works again.

    Whether one fails is seen by `look`, which the mall's scheduler calls, or told by the host with `report`.
    """

    def __init__(
        self,
        edges: Iterable[Edge] = (),
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        probe: Callable[[str], bool] | None = None,
    ) -> None:
        self._edges = list(edges)
        self._clock = clock
        self._probe = probe or answers
        self._lock = threading.Lock()
        self._circuits = {edge.name: Circuit() for edge in self._edges}
        self._looked: dict[str, datetime] = {}
        if len(self._circuits) < len(self._edges):
            raise InvalidSettings(setting="edges", reason="two of them have one name")

    def ready(self, *, public: bool) -> list[Edge]:
        """Those that may be used now for public, or for other, content, best first."""
        now, serves = self._clock(), ("all", "public" if public else "private")
        working = (edge for edge in self._edges if lets_through(self._circuits[edge.name], now))
        return [edge for edge in working if edge.serves in serves and not (public and edge.store is not None)]

    def report(self, name: str, good: bool) -> None:
        """Tell that an edge worked, or did not."""
        with self._lock:
            self._circuits[name] = after(self._circuits[name], good, self._clock())

    def look(self) -> None:
        """Ask each edge whether it works, unless that was done just now. This waits for the network."""
        now = self._clock()
        for edge in self._edges:
            if edge.health_url is not None and now - self._looked.get(edge.name, now - EVERY) >= EVERY:
                self._looked[edge.name] = now
                self.report(edge.name, self._probe(edge.health_url))

    def admitted_by(self, target: str, headers: Mapping[str, str]) -> Edge | None:
        """The edge a request came through, by what only that edge lets pass; nothing when it came otherwise."""
        now = self._clock()
        before_us = (edge for edge in self._edges if edge.store is None and edge.serves != "public")
        return next((edge for edge in before_us if edge.admits(target, headers, now)), None)

    def __repr__(self) -> str:
        return f"<Edges {', '.join(edge.name for edge in self._edges)}>"


def answers(url: str) -> bool:
    """Whether something at the URL answers in time, with whatever but an error of its own."""
    if not url.startswith(("http://", "https://")):
        return False
    request = urllib.request.Request(url, method="HEAD")
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE):
            return True
    except urllib.error.HTTPError as error:
        return error.code < 500
    except OSError as error:
        log.warning("the edge at %s does not answer: %s", url, error)
        return False
