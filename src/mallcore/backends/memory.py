"""Objects in a dict of this process: for tests, and for a mall that is gone when it is closed."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from threading import Lock
from typing import BinaryIO, ClassVar, NamedTuple

from mallcore.backends.streams import checked
from mallcore.backends.unsigned import Unsigned
from mallcore.errors import ObjectExists, ObjectMissing
from mallcore.kernel.hooks import hookimpl
from mallcore.kernel.objects import Capabilities, ObjectStore, Stat, checked_key, checked_prefix


class _Kept(NamedTuple):
    content: bytes
    digest: str
    at: datetime


class MemoryStore(Unsigned):
    """An `ObjectStore` in a dict of its own; another instance is another store."""

    scheme: ClassVar[str] = "memory"
    capabilities = Capabilities(exclusive=True, checksum=True, ranges=True)

    def __init__(self) -> None:
        self._objects: dict[str, _Kept] = {}
        self._lock = Lock()

    @property
    def url(self) -> str:
        """``memory://``: there is nothing more to say."""
        return "memory://"

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
        """Keep the content under a free key."""
        checked_key(key)
        with checked(content, size, sha256) as whole, self._lock:
            if key in self._objects:
                raise ObjectExists(key=key)
            self._objects[key] = _Kept(whole.file.read(), whole.sha256, datetime.now(UTC))
        return self.stat(key)

    def open(self, key: str, start: int = 0, end: int | None = None) -> BinaryIO:
        """The bytes of a range."""
        return BytesIO(self._kept(checked_key(key)).content[start:end])

    def stat(self, key: str) -> Stat:
        """What is known of the object."""
        return _stat(key, self._kept(checked_key(key)))

    def delete(self, key: str) -> None:
        """Forget the object."""
        checked_key(key)
        with self._lock:
            self._objects.pop(key, None)

    def iter(self, prefix: str = "") -> Iterator[Stat]:
        """All objects below a prefix."""
        checked_prefix(prefix)
        with self._lock:
            found = sorted((key, kept) for key, kept in self._objects.items() if key.startswith(prefix))
        yield from (_stat(key, kept) for key, kept in found)

    def close(self) -> None:
        """Nothing to give back."""

    def _kept(self, key: str) -> _Kept:
        try:
            return self._objects[key]
        except KeyError:
            raise ObjectMissing(key=key) from None


def _stat(key: str, kept: _Kept) -> Stat:
    return Stat(key, len(kept.content), etag=kept.digest, sha256=kept.digest, modified=kept.at)


@hookimpl
def object_store_backend(url: str, folder: Path) -> ObjectStore | None:
    """Serve ``memory://``."""
    return MemoryStore() if url.partition(":")[0] == "memory" else None
