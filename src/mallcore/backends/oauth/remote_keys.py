"""The keys of an issuer elsewhere, read from where the settings say and from nowhere else.

No redirect is followed, no answer is longer than it needs to be, and none is waited for too long. A token that names an
unknown key makes us look again, but not more often than the issuer's ``pause`` allows.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

import urllib3

from mallcore.access import Issuer, checked_issuer
from mallcore.backends.oauth.jose import PublicKey, public_key
from mallcore.errors import InvalidSettings, Unavailable

log = logging.getLogger("mallcore.oauth")
_LARGEST = 256 << 10  # bytes of a document
_MOST_KEYS = 100
_KEPT = 24.0  # times ``renew``: so long are keys used though they can't be read anew
_PLACES = ("/.well-known/oauth-authorization-server", "/.well-known/openid-configuration")


class RemoteKeys:
    """An issuer's keys by their ids, in memory."""

    def __init__(self, issuer: Issuer, clock: Callable[[], datetime]) -> None:
        self.generation = 0
        self._issuer = issuer
        self._clock = clock
        self._pool = urllib3.PoolManager(num_pools=2, retries=False)
        self._lock = threading.Lock()
        self._keys: dict[str | None, list[PublicKey]] = {}
        self._read_at = self._tried_at = float("-inf")

    def find(self, kid: str | None, algorithm: str) -> PublicKey | None:
        """The key with this id that verifies this algorithm; without an id, the only one that does."""
        now = self._now()
        if now - self._read_at >= self._issuer.renew:
            self._renew(now)
        found = self._known(kid, algorithm)
        if found is None and self._renew(self._now()):
            found = self._known(kid, algorithm)
        if found is None and not self._keys:
            raise Unavailable(f"The keys of the issuer {self._issuer.url} can't be had: try again later.")
        return found

    def _now(self) -> float:
        return self._clock().timestamp()

    def _known(self, kid: str | None, algorithm: str) -> PublicKey | None:
        keys = self._keys
        among = [one for some in keys.values() for one in some] if kid is None else keys.get(kid, [])
        able = [one for one in among if algorithm in one.algorithms]
        return able[0] if len(able) == 1 else None

    def _renew(self, now: float) -> bool:
        """Read the keys anew, unless that was tried a moment ago; whoever comes meanwhile uses those there are."""
        waiting = 0.0 if self._keys else 3 * self._issuer.timeout
        if now - self._tried_at < self._issuer.pause or not self._lock.acquire(timeout=waiting):
            return False
        try:
            if now - self._tried_at < self._issuer.pause:  # somebody was faster
                return True
            self._tried_at = now
            self._keys = self._read()
            self._read_at = now
            self.generation += 1
            return True
        except (urllib3.exceptions.HTTPError, OSError, ValueError, RecursionError, InvalidSettings) as error:
            log.warning("the keys of the issuer %s can't be read: %s", self._issuer.url, str(error)[:300])
            if now - self._read_at > self._issuer.renew * _KEPT:
                self._keys = {}
                self.generation += 1
            return False
        finally:
            self._lock.release()

    def _read(self) -> dict[str | None, list[PublicKey]]:
        listed = self._document(self._issuer.jwks_url or self._discovered()).get("keys")
        if not isinstance(listed, list):
            raise ValueError("it is no JWK Set")
        keys: dict[str | None, list[PublicKey]] = {}
        for jwk in listed[:_MOST_KEYS]:
            kid = jwk.get("kid") if isinstance(jwk, dict) else None
            found = public_key(jwk) if isinstance(jwk, dict) else None
            if found is not None and (kid is None or isinstance(kid, str)):
                keys.setdefault(kid, []).append(found)
        return keys

    def _discovered(self) -> str:
        """Where the issuer's metadata say that its keys are: on its own host, or it has to be said in the settings."""
        problem: Exception = ValueError("it has no metadata")
        for place in _places(self._issuer.url):
            try:
                metadata = self._document(place)
            except ValueError as error:
                problem = error
                continue
            if metadata.get("issuer") != self._issuer.url:
                raise ValueError("its metadata are another issuer's")
            return self._same_host(metadata.get("jwks_uri"))
        raise problem

    def _same_host(self, url: Any) -> str:
        if not isinstance(url, str):
            raise ValueError("its metadata name no jwks_uri")
        checked_issuer(url, self._issuer.loopback)
        if urlsplit(url).netloc != urlsplit(self._issuer.url).netloc:
            raise ValueError(f"its keys are on another host ({url[:200]}): say so by jwks_url, if that is right")
        return url

    def _document(self, url: str) -> Mapping[str, Any]:
        deadline = time.monotonic() + self._issuer.timeout
        timeout = urllib3.Timeout(connect=self._issuer.timeout, read=self._issuer.timeout)
        headers = {"accept": "application/json", "accept-encoding": "identity"}
        answer = self._pool.request(
            "GET", url, headers=headers, redirect=False, preload_content=False, timeout=timeout
        )  # fmt: skip
        try:
            if answer.status != 200:
                raise ValueError(f"{url} answered {answer.status}")
            body = b""
            while piece := answer.read1(1 << 14):
                body += piece
                if len(body) > _LARGEST or time.monotonic() > deadline:
                    raise ValueError(f"{url} answered too much, or too slowly")
        finally:
            answer.close()
        found = json.loads(body)
        if not isinstance(found, dict):
            raise ValueError(f"{url} is no JSON object")
        return found


def _places(issuer: str) -> list[str]:
    """Where an issuer's metadata are (RFC 8414, section 3.1; OpenID Connect Discovery puts its path first)."""
    parts = urlsplit(issuer)
    origin, path = f"{parts.scheme}://{parts.netloc}", parts.path.rstrip("/")
    return [origin + _PLACES[0] + path, origin + path + _PLACES[1]]
