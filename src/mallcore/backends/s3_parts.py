"""A large object goes into S3 in parts, a few at a time: what a lost connection costs is one part, not the whole.

Nothing is seen under the key until the last call, which is refused when the key is taken by then.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from io import BytesIO
from typing import Any, BinaryIO
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from mallcore.backends.streams import PIECE, Checked, refuse_other
from mallcore.errors import MallError, StoreUnavailable

PART = 16 << 20
_MOST = 10_000  # parts of an object
_AT_ONCE = 3
_ONLY_WHOLE = {"content-length", "if-none-match", "x-amz-checksum-sha256"}

Ask = Callable[..., Any]


def put_in_parts(ask: Ask, key: str, whole: Checked, headers: Mapping[str, str], url: str) -> str | None:
    """Keep the content, whose size and digest are compared with the announced ones before it is published; its ETag."""
    kept = {name: value for name, value in headers.items() if name not in _ONLY_WHOLE}
    begun = ElementTree.fromstring(ask("POST", key, headers=kept, query={"uploads": ""}).data)
    upload = {"uploadId": begun.findtext("{*}UploadId") or ""}
    try:
        return _complete(ask, key, upload, _sent(ask, key, upload, whole), url)
    except BaseException:
        with suppress(MallError):
            ask("DELETE", key, query=upload, allow={404})
        raise


def _sent(ask: Ask, key: str, upload: Mapping[str, str], whole: Checked) -> list[str]:
    """The ETags of all parts, which are all there."""

    def send(number: int, part: bytes) -> str:
        query = {**upload, "partNumber": str(number)}
        digest = hashlib.sha256(part).hexdigest()
        length = {"content-length": str(len(part))}
        answer = ask("PUT", key, headers=length, query=query, payload=digest, body=lambda: BytesIO(part))
        return str(answer.headers["etag"])

    etags: list[str] = []
    waiting: deque[Future[str]] = deque()
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for number, part in enumerate(_parts(whole), 1):
            waiting.append(pool.submit(send, number, part))
            if len(waiting) > _AT_ONCE:  # no more than that is held in memory
                etags.append(waiting.popleft().result())
        etags += [one.result() for one in waiting]
    return etags


def _parts(whole: Checked) -> Iterator[bytes]:
    """The parts in order; at their end `ContentMismatch` unless together they are what was announced."""
    size = max(PART, -(-whole.size // _MOST))
    found, read = hashlib.sha256(), 0
    while part := _filled(whole.file, size):
        read += len(part)
        found.update(part)
        yield part
    refuse_other(read, found.hexdigest(), whole.size, whole.sha256)


def _filled(file: BinaryIO, size: int) -> bytes:
    pieces, left = [], size
    while left and (piece := file.read(min(left, PIECE))):
        pieces.append(piece)
        left -= len(piece)
    return b"".join(pieces)


def _complete(ask: Ask, key: str, upload: Mapping[str, str], etags: list[str], url: str) -> str | None:
    listed = "".join(
        f"<Part><PartNumber>{number}</PartNumber><ETag>{escape(etag)}</ETag></Part>"
        for number, etag in enumerate(etags, 1)
    )
    body = f"<CompleteMultipartUpload>{listed}</CompleteMultipartUpload>".encode()
    headers = {"content-length": str(len(body)), "content-type": "application/xml", "if-none-match": "*"}
    digest = hashlib.sha256(body).hexdigest()
    answer = ask("POST", key, headers=headers, query=upload, payload=digest, body=lambda: BytesIO(body))
    done = ElementTree.fromstring(answer.data)
    if done.tag.endswith("Error"):  # S3 begins to answer 200 before it knows
        raise StoreUnavailable(store=url, reason=done.findtext("{*}Code") or done.findtext("Code") or "Error")
    return (done.findtext("{*}ETag") or "").strip('"') or None
