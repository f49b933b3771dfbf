"""A request's body while it comes: never more than is allowed, never less than was announced."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, BinaryIO, NamedTuple, Protocol

from mallcore.api.rules.negotiation import media_type
from mallcore.api.rules.openapi import FORM
from mallcore.api.rules.problems import Refused
from mallcore.errors import InvalidInput, LimitExceeded

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


ANY = "*/*"
_UNTOLD = "application/x-www-form-urlencoded"


class Source(Protocol):
    """Where an adapter's server gives a body: nothing means that it is over; an `OSError`, that it is cut off."""

    def read(self, size: int, /) -> bytes:
        """Up to so many bytes; waits for the first."""
        ...


class Paced:
    """A source whose client may keep its reader waiting for so long, and then for a second per so many bytes."""

    def __init__(
        self, source: Source, patience: float, slowest: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._source = source
        self._patience = patience
        self._slowest = slowest
        self._clock = clock
        self._waited = 0.0

    def read(self, size: int, /) -> bytes:
        """Up to so many bytes; `TimeoutError` for a client that is too slow."""
        began = self._clock()
        piece = self._source.read(size)
        # Only waiting counts: what the reader does with its bytes is not the client's fault.
        self._waited = max(0.0, self._waited + self._clock() - began - len(piece) / self._slowest)
        if self._waited > self._patience:
            raise TimeoutError
        return piece


class Body(io.RawIOBase):
    """A body as a stream. What is wrong with it is said when it is read: by then its reader has been let in."""

    def __init__(self, source: Source, length: int | None, limit: int) -> None:
        super().__init__()
        self._source = source
        self._length = length
        self._limit = limit
        self._came = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        view = memoryview(buffer).cast("B")
        wanted = len(view) if self._length is None else min(len(view), self._length - self._came)
        piece = self._read(wanted) if wanted > 0 else b""
        self._came += len(piece)
        refuse_larger(self._came, self._limit)
        if not piece and self._length is not None and self._came < self._length:
            raise cut_off(f"it ended after {self._came} of {self._length} bytes")
        view[: len(piece)] = piece
        return len(piece)

    def _read(self, size: int) -> bytes:
        try:
            return self._source.read(size)
        except TimeoutError:
            raise Refused(408, InvalidInput(field="body", reason="it came too slowly")) from None
        except OSError:
            raise cut_off(f"the connection ended after {self._came} bytes") from None


def cut_off(reason: str) -> Refused:
    """A body of which a part is missing."""
    return Refused(400, InvalidInput(field="body", reason=reason))


def refuse_larger(size: int, limit: int) -> None:
    """413 for a body of more than the limit."""
    if size > limit:
        raise Refused(413, LimitExceeded(what="the request's body", actual=size, limit=limit))


def length_of(header: str) -> int | None:
    """The number of bytes that a ``Content-Length`` announces; nothing when it does not."""
    return int(header) if header.isdecimal() and header.isascii() and len(header) < 19 else None


def refuse_other_types(content_type: str | None, accepts: tuple[str, ...]) -> None:
    """415 for a body of a type that is not taken; one that is not named is taken as the first.

    Where any type is taken, the one that clients send when nobody told them a type says nothing, and is refused.
    """
    if content_type and ANY in accepts and media_type(content_type) != _UNTOLD:
        return
    if content_type and accepts and media_type(content_type) not in accepts:
        raise Refused(415, InvalidInput(field="content-type", reason=f"send {' or '.join(accepts)}"))


def is_form(content_type: str | None) -> bool:
    """Whether the body is a form with files."""
    return content_type is not None and media_type(content_type) == FORM


class Form(NamedTuple):
    """What a form with a file brings. The file is closed by whoever has the form."""

    fields: list[tuple[str, str]]
    file: BinaryIO
    field: str
    file_name: str
    content_type: str | None


Forms = Callable[[str, BinaryIO, bool], Form]
"""Reads the form in a body, by its ``Content-Type``; the file may be told to be the last, to be read while it comes."""
