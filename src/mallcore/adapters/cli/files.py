"""Files that a command reads or writes: ``-`` is standard input or output, and what is wrong with one is said."""

from __future__ import annotations

import io
import json
import os
import stat
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, cast

from mallcore.errors import InvalidInput, LimitExceeded, MallError, NotFound

STANDARD = "-"
LARGEST = 256 << 20
_PIECE = 1 << 18
Told = Callable[[int, "int | None"], None]


def contents(path: str, told: Told | None = None) -> bytes:
    """What a file holds; ``told`` hears how many bytes of how many were read."""
    if path == STANDARD:
        return _read(sys.stdin.buffer, None, told)
    try:
        with open(path, "rb") as file:
            state = os.fstat(file.fileno())
            size = state.st_size if stat.S_ISREG(state.st_mode) else None
            return _read(file, size, told)
    except OSError as error:
        raise _unreadable(path, error) from None


def _read(file: BinaryIO, size: int | None, told: Told | None) -> bytes:
    if size is not None and size > LARGEST:
        raise LimitExceeded(what="the size of the file in bytes", actual=size, limit=LARGEST)
    parts: list[bytes] = []
    done = 0
    while piece := file.read(_PIECE):
        parts.append(piece)
        done += len(piece)
        if done > LARGEST:
            raise LimitExceeded(what="the size of the file in bytes", actual=done, limit=LARGEST)
        if told is not None:
            told(done, size)
    return b"".join(parts)


def _unreadable(path: str, error: OSError) -> MallError:
    if isinstance(error, FileNotFoundError):
        return NotFound(f"There is no file {path!r}: check the path, or give - for standard input.", file=path)
    if isinstance(error, IsADirectoryError):
        return InvalidInput(f"{path!r} is a folder: name a file in it.", file=path)
    return InvalidInput(f"{path!r} can't be read: {error.strerror or error}.", file=path)


def json_list(path: str, name: str) -> list[Any]:
    """The list in a JSON file, or under the key ``name`` of the object in it."""
    try:
        found = json.loads(contents(path).decode("utf-8-sig"))
    except json.JSONDecodeError as error:
        raise InvalidInput(field=path, reason=f"line {error.lineno}: it is no JSON ({error.msg})") from None
    except (UnicodeDecodeError, RecursionError) as error:
        raise InvalidInput(field=path, reason=f"it is no JSON ({error})") from None
    if isinstance(found, dict):
        found = found.get(name)
    if not isinstance(found, list):
        raise InvalidInput(field=path, reason=f"it must hold a JSON list, or an object with a list {name!r}")
    return found


class _Watched(io.RawIOBase):
    """A file that is read piece by piece, and tells how far."""

    def __init__(self, file: BinaryIO, size: int | None, told: Told) -> None:
        super().__init__()
        self._file = file
        self._size = size
        self._told = told
        self._done = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        piece = self._file.read(len(buffer))
        buffer[: len(piece)] = piece
        self._done += len(piece)
        self._told(self._done, self._size)
        return len(piece)


@contextmanager
def opened(path: str, told: Told) -> Iterator[BinaryIO]:
    """A file of any size, to be read piece by piece within the block; ``told`` hears how far it was read."""
    try:
        file = sys.stdin.buffer if path == STANDARD else open(path, "rb")  # noqa: SIM115
    except OSError as error:
        raise _unreadable(path, error) from None
    try:
        state = os.fstat(file.fileno()) if path != STANDARD else None
        size = state.st_size if state is not None and stat.S_ISREG(state.st_mode) else None
        yield cast(BinaryIO, _Watched(file, size, told))
    finally:
        if path != STANDARD:
            file.close()


def store(path: Path, pieces: Iterable[str]) -> int:
    """Write a text file whole or not at all; returns its size in bytes. A file that is there is replaced at the end."""
    return store_bytes(path, (piece.encode() for piece in pieces))


def store_bytes(path: Path, pieces: Iterable[bytes]) -> int:
    """Write a file whole or not at all; returns its size in bytes. A file that is there is replaced at the end."""
    partial = path.with_name(f".{path.name}.part")
    try:
        if path.is_dir():
            raise IsADirectoryError(21, "it is a folder: name a file in it")
        with partial.open("wb") as file:
            for piece in pieces:
                file.write(piece)
        partial.replace(path)
    except BaseException as error:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise InvalidInput(f"{str(path)!r} can't be written: {error.strerror or error}.", file=str(path)) from None
        raise
    return path.stat().st_size
