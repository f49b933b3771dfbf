"""The chain of revisions: each digest covers its parent's, so that a changed past shows."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import NamedTuple

from mallcore.structure.rules.edits import Edit, edits_to_json


class Record(NamedTuple):
    """One revision as it is kept. ``edits`` is the canonical JSON text that the digest covers."""

    number: int
    author: str
    message: str
    at: datetime
    edits: str
    digest: str


def canonical_edits(edits: Iterable[Edit]) -> str:
    """The edits as JSON text with one spelling: what a digest covers."""
    return json.dumps(edits_to_json(edits), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def digest(parent: str, number: int, author: str, message: str, at: datetime, edits: str) -> str:
    """The SHA-256 over a revision and its parent's digest, in hex.

    >>> at = datetime(2026, 11, 1, tzinfo=UTC)
    >>> digest("", 1, "user:ada", "", at, "[]") == digest("", 1, "user:ada", "", at, "[]")
    True
    """
    head = json.dumps([parent, number, author, message, _micros(at)], ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(head.encode() + b"\n" + edits.encode()).hexdigest()


def _micros(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="microseconds")


def first_broken(records: Iterable[Record], parent: str = "", first: int = 0) -> tuple[int, str] | None:
    """The number of the first revision that doesn't verify and why, or nothing when all do."""
    expected = first
    for record in records:
        if record.number != expected:
            return expected, f"revision {expected} is missing"
        if record.digest != digest(parent, record.number, record.author, record.message, record.at, record.edits):
            return record.number, "its digest does not match its content and its parent"
        parent, expected = record.digest, expected + 1
    return None
