"""Objects on any file system of fsspec, which is asked to carry bytes and for nothing else.

What it does not promise is done here: content is read to its end and checked before anything is published; nothing is
listed from a cache; nothing is written through ``open``, which publishes a part when it is interrupted; and every
process has a file system of its own, for the network ones break in a forked child.
"""

from __future__ import annotations

import io
import json
import os
import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from datetime import datetime
from functools import partial
from pathlib import Path
from threading import RLock
from typing import Any, BinaryIO, ClassVar, cast
from urllib.parse import parse_qsl

from mallcore.backends.fsspec_answers import stat_of, status_of, told
from mallcore.backends.streams import Checked, checked, section
from mallcore.backends.unsigned import Unsigned
from mallcore.errors import (
    MissingExtra,
    ObjectExists,
    ObjectMissing,
)
from mallcore.kernel.hooks import hookimpl
from mallcore.kernel.objects import Capabilities, ObjectStore, Stat, checked_key, checked_prefix

_SMALL = 8 << 20
_FIRST = 1 << 20
_SLOWEST = 256 << 10  # bytes a second
_EXCLUSIVE: dict[str, dict[str, Any]] = {
    **{name: {"mode": "create"} for name in ("s3", "s3a")},
    **{name: {"overwrite": False} for name in ("abfs", "abfss", "az")},
}


class FsspecStore(Unsigned):
    """An `ObjectStore` over a file system of fsspec below ``root``.

    ``fs`` is a file system, or a function that makes one and is called once in every process. ``creating`` are the
    arguments by which it writes only under a name that is free; where there are none, the name is looked up first, and
    a race is won by the last. ``patience`` (seconds, for asynchronous ones) bounds how long a write may take;
    ``labels`` gives the arguments by which type and cache control are kept with the content.

    >>> from fsspec.implementations.dirfs import DirFileSystem
    >>> from fsspec.implementations.memory import MemoryFileSystem
    >>> FsspecStore(DirFileSystem("/shop", MemoryFileSystem()), "objects").capabilities.exclusive
    False
    """

    scheme: ClassVar[str] = "fsspec"

    def __init__(
        self,
        fs: Any,
        root: str,
        url: str | None = None,
        *,
        creating: Mapping[str, Any] | None = None,
        durable: bool = False,
        patience: float | None = None,
        labels: Callable[[str | None, str | None], dict[str, Any]] | None = None,
    ) -> None:
        protocol = "" if _makes(fs) else fs.protocol if isinstance(fs.protocol, str) else fs.protocol[0]
        if protocol in _EXCLUSIVE:
            creating = _EXCLUSIVE[protocol]
        self._given = not _makes(fs)
        self._connect: Callable[[], Any] = fs if _makes(fs) else partial(_own, fs, os.getpid())
        self._root = root.rstrip("/")
        self._url = url or f"{protocol}://{root.lstrip('/')}"
        self._creating = creating
        self._patience = patience
        self._labels = labels
        self._gates: dict[int, AbstractContextManager[Any]] = {}
        self._made: tuple[int, Any, AbstractContextManager[Any]] | None = None
        self.capabilities = Capabilities(exclusive=creating is not None, durable=durable, checksum=True, ranges=True)

    @property
    def url(self) -> str:
        """Protocol and path, without anything secret."""
        return self._url

    @property
    def fs(self) -> Any:
        """This process's file system."""
        return self._connected[0]

    @property
    def _connected(self) -> tuple[Any, AbstractContextManager[Any]]:
        """This process's file system, and what a thread holds while it asks it."""
        pid, made = os.getpid(), self._made
        if made is None or made[0] != pid:
            # Each process has a gate of its own: another thread may be in ours while we are forked.
            with self._gates.setdefault(pid, RLock()), self._in_our_words(""):
                made = self._made
                if made is None or made[0] != pid:
                    fs = self._connect()
                    self._made = made = (pid, fs, _turns(fs))
        return made[1], made[2]

    def put_new(
        self,
        key: str,
        content: BinaryIO,
        *,
        size: int | None = None,
        sha256: str | None = None,
        content_type: str | None = None,
        cache_control: str | None = None,
        retain_until: datetime | None = None,
    ) -> Stat:
        """Keep the content under a free key: checked first, written then."""
        path = self._path(key)
        with checked(content, size, sha256) as whole, self._named(key):
            if self._creating is None and self.fs.exists(path):
                raise ObjectExists(key=key)
            self._publish(path, whole, self._labels(content_type, cache_control) if self._labels else {})
            return Stat(key, whole.size)

    def _publish(self, path: str, whole: Checked, labels: Mapping[str, Any]) -> None:
        """Write, and on failure leave nothing: but never remove what another writer has put there."""
        try:
            self._write(path, whole, labels)
        except Exception as error:
            # Where writing is exclusive it is whole, too: what lies there may be another's.
            if self._creating is None and not isinstance(told(error, path, self._url), ObjectExists):
                with suppress(Exception):
                    self._remove_part(path, whole.size)
            raise

    def _write(self, path: str, whole: Checked, labels: Mapping[str, Any]) -> None:
        if self._creating is None:
            self.fs.makedirs(path.rpartition("/")[0], exist_ok=True)
        more = {**(self._creating or {}), **self._bounded(whole.size), **labels}
        if whole.path is None:
            content = whole.file.read()
            _again(lambda: self.fs.pipe_file(path, content, **more))
        else:
            _again(lambda: self.fs.put_file(whole.path, path, **more))

    def _bounded(self, size: int) -> dict[str, float]:
        """How long a write may take in all: aiohttp waits for ever for a server that does not read what it is sent."""
        return {} if self._patience is None else {"timeout": 4 * self._patience + size / _SLOWEST}

    def _remove_part(self, path: str, size: int) -> None:
        if self.fs.info(path)["size"] != size:
            self.fs.rm_file(path)

    def open(self, key: str, start: int = 0, end: int | None = None) -> BinaryIO:
        """The bytes of a range: a small one at once, a large one piece by piece."""
        path = self._path(key)
        with self._named(key):
            first = self._at_once(path, start, end)
            if first is not None:
                return io.BytesIO(first)
            size = int(self._info(path)["size"])
            start, end = min(start, size), size if end is None else max(min(end, size), start)
            if end == start:
                return io.BytesIO()
            file = self.fs.open(path, "rb", block_size=_SMALL, cache_type="readahead")
            file.seek(start)
        return section(cast(BinaryIO, _Told(file, self, key)), end - start)

    def _at_once(self, path: str, start: int, end: int | None) -> bytes | None:
        """The range, asked for without knowing the size; nothing when there is more, or where this can't be asked."""
        stop = start + _FIRST if end is None else min(end, start + _FIRST)
        if stop <= start:
            return None
        try:
            piece: bytes = self.fs.cat_file(path, start=start, end=stop)
        except FileNotFoundError:
            raise
        except (OSError, ValueError) as error:  # empty, or it begins behind the end, or is a folder
            if status_of(error) in (None, 416) and not isinstance(error, TimeoutError | ConnectionError):
                return None
            raise
        except Exception as error:
            if status_of(error) == 416:
                return None
            raise
        return piece if len(piece) < _FIRST or stop == end else None

    def stat(self, key: str) -> Stat:
        """What is known of the object, as it is now."""
        with self._named(key):
            return stat_of(key, self._info(self._path(key)))

    def _info(self, path: str) -> dict[str, Any]:
        self.fs.invalidate_cache(path)  # a host's file system may keep listings
        found: dict[str, Any] = self.fs.info(path)
        if found.get("type") != "file":
            raise FileNotFoundError(path)
        return found

    def delete(self, key: str) -> None:
        """Remove the object."""
        with suppress(ObjectMissing), self._named(key):
            self._info(self._path(key))
            self.fs.rm_file(self._path(key))

    def iter(self, prefix: str = "") -> Iterator[Stat]:
        """All objects below a prefix."""
        folder = checked_prefix(prefix).rpartition("/")[0]
        with self._named(prefix):
            self.fs.invalidate_cache()
            found = self.fs.find(f"{self._root}/{folder}".rstrip("/"), detail=True)
        start = len(self.fs._strip_protocol(self._root)) + 1
        for path in sorted(found):
            key = path[start:]
            if key.startswith(prefix):
                yield stat_of(key, found[path])

    def close(self) -> None:
        """Let this process's file system go, and its connection, if both are ours and it has one."""
        made, self._made = self._made, None
        if made is not None and made[0] == os.getpid() and not self._given:
            connection = getattr(made[1], "client", None)
            with suppress(Exception):
                getattr(connection, "close", int)()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._url}>"

    def __getstate__(self) -> Any:
        raise TypeError(f"{self!r} holds connections and credentials: open it anew from its URL")

    def _path(self, key: str) -> str:
        return f"{self._root}/{checked_key(key)}"

    @contextmanager
    def _named(self, key: str) -> Iterator[None]:
        """Ask the file system; its errors are in the mall's words."""
        _, turn = self._connected
        with turn, self._in_our_words(key):
            yield

    @contextmanager
    def _in_our_words(self, key: str) -> Iterator[None]:
        """The file system's errors in the mall's words; what they say may hold secrets, so it is not repeated."""
        try:
            yield
        except Exception as error:
            meant = told(error, key, self._url)
            if meant is None or meant is error:
                raise
            raise meant from None


def _again(call: Callable[[], object], tries: int = 4) -> None:
    """Write; and again when S3 says 409, for then two wrote at once and neither may have won."""
    for attempt in range(1, tries + 1):
        try:
            call()
        except Exception as error:
            if status_of(error) != 409 or attempt == tries:
                raise
            time.sleep(0.1 * 2**attempt * (0.5 + random.random()))
        else:
            return


def _makes(fs: Any) -> bool:
    """Whether this makes a file system, rather than being one."""
    return callable(fs) and not hasattr(fs, "pipe_file")


def _made(kind: Any, *arguments: Any, **options: Any) -> Any:
    """A file system that is shared with nobody, and keeps no listings (not all take the argument that says so)."""
    fs = kind(*arguments, **{**options, "skip_instance_cache": True})
    if getattr(fs, "dircache", None) is not None:
        fs.dircache.use_listings_cache = False
    return fs


def _own(fs: Any, pid: int) -> Any:
    """The host's file system; in a forked child another one like it, for those of the network don't survive a fork."""
    if os.getpid() == pid or not getattr(fs, "async_impl", False):
        return fs
    return _made(type(fs), *fs.storage_args, **fs.storage_options)


def _turns(fs: Any) -> AbstractContextManager[Any]:
    """What a thread holds while it asks: a synchronous file system of the network has one connection for all."""
    protocols = {fs.protocol} if isinstance(fs.protocol, str) else set(fs.protocol)
    return nullcontext() if getattr(fs, "async_impl", False) or protocols & {"file", "memory"} else RLock()


class _Told:
    """A file whose errors while it is read are the mall's."""

    def __init__(self, file: Any, store: FsspecStore, key: str) -> None:
        self._file, self._store, self._key = file, store, key

    def read(self, size: int = -1) -> bytes:
        with self._store._named(self._key):
            piece: bytes = self._file.read(size)
            return piece

    def close(self) -> None:
        with self._store._named(self._key):
            self._file.close()


@hookimpl(trylast=True)
def object_store_backend(url: str, folder: Path) -> ObjectStore | None:
    """Serve any other URL that fsspec knows; what stands behind ``?`` are arguments of its file system."""
    import fsspec

    protocol, sign, _ = url.partition("://")
    if not sign or protocol not in fsspec.available_protocols():
        return None
    try:
        kind = fsspec.get_filesystem_class(protocol)
    except ImportError as error:
        raise MissingExtra(f"The object store {protocol}:// needs another package: {error}", extra=protocol) from error
    place, _, query = url.partition("?")
    options = {**kind._get_kwargs_from_urls(place), **{name: _value(text) for name, text in parse_qsl(query)}}
    shown = f"{protocol}://{place.removeprefix(f'{protocol}://').rpartition('@')[2]}"
    made = partial(_made, kind, **options)
    return FsspecStore(made, kind._strip_protocol(place), shown, creating=_EXCLUSIVE.get(protocol))


def _value(text: str) -> Any:
    """An argument in a URL: a JSON value such as a number, or else text."""
    try:
        return json.loads(text)
    except ValueError:
        return text
