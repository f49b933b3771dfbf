"""When something that fails is left alone for a while, and when it is tried again."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import NamedTuple

FAILURES = 3  # in a row, until it is left alone
PAUSE = timedelta(seconds=30)


class Circuit(NamedTuple):
    """How often it has failed in a row, and when last."""

    failures: int = 0
    failed_at: datetime | None = None


def after(circuit: Circuit, good: bool, now: datetime) -> Circuit:
    """The circuit after one more attempt."""
    return Circuit() if good else Circuit(circuit.failures + 1, now)


def lets_through(circuit: Circuit, now: datetime) -> bool:
    """Whether it may be used: it has not failed too often in a row, or long enough ago to try it again.

    >>> from datetime import UTC
    >>> noon = datetime(2026, 11, 24, 12, tzinfo=UTC)
    >>> down = Circuit(failures=3, failed_at=noon)
    >>> lets_through(down, noon + timedelta(seconds=29)), lets_through(down, noon + timedelta(seconds=30))
    (False, True)
    """
    failed_at = circuit.failed_at
    return circuit.failures < FAILURES or failed_at is None or now >= failed_at + PAUSE
