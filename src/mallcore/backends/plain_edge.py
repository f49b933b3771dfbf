"""Any cache or network in front of the mall that checks nothing: for the content of public slots."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import ClassVar, Literal

from mallcore.errors import InvalidInput


class PlainEdge:
    """An edge of `Mall.open(edges=[…])` for public content: it passes ``/files/`` on to the mall, and keeps it."""

    serves: ClassVar[Literal["public"]] = "public"
    store: ClassVar[str | None] = None
    overrides: ClassVar[bool] = False

    def __init__(self, base_url: str, *, name: str = "public", health_url: str | None = None) -> None:
        self.name = name
        self.base_url = base_url.rstrip("/")
        self.health_url = health_url

    def public_url(self, path: str) -> str:
        """The URL of a path."""
        return self.base_url + path

    def signed_url(
        self,
        path: str,
        *,
        expires: datetime,
        jti: str,
        disposition: str | None = None,
        content_type: str | None = None,
    ) -> str:
        """Refused: it signs nothing."""
        raise InvalidInput(field="path", reason=f"the edge {self.name!r} signs nothing: it is for public content")

    def admits(self, target: str, headers: Mapping[str, str], now: datetime) -> bool:
        """Never: it has checked nothing."""
        return False

    def __repr__(self) -> str:
        return f"<PlainEdge {self.name!r} at {self.base_url}>"


__all__ = ["PlainEdge"]
