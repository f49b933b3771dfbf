"""Bytes on their way: spooled once while they are counted and hashed, and parts read as one stream."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import BinaryIO, NamedTuple, cast

from mallcore.attachments.rules.uploading import Checksum, refuse_beyond
from mallcore.errors import ContentMismatch, InvalidInput, MallError

PIECE = 1 << 18
IN_MEMORY = 1 << 20


class Arrived(NamedTuple):
    """Bytes that were read to their end, or to where they were cut: then ``cut`` says by what."""

    file: BinaryIO
    size: int
    digest: str
    cut: Exception | None = None


@contextmanager
def arrived(content: bytes | BinaryIO, most: int, what: str, checksum: Checksum | None = None) -> Iterator[Arrived]:
    """Read the content once; more than ``most`` bytes are refused while they come, and so is another checksum."""
    with tempfile.SpooledTemporaryFile(max_size=IN_MEMORY) as spool:
        found, other, size, cut = hashlib.sha256(), None, 0, None
        if checksum is not None and checksum.algorithm != "sha256":
            other = hashlib.new(checksum.algorithm, usedforsecurity=False)
        try:
            for piece in pieces(content):
                size += len(piece)
                refuse_beyond(what, size, most)
                found.update(piece)
                if other is not None:
                    other.update(piece)
                spool.write(piece)
        except MallError:
            raise
        except Exception as error:  # whoever sent it is gone, say: what came before is as good as it was
            cut = error
        if checksum is not None and (other or found).digest() != checksum.digest:
            actual = (other or found).hexdigest()
            raise ContentMismatch(what=checksum.name, expected=checksum.digest.hex(), actual=actual) from cut
        spool.seek(0)
        yield Arrived(cast(BinaryIO, spool), size, found.hexdigest(), cut)


def pieces(content: bytes | BinaryIO) -> Iterator[bytes]:
    """The content piece by piece; a stream that gives anything but bytes is refused."""
    if isinstance(content, bytes):
        yield content
        return
    while piece := content.read(PIECE):
        if not isinstance(piece, bytes | bytearray | memoryview):
            raise InvalidInput(field="file", reason=f"its stream gives {type(piece).__name__}, not bytes")
        yield bytes(piece)


class Joined:
    """Several objects read as one stream, each opened when its turn comes."""

    def __init__(self, opens: Iterable[Callable[[], BinaryIO]]) -> None:
        self._waiting = iter(opens)
        self._current: BinaryIO | None = None

    def read(self, size: int = -1) -> bytes:
        """Up to so many bytes; none at the very end."""
        while True:
            if self._current is None:
                following = next(self._waiting, None)
                if following is None:
                    return b""
                self._current = following()
            piece = self._current.read(size if size >= 0 else PIECE)
            if piece:
                return piece
            self.close()

    def close(self) -> None:
        """Close what is open."""
        current, self._current = self._current, None
        if current is not None:
            with suppress(OSError):
                current.close()
