"""Object stores: the narrow Protocol behind which bytes are kept, whoever keeps them.

A key is written once and never again; what can't be promised is not declared. Everything is synchronous, nothing is
listed from a cache, and nothing is done inside a database transaction.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import BinaryIO, ClassVar, Protocol, runtime_checkable

from mallcore.errors import InvalidInput, UnknownStore

MAIN = "main"


@dataclass(frozen=True, slots=True)
class Stat:
    """What a store says of an object. ``sha256`` (hex) only where the store itself has checked or computed it."""

    key: str
    size: int
    etag: str | None = None
    version: str | None = None
    sha256: str | None = None
    modified: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What a store can promise, beyond keeping bytes. Nothing is promised by default."""

    exclusive: bool = False
    """``put_new`` never replaces an object, not even in a race."""
    durable: bool = False
    """What ``put_new`` has returned survives a crash of the machine."""
    checksum: bool = False
    """The store itself refuses content whose SHA-256 is not the one announced."""
    ranges: bool = False
    """``open(key, start, end)`` fetches no more than the range."""
    versions: bool = False
    """An object that was deleted or replaced behind our back can be had again by its version."""
    retain_until: bool = False
    """``put_new(retain_until=…)`` keeps even the store's owner from deleting the object before that time."""
    presign_get: bool = False
    presign_put: bool = False
    presign_post: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """A request that whoever holds it can send to the store without credentials of its own.

    ``headers`` must be sent as they are; ``fields`` are the form of a POST, to be followed by the field ``file``.
    """

    method: str
    url: str = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    fields: Mapping[str, str] = field(default_factory=dict, repr=False)
    expires: datetime


@runtime_checkable
class ObjectStore(Protocol):
    """Keeps bytes under keys: relative paths of ``a-zA-Z0-9._=-`` up to 900 characters, no part of which begins with a
    dot, and none of which is the beginning of another's path.

    Errors: `ObjectExists`, `ObjectMissing`, `ContentMismatch`, `StoreDenied`, `StoreFull`, `StoreUnavailable` (worth
    another try). No error, repr or log holds a credential.
    """

    scheme: ClassVar[str]
    """What its URLs begin with."""

    @property
    def url(self) -> str:
        """Where it keeps things, without credentials."""
        ...

    @property
    def capabilities(self) -> Capabilities:
        """What it can promise."""
        ...

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
        """Keep the content, from where the stream stands to its end, under a key that is free.

        All of it or nothing: when this raises (`ObjectExists` when the key is taken; `ContentMismatch` when the content
        has another size or SHA-256 than announced), nobody ever sees a part of it under the key.
        """
        ...

    def open(self, key: str, start: int = 0, end: int | None = None) -> BinaryIO:
        """The bytes from ``start`` up to, not including, ``end``; the caller closes the stream.

        Raises `ObjectMissing` at once, not at the first read.
        """
        ...

    def stat(self, key: str) -> Stat:
        """What is known of the object, as it is now; `ObjectMissing` when there is none."""
        ...

    def delete(self, key: str) -> None:
        """Remove the object; harmless when there is none. Only the collector calls this for what mallcore keeps."""
        ...

    def iter(self, prefix: str = "") -> Iterator[Stat]:
        """All objects whose key begins with the prefix, each once, in no order that could be relied on."""
        ...

    def sign_get(
        self,
        key: str,
        *,
        seconds: int,
        disposition: str | None = None,
        content_type: str | None = None,
        query: Mapping[str, str] | None = None,
    ) -> Signed:
        """A GET of the object, good for so many seconds; ``query`` is signed with it, to be found in access logs."""
        ...

    def sign_put(
        self, key: str, *, seconds: int, size: int, sha256: str | None = None, content_type: str | None = None
    ) -> Signed:
        """A PUT of just this content under the free key, good once and for so many seconds.

        Where the store can't bind all of that (see its documentation), whoever finishes the upload checks it.
        """
        ...

    def sign_post(self, key: str, *, seconds: int, max_size: int, content_type: str | None = None) -> Signed:
        """A browser's form POST of up to ``max_size`` bytes under the key."""
        ...

    def close(self) -> None:
        """Give back connections; what is asked afterwards opens new ones."""
        ...


_PART = r"[A-Za-z0-9_=-][A-Za-z0-9._=-]*"  # no part begins with a dot: such names are the stores' own
_KEY = re.compile(rf"{_PART}(?:/{_PART})*")


def checked_key(key: str) -> str:
    """The key, if it can be one in every store: no store ever sees another.

    >>> checked_key("b/unt_1/ab.0")
    'b/unt_1/ab.0'
    """
    if len(key) > 900 or _KEY.fullmatch(key) is None:
        raise InvalidInput(field="key", reason="it is no relative path of a-z A-Z 0-9 . _ = - up to 900 characters")
    return key


def checked_prefix(prefix: str) -> str:
    """What the keys of an iteration begin with, if keys can begin with it: nothing, a part of a key, or a folder.

    >>> checked_prefix("b/unt_")
    'b/unt_'
    """
    if prefix:
        checked_key(prefix.removesuffix("/"))
    return prefix


class Stores:
    """The object stores of a mall, by name. ``main`` is where new content goes unless the mall says otherwise."""

    def __init__(self, stores: Mapping[str, ObjectStore], checkpoints: ObjectStore | None = None) -> None:
        self._stores = dict(stores)
        self.checkpoints = checkpoints
        """Where the audit log's signed checkpoints go: not a store of content."""

    def __getitem__(self, name: str) -> ObjectStore:
        try:
            return self._stores[name]
        except KeyError:
            raise UnknownStore(store=name, known=", ".join(sorted(self._stores))) from None

    def __contains__(self, name: object) -> bool:
        return name in self._stores

    @property
    def names(self) -> list[str]:
        """The names there are."""
        return sorted(self._stores)

    def close(self) -> None:
        """Close what was opened here."""
        for store in (*self._stores.values(), *([self.checkpoints] if self.checkpoints is not None else [])):
            store.close()
