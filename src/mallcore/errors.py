"""Every error mallcore raises, in one tree.

::

    MallError
    ├── InvalidInput              the call itself is wrong; repeat it corrected
    │   ├── InvalidReference
    │   ├── LimitExceeded
    │   ├── MalformedTaxonomy
    │   ├── IdempotencyMismatch
    │   ├── ContentMismatch, ContentRefused
    │   ├── RangeNotSatisfiable
    │   └── WrongOffset
    ├── NotFound                  what the call names is not there
    │   ├── UnknownUnit, UnknownChannel, UnknownNode, UnknownRevision
    │   ├── UnknownDraft, UnknownSchedule, UnknownSnapshot
    │   ├── UnknownRole, UnknownGrant, UnknownKey
    │   ├── UnknownAttachment, UnknownVersion, UnknownLabel, UnknownUpload, UnknownSlot, UnknownStore, UnknownHold
    │   ├── ObjectMissing
    │   └── UnknownOperation
    ├── Conflict                  right call, wrong moment or state
    │   ├── AlreadyExists
    │   ├── StaleRevision
    │   ├── DuplicateSlug, WouldCreateLoop, HasChildren, MisplacedSection, DuplicateExternalId
    │   ├── ChannelRemoved, DraftClosed, ScheduleClosed
    │   ├── EditConflict
    │   ├── NothingToDo
    │   ├── HistoryBroken
    │   ├── ObjectExists, LabelMoved, UploadClosed, StageFirst, OnHold, InUse, Quarantined, ContentErased
    │   └── LogBroken
    ├── Denied                    the principal may not
    │   └── LinkRefused
    ├── Unauthenticated           nobody is asking
    ├── Unavailable               the mall can't answer now
    │   ├── DatabaseBusy, DatabaseReadOnly, DatabaseNotReady, DatabaseTooNew
    │   ├── StoreUnavailable, StoreFull, StoreDenied
    │   └── RevisionNotReached
    ├── MissingExtra              an optional dependency is not installed
    ├── InvalidSettings
    └── SpoiledWork               a write failed half-way; only a rollback is left

A class's docstring is its default message; ``{names}`` in it are filled from the keyword arguments, which are kept as
attributes and in ``details``. ``code`` is stable: it stands in problem documents, on the command line and in the docs.
"""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple


class MallError(Exception):
    """Something in the mall went wrong."""

    code: ClassVar[str] = "mall-error"

    def __init__(self, message: str | None = None, **details: Any) -> None:
        self.details = details
        self.__dict__.update(details)
        super().__init__(message if message is not None else _default_message(type(self), details))

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuilt, (type(self), str(self), self.details)


def _default_message(kind: type[MallError], details: dict[str, Any]) -> str:
    template = " ".join((kind.__doc__ or kind.__name__).split("\n\n")[0].split())
    try:
        return template.format_map(details)
    except (KeyError, IndexError):
        return template


def _rebuilt(kind: type[MallError], message: str, details: dict[str, Any]) -> MallError:
    return kind(message, **details)


class InvalidInput(MallError):
    """{field}: {reason}."""

    code = "invalid-input"


class InvalidReference(InvalidInput):
    """{reference!r} names no revision: give a number, a time such as 2026-11-01T00:00:00Z, or a snapshot's name."""

    code = "invalid-reference"


class LimitExceeded(InvalidInput):
    """{what} is {actual}, and the limit is {limit}: send less."""

    code = "limit-exceeded"


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
        text = message if message is not None else _default_message(type(self), {}) + lines
        super().__init__(text, problems=found, **details)


class IdempotencyMismatch(InvalidInput):
    """The idempotency key {key!r} was used before for another request: use a new key."""

    code = "idempotency-mismatch"


class ContentMismatch(InvalidInput):
    """The {what} of the content is {actual}, but {expected} was announced: nothing was kept; send it again."""

    code = "content-mismatch"


class ContentRefused(InvalidInput):
    """The slot {slot!r} does not take this content: {reason}."""

    code = "content-refused"


class RangeNotSatisfiable(InvalidInput):
    """The content has {size} bytes, and the range {range!r} is not within them."""

    code = "range-not-satisfiable"


class WrongOffset(InvalidInput):
    """The upload is at byte {actual}, not at {given}: ask where it stands, and go on from there."""

    code = "wrong-offset"


class NotFound(MallError):
    """There is no such thing here."""

    code = "not-found"
    subject: Any = None
    """Where it was looked for: who may see all of that is told, who may not is refused."""


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


class UnknownRole(NotFound):
    """There is no role {role!r}: list the roles to see those there are."""

    code = "unknown-role"


class UnknownGrant(NotFound):
    """There is no grant {grant!r}."""

    code = "unknown-grant"


class UnknownKey(NotFound):
    """There is no key {key!r} for {purpose}."""

    code = "unknown-key"


class UnknownAttachment(NotFound):
    """There is no attachment {attachment!r}."""

    code = "unknown-attachment"


class UnknownVersion(NotFound):
    """The attachment {attachment!r} has no version {version!r}: list its versions to see those there are."""

    code = "unknown-version"


class UnknownLabel(NotFound):
    """The attachment {attachment!r} has no label {label!r}."""

    code = "unknown-label"


class UnknownUpload(NotFound):
    """There is no upload {upload!r}: it was never begun, or has expired; begin a new one."""

    code = "unknown-upload"


class UnknownSlot(NotFound):
    """There is no slot {slot!r}: the slots of this mall are {known}."""

    code = "unknown-slot"


class UnknownStore(NotFound):
    """There is no object store {store!r}: the stores of this mall are {known}."""

    code = "unknown-store"


class UnknownHold(NotFound):
    """There is no legal hold {hold!r}."""

    code = "unknown-hold"


class ObjectMissing(NotFound):
    """The object store has nothing under {key!r}."""

    code = "object-missing"


class UnknownOperation(NotFound):
    """Nothing answers {method} {path}: see the OpenAPI document for what there is."""

    code = "unknown-operation"


class Conflict(MallError):
    """The state of the mall does not allow this now."""

    code = "conflict"


class AlreadyExists(Conflict):
    """There is a {what} {name!r} already: choose another name, or change the one there is."""

    code = "already-exists"


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


class ObjectExists(Conflict):
    """The object store has something under {key!r} already: it is never replaced."""

    code = "object-exists"


class LabelMoved(Conflict):
    """The label {label!r} is at version {actual}, not {expected}: read it again, then move it."""

    code = "label-moved"


class UploadClosed(Conflict):
    """The upload {upload!r} is {state}: begin a new one."""

    code = "upload-closed"


class StageFirst(Conflict):
    """Bytes can't be staged while this unit of work is writing: stage them before it, then attach them in it."""

    code = "stage-first"


class OnHold(Conflict):
    """{what!r} is under a legal hold or its retention has not ended: {reason}."""

    code = "on-hold"


class InUse(Conflict):
    """{what!r} is still shown by {by}: it can't be removed."""

    code = "in-use"


class Quarantined(Conflict):
    """{version!r} is not served: {reason}."""

    code = "quarantined"


class ContentErased(Conflict):
    """The content of {version!r} was erased on {at}; its record remains."""

    code = "content-erased"


class LogBroken(Conflict):
    """The audit log does not verify at index {index}: {reason}."""

    code = "log-broken"


class Denied(MallError):
    """{principal} may not {permission} here: ask for a role that has this permission."""

    code = "denied"


class LinkRefused(Denied):
    """This link is not valid: {reason}."""

    code = "link-refused"


class Unauthenticated(MallError):
    """Nobody is signed in: send the credentials this mall asks for."""

    code = "unauthenticated"


class Unavailable(MallError):
    """The mall can't answer now: try again later."""

    code = "unavailable"


class DatabaseBusy(Unavailable):
    """The database stayed locked for longer than {seconds} s: nothing was changed; try again."""

    code = "database-busy"


class DatabaseReadOnly(Unavailable):
    """The database can't be written (read-only file, folder or server): nothing was changed."""

    code = "database-read-only"


class DatabaseNotReady(Unavailable):
    """The database has no mall of this version yet: run `mallcore db upgrade`."""

    code = "database-not-ready"


class DatabaseTooNew(Unavailable):
    """The database is at schema {found!r}, which this mallcore does not know: upgrade the mallcore package."""

    code = "database-too-new"


class StoreUnavailable(Unavailable):
    """The object store {store} can't be reached or failed ({reason}): nothing was changed; try again."""

    code = "store-unavailable"


class StoreFull(StoreUnavailable):
    """The object store {store} is full: nothing was kept; free space, then try again."""

    code = "store-full"


class StoreDenied(Unavailable):
    """The object store {store} refuses our credentials ({reason}): check them and their permissions."""

    code = "store-denied"


class RevisionNotReached(Unavailable):
    """Revision {wanted} was asked for, but the channel is at {actual}: try again in a moment."""

    code = "revision-not-reached"


class MissingExtra(MallError, ImportError):
    """{what} needs an optional package: pip install "mallcore[{extra}]"."""

    code = "missing-extra"


class InvalidSettings(MallError):
    """The setting {setting!r} is wrong: {reason}."""

    code = "invalid-settings"


class SpoiledWork(MallError):
    """An operation of this unit of work failed after it had begun to write: everything was rolled back."""

    code = "spoiled-work"
