"""The lean way into S3: one signed request for each call, over connections that belong to this process.

The SHA-256 we have is the payload's hash that the signature covers, so the server refuses any other content.
"""

from __future__ import annotations

import base64
import io
import os
import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, BinaryIO, ClassVar, cast
from urllib.parse import urlsplit
from xml.etree import ElementTree

import urllib3
from urllib3.exceptions import HTTPError

from mallcore.backends.s3_parts import put_in_parts
from mallcore.backends.sigv4 import EMPTY, Signer, path_of, query_of
from mallcore.backends.streams import PIECE, Checked, checked
from mallcore.errors import (
    ContentMismatch,
    InvalidInput,
    ObjectExists,
    ObjectMissing,
    StoreDenied,
    StoreFull,
    StoreUnavailable,
)
from mallcore.kernel.objects import Capabilities, Signed, Stat, checked_key, checked_prefix

_WHOLE = 64 << 20  # what is sent by one PUT, which is no slower than parts, and checked by the server as a whole
_TRIES = 4
_AGAIN = {409, 429, 500, 502, 503, 504}
_WEEK = 7 * 86_400


class LeanS3:
    """An `ObjectStore` in a bucket of S3."""

    scheme: ClassVar[str] = "s3"

    def __init__(
        self,
        address: str,
        bucket: str,
        prefix: str,
        signer: Signer,
        url: str,
        *,
        timeout: float,
        lock: bool,
        clock: Callable[[], datetime],
    ) -> None:
        self._address = address
        self._bucket = bucket
        self._prefix = f"{prefix}/" if prefix else ""
        self._place = f"{address}/{path_of(self._prefix)}"
        self._signer = signer
        self._shown = url
        self._timeout = urllib3.Timeout(connect=5, read=timeout)
        self._lock = lock
        self._now = clock
        self._ordered = urlsplit(address).netloc.endswith(".amazonaws.com")
        self._pool: tuple[int, urllib3.PoolManager] | None = None
        self.capabilities = Capabilities(
            exclusive=True,
            durable=True,
            checksum=True,
            ranges=True,
            retain_until=lock,
            presign_get=True,
            presign_put=True,
            presign_post=True,
        )

    @property
    def url(self) -> str:
        """Bucket and prefix."""
        return self._shown

    def put_new(
        self,
        key: str,
        content: BinaryIO,
        *,
        size: int | None = None,
        sha256: str | None = None,
        content_type: str | None = None,
        cache_control: str | None = None,
        retain_until: datetime | None = None,
    ) -> Stat:
        """Keep the content under a free key; the server checks its SHA-256."""
        checked_key(key)
        with _measured(content, size, sha256) as whole:
            headers = self._put_headers(whole, content_type, cache_control, retain_until)
            if whole.size > _WHOLE:
                etag = put_in_parts(self._ask, key, whole, headers, self.url)
                return Stat(key, whole.size, etag=etag, sha256=whole.sha256)
            response = self._put(key, whole, headers)
            if response.status == 412 and not (response.tries and self._is_ours(key, whole)):
                raise ObjectExists(key=key)
            etag = (response.headers.get("etag") or "").strip('"') or None
            return Stat(key, whole.size, etag=etag, sha256=whole.sha256)

    def _put_headers(
        self, whole: Checked, content_type: str | None, cache_control: str | None, retain_until: datetime | None
    ) -> dict[str, str]:
        headers = {
            "if-none-match": "*",
            "content-length": str(whole.size),
            "x-amz-checksum-sha256": base64.b64encode(bytes.fromhex(whole.sha256)).decode(),
        }
        if content_type is not None:
            headers["content-type"] = content_type
        if cache_control is not None:
            headers["cache-control"] = cache_control
        if retain_until is not None and self._lock:
            headers["x-amz-object-lock-mode"] = "COMPLIANCE"
            headers["x-amz-object-lock-retain-until-date"] = f"{retain_until.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
        return headers

    def _put(self, key: str, whole: Checked, headers: Mapping[str, str]) -> Any:
        source = _Source(whole.file)
        try:
            return self._ask("PUT", key, headers=headers, payload=whole.sha256, body=source.rewound, allow={412})
        except Exception:
            if source.error is not None:  # not the store's failure
                raise source.error from None
            raise

    def _is_ours(self, key: str, whole: Checked) -> bool:
        """Whether what lies there came from an earlier try of ours, whose answer was lost."""
        found = self.stat(key)
        return found.size == whole.size and found.sha256 == whole.sha256

    def open(self, key: str, start: int = 0, end: int | None = None) -> BinaryIO:
        """The bytes of a range, as they come."""
        if end is not None and end <= start:
            self.stat(key)
            return io.BytesIO()
        wanted = {"range": f"bytes={start}-{'' if end is None else end - 1}"} if start or end is not None else {}
        response = self._ask("GET", key, headers=wanted, allow={416}, stream=True)
        if response.status == 416:  # the range begins behind the end
            response.release_conn()
            return io.BytesIO()
        return cast(BinaryIO, _Body(response, self.url))

    def stat(self, key: str) -> Stat:
        """What is known of the object, as it is now."""
        response = self._ask("HEAD", key, headers={"x-amz-checksum-mode": "ENABLED"})
        found, modified = response.headers, response.headers.get("last-modified")
        checksum = found.get("x-amz-checksum-sha256")
        return Stat(
            key,
            int(found["content-length"]),
            etag=(found.get("etag") or "").strip('"') or None,
            version=found.get("x-amz-version-id"),
            sha256=base64.b64decode(checksum).hex() if checksum and "-" not in checksum else None,
            modified=parsedate_to_datetime(modified) if modified else None,
        )

    def delete(self, key: str) -> None:
        """Remove the object."""
        self._ask("DELETE", key, allow={404})

    def iter(self, prefix: str = "") -> Iterator[Stat]:
        """All objects below a prefix, a thousand for each request.

        AWS lists in the order of keys. Others list folder by folder, and what they list is put in order here.
        """
        listed = self._listing(prefix)
        yield from listed if self._ordered else sorted(listed, key=lambda one: one.key)

    def _listing(self, prefix: str) -> Iterator[Stat]:
        asked = {"list-type": "2", "prefix": self._prefix + checked_prefix(prefix)}
        while True:
            response = self._ask("GET", None, query=asked)
            page = ElementTree.fromstring(response.data)
            for entry in page.iterfind("{*}Contents"):
                yield self._listed(entry)
            token = page.findtext("{*}NextContinuationToken")
            if page.findtext("{*}IsTruncated") != "true" or not token:
                return
            asked["continuation-token"] = token

    def _listed(self, entry: ElementTree.Element) -> Stat:
        name, modified = entry.findtext("{*}Key") or "", entry.findtext("{*}LastModified")
        return Stat(
            name[len(self._prefix) :],
            int(entry.findtext("{*}Size") or 0),
            etag=(entry.findtext("{*}ETag") or "").strip('"') or None,
            modified=datetime.fromisoformat(modified) if modified else None,
        )

    def sign_get(
        self,
        key: str,
        *,
        seconds: int,
        disposition: str | None = None,
        content_type: str | None = None,
        query: Mapping[str, str] | None = None,
    ) -> Signed:
        """A GET of the object; the server answers with the type and disposition that were signed."""
        asked = dict(query or {})
        if disposition is not None:
            asked["response-content-disposition"] = disposition
        if content_type is not None:
            asked["response-content-type"] = content_type
        return self._signed("GET", key, {}, asked, seconds)

    def sign_put(
        self, key: str, *, seconds: int, size: int, sha256: str | None = None, content_type: str | None = None
    ) -> Signed:
        """A PUT bound to size, type and SHA-256, and to a key that is free."""
        headers = {"content-length": str(size), "if-none-match": "*"}
        if content_type is not None:
            headers["content-type"] = content_type
        if sha256 is not None:
            headers["x-amz-checksum-sha256"] = base64.b64encode(bytes.fromhex(sha256)).decode()
        return self._signed("PUT", key, headers, {}, seconds)

    def _signed(
        self, method: str, key: str, headers: Mapping[str, str], query: Mapping[str, str], seconds: int
    ) -> Signed:
        if not 1 <= seconds <= _WEEK:
            raise InvalidInput(field="seconds", reason="S3 signs URLs for one second to seven days")
        now = self._now()
        url = self._signer.presign(method, self._url(key), headers, query, seconds, now)
        return Signed(method=method, url=url, headers=headers, expires=now + timedelta(seconds=seconds))

    def sign_post(self, key: str, *, seconds: int, max_size: int, content_type: str | None = None) -> Signed:
        """A browser's form, bound to the key, the type, and a largest size."""
        now = self._now()
        fields = {"key": self._prefix + checked_key(key)}
        if content_type is not None:
            fields["Content-Type"] = content_type
        form = self._signer.form(self._bucket, fields, [["content-length-range", 0, max_size]], seconds, now)
        return Signed(method="POST", url=self._address, fields=form, expires=now + timedelta(seconds=seconds))

    def close(self) -> None:
        """Close this process's connections."""
        if self._pool is not None and self._pool[0] == os.getpid():
            self._pool[1].clear()
        self._pool = None

    def __repr__(self) -> str:
        return f"<LeanS3 {self.url}>"

    def __getstate__(self) -> Any:
        raise TypeError(f"{self!r} holds connections and credentials: open it anew from its URL")

    def _url(self, key: str | None) -> str:
        # Of what a key may hold, only "=" is not written as it is.
        return self._address if key is None else self._place + checked_key(key).replace("=", "%3D")

    @property
    def _connections(self) -> urllib3.PoolManager:
        """The connections of this process: a forked child has its own."""
        if self._pool is None or self._pool[0] != os.getpid():
            self._pool = (os.getpid(), urllib3.PoolManager(maxsize=32, retries=False, blocksize=PIECE))
        return self._pool[1]

    def _ask(
        self,
        method: str,
        key: str | None,
        *,
        headers: Mapping[str, str] | None = None,
        query: Mapping[str, str] | None = None,
        payload: str = EMPTY,
        body: Callable[[], Any] | None = None,
        allow: set[int] | None = None,
        stream: bool = False,
    ) -> Any:
        """Send a request, again where that may help, and return its answer, or raise what it means."""
        url = self._url(key) + (f"?{query_of(query)}" if query else "")
        for attempt in range(_TRIES):
            last = attempt == _TRIES - 1
            signed = self._signer.headers(method, url, headers or {}, payload, self._now())
            try:
                response = self._connections.request(
                    method, url, headers=signed, body=body and body(), preload_content=not stream,
                    timeout=self._timeout, redirect=False,
                )  # fmt: skip
            except HTTPError as error:
                if last:
                    raise StoreUnavailable(store=self.url, reason=type(error).__name__) from None
            else:
                if response.status < 300 or response.status in (allow or ()):
                    response.tries = attempt  # type: ignore[attr-defined]
                    return response
                refusal = self._refusal(response, key)  # which also empties the connection for the next request
                if response.status not in _AGAIN or last:
                    raise refusal
            time.sleep(0.1 * 2**attempt * (0.5 + random.random()))
        raise AssertionError("unreachable")

    def _refusal(self, response: Any, key: str | None) -> Exception:
        """What an answer means; its body may repeat what was signed, so only its code is told."""
        code = _code(response)
        reason = f"HTTP {response.status} {code}".strip()
        if response.status == 404 and code in ("", "NoSuchKey"):
            return ObjectMissing(key=key)
        if response.status == 412:
            return ObjectExists(key=key)
        if code in ("BadDigest", "XAmzContentSHA256Mismatch", "InvalidDigest"):
            return ContentMismatch(what="SHA-256", expected="the one announced", actual="another")
        if response.status in (401, 403):
            return StoreDenied(store=self.url, reason=reason)
        if response.status == 507 or "Quota" in code or "Storage" in code:
            return StoreFull(store=self.url, reason=reason)
        return StoreUnavailable(store=self.url, reason=reason)


@contextmanager
def _measured(content: BinaryIO, size: int | None, sha256: str | None) -> Iterator[Checked]:
    """The content with its size and digest: as announced where the server checks both, else read to its end first."""
    if sha256 is not None and content.seekable():
        start = content.tell()
        there = content.seek(0, 2) - start
        content.seek(start)
        if size is not None and there != size:
            raise ContentMismatch(what="size", expected=size, actual=there)
        yield Checked(content, there, sha256)
        return
    with checked(content, size, sha256) as whole:
        yield whole


def _code(response: Any) -> str:
    try:
        return ElementTree.fromstring(response.data).findtext("{*}Code") or ""
    except ElementTree.ParseError:
        return ""


class _Source:
    """Content that is sent, perhaps more than once, and what went wrong with it: urllib3 would blame the network."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._start = file.tell()
        self.error: Exception | None = None

    def rewound(self) -> _Source:
        """The content from its start."""
        if self.error is not None:
            raise self.error
        self._file.seek(self._start)
        return self

    def read(self, size: int = -1) -> bytes:
        try:
            return self._file.read(size)
        except Exception as error:
            self.error = error
            raise


class _Body(io.BufferedIOBase):
    """The body of an answer, whose errors are the mall's; a body that ends too early is one."""

    def __init__(self, response: Any, store: str) -> None:
        self._response = response
        self._store = store

    def readable(self) -> bool:
        """It is."""
        return True

    def read(self, size: int | None = -1) -> bytes:
        """As much as is asked for, as long as there is some."""
        try:
            piece: bytes = self._response.read(None if size is None or size < 0 else size)
            return piece
        except HTTPError as error:
            raise StoreUnavailable(store=self._store, reason=type(error).__name__) from None

    def close(self) -> None:
        """What was not read to its end can't be used for the next request."""
        if not self.closed:
            self._response.close()
            self._response.release_conn()
        super().close()
