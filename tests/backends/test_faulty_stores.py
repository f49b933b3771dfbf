"""A store that fails: every failure is a typed error in bounded time, nothing is published, nothing is made up."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from mallcore.backends import azure, local, s3
from mallcore.errors import MallError, ObjectExists, StoreDenied, StoreFull, StoreUnavailable
from mallcore.kernel.objects import ObjectStore
from mallcore.testing.object_parts import digest_of, forked, once, raised, read
from mallcore.testing.object_servers import AzuriteServer, SeaweedServer
from tests.backends.faulty import Fault, FaultyNetwork

BODY = os.urandom(3 << 20)
PATIENCE = 240


@contextlib.contextmanager
def patience() -> Iterator[None]:
    """The run ends when something here waits for ever."""
    signal.alarm(PATIENCE)
    try:
        yield
    finally:
        signal.alarm(0)


@dataclass
class Place:
    """A store behind a network that can fail, and the way around it."""

    store: ObjectStore
    network: FaultyNetwork
    server: Any
    root: str

    def peek(self, key: str) -> bytes | None:
        found: bytes | None = self.server.peek("faulty", f"{self.root}/{key}")
        return found


@pytest.fixture(params=["s3", "s3fs", "azure"])
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    """Each store that has a network, with a second of patience for an answer."""
    fixture = "azurite_server" if request.param == "azure" else "seaweed_server"
    server = request.getfixturevalue(fixture)
    root = uuid4().hex[:12]
    with FaultyNetwork(server.port) as network, patience():
        store = opened(server, root, network.port, transport=request.param)
        yield Place(store, network, server, root)
        store.close()


def opened(server: SeaweedServer | AzuriteServer, root: str, port: int, transport: str) -> ObjectStore:
    """The store at this port."""
    if isinstance(server, AzuriteServer):
        url = server.url("faulty", root, timeout="1").replace(f"%3A{server.port}", f"%3A{port}")
        store = azure.object_store_backend(url, Path())
    else:
        options = {"timeout": "1", "transport": "s3fs" if transport == "s3fs" else "auto"}
        url = server.url("faulty", root, **options).replace(f":{server.port}", f":{port}")
        store = s3.object_store_backend(url, Path())
    assert store is not None
    assert str(port) in url
    return store


pytestmark = pytest.mark.objects


def refuses(place: Place, expected: type[MallError]) -> None:
    """Putting ends in this error, and leaves nothing; so do reading, removing and listing end."""
    key, digest = uuid4().hex, digest_of(BODY)
    for stream in (BytesIO(BODY), once(BODY)):
        error = raised(place.store.put_new, key, stream, sha256=digest)
        assert type(error) is expected, repr(error)
        assert place.peek(key) is None
    for call in (place.store.open, place.store.delete, lambda key: list(place.store.iter(key))):
        assert isinstance(raised(call, key), StoreUnavailable)


@pytest.mark.parametrize(("status", "expected"), [(500, StoreUnavailable), (507, StoreFull)])
def test_a_server_that_fails(place: Place, status: int, expected: type[MallError]) -> None:
    """Answers of 5xx are `StoreUnavailable`, and one that is full `StoreFull`, after a few tries."""
    place.network.next(Fault(answer=status))
    refuses(place, expected)
    assert place.network.met >= 5


def test_a_server_that_does_not_answer(place: Place) -> None:
    """Who waits longer than the URL's ``timeout`` for an answer gives up."""
    place.network.next(Fault(hang=True))
    refuses(place, StoreUnavailable)


def test_a_line_that_breaks_while_sending(place: Place) -> None:
    """A body that is cut off is never a part of an object."""
    place.network.next(Fault(request=1 << 20))
    key = uuid4().hex
    assert isinstance(raised(place.store.put_new, key, BytesIO(BODY), sha256=digest_of(BODY)), StoreUnavailable)
    assert place.peek(key) is None


def test_a_line_that_breaks_while_reading(place: Place) -> None:
    """What was cut off is an error, never a shorter object; the next read is whole."""
    key = uuid4().hex
    place.store.put_new(key, BytesIO(BODY))
    place.store.close()
    place.network.next(Fault(response=1 << 20))
    assert isinstance(raised(read, place.store, key), StoreUnavailable)
    place.network.next(Fault(), 0)
    place.store.close()
    assert read(place.store, key) == BODY


@pytest.mark.parametrize("fault", [Fault(answer=503), Fault(request=1 << 20), Fault(answer=409)])
def test_a_passing_failure_is_not_seen(place: Place, fault: Fault) -> None:
    """What helps by itself is tried again, with the whole content."""
    if fault.answer == 409 and "Azure" in type(place.store).__name__:
        pytest.skip("at Azure a 409 is what a taken key answers")
    place.network.next(fault, 1)
    key = uuid4().hex
    place.store.put_new(key, BytesIO(BODY), sha256=digest_of(BODY))
    assert place.peek(key) == BODY


def test_an_answer_that_is_lost(place: Place) -> None:
    """A put that was done and got no answer is known for our own, or called taken: never lost, never doubled."""
    place.network.next(Fault(response=0), 1)
    key = uuid4().hex
    with contextlib.suppress(ObjectExists, StoreUnavailable):
        assert place.store.put_new(key, BytesIO(BODY), sha256=digest_of(BODY)).size == len(BODY)
    assert place.peek(key) in (BODY, None)
    if type(place.store).__name__ == "LeanS3":
        assert place.peek(key) == BODY


def test_nobody_listens(seaweed_server: SeaweedServer, azurite_server: AzuriteServer) -> None:
    """A server that is not there is `StoreUnavailable`, and opening a mall on it is no error yet."""
    with FaultyNetwork(1) as network:
        port = network.port
    with patience():
        for server, transport in ((seaweed_server, "s3"), (seaweed_server, "s3fs"), (azurite_server, "azure")):
            with contextlib.closing(opened(server, "none", port, transport)) as store:
                assert isinstance(raised(store.put_new, "a", BytesIO(b"x")), StoreUnavailable)
                assert isinstance(raised(store.stat, "a"), StoreUnavailable)


def test_credentials_that_are_refused(seaweed_server: SeaweedServer, azurite_server: AzuriteServer) -> None:
    """A wrong secret, and a right that is missing, are `StoreDenied`, which tells of no secret."""
    reader = seaweed_server.url("contract", "denied", reader=True)
    wrong = seaweed_server.url("contract", "denied").replace("-secret@", "-secrex@")
    other = azurite_server.url("contract", "denied").replace("AccountKey%3D", "AccountKey%3DAAAA")
    for url, transport in ((reader, "auto"), (reader, "s3fs"), (wrong, "auto"), (wrong, "s3fs"), (other, "")):
        opener = s3 if url.startswith("s3") else azure
        store = opener.object_store_backend(f"{url}&transport={transport}" if transport else url, Path())
        assert store is not None
        with contextlib.closing(store):
            error = raised(store.put_new, "a", BytesIO(b"x"))
            assert isinstance(error, StoreDenied), repr(error)
            assert "secre" not in str(error)


class TestLocal:
    """A folder that fails."""

    pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a forked child with a limit of its own")

    def test_a_disk_that_is_full(self, tmp_path: Path) -> None:
        """A write that does not fit is `StoreFull`, and leaves neither the object nor a temporary file."""
        store = local.LocalStore(tmp_path / "objects")

        def fill() -> None:
            import resource

            resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
            for stream in (BytesIO(BODY), once(BODY)):
                assert type(raised(store.put_new, "a/full", stream, sha256=digest_of(BODY))) is StoreFull
            store.put_new("a/fits", BytesIO(b"x"))

        assert forked(fill) == (0, "")
        assert [one.key for one in store.iter()] == ["a/fits"]
        assert [path.name for path in (tmp_path / "objects").rglob("*") if path.is_file()] == ["fits"]

    def test_a_folder_that_is_not_ours(self) -> None:
        """A folder in which nothing can be made is `StoreDenied`."""
        if not Path("/sys/kernel").is_dir():
            pytest.skip("knows no such folder here")
        assert type(raised(local.LocalStore(Path("/sys/kernel/mall")).put_new, "a", BytesIO(b"x"))) is StoreDenied
