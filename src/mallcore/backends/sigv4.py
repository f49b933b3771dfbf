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
from functools import lru_cache
from typing import Any, NamedTuple
from urllib.parse import quote

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


class _Day(NamedTuple):
    """What is the same in all signatures of a day."""

    about: tuple[Credentials, str]
    scope: str
    credential: str
    """As it stands in a query."""
    token: str
    key: bytes


class Signer:
    """Signs requests to one region of S3; the credentials are asked for each time, for they may be temporary."""

    def __init__(self, credentials: Callable[[], Credentials], region: str) -> None:
        self._credentials = credentials
        self._region = region
        self._made: _Day | None = None

    def headers(self, method: str, url: str, headers: Mapping[str, str], payload: str, now: datetime) -> dict[str, str]:
        """The headers of a request, with its signature over all of them; ``payload`` is the body's SHA-256 in hex."""
        found = self._credentials()
        host, path, query = _split(url)
        stamp = _stamp(now)
        day = self._day(found, stamp)
        signed = {name.lower(): value.strip() for name, value in headers.items()}
        signed |= {"host": host, "x-amz-date": stamp, "x-amz-content-sha256": payload}
        if found.token is not None:
            signed["x-amz-security-token"] = found.token
        names = ";".join(sorted(signed))
        signature = _signature(day, stamp, _canonical(method, path, query, signed, payload))
        scope = f"Credential={found.access_key}/{day.scope}"
        signed["authorization"] = f"{_ALGORITHM} {scope},SignedHeaders={names},Signature={signature}"
        return signed

    def presign(
        self, method: str, url: str, headers: Mapping[str, str], query: Mapping[str, str], seconds: int, now: datetime
    ) -> str:
        """The URL of a request that anybody can send within so many seconds; it is bound to the headers given."""
        host, path, _ = _split(url)
        stamp = _stamp(now)
        day = self._day(self._credentials(), stamp)
        signed = {name.lower(): value for name, value in headers.items()} | {"host": host}
        names = "%3B".join(sorted(signed))
        asked = [f"{_quoted(name)}={_quoted(value)}" for name, value in query.items()]
        asked += (f"X-Amz-Algorithm={_ALGORITHM}", day.credential, f"X-Amz-Date={stamp}", f"X-Amz-Expires={seconds}")
        asked.append(f"X-Amz-SignedHeaders={names}")
        if day.token:
            asked.append(day.token)
        asked.sort(key=_by_name)
        text = "&".join(asked)
        signature = _signature(day, stamp, _canonical(method, path, text, signed, UNSIGNED))
        return f"{url}?{text}&X-Amz-Signature={signature}"

    def form(
        self, bucket: str, fields: Mapping[str, str], conditions: list[Any], seconds: int, now: datetime
    ) -> dict[str, str]:
        """The fields of a form POST, with its policy and signature."""
        found, stamp = self._credentials(), _stamp(now)
        day = self._day(found, stamp)
        more = {**fields, "x-amz-algorithm": _ALGORITHM, "x-amz-date": stamp}
        more["x-amz-credential"] = f"{found.access_key}/{day.scope}"
        if found.token is not None:
            more["x-amz-security-token"] = found.token
        exact = [{name: value} for name, value in more.items()]
        expires = f"{now + timedelta(seconds=seconds):%Y-%m-%dT%H:%M:%SZ}"
        policy = {"expiration": expires, "conditions": [{"bucket": bucket}, *exact, *conditions]}
        encoded = base64.b64encode(json.dumps(policy).encode()).decode()
        signature = hmac.digest(day.key, encoded.encode(), "sha256").hex()
        return {**more, "policy": encoded, "x-amz-signature": signature}

    def _day(self, found: Credentials, stamp: str) -> _Day:
        """Made once a day, and when the credentials change."""
        day, about = self._made, (found, stamp[:8])
        if day is None or day.about != about:
            key = b"AWS4" + found.secret_key.encode()
            for part in (about[1], self._region, "s3", "aws4_request"):
                key = hmac.digest(key, part.encode(), "sha256")
            scope = f"{about[1]}/{self._region}/s3/aws4_request"
            credential = f"X-Amz-Credential={quote(f'{found.access_key}/{scope}', safe='-_.~')}"
            token = "" if found.token is None else f"X-Amz-Security-Token={quote(found.token, safe='-_.~')}"
            self._made = day = _Day(about, scope, credential, token, key)
        return day


def _signature(day: _Day, stamp: str, request: str) -> str:
    digest = hashlib.sha256(request.encode()).hexdigest()
    text = f"{_ALGORITHM}\n{stamp}\n{day.scope}\n{digest}"
    return hmac.digest(day.key, text.encode(), "sha256").hex()


def _split(url: str) -> tuple[str, str, str]:
    """Host, path and query of one of our own URLs; urlsplit would take a tenth of the time of a signature."""
    host, _, rest = url.partition("://")[2].partition("/")
    path, _, query = rest.partition("?")
    return host, f"/{path}", query


@lru_cache(maxsize=1024)
def _quoted(text: str) -> str:
    """Names and types are the same again and again."""
    return quote(text, safe="-_.~")


def query_of(values: Mapping[str, str]) -> str:
    """A query string in the one spelling that is signed: encoded first, then sorted."""
    return "&".join(sorted((f"{_quoted(name)}={_quoted(value)}" for name, value in values.items()), key=_by_name))


def _by_name(piece: str) -> tuple[str, str, str]:
    return piece.partition("=")  # else "a-b=" would come before "a="


def path_of(text: str) -> str:
    """A path in the one spelling that is signed."""
    return quote(text, safe="/-_.~")


def _stamp(now: datetime) -> str:
    day = f"{now.year:04}{now.month:02}{now.day:02}"
    return f"{day}T{now.hour:02}{now.minute:02}{now.second:02}Z"


def _canonical(method: str, path: str, query: str, headers: Mapping[str, str], payload: str) -> str:
    names = sorted(headers)
    lines = "".join(f"{name}:{headers[name]}\n" for name in names)
    return f"{method}\n{path}\n{query}\n{lines}\n{';'.join(names)}\n{payload}"
