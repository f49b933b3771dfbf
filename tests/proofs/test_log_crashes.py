"""A process that is killed while it keeps the audit log: no place is lost or given twice, no checkpoint is false."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mallcore import Mall, Principal, audit, structure
from tests.proofs.workers import Workers

ME = Principal.system("worker")
LONG = os.environ.get("MALLCORE_PROOFS") == "1"
POINTS = ("commit", *(f"statement:{number}" for number in (range(1, 60) if LONG else (3, 6, 9, 12, 15, 18, 21, 24))))


def test_a_killed_keeper_leaves_a_log_that_goes_on(database_url: str, tmp_path: Path, workers: Workers) -> None:
    """Killed at any point of sequencing, signing and writing, the next one goes on, and the log verifies."""
    store = f"file:{tmp_path / 'checkpoints'}"
    died = 0
    with Mall.open(database_url, migrate="always", follow=False, checkpoints=store, checkpoint_seconds=0.001) as mall:
        with mall.begin(ME) as ctx:
            structure.create_channel(ctx, slug="books", name="Books")
        for turn, point in enumerate(POINTS):
            with mall.begin(ME) as ctx:
                for number in range(2):
                    structure.create_category(ctx, channel="books", name=f"Category {turn}.{number}")
            given = {"url": database_url, "checkpoints": store, "die": point}
            died += workers[0].dies("keeping_log", **given)
            mall.keep_log()
            with mall.begin(ME) as ctx:
                held = audit.verify(ctx)
                assert held.size == held.trusted == 3 + 2 * turn
                records = audit.list_records(ctx, limit=200).items
            assert [one.index for one in records] == list(range(held.size - 1, -1, -1))[:200]
    assert died > 3


def test_four_keepers_at_once_make_one_log(database_url: str, tmp_path: Path, workers: Workers) -> None:
    """Four processes that keep the log at one moment give every record one place, and sign one checkpoint."""
    store = f"file:{tmp_path / 'checkpoints'}"
    with Mall.open(database_url, migrate="always", follow=False, checkpoints=store) as mall:
        with mall.begin(ME) as ctx:
            structure.create_channel(ctx, slug="books", name="Books")
            for number in range(300):
                structure.create_category(ctx, channel="books", name=f"Category {number}")
        done = workers.at_once("keeping_log", [{"url": database_url, "checkpoints": store}] * 4)
        assert sum(done) == 301
        with mall.begin(ME) as ctx:
            assert audit.verify(ctx).trusted == 301


@pytest.fixture(autouse=True)
def _forks_are_there() -> None:
    """Processes are forked."""
    if not hasattr(os, "fork"):
        pytest.skip("this system has no fork")
