"""Plug-ins that listen to events, and those that are refused."""

import logging
from typing import Any

import pytest

from mallcore import Mall, Principal, hookimpl, structure
from mallcore.errors import InvalidSettings

ME = Principal.system("test")


def test_a_listener_that_fails_after_the_commit_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """What is committed is not reported as failed, whatever a listener does; the next announcement goes out."""

    class Failing:
        heard: list[str] = []  # noqa: RUF012

        @hookimpl
        def event_committed(self, event: Any) -> None:
            self.heard.append(event.name)
            raise ValueError("no")

    with Mall.open("sqlite://", plugins=[Failing()]) as mall:
        with caplog.at_level(logging.ERROR, "mallcore"), mall.begin(ME) as ctx:
            structure.create_channel(ctx, slug="books", name="Books")
            structure.create_section(ctx, channel="books", name="Fiction")
        with mall.begin(ME) as ctx:
            assert len(structure.tree(ctx, channel="books")) == 1
    assert Failing.heard == ["structure.channel_created", "structure.revised"]
    assert [record.getMessage() for record in caplog.records] == [
        "a listener to event_committed failed at structure.channel_created",
        "a listener to event_committed failed at structure.revised",
    ]


def test_a_listener_that_fails_in_the_transaction_rolls_it_back() -> None:
    """`event_recorded` is part of the change: when a listener raises, nothing is kept."""

    class Refusing:
        @hookimpl
        def event_recorded(self, ctx: Any, event: Any) -> None:
            raise ValueError("no")

    with Mall.open("sqlite://", plugins=[Refusing()]) as mall:
        with pytest.raises(ValueError, match="no"), mall.begin(ME) as ctx:
            structure.create_channel(ctx, slug="books", name="Books")
        with mall.begin(ME) as ctx:
            assert structure.list_channels(ctx).items == []


def test_a_misspelt_hook_is_refused() -> None:
    """A plug-in whose hook nobody calls does not get in, and leaves nothing open."""

    class Misspelt:
        @hookimpl
        def event_comitted(self, event: Any) -> None: ...

    with pytest.raises(InvalidSettings, match="event_comitted"):
        Mall.open("sqlite://", plugins=[Misspelt()])
