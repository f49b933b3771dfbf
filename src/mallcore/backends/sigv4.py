"""AWS Signature Version 4 for S3: signed headers, signed URLs, signed forms.

After "Authenticating Requests (AWS Signature Version 4)" in the Amazon S3 API Reference. Always version 4: version 2
leaves ``Range`` and ``If-None-Match`` unsigned.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from urllib.parse import quote, urlsplit

UNSIGNED = "UNSIGNED-PAYLOAD"
EMPTY = hashlib.sha256(b"").hexdigest()
_ALGORITHM = "AWS4-HMAC-SHA256"


class Credentials(NamedTuple):
    """An access key, its secret, and the token of a temporary one."""

    access_key: str
    secret_key: str
    token: str | None = None

    def __repr__(self) -> str:
        return f"<Credentials {self.access_key[:4]}…>"


class Signer:
    """Signs requests to one region of S3; the credentials are asked for each time, for they may be temporary."""

    def __init__(self, credentials: Callable[[], Credentials], region: str) -> None:
        self._credentials = credentials
        self._region = region
        self._key: tuple[tuple[str, str], bytes] = (("", ""), b"")

    def headers(self, method: str, url: str, headers: Mapping[str, str], payload: str, now: datetime) -> dict[str, str]:
        """The headers of a request, with its signature over all of them; ``payload`` is the body's SHA-256 in hex."""
        found = self._credentials()
        parts = urlsplit(url)
        signed = {name.lower(): value.strip() for name, value in headers.items()}
        signed |= {"host": parts.netloc, "x-amz-date": _stamp(now), "x-amz-content-sha256": payload}
        if found.token is not None:
            signed["x-amz-security-token"] = found.token
        names = ";".join(sorted(signed))
        request = _canonical(method, parts.path, parts.query, signed, payload)
        signature = self._signature(found, request, now)
        scope = f"Credential={found.access_key}/{self._scope(now)}"
        signed["authorization"] = f"{_ALGORITHM} {scope},SignedHeaders={names},Signature={signature}"
        return signed

    def presign(
        self, method: str, url: str, headers: Mapping[str, str], query: Mapping[str, str], seconds: int, now: datetime
    ) -> str:
        """The URL of a request that anybody can send within so many seconds; it is bound to the headers given."""
        found = self._credentials()
        parts = urlsplit(url)
        signed = {name.lower(): value for name, value in headers.items()} | {"host": parts.netloc}
        asked = {
            **query,
            "X-Amz-Algorithm": _ALGORITHM,
            "X-Amz-Credential": f"{found.access_key}/{self._scope(now)}",
            "X-Amz-Date": _stamp(now),
            "X-Amz-Expires": str(seconds),
            "X-Amz-SignedHeaders": ";".join(sorted(signed)),
        }
        if found.token is not None:
            asked["X-Amz-Security-Token"] = found.token
        text = query_of(asked)
        signature = self._signature(found, _canonical(method, parts.path, text, signed, UNSIGNED), now)
        return f"{url}?{text}&X-Amz-Signature={signature}"

    def form(
        self, bucket: str, fields: Mapping[str, str], conditions: list[Any], seconds: int, now: datetime
    ) -> dict[str, str]:
        """The fields of a form POST, with its policy and signature."""
        found = self._credentials()
        more = {
            **fields,
            "x-amz-algorithm": _ALGORITHM,
            "x-amz-credential": f"{found.access_key}/{self._scope(now)}",
            "x-amz-date": _stamp(now),
        }
        if found.token is not None:
            more["x-amz-security-token"] = found.token
        exact = [{name: value} for name, value in more.items()]
        expires = f"{now + timedelta(seconds=seconds):%Y-%m-%dT%H:%M:%SZ}"
        policy = {"expiration": expires, "conditions": [{"bucket": bucket}, *exact, *conditions]}
        encoded = base64.b64encode(json.dumps(policy).encode()).decode()
        signature = hmac.digest(self._signing(found, now), encoded.encode(), "sha256").hex()
        return {**more, "policy": encoded, "x-amz-signature": signature}

    def _scope(self, now: datetime) -> str:
        return f"{now:%Y%m%d}/{self._region}/s3/aws4_request"

    def _signature(self, found: Credentials, request: str, now: datetime) -> str:
        digest = hashlib.sha256(request.encode()).hexdigest()
        text = f"{_ALGORITHM}\n{_stamp(now)}\n{self._scope(now)}\n{digest}"
        return hmac.digest(self._signing(found, now), text.encode(), "sha256").hex()

    def _signing(self, found: Credentials, now: datetime) -> bytes:
        """The day's key; made once a day."""
        about = (found.secret_key, f"{now:%Y%m%d}")
        if self._key[0] != about:
            key = b"AWS4" + found.secret_key.encode()
            for part in (about[1], self._region, "s3", "aws4_request"):
                key = hmac.digest(key, part.encode(), "sha256")
            self._key = (about, key)
        return self._key[1]


def query_of(values: Mapping[str, str]) -> str:
    """A query string in the one spelling that is signed: encoded first, then sorted."""
    return "&".join(sorted(f"{quote(name, safe='-_.~')}={quote(value, safe='-_.~')}" for name, value in values.items()))


def path_of(text: str) -> str:
    """A path in the one spelling that is signed."""
    return quote(text, safe="/-_.~")


def _stamp(now: datetime) -> str:
    return f"{now:%Y%m%dT%H%M%SZ}"


def _canonical(method: str, path: str, query: str, headers: Mapping[str, str], payload: str) -> str:
    names = sorted(headers)
    lines = "".join(f"{name}:{headers[name]}\n" for name in names)
    return f"{method}\n{path}\n{query}\n{lines}\n{';'.join(names)}\n{payload}"
