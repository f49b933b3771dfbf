"""A mall with an authorization server, for each test a new one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from mallcore import Mall
from tests.access.oauth.world import URL, Clock, World


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def world(database_url: str, clock: Clock) -> Iterator[World]:
    with Mall.open(database_url, migrate="always", clock=clock, issuer=URL) as mall:
        yield World(mall, clock)


@pytest.fixture(scope="session")
def still() -> Iterator[World]:
    """A world for tests that change nothing in it."""
    with Mall.open("sqlite://", clock=(clock := Clock()), issuer=URL) as mall:
        yield World(mall, clock)
