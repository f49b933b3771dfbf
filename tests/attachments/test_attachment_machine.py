"""Attachments as processes use them, in any order, stalled, dead and undead, against a dictionary."""

import os

import pytest
from hypothesis import Phase, settings

from mallcore.testing.attachment_machine import check_attachments

LONG = os.environ.get("MALLCORE_PROOFS") == "1"
SHORT = settings(
    max_examples=400 if LONG else 20,
    stateful_step_count=60 if LONG else 25,
    phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],
)


@pytest.mark.slow
def test_whatever_happens_nothing_is_lost_and_in_the_end_nothing_is_left(database_url: str) -> None:
    """Uploads, rollbacks, drops, collectors that stall, zombies, ended leases, deaths, mirrors and migrations."""
    check_attachments(database_url, settings=SHORT)
