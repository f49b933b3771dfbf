"""How often somebody may ask: plans for clients and for anonymous addresses, and a bound on refusals put on record."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import Any, Literal

from mallcore.api.http import Mall, Options, Request, on_event_loop
from mallcore.api.rules import addresses
from mallcore.api.rules.problems import Refused
from mallcore.api.rules.rates import Rate, Standing, headers, parsed
from mallcore.errors import InvalidSettings, MissingExtra, TooManyRequests
from mallcore.kernel.context import Principal
from mallcore.kernel.sparing import Sparing, neighbourhood
from mallcore.kernel.work import MemoryOnly

__all__ = ["Admission", "Limiter", "Refusals"]

Per = Literal["client", "credential"]
MEMORY = "memory://"
_ENDLESS = 1 << 62


class Limiter:
    """Counts requests by moving windows, each caller's under the plan of its credential.

    Who has no plan has the one named ``default``, and who is nobody, by its address, the one named ``anonymous``;
    without such a plan there is no limit. All credentials of a client share what its plan allows, or (``per`` is
    "credential") each has it for itself. In ``memory://`` every process counts for itself.
    """

    def __init__(self, plans: Mapping[str, str], storage: str = MEMORY, per: Per = "client") -> None:
        self._plans = {name: parsed(name, plan) for name, plan in plans.items()}
        self._waits = not storage.startswith(MEMORY)
        self._per = per
        self._storage = storage
        self._windows: Any = _windows(storage) if self._plans else None
        self._items = {rate: _item(rate) for plan in self._plans.values() for rate in plan}

    def forget_parent(self) -> None:
        """In a forked child: locks and connections belong to the parent."""
        if self._plans:
            self._windows = _windows(self._storage)

    def check(self, principal: Principal, request: Request) -> list[tuple[str, str]]:
        """Count a request; returns the headers its response gets, or raises `Refused` (429).

        On an event loop, it raises `MemoryOnly` if it would have to wait for a server.
        """
        credential = principal.credential
        plan = "anonymous" if principal.kind == "anonymous" else None if credential is None else credential.plan
        rates = self._plans.get(plan or "default") or (self._plans.get("default") if plan != "anonymous" else None)
        if not rates or principal.kind == "system":
            return []
        if self._waits and on_event_loop():
            raise MemoryOnly()
        who = self._who(principal, request)
        # Of several windows all are asked first: what one refuses must not count in another.
        if len(rates) == 1 or all(self._windows.test(self._items[rate], who) for rate in rates):
            passed = [self._windows.hit(self._items[rate], who) for rate in rates]
            if all(passed):
                return headers(self._standings(rates, who))
        raise self._refused(self._standings(rates, who))

    def _who(self, principal: Principal, request: Request) -> str:
        credential = principal.credential
        if principal.kind == "anonymous":
            return f"address:{neighbourhood(request.address)}"
        if credential is not None and self._per == "credential":
            return f"credential:{credential.id}"
        return principal.ref

    def _standings(self, rates: tuple[Rate, ...], who: str) -> list[Standing]:
        found = []
        for rate in rates:
            stats = self._windows.get_window_stats(self._items[rate], who)
            left = max(0, stats.remaining)
            found.append(Standing(rate, left, max(1, math.ceil(stats.reset_time - time.time()))))
        return found

    @staticmethod
    def _refused(standings: list[Standing]) -> Refused:
        spent = [one for one in standings if one.left == 0] or standings
        longest = max(spent, key=lambda one: one.reset)
        return _too_many(longest.rate.most, longest.rate.window, longest.reset, headers(standings))


class Admission:
    """What is asked of every request before anything is done for it: where it is from, and whether it is too many."""

    def __init__(self, mall: Mall, options: Options) -> None:
        with mall.memory(Principal.anonymous()) as ctx:
            self._limiter = ctx.port(Limiter)
        self._refusals = Refusals(options.max_refusals)
        self._proxies = addresses.networks(options.proxies)
        self._header: addresses.Header = options.forwarded

    def address(self, request: Request) -> str:
        """From where a request comes."""
        near = addresses.peer(request.origin)
        return addresses.address(near, request.headers, self._proxies, self._header) if self._proxies else near

    def admit(self, principal: Principal, request: Request) -> list[tuple[str, str]]:
        """The headers for the response; raises `Refused` (429) when it is too many."""
        if principal.kind == "anonymous":
            self._refusals.check(request)
        return self._limiter.check(principal, request)

    def refused(self, request: Request) -> None:
        """Nobody known asked, and was refused."""
        self._refusals.note(request)


class Refusals:
    """Bounds how many refusals of one anonymous address are put on record in a minute; after that it is put off."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._sparing = Sparing(most, _ENDLESS)

    def check(self, request: Request) -> None:
        """Raise `Refused` (429) for an anonymous caller that was refused too often."""
        if self._sparing.spent(neighbourhood(request.address)):
            raise _too_many(self._most, 60, max(1, math.ceil(self._sparing.seconds_left)), [])

    def note(self, request: Request) -> None:
        """A request of nobody known was refused."""
        self._sparing.take(neighbourhood(request.address))


def _too_many(most: int, window: int, retry_after: int, more: list[tuple[str, str]]) -> Refused:
    error = TooManyRequests(limit=most, window=window, retry_after=retry_after)
    return Refused(429, error, {"retry-after": str(retry_after), **dict(more)})


def _windows(storage: str) -> Any:
    try:
        from limits.errors import ConfigurationError
        from limits.storage import storage_from_string
        from limits.strategies import MovingWindowRateLimiter
    except ImportError as error:
        raise MissingExtra(what="Limiting how often clients may ask", extra="limits") from error
    try:
        return MovingWindowRateLimiter(storage_from_string(storage))
    except ConfigurationError as error:
        scheme = storage.partition(":")[0][:40]
        raise InvalidSettings(setting="rates", reason=f"{scheme!r} can't be used: {type(error).__name__}") from None


def _item(rate: Rate) -> Any:
    from limits import RateLimitItemPerSecond

    return RateLimitItemPerSecond(rate.most, rate.window, namespace="mallcore")
