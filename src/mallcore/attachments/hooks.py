"""What providers fulfil for attachments: the Protocol of an edge, which delivers content in the mall's place."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Protocol, runtime_checkable


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
