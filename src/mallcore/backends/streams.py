"""Streams that stores share: a part of a file, and content that is read to its end and checked before it is kept."""

from __future__ import annotations

import hashlib
import io
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import BinaryIO, NamedTuple, cast

from mallcore.errors import ContentMismatch

PIECE = 1 << 20
_IN_MEMORY = 8 << 20


class Section(io.RawIOBase):
    """The next ``length`` bytes of another stream, which is closed with it (``None``: up to its end)."""

    def __init__(self, source: BinaryIO, length: int | None) -> None:
        self._source = source
        self._left = length

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Fill the buffer as far as there is something left."""
        wanted = len(buffer) if self._left is None else min(len(buffer), self._left)
        piece = self._source.read(wanted) if wanted else b""
        buffer[: len(piece)] = piece
        if self._left is not None:
            self._left -= len(piece)
        return len(piece)

    def close(self) -> None:
        """Close the other stream, too."""
        if not self.closed:
            self._source.close()
        super().close()


def section(source: BinaryIO, length: int | None) -> BinaryIO:
    """A buffered `Section`."""
    return cast(BinaryIO, io.BufferedReader(Section(source, length), PIECE >> 2))


class Checked(NamedTuple):
    """Content that was read to its end: it is what was announced."""

    file: BinaryIO
    size: int
    sha256: str
    path: str | None = None
    """Where it lies as a file, if it is too large for memory."""


@contextmanager
def checked(content: BinaryIO, size: int | None, sha256: str | None) -> Iterator[Checked]:
    """Read the content into a spool, and refuse it (`ContentMismatch`) before anything of it is kept."""
    with ExitStack() as stack:
        spool: BinaryIO = io.BytesIO()
        path, found, read = None, hashlib.sha256(), 0
        while piece := content.read(PIECE):
            read += len(piece)
            found.update(piece)
            if path is None and read > _IN_MEMORY:
                file = stack.enter_context(tempfile.NamedTemporaryFile())
                file.write(cast(io.BytesIO, spool).getbuffer())
                spool, path = cast(BinaryIO, file), file.name
            spool.write(piece)
        refuse_other(read, found.hexdigest(), size, sha256)
        spool.flush()
        spool.seek(0)
        yield Checked(spool, read, found.hexdigest(), path)


def refuse_other(read: int, digest: str, size: int | None, sha256: str | None) -> None:
    """Raise `ContentMismatch` unless size and digest are those announced."""
    for what, expected, actual in (("size", size, read), ("SHA-256", sha256, digest)):
        if expected is not None and expected != actual:
            raise ContentMismatch(what=what, expected=expected, actual=actual)
