"""Shapes of what keeps the stores in order: what was collected, compared, copied, held and erased."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from mallcore.attachments.model.shapes import _Shape

GraceSeconds = Annotated[
    float, Field(ge=0, le=10 * 365 * 86_400, description="Leave alone what was touched within so many seconds.")
]
StoreName = Annotated[str, Field(max_length=40, description="An object store's name, such as `main`.")]
HoldId = Annotated[str, Field(max_length=40, description="A legal hold's id.")]
Reason = Annotated[str, Field(min_length=1, max_length=200, description="Kept on record.")]
PrincipalRef = Annotated[str, Field(min_length=3, max_length=200, description="Who: `user:ada`, `client:till`.")]
Role = Literal["written", "mirror", "read", "drained"]


class Undone(_Shape):
    """One object that could not be dealt with, and why; another run tries again."""

    store: str
    key: str
    reason: str


class Collected(_Shape):
    """What a run of the collector did, or (``dry_run``) would do.

    ``blobs`` contents of ``size`` bytes that nothing refers to; ``objects`` deleted from stores, with those that an
    earlier run had left; ``uploads`` that were given up. ``undone`` is tried again by the next run.
    """

    dry_run: bool
    blobs: int
    size: int
    objects: int
    uploads: int
    undone: tuple[Undone, ...] = ()


class Scrubbed(_Shape):
    """What comparing a store with the rows has found.

    Of ``copies`` looked at, ``hashed`` were read whole; ``missing`` and ``corrupt`` ones were ``healed`` from another
    store where one had them. ``unknown`` keys are no row's; those that could be ``deleted`` were, if that was asked.
    """

    store: str
    listed: int
    copies: int
    hashed: int
    missing: list[str]
    corrupt: list[str]
    healed: int
    unknown: list[str]
    deleted: int


class StoreInfo(_Shape):
    """One object store, what it is for, and what lies in it. ``lost`` copies wait to be healed."""

    name: str
    url: str
    role: Role
    copies: int
    size: int
    pending: int
    lost: int


class Mirrored(_Shape):
    """What copying to a store did: ``copied`` and checked by hash, ``drained`` from elsewhere, ``left`` for later."""

    store: str
    copied: int
    size: int
    drained: int
    left: int
    undone: tuple[Undone, ...] = ()


class Hold(_Shape):
    """A legal hold on a version, or (without ``n``) on all versions of an attachment, those to come too."""

    id: str
    attachment: str
    n: int | None
    reason: str
    placed_by: str
    placed_at: datetime
    released_by: str | None = None
    released_at: datetime | None = None


class Kept(_Shape):
    """A version that was not erased, and why."""

    version: str
    reason: str


class Erasure(_Shape):
    """What erasing somebody's uploads did. ``kept`` are those under a hold, or whose retention has not ended."""

    principal: str
    versions: int
    uploads: int
    labels: int
    kept: list[Kept]
    collected: Collected
