"""Results that are sent piece by piece: a version's content, say. Closed in all cases, whoever goes away."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from mallcore.api.http import Response

log = logging.getLogger("mallcore.api")
_BODILESS = (204, 304)
_HEADER = re.compile(r"[\t\x20-\x7e\xa0-\xff]*")


class Delivery(Protocol):
    """A result of an operation that says itself how it is answered."""

    @property
    def status(self) -> int:
        """The HTTP status."""
        ...

    @property
    def headers(self) -> Sequence[tuple[str, str]]:
        """All headers that are about the content, with its length."""
        ...

    @property
    def chunks(self) -> Iterator[bytes]:
        """The content."""
        ...

    def close(self) -> None:
        """Give back what is held open; called once, read to the end or not."""
        ...


class Chunks:
    """The pieces of a delivery, for a server to send. It is closed at its end, at an error, or by the server."""

    def __init__(self, delivery: Delivery) -> None:
        self._delivery: Delivery | None = delivery
        self._pieces = iter(delivery.chunks)
        self._lock = threading.RLock()  # who closes it must not meet a thread that still fetches

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        with self._lock:
            if self._delivery is None:
                raise StopIteration
            try:
                return next(self._pieces)
            except BaseException as error:
                if not isinstance(error, StopIteration):
                    log.warning("a delivery breaks off: %r", error)
                self.close()
                raise

    def close(self) -> None:
        """End the delivery. Harmless when done before."""
        with self._lock:
            delivery, self._delivery = self._delivery, None
            if delivery is not None:
                delivery.close()


def is_delivery(result: Any) -> bool:
    """Whether a result is sent piece by piece."""
    return hasattr(result, "chunks")


def delivered(method: str, delivery: Delivery) -> Response:
    """The response; to a HEAD, and where there is nothing to send, without the content."""
    chunks = Chunks(delivery)
    try:
        headers = [_checked(name, value) for name, value in delivery.headers]
        response = Response(delivery.status, headers)
        if method == "HEAD" or delivery.status in _BODILESS:
            chunks.close()
        else:
            response.chunks = chunks
    except BaseException:
        chunks.close()
        raise
    return response


def _checked(name: str, value: str) -> tuple[str, str]:
    """Some servers send what they are given: a line break would begin another header."""
    if _HEADER.fullmatch(value) is None:
        raise ValueError(f"the header {name} can't be sent")
    return name.lower(), value
