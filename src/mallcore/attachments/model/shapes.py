"""Shapes of attachments: what operations take and return."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, BinaryIO

from pydantic import BaseModel, ConfigDict, Field, SkipValidation

OwnerRef = Annotated[
    str,
    Field(
        min_length=3,
        max_length=7000,
        description="What it belongs to, as `kind:id`: `channel:books`, `category:books/fiction`, `product:42`.",
    ),
]
UnitRef = Annotated[
    str | None, Field(max_length=100, description="A unit's id or slug; may be left out when there is one.")
]
AttachmentRef = Annotated[str, Field(max_length=40, description="An attachment's id.")]
VersionRef = Annotated[
    str,
    Field(
        max_length=120,
        description="`att_…@3`, a label such as `att_…@live`, `att_…@sha256:…`; without one of them: `live`.",
    ),
]
LabelName = Annotated[str, Field(max_length=40, description="a-z, 0-9, single - and _ between, such as `live`.")]
SlotName = Annotated[str, Field(max_length=40, description="The slot whose policy counts, such as `image`.")]
FileName = Annotated[str, Field(min_length=1, max_length=255)]
MediaType = Annotated[str | None, Field(max_length=100, description="What the sender says it is; never trusted.")]
Sha256 = Annotated[str | None, Field(pattern=r"^[0-9a-f]{64}$", description="SHA-256 in hex; another one is refused.")]
Number = Annotated[int, Field(ge=1, le=999_999_999, description="A version's number.")]
Meta = Annotated[dict[str, Any] | None, Field(description="The sender's own facts, as JSON; kept with the version.")]
IdempotencyKey = Annotated[str | None, Field(min_length=1, max_length=200)]
At = Annotated[
    datetime | str | None,
    Field(description="A time, a snapshot's name, or `channel@revision`: what was live then. Default: now."),
]
Content = Annotated[BinaryIO | bytes, SkipValidation]


class _Shape(BaseModel):
    model_config = ConfigDict(frozen=True)


class Label(_Shape):
    """A movable name for one version."""

    attachment: str
    name: str
    n: int
    ref: str
    at: datetime


class LabelMove(_Shape):
    """One move of a label; without ``n`` it was taken away."""

    name: str
    number: int
    n: int | None
    by: str
    at: datetime


class Version(_Shape):
    """One immutable content of an attachment. ``ref`` names it for ever.

    ``detected_type`` is what the bytes are, ``declared_type`` what their sender said. ``dropped_at`` tells that the
    content was erased or has expired; the record of it stays.
    """

    ref: str
    attachment: str
    n: int
    owner: str
    slot: str
    unit_id: str
    channel_id: str | None = None
    file_name: str
    size: int
    digest: str
    detected_type: str
    declared_type: str | None = None
    width: int | None = None
    height: int | None = None
    meta: dict[str, Any] | None = None
    created_by: str
    created_at: datetime
    retain_until: datetime | None = None
    dropped_at: datetime | None = None
    dropped_for: str | None = None


class Attachment(_Shape):
    """What versions and labels hang on. ``head`` is the number of the newest version, ``labels`` name -> number."""

    id: str
    owner: str
    slot: str
    unit_id: str
    channel_id: str | None = None
    head: int
    labels: dict[str, int]
    created_by: str
    created_at: datetime
    removed_at: datetime | None = None


class Staged(_Shape):
    """Content that lies in the store and waits to be attached; after ``lease_until`` it may be collected."""

    id: str
    owner: str
    slot: str
    unit_id: str
    file_name: str
    size: int
    digest: str
    detected_type: str
    lease_until: datetime


class Derivative(_Shape):
    """What a recipe made of a version. ``derivative`` is its name in links and URLs, ``digest`` that of its bytes."""

    version: str
    recipe: str
    derivative: str
    digest: str
    size: int
    content_type: str


class Verdict(_Shape):
    """What a check found in a unit's content: ``clean``, ``bad``, or ``unsure``."""

    unit_id: str
    digest: str
    check: str
    result: str
    tool: str
    detail: str = ""
    at: datetime


class Waiting(_Shape):
    """A version in quarantine: nobody gets it, for the ``reason``."""

    version: str
    owner: str
    slot: str
    unit_id: str
    digest: str
    file_name: str
    reason: str
