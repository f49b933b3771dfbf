"""Files through real servers: large ones, broken ones, hostile ones. What breaks off leaves nothing behind."""

import hashlib
import socket
import time
from collections.abc import Callable, Iterator
from urllib.parse import quote

import httpx
import pytest

from mallcore import Mall, Principal, attachments, audit, structure
from mallcore.adapters.asgi import MallASGI
from mallcore.api import Chunks, Options
from tests.adapters.faces import WEB, Opened, authenticate
from tests.adapters.serving import uvicorn_serving
from tests.adapters.test_real_servers import SERVED

OWNER = Principal.system("tests")
AS_OWNER = {"authorization": f"Bearer {OWNER.ref}", "content-type": "application/octet-stream"}
TO_BOOKS = "/attachments?owner=channel:books&file_name=a.bin"
CHUNKED = [kind for kind in SERVED if kind != "wsgi"]  # wsgiref does not mark the end of a body
PIECE = bytes(range(256)) * 256
LARGE = 33 << 20  # more than a body that is not streamed may have


@pytest.fixture
def books(mall: Mall) -> Mall:
    """A mall with a channel."""
    with mall.begin(OWNER) as ctx:
        structure.create_channel(ctx, slug="books", name="Books")
    return mall


def pieces(size: int) -> Iterator[bytes]:
    for start in range(0, size, len(PIECE)):
        yield PIECE[: size - start]


def digest(size: int) -> str:
    found = hashlib.sha256()
    for piece in pieces(size):
        found.update(piece)
    return found.hexdigest()


def nothing_kept(mall: Mall) -> bool:
    with mall.begin(OWNER) as ctx:
        return attachments.list_attachments(ctx).items == []


def eventually(true: Callable[[], bool]) -> bool:
    """Whether it becomes true before long."""
    deadline = time.monotonic() + 15
    while not true() and time.monotonic() < deadline:
        time.sleep(0.02)
    return true()


@pytest.mark.parametrize("kind", SERVED)
def test_a_large_file_goes_in_and_comes_out(kind: str, books: Mall) -> None:
    """More than fits into a body that is read at once, hashed on the way, and the same when it is fetched."""
    make, serve = SERVED[kind]
    with serve(make(books)) as url, httpx.Client(base_url=url, headers=AS_OWNER, timeout=60) as client:
        made = client.post(TO_BOOKS, content=pieces(LARGE), headers={"content-length": str(LARGE)})
        assert made.status_code == 201, made.text
        assert (made.json()["size"], made.json()["digest"]) == (LARGE, digest(LARGE))
        assert client.get(made.headers["location"]).json()["head"] == 1
        found = hashlib.sha256()
        with client.stream("GET", f"/versions/{made.json()['ref']}/content") as response:
            assert response.headers["content-length"] == str(LARGE)
            for piece in response.iter_bytes():
                found.update(piece)
        assert found.hexdigest() == digest(LARGE)


@pytest.mark.parametrize("kind", CHUNKED)
def test_a_file_of_unknown_length_goes_in(kind: str, books: Mall) -> None:
    """A body in chunks needs no length."""
    make, serve = SERVED[kind]
    with serve(make(books)) as url:
        made = httpx.post(url + TO_BOOKS, content=pieces(300_000), headers=AS_OWNER)
        assert (made.status_code, made.json()["size"]) == (201, 300_000), made.text


def test_where_the_end_is_unknown_a_length_is_asked_for(books: Mall) -> None:
    """A WSGI server that does not mark the end of a body: 411, not a file cut short."""
    make, serve = SERVED["wsgi"]
    with serve(make(books)) as url:
        refused = httpx.post(url + TO_BOOKS, content=pieces(1000), headers=AS_OWNER)
        assert refused.status_code == 411
    assert nothing_kept(books)


def begun(url: str, body: bytes, *headers: str) -> socket.socket:
    """A request of which so much is sent."""
    host = httpx.URL(url)
    connection = socket.create_connection((host.host, host.port or 80), timeout=10)
    head = [f"POST {TO_BOOKS} HTTP/1.1", "Host: mall.test", f"Authorization: Bearer {OWNER.ref}", *headers, "", ""]
    connection.sendall("\r\n".join(head).encode() + body)
    return connection


@pytest.mark.parametrize("framing", ["Content-Length: 5000000", "Transfer-Encoding: chunked"])
@pytest.mark.parametrize("kind", CHUNKED)
def test_a_client_that_goes_away_leaves_nothing(kind: str, framing: str, books: Mall) -> None:
    """A connection that ends in mid-body: nothing is applied, and the server goes on."""
    make, serve = SERVED[kind]
    body = b"3E8\r\n" + b"x" * 1000 + b"\r\n" if "chunked" in framing else b"x" * 1000
    with serve(make(books)) as url:
        begun(url, body, framing).close()
        kept = httpx.post(url + TO_BOOKS, content=b"whole", headers=AS_OWNER)
        assert kept.status_code == 201
        with books.begin(OWNER) as ctx:
            assert [one.head for one in attachments.list_attachments(ctx).items] == [1]


def test_a_body_shorter_than_announced_is_refused(books: Mall) -> None:
    """Half of a body, and the sending side closed: whoever still listens is told."""
    make, serve = SERVED["flask"]
    with serve(make(books)) as url:
        connection = begun(url, b"x" * 1000, "Content-Length: 2000")
        connection.shutdown(socket.SHUT_WR)
        answer = connection.recv(65536)
        connection.close()
        assert answer.startswith(b"HTTP/1.1 400")
    assert nothing_kept(books)


def test_many_slow_clients_do_not_stop_the_others(books: Mall) -> None:
    """Slow uploads have threads of their own; when all are taken, one more is told to come again."""
    app = MallASGI(books, authenticate, options=Options(max_uploads=2))
    with uvicorn_serving(app) as url:
        slow = [begun(url, b"x", "Content-Length: 1000") for _ in range(2)]
        assert eventually(lambda: app._uploads._free == 0)
        refused = httpx.post(url + TO_BOOKS, content=b"abc", headers=AS_OWNER)
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        assert httpx.get(url + "/attachments", headers=AS_OWNER).status_code == 200
        for one in slow:
            one.close()
        assert eventually(lambda: app._uploads._free == 2)
        assert httpx.post(url + TO_BOOKS, content=b"abc", headers=AS_OWNER).status_code == 201


def test_a_silent_client_is_not_waited_for(books: Mall) -> None:
    """Nothing for longer than the patience there is: 408, and nothing applied."""
    with uvicorn_serving(MallASGI(books, authenticate, options=Options(patience=0.2))) as url:
        connection = begun(url, b"x", "Content-Length: 1000")
        assert connection.recv(65536).startswith(b"HTTP/1.1 408")
        connection.close()
    assert nothing_kept(books)


@pytest.mark.parametrize("kind", SERVED)
def test_too_much_is_refused(kind: str, books: Mall, monkeypatch: pytest.MonkeyPatch) -> None:
    """By what is announced, before a byte is read; and by what comes, where nothing is announced."""
    monkeypatch.setattr("tests.adapters.test_real_servers.QUICK_BEATS", Options(max_upload=1000))
    make, serve = SERVED[kind]
    with serve(make(books)) as url:
        announced = httpx.post(url + TO_BOOKS, content=b"x" * 1001, headers=AS_OWNER)
        assert (announced.status_code, announced.json()["code"]) == (413, "limit-exceeded")
        if kind in CHUNKED:
            assert httpx.post(url + TO_BOOKS, content=pieces(1001), headers=AS_OWNER).status_code == 413
        assert httpx.post(url + TO_BOOKS, content=b"x" * 1000, headers=AS_OWNER).status_code == 201


def test_who_may_not_write_sends_nothing(books: Mall) -> None:
    """A stranger is refused before the body is asked for."""
    with uvicorn_serving(MallASGI(books, authenticate)) as url:
        stranger = httpx.URL(url)
        connection = socket.create_connection((stranger.host, stranger.port or 80), timeout=10)
        head = [f"POST {TO_BOOKS} HTTP/1.1", "Host: x", "Expect: 100-continue", "Content-Length: 100000000", "", ""]
        connection.sendall("\r\n".join(head).encode())
        answer = connection.recv(65536)
        connection.close()
        assert answer.startswith(b"HTTP/1.1 401")


@pytest.mark.parametrize("kind", CHUNKED)
def test_a_reader_that_goes_away_is_noticed(kind: str, books: Mall, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that leaves in mid-download: what was opened for it is closed."""
    closed: list[bool] = []
    make, serve = SERVED[kind]
    with books.begin(OWNER) as ctx:
        ref = attachments.upload_file(ctx, file=PIECE * 300, file_name="a", owner="channel:books").ref
    with serve(make(books)) as url:
        end = Chunks.close

        def noted(chunks: Chunks) -> None:
            end(chunks)
            closed.append(True)

        monkeypatch.setattr(Chunks, "close", noted)
        with httpx.stream("GET", f"{url}/versions/{ref}/content", headers=AS_OWNER) as response:
            next(response.iter_raw())
        assert eventually(lambda: bool(closed))


BOUNDARY = "----mallcore"
FORM = {**AS_OWNER, "content-type": f"multipart/form-data; boundary={BOUNDARY}"}


def form(*parts: tuple[str, bytes]) -> bytes:
    """A form of parts, each with what stands in its Content-Disposition."""
    lines = [
        f"--{BOUNDARY}\r\nContent-Disposition: form-data; {about}\r\n\r\n".encode() + body for about, body in parts
    ]
    return b"\r\n".join([*lines, f"--{BOUNDARY}--\r\n".encode()])


@pytest.mark.parametrize("kind", SERVED)
def test_a_form_brings_a_file(kind: str, books: Mall) -> None:
    """As browsers send it: fields before or behind the file, its name from its part; with a key only once."""
    make, serve = SERVED[kind]
    fields = (('name="owner"', b"channel:books"), ('name="meta"', b'{"by": "us"}'))
    file = ('name="file"; filename="K\u00e4se.txt"', PIECE)
    with serve(make(books)) as url:
        for parts in ((*fields, file), (file, *fields)):
            made = httpx.post(url + "/attachments", content=form(*parts), headers=FORM)
            assert made.status_code == 201, made.text
            shown = made.json()
            assert (shown["file_name"], shown["size"], shown["meta"]) == ("K\u00e4se.txt", len(PIECE), {"by": "us"})
        keyed = {**FORM, "idempotency-key": "k1"}
        first, again = (httpx.post(url + "/attachments", content=form(*fields, file), headers=keyed) for _ in range(2))
        assert (again.json(), again.headers["idempotency-replayed"]) == (first.json(), "true")


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, form(('name="owner"', b"channel:books"))),
        (400, form(('name="owner"', b"channel:books"), ('name="picture"; filename="a"', b"x"))),
        (400, form(('name="owner"', b"channel:books"), ('name="file"', b"x"), ('name="file"; filename="a"', b"x"))),
        (400, form(*[('name="file"; filename="a"', b"x")] * 2)),
        (400, form(('name="owner"', b"\xff"), ('name="file"; filename="a"', b"x"))),
        (400, form(('filename="a"', b"x"))),
        (400, form(('name="owner"', b"channel:books"), ('name="file"; filename="a"', b"x"))[:-8]),
        (400, b"no form at all"),
        (400, b""),
        (413, form(('name="owner"', b"x" * 70_000), ('name="file"; filename="a"', b"x"))),
        (413, form(*[('name="owner"', b"x")] * 51)),
        (413, form((f'name="file"; filename="{"a" * 3000}"\r\nX-Note: {"a" * 3000}', b"x"))),
        (422, form(('name="file"; filename="a"', b"x"))),
        (422, form(('name="owner"', b"channel:books"), ('name="more"', b"x"), ('name="file"; filename="a"', b"x"))),
    ],
)
def test_a_form_that_is_wrong_is_refused(status: int, body: bytes, books: Mall) -> None:
    """Too many parts, too long ones, no file or two, broken off: a problem document, and nothing kept."""
    with Opened("asgi", books) as opened:
        refused = opened.send("POST", "/attachments", FORM, body)
        assert refused.status_code == status, refused.text
        assert refused.headers["content-type"] == "application/problem+json"
    assert nothing_kept(books)


def test_a_form_of_a_stranger_is_not_read(books: Mall) -> None:
    """Who holds the permission nowhere is refused before anything is kept of the form, on record."""
    with Opened("asgi", books) as opened:
        stranger = {**FORM, "authorization": "Bearer user:eve"}
        assert opened.send("POST", "/attachments", stranger, b"no form at all").status_code == 403
    with books.begin(OWNER) as ctx:
        assert [one.principal for one in audit.list_records(ctx, outcome="denied").items] == ["user:eve"]


NAMES = ["../../etc/passwd", "..\\..\\boot.ini", 'a"; filename="b.html', "a\u202egnp.exe", "CON", "\u2028x"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", WEB)
def test_names_are_harmless(kind: str, name: str, books: Mall) -> None:
    """A hostile name is refused, or it comes out as one name in one header."""
    with Opened(kind, books) as opened:
        made = opened.send("POST", f"{TO_BOOKS[:-5]}{quote(name)}", AS_OWNER, b"<html><script>")
        if made.status_code != 201:
            assert made.status_code == 422
            return
        shown = opened.send("GET", f"/versions/{made.json()['ref']}/content", AS_OWNER)
        disposition = shown.headers["content-disposition"]
        assert disposition.startswith("attachment; filename=")
        assert not any(sign in disposition for sign in ("/", "\\", "\r", "\n", "\u202e"))
        assert (shown.headers["content-type"], shown.headers["x-content-type-options"]) == (
            "application/octet-stream",
            "nosniff",
        )
        assert "sandbox" in shown.headers["content-security-policy"]


@pytest.mark.parametrize("name", ["a\r\nSet-Cookie: x=1", "a\0b", ""])
@pytest.mark.parametrize("kind", WEB)
def test_names_that_are_none_are_refused(kind: str, name: str, books: Mall) -> None:
    """A line break in a name never becomes a header, for it never becomes a name."""
    with Opened(kind, books) as opened:
        refused = opened.send("POST", f"{TO_BOOKS[:-5]}{quote(name)}", AS_OWNER, b"x")
        assert refused.status_code in (400, 422), refused.text
    assert nothing_kept(books)


@pytest.mark.parametrize("kind", WEB)
def test_contents_are_asked_for_in_parts(kind: str, books: Mall) -> None:
    """Ranges, conditions and HEAD, as the standard has them; thousands of ranges cost nothing."""
    with books.begin(OWNER) as ctx:
        ref = attachments.upload_file(ctx, file=b"0123456789", file_name="a", owner="channel:books").ref
    with Opened(kind, books) as opened:

        def get(method: str = "GET", **headers: str) -> httpx.Response:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            return opened.send(method, f"/versions/{ref}/content", {**AS_OWNER, **named})

        whole = get()
        tag = whole.headers["etag"]
        part = get(range="bytes=2-4")
        assert (part.status_code, part.content, part.headers["content-range"]) == (206, b"234", "bytes 2-4/10")
        assert get(range="bytes=-3").content == b"789"
        assert get(range="bytes=1-2", if_range=tag).status_code == 206
        assert get(range="bytes=1-2", if_range='"another"').status_code == 200
        assert get(range="bytes=0-1,4-5").content == b"0123456789"
        beyond = get(range="bytes=10-")
        assert (beyond.status_code, beyond.headers["content-range"]) == (416, "bytes */10")
        assert get(range="bytes=" + ",".join(f"{n}-" for n in range(5000))).status_code == 416
        known = get(if_none_match=tag)
        assert (known.status_code, known.content, known.headers["etag"]) == (304, b"", tag)
        assert get(if_match='"another"').status_code == 412
        head = get("HEAD")
        assert (head.status_code, head.content, head.headers["content-length"]) == (200, b"", "10")
        assert head.headers["etag"] == tag


@pytest.mark.parametrize("kind", WEB)
@pytest.mark.parametrize("type", ["application/x-www-form-urlencoded", "APPLICATION/X-WWW-FORM-URLENCODED;charset=x"])
def test_other_bodies_are_refused(kind: str, type: str, books: Mall) -> None:
    """What clients say when nobody told them a type is no type of a file: 415."""
    with Opened(kind, books) as opened:
        assert opened.send("POST", TO_BOOKS, {**AS_OWNER, "content-type": type}, b"{}").status_code == 415
    assert nothing_kept(books)
