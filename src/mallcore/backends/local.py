"""Objects as files of a folder: written beside, flushed to the disk, and then linked under their name, which is free.

A crash leaves a temporary file, never a part of an object. Nothing here follows a link that a key could name.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, ClassVar
from urllib.parse import unquote

from mallcore.backends.streams import PIECE, refuse_other, section
from mallcore.backends.unsigned import Unsigned
from mallcore.errors import (
    InvalidInput,
    MallError,
    ObjectExists,
    ObjectMissing,
    StoreDenied,
    StoreFull,
    StoreUnavailable,
)
from mallcore.kernel.hooks import hookimpl
from mallcore.kernel.objects import Capabilities, ObjectStore, Stat, checked_key, checked_prefix

_NEW = ".new"
_STALE_SECONDS = 86_400
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_DENIED = {errno.EACCES, errno.EPERM, errno.EROFS}
_CAREFUL = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


class LocalStore(Unsigned):
    """An `ObjectStore` in a folder, which is made when the first object comes."""

    scheme: ClassVar[str] = "file"
    capabilities = Capabilities(exclusive=True, durable=True, checksum=True, ranges=True)

    def __init__(self, folder: Path) -> None:
        self._folder = Path(os.path.abspath(folder))
        self._durable: set[Path] = set()
        """Folders whose own entry is known to be on the disk."""
        self._swept = False

    @property
    def url(self) -> str:
        """``file:///…``."""
        return self._folder.as_uri()

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
        """Keep the content under a free key; when this returns it is on the disk."""
        path = self._path(key)
        with self._named(key, missing=StoreUnavailable):
            self._ready(path.parent)
            self._sweep()
            if os.path.lexists(self._path(key)):
                raise ObjectExists(key=key)
        new = self._folder / _NEW / f"{os.urandom(16).hex()}.part"
        try:
            self._write(new, content, size, sha256, key)
            with self._named(key, missing=StoreUnavailable):
                os.link(new, path)
                _flush(path.parent)
        finally:
            with suppress(OSError):
                new.unlink(missing_ok=True)
        return self.stat(key)

    def open(self, key: str, start: int = 0, end: int | None = None) -> BinaryIO:
        """The bytes of a range."""
        with self._named(key):
            # Opened without waiting: who puts a pipe there must not make us wait for its other end.
            descriptor = os.open(self._path(key), os.O_RDONLY | _CAREFUL)
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                os.close(descriptor)
                raise ObjectMissing(key=key)
            file = os.fdopen(descriptor, "rb")
            file.seek(start)
        return file if end is None else section(file, max(end - start, 0))

    def stat(self, key: str) -> Stat:
        """What is known of the object."""
        with self._named(key):
            return _stat(key, os.stat(self._path(key), follow_symlinks=False))

    def delete(self, key: str) -> None:
        """Remove the file; its folders stay, for others may be about to write into them."""
        with suppress(ObjectMissing), self._named(key):
            path = self._path(key)
            os.unlink(path)
            _flush(path.parent)

    def iter(self, prefix: str = "") -> Iterator[Stat]:
        """All objects below a prefix."""
        folder, _, _ = checked_prefix(prefix).rpartition("/")
        start = self._folder / folder if folder else self._folder
        with self._named(prefix):
            yield from _walked(start, f"{folder}/" if folder else "", prefix)

    def close(self) -> None:
        """Nothing to give back."""

    def __repr__(self) -> str:
        return f"<LocalStore {self._folder}>"

    def _path(self, key: str) -> Path:
        """Where the key's file is; a link among the folders on the way there is not followed."""
        above = str(self._folder)
        *folders, name = checked_key(key).split("/")
        for folder in folders:
            above = f"{above}{os.sep}{folder}"
            if os.path.islink(above):
                raise ObjectMissing(key=key)
        return Path(above, name)

    def _write(self, new: Path, content: BinaryIO, size: int | None, sha256: str | None, key: str) -> None:
        """The content in a file of its own, on the disk; errors of its source are the source's, not the store's."""
        found, read = hashlib.sha256(), 0
        with self._named(key, missing=StoreUnavailable):
            file = open(new, "xb", buffering=0)  # noqa: SIM115 - closed below, where errors are told apart
        with file:
            while piece := content.read(PIECE):
                read += len(piece)
                found.update(piece)
                with self._named(key):
                    _write_all(file.fileno(), piece)
            refuse_other(read, found.hexdigest(), size, sha256)
            with self._named(key):
                os.fsync(file.fileno())

    def _ready(self, folder: Path) -> None:
        """Make the folder, and have its entry, and those above it, on the disk."""
        if folder in self._durable and folder.is_dir() and (self._folder / _NEW).is_dir():
            return
        if not self._folder.exists():
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)  # what lies in it is for the mall to show
        (self._folder / _NEW).mkdir(exist_ok=True)
        folder.mkdir(parents=True, exist_ok=True)
        above = folder
        while above != self._folder and above not in self._durable:
            above = above.parent
            _flush(above)
        _flush(self._folder.parent)
        self._durable.update((folder, *(one for one in folder.parents if one.is_relative_to(self._folder))))

    def _sweep(self) -> None:
        """Once for each process: remove what writers that were killed a day ago have left."""
        if self._swept:
            return
        self._swept = True
        old = time.time() - _STALE_SECONDS
        for entry in os.scandir(self._folder / _NEW):
            with suppress(FileNotFoundError):
                if entry.stat(follow_symlinks=False).st_mtime < old:
                    os.unlink(entry.path)

    @contextmanager
    def _named(self, key: str, missing: type[MallError] = ObjectMissing) -> Iterator[None]:
        """The operating system's errors in the mall's words; while we write, what is missing is a folder of ours."""
        try:
            yield
        except OSError as error:
            told = _translated(error, key, self.url)
            if isinstance(told, ObjectMissing) and missing is not ObjectMissing:
                told = missing(store=self.url, reason=error.strerror)
            raise told from error


def _translated(error: OSError, key: str, store: str) -> MallError:
    reason = error.strerror or type(error).__name__
    if error.errno == errno.EEXIST:
        return ObjectExists(key=key)
    if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EISDIR):
        return ObjectMissing(key=key)
    if error.errno in _FULL:
        return StoreFull(store=store, reason=reason)
    if error.errno in _DENIED:
        return StoreDenied(store=store, reason=reason)
    if error.errno == errno.ENAMETOOLONG:
        return InvalidInput(field="key", reason="the file system takes no name as long as that")
    return StoreUnavailable(store=store, reason=reason)


def _write_all(descriptor: int, piece: bytes) -> None:
    view = memoryview(piece)
    while view:
        view = view[os.write(descriptor, view) :]


def _flush(folder: Path) -> None:
    """Have the entries of a folder on the disk (where the system can be asked for that)."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except PermissionError:  # the folder above the store's need not be ours to read
        return
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _stat(key: str, found: os.stat_result) -> Stat:
    if not stat.S_ISREG(found.st_mode):
        raise ObjectMissing(key=key)
    modified = datetime.fromtimestamp(found.st_mtime, UTC)
    return Stat(key, found.st_size, etag=f"{found.st_mtime_ns:x}-{found.st_size:x}", modified=modified)


def _walked(folder: Path, above: str, prefix: str) -> Iterator[Stat]:
    try:
        entries = [
            (entry.name + ("/" if entry.is_dir(follow_symlinks=False) else ""), entry) for entry in os.scandir(folder)
        ]
    except (FileNotFoundError, NotADirectoryError):
        return
    for name, entry in sorted(entries, key=lambda one: one[0]):
        key = above + name
        if key == f"{_NEW}/" or not (key.startswith(prefix) or prefix.startswith(key)):
            continue
        if name.endswith("/"):
            yield from _walked(folder / entry.name, key, prefix)
        else:
            with suppress(FileNotFoundError, ObjectMissing):
                yield _stat(key, entry.stat(follow_symlinks=False))


@hookimpl
def object_store_backend(url: str, folder: Path) -> ObjectStore | None:
    """Serve ``file:path`` (from the mall's folder) and ``file:///path``."""
    scheme, _, rest = url.partition(":")
    if scheme != "file":
        return None
    path = unquote(rest.removeprefix("//localhost").removeprefix("//"))
    return LocalStore(folder / path)
