"""Plans: how often somebody may ask, as text such as ``100/minute;10000/day``, and what headers say of them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from mallcore.errors import InvalidSettings

UNITS: Mapping[str, int] = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}
_ONE = re.compile(rf"([0-9]{{1,9}})\s*/\s*([0-9]{{1,4}}\s+)?({'|'.join(UNITS)})s?")
_NAME = re.compile(r"[a-z][a-z0-9_-]{0,99}")
MOST = 5


class Rate(NamedTuple):
    """So many requests in a window of so many seconds."""

    most: int
    window: int

    @property
    def name(self) -> str:
        """What headers call it.

        >>> Rate(100, 60).name, Rate(5, 90).name
        ('minute', '90s')
        """
        return next((unit for unit, seconds in UNITS.items() if seconds == self.window), f"{self.window}s")


class Standing(NamedTuple):
    """Where somebody stands in one window: how many requests are left, and in how many seconds there are more."""

    rate: Rate
    left: int
    reset: int


def parsed(name: str, plan: str) -> tuple[Rate, ...]:
    """The rates of a plan, the shortest window first; `InvalidSettings` for one that makes no sense.

    >>> parsed("partner", "10000/day; 100/minute")
    (Rate(most=100, window=60), Rate(most=10000, window=86400))
    """
    if _NAME.fullmatch(name) is None:
        raise InvalidSettings(setting="plans", reason=f"{name[:100]!r} is no name: it has a-z, 0-9, - and _")
    rates = [_rate(name, part) for part in plan.split(";")]
    if len(rates) > MOST or len({rate.window for rate in rates}) < len(rates):
        raise InvalidSettings(setting="plans", reason=f"the plan {name!r} has too many windows, or one of them twice")
    return tuple(sorted(rates, key=lambda rate: rate.window))


def _rate(name: str, part: str) -> Rate:
    found = _ONE.fullmatch(part.strip())
    if found is None or int(found[1]) < 1 or int(found[2] or 1) < 1:
        reason = f"{part[:60]!r} in the plan {name!r} is not of the form 100/minute or 10/5 seconds"
        raise InvalidSettings(setting="plans", reason=reason)
    return Rate(int(found[1]), int(found[2] or 1) * UNITS[found[3]])


def headers(standings: list[Standing]) -> list[tuple[str, str]]:
    """``RateLimit-Policy`` and ``RateLimit`` (draft-ietf-httpapi-ratelimit-headers): the promise, and where one stands.

    >>> headers([Standing(Rate(100, 60), 99, 60)])[1]
    ('ratelimit', '"minute";r=99;t=60')
    """
    policy = ", ".join(f'"{one.rate.name}";q={one.rate.most};w={one.rate.window}' for one in standings)
    tightest = min(standings, key=lambda one: (one.left, -one.reset))
    state = f'"{tightest.rate.name}";r={tightest.left};t={tightest.reset}'
    return [("ratelimit-policy", policy), ("ratelimit", state)]
