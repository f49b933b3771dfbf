"""The file at the end of a form, read while it comes: nothing of it is kept before its reader asks for it."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

__all__ = ["Trailing"]


class Trailing(io.RawIOBase):
    """What the parser finds of the file, as a stream.

    ``feed`` gives the parser the next piece of the body, which writes into this; ``over`` says that the form is at its
    end, and ``feed`` raises when the body ends before that.
    """

    def __init__(self, feed: Callable[[], None], over: Callable[[], bool]) -> None:
        super().__init__()
        self._feed = feed
        self._over = over
        self._found = bytearray()

    def readable(self) -> bool:
        return True

    def take(self, piece: memoryview) -> None:
        """The parser has found more."""
        self._found += piece

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        view = memoryview(buffer).cast("B")
        while not self._found and not self._over():
            self._feed()
        size = min(len(view), len(self._found))
        view[:size] = self._found[:size]
        del self._found[:size]
        return size
