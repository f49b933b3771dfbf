"""Fixtures of attachments: where objects are kept, and a mall whose clock tests move."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from tests.attachments.storehouse import Storehouse

STORES = [
    "memory",
    "local",
    pytest.param("s3", marks=pytest.mark.objects),
    pytest.param("azure", marks=pytest.mark.objects),
]


@pytest.fixture(params=STORES)
def objects_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty object store of each kind."""
    if request.param == "memory":
        return "memory://"
    if request.param == "local":
        return (tmp_path / "objects").as_uri()
    server = request.getfixturevalue("seaweed_server" if request.param == "s3" else "azurite_server")
    url: str = server.url("attachments", f"p{uuid4().hex[:12]}")
    return url


@pytest.fixture
def house(database_url: str) -> Iterator[Storehouse]:
    """A mall with two stores in memory, on every database."""
    found = Storehouse(database_url, "memory://", stores={"second": "memory://"})
    yield found
    found.close()
