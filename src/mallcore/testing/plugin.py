"""The pytest plug-in of mallcore: fixtures for hosts and plug-in authors.

pytest imports this module in every run of every project that has mallcore installed. So everything heavy is imported
when a fixture is first used, never here.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from mallcore.testing.object_servers import AzuriteServer, SeaweedServer
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


@pytest.fixture(scope="session")
def seaweed() -> Iterator[SeaweedServer]:
    """S3 by SeaweedFS for the whole run; who asks for it is skipped, with the reason, where there is none."""
    from mallcore.testing import object_servers

    yield from _started(object_servers.SeaweedServer(), "SeaweedFS")


@pytest.fixture(scope="session")
def azurite() -> Iterator[AzuriteServer]:
    """Azure Blob by Azurite for the whole run; who asks for it is skipped, with the reason, where there is none."""
    from mallcore.testing import object_servers

    yield from _started(object_servers.AzuriteServer(), "Azurite")


def _started(server: Any, name: str) -> Iterator[Any]:
    from mallcore.testing.servers import ServerUnavailable

    try:
        server.start()
    except ServerUnavailable as error:
        server.stop()
        pytest.skip(f"{name}: {error}")
    with server:
        yield server


@pytest.fixture(scope="session")
def seaweed_server() -> Iterator[SeaweedServer]:
    """S3 by SeaweedFS, one for the whole run; who asks for it is skipped, with the reason, where there is none."""
    from mallcore.testing import object_servers

    try:
        server = object_servers.seaweed()
    except object_servers.ServerUnavailable as error:
        pytest.skip(f"SeaweedFS: {error}")
    with server:
        yield server


@pytest.fixture(scope="session")
def azurite_server() -> Iterator[AzuriteServer]:
    """Azure Blob by Azurite, one for the whole run; who asks is skipped, with the reason, where there is none."""
    from mallcore.testing import object_servers

    try:
        server = object_servers.azurite()
    except object_servers.ServerUnavailable as error:
        pytest.skip(f"Azurite: {error}")
    with server:
        yield server
