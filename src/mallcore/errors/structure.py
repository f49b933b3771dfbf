"""Errors of the structure."""

from __future__ import annotations

from typing import Any, NamedTuple

from mallcore.errors.roots import Conflict, InvalidInput, NotFound, Unavailable, default_message


class InvalidReference(InvalidInput):
    """{reference!r} names no revision: give a number, a time such as 2026-11-01T00:00:00Z, or a snapshot's name."""

    code = "invalid-reference"


class TaxonomyProblem(NamedTuple):
    """One thing that is wrong in a taxonomy file: the line (from 1; 0 = the whole file) and why."""

    line: int
    reason: str


class MalformedTaxonomy(InvalidInput):
    """The taxonomy can't be read; nothing was imported."""

    code = "malformed-taxonomy"
    problems: list[TaxonomyProblem]

    def __init__(self, message: str | None = None, *, problems: list[TaxonomyProblem], **details: Any) -> None:
        found = [TaxonomyProblem(*problem) for problem in problems]
        lines = "".join(f"\n  line {line}: {reason}" if line else f"\n  {reason}" for line, reason in found)
        text = message if message is not None else default_message(type(self), {}) + lines
        super().__init__(text, problems=found, **details)


class UnknownUnit(NotFound):
    """There is no unit {unit!r}: list the units to see those there are."""

    code = "unknown-unit"


class UnknownChannel(NotFound):
    """There is no channel {channel!r}: list the channels, or name it as unit:slug."""

    code = "unknown-channel"


class UnknownNode(NotFound):
    """There is no node {node!r} in this tree."""

    code = "unknown-node"


class UnknownRevision(NotFound):
    """The channel has no revision {revision!r}: its revisions are {first} to {last}."""

    code = "unknown-revision"


class UnknownDraft(NotFound):
    """There is no draft {draft!r}."""

    code = "unknown-draft"


class UnknownSchedule(NotFound):
    """There is no schedule {schedule!r}."""

    code = "unknown-schedule"


class UnknownSnapshot(NotFound):
    """There is no snapshot {snapshot!r} of this channel."""

    code = "unknown-snapshot"


class StaleRevision(Conflict):
    """Revision {expected} was expected, but the head is {actual}: read it again, then repeat the change."""

    code = "stale-revision"
    expected: int
    actual: int


class DuplicateSlug(Conflict):
    """There is a node with slug {slug!r} under {parent!r} already: siblings need different slugs."""

    code = "duplicate-slug"


class DuplicateExternalId(Conflict):
    """The external id {external_id!r} belongs to the node {node!r} of this channel already."""

    code = "duplicate-external-id"


class WouldCreateLoop(Conflict):
    """{node!r} can't be moved under {parent!r}, which is itself or below it."""

    code = "would-create-loop"


class HasChildren(Conflict):
    """{node!r} has {count} children: remove with policy 'cascade' to remove them too, or 'reparent' to lift them up."""

    code = "has-children"


class MisplacedSection(Conflict):
    """The section {node!r} can only stand at the top of its channel: use a category below."""

    code = "misplaced-section"


class ChannelRemoved(Conflict):
    """The channel {channel!r} was removed: restore it first."""

    code = "channel-removed"


class DraftClosed(Conflict):
    """The draft {draft!r} is {state}: open a new one."""

    code = "draft-closed"


class ScheduleClosed(Conflict):
    """The schedule {schedule!r} is {state} already."""

    code = "schedule-closed"


class EditConflict(Conflict):
    """{count} change(s) of this draft clash with what was published since: settle each by 'ours' or 'theirs'."""

    code = "edit-conflict"


class NothingToDo(Conflict):
    """This would change nothing, so no revision was made."""

    code = "nothing-to-do"


class HistoryBroken(Conflict):
    """The history of {channel!r} does not verify at revision {revision}: {reason}."""

    code = "history-broken"


class RevisionNotReached(Unavailable):
    """Revision {wanted} was asked for, but the channel is at {actual}: try again in a moment."""

    code = "revision-not-reached"
