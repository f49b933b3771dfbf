"""Shapes of uploads that come in several requests: tickets, and uploads under way."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field

from mallcore.attachments.model.shapes import _Shape

UploadRef = Annotated[str, Field(max_length=40, description="An upload's id.")]
Size = Annotated[int, Field(ge=0, le=1 << 50, description="In bytes.")]
Seconds = Annotated[int, Field(ge=1, le=86_400, description="For how long the ticket is good.")]
Offset = Annotated[int, Field(ge=0, le=1 << 50, description="How many bytes are there already.")]
Method = Literal["PUT", "POST"]


class Ticket(_Shape):
    """One request that brings one content straight into the store. Whoever has it can send it: treat it as a secret.

    ``headers`` are sent as they are; ``fields`` are those of a form, followed by the field ``file``. When it is
    answered, the upload is finished with ``upload``.
    """

    upload: str
    method: Method
    url: str = Field(repr=False)
    headers: dict[str, str] = Field(default_factory=dict, repr=False)
    fields: dict[str, str] = Field(default_factory=dict, repr=False)
    expires: datetime


class Upload(_Shape):
    """An upload under way. ``offset`` is where it goes on; ``size`` is unknown until it was announced.

    ``expires`` moves on with every part; afterwards what came is collected.
    """

    id: str
    owner: str
    slot: str
    unit_id: str
    file_name: str
    offset: int
    size: int | None = None
    state: Literal["open", "staged"]
    declared_type: str | None = None
    meta: dict[str, Any] | None = None
    created_at: datetime
    expires: datetime
