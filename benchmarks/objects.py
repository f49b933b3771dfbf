"""Object stores beside the clients one would use without us, on the same servers: SeaweedFS, Azurite, a local disk.

python -m benchmarks.objects [--quick] [--json] [--only s3,azure,local]

Both servers share the machine with the clients, so what is compared is what a client costs, not what a store can do.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import os
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from time import perf_counter
from typing import Any

from benchmarks.measuring import Case, Finding, interleaved, report
from mallcore.backends.azure import object_store_backend as azure_backend
from mallcore.backends.fsspec import FsspecStore
from mallcore.backends.local import LocalStore
from mallcore.backends.s3 import object_store_backend as s3_backend
from mallcore.kernel.objects import ObjectStore
from mallcore.testing.object_servers import ACCESS_KEY, AZURE_ACCOUNT, SECRET_KEY, azurite, seaweed

SMALL, LARGE = os.urandom(4096), os.urandom(1 << 20) * 64
SMALL_DIGEST, LARGE_DIGEST = hashlib.sha256(SMALL).hexdigest(), hashlib.sha256(LARGE).hexdigest()
OURS = "mallcore"
THREADS = 8
_names = itertools.count()

Call = Callable[[str], object]


class Client:
    """One way to a store: what it does with a small object, a large one, and a signed URL."""

    def __init__(
        self, put: Call, get: Call, head: Call | None = None, put_large: Call | None = None,
        get_large: Call | None = None, sign: Call | None = None,
    ) -> None:  # fmt: skip
        self.put, self.get, self.head = put, get, head
        self.put_large, self.get_large, self.sign = put_large, get_large, sign


def drained(stream: Any) -> None:
    """Read in pieces, and forgotten."""
    with stream:
        while stream.read(1 << 20):
            pass


def ours(store: ObjectStore) -> Client:
    """A mall's store: exclusive, with the digest that a mall always knows."""

    def put(name: str) -> object:
        return store.put_new(name, BytesIO(SMALL), size=len(SMALL), sha256=SMALL_DIGEST, content_type="image/png")

    def get(name: str) -> object:
        with store.open(name) as stream:
            return stream.read()

    def put_large(name: str) -> object:
        return store.put_new(name, BytesIO(LARGE), size=len(LARGE), sha256=LARGE_DIGEST)

    def sign(name: str) -> object:
        return store.sign_get(name, seconds=60, disposition="inline", content_type="image/png")

    signs = sign if store.capabilities.presign_get else None
    return Client(put, get, store.stat, put_large, lambda name: drained(store.open(name)), signs)


def boto3_client(endpoint: str, bucket: str) -> Client:
    """Amazon's own."""
    import boto3
    from botocore.config import Config

    config = Config(signature_version="s3v4", max_pool_connections=32)
    client = boto3.client(
        "s3", endpoint_url=endpoint, aws_access_key_id=ACCESS_KEY, aws_secret_access_key=SECRET_KEY,
        region_name="us-east-1", config=config,
    )  # fmt: skip

    def sign(key: str) -> object:
        asked = {"Bucket": bucket, "Key": key, "ResponseContentType": "image/png"}
        return client.generate_presigned_url("get_object", Params=asked, ExpiresIn=60)

    return Client(
        lambda key: client.put_object(Bucket=bucket, Key=key, Body=SMALL),
        lambda key: client.get_object(Bucket=bucket, Key=key)["Body"].read(),
        lambda key: client.head_object(Bucket=bucket, Key=key),
        lambda key: client.upload_fileobj(BytesIO(LARGE), bucket, key),
        lambda key: drained(client.get_object(Bucket=bucket, Key=key)["Body"]),
        sign,
    )


def fsspec_client(fs: Any, root: str) -> Client:
    """A file system of fsspec, as one uses it."""

    def get_large(name: str) -> None:
        drained(fs.open(f"{root}/{name}", "rb", block_size=8 << 20))

    return Client(
        lambda name: fs.pipe_file(f"{root}/{name}", SMALL),
        lambda name: fs.cat_file(f"{root}/{name}"),
        lambda name: fs.info(f"{root}/{name}"),
        lambda name: fs.pipe_file(f"{root}/{name}", LARGE),
        get_large,
    )


def obstore_client(store: Any) -> Client:
    """The Rust one."""
    import obstore

    def get_large(name: str) -> None:
        for _ in obstore.get(store, name):
            pass

    return Client(
        lambda name: obstore.put(store, name, SMALL),
        lambda name: obstore.get(store, name).bytes(),
        lambda name: obstore.head(store, name),
        lambda name: obstore.put(store, name, LARGE),
        get_large,
    )


def s3_clients(server: Any, bucket: str) -> Iterator[tuple[str, Client]]:
    """Four ways to S3, and ours over s3fs."""
    import s3fs
    from obstore.store import S3Store

    url = server.url(bucket)
    yield OURS, ours(_opened(s3_backend(url, Path())))
    yield f"{OURS} over s3fs", ours(_opened(s3_backend(f"{url}&transport=s3fs", Path())))
    yield "boto3", boto3_client(server.endpoint, bucket)
    options = {"use_listings_cache": False, "skip_instance_cache": True, "endpoint_url": server.endpoint}
    yield "s3fs", fsspec_client(s3fs.S3FileSystem(key=ACCESS_KEY, secret=SECRET_KEY, **options), bucket)
    yield "obstore", obstore_client(
        S3Store(
            bucket, endpoint=server.endpoint, access_key_id=ACCESS_KEY, secret_access_key=SECRET_KEY,
            region="us-east-1", virtual_hosted_style_request=False, client_options={"allow_http": True},
        )
    )  # fmt: skip


def azure_clients(server: Any, container: str) -> Iterator[tuple[str, Client]]:
    """Azure's library, adlfs, obstore and ours (which runs on adlfs)."""
    import adlfs
    from obstore.store import AzureStore

    yield OURS, ours(_opened(azure_backend(server.url(container), Path())))
    there = server.client().get_container_client(container)

    def get_large(name: str) -> None:
        for _ in there.download_blob(name).chunks():
            pass

    yield (
        "azure-storage-blob",
        Client(
            lambda name: there.upload_blob(name, SMALL),
            lambda name: there.download_blob(name).readall(),
            lambda name: there.get_blob_client(name).get_blob_properties(),
            lambda name: there.upload_blob(name, LARGE),
            get_large,
        ),
    )
    fs = adlfs.AzureBlobFileSystem(
        connection_string=server.connection_string, use_listings_cache=False, skip_instance_cache=True
    )
    yield "adlfs", fsspec_client(fs, container)
    yield "obstore", obstore_client(
        AzureStore(
            container, account_name=AZURE_ACCOUNT, account_key=server.key, endpoint=server.endpoint,
            client_options={"allow_http": True},
        )
    )  # fmt: skip


def local_clients(folder: Path) -> Iterator[tuple[str, Client]]:
    """Files: as they are, written safely by hand, by fsspec, and ours."""
    from fsspec.implementations.local import LocalFileSystem

    (folder / "plain").mkdir()

    def safe(name: str) -> None:
        path = folder / "plain" / name
        with open(f"{path}.new", "wb") as file:
            file.write(SMALL)
            file.flush()
            os.fsync(file.fileno())
        os.rename(f"{path}.new", path)
        descriptor = os.open(folder / "plain", os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)

    plain = Client(
        lambda name: (folder / "plain" / name).write_bytes(SMALL),
        lambda name: (folder / "plain" / name).read_bytes(),
        lambda name: (folder / "plain" / name).stat(),
        lambda name: (folder / "plain" / name).write_bytes(LARGE),
        lambda name: drained(open(folder / "plain" / name, "rb")),  # noqa: SIM115 - closed there
    )
    fs = LocalFileSystem(auto_mkdir=True)
    yield OURS, ours(LocalStore(folder / "ours"))
    yield "open()", plain
    yield "temp, fsync, rename, fsync folder", Client(safe, plain.get)
    yield "fsspec", fsspec_client(fs, str(folder / "fsspec"))
    yield f"{OURS} over fsspec", ours(FsspecStore(fs, str(folder / "keeper")))


def _opened(store: ObjectStore | None) -> ObjectStore:
    assert store is not None
    return store


def _new() -> str:
    return f"o{next(_names):07}"


def at_once(call: Call, names: Callable[[], str], count: int) -> Case:
    """Seconds for each call, when eight threads make so many."""

    def case() -> float:
        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(lambda _: call(names()), range(THREADS)))  # connections are made first
            begin = perf_counter()
            list(pool.map(lambda _: call(names()), range(count)))
            return (perf_counter() - begin) / count

    return case


def small(place: str, clients: dict[str, Client], rounds: int) -> Iterator[Finding]:
    """4 KiB: put, get and head, one at a time and eight at once."""
    there = {name: _new() for name in clients}
    for name, client in clients.items():
        client.put(there[name])

    def reading(name: str) -> Callable[[], str]:
        return lambda: there[name]

    for what in ("put", "get", "head"):
        calls = {name: getattr(client, what) for name, client in clients.items() if getattr(client, what)}
        names = {name: _new if what == "put" else reading(name) for name in calls}
        alone: dict[str, Case] = {name: lambda c=call, n=names[name]: c(n()) for name, call in calls.items()}
        finding = Finding(f"4 KiB {what}, one at a time", place, times=interleaved(alone, rounds, inner=4, warm=2))
        yield finding
        together = {name: at_once(call, names[name], 64) for name, call in calls.items()}
        yield Finding(f"4 KiB {what}, {THREADS} threads", place, times=interleaved(together, max(rounds // 3, 4)))


def large(place: str, clients: dict[str, Client], rounds: int) -> Iterator[Finding]:
    """64 MiB: put, and get piece by piece."""
    writers = {name: client.put_large for name, client in clients.items() if client.put_large}
    puts: dict[str, Case] = {name: lambda c=call: c(_new()) for name, call in writers.items()}
    yield Finding("64 MiB put", place, times=interleaved(puts, rounds))
    there = {name: _new() for name in writers}
    for name, call in writers.items():
        call(there[name])
    gets: dict[str, Case] = {
        name: lambda c=client.get_large, n=there[name]: c(n) for name, client in clients.items() if client.get_large
    }  # fmt: skip
    yield Finding("64 MiB get", place, times=interleaved(gets, rounds))


def signing(place: str, clients: dict[str, Client], rounds: int) -> Finding:
    """A URL for a GET."""
    signers: dict[str, Case] = {n: lambda c=one.sign: c("a/b/c") for n, one in clients.items() if one.sign}
    return Finding("a signed GET", place, times=interleaved(signers, rounds * 4, inner=100))


TARGETS = {  # row: (the other, at most this share of its time)
    "4 KiB put, one at a time": ("s3fs", 1 / 2),
    "4 KiB get, one at a time": ("s3fs", 1 / 3),
    f"4 KiB put, {THREADS} threads": ("s3fs", 1 / 2),
    f"4 KiB get, {THREADS} threads": ("s3fs", 1 / 3),
}


def judged(finding: Finding) -> Finding:
    """With the ratios to every other client, and the targets there are."""
    target = TARGETS.get(finding.row, ("", 0.0))
    theirs = {name: taken.p50 for name, taken in finding.times.items() if not name.startswith(OURS)}
    fastest = min(theirs, key=lambda name: theirs[name], default="")
    for name in theirs:
        limit = target[1] if name == target[0] else None
        if finding.row.startswith("64 MiB") and name == fastest and finding.database == "S3":
            limit = 1 / 0.9
        finding.compare(OURS, name, limit)
    mine = finding.times[OURS].p50
    if finding.row.startswith("64 MiB"):
        finding.facts["MB/s"] = {name: round(len(LARGE) / 1e6 / taken.p50) for name, taken in finding.times.items()}
    if finding.row == "a signed GET":
        finding.facts["ours, µs"] = f"{mine * 1e6:.1f}" + (" (target ≤ 25)" if finding.database == "S3" else "")
    return finding


def everything(only: set[str], rounds: int) -> Iterator[Finding]:
    """All rows."""
    if "s3" in only:
        with seaweed() as server:
            found = dict(s3_clients(server, server.bucket("bench")))
            yield from small("S3", found, rounds)
            yield from large("S3", found, max(rounds // 4, 4))
            yield signing("S3", found, rounds)
    if "azure" in only:
        with azurite() as server:
            found = dict(azure_clients(server, server.container("bench")))
            yield from small("Azure", found, max(rounds // 2, 4))
            yield from large("Azure", found, max(rounds // 8, 3))
            yield signing("Azure", found, rounds)
    if "local" in only:
        with tempfile.TemporaryDirectory(dir=".") as folder:
            found = dict(local_clients(Path(folder).resolve()))
            yield from small("local disk", found, rounds)
            yield from large("local disk", found, max(rounds // 4, 4))


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--quick", action="store_true", help="a quarter of the rounds")
    asked.add_argument("--json", action="store_true")
    asked.add_argument("--only", default="s3,azure,local")
    given = asked.parse_args()
    found = everything(set(given.only.split(",")), 12 if given.quick else 48)
    report((judged(finding) for finding in found), given.json)


if __name__ == "__main__":
    main()
