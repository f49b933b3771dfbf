"""tus 1.0.0: uploads that go on where they broke off, through every web face and over a real connection."""

import hashlib
import json
import socket
from base64 import b64encode

import httpx
import pytest

from mallcore import Mall, Principal, attachments, audit
from mallcore.api import Options
from tests.adapters.faces import WEB, Opened
from tests.adapters.test_files_over_the_wire import books as books
from tests.adapters.test_files_over_the_wire import eventually
from tests.adapters.test_real_servers import SERVED

OWNER = Principal.system("tests")
TUS = {"authorization": f"Bearer {OWNER.ref}", "tus-resumable": "1.0.0"}
PART = {**TUS, "content-type": "application/offset+octet-stream"}


def told(**pairs: str) -> str:
    """An Upload-Metadata header."""
    return ",".join(f"{key} {b64encode(value.encode()).decode()}" for key, value in pairs.items())


BEGUN = {**TUS, "upload-metadata": told(filename="Käse.txt", owner="channel:books", album="May")}


class Client:
    """A client of tus, that knows nothing of the mall but where uploads are made."""

    def __init__(self, opened: Opened) -> None:
        self._opened = opened
        self.where = ""

    def send(self, method: str, headers: dict[str, str], body: bytes = b"") -> httpx.Response:
        response = self._opened.send(method, self.where or "/tus", headers, body)
        assert response.headers["tus-resumable"] == "1.0.0"
        return response

    def begin(self, length: int | None) -> httpx.Response:
        size = {"upload-defer-length": "1"} if length is None else {"upload-length": str(length)}
        made = self.send("POST", {**BEGUN, **size})
        if made.status_code == 201:
            self.where = made.headers["location"].removeprefix(self._opened.base)
        return made

    def part(self, offset: int, body: bytes, **more: str) -> httpx.Response:
        named = {name.replace("_", "-"): value for name, value in more.items()}
        return self.send("PATCH", {**PART, "upload-offset": str(offset), **named}, body)

    @property
    def offset(self) -> int:
        return int(self.send("HEAD", TUS).headers["upload-offset"])


@pytest.mark.parametrize("kind", WEB)
def test_an_upload_goes_on_where_it_broke_off(kind: str, books: Mall) -> None:
    """Begun, brought in parts, asked where it stands; when all is there it is attached under its id."""
    with Opened(kind, books) as opened:
        client = Client(opened)
        made = client.begin(11)
        assert (made.status_code, "upload-expires" in made.headers) == (201, True), made.text
        first = client.part(0, b"hello ")
        assert (first.status_code, first.headers["upload-offset"], first.content) == (204, "6", b""), first.text
        stands = client.send("HEAD", TUS)
        assert (stands.headers["upload-offset"], stands.headers["upload-length"]) == ("6", "11")
        assert stands.headers["cache-control"] == "no-store"
        assert set(BEGUN["upload-metadata"].split(",")) - set(stands.headers["upload-metadata"].split(",")) == {
            told(owner="channel:books")  # an owner is told by its id
        }
        assert client.part(6, b"world").headers["upload-offset"] == "11"
        attached = opened.send(
            "POST",
            "/attachments/staged/" + client.where.rpartition("/")[2],
            {**TUS, "content-type": "application/json"},
            b'{"label": "live"}',
        )
        assert attached.status_code == 201, attached.text
        shown = attached.json()
        assert (shown["file_name"], shown["meta"]) == ("Käse.txt", {"album": "May"})
        assert shown["digest"] == hashlib.sha256(b"hello world").hexdigest()


@pytest.mark.parametrize("kind", WEB)
def test_what_does_not_fit_is_refused(kind: str, books: Mall) -> None:
    """A wrong offset, a wrong checksum, another type or version, too much: each has its status, and nothing moves."""
    with Opened(kind, books) as opened:
        client = Client(opened)
        client.begin(5)
        assert client.part(0, b"he").status_code == 204
        assert client.part(0, b"he").status_code == 409
        right = "sha1 " + b64encode(hashlib.sha1(b"l").digest()).decode()
        assert client.part(2, b"x", upload_checksum=right).status_code == 460
        assert client.part(2, b"x", upload_checksum="md4 AAAA").status_code == 400
        assert client.part(2, b"too much").status_code == 413
        assert client.part(2, b"x", content_type="application/octet-stream").status_code == 415
        assert client.part(2, b"x", upload_offset="-1").status_code == 400
        other = client.part(2, b"x", tus_resumable="0.2.2")
        assert (other.status_code, other.headers["tus-version"]) == (412, "1.0.0")
        assert client.offset == 2
        assert client.part(2, b"l", upload_checksum=right).status_code == 204
        assert client.offset == 3
        assert client.send("DELETE", TUS).status_code == 204
        assert client.send("HEAD", TUS).status_code in (404, 410)


@pytest.mark.parametrize("kind", WEB)
def test_the_length_may_come_later(kind: str, books: Mall) -> None:
    """A client that does not know yet says so, and tells it with a part; one that can't PATCH says it with POST."""
    with Opened(kind, books) as opened:
        client = Client(opened)
        client.begin(None)
        assert client.part(0, b"ab").status_code == 204
        assert client.send("HEAD", TUS).headers["upload-defer-length"] == "1"
        last = {**PART, "upload-offset": "2", "upload-length": "4", "x-http-method-override": "PATCH"}
        assert client.send("POST", last, b"cd").status_code == 204
        assert client.send("HEAD", TUS).headers["upload-length"] == "4"


@pytest.mark.parametrize("kind", WEB)
def test_the_first_part_may_come_with_the_beginning(kind: str, books: Mall) -> None:
    """One request less for each file; a first part that is refused leaves no upload that nobody knows."""
    with Opened(kind, books) as opened:
        wrong = "sha1 " + b64encode(hashlib.sha1(b"other").digest()).decode()
        refused = opened.send(
            "POST", "/tus", {**BEGUN, **PART, "upload-length": "5", "upload-checksum": wrong}, b"hello"
        )
        assert refused.status_code == 460, refused.text
        too_much = opened.send("POST", "/tus", {**BEGUN, **PART, "upload-length": "4"}, b"hello")
        assert too_much.status_code == 413, too_much.text
        client = Client(opened)
        made = client.send("POST", {**BEGUN, **PART, "upload-length": "5"}, b"hel")
        assert (made.status_code, made.headers["upload-offset"]) == (201, "3"), made.text
        client.where = made.headers["location"].removeprefix(opened.base)
        assert client.part(3, b"lo").headers["upload-offset"] == "5"
        whole = opened.send("POST", "/tus", {**BEGUN, **PART, "upload-length": "5"}, b"hello")
        assert whole.headers["upload-offset"] == "5"
    with books.begin(OWNER) as ctx:
        for where in (client.where, whole.headers["location"]):
            made_of = attachments.attach(ctx, staged=where.rpartition("/")[2])
            assert made_of.digest == hashlib.sha256(b"hello").hexdigest()
        ended = [one.operation for one in audit.list_records(ctx).items if one.operation == "attachments.end_upload"]
        assert len(ended) == 2


@pytest.mark.parametrize("kind", WEB)
def test_metadata_is_told_as_far_as_a_header_can(kind: str, books: Mall) -> None:
    """Whatever an upload was begun with elsewhere, the header stays one header, and does not lie about the owner."""
    meta = {"a\r\nSet-Cookie": "x", "two words": "x", "ü": "x", "owner": "user:eve", "n": 7, "long": "x" * 9000}
    with books.begin(OWNER) as ctx:
        begun = attachments.begin_upload(ctx, owner="channel:books", file_name="a", meta=meta)
    with Opened(kind, books) as opened:
        told = opened.send("HEAD", f"/tus/{begun.id}", TUS).headers["upload-metadata"]
        assert sorted(one.partition(" ")[0] for one in told.split(",")) == ["filename", "n", "owner", "slot"]
        assert b64encode(begun.owner.encode()).decode() in told


@pytest.mark.parametrize("kind", WEB)
def test_an_upload_whose_end_was_not_heard_of_is_finished(kind: str, books: Mall) -> None:
    """The last part is there, and then the server dies: whoever asks where the upload stands gets it finished."""
    with Opened(kind, books) as opened:
        client = Client(opened)
        client.begin(5)
        upload = client.where.rpartition("/")[2]
        with books.begin(OWNER) as ctx:
            attachments.append(ctx, upload=upload, offset=0, content=b"hello")
            assert attachments.get_upload(ctx, upload=upload).state == "open"
        assert client.offset == 5
    with books.begin(OWNER) as ctx:
        assert attachments.attach(ctx, staged=upload).size == 5


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 400),
        ({"upload-length": "1", "upload-concat": "partial"}, 400),
        ({"upload-length": "1", "upload-checksum": "md4 AAAA"}, 400),
        (
            {
                "upload-length": str(300 << 20),
                "upload-metadata": told(filename="a", owner="channel:books", slot="image"),
            },
            413,
        ),
        ({"upload-length": "x"}, 400),
        ({"upload-length": "1", "upload-defer-length": "1"}, 400),
        ({"upload-length": str(6 << 30)}, 413),
        ({"upload-length": "1", "upload-metadata": "filename ???"}, 400),
        ({"upload-length": "1", "upload-metadata": told(filename="a")}, 422),
        ({"upload-length": "1", "upload-metadata": told(filename="a", owner="channel:toys")}, 404),
        ({"upload-length": "1", "authorization": "Bearer user:eve"}, 403),
        ({"upload-length": "1", "authorization": ""}, 401),
    ],
)
def test_a_bad_beginning_is_refused(headers: dict[str, str], status: int, books: Mall) -> None:
    """No length, no owner, no permission: a problem document."""
    with Opened("asgi", books) as opened:
        refused = opened.send("POST", "/tus", {**BEGUN, **headers})
        assert (refused.status_code, refused.json()["status"]) == (status, status), refused.text


@pytest.mark.parametrize("kind", WEB)
def test_what_the_server_can_is_told(kind: str, books: Mall) -> None:
    """OPTIONS needs no version and no permission."""
    with Opened(kind, books) as opened:
        told = opened.send("OPTIONS", "/tus", {})
        assert (told.status_code, told.headers["tus-version"]) == (204, "1.0.0")
        assert {"creation", "creation-with-upload", "expiration", "checksum", "termination"} <= set(
            told.headers["tus-extension"].split(",")
        )
        assert told.headers["tus-max-size"] == str(Options().max_upload)
        assert opened.send("PUT", "/tus", TUS).status_code == 405


def test_what_came_before_a_cut_is_kept(books: Mall) -> None:
    """A connection that breaks in mid-part: the client asks where it stands, and goes on from there."""
    make, serve = SERVED["flask"]
    with serve(make(books)) as url, httpx.Client(base_url=url) as client:
        where = client.post("/tus", headers={**BEGUN, "upload-length": "3000"}).headers["location"]
        host = httpx.URL(url)
        with socket.create_connection((host.host, host.port or 80), timeout=10) as connection:
            head = [f"PATCH {where} HTTP/1.1", "Host: x", "Content-Length: 3000", "Upload-Offset: 0"]
            named = [f"{name}: {value}" for name, value in PART.items()]
            connection.sendall("\r\n".join([*head, *named, "", ""]).encode() + b"x" * 1000)

        def stands() -> int:
            return int(client.head(where, headers=TUS).headers["upload-offset"])

        assert eventually(lambda: stands() == 1000)
        rest = client.patch(where, headers={**PART, "upload-offset": "1000"}, content=b"x" * 2000)
        assert rest.status_code == 204, rest.text
    with books.begin(OWNER) as ctx:
        made = attachments.attach(ctx, staged=where.rpartition("/")[2])
    assert made.digest == hashlib.sha256(b"x" * 3000).hexdigest()


def test_it_stands_in_the_index(books: Mall) -> None:
    """Who reads the API's first page finds where uploads are made."""
    with Opened("asgi", books) as opened:
        assert json.loads(opened.send("GET", "/").content)["links"]["uploads"] == "/tus"
