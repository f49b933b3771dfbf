"""Caches that check a shared secret themselves: nginx with its secure_link module, and any that can do HMAC-SHA-256.

The secret lies in the cache's configuration and here. Both sign path, end and ``x-mall-jti``, and one who stands in
front of the mall can check the signature again.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from datetime import datetime
from typing import ClassVar, Literal
from urllib.parse import urlsplit

from mallcore.errors import InvalidSettings

SHORTEST = 16  # characters of a secret
_QUERY = re.compile(r"x-mall-jti=([0-9a-f]{32})&expires=([1-9][0-9]{0,11})&signature=([A-Za-z0-9_-]{1,100})")


class HmacEdge:
    """An edge that checks ``signature``: HMAC-SHA-256, in hex, over path, end and jti, a line each.

    It stands in front of the mall. The how-to has the configuration of an nginx with njs that does this.
    """

    kind: ClassVar[str] = "HMAC"
    serves: ClassVar[Literal["all"]] = "all"
    store: ClassVar[str | None] = None
    overrides: ClassVar[bool] = False

    def __init__(
        self, base_url: str, *, secret: str, name: str = "edge", health_url: str | None = None, old_secret: str = ""
    ) -> None:
        for given in filter(None, (secret, old_secret)):
            if len(given) < SHORTEST:
                raise InvalidSettings(setting="edges", reason=f"a secret has {SHORTEST} characters or more")
        self.name = name
        self.base_url = base_url.rstrip("/")
        self._prefix = urlsplit(self.base_url).path
        self.health_url = health_url
        self._secrets = [one.encode() for one in (secret, old_secret) if one]

    def public_url(self, path: str) -> str:
        """The URL of a path, not signed."""
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
        """The URL of a path until a time; the same arguments give the same."""
        end = int(expires.timestamp())
        signature = self._signature(self._secrets[0], path, end, jti)
        return f"{self.base_url}{path}?x-mall-jti={jti}&expires={end}&signature={signature}"

    def admits(self, target: str, headers: Mapping[str, str], now: datetime) -> bool:
        """Whether the target is a URL signed here that has not expired, in the one spelling it was given.

        The edge signs the whole path, the mall is asked below where it is mounted: what is before that is the edge's.
        """
        path, _, query = target.partition("?")
        found = _QUERY.fullmatch(query)
        if found is None or int(found[2]) <= now.timestamp():
            return False
        given = found[3].encode()
        expected = [self._signature(secret, path, int(found[2]), found[1]).encode() for secret in self._secrets]
        return any(hmac.compare_digest(one, given) for one in expected)

    def _signature(self, secret: bytes, path: str, end: int, jti: str) -> str:
        return hmac.digest(secret, f"{self._prefix}{path}\n{end}\n{jti}".encode(), "sha256").hex()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r} at {self.base_url}, {self.kind}>"


class SecureLink(HmacEdge):
    """nginx's own secure_link: MD5 over ``<end> <path> <jti> <secret>``, in base64.

    MD5 with the secret at the end is no HMAC. Nobody knows how to forge it, but prefer `HmacEdge` where njs can be had.
    """

    kind: ClassVar[str] = "secure_link"

    def _signature(self, secret: bytes, path: str, end: int, jti: str) -> str:
        whole = f"{end} {self._prefix}{path} {jti} ".encode() + secret
        return urlsafe_b64encode(hashlib.md5(whole, usedforsecurity=False).digest()).rstrip(b"=").decode()


__all__ = ["HmacEdge", "SecureLink"]
