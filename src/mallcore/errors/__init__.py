"""Every error mallcore raises, in one tree.

::

    MallError
    ├── InvalidInput              the call itself is wrong; repeat it corrected
    │   ├── InvalidReference
    │   ├── LimitExceeded
    │   ├── MalformedTaxonomy
    │   ├── IdempotencyMismatch
    │   ├── ContentMismatch, ContentRefused, CannotDerive
    │   ├── RangeNotSatisfiable
    │   ├── InvalidDocument
    │   └── WrongOffset
    ├── NotFound                  what the call names is not there
    │   ├── UnknownUnit, UnknownChannel, UnknownNode, UnknownRevision
    │   ├── UnknownDraft, UnknownSchedule, UnknownSnapshot
    │   ├── UnknownRole, UnknownGrant, UnknownKey, UnknownRecord
    │   ├── UnknownClient, UnknownApiKey, UnknownConsent
    │   ├── UnknownProvider, UnknownSession, UnknownIdentity
    │   ├── UnknownAttachment, UnknownVersion, UnknownLabel, UnknownUpload, UnknownSlot, UnknownStore, UnknownHold
    │   ├── UnknownWebhook, UnknownDelivery
    │   ├── ObjectMissing
    │   ├── UnknownApiVersion
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
    │   ├── IdentityTaken
    │   └── LogBroken
    ├── VersionSunset             the version of the API that was asked for is gone
    │   └── VersionBrownOut
    ├── Denied                    the principal may not
    │   ├── LoginRefused
    │   └── LinkRefused
    ├── Unauthenticated           nobody is asking
    │   └── BadCredential
    ├── TooManyRequests           wait, then ask again
    ├── Unavailable               the mall can't answer now
    │   ├── DatabaseBusy, DatabaseReadOnly, DatabaseNotReady, DatabaseTooNew
    │   ├── StoreUnavailable, StoreFull, StoreDenied
    │   ├── ProviderUnavailable
    │   ├── DerivativePending
    │   └── RevisionNotReached
    ├── MissingExtra              an optional dependency is not installed
    ├── InvalidSettings
    ├── InvalidChange             a declaration of an API change is wrong
    │   └── BrokenLaw
    ├── InvalidRelease
    └── SpoiledWork               a write failed half-way; only a rollback is left

A class's docstring is its default message; ``{names}`` in it are filled from the keyword arguments, which are kept as
attributes and in ``details``. ``code`` is stable: it stands in problem documents, on the command line and in the docs.
"""

from mallcore.errors.access import BadCredential, TooManyRequests, UnknownApiKey, UnknownClient, UnknownConsent
from mallcore.errors.api import (
    BrokenLaw,
    InvalidChange,
    InvalidDocument,
    InvalidRelease,
    UnknownApiVersion,
    VersionBrownOut,
    VersionSunset,
)
from mallcore.errors.attachments import (
    CannotDerive,
    ContentErased,
    ContentMismatch,
    ContentRefused,
    DerivativePending,
    InUse,
    LabelMoved,
    LinkRefused,
    LogBroken,
    ObjectExists,
    ObjectMissing,
    OnHold,
    Quarantined,
    RangeNotSatisfiable,
    StageFirst,
    StoreDenied,
    StoreFull,
    StoreUnavailable,
    UnknownAttachment,
    UnknownHold,
    UnknownKey,
    UnknownLabel,
    UnknownSlot,
    UnknownStore,
    UnknownUpload,
    UnknownVersion,
    UploadClosed,
    WrongOffset,
)
from mallcore.errors.logins import (
    IdentityTaken,
    LoginRefused,
    ProviderUnavailable,
    UnknownIdentity,
    UnknownProvider,
    UnknownSession,
)
from mallcore.errors.roots import (
    AlreadyExists,
    Conflict,
    DatabaseBusy,
    DatabaseNotReady,
    DatabaseReadOnly,
    DatabaseTooNew,
    Denied,
    IdempotencyMismatch,
    InvalidInput,
    InvalidSettings,
    LimitExceeded,
    MallError,
    MissingExtra,
    NotFound,
    SpoiledWork,
    Unauthenticated,
    Unavailable,
    UnknownGrant,
    UnknownOperation,
    UnknownRecord,
    UnknownRole,
)
from mallcore.errors.structure import (
    ChannelRemoved,
    DraftClosed,
    DuplicateExternalId,
    DuplicateSlug,
    EditConflict,
    HasChildren,
    HistoryBroken,
    InvalidReference,
    MalformedTaxonomy,
    MisplacedSection,
    NothingToDo,
    RevisionNotReached,
    ScheduleClosed,
    StaleRevision,
    TaxonomyProblem,
    UnknownChannel,
    UnknownDraft,
    UnknownNode,
    UnknownRevision,
    UnknownSchedule,
    UnknownSnapshot,
    UnknownUnit,
    WouldCreateLoop,
)
from mallcore.errors.webhooks import UnknownDelivery, UnknownWebhook

__all__ = [
    "AlreadyExists",
    "BadCredential",
    "BrokenLaw",
    "CannotDerive",
    "ChannelRemoved",
    "Conflict",
    "ContentErased",
    "ContentMismatch",
    "ContentRefused",
    "DatabaseBusy",
    "DatabaseNotReady",
    "DatabaseReadOnly",
    "DatabaseTooNew",
    "Denied",
    "DerivativePending",
    "DraftClosed",
    "DuplicateExternalId",
    "DuplicateSlug",
    "EditConflict",
    "HasChildren",
    "HistoryBroken",
    "IdempotencyMismatch",
    "IdentityTaken",
    "InUse",
    "InvalidChange",
    "InvalidDocument",
    "InvalidInput",
    "InvalidReference",
    "InvalidRelease",
    "InvalidSettings",
    "LabelMoved",
    "LimitExceeded",
    "LinkRefused",
    "LogBroken",
    "LoginRefused",
    "MalformedTaxonomy",
    "MallError",
    "MisplacedSection",
    "MissingExtra",
    "NotFound",
    "NothingToDo",
    "ObjectExists",
    "ObjectMissing",
    "OnHold",
    "ProviderUnavailable",
    "Quarantined",
    "RangeNotSatisfiable",
    "RevisionNotReached",
    "ScheduleClosed",
    "SpoiledWork",
    "StageFirst",
    "StaleRevision",
    "StoreDenied",
    "StoreFull",
    "StoreUnavailable",
    "TaxonomyProblem",
    "TooManyRequests",
    "Unauthenticated",
    "Unavailable",
    "UnknownApiKey",
    "UnknownApiVersion",
    "UnknownAttachment",
    "UnknownChannel",
    "UnknownClient",
    "UnknownConsent",
    "UnknownDelivery",
    "UnknownDraft",
    "UnknownGrant",
    "UnknownHold",
    "UnknownIdentity",
    "UnknownKey",
    "UnknownLabel",
    "UnknownNode",
    "UnknownOperation",
    "UnknownProvider",
    "UnknownRecord",
    "UnknownRevision",
    "UnknownRole",
    "UnknownSchedule",
    "UnknownSession",
    "UnknownSlot",
    "UnknownSnapshot",
    "UnknownStore",
    "UnknownUnit",
    "UnknownUpload",
    "UnknownVersion",
    "UnknownWebhook",
    "UploadClosed",
    "VersionBrownOut",
    "VersionSunset",
    "WouldCreateLoop",
    "WrongOffset",
]

for _name in __all__:  # tracebacks and documents name the public place
    globals()[_name].__module__ = __name__
