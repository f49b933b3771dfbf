"""Stores without URLs of their own: what they hold is served and taken by the mall."""

from __future__ import annotations

from collections.abc import Mapping

from mallcore.errors import StoreDenied
from mallcore.kernel.objects import Signed


class Unsigned:
    """The signing part of an `ObjectStore` that signs nothing."""

    def sign_get(
        self,
        key: str,
        *,
        seconds: int,
        disposition: str | None = None,
        content_type: str | None = None,
        query: Mapping[str, str] | None = None,
    ) -> Signed:
        """Refused: there is no URL."""
        raise self._no_urls()

    def sign_put(
        self, key: str, *, seconds: int, size: int, sha256: str | None = None, content_type: str | None = None
    ) -> Signed:
        """Refused: there is no URL."""
        raise self._no_urls()

    def sign_post(self, key: str, *, seconds: int, max_size: int, content_type: str | None = None) -> Signed:
        """Refused: there is no URL."""
        raise self._no_urls()

    def _no_urls(self) -> StoreDenied:
        return StoreDenied(store=getattr(self, "url", ""), reason="it signs no URLs")
