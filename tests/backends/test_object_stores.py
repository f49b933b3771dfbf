"""Every store we ship keeps the promises of an object store, on the real thing behind it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from fsspec.implementations.local import LocalFileSystem
from fsspec.implementations.memory import MemoryFileSystem

from mallcore import Mall
from mallcore.backends import azure, fsspec, local, memory, s3
from mallcore.errors import ContentMismatch, InvalidSettings, ObjectExists
from mallcore.kernel.objects import ObjectStore
from mallcore.testing import ObjectStoreContract, check_store
from mallcore.testing.object_parts import digest_of, failing, raised, refused
from mallcore.testing.object_servers import ACCESS_KEY, SECRET_KEY, AzuriteServer, SeaweedServer
from tests.backends.sftp import SftpServer


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


@pytest.mark.objects
def test_a_long_listing_is_whole(seaweed_server: SeaweedServer) -> None:
    """More objects than one answer of S3 holds are all listed, once."""
    server, root = seaweed_server, uuid4().hex
    client = server.client()
    keys = [f"k{number:04}" for number in range(1100)]
    server.bucket("contract")
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda key: client.put_object(Bucket="contract", Key=f"{root}/{key}", Body=b""), keys))
    store = s3.object_store_backend(server.url("contract", root), Path())
    assert store is not None
    assert [one.key for one in store.iter()] == keys
    assert len(list(store.iter("k10"))) == 100


@pytest.mark.objects
def test_a_very_large_object_goes_in_parts(seaweed_server: SeaweedServer) -> None:
    """It is whole, exclusive and checked like a small one; what is refused or fails leaves no part behind."""
    root, client = uuid4().hex, seaweed_server.client()
    store = s3.object_store_backend(seaweed_server.url("parts", root), Path())
    assert store is not None
    content = os.urandom(1 << 20) * 65 + b"end"
    told = {"size": len(content), "sha256": digest_of(content)}
    for wrong in ({**told, "sha256": digest_of(b"")}, {**told, "size": 1}):
        refused(ContentMismatch, store.put_new, "large", BytesIO(content), **wrong)
    error = OSError("the source broke")
    assert raised(store.put_new, "large", failing(70 << 20, error, rewinds=True), sha256=digest_of(b"")) is error
    assert seaweed_server.peek("parts", f"{root}/large") is None
    put = store.put_new("large", BytesIO(content), content_type="image/png", **told)
    refused(ObjectExists, store.put_new, "large", BytesIO(content), **told)
    assert digest_of(seaweed_server.peek("parts", f"{root}/large") or b"") == told["sha256"]
    assert (put.etag or "").endswith("-5")
    assert client.head_object(Bucket="parts", Key=f"{root}/large")["ContentType"] == "image/png"
    assert client.list_multipart_uploads(Bucket="parts", Prefix=root).get("Uploads", []) == []
    store.close()


@pytest.mark.objects
def test_type_and_cache_control_are_kept(seaweed_server: SeaweedServer, azurite_server: AzuriteServer) -> None:
    """A CDN that reads the store itself is told what it serves, and for how long; small objects and large ones."""
    told = {"content_type": "image/png", "cache_control": "public, max-age=31536000, immutable"}
    client = seaweed_server.client()
    for transport in ("auto", "s3fs"):
        store = s3.object_store_backend(seaweed_server.url("labels", transport, transport=transport), Path())
        assert store is not None
        for key, body in (("small", b"x"), ("large", bytes(9 << 20))):
            store.put_new(key, BytesIO(body), **told)
            found = client.head_object(Bucket="labels", Key=f"{transport}/{key}")
            assert (found["ContentType"], found["CacheControl"]) == tuple(told.values())
    blobs = azure.object_store_backend(azurite_server.url("labels"), Path())
    assert blobs is not None
    for key, body in (("small", b"x"), ("large", bytes(9 << 20))):
        blobs.put_new(key, BytesIO(body), **told)
        with azurite_server.client().get_blob_client("labels", key) as blob:
            settings = blob.get_blob_properties().content_settings
        assert (settings.content_type, settings.cache_control) == tuple(told.values())


@pytest.mark.objects
def test_what_is_retained_outlives_its_deletion(seaweed_server: SeaweedServer) -> None:
    """In a bucket with Object Lock (``lock=1``) not even its owner can delete what is retained."""
    client, bucket = seaweed_server.client(), f"lock{uuid4().hex[:12]}"
    client.create_bucket(Bucket=bucket, ObjectLockEnabledForBucket=True)
    store = s3.object_store_backend(seaweed_server.url(bucket, lock="1"), Path())
    assert store is not None
    assert store.capabilities.retain_until
    until = datetime.now(UTC) + timedelta(minutes=5)
    store.put_new("kept", BytesIO(b"kept"), retain_until=until)
    kept = client.get_object_retention(Bucket=bucket, Key="kept")["Retention"]
    assert kept["Mode"] == "COMPLIANCE"
    assert abs(kept["RetainUntilDate"] - until) < timedelta(seconds=1)
    version = client.head_object(Bucket=bucket, Key="kept")["VersionId"]
    with pytest.raises(client.exceptions.ClientError, match="AccessDenied"):
        client.delete_object(Bucket=bucket, Key="kept", VersionId=version)
    store.delete("kept")
    assert client.get_object(Bucket=bucket, Key="kept", VersionId=version)["Body"].read() == b"kept"


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("s3://", "names no bucket"),
        ("s3://bucket/?endpiont=http://x", "no option 'endpiont'"),
        ("s3://bucket/?timeout=soon", "timeout"),
        ("az://?account=a", "names no container"),
        ("az://c/?acount=a", "no option 'acount'"),
        ("az://c/p", "names no account"),
        ("gopher://a/b", "no plug-in serves 'gopher'"),
    ],
)
def test_a_url_that_is_wrong(url: str, told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mall does not open on it, and says what is wrong."""
    for name in [name for name in os.environ if name.startswith("AZURE_")]:
        monkeypatch.delenv(name)
    with pytest.raises(InvalidSettings, match=told):
        Mall.open("sqlite://", objects=url)


def test_a_secret_in_a_url_is_not_told() -> None:
    """Neither the store nor an error about the URL repeats what is secret in it."""
    store = s3.object_store_backend("s3://AKIA:hush%2Fhush@bucket/p", Path())
    assert store is not None
    assert (store.url, "hush" in repr(store)) == ("s3://bucket/p", False)
    with pytest.raises(InvalidSettings) as caught:
        s3.object_store_backend("s3://AKIA:hush@bucket/p?secret=hush", Path())
    assert "hush" not in str(caught.value)
    with pytest.raises(InvalidSettings) as caught:
        azure.object_store_backend("az://c/p?connection_string=AccountKey%3Dhush", Path())
    assert "hush" not in str(caught.value)


def test_what_cannot_be_signed_goes_to_s3fs() -> None:
    """A bucket that wants another signature, and whoever has no credentials on purpose, are served by s3fs."""
    for url in ("s3://name--use1-az4--x-s3/p", "s3://bucket/p?anon=1"):
        assert type(s3.object_store_backend(url, Path())) is fsspec.FsspecStore


def test_a_store_is_checked_without_pytest(tmp_path: Path) -> None:
    """`check_store` tells of every promise by name, and where one is broken what happened; it leaves nothing."""
    kept = check_store(local.LocalStore(tmp_path))
    assert [one for one in kept if not one[1]] == []
    assert len(kept) == len([name for name in dir(ObjectStoreContract) if name.startswith("test_")])
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []

    class Forgetful(memory.MemoryStore):
        def delete(self, key: str) -> None:
            """It does not."""

    broken = [promise for promise, ok, _ in check_store(Forgetful(), thorough=False) if not ok]
    assert "deleting_is_harmless" in broken


def test_a_check_needs_no_pytest() -> None:
    """The kit is there where pytest is not."""
    program = (
        "import sys; sys.modules['pytest'] = None\n"
        "from mallcore.testing import check_store\n"
        "from mallcore.backends.memory import MemoryStore\n"
        "assert all(kept for _, kept, _ in check_store(MemoryStore(), thorough=False))"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_a_promise_of_a_store_cannot_be_muted() -> None:
    """Who replaces a promise, or excuses one that was never made, is refused when the class is made."""
    with pytest.raises(TypeError, match="Muted replaces"):
        type("Muted", (ObjectStoreContract,), {"test_a_key_is_written_once": lambda self: None})
    with pytest.raises(TypeError, match="Muted replaces"):
        type("Muted", (ObjectStoreContract,), {"test_a_signed_get_ends": lambda self: None})
    with pytest.raises(TypeError, match="excuses unknown promises"):
        type("Lost", (ObjectStoreContract,), {"excused": {"test_nothing": "because"}})
