"""Parts of the contract of object stores: streams that fail, writers that race, a child that forks."""

from __future__ import annotations

import hashlib
import io
import os
import signal
import traceback
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from threading import Barrier
from typing import Any, BinaryIO, cast

from mallcore.errors import MallError, ObjectExists
from mallcore.kernel.objects import ObjectStore

_PATIENCE = 60


class _Once(io.RawIOBase):
    """Content that can be read once and not rewound, in pieces of any size."""

    def __init__(self, content: bytes) -> None:
        self._left = memoryview(content)

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Some of it."""
        piece = self._left[: min(len(buffer), 65_521)]
        buffer[: len(piece)] = piece
        self._left = self._left[len(piece) :]
        return len(piece)


class _Failing(io.RawIOBase):
    """Content whose reading fails short of its end; it can be rewound where that is wanted."""

    def __init__(self, size: int, error: Exception, *, rewinds: bool) -> None:
        self._size, self._error, self._rewinds = size, error, rewinds
        self._at = 0

    def readable(self) -> bool:
        """Until it fails."""
        return True

    def seekable(self) -> bool:
        """As wanted."""
        return self._rewinds

    def seek(self, offset: int, whence: int = 0) -> int:
        """Go where it is said, if it rewinds."""
        if not self._rewinds:
            raise io.UnsupportedOperation("seek")
        self._at = offset + {0: 0, 1: self._at, 2: self._size}[whence]
        return self._at

    def tell(self) -> int:
        """Where it is."""
        return self._at

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Bytes, until ten are left."""
        count = min(len(buffer), self._size - 10 - self._at)
        if count <= 0:
            raise self._error
        buffer[:count] = b"x" * count
        self._at += count
        return count


def once(content: bytes) -> BinaryIO:
    """A stream that can be read once."""
    return cast(BinaryIO, _Once(content))


def failing(size: int, error: Exception, *, rewinds: bool) -> BinaryIO:
    """A stream that fails short of its end."""
    return cast(BinaryIO, _Failing(size, error, rewinds=rewinds))


def digest_of(content: bytes) -> str:
    """The SHA-256 in hex."""
    return hashlib.sha256(content).hexdigest()


def read(store: ObjectStore, key: str) -> bytes:
    """The whole object."""
    with store.open(key) as stream:
        return stream.read()


def raised(call: Callable[..., object], *args: Any, **kwargs: Any) -> Exception:
    """The error of a call; there must be one."""
    try:
        call(*args, **kwargs)
    except Exception as error:
        return error
    raise AssertionError("nothing was raised")


def refused(expected: type[MallError], call: Callable[..., object], *args: Any, **kwargs: Any) -> None:
    """The call ends in this error."""
    error = raised(call, *args, **kwargs)
    if not isinstance(error, expected):
        raise AssertionError(f"{type(error).__name__} was raised, not {expected.__name__}: {error}") from error


def causes(error: BaseException | None) -> list[BaseException]:
    """The errors that a traceback would show."""
    found = []
    while error is not None:
        found.append(error)
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return found


def raced(put: Callable[[bytes], object], bodies: list[bytes]) -> list[bytes]:
    """The bodies whose writer succeeded, when all begin at once; the others must be told that something is there."""
    start = Barrier(len(bodies))

    def one(body: bytes) -> bytes | None:
        start.wait(_PATIENCE)
        try:
            put(body)
        except ObjectExists:
            return None
        return body

    with ThreadPoolExecutor(len(bodies)) as pool:
        return [body for body in pool.map(one, bodies) if body is not None]


def forked(work: Callable[[], None]) -> tuple[int, str]:
    """How a forked child ended that did this work, and what it said; one that hangs is ended by an alarm."""
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # that threads and forks don't mix is what is tested
        child = os.fork()
    if child == 0:
        _run_in_child(work, writing)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        said = pipe.read().decode(errors="replace")
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), said


def _run_in_child(work: Callable[[], None], writing: int) -> None:
    code = 1
    try:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(_PATIENCE)
        work()
        code = 0
    except BaseException:
        os.write(writing, traceback.format_exc()[-4000:].encode())
    finally:
        os._exit(code)  # nothing of the parent's is to be tidied up here


def write_and_read(store: ObjectStore, there: str, new: str) -> None:
    """What a child does with a store its parent has used."""
    assert read(store, there) == b"parent"
    store.put_new(new, BytesIO(b"child"))
    assert read(store, new) == b"child"
    assert store.stat(new).size == 5
    assert new in [one.key for one in store.iter(new)]
    refused(ObjectExists, lambda: store.put_new(new, BytesIO(b"again")))


__all__ = ["causes", "digest_of", "failing", "forked", "once", "raced", "raised", "read", "refused", "write_and_read"]
