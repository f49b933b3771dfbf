"""Files by curl, as people at a terminal and scripts send and fetch them; and clients that are slow on purpose."""

import json
import select
import shutil
import socket
import subprocess
from pathlib import Path
from typing import Any

import httpx
import pytest

from mallcore import Mall, Principal, attachments
from mallcore.adapters.asgi import MallASGI
from mallcore.api import Chunks, Options
from tests.adapters.faces import authenticate
from tests.adapters.serving import uvicorn_serving
from tests.adapters.test_files_over_the_wire import (
    AS_OWNER,
    CHUNKED,
    PIECE,
    TO_BOOKS,
    begun,
    eventually,
    nothing_kept,
)
from tests.adapters.test_files_over_the_wire import books as books
from tests.adapters.test_real_servers import SERVED

OWNER = Principal.system("tests")
CONTENT = PIECE * 16
curls = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")


def curl(*words: str, stdin: bytes = b"") -> bytes:
    """What curl prints."""
    who = ("-H", f"Authorization: Bearer {OWNER.ref}")
    done = subprocess.run(["curl", "-sS", "--max-time", "60", *who, *words], input=stdin, capture_output=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def ref_of(answer: bytes) -> str:
    shown: dict[str, Any] = json.loads(answer)
    assert "ref" in shown, shown
    return str(shown["ref"])


@curls
@pytest.mark.parametrize("kind", SERVED)
def test_curl_sends_and_fetches(kind: str, books: Mall, tmp_path: Path) -> None:
    """A raw body, a form, and where the server takes it a pipe without length; fetched whole, and from a place on."""
    make, serve = SERVED[kind]
    file, got = tmp_path / "Käse.bin", tmp_path / "got.bin"
    file.write_bytes(CONTENT)
    raw = ("-H", "Content-Type: application/octet-stream")
    with serve(make(books)) as url:
        refs = [
            ref_of(curl(*raw, "--data-binary", f"@{file}", url + TO_BOOKS)),
            ref_of(curl("-F", "owner=channel:books", "-F", f"file=@{file}", url + "/attachments")),
        ]
        if kind in CHUNKED:
            refs.append(ref_of(curl(*raw, "-X", "POST", "-T", "-", url + TO_BOOKS, stdin=CONTENT)))
        for ref in refs:
            place = f"{url}/versions/{ref}/content?via=proxy"
            assert curl(place) == CONTENT
            got.write_bytes(CONTENT[:100_000])
            curl("-C", "-", "-o", str(got), place)
            assert got.read_bytes() == CONTENT
            head = curl("-I", place).decode().lower()
            assert f"content-length: {len(CONTENT)}" in head
        assert json.loads(curl(f"{url}/versions/{refs[1]}"))["file_name"] == "Käse.bin"


@curls
def test_curl_follows_a_ticket(books: Mall, tmp_path: Path) -> None:
    """A ticket is one PUT, without credentials of its bearer."""
    file = tmp_path / "a.bin"
    file.write_bytes(CONTENT)
    with books.begin(OWNER) as ctx:
        ticket = attachments.begin_direct(ctx, owner="channel:books", file_name="a.bin", size=len(CONTENT))
    make, serve = SERVED["asgi"]
    with serve(make(books)) as url:
        place = url + ticket.url[ticket.url.index("/uploads/") :]
        words = ["curl", "-sS", "-T", str(file), "-w", "%{http_code}", place]
        done = subprocess.run(words, capture_output=True, timeout=60)
        assert done.stdout == b"204", done.stdout + done.stderr
    with books.begin(OWNER) as ctx:
        assert attachments.finish_direct(ctx, upload=ticket.upload).size == len(CONTENT)


@pytest.mark.parametrize("kind", CHUNKED)
def test_a_client_that_drips_is_not_waited_for(kind: str, books: Mall, monkeypatch: pytest.MonkeyPatch) -> None:
    """A byte now and then would keep a place for ever: 408, though something always comes, and nothing is kept."""
    monkeypatch.setattr("tests.adapters.test_real_servers.QUICK_BEATS", Options(patience=0.5, slowest=1 << 20))
    make, serve = SERVED[kind]
    with serve(make(books)) as url, begun(url, b"x", "Content-Length: 1000000") as connection:
        for _ in range(1000):
            if select.select([connection], [], [], 0.02)[0]:
                break
            connection.sendall(b"x")
        assert connection.recv(65536).startswith(b"HTTP/1.1 408")
    assert nothing_kept(books)


def test_a_reader_that_takes_nothing_is_given_up(books: Mall, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that asks for a large content and never reads does not keep it open at the store."""
    closed: list[bool] = []
    end = Chunks.close

    def noted(chunks: Chunks) -> None:
        end(chunks)
        closed.append(True)

    monkeypatch.setattr(Chunks, "close", noted)
    with books.begin(OWNER) as ctx:
        ref = attachments.upload_file(ctx, file=PIECE * 300, file_name="a", owner="channel:books").ref
    impatient = Options(patience=0.1, slowest=10 << 20)
    with uvicorn_serving(MallASGI(books, authenticate, options=impatient)) as url:
        host = httpx.URL(url)
        with socket.socket() as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.connect((host.host, host.port or 80))
            head = [
                f"GET /versions/{ref}/content?via=proxy HTTP/1.1",
                "Host: x",
                f"Authorization: {AS_OWNER['authorization']}",
            ]
            connection.sendall("\r\n".join([*head, "", ""]).encode())
            assert eventually(lambda: bool(closed))
        assert httpx.get(url + "/health").status_code == 200
