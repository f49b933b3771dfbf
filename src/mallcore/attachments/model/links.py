"""Shapes of links and delivery: what a link is, what it opens to, and how content goes out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, BinaryIO, Literal

from pydantic import Field

from mallcore.attachments.model.shapes import Version, _Shape

Via = Literal["auto", "edge", "redirect", "proxy"]
Disposition = Literal["inline", "attachment"]
Recipe = Annotated[
    str | None,
    Field(pattern=r"^[0-9a-f]{64}$", description="The digest of a derivative's recipe; left out: the content itself."),
]
Purpose = Annotated[
    str, Field(pattern=r"^[a-z][a-z0-9_-]{0,39}$", description="What the link is for; it opens for nothing else.")
]


class Link(_Shape):
    """A link to one version. Whoever holds ``url`` has it: treat it, and ``token``, as a secret."""

    url: str = Field(repr=False)
    token: str = Field(repr=False)
    version: str
    jti: str
    expires: datetime


class PublicUrl(_Shape):
    """Where a version lies for everybody. Another version has another URL, so that this one may be cached for ever."""

    version: str
    url: str


class Opened(_Shape):
    """What a link allows: this content, in this way. (The content itself comes from `deliver_link`.)"""

    version: Version
    recipe: str | None = None
    digest: str
    size: int
    content_type: str
    file_name: str
    disposition: Disposition
    jti: str
    once: bool
    expires: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    """An answer, ready to be sent: status, headers and, when the mall itself sends the content, its bytes.

    ``body`` gives exactly the bytes of the answer; whoever has sent it, or does not, closes it. ``headers`` of a
    redirect hold a URL that is a secret for as long as it is good.
    """

    mode: Literal["proxy", "redirect", "edge"]
    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: BinaryIO | None = field(default=None, repr=False)
    jti: str | None = None

    @property
    def location(self) -> str | None:
        """Where the content is to be fetched, when it is not sent."""
        return self.headers.get("Location")

    def close(self) -> None:
        """Close the body, if there is one. Harmless when done before."""
        if self.body is not None:
            self.body.close()
