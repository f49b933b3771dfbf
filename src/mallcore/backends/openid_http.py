"""Requests to a login provider: to https only, never on to where an answer leads; answers have limits."""

from __future__ import annotations

import ipaddress
import json
import os
import time
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import urlencode, urlsplit

import urllib3
from urllib3.exceptions import HTTPError

from mallcore.errors import InvalidSettings, ProviderUnavailable

_PIECE = 1 << 14
_PAUSE = 3.0  # seconds
_FORM = "application/x-www-form-urlencoded"


class Answered(NamedTuple):
    """A status, and the JSON object that came with it."""

    status: int
    content: dict[str, Any]


class Fetcher:
    """Asks one provider. An answer has ``seconds`` in all, and at most ``largest`` bytes."""

    def __init__(self, provider: str, *, seconds: float, largest: int, loopback: bool, ca_certs: str | None) -> None:
        self._provider = provider
        self._seconds = seconds
        self._largest = largest
        self._loopback = loopback
        self._ca_certs = ca_certs
        self._pool: tuple[int, urllib3.PoolManager] | None = None
        self._failed: dict[str, tuple[float, str]] = {}

    def checked(self, url: Any, what: str) -> str:
        """A URL of the provider's that may be asked, or where a browser may be sent."""
        if not isinstance(url, str) or not is_safe(url, self._loopback):
            raise self.unavailable(f"its {what} is no https URL")
        return url

    def unavailable(self, reason: str) -> ProviderUnavailable:
        """The error that says what is wrong with the provider."""
        return ProviderUnavailable(provider=self._provider, reason=reason)

    def get(self, url: str, headers: Mapping[str, str] | None = None) -> Answered:
        """What a GET gives. Of a place that did not answer, that is said for a moment: who asks it holds a thread."""
        until, reason = self._failed.get(url, (0.0, ""))
        if time.monotonic() < until:
            raise self.unavailable(reason)
        try:
            return self._asked("GET", url, None, headers)
        except ProviderUnavailable as error:
            self._failed[url] = time.monotonic() + _PAUSE, str(error.details["reason"])
            raise

    def post(self, url: str, fields: Mapping[str, str], headers: Mapping[str, str] | None = None) -> Answered:
        """What a form that is sent gives."""
        return self._asked("POST", url, urlencode(fields).encode(), {**(headers or {}), "content-type": _FORM})

    def _asked(self, method: str, url: str, body: bytes | None, headers: Mapping[str, str] | None) -> Answered:
        until = time.monotonic() + self._seconds
        told = {
            "accept": "application/json",
            "accept-encoding": "identity",
            "user-agent": "mallcore",
            **(headers or {}),
        }
        try:
            response = self._manager().request(
                method, self.checked(url, "address"), body=body, headers=told, redirect=False, retries=False,
                timeout=urllib3.Timeout(total=self._seconds), preload_content=False, decode_content=False,
            )  # fmt: skip
            try:
                content = self._read(response, until)
            finally:
                response.close()  # what is left of a long answer is of no use to the next request
        except (HTTPError, OSError) as error:
            raise self.unavailable(f"it does not answer ({type(error).__name__})") from None
        if 300 <= response.status < 400:
            raise self.unavailable("it answers with a redirect")
        return Answered(response.status, self._parsed(content, response.status))

    def _read(self, response: urllib3.BaseHTTPResponse, until: float) -> bytes:
        found = bytearray()
        for piece in response.stream(_PIECE):
            found += piece
            if len(found) > self._largest:
                raise self.unavailable(f"it answers with more than {self._largest} bytes")
            if time.monotonic() > until:
                raise self.unavailable("it answers too slowly")
        return bytes(found)

    def _parsed(self, content: bytes, status: int) -> dict[str, Any]:
        try:
            found = json.loads(content)
        except (ValueError, RecursionError):
            found = None
        if isinstance(found, dict):
            return found
        raise self.unavailable(f"it answers {status} with no JSON object")

    def _manager(self) -> urllib3.PoolManager:
        """Connections belong to this process."""
        if self._pool is None or self._pool[0] != os.getpid():
            self._pool = os.getpid(), urllib3.PoolManager(maxsize=8, ca_certs=self._ca_certs)
        return self._pool[1]


def is_safe(url: str, loopback: bool) -> bool:
    """Whether a URL is https, or http to this very machine where that is allowed; with no user name in it.

    >>> is_safe("https://login.example/", False), is_safe("http://login.example/", True)
    (True, False)
    """
    try:
        parts = urlsplit(url)
        host, plain = parts.hostname or "", parts.port is None or parts.port > 0
    except ValueError:
        return False
    if not (host and plain and url.isascii() and url.isprintable()) or " " in url or parts.username is not None:
        return False
    return not parts.fragment and (parts.scheme == "https" or (loopback and parts.scheme == "http" and _here(host)))


def _here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def checked_issuer(issuer: str, loopback: bool) -> str:
    """An issuer as a host names it."""
    if not is_safe(issuer, loopback) or "?" in issuer:
        raise InvalidSettings(setting="logins", reason=f"{issuer[:200]!r} is no issuer: an https URL without a query")
    return issuer
