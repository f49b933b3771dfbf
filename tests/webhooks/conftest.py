"""A mall that may send to this machine, a receiver there, and a clock that tests move."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mallcore import Mall, Principal, structure, webhooks
from tests.webhooks.receiving import Receiver, receiving

ME = Principal.system("test")
LOCAL: dict[str, Any] = {"webhook_insecure": True, "webhook_ports": [], "webhook_networks": ["127.0.0.0/8"]}


class Clock:
    """The time, as a test has it."""

    def __init__(self) -> None:
        self._ahead = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self._ahead

    def forward(self, **how: float) -> None:
        """Let time pass."""
        self._ahead += timedelta(**how)


class Shop:
    """A mall with a channel, and short ways to do what tests of webhooks do."""

    def __init__(self, mall: Mall, clock: Clock) -> None:
        self.mall = mall
        self.clock = clock
        self._number = 0

    @property
    def dispatcher(self) -> webhooks.Dispatcher:
        """What sends."""
        found: webhooks.Dispatcher = self.mall.services.ports[webhooks.Dispatcher]
        return found

    def call(self, operation: Any, principal: Principal = ME, /, **given: Any) -> Any:
        """An operation, in a unit of work of its own."""
        with self.mall.begin(principal) as ctx:
            return operation(ctx, **given)

    def subscribe(self, url: str, *events: str, **more: Any) -> webhooks.NewWebhook:
        """Have events sent there."""
        made: webhooks.NewWebhook = self.call(
            webhooks.create_webhook, url=url, events=list(events or ["structure.*"]), **more
        )
        return made

    def act(self, times: int = 1) -> None:
        """Change something, each time in a transaction of its own."""
        for _ in range(times):
            self._number += 1
            self.call(structure.create_category, channel="books", name=f"Category {self._number}")

    def deliver(self) -> int:
        """Send what is due."""
        return self.dispatcher.deliver()

    def deliveries(self, webhook: str, **more: Any) -> list[webhooks.Delivery]:
        """What was sent there or waits, the oldest first."""
        return list(reversed(self.call(webhooks.list_deliveries, webhook=webhook, limit=200, **more).items))


@pytest.fixture
def clock() -> Clock:
    """The mall's clock."""
    return Clock()


@pytest.fixture
def shop(database_url: str, clock: Clock) -> Iterator[Shop]:
    """The mall, before anybody has subscribed."""
    with Mall.open(database_url, migrate="always", clock=clock, **LOCAL) as mall:
        with mall.begin(ME) as ctx:
            structure.create_channel(ctx, slug="books", name="Books")
        yield Shop(mall, clock)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Somebody who receives."""
    with receiving() as found:
        yield found
