"""What operations of the audit log give back."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict


class _Shape(BaseModel):
    model_config = ConfigDict(frozen=True)


class Record(_Shape):
    """One thing that was done, or refused (``outcome`` is ``ok`` or ``denied``).

    A person whose key was destroyed is ``user:(erased)``. ``index`` is the record's place in the log, once it has one.
    """

    id: str
    at: datetime
    principal: str
    operation: str
    event: str
    outcome: str
    subject: str
    unit_id: str | None = None
    channel_id: str | None = None
    revision: int | None = None
    before: dict[str, Any] | None = None
    after: dict[str, Any] | None = None
    request_id: str
    jti: str | None = None
    personal: dict[str, Any] | None = None
    index: int | None = None


class SignedCheckpoint(_Shape):
    """A checkpoint: the log's size and root at a time, and the signed note that says so.

    ``stored_at`` is when the second store had it; while that is empty, ``failure`` says why the last try failed.
    """

    size: int
    root: str
    note: str
    made_at: datetime
    stored_at: datetime | None = None
    failure: str | None = None


class VerificationKeyInfo(_Shape):
    """A key that verifies checkpoints, in C2SP's form; ``state`` is ``current``, ``old`` or ``revoked``."""

    number: int
    key: str
    state: Literal["current", "old", "revoked"]
    created_at: datetime


class Proof(_Shape):
    """A proof that can be checked without the mall: of a record (`inclusion`), or of the log's growth (`consistency`).

    ``old`` is the older checkpoint of a growth; ``index`` and ``leaf`` are the record's.
    """

    kind: Literal["inclusion", "consistency"]
    index: int | None = None
    leaf: str | None = None
    old: str | None = None
    path: list[str]
    checkpoint: str


class VerifiedLog(_Shape):
    """The log holds: so many records, of which a checkpoint from outside the database vouches for ``trusted``."""

    origin: str
    size: int
    root: str
    checkpoints: int
    trusted: int
    waiting: int


class Erased(_Shape):
    """How many keys were destroyed, and how many records name nobody since."""

    subjects: int
    records: int


class BadLineInfo(_Shape):
    """A line of an edge log that was left out, by its number."""

    line: int
    reason: str


class Ingested(_Shape):
    """What a log of an edge told: its new lines by whether a link of ours led there, and those left out."""

    lines: int
    known: int
    matched: int
    unmatched: int
    forged: int
    bad: int
    problems: list[BadLineInfo]
