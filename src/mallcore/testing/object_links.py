"""The promises of signed links, asked over HTTP as a browser does that holds nothing else.

A part of `mallcore.testing.ObjectStoreContract`. Where a store signs nothing, these promises are skipped.
"""

from __future__ import annotations

import hashlib
import http.client
import time
from collections.abc import Mapping
from io import BytesIO
from typing import TYPE_CHECKING, Any, NamedTuple
from unittest import SkipTest
from urllib.parse import urlsplit
from uuid import uuid4

from mallcore.kernel.objects import ObjectStore, Signed

BODY = b"signed, sealed, delivered" * 40
TYPE = "image/png"
_OTHER = BODY[::-1]
_PATIENCE = 30


class Answer(NamedTuple):
    """What came back over HTTP."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def fine(self) -> bool:
        """Whether it was done."""
        return 200 <= self.status < 300

    @property
    def refused(self) -> bool:
        """Whether it was refused as the caller's fault."""
        return 400 <= self.status < 500


def send(signed: Signed, body: bytes | None = None, headers: Mapping[str, str] | None = None, url: str = "") -> Answer:
    """Send a signed request as it is, or with other headers, or to another URL."""
    parts = urlsplit(url or signed.url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.netloc, timeout=_PATIENCE)
    try:
        given = {**signed.headers, **(headers or {})}
        if body is not None:
            given["content-length"] = str(len(body))
        connection.request(signed.method, f"{parts.path}?{parts.query}".rstrip("?"), body=body, headers=given)
        answer = connection.getresponse()
        return Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())
    except (ConnectionError, http.client.BadStatusLine):  # a body it does not want is cut off
        return Answer(400, {}, b"")
    finally:
        connection.close()


def form(signed: Signed, body: bytes, **other: str) -> tuple[bytes, dict[str, str]]:
    """The body and headers of a form POST, with some fields of another value."""
    boundary = uuid4().hex
    lines = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in {**signed.fields, **other}.items()
    ]
    lines.append(f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\n')
    whole = "".join(lines).encode() + body + f"\r\n--{boundary}--\r\n".encode()
    return whole, {"content-type": f"multipart/form-data; boundary={boundary}"}


def _tampered(url: str) -> list[str]:
    """The URL with its path, and with a piece of each value of its query, changed."""
    place, _, query = url.partition("?")
    made = [f"{place}x?{query}"]
    pieces = query.split("&")
    for number, piece in enumerate(pieces):
        name, _, value = piece.partition("=")
        other = f"{name}={'0' if value[:1] != '0' else '1'}{value[1:]}"
        made.append(f"{place}?{'&'.join([*pieces[:number], other, *pieces[number + 1 :]])}")
    return made


class LinkPromises:
    """What signed requests promise. `ObjectStoreContract` supplies the rest."""

    if TYPE_CHECKING:

        def key(self, name: str) -> str:
            """A key that nobody has used."""
            ...

        def peek(self, store: Any, key: str) -> bytes | None:
            """What lies under the key, past the store."""
            ...

    def test_a_signed_get_is_the_object(self, store: ObjectStore) -> None:
        """Whoever holds the URL reads the object, whole or a range, with the type and disposition that were signed."""
        signed = self._readable(store, disposition='attachment; filename="a b.png"', content_type=TYPE)
        answer = send(signed)
        assert (answer.status, answer.body) == (200, BODY)
        assert answer.headers["content-type"] == TYPE
        assert answer.headers["content-disposition"] == 'attachment; filename="a b.png"'
        part = send(signed, headers={"range": "bytes=7-12"})
        assert (part.status, part.body) == (206, BODY[7:13])

    def test_a_signed_get_carries_what_is_asked(self, store: ObjectStore) -> None:
        """Further values of the query stand in the URL, where access logs show them, and do no harm."""
        signed = self._readable(store, query={"x-mall-jti": "jti_1"})
        assert "x-mall-jti=jti_1" in urlsplit(signed.url).query.split("&")
        assert send(signed).body == BODY

    def test_a_signed_get_is_good_for_nothing_else(self, store: ObjectStore) -> None:
        """Any changed piece of the URL is refused, and so is another method."""
        signed = self._readable(store)
        for url in _tampered(signed.url):
            assert send(signed, url=url).refused, f"{url} is answered"
        for method in ("PUT", "DELETE"):
            other = Signed(method=method, url=signed.url, expires=signed.expires)
            assert send(other, b"" if method == "PUT" else None, {"x-ms-blob-type": "BlockBlob"}).refused
        assert send(signed).fine

    def test_a_signed_get_ends(self, store: ObjectStore) -> None:
        """After its time a URL is refused."""
        signed = self._readable(store, seconds=1)
        deadline = time.monotonic() + _PATIENCE
        while send(signed).fine and time.monotonic() < deadline:
            time.sleep(0.2)
        assert send(signed).refused

    def _readable(self, store: ObjectStore, seconds: int = 300, **more: Any) -> Signed:
        if not store.capabilities.presign_get:
            raise SkipTest("it signs no GET")
        key = self.key("linked")
        store.put_new(key, BytesIO(BODY), content_type="text/plain")
        return store.sign_get(key, seconds=seconds, **more)

    def test_a_signed_put_is_good_once(self, store: ObjectStore) -> None:
        """Whoever holds the URL can put the content under the key, and never again anything."""
        key, signed = self._writable(store)
        assert send(signed, BODY).fine
        assert self.peek(store, key) == BODY
        assert send(signed, BODY).refused
        assert send(signed, _OTHER).refused
        assert self.peek(store, key) == BODY

    def test_a_signed_put_is_good_for_one_key(self, store: ObjectStore) -> None:
        """The URL with another key, or with any changed piece, is refused."""
        key, signed = self._writable(store)
        for url in _tampered(signed.url):
            assert send(signed, BODY, url=url).refused, f"{url} is answered"
        assert self.peek(store, key) is None
        assert self.peek(store, f"{key}x") is None

    def test_a_signed_put_binds_the_size(self, store: ObjectStore) -> None:
        """A body of another size is refused."""
        key, signed = self._writable(store)
        assert send(signed, BODY + b"x").refused
        assert send(signed, BODY[:-1]).refused
        assert self.peek(store, key) is None

    def test_a_signed_put_binds_the_type(self, store: ObjectStore) -> None:
        """Another type is refused."""
        key, signed = self._writable(store)
        assert send(signed, BODY, {"content-type": "text/html"}).refused
        assert self.peek(store, key) is None

    def test_a_signed_put_binds_the_content(self, store: ObjectStore) -> None:
        """Another body of the same size is refused."""
        key, signed = self._writable(store)
        assert send(signed, _OTHER).refused
        assert self.peek(store, key) is None

    def test_a_signed_put_ends(self, store: ObjectStore) -> None:
        """After its time a URL is refused."""
        key, signed = self._writable(store, seconds=1)
        time.sleep(2.5)
        assert send(signed, BODY).refused
        assert self.peek(store, key) is None

    def _writable(self, store: ObjectStore, seconds: int = 300) -> tuple[str, Signed]:
        if not store.capabilities.presign_put:
            raise SkipTest("it signs no PUT")
        key, digest = self.key("uploaded"), hashlib.sha256(BODY).hexdigest()
        return key, store.sign_put(key, seconds=seconds, size=len(BODY), sha256=digest, content_type=TYPE)

    def test_a_signed_post_takes_a_form(self, store: ObjectStore) -> None:
        """A browser's form with its fields and a file is kept under the key."""
        key, signed = self._postable(store)
        assert send(signed, *form(signed, BODY)).fine
        assert self.peek(store, key) == BODY

    def test_a_signed_post_is_good_for_nothing_else(self, store: ObjectStore) -> None:
        """A larger file, another key or type, and a changed policy are refused."""
        key, signed = self._postable(store)
        assert send(signed, *form(signed, BODY + b"x")).refused
        for name, value in (("key", f"{key}x"), ("Content-Type", "text/html"), ("policy", signed.fields["policy"][4:])):
            assert send(signed, *form(signed, BODY, **{name: value})).refused, f"another {name} is taken"
        assert self.peek(store, key) is None

    def _postable(self, store: ObjectStore) -> tuple[str, Signed]:
        if not store.capabilities.presign_post:
            raise SkipTest("it signs no POST")
        key = self.key("posted")
        return key, store.sign_post(key, seconds=300, max_size=len(BODY), content_type=TYPE)


__all__ = ["Answer", "LinkPromises", "form", "send"]
