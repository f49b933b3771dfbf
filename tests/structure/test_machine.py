"""The structure as people use it, in any order, against a model of plain dictionaries, on every database."""

import os

import pytest
from hypothesis import Phase, settings

from mallcore.testing.structure_machine import check_structure

LONG = os.environ.get("MALLCORE_PROOFS") == "1"
SHORT = settings(
    max_examples=300 if LONG else 12,
    stateful_step_count=60 if LONG else 25,
    phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],
)


@pytest.mark.slow
def test_whatever_is_done_reads_back_as_the_model_has_it(database_url: str) -> None:
    """Edits, drafts, publishes, rollbacks, undos, schedules and snapshots in any order; every revision reads back."""
    check_structure(database_url, settings=SHORT)


@pytest.mark.postgres
@pytest.mark.slow
def test_hash_partitions_keep_the_same_promises(postgres_url: str) -> None:
    """The same on PostgreSQL with hash partitions."""
    check_structure(postgres_url, settings=settings(SHORT, max_examples=SHORT.max_examples // 3), partitions="hash")
