"""Hook specifications of attachments, and the Protocols that providers fulfil: who makes derivatives, and edges."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import BinaryIO, Literal, Protocol, get_args, runtime_checkable

from mallcore.attachments.rules.recipes import Recipe
from mallcore.attachments.rules.slots import Facts, Slot
from mallcore.kernel.hooks import hookspec

Result = Literal["clean", "bad", "unsure"]
CHECK = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")


@runtime_checkable
class Derive(Protocol):
    """Makes pictures of other content. What it is given may be hostile: it never trusts more than the facts."""

    def make(self, source: BinaryIO, facts: Facts, recipe: Recipe, out: BinaryIO) -> str:
        """Write to ``out`` what the recipe makes of the source; returns its media type.

        Equal input gives equal output. Raises `CannotDerive` when the source is broken or too much.
        """
        ...


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found: ``clean``, ``bad``, or ``unsure`` when it could not tell. No finding: it was not done."""

    check: str
    result: Result
    tool: str
    detail: str = ""

    def __post_init__(self) -> None:
        if not CHECK.fullmatch(self.check) or self.result not in get_args(Result):
            raise ValueError(f"{self.check[:40]!r}: {self.result!r} is no finding")


class AttachmentHooks:
    """The hooks of attachments."""

    @hookspec(firstresult=True)
    def attachments_derivative_backend(self, detected_type: str) -> Derive | None:
        """Provide: who makes derivatives of content of this type, or nothing if it is another's."""

    @hookspec
    def attachments_verdict_extra(self, content: BinaryIO, facts: Facts, slot: Slot) -> Iterable[Finding] | None:
        """Add: what checks of the plug-in find in a content that is being uploaded, outside any transaction.

        The stream stands anywhere; go to its beginning first. A check that fails finds nothing, and content whose slot
        asks for it stays in quarantine.
        """


Serves = Literal["all", "public", "private"]


@runtime_checkable
class Edge(Protocol):
    """A content delivery network or a cache, and the signatures that it checks. `Mall.open(edges=[…])` takes them.

    No repr and no error holds a secret. Everything here is answered from memory.
    """

    @property
    def name(self) -> str:
        """What it is called in the audit log; one mall has each name once."""
        ...

    @property
    def serves(self) -> Serves:
        """Which content goes through it: of public slots, which needs no signature, all other content, or both.

        One that serves what is private lets nothing through to the mall as its own that it has not checked.
        """
        ...

    @property
    def store(self) -> str | None:
        """The object store behind it, by its name in the mall; nothing when the mall itself is what it asks."""
        ...

    @property
    def overrides(self) -> bool:
        """Whether its URLs say as what, and under which name, the content is served.

        What lies in front of a store and can't do that is never asked for more than pictures.
        """
        ...

    @property
    def health_url(self) -> str | None:
        """What is asked now and then to see whether it works; nothing when nobody needs to ask."""
        ...

    def public_url(self, path: str) -> str:
        """The URL of a path that everybody may see: the same for ever."""
        ...

    def signed_url(
        self,
        path: str,
        *,
        expires: datetime,
        jti: str,
        disposition: str | None = None,
        content_type: str | None = None,
    ) -> str:
        """The URL of a path until a time, with ``x-mall-jti`` in its query, to be found in the edge's access log.

        The same arguments give the same URL where the signature allows it: caches of browsers find it again.
        """
        ...

    def admits(self, target: str, headers: Mapping[str, str], now: datetime) -> bool:
        """Whether a request (its target not decoded, its headers' names in lower case) comes through this edge."""
        ...
