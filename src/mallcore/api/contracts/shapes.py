"""What the operations about versions answer."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from mallcore.api.rules.differing import Difference
from mallcore.api.rules.noting import MEDIA_TYPES, Notes, rendered


class _Shape(BaseModel):
    model_config = ConfigDict(frozen=True)


class BrownOut(_Shape):
    """A time at which a deprecated version is switched off, to show who still uses it."""

    begins_at: datetime
    ends_at: datetime


class VersionInfo(_Shape):
    """A version of the API: its state now, and the dates of its life. ``latest`` is what new callers should use."""

    name: str
    state: Literal["preview", "stable", "deprecated", "brown-out", "sunset"]
    latest: bool
    stable_at: datetime | None = None
    deprecated_at: datetime | None = None
    sunset_at: datetime | None = None
    brown_outs: list[BrownOut] = []
    successor: str | None = None
    changes: int = 0
    """How many changes came with it."""


class ContractDifference(_Shape):
    """One difference between the contracts of two versions."""

    level: Literal["breaking", "warning", "additive"]
    rule: str
    where: str
    sentence: str
    old: Any = None
    new: Any = None
    advice: str = ""

    @classmethod
    def of(cls, one: Difference) -> ContractDifference:
        """The difference as an answer."""
        return cls(**one.as_json())


class VersionDifferences(_Shape):
    """All that differs between two versions, the worst first."""

    since: str
    until: str
    breaking: int
    warnings: int
    additive: int
    differences: list[ContractDifference]


class NotedOperation(_Shape):
    """An operation that a change concerns: what of it, and how it was and is reached."""

    operation: str
    parts: list[str]
    before: str | None = None
    after: str | None = None
    graphql: str | None = None


class NotedExample(_Shape):
    """A payload before a change, and what the conversion made of it."""

    subject: str
    before: Any
    after: Any


class ChangeNote(_Shape):
    """One change: what, why, who is concerned, and how data look before and after."""

    version: str
    change: str
    title: str
    text: str
    subjects: list[str]
    fields: list[str]
    operations: list[NotedOperation]
    examples: list[NotedExample]


class MigrationNotes(_Shape):
    """All that changed from one version to another, the oldest change first."""

    since: str
    until: str
    notes: list[ChangeNote]

    def in_form(self, media_type: str, address: str) -> str:
        """The notes as Markdown, or as an Atom feed that lies at this address."""
        form = next(name for name, media in MEDIA_TYPES.items() if media.startswith(media_type))
        return rendered(Notes.of(self.model_dump(mode="json")), form, address)
