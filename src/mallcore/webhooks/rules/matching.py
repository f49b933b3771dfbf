"""Which events a subscription is about: patterns of names, and where they happen."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from mallcore.errors import InvalidInput

_PATTERN = re.compile(r"\*|[a-z][a-z0-9_]*\.(?:\*|[a-z][a-z0-9_]*)")
MOST_PATTERNS = 50


class Wanted(NamedTuple):
    """What one subscription waits for; no unit and no channel: everywhere."""

    patterns: frozenset[str]
    unit_id: str | None = None
    channel_id: str | None = None


def matches(patterns: Iterable[str], name: str) -> bool:
    """Whether a name is among the patterns.

    >>> matches({"structure.*"}, "structure.revised"), matches({"audit.*", "access.denied"}, "structure.revised")
    (True, False)
    """
    known = frozenset(patterns)
    return name in known or "*" in known or f"{name.partition('.')[0]}.*" in known


def wants(wanted: Wanted, name: str, unit_id: str | None, channel_id: str | None) -> bool:
    """Whether an event of this name, that happened there, is what a subscription waits for.

    >>> wants(Wanted(frozenset({"*"}), channel_id="chn_1"), "structure.unit_created", "unt_1", None)
    False
    """
    if wanted.channel_id is not None and wanted.channel_id != channel_id:
        return False
    if wanted.unit_id is not None and wanted.channel_id is None and wanted.unit_id != unit_id:
        return False
    return matches(wanted.patterns, name)


def checked_patterns(patterns: Iterable[str], known: Iterable[str]) -> tuple[str, ...]:
    """The patterns, sorted; one that names no event there is was misspelt, and would never be heard of."""
    names = frozenset(known)
    found = sorted(set(patterns))
    if not 1 <= len(found) <= MOST_PATTERNS:
        raise InvalidInput(field="events", reason=f"name from 1 to {MOST_PATTERNS} events, or patterns of them")
    for pattern in found:
        if not _PATTERN.fullmatch(pattern) or not any(matches({pattern}, name) for name in names):
            raise InvalidInput(field="events", reason=f"no event is named {pattern[:80]!r}")
    return tuple(found)


_READING = {
    "structure.draft_changed": "structure.draft",
    "structure.schedule_changed": "structure.publish",
    "structure.revised": "structure.history",
    "structure": "structure.read",
    "attachments.copied": "attachments.manage",
    "attachments.copy_lost": "attachments.manage",
    "attachments.collected": "attachments.manage",
    "attachments.drained": "attachments.manage",
    "attachments.erased": "attachments.manage",
    "attachments.hold_placed": "attachments.manage",
    "attachments.hold_released": "attachments.manage",
    "attachments.link_refused": "audit.read",
    "attachments.store_role_set": "attachments.manage",
    "attachments.unknown_deleted": "attachments.manage",
    "attachments.upload_refused": "audit.read",
    "attachments": "attachments.read",
    "access.grant_given": "access.read",
    "access.grant_taken": "access.read",
    "access.role_set": "access.read",
    "access.key_revoked": "access.keys",
    "access.key_rotated": "access.keys",
    "webhooks": "webhooks.read",
}
OTHERWISE = "audit.read"
"""What shows every event there ever was to whoever holds it."""


def permission_to_read(name: str) -> str:
    """The permission by which one could read what an event tells; the audit log's where nothing nearer is known.

    >>> permission_to_read("structure.revised"), permission_to_read("loyalty.points_given")
    ('structure.history', 'audit.read')
    """
    return _READING.get(name) or _READING.get(name.partition(".")[0]) or OTHERWISE
