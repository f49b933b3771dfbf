"""A mall follows other processes by its database's bus."""

from __future__ import annotations

import threading

from mallcore import Mall, Principal, structure

ME = Principal.system("me")


def test_the_bus_tells_of_changes_made_elsewhere(database_url: str) -> None:
    """A follower is connected to the bus, and hears of another mall's commit long before a poll would find it."""
    moved = threading.Event()
    with Mall.open(database_url, migrate="always") as writer:
        with writer.begin(ME) as ctx:
            structure.create_channel(ctx, slug="books", name="Books")
        with Mall.open(database_url, poll_seconds=3600) as reader:
            with reader.begin(ME) as ctx:
                stream = structure.watch(ctx, channel="books")
            stream.subscribe(moved.set)
            with writer.begin(ME) as ctx:
                structure.create_category(ctx, channel="books", name="Crime")
            assert moved.wait(60)
            assert reader.follower.connected
            with reader.begin(ME) as ctx:
                assert structure.tree(ctx, channel="books").revision == 1
