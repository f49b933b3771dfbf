"""The versions of our own API: when each was released, and what changed with it."""

from __future__ import annotations

from datetime import UTC, datetime

from mallcore.api.releases import v2026_08_01, v2026_11_01
from mallcore.api.versions import Release, Versions

RELEASES = (
    Release("2026-05-01", stable=datetime(2026, 5, 1, tzinfo=UTC)),
    Release("2026-08-01", stable=datetime(2026, 8, 1, tzinfo=UTC)),
    Release("2026-11-01", stable=datetime(2026, 11, 1, tzinfo=UTC)),
)

CHANGES = (*v2026_08_01.CHANGES, *v2026_11_01.CHANGES)
"""What changed between them, oldest first."""

OURS = Versions(RELEASES, CHANGES)
"""Our own versions; a mall has those of its plug-ins, too."""

__all__ = ["CHANGES", "OURS", "RELEASES"]
