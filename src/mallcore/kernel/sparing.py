"""Letting so many through and counting the rest: what a flood from outside must not be able to fill."""

from __future__ import annotations

import ipaddress
import os
import threading
import time
import weakref
from collections.abc import Callable

_KEYS = 4096


class Sparing:
    """Lets ``most`` through per key and window of ``seconds``, and ``overall`` of all keys together."""

    def __init__(
        self, most: int, overall: int, seconds: float = 60.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._most = most
        self._overall = overall
        self._seconds = seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._ends = 0.0
        self._counts: dict[str, int] = {}
        self._let = 0
        self._withheld = 0
        _all.add(self)

    @property
    def seconds_left(self) -> float:
        """How long until the window is over."""
        return max(0.0, self._ends - self._clock())

    def take(self, key: str) -> int | None:
        """How many were withheld since the last one that was let through; nothing, if this is withheld, too."""
        with self._lock:
            self._turn()
            kept = self._kept(key)
            count = self._counts[kept] = self._counts.get(kept, 0) + 1
            if count > self._most or self._let >= self._overall:
                self._withheld += 1
                return None
            self._let += 1
            withheld, self._withheld = self._withheld, 0
            return withheld

    def spent(self, key: str) -> bool:
        """Whether the next one of this key would be withheld."""
        with self._lock:
            self._turn()
            return self._counts.get(self._kept(key), 0) >= self._most

    def _kept(self, key: str) -> str:
        """Keys beyond those that can be kept apart share one count: an attacker has many addresses."""
        return key if key in self._counts or len(self._counts) < _KEYS else ""

    def _turn(self) -> None:
        now = self._clock()
        if now >= self._ends:
            self._ends = now + self._seconds
            self._counts.clear()
            self._let = 0

    def forget_parent(self) -> None:
        """In a forked child: a thread that held the lock stayed with the parent."""
        self._lock = threading.Lock()


_all: weakref.WeakSet[Sparing] = weakref.WeakSet()


def _after_fork() -> None:
    for one in list(_all):
        one.forget_parent()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def neighbourhood(address: str) -> str:
    """What counts as one caller: an IPv4 address, or the /64 of an IPv6 address, which one customer has whole.

    >>> neighbourhood("2001:db8::1"), neighbourhood("192.0.2.1")
    ('2001:db8::/64', '192.0.2.1')
    """
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address[:100]
    if isinstance(found, ipaddress.IPv4Address):
        return str(found)
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return f"{ipaddress.ip_network((found.packed, 64), strict=False)}"
