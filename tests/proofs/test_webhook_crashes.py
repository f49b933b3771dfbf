"""Crashes of webhooks: killed anywhere between a commit and its message's arrival, the message arrives, with one id."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import select

from mallcore import Mall, Principal, structure, webhooks
from mallcore.webhooks.model.tables import delivery, outbox
from tests.proofs.workers import Workers
from tests.webhooks.conftest import LOCAL, Clock
from tests.webhooks.receiving import Receiver, receiving

ME = Principal.system("worker")
LONG = os.environ.get("MALLCORE_PROOFS") == "1"
POINTS = (
    *("sending", "sent", "commit"),
    *(f"statement:{number}" for number in (range(1, 40) if LONG else (2, 4, 6, 8, 11, 14))),
)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Somebody who receives."""
    with receiving() as found:
        yield found


def act(mall: Mall, name: str) -> None:
    """One event, committed."""
    with mall.begin(ME) as ctx:
        structure.create_category(ctx, channel="books", name=name)


def opened(url: str, receiver: Receiver, clock: Clock, hooks: int = 1) -> Mall:
    """A mall with a channel, whose events are sent to the receiver."""
    mall = Mall.open(url, migrate="always", follow=False, clock=clock, **LOCAL)
    with mall.begin(ME) as ctx:
        structure.create_channel(ctx, slug="books", name="Books")
        for number in range(hooks):
            webhooks.create_webhook(ctx, url=f"{receiver.url}&n={number}", events=["structure.revised"])
    return mall


def ids(mall: Mall, **wanted: Any) -> list[str]:
    """The ids of the events in the outbox."""
    with mall.engine.connect() as connection:
        return list(connection.execute(select(outbox.c.id).order_by(outbox.c.id)).scalars())


def test_a_killed_sender_loses_nothing(database_url: str, workers: Workers, receiver: Receiver) -> None:
    """Killed before, at and after a message went out, its claim ends, and another sends it: at least once, same id."""
    clock, died = Clock(), 0
    with opened(database_url, receiver, clock) as mall:
        for number, point in enumerate(POINTS):
            act(mall, f"Category {number}")
            died += workers[0].dies("sending_webhooks", url=database_url, die=point, **LOCAL)
            clock.forward(minutes=3)
            mall.services.ports[webhooks.Dispatcher].deliver()
            assert sorted(set(receiver.ids)) == ids(mall)
        with mall.engine.connect() as connection:
            assert set(connection.execute(select(delivery.c.state)).scalars()) == {"sent"}
    assert died > 3
    assert max(Counter(receiver.ids).values()) == 2  # the one that died between sending and writing it down


def test_a_killed_writer_tells_nothing_that_is_not_there(
    database_url: str, workers: Workers, receiver: Receiver
) -> None:
    """Killed before its commit, nothing is sent; killed after it, before anybody is told, the message arrives."""
    clock = Clock()
    with opened(database_url, receiver, clock) as mall:
        for number, point in enumerate(("statement:3", "commit", "committed")):
            given = {"channel": "books", "name": f"Category {number}"}
            assert workers[0].dies("changing", url=database_url, action="create_category", given=given, die=point)
        mall.services.ports[webhooks.Dispatcher].deliver()
        told = [node["name"] for one in receiver.received for node in one.told["data"]["after"].values()]
        assert told == ["Category 2"]
        with mall.begin(ME) as ctx:
            assert structure.tree(ctx, channel="books").revision == len(told)


def test_four_senders_at_once_send_each_message_once(database_url: str, workers: Workers, receiver: Receiver) -> None:
    """Four processes that send at one moment lose nothing, and as none dies, nothing is sent twice."""
    with opened(database_url, receiver, Clock(), hooks=4) as mall:
        for number in range(25):
            act(mall, f"Category {number}")
        workers.at_once("sending_webhooks", [{"url": database_url, **LOCAL}] * 4)
        mall.services.ports[webhooks.Dispatcher].deliver()
        assert Counter(receiver.ids) == dict.fromkeys(ids(mall), 4)


@pytest.fixture(autouse=True)
def _forks_are_there() -> None:
    """Processes are forked."""
    if not hasattr(os, "fork"):
        pytest.skip("this system has no fork")
