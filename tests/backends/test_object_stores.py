"""The object stores we ship keep the promises of one; so do both forms of the contract themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import quote

import fsspec
import pytest

from mallcore.backends import azure, local, s3
from mallcore.backends import fsspec as any_other
from mallcore.backends.fsspec import FsspecStore
from mallcore.backends.local import LocalStore
from mallcore.backends.memory import MemoryStore
from mallcore.kernel.objects import ObjectStore
from mallcore.testing import ObjectStoreContract, check_store
from mallcore.testing.object_servers import SECRET_KEY, AzuriteServer, SeaweedServer

HERE = Path()


class TestMemory(ObjectStoreContract):
    """A dict of this process."""

    @pytest.fixture
    def store(self) -> ObjectStore:
        """A new one."""
        return MemoryStore()


class TestLocal(ObjectStoreContract):
    """Files of a folder."""

    @pytest.fixture
    def store(self, tmp_path: Path) -> ObjectStore:
        """A new folder, below one that is not there yet."""
        found = local.object_store_backend("file:some/objects", tmp_path)
        assert isinstance(found, LocalStore)
        return found

    def peek(self, store: Any, key: str) -> bytes | None:
        """The file."""
        path = Path(store.url.removeprefix("file://")) / key
        return path.read_bytes() if path.is_file() else None


class TestFsspecMemory(ObjectStoreContract):
    """Any file system of fsspec, such as its memory."""

    excused = {"test_a_forked_child_can_use_it": "what a child writes into its memory is not the parent's"}  # noqa: RUF012

    @pytest.fixture
    def store(self, tmp_path: Path) -> ObjectStore:
        """A part of fsspec's one memory."""
        found = any_other.object_store_backend(f"memory://{tmp_path.name}", HERE)
        assert found is not None
        return found


class TestFsspecLocal(ObjectStoreContract):
    """fsspec's local files, as a host may hand them over."""

    @pytest.fixture
    def store(self, tmp_path: Path) -> ObjectStore:
        """A file system of the host's own."""
        return FsspecStore.of(fsspec.filesystem("file", skip_instance_cache=True), str(tmp_path / "objects"))

    def peek(self, store: Any, key: str) -> bytes | None:
        """The file."""
        path = Path(store.url.removeprefix("file://")) / key
        return path.read_bytes() if path.is_file() else None


@pytest.mark.objects
class TestLeanS3(ObjectStoreContract):
    """S3 by signed requests of our own, on SeaweedFS."""

    secrets = (SECRET_KEY,)

    @pytest.fixture
    def store(self, seaweed: SeaweedServer) -> ObjectStore:
        """A prefix in a new bucket."""
        self.server, self.bucket = seaweed, seaweed.bucket()
        found = s3.object_store_backend(seaweed.url(self.bucket, "a/prefix"), HERE)
        assert type(found).__name__ == "LeanS3"
        assert found is not None
        return found

    def peek(self, store: Any, key: str) -> bytes | None:
        """What botocore finds."""
        return self.server.peek(self.bucket, f"a/prefix/{key}")


@pytest.mark.objects
class TestS3fs(ObjectStoreContract):
    """S3 by s3fs, on SeaweedFS: the way that is taken where we can't sign."""

    secrets = (SECRET_KEY,)

    @pytest.fixture
    def store(self, seaweed: SeaweedServer) -> ObjectStore:
        """A new bucket."""
        self.server, self.bucket = seaweed, seaweed.bucket()
        found = s3.object_store_backend(seaweed.url(self.bucket, transport="s3fs"), HERE)
        assert type(found) is FsspecStore
        return found

    def peek(self, store: Any, key: str) -> bytes | None:
        """What botocore finds."""
        return self.server.peek(self.bucket, key)


@pytest.mark.objects
@pytest.mark.filterwarnings("ignore::ResourceWarning")  # adlfs leaves a connection to the collector of garbage
class TestAzure(ObjectStoreContract):
    """Azure Blob, on Azurite."""

    @pytest.fixture
    def store(self, azurite: AzuriteServer) -> ObjectStore:
        """A prefix in a new container."""
        type(self).secrets = (azurite.key, quote(azurite.key, safe=""))
        self.server, self.container = azurite, azurite.container()
        found = azure.object_store_backend(azurite.url(self.container, "a/prefix"), HERE)
        assert found is not None
        return found

    def peek(self, store: Any, key: str) -> bytes | None:
        """What Azure's own library finds."""
        return self.server.peek(self.container, f"a/prefix/{key}")


def test_a_store_is_checked_without_pytest(tmp_path: Path) -> None:
    """`check_store` tells of every promise by name, and leaves nothing behind."""
    store = LocalStore(tmp_path / "objects")
    found = check_store(store)
    assert [one for one in found if not one[1]] == []
    assert len(found) == sum(name.startswith("test_") for name in vars(ObjectStoreContract))
    assert list(store.iter()) == []


def test_a_broken_store_is_found_out() -> None:
    """A store that replaces what it holds fails the promises that say so, by name."""

    class Replacing(MemoryStore):
        def put_new(self, key: str, content: Any, **more: Any) -> Any:
            self.delete(key)
            return super().put_new(key, content, **more)

    broken = {promise for promise, kept, _ in check_store(Replacing()) if not kept}
    assert broken >= {"a_key_is_written_once", "one_of_many_writers_wins"}


def test_a_promise_cannot_be_muted() -> None:
    """Who replaces a promise is refused when the class is made."""
    with pytest.raises(TypeError, match="Muted replaces"):
        type("Muted", (ObjectStoreContract,), {"test_a_key_is_written_once": lambda self: None})
