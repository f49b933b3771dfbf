"""The pytest plug-in of mallcore: fixtures for hosts and plug-in authors.

pytest imports this module in every run of every project that has mallcore installed. So everything heavy is imported
when a fixture is first used, never here.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from mallcore.testing.servers import Databases


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Databases]:
    """A PostgreSQL server for the whole run; who asks for it is skipped, with the reason, where there is none."""
    from mallcore.testing import servers

    try:
        server = servers.postgres()
    except servers.ServerUnavailable as error:
        pytest.skip(f"PostgreSQL: {error}")
    with server:
        yield server


@pytest.fixture
def postgres_url(postgres_server: Databases) -> Iterator[str]:
    """The URL of a new, empty PostgreSQL database, dropped after the test."""
    url = postgres_server.create_database()
    yield url
    postgres_server.drop_database(url)
