"""Results that are sent piece by piece: a version's content, say. Closed in all cases, whoever goes away."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO, Protocol

from mallcore.api.bodies import length_of
from mallcore.api.http import Response

log = logging.getLogger("mallcore.api")
_BODILESS = (204, 304)
_PIECE = 1 << 18
_HEADER = re.compile(r"[\t\x20-\x7e\xa0-\xff]*")


class Delivery(Protocol):
    """A result of an operation that says itself how it is answered."""

    @property
    def status(self) -> int:
        """The HTTP status."""
        ...

    @property
    def headers(self) -> Mapping[str, str]:
        """All headers that are about the content, with its length."""
        ...

    @property
    def body(self) -> BinaryIO | None:
        """The content, if there is something to send; closed by whoever sends it."""
        ...


class Chunks:
    """The pieces of a content, for a server to send. It is closed at its end, at an error, or by the server."""

    def __init__(self, body: BinaryIO, length: int | None) -> None:
        self._body: BinaryIO | None = body
        self._left = length
        self._lock = threading.RLock()  # who closes it must not meet a thread that still reads

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        with self._lock:
            try:
                piece = self._read()
            except Exception as error:
                log.warning("a content breaks off: %r", error)
                self.close()
                raise
            if not piece:
                self.close()
                raise StopIteration
            return piece

    def _read(self) -> bytes:
        if self._body is None:
            return b""
        piece = self._body.read(_PIECE)
        if self._left is not None:
            self._left -= len(piece)
            if self._left < 0 or (self._left and not piece):
                raise OSError("the content is not as long as was said")
        return piece

    def close(self) -> None:
        """End it. Harmless when done before."""
        with self._lock:
            body, self._body = self._body, None
            if body is not None:
                body.close()


def is_delivery(result: Any) -> bool:
    """Whether a result says itself how it is answered."""
    return hasattr(result, "status") and hasattr(result, "headers")


def delivered(method: str, delivery: Delivery) -> Response:
    """The response; to a HEAD without the content."""
    body = delivery.body
    try:
        headers = [_checked(name, value) for name, value in delivery.headers.items()]
        response = Response(delivery.status, headers)
        if body is not None and method != "HEAD" and delivery.status not in _BODILESS:
            response.chunks = Chunks(body, length_of(response.header("content-length") or ""))
            return response
    except BaseException:
        if body is not None:
            body.close()
        raise
    if body is not None:
        body.close()
    return response


def _checked(name: str, value: str) -> tuple[str, str]:
    """Some servers send what they are given: a line break would begin another header."""
    if _HEADER.fullmatch(value) is None:
        raise ValueError(f"the header {name} can't be sent")
    return name.lower(), value
