"""A mall with a log to look at, and what tests of the log share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from mallcore import Mall, Principal, access, audit, structure
from mallcore.backends.memory import MemoryStore

ME = Principal.system("test")
ADA = Principal.user("ada")


class Log:
    """A mall and its log."""

    def __init__(self, mall: Mall, store: MemoryStore) -> None:
        self.mall = mall
        self.store = store
        self.number = 0

    def act(self, times: int = 1, principal: Principal = ADA) -> None:
        """Change something, each time in a transaction of its own."""
        for _ in range(times):
            self.number += 1
            with self.mall.begin(principal) as ctx:
                structure.create_category(ctx, channel="books", name=f"Category {self.number}")

    def call(self, operation: Any, **given: Any) -> Any:
        """An operation, in a unit of work of its own."""
        with self.mall.begin(ME) as ctx:
            return operation(ctx, **given)

    def records(self, **wanted: Any) -> list[Any]:
        """Records, newest first."""
        return self.call(audit.list_records, **{"limit": 200, **wanted}).items  # type: ignore[no-any-return]

    def vkeys(self) -> list[str]:
        """What verifies the log's checkpoints."""
        return [one.key for one in self.call(audit.verification_keys)]

    def file(self) -> list[bytes]:
        """The log as a file's lines."""
        with self.mall.begin(ME) as ctx:
            return list(audit.export(ctx))


@pytest.fixture
def log(database_url: str) -> Iterator[Log]:
    """A mall with one channel, whose checkpoints go to a store in memory."""
    with Mall.open(database_url, migrate="always", checkpoints="memory://") as mall:
        store = mall.stores.checkpoints
        assert isinstance(store, MemoryStore)
        with mall.begin(ME) as ctx:
            structure.create_channel(ctx, slug="books", name="Books")
            access.grant(ctx, principal=ADA.ref, role="editor", scope="channel", channel="books")
        yield Log(mall, store)
