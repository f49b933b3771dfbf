"""Fixtures of mallcore's own tests; those for hosts and plug-in authors are in mallcore.testing.plugin."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.proofs.workers import Workers

pytest.register_assert_rewrite("tests.adapters.faces", "tests.adapters.scenarios", "tests.attachments.storehouse")

REPOSITORY = Path(__file__).resolve().parent.parent

settings.register_profile("ci", max_examples=40, stateful_step_count=25, deadline=None, derandomize=True)
settings.register_profile(
    "proofs",
    max_examples=1000,
    stateful_step_count=60,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.load_profile("proofs" if os.environ.get("MALLCORE_PROOFS") == "1" else "ci")


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
