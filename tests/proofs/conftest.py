"""With MALLCORE_PROOFS=1 the tests in this folder take their long form, and are the ones marked ``proof``."""

import os
from pathlib import Path

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what is in its long form."""
    if os.environ.get("MALLCORE_PROOFS") == "1":
        for item in items:
            if item.path.is_relative_to(Path(__file__).parent):
                item.add_marker(pytest.mark.proof)
