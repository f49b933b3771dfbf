"""Fixtures of mallcore's own tests; those for hosts and plug-in authors are in mallcore.testing.plugin."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.proofs.workers import Workers

pytest.register_assert_rewrite("tests.adapters.faces", "tests.adapters.scenarios", "tests.attachments.storehouse")

REPOSITORY = Path(__file__).resolve().parent.parent

# How fast data are made says how busy the machine is, and nothing of what is tested.
BUSY = [HealthCheck.too_slow]
settings.register_profile(
    "ci", max_examples=40, stateful_step_count=25, deadline=None, derandomize=True, suppress_health_check=BUSY
)
settings.register_profile(
    "proofs",
    max_examples=1000,
    stateful_step_count=60,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.load_profile("proofs" if os.environ.get("MALLCORE_PROOFS") == "1" else "ci")


ON_ONE_DATABASE = {
    "test_api_keys.py", "test_attacks.py", "test_bad_input.py", "test_delivery.py", "test_derivatives.py",
    "test_edge.py", "test_egress.py", "test_grants.py", "test_ingest.py", "test_isolation_over_graphql.py",
    "test_isolation_over_rest.py", "test_keys.py", "test_links.py", "test_living_structure.py", "test_owners.py",
    "test_persons.py", "test_redirects.py", "test_subscriptions.py", "test_sessions.py", "test_tokens.py",
    "test_trail.py", "test_verdicts.py",
}  # fmt: skip
"""What these promise is the same SQL as in the stories, or none: on PostgreSQL they run in `nox -s proofs`."""
SLOW_TO_FAIL = {"s3fs", "azure"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep the default sessions within their time: what says the same a second time is a proof."""
    for item in items:
        second = item.path.name in ON_ONE_DATABASE and item.get_closest_marker("postgres") is not None
        faulty = item.path.name == "test_faulty_stores.py" and _parameter(item) in SLOW_TO_FAIL
        killed = item.path.name == "test_store_crashes.py" and item.get_closest_marker("objects") is not None
        if second or faulty or killed or "TestS3fs" in item.nodeid:
            item.add_marker(pytest.mark.proof)


def _parameter(item: pytest.Item) -> str:
    callspec = getattr(item, "callspec", None)
    return "" if callspec is None else str(callspec.params.get("place", ""))


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test stands in a folder of its own: what it leaves there, as object stores do, is no other's."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a new, empty database, once on SQLite and once on PostgreSQL."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'mall.db'}"
    url: str = request.getfixturevalue("postgres_url")
    return url


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of shared test data beside the repository (or MALLCORE_SHARED); skipped by name where it is absent."""
    folder = Path(os.environ.get("MALLCORE_SHARED", REPOSITORY.parent / "shared"))
    if not folder.is_dir():
        pytest.skip(f"shared test data: no folder {folder} (set MALLCORE_SHARED)")
    return folder


@pytest.fixture(scope="session")
def workers() -> Iterator[Workers]:
    """Other processes, which do what a test tells them and may be killed at it."""
    started = Workers()
    yield started
    started.stop()
