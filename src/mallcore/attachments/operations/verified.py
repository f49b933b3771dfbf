"""Content that proves itself while it is read: its last bytes come only if all of it is what was kept."""

from __future__ import annotations

import hashlib
import io
from typing import BinaryIO, cast

from mallcore.errors import StoreUnavailable

_PIECE = 1 << 18


class Verified(io.RawIOBase):
    """A stream whose last piece is held back until the whole has its SHA-256: no damaged copy passes for a good one.

    What is no longer than a piece is checked before its first byte is given.
    """

    def __init__(self, source: BinaryIO, digest: str, store: str) -> None:
        self._source, self._digest, self._store = source, digest, store
        self._found = hashlib.sha256()
        self._ready = b""
        self._held: bytes | None = None

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Fill the buffer with what is known to be followed by more, or to be the end of what was kept."""
        while not self._ready and self._held != b"":
            self._advance()
        given, self._ready = self._ready[: len(buffer)], self._ready[len(buffer) :]
        buffer[: len(given)] = given
        return len(given)

    def _advance(self) -> None:
        piece = self._source.read(_PIECE)
        self._found.update(piece)
        if not piece and self._found.hexdigest() != self._digest:
            reason = "a copy is damaged: run `mallcore attachments scrub`, or upload the content again"
            raise StoreUnavailable(store=self._store, reason=reason)
        self._ready, self._held = self._held or b"", piece

    def close(self) -> None:
        """Close the store's stream, too."""
        if not self.closed:
            self._source.close()
        super().close()


def verified(source: BinaryIO, digest: str, store: str) -> BinaryIO:
    """A buffered `Verified`."""
    return cast(BinaryIO, io.BufferedReader(Verified(source, digest, store), _PIECE))
