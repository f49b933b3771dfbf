"""The life of an upload's intent: open or staged, then attached (and gone) or expired, swept, and gone."""

from __future__ import annotations

from datetime import datetime, timedelta

OPEN = ("open", "staged")
"""States of an upload that is alive: what it claims is not collected."""
EXPIRED = "expired"
"""Given up; what it may have written is still to be deleted."""
SWEPT = "swept"
"""Deleted once. It is kept on record, for a process thought dead may still write under its key."""
PREFIXES = ("b/", "u/")
"""How keys of contents and of what uploads receive begin: other objects in a store are not ours."""
GIVEN_UP_AFTER = timedelta(days=7)
"""How long after the end of its lease an upload may still write; then its key is deleted once more, and forgotten."""


def is_over(lease_until: datetime, now: datetime) -> bool:
    """Whether even a process that was thought dead has had its time.

    >>> from datetime import UTC
    >>> is_over(datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 7, tzinfo=UTC))
    False
    """
    return now >= lease_until + GIVEN_UP_AFTER
