"""The contract of an object store: what mallcore relies on, whoever keeps the bytes.

`ObjectStoreContract` is for authors of stores, as a pytest class; `check_store` asks the same without pytest.
Belongs here: promises that can be seen from outside. Does not: how fast they are kept.
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from io import BytesIO
from typing import Any, ClassVar
from unittest import SkipTest
from uuid import uuid4

from mallcore.errors import ContentMismatch, InvalidInput, MallError, ObjectExists, ObjectMissing
from mallcore.kernel.objects import ObjectStore
from mallcore.testing.object_links import LinkPromises
from mallcore.testing.object_parts import (
    causes,
    digest_of,
    failing,
    forked,
    once,
    raced,
    raised,
    read,
    refused,
    write_and_read,
)
from mallcore.testing.promises import Report, excuses, kept, refuse_muting

_MEBI = 1 << 20
_LARGE = 20 * _MEBI + 17  # more than any store sends at once
_WRITERS = 12
_PATIENCE = 60
_LEGAL = ("a", "-", "=", "_x", "a=b", "a..b", "a.tar.gz", "CON", "0/1/2/3/4/5/6/7/8/9/a", "x" * 200 + "/" + "y" * 200)
_ILLEGAL = (
    *("", "/", "/etc/passwd", "..", "../up", "a/../b", "a/..", ".", "./a", "a/./b", ".hidden", "a/.new/b", "a//b"),
    *("a/", "a\x00b", "a\nb", "a b", "a\\b", "ä", "a?b", "a#b", "a%2fb", "a:b", "~", "x" * 901),
)
_SLOW = {
    *("test_a_large_object_is_whole", "test_a_forked_child_can_use_it", "test_a_signed_get_ends"),
    *("test_a_signed_put_ends", "test_a_long_stream_that_fails_leaves_nothing"),
}


class ObjectStoreContract(LinkPromises):
    """Inherit, supply the fixture ``store`` and the method ``peek``; every promise of a store is a test here.

    ::

        class TestMyStore(ObjectStoreContract):
            excused = {"test_a_signed_put_binds_the_size": "it can't, so the upload is checked when it is finished"}

            @pytest.fixture
            def store(self) -> Iterator[ObjectStore]:
                yield MyStore(…)

            def peek(self, store, key):
                return …  # what lies there, asked in another way than through the store

    A promise can't be rewritten, only excused with a reason; it is then shown as an expected failure, and one that is
    kept after all fails, so that no excuse outlives its cause.
    """

    excused: ClassVar[dict[str, str]] = {}
    """Names of promises that are not kept, each with the reason."""
    secrets: ClassVar[tuple[str, ...]] = ()
    """What the store was given and must never tell."""
    _excuses: ClassVar[Any] = None
    _prefix = ""

    def __init_subclass__(cls) -> None:
        refuse_muting(ObjectStoreContract, cls)
        cls._excuses = excuses()

    def peek(self, store: Any, key: str) -> bytes | None:
        """What lies under the key, or nothing, asked past the store."""
        raise TypeError(f"{type(self).__name__} supplies no peek(store, key)")

    def plant(self, store: Any, key: str, content: bytes | None) -> None:
        """Put content under the key past the store, over what is there; nothing: remove it."""
        raise SkipTest("this contract knows no way to change an object past the store")

    def key(self, name: str) -> str:
        """A key that nobody has used, so that promises can be checked on one store, in any order."""
        self._prefix = self._prefix or f"kit/{uuid4().hex}/"
        return self._prefix + name

    def test_what_is_put_is_read_back(self, store: ObjectStore) -> None:
        """Content comes back byte for byte, and its size is known; so is its digest where one is told."""
        key, content = self.key("a"), os.urandom(5000)
        for told in (store.put_new(key, BytesIO(content), content_type="image/png"), store.stat(key)):
            assert (told.key, told.size) == (key, len(content))
            assert told.sha256 in (None, digest_of(content))
        assert read(store, key) == self.peek(store, key) == content

    def test_an_announced_size_and_digest_are_kept(self, store: ObjectStore) -> None:
        """What is announced rightly is taken, from where the stream stands, also from one that can't be rewound."""
        content = os.urandom(3000)
        standing = BytesIO(b"before" + content)
        standing.seek(6)
        for number, stream in enumerate((standing, once(content))):
            key = self.key(f"announced{number}")
            store.put_new(key, stream, size=len(content), sha256=digest_of(content), cache_control="no-cache")
            assert self.peek(store, key) == content

    def test_an_empty_object_is_an_object(self, store: ObjectStore) -> None:
        """No bytes at all are content, too, and hold their key."""
        key = self.key("empty")
        assert store.put_new(key, BytesIO(), size=0, sha256=digest_of(b"")).size == 0
        assert (read(store, key), store.stat(key).size, self.peek(store, key)) == (b"", 0, b"")
        refused(ObjectExists, store.put_new, key, BytesIO(b"more"))
        assert self.peek(store, key) == b""

    def test_a_key_is_written_once(self, store: ObjectStore) -> None:
        """A key that is taken is refused, with the same content, with another, and with none."""
        key = self.key("once")
        store.put_new(key, BytesIO(b"first"))
        for content in (b"first", b"second", b""):
            refused(ObjectExists, store.put_new, key, BytesIO(content))
            refused(ObjectExists, store.put_new, key, BytesIO(content), sha256=digest_of(content))
        assert self.peek(store, key) == b"first"

    def test_of_many_writers_one_wins(self, store: ObjectStore) -> None:
        """Of a dozen writers of one key exactly one succeeds, and what lies there is that one's."""
        if not store.capabilities.exclusive:
            raise SkipTest("it does not promise exclusive writes")
        for size in (0, 9 * _MEBI):
            key = self.key(f"raced{size}")
            bodies = [bytes([number]) * size for number in range(_WRITERS)]
            won = raced(partial(_put, store, key), bodies)
            assert [self.peek(store, key)] == won

    def test_content_of_another_size_is_refused(self, store: ObjectStore) -> None:
        """A stream that holds less or more than announced leaves nothing, and the key free."""
        key = self.key("size")
        for actual in (b"", b"1234", b"123456"):
            for digest in (None, digest_of(actual)):
                refused(ContentMismatch, store.put_new, key, BytesIO(actual), size=5, sha256=digest)
                refused(ContentMismatch, store.put_new, key, once(actual), size=5, sha256=digest)
        assert self.peek(store, key) is None
        store.put_new(key, BytesIO(b"12345"), size=5)

    def test_content_of_another_digest_is_refused(self, store: ObjectStore) -> None:
        """Content that is not what its SHA-256 says leaves nothing, and the key free."""
        key = self.key("digest")
        for body in (b"12345", b""):
            size, wrong = len(body), digest_of(b"54321")
            refused(ContentMismatch, store.put_new, key, BytesIO(body), size=size, sha256=wrong)
            refused(ContentMismatch, store.put_new, key, once(body), size=size, sha256=wrong)
        assert self.peek(store, key) is None
        store.put_new(key, BytesIO(b"12345"))

    def test_a_stream_that_fails_leaves_nothing(self, store: ObjectStore) -> None:
        """When reading the content fails, its own error comes out, nothing is kept, and the key stays free."""
        self._broken(store, 100_000)

    def test_a_long_stream_that_fails_leaves_nothing(self, store: ObjectStore) -> None:
        """The same for one that fails when much of it was sent."""
        self._broken(store, _LARGE)

    def _broken(self, store: ObjectStore, size: int) -> None:
        for number, error in enumerate((RuntimeError("the source broke"), OSError("the source broke"))):
            key = self.key(f"failed{number}-{size}")
            for rewinds in (False, True):
                stream = failing(size, error, rewinds=rewinds)
                assert raised(store.put_new, key, stream, sha256=digest_of(b"")) is error
            assert self.peek(store, key) is None
            assert list(store.iter(key)) == []
            store.put_new(key, BytesIO(b"free"))

    def test_ranges_are_cut_as_asked(self, store: ObjectStore) -> None:
        """A range is cut like a slice: up to, not including, its end; behind the end there is nothing."""
        key, content = self.key("ranges"), os.urandom(1000)
        store.put_new(key, BytesIO(content))
        for start, end in ((0, 1), (0, 1000), (10, 20), (999, None), (500, 5000), (1000, None), (2000, 3000), (7, 7)):
            with store.open(key, start, end) as part:
                assert part.read() == content[start:end], (start, end)
        with store.open(key) as whole:
            assert (whole.read(10), whole.read(0)) == (content[:10], b"")
            assert (whole.read(-1), whole.read()) == (content[10:], b"")

    def test_what_is_missing_is_missing(self, store: ObjectStore) -> None:
        """Stat and open say so, open at once and not at the first read; a folder is no object."""
        store.put_new(self.key("folder/inside"), BytesIO(b"x"))
        for key in (self.key("missing"), self.key("missing/deeper"), self.key("folder")):
            refused(ObjectMissing, store.stat, key)
            for part in ((), (3,), (3, 9), (3, 3)):
                refused(ObjectMissing, store.open, key, *part)

    def test_deleting_is_harmless(self, store: ObjectStore) -> None:
        """What is deleted is gone, deleting it again or what never was changes nothing, and the key is free."""
        key = self.key("deleted")
        store.put_new(key, BytesIO(b"x"))
        for _ in range(3):
            store.delete(key)
            assert self.peek(store, key) is None
            refused(ObjectMissing, store.stat, key)
        store.put_new(key, BytesIO(b"again"))
        store.put_new(self.key("deletedfolder/inside"), BytesIO(b"x"))
        store.delete(self.key("deletedfolder"))
        assert read(store, self.key("deletedfolder/inside")) == b"x"

    def test_iterating_is_complete_and_in_order(self, store: ObjectStore) -> None:
        """Every object below a prefix comes once, in the order of keys, with its size; a prefix need not end a name."""
        names = ["a", "a-b", "a.b", "b/a", "b/c/d", "b-", "ba", "c/x"]
        for number, name in enumerate(names):
            store.put_new(self.key(f"it/{name}"), BytesIO(b"x" * number))
        for prefix in ("it/", "it", "it/a", "it/b", "it/b/", "it/b/c", "it/c/x", "it/none", "it/a/"):
            wanted = sorted(self.key(f"it/{name}") for name in names if f"it/{name}".startswith(prefix))
            assert [one.key for one in store.iter(self.key(prefix))] == wanted, prefix
        sizes = {one.key: one.size for one in store.iter(self.key("it/"))}
        assert sizes == {self.key(f"it/{name}"): number for number, name in enumerate(names)}

    def test_changes_behind_its_back_are_seen(self, store: ObjectStore) -> None:
        """What another program puts, replaces or removes is seen at once: nothing is answered from a cache."""
        key = self.key("behind/x")
        assert list(store.iter(self.key("behind/"))) == []
        for content in (b"", b"planted", b"longer than before", None, b"again"):
            self.plant(store, key, content)
            listed = [(one.key, one.size) for one in store.iter(self.key("behind/"))]
            if content is None:
                assert listed == []
                refused(ObjectMissing, store.stat, key)
                refused(ObjectMissing, store.open, key)
            else:
                assert listed == [(key, len(content))]
                assert store.stat(key).size == len(content)
                assert read(store, key) == content
        refused(ObjectExists, store.put_new, key, BytesIO(b"x"))

    def test_a_large_object_is_whole(self, store: ObjectStore) -> None:
        """An object of many pieces comes back whole and in ranges, is checked, and is written once."""
        content = os.urandom(_MEBI) * (_LARGE // _MEBI) + b"x" * (_LARGE % _MEBI)
        key, digest = self.key("large"), digest_of(content)
        refused(ContentMismatch, store.put_new, key, BytesIO(content), sha256=digest_of(b"x"))
        refused(ContentMismatch, store.put_new, key, BytesIO(content), size=_LARGE - 1, sha256=digest)
        assert self.peek(store, key) is None
        assert store.put_new(key, once(content), size=_LARGE, sha256=digest).size == _LARGE
        refused(ObjectExists, store.put_new, key, BytesIO(content), sha256=digest)
        assert digest_of(read(store, key)) == digest_of(self.peek(store, key) or b"") == digest
        for start, end in ((_LARGE - 10, None), (9 * _MEBI, 18 * _MEBI), (15 * _MEBI - 1, 15 * _MEBI + 1)):
            with store.open(key, start, end) as part:
                assert part.read() == content[start:end]

    def test_legal_keys_are_kept(self, store: ObjectStore) -> None:
        """Every key of the alphabet is taken, strange as it is, up to 900 characters."""
        folder = self.key("legal")
        names = [*_LEGAL, "/".join(["z" * 89] * 9)[: 899 - len(folder)]]
        for name in names:
            store.put_new(f"{folder}/{name}", BytesIO(name.encode()))
        assert [one.key for one in store.iter(f"{folder}/")] == sorted(f"{folder}/{name}" for name in names)
        for name in names:
            assert self.peek(store, f"{folder}/{name}") == name.encode()
            assert read(store, f"{folder}/{name}") == name.encode()

    def test_illegal_keys_are_refused(self, store: ObjectStore) -> None:
        """No other key reaches the store: not to write, read or delete, not in a link, and not as a prefix."""
        for key in _ILLEGAL:
            calls: list[Callable[[str], object]] = [lambda key: _put(store, key, b"x"), store.open, store.stat]
            for call in (*calls, store.delete, *self._signers(store)):
                refused(InvalidInput, call, key)
        for prefix in ("../", "/", "/etc", "a/../", "./", "a\x00", "a//", ".new", "*", "[ab]"):
            refused(InvalidInput, partial(_listed, store), prefix)

    def _signers(self, store: ObjectStore) -> Iterable[Callable[[str], object]]:
        if store.capabilities.presign_get:
            yield lambda key: store.sign_get(key, seconds=9)
        if store.capabilities.presign_put:
            yield lambda key: store.sign_put(key, seconds=9, size=1)
        if store.capabilities.presign_post:
            yield lambda key: store.sign_post(key, seconds=9, max_size=1)

    def test_threads_share_it(self, store: ObjectStore) -> None:
        """Many threads write and read at once, each its own."""

        def work(number: int) -> bytes:
            for step in range(4):
                store.put_new(self.key(f"thread{number}/{step}"), BytesIO(b"%d" % number * 1000))
            return read(store, self.key(f"thread{number}/3"))

        self.key("")
        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(work, range(8))) == [b"%d" % number * 1000 for number in range(8)]
        assert len(list(store.iter(self.key("thread")))) == 32

    def test_a_forked_child_can_use_it(self, store: ObjectStore) -> None:
        """After the parent has used the store a forked child uses it, too, and then the parent again."""
        if not hasattr(os, "fork"):
            raise SkipTest("this system has no fork")
        store.put_new(self.key("parent"), BytesIO(b"parent"))
        status, said = forked(lambda: write_and_read(store, self.key("parent"), self.key("child")))
        assert status == 0, f"the child ended with {status}: {said}"
        assert read(store, self.key("parent")) == b"parent"
        store.put_new(self.key("later"), BytesIO(b"later"))

    def test_after_close_it_can_be_used(self, store: ObjectStore) -> None:
        """Closing gives connections back; what is asked afterwards opens new ones."""
        store.put_new(self.key("closed"), BytesIO(b"x"))
        for _ in range(2):
            store.close()
        assert read(store, self.key("closed")) == b"x"

    def test_it_keeps_its_secrets(self, store: ObjectStore) -> None:
        """No credential is in its URL, in what it prints, in its errors, or in what it can be pickled to."""
        store.put_new(self.key("secret"), BytesIO(b"x"))
        told = [store.url, repr(store), str(store), repr(store.capabilities), repr(store.stat(self.key("secret")))]
        put = partial(_put, store, self.key("secret"), b"y")
        for call in (partial(store.stat, self.key("no")), partial(store.open, "../x"), put):
            for error in causes(raised(call)):
                told += [str(error), repr(error), repr(vars(error))]
        with suppress(TypeError, AttributeError, pickle.PicklingError):
            told.append(pickle.dumps(store).decode("latin-1"))
        for text in told:
            assert not [secret for secret in self.secrets if secret in text]


def check_store(store: ObjectStore, *, thorough: bool = True) -> Report:
    """Every promise, whether it is kept, and if not what happened; without pytest. What it wrote it removes.

    Promises that take long (waiting for a link's end, megabytes, a fork) are asked only of a ``thorough`` check.

    >>> from mallcore.backends.memory import MemoryStore
    >>> [promise for promise, kept, _ in check_store(MemoryStore()) if not kept]
    []
    """
    contract = ObjectStoreContract()
    vars(contract)["peek"] = _peek
    contract.key("")
    try:
        return kept(contract, store, () if thorough else _SLOW)
    finally:
        with suppress(MallError):
            for one in list(store.iter(contract._prefix)):
                store.delete(one.key)


def _put(store: ObjectStore, key: str, content: bytes) -> object:
    return store.put_new(key, BytesIO(content))


def _listed(store: ObjectStore, prefix: str) -> list[str]:
    return [one.key for one in store.iter(prefix)]


def _peek(store: ObjectStore, key: str) -> bytes | None:
    """What lies under the key, where nothing else than the store itself can be asked."""
    try:
        return read(store, key)
    except ObjectMissing:
        return None


__all__ = ["ObjectStoreContract", "check_store"]
