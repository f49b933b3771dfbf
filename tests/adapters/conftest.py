"""What the tests of the adapters share."""

from collections.abc import Iterator

import pytest

from mallcore import Mall


@pytest.fixture
def mall() -> Iterator[Mall]:
    """An empty mall on SQLite."""
    with Mall.open("sqlite://") as opened:
        yield opened
