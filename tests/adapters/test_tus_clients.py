"""Clients of tus that others wrote, against every server: uploads begin, break off, and go on."""

import hashlib
import os
import shutil
import subprocess
from io import BytesIO
from pathlib import Path

import pytest

from mallcore import Mall, Principal, attachments
from tests.adapters.test_files_over_the_wire import CHUNKED, PIECE
from tests.adapters.test_files_over_the_wire import books as books
from tests.adapters.test_real_servers import SERVED

OWNER = Principal.system("tests")
TUS_JS = "4.3.1"
CLIENT = """
import {Upload} from "tus-js-client"
import {readFileSync} from "node:fs"

const [endpoint, path, token, chunk] = process.argv.slice(2)
const content = readFileSync(path)
let stopped = false
const options = {
    endpoint, chunkSize: Number(chunk), retryDelays: [], uploadDataDuringCreation: true,
    headers: {Authorization: `Bearer ${token}`},
    metadata: {filename: "K\u00e4se.bin", filetype: "application/octet-stream", owner: "channel:books"},
    onError: (error) => { console.error(String(error)); process.exit(1) },
    onSuccess: () => console.log(upload.url),
    onChunkComplete: (size, accepted) => {
        if (stopped || accepted === content.length) return
        stopped = true
        const url = upload.url
        upload.abort().then(() => {  // as if the page had been closed, and opened again
            upload = new Upload(content, {...options, uploadUrl: url})
            upload.start()
        })
    },
}
let upload = new Upload(content, options)
upload.start()
"""


@pytest.fixture(scope="session")
def modules() -> Path:
    """The folder that holds tus-js-client; it is fetched from npm once, into the user's cache."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("tus-js-client: no Node.js with npm")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mallcore" / f"tus-js-{TUS_JS}"
    found = cache / "node_modules"
    if not (found / "tus-js-client" / "package.json").is_file():
        cache.mkdir(parents=True, exist_ok=True)
        words = ["npm", "install", "--no-audit", "--no-fund", "--prefix", str(cache), f"tus-js-client@{TUS_JS}"]
        done = subprocess.run(words, capture_output=True, text=True, timeout=300)
        if done.returncode:
            pytest.skip(f"tus-js-client: npm could not fetch it: {done.stderr[-300:]}")
    return found


@pytest.mark.parametrize("kind", CHUNKED)
def test_a_client_from_pypi_uploads(kind: str, books: Mall) -> None:
    """tuspy, with checksums, in pieces, begun by one uploader and gone on with by another."""
    client_of = pytest.importorskip("tusclient.client", reason="tuspy is not installed")
    make, serve = SERVED[kind]
    with serve(make(books)) as url:
        client = client_of.TusClient(url + "/tus", headers={"Authorization": f"Bearer {OWNER.ref}"})
        given = {"file_stream": BytesIO(PIECE * 20), "chunk_size": 300_000, "upload_checksum": True}
        about = {"filename": "Käse.bin", "owner": "channel:books", "album": "May"}
        begun = client.uploader(metadata=about, **given)
        begun.upload_chunk()
        assert begun.offset == 300_000
        other = client.uploader(url=begun.url, **given)
        other.upload()
        assert other.offset == len(PIECE) * 20
    assert_kept(books, begun.url, PIECE * 20)


@pytest.mark.slow
@pytest.mark.parametrize("kind", CHUNKED)
def test_a_client_from_npm_uploads(kind: str, books: Mall, modules: Path, tmp_path: Path) -> None:
    """tus-js-client, as browsers use it: data with the creation, broken off, resumed by the URL."""
    file, script = tmp_path / "cover.bin", tmp_path / "client.mjs"
    file.write_bytes(PIECE * 20)
    script.write_text(CLIENT)
    (tmp_path / "node_modules").symlink_to(modules)
    make, serve = SERVED[kind]
    with serve(make(books)) as url:
        words = ["node", str(script), url + "/tus", str(file), OWNER.ref, "300000"]
        done = subprocess.run(words, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
    assert_kept(books, done.stdout.strip(), PIECE * 20)


def assert_kept(mall: Mall, url: str, content: bytes) -> None:
    """What was uploaded can be attached, and is what was sent."""
    with mall.begin(OWNER) as ctx:
        made = attachments.attach(ctx, staged=url.rpartition("/")[2])
    assert (made.digest, made.file_name) == (hashlib.sha256(content).hexdigest(), "Käse.bin")
