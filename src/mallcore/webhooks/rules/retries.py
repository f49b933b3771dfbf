"""When to try again: back-off, jitter, what the receiver asks for, and when to stop."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Literal

DELAYS = (5, 30, 300, 1800, 7200, 18_000, 43_200)
"""Seconds after each failed attempt: five seconds to twelve hours, so that the last comes within a day."""
ATTEMPTS = len(DELAYS) + 1
JITTER = 0.2
LONGEST = 43_200
"""No receiver can ask for a longer pause than this."""
LONGEST_PAUSE = 300.0
UNREACHABLE = (None, 429, 502, 503, 504)
"""Answers that are about the receiver as a whole, and not about one message."""
Verdict = Literal["done", "again", "gone"]


def verdict(status: int | None) -> Verdict:
    """What an answer means: 2xx is done, 410 says never again, all else is a failure (nothing: no answer).

    >>> verdict(204), verdict(301), verdict(410), verdict(None)
    ('done', 'again', 'gone', 'again')
    """
    if status is not None and 200 <= status < 300:
        return "done"
    return "gone" if status == 410 else "again"


def delay(attempts: int, chance: float, asked: float | None = None) -> float | None:
    """Seconds until the next attempt after so many, or nothing when that was the last.

    ``chance`` between 0 and 1 spreads the attempts; what a receiver ``asked`` for makes it later, never sooner.

    >>> delay(1, 0.5), delay(7, 1.0), delay(8, 0.5), delay(1, 0.5, asked=60)
    (5.0, 51840.0, None, 60)
    """
    if attempts >= ATTEMPTS:
        return None
    planned = DELAYS[max(attempts, 1) - 1] * (1 + JITTER * (2 * chance - 1))
    return planned if asked is None else max(planned, min(asked, LONGEST))


def pause(attempts: int, chance: float, asked: float | None = None) -> float:
    """Seconds for which nothing is sent to a receiver that can't be reached: a few minutes, or what it asks for.

    >>> pause(1, 0.5), pause(8, 0.5), pause(1, 0.5, asked=3600.0)
    (5.0, 300.0, 3600.0)
    """
    planned = min(delay(attempts, chance) or LONGEST_PAUSE, LONGEST_PAUSE)
    return max(planned, min(asked or 0.0, LONGEST))


def asked_for(header: str | None, now: datetime) -> float | None:
    """The seconds that a ``Retry-After`` asks for, or nothing when it can't be read.

    >>> asked_for("120", datetime(2026, 1, 1, tzinfo=UTC)), asked_for("soon", datetime(2026, 1, 1, tzinfo=UTC))
    (120.0, None)
    """
    text = (header or "").strip()
    if text.isascii() and text.isdigit() and len(text) <= 9:
        return float(text)
    try:
        at = parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError):
        return None
    at = at if at.tzinfo is not None else at.replace(tzinfo=UTC)
    return max(0.0, (at - now).total_seconds())
