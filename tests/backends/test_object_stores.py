"""Every store we ship keeps the promises of an object store, on the real thing behind it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from fsspec.implementations.local import LocalFileSystem
from fsspec.implementations.memory import MemoryFileSystem

from mallcore.backends import azure, fsspec, local, memory, s3
from mallcore.kernel.objects import ObjectStore
from mallcore.testing import ObjectStoreContract
from mallcore.testing.object_servers import ACCESS_KEY, SECRET_KEY, AzuriteServer, SeaweedServer
from tests.backends.sftp import SftpServer

NOT_EXCLUSIVE = "it does not promise exclusive writes"


def put_file(path: Path, content: bytes | None) -> None:
    """A file with this content, or none."""
    if content is None:
        path.unlink()
    else:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def file_at(path: Path) -> bytes | None:
    """What a file holds."""
    return path.read_bytes() if path.is_file() else None


@pytest.fixture(scope="module")
def sftp_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SftpServer]:
    """One for all tests here."""
    with SftpServer(tmp_path_factory.mktemp("sftp"), "mall", "wr0ng-horse") as server:
        yield server


class TestMemory(ObjectStoreContract):
    """A dict."""

    @pytest.fixture
    def store(self) -> memory.MemoryStore:
        """A new one."""
        return memory.MemoryStore()

    def peek(self, store: Any, key: str) -> bytes | None:
        """In the dict."""
        kept = store._objects.get(key)
        return None if kept is None else kept.content


class TestLocal(ObjectStoreContract):
    """A folder."""

    @pytest.fixture
    def store(self, tmp_path: Path) -> ObjectStore | None:
        """A folder that does not exist yet."""
        return local.object_store_backend("file:deep/objects", tmp_path)

    def peek(self, store: Any, key: str) -> bytes | None:
        """As a file."""
        return file_at(Path(store.url.removeprefix("file://")) / key)

    def plant(self, store: Any, key: str, content: bytes | None) -> None:
        """As a file."""
        put_file(Path(store.url.removeprefix("file://")) / key, content)


class TestFsspecMemory(ObjectStoreContract):
    """A host's file system object."""

    @pytest.fixture
    def store(self) -> Iterator[fsspec.FsspecStore]:
        """A part of the one memory of the process."""
        fs, root = MemoryFileSystem(), f"/{uuid4().hex}"
        yield fsspec.FsspecStore(fs, root)
        if fs.exists(root):
            fs.rm(root, recursive=True)

    def peek(self, store: Any, key: str) -> bytes | None:
        """In the dict of all paths."""
        found = MemoryFileSystem.store.get(f"{store._root}/{key}")
        return None if found is None else found.getvalue()


class TestFsspecLocal(ObjectStoreContract):
    """Files by fsspec: less than our own, but the promises hold."""

    @pytest.fixture
    def store(self, tmp_path: Path) -> fsspec.FsspecStore:
        """A folder."""
        return fsspec.FsspecStore(LocalFileSystem(), str(tmp_path / "objects"))

    def peek(self, store: Any, key: str) -> bytes | None:
        """As a file."""
        return file_at(Path(store._root) / key)

    def plant(self, store: Any, key: str, content: bytes | None) -> None:
        """As a file."""
        put_file(Path(store._root) / key, content)


class TestSftp(ObjectStoreContract):
    """Any URL of fsspec: here files of another machine, over SSH."""

    secrets = ("wr0ng-horse",)

    @pytest.fixture
    def store(self, sftp_server: SftpServer) -> Iterator[ObjectStore | None]:
        """A new folder there."""
        found = fsspec.object_store_backend(
            f"sftp://mall:wr0ng-horse@127.0.0.1:{sftp_server.port}/{uuid4().hex}", Path()
        )
        assert found is not None
        yield found
        found.close()

    @pytest.fixture(autouse=True)
    def _folder(self, sftp_server: SftpServer) -> None:
        self.folder = sftp_server.folder

    def peek(self, store: Any, key: str) -> bytes | None:
        """As a file of the server."""
        return file_at(self.folder / store._root.lstrip("/") / key)

    def plant(self, store: Any, key: str, content: bytes | None) -> None:
        """As a file of the server."""
        put_file(self.folder / store._root.lstrip("/") / key, content)


class OnSeaweed(ObjectStoreContract):
    """S3 by SeaweedFS."""

    secrets = (SECRET_KEY,)
    transport = "auto"

    @pytest.fixture
    def store(self, seaweed_server: SeaweedServer) -> Iterator[ObjectStore]:
        """A prefix of its own in a bucket."""
        self.server, self.root = seaweed_server, f"p{uuid4().hex[:12]}"
        url = seaweed_server.url("contract", self.root, transport=self.transport)
        store = s3.object_store_backend(url, Path())
        assert store is not None
        yield store
        store.close()

    def peek(self, store: Any, key: str) -> bytes | None:
        """By botocore."""
        return self.server.peek("contract", f"{self.root}/{key}")

    def plant(self, store: Any, key: str, content: bytes | None) -> None:
        """By botocore."""
        self.server.plant("contract", f"{self.root}/{key}", content)


@pytest.mark.objects
class TestS3(OnSeaweed):
    """By our own signed requests."""

    def test_it_is_the_lean_way(self, store: ObjectStore) -> None:
        """Given credentials that it can sign with, it signs itself."""
        assert type(store).__name__ == "LeanS3"
        assert store.url.startswith(f"s3://contract/{self.root}?endpoint=http://127.0.0.1:")
        assert ACCESS_KEY not in store.url


@pytest.mark.objects
class TestS3BySpecialTransport(OnSeaweed):
    """All by s3fs, as where we can't sign."""

    transport = "s3fs"


@pytest.mark.objects
class TestAzure(ObjectStoreContract):
    """Azure Blob by Azurite."""

    excused = {  # noqa: RUF012
        "test_a_signed_put_binds_the_size": "a shared access signature can't: the upload is checked when finished",
        "test_a_signed_put_binds_the_type": "a shared access signature can't: the type is sniffed when finished",
        "test_a_signed_put_binds_the_content": "a shared access signature can't: it is hashed when finished",
    }

    @pytest.fixture
    def store(self, azurite_server: AzuriteServer) -> Iterator[ObjectStore]:
        """A prefix of its own in a container."""
        self.server, self.root = azurite_server, f"p{uuid4().hex[:12]}"
        store = azure.object_store_backend(azurite_server.url("contract", self.root), Path())
        assert store is not None
        type(self).secrets = (azurite_server.key, azurite_server.key.replace("/", "%2F"))
        yield store
        store.close()

    def peek(self, store: Any, key: str) -> bytes | None:
        """By Azure's own library."""
        return self.server.peek("contract", f"{self.root}/{key}")

    def plant(self, store: Any, key: str, content: bytes | None) -> None:
        """By Azure's own library."""
        self.server.plant("contract", f"{self.root}/{key}", content)
