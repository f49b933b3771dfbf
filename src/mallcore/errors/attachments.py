"""Errors of attachments, object stores, links and the audit log."""

from __future__ import annotations

from mallcore.errors.roots import Conflict, Denied, InvalidInput, NotFound, Unavailable


class ContentMismatch(InvalidInput):
    """The {what} of the content is {actual}, but {expected} was announced: nothing was kept; send it again."""

    code = "content-mismatch"


class ContentRefused(InvalidInput):
    """The slot {slot!r} does not take this content: {reason}."""

    code = "content-refused"


class CannotDerive(InvalidInput):
    """Nothing can be made of {version!r} by the recipe {recipe!r}: {reason}."""

    code = "cannot-derive"


class RangeNotSatisfiable(InvalidInput):
    """The content has {size} bytes, and the range {range!r} is not within them."""

    code = "range-not-satisfiable"


class WrongOffset(InvalidInput):
    """The upload is at byte {actual}, not at {given}: ask where it stands, and go on from there."""

    code = "wrong-offset"


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


class LinkRefused(Denied):
    """This link is not valid: {reason}."""

    code = "link-refused"


class DerivativePending(Unavailable):
    """What the recipe {recipe!r} makes of {version!r} is being made: ask again in {seconds} s."""

    code = "derivative-pending"


class StoreUnavailable(Unavailable):
    """The object store {store} can't be reached or failed ({reason}): nothing was changed; try again."""

    code = "store-unavailable"


class StoreFull(StoreUnavailable):
    """The object store {store} is full: nothing was kept; free space, then try again."""

    code = "store-full"


class StoreDenied(Unavailable):
    """The object store {store} refuses our credentials ({reason}): check them and their permissions."""

    code = "store-denied"
