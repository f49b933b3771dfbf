"""The versions of our own API: when each was released, and what changed with it."""

from __future__ import annotations

from datetime import UTC, datetime

from mallcore.api.versions import Release

RELEASES = (
    Release("2026-05-01", stable=datetime(2026, 5, 1, tzinfo=UTC)),
    Release("2026-08-01", stable=datetime(2026, 8, 1, tzinfo=UTC)),
    Release("2026-11-01", stable=datetime(2026, 11, 1, tzinfo=UTC)),
)

__all__ = ["RELEASES"]
