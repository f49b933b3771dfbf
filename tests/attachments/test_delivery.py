"""Delivery: through an edge, from the store, or through the mall; always safe, always on record before it goes out."""

from __future__ import annotations

import io
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from PIL import Image
from sqlalchemy import text, update

from mallcore import Mall, Principal, access, attachments, audit, structure
from mallcore.adapters.wsgi import MallWSGI
from mallcore.attachments.model.tables import version as versions
from mallcore.attachments.rules import circuits
from mallcore.backends.azure_cdn import AzureSas
from mallcore.backends.cloudfront import CloudFront
from mallcore.backends.memory import MemoryStore
from mallcore.backends.plain_edge import PlainEdge
from mallcore.backends.secure_link import HmacEdge
from mallcore.errors import (
    ContentErased,
    Denied,
    InvalidInput,
    InvalidSettings,
    LinkRefused,
    StageFirst,
    Unavailable,
    UnknownVersion,
)
from mallcore.kernel.objects import Signed
from mallcore.kernel.operations import Asked
from mallcore.testing.object_servers import SeaweedServer

ME = Principal.system("test")
ADA = Principal.user("ada")
NOBODY = Principal.anonymous()
SECRET = "a secret of the edge's own"
SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'


def picture(colour: str = "red") -> bytes:
    """A small PNG."""
    made = io.BytesIO()
    Image.new("RGB", (8, 8), colour).save(made, "PNG")
    return made.getvalue()


class SigningStore(MemoryStore):
    """A store in memory that signs URLs, as if somebody could ask for them."""

    capabilities: ClassVar[Any] = replace(MemoryStore.capabilities, presign_get=True)

    def sign_get(
        self,
        key: str,
        *,
        seconds: int,
        disposition: str | None = None,
        content_type: str | None = None,
        query: Mapping[str, str] | None = None,
    ) -> Signed:
        told = f"seconds={seconds}&type={content_type}&jti={(query or {}).get('x-mall-jti')}&as={disposition}"
        return Signed(method="GET", url=f"https://store.test/{key}?{told}", expires=datetime.now(UTC))


class Clock:
    """A clock that goes when it is told to."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 24, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@dataclass
class World:
    """A mall with private and public content, and the edges it was opened with."""

    mall: Mall
    clock: Clock

    def put(self, content: bytes, name: str = "a.png", slot: str = "shown") -> attachments.Version:
        with self.mall.begin(ME) as ctx:
            return attachments.upload_file(ctx, file=content, file_name=name, owner="channel:books", slot=slot)

    def deliver(self, version: str, by: Principal = ME, **given: Any) -> attachments.Delivered:
        with self.mall.begin(by) as ctx:
            return attachments.deliver(ctx, version=version, **given)

    def deliver_link(self, version: str, by: Principal = NOBODY, asked: Asked | None = None, **given: Any) -> Any:
        with self.mall.begin(ME) as ctx:
            token = attachments.link(ctx, version=version, **{"to": "anyone", **given}).token
        with self.mall.begin(by) as ctx:
            return attachments.deliver_link(ctx, token=token, asked=asked or Asked())

    def file(self, path: str, headers: Mapping[str, str] | None = None) -> attachments.Delivered:
        """What lies at a URL of the mall's own routes, for an anonymous caller."""
        parts = urlsplit(path).path.split("/")[2:]
        with self.mall.begin(NOBODY) as ctx:
            asked = Asked("GET", headers or {}, path)
            derivative = parts[2] if len(parts) == 4 else None
            return attachments.deliver_file(
                ctx, attachment=parts[0], n=int(parts[1]), name=parts[-1], derivative=derivative, asked=asked
            )

    def last(self) -> Any:
        with self.mall.begin(ME) as ctx:
            return audit.list_records(ctx, limit=1).items[0]


def opened(database: str, clock: Clock, **given: Any) -> Mall:
    slots = [attachments.Slot("shown", inline=True)]
    mall = Mall.open(database, migrate="always", clock=clock, slots=slots, **{"objects": "memory://", **given})
    with mall.begin(ME) as ctx:
        structure.create_channel(ctx, slug="books", name="Books")
    return mall


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def world(database_url: str, clock: Clock) -> Iterator[World]:
    """No edge, and a store without URLs: the mall sends everything itself."""
    with opened(database_url, clock) as mall:
        yield World(mall, clock)


@pytest.fixture
def signing(clock: Clock) -> Iterator[World]:
    """No edge, and a store that signs."""
    with opened("sqlite://", clock, objects=SigningStore()) as mall:
        yield World(mall, clock)


@pytest.fixture
def edged(clock: Clock) -> Iterator[World]:
    """Two edges, and a store that signs."""
    edges = [HmacEdge(f"https://{name}.test", secret=SECRET, name=name) for name in ("one", "two")]
    with opened("sqlite://", clock, objects=SigningStore(), edges=edges) as mall:
        yield World(mall, clock)


def body(found: attachments.Delivered) -> bytes:
    assert found.body is not None
    with found.body as stream:
        return stream.read()


def test_the_mall_sends_the_whole(world: World) -> None:
    """Without edge and signing store the bytes come from the mall, with every header they need."""
    content = picture()
    made = world.put(content)
    found = world.deliver(made.ref)
    digest = f"sha-256=:{b64encode(sha256(content).digest()).decode()}:"
    assert (found.mode, found.status, found.location) == ("proxy", 200, None)
    assert dict(found.headers) == {
        "Content-Type": "image/png",
        "Content-Disposition": 'inline; filename="a.png"',
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "sandbox; default-src 'none'",
        "Cross-Origin-Resource-Policy": "same-site",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "private, no-cache",
        "ETag": f'"{sha256(content).hexdigest()}"',
        "Last-Modified": "Tue, 24 Nov 2026 12:00:00 GMT",
        "Repr-Digest": digest,
        "Content-Digest": digest,
        "Accept-Ranges": "bytes",
        "Content-Length": str(len(content)),
    }
    assert body(found) == content


def test_one_range_is_sent_as_a_part(world: World) -> None:
    """A part has the bytes that were asked for, their place, and the digest of the whole."""
    content = picture()
    made = world.put(content)
    found = world.deliver(made.ref, asked=Asked("GET", {"range": "bytes=2-5"}))
    assert (found.status, body(found)) == (206, content[2:6])
    assert found.headers["Content-Range"] == f"bytes 2-5/{len(content)}"
    assert found.headers["Content-Length"] == "4"
    assert "Content-Digest" not in found.headers
    assert body(world.deliver(made.ref, asked=Asked("GET", {"range": "bytes=-3"}))) == content[-3:]
    several = world.deliver(made.ref, asked=Asked("GET", {"range": "bytes=0-1,4-5"}))
    assert (several.status, body(several)) == (200, content)


@pytest.mark.parametrize("asked", ["bytes=9999-", "bytes=-0", "bytes=" + "0-," * 5000])
def test_what_is_no_part_of_it_is_refused(world: World, asked: str) -> None:
    """A range beyond the content, and thousands of ranges, are answered with 416 and no byte."""
    made = world.put(picture())
    found = world.deliver(made.ref, asked=Asked("GET", {"range": asked}))
    assert (found.status, found.body) == (416, None)
    assert found.headers["Content-Range"] == f"bytes */{made.size}"


def test_a_part_is_of_the_same_content(world: World) -> None:
    """If-Range with another tag gets the whole."""
    made = world.put(picture())
    headers = {"range": "bytes=0-1", "if-range": f'"{made.digest}"'}
    assert world.deliver(made.ref, asked=Asked("GET", headers)).status == 206
    assert world.deliver(made.ref, asked=Asked("GET", headers | {"if-range": '"other"'})).status == 200


def test_who_has_it_is_not_sent_it_again(world: World) -> None:
    """With its tag, or since its date, the answer is 304; with another one demanded, 412; neither has a body."""
    made = world.put(picture())
    for headers in ({"if-none-match": f'"{made.digest}"'}, {"if-modified-since": "Tue, 24 Nov 2026 12:00:00 GMT"}):
        found = world.deliver(made.ref, asked=Asked("GET", headers))
        assert (found.status, found.body) == (304, None)
        assert found.headers["ETag"] == f'"{made.digest}"'
    found = world.deliver(made.ref, asked=Asked("GET", {"if-match": '"other"'}))
    assert (found.status, found.body) == (412, None)


def test_a_head_has_no_body(world: World) -> None:
    """HEAD is answered with the headers of a GET, and no stream to close."""
    made = world.put(picture())
    found = world.deliver(made.ref, asked=Asked("HEAD", {"range": "bytes=0-1"}))
    assert (found.status, found.body) == (200, None)
    assert found.headers["Content-Length"] == str(made.size)


@pytest.mark.parametrize("content", [SVG, b"<!doctype html><script>alert(1)</script>", b"<?xml version='1.0'?><a/>"])
def test_what_could_run_is_never_shown(world: World, content: bytes) -> None:
    """SVG, HTML and XML are sent as nameless bytes to be saved, whatever they are called and asked for."""
    made = world.put(content, "nice.png")
    for found in (world.deliver(made.ref, disposition="inline"), world.deliver_link(made.ref, disposition="inline")):
        assert found.headers["Content-Type"] == "application/octet-stream"
        assert found.headers["Content-Disposition"].startswith("attachment")


def test_a_slot_that_shows_nothing_shows_nothing(world: World) -> None:
    """Where the slot does not say inline, a picture, too, is saved."""
    made = world.put(picture(), slot="file")
    assert world.deliver(made.ref).headers["Content-Disposition"].startswith("attachment")
    assert world.deliver_link(made.ref, disposition="inline").headers["Content-Disposition"].startswith("attachment")


def test_the_record_comes_first(world: World) -> None:
    """What goes out is on record before it does; where that can't be written, nothing goes out."""
    made = world.put(picture())
    world.deliver(made.ref, by=ME)
    assert world.last().event == "attachments.read"
    assert world.last().after["version"] == made.ref
    with world.mall.engine.begin() as connection:
        connection.execute(text("ALTER TABLE mall_audit_record RENAME TO elsewhere"))
    with pytest.raises(Unavailable):
        world.deliver(made.ref)


def test_a_writer_delivers_later(world: World) -> None:
    """On a database with one writer, a unit of work that writes is told to deliver in another."""
    made = world.put(picture())
    if not world.mall.backend.serial_writes:
        pytest.skip("this database has many writers")
    with world.mall.begin(ME) as ctx:
        structure.create_category(ctx, channel="books", name="Crime")
        with pytest.raises(StageFirst):
            attachments.deliver(ctx, version=made.ref)


def test_who_may_not_read_gets_nothing(world: World) -> None:
    """Delivery needs permission to read; a link needs none but itself."""
    made = world.put(picture())
    with pytest.raises(Denied):
        world.deliver(made.ref, by=ADA)
    assert world.deliver_link(made.ref, by=ADA).status == 200


def test_the_store_sends_it_within_a_minute(signing: World) -> None:
    """A redirect goes to a URL that is good for 60 s, says as what it is served, and has the jti of the record."""
    made = signing.put(picture())
    found = signing.deliver(made.ref)
    assert (found.mode, found.status, found.body) == ("redirect", 302, None)
    assert found.headers["Cache-Control"] == "private, no-store"
    query = parse_qs(urlsplit(str(found.location)).query)
    assert query["seconds"] == ["60"]
    assert query["type"] == ["image/png"]
    assert query["as"] == ['inline; filename="a.png"']
    assert query["jti"] == [found.jti] == [signing.last().after["jti"]]
    assert signing.last().event == "attachments.redirected"
    assert signing.last().after["store"] == "main"
    assert signing.deliver(made.ref).jti != found.jti


def test_a_link_keeps_its_jti_in_the_store(signing: World) -> None:
    """Behind a link the store's URL has the link's own jti: the store's access log can be matched."""
    made = signing.put(picture())
    found = signing.deliver_link(made.ref)
    with signing.mall.begin(ME) as ctx:
        events = {one.event for one in audit.list_records(ctx).items if (one.after or {}).get("jti") == found.jti}
    assert events == {"attachments.link_made", "attachments.link_opened", "attachments.redirected"}


def test_a_bad_type_stays_bad_in_the_store(signing: World) -> None:
    """The store, too, is told to send what could run as bytes to be saved."""
    found = signing.deliver(signing.put(SVG).ref)
    query = parse_qs(urlsplit(str(found.location)).query)
    assert query["type"] == ["application/octet-stream"]
    assert query["as"][0].startswith("attachment")


def test_the_way_can_be_chosen(signing: World) -> None:
    """``via`` names what is tried first; what can't be had is passed over. HEAD is answered here."""
    made = signing.put(picture())
    assert signing.deliver(made.ref, via="proxy").mode == "proxy"
    assert signing.deliver(made.ref, via="redirect").mode == "redirect"
    assert signing.deliver(made.ref, via="edge").mode == "redirect"
    assert signing.deliver(made.ref, asked=Asked("HEAD")).mode == "proxy"


def test_an_edge_sends_what_is_private_with_a_signature(edged: World) -> None:
    """The URL at the edge repeats within a quarter of an hour, for one caller, and ends with it."""
    made = edged.put(picture())
    found = edged.deliver(made.ref)
    assert (found.mode, found.status) == ("edge", 302)
    assert str(found.location).startswith(f"https://one.test/files/{made.attachment}/1/a.png?x-mall-jti={found.jti}&")
    assert edged.last().after["edge"] == "one"
    edged.clock.now += timedelta(minutes=9, seconds=59)
    assert edged.deliver(made.ref).location == found.location
    query = parse_qs(urlsplit(str(found.location)).query)
    assert query["expires"] == [str(int(datetime(2026, 11, 24, 12, 15, tzinfo=UTC).timestamp()))]
    edged.clock.now += timedelta(seconds=2)
    assert edged.deliver(made.ref).location != found.location
    with edged.mall.begin(ME) as ctx:
        access.grant(ctx, principal="user:ada", role="owner")
    assert edged.deliver(made.ref, by=ADA).location != edged.deliver(made.ref).location


def test_what_the_edge_signed_the_mall_serves(edged: World) -> None:
    """A request with the edge's signature is answered; without, with a wrong or an old one there is nothing."""
    made = edged.put(picture())
    url = str(edged.deliver(made.ref).location).removeprefix("https://one.test")
    found = edged.file(url)
    assert (found.status, body(found)) == (200, picture())
    assert found.headers["Cache-Control"] == "private, max-age=900"
    assert edged.last().after["edge"] == "one"
    path, _, query = url.partition("?")
    parts = query.split("&")
    wrong = [path, path + "?", url[:-1], url + "&x=1", url + "&" + parts[0], path + "?" + "&".join(reversed(parts)),
             url.replace("expires=1", "expires=2"), url.replace("/1/", "/01/"), url.replace("&", "%26")]  # fmt: skip
    for target in wrong:
        with pytest.raises(UnknownVersion):
            edged.file(target)
        assert edged.last().outcome == "denied"
        assert edged.last().after["reason"] == "not-signed"
    edged.clock.now += timedelta(minutes=15)
    with pytest.raises(UnknownVersion):
        edged.file(url)


def test_public_content_has_one_address_for_ever(edged: World) -> None:
    """Its URL has no signature and never changes; another content has another one; anybody gets it, from any cache."""
    made = edged.put(picture(), "Front view.png", slot="image")
    with edged.mall.begin(ME) as ctx:
        url = attachments.public_url(ctx, version=made.ref).url
    assert url == f"https://one.test/files/{made.attachment}/1/Front-view.png"
    assert edged.deliver(made.ref).location == url
    assert edged.deliver_link(made.ref, to="user:ada", by=ADA).location == url
    found = edged.file(url)
    assert (found.status, body(found)) == (200, picture())
    assert found.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert found.headers["Cross-Origin-Resource-Policy"] == "cross-origin"


def test_one_content_has_no_second_address(edged: World) -> None:
    """Another name, number or attachment in the URL leads nowhere: caches can't be filled with copies."""
    made = edged.put(picture(), slot="image")
    for path in (f"/files/{made.attachment}/1/b.png", f"/files/{made.attachment}/2/a.png",
                 f"/files/att_{'0' * 32}/1/a.png"):  # fmt: skip
        with pytest.raises(UnknownVersion):
            edged.file(path)
    with pytest.raises(InvalidInput):
        edged.file(f"/files/{made.attachment}/1/{'ab' * 32}/a.png")


def test_a_derivative_goes_out_as_its_source_does(edged: World) -> None:
    """What a recipe made of a version has an address of its own, beside its source's, and links of its own."""
    made = edged.put(picture(), slot="image")
    with edged.mall.begin(ME) as ctx:
        small = attachments.derivative(ctx, version=made.ref, recipe="small")
        url = attachments.public_url(ctx, version=made.ref, derivative=small.derivative).url
    assert url == f"https://one.test/files/{made.attachment}/1/{small.derivative}/a.png"
    found = edged.file(url.removeprefix("https://one.test"))
    assert (found.headers["Content-Type"], found.headers["ETag"]) == (small.content_type, f'"{small.digest}"')
    assert len(body(found)) == small.size
    linked = edged.deliver_link(made.ref, derivative=small.derivative, once=True)
    assert sha256(body(linked)).hexdigest() == small.digest
    assert edged.last().after["recipe"] == small.derivative


def test_a_public_url_is_for_public_slots(edged: World) -> None:
    """Private content has no public URL, and the error says what to do."""
    with pytest.raises(InvalidInput, match="make a link"), edged.mall.begin(ME) as ctx:
        attachments.public_url(ctx, version=edged.put(picture()).ref)


def test_without_edges_public_content_lies_at_the_mall(world: World) -> None:
    """The mall's own address stands in its place, and the mall sends it to be kept for ever."""
    made = world.put(picture(), slot="image")
    with world.mall.begin(ME) as ctx:
        assert attachments.public_url(ctx, version=made.ref).url == f"/files/{made.attachment}/1/a.png"
    assert world.deliver(made.ref).headers["Cache-Control"] == "public, max-age=31536000, immutable"


def test_a_bound_link_gets_no_bearer_url_at_an_edge(edged: World) -> None:
    """What is for one person goes by the store within a minute; what is good once, by the mall, and whole."""
    made = edged.put(picture())
    assert edged.deliver_link(made.ref).mode == "edge"
    assert edged.deliver_link(made.ref, to="user:ada", by=ADA).mode == "redirect"
    once = edged.deliver_link(made.ref, once=True, asked=Asked("GET", {"range": "bytes=0-1"}))
    assert (once.mode, once.status, body(once)) == ("proxy", 200, picture())
    assert once.headers["Cache-Control"] == "private, no-store"
    assert once.headers["Accept-Ranges"] == "none"


def test_a_head_does_not_use_a_link_up(world: World) -> None:
    """Whoever only looks leaves a link that is good once as it was."""
    made = world.put(picture())
    with world.mall.begin(ME) as ctx:
        token = attachments.link(ctx, version=made.ref, to="anyone", once=True).token

    def ask(method: str) -> int:
        with world.mall.begin(NOBODY) as ctx:
            return attachments.deliver_link(ctx, token=token, asked=Asked(method)).status

    assert [ask("HEAD"), ask("HEAD"), ask("GET")] == [200, 200, 200]
    for method in ("GET", "HEAD"):
        with pytest.raises(LinkRefused, match="used"):
            ask(method)


@pytest.mark.parametrize("more", ["?", "?purpose=content", "?x=1", "&x=1", "%2E"])
def test_a_link_takes_no_parameters(world: World, more: str) -> None:
    """The target of a request with a link is its path and nothing else; what it says is in the token."""
    made = world.put(picture())
    with world.mall.begin(ME) as ctx:
        token = attachments.link(ctx, version=made.ref, to="anyone").token
    with pytest.raises(LinkRefused, match="forged"), world.mall.begin(NOBODY) as ctx:
        attachments.deliver_link(ctx, token=token, asked=Asked("GET", {}, f"/links/{token}{more}"))
    with world.mall.begin(NOBODY) as ctx:
        assert attachments.deliver_link(ctx, token=token, asked=Asked("GET", {}, f"/links/{token}")).status == 200


def test_a_wish_that_an_edge_can_not_carry_goes_another_way(edged: World) -> None:
    """Saved under another name: the edge would show it under its own, so that the store sends it."""
    made = edged.put(picture())
    assert edged.deliver(made.ref, disposition="attachment").mode == "redirect"
    found = edged.deliver_link(made.ref, file_name="Rechnung.png")
    assert found.mode == "redirect"
    assert 'filename="Rechnung.png"' in str(found.location)


def test_edges_in_their_order_while_they_work(edged: World) -> None:
    """An edge that fails three times in a row is passed over, and tried again after half a minute."""
    made = edged.put(picture())
    edges = edged.mall.services.ports[attachments.Edges]

    def host() -> str | None:
        return urlsplit(str(edged.deliver(made.ref).location)).hostname

    for name in ("one", "two"):
        for _ in range(circuits.FAILURES - 1):
            edges.report(name, False)
        assert host() == ("one.test" if name == "one" else "two.test")
        edges.report(name, False)
    assert host() == "store.test"
    edged.clock.now += circuits.PAUSE
    assert host() == "one.test"
    edges.report("one", False)
    assert host() == "two.test"
    edges.report("one", True)
    assert host() == "one.test"


def test_a_probe_sees_what_does_not_answer(clock: Clock) -> None:
    """`look` asks each edge that names a health URL, and not more often than every ten seconds."""
    asked: list[str] = []
    works = {"https://one.test/health": False, "https://two.test/health": True}

    def probe(url: str) -> bool:
        asked.append(url)
        return works[url]

    given = [HmacEdge(f"https://{n}.test", secret=SECRET, name=n, health_url=f"https://{n}.test/health")
             for n in ("one", "two")]  # fmt: skip
    edges = attachments.Edges([*given, HmacEdge("https://three.test", secret=SECRET, name="three")], clock, probe)
    edges.look()
    edges.look()
    assert asked == list(works)
    for _ in range(2):
        clock.now += timedelta(seconds=10)
        edges.look()
    assert [edge.name for edge in edges.ready(public=False)] == ["two", "three"]
    for _ in range(6):  # it is asked on, and is not tried by way of time alone
        clock.now += timedelta(seconds=10)
        edges.look()
        assert [edge.name for edge in edges.ready(public=False)] == ["two", "three"]
    works["https://one.test/health"] = True
    clock.now += timedelta(seconds=10)
    edges.look()
    assert [edge.name for edge in edges.ready(public=False)] == ["one", "two", "three"]


def test_public_and_private_content_may_have_edges_of_their_own(clock: Clock) -> None:
    """Private content never goes through an edge that checks nothing, nor public content through one that asks for a
    signature; what the first lets through to the mall gets nothing private."""
    plain = PlainEdge("https://plain.test")
    sas = AzureSas("https://azure.test", account="a", container="c", key="a2V5")
    with opened("sqlite://", clock, edges=[plain, sas]) as mall:
        world = World(mall, clock)
        private, public = world.put(picture()), world.put(picture(), slot="image")
        assert urlsplit(str(world.deliver(private.ref).location)).hostname == "azure.test"
        assert world.deliver(public.ref).location == f"https://plain.test/files/{public.attachment}/1/a.png"
        for edge in (plain, sas):
            mall.services.ports[attachments.Edges].report(edge.name, True)
        with pytest.raises(UnknownVersion):
            world.file(f"/files/{private.attachment}/1/a.png")


def test_an_edge_before_a_store_is_not_asked_for_what_only_we_make_safe(clock: Clock) -> None:
    """What is no picture needs headers that a store does not send: it goes through the mall, unless the URL tells."""
    key = ec.generate_private_key(ec.SECP256R1())
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    given: Any = {"key_id": "K", "private_key": key.private_bytes(*form), "store": "main"}
    for overrides, modes in ((False, ["edge", "proxy", "proxy"]), (True, ["edge", "edge", "edge"])):
        edge = CloudFront("https://cdn.test", overrides=overrides, **given)
        with opened("sqlite://", clock, edges=[edge]) as mall:
            world = World(mall, clock)
            made = world.put(picture())
            found = [world.deliver(made.ref), world.deliver(made.ref, disposition="attachment"),
                     world.deliver(world.put(SVG).ref)]  # fmt: skip
            assert [one.mode for one in found] == modes
            assert str(found[0].location).startswith(f"https://cdn.test/b/{made.unit_id}/sha256/")


def test_two_edges_have_two_names(clock: Clock) -> None:
    """Edges of one name can't be told apart in the log: that is refused when the mall is opened."""
    edges = [HmacEdge("https://a.test", secret=SECRET), HmacEdge("https://b.test", secret=SECRET)]
    with pytest.raises(InvalidSettings):
        opened("sqlite://", clock, edges=edges)


def test_dropped_content_is_not_delivered(world: World) -> None:
    """What was erased is delivered by no way at all."""
    made = world.put(picture(), slot="image")
    with world.mall.engine.begin() as connection:
        connection.execute(update(versions).values(dropped_at=world.clock.now))
    for call in (lambda: world.deliver(made.ref), lambda: world.file(f"/files/{made.attachment}/1/a.png")):
        with pytest.raises(ContentErased):
            call()


def test_no_url_is_shown(edged: World) -> None:
    """What was delivered shows neither URL nor headers in its repr, and the log has no signature."""
    found = edged.deliver(edged.put(picture()).ref)
    signature = str(found.location).partition("signature=")[2]
    assert signature not in repr(found) + repr(edged.last()) + repr(edged.mall.services.ports[attachments.Edges])


def test_over_http_contents_and_links_are_what_they_are_in_python(world: World) -> None:
    """Ranges, HEAD, conditions, redirect-less links and refusals have the status and headers they should."""
    made = world.put(picture())
    with world.mall.begin(ME) as ctx:
        once = attachments.link(ctx, version=made.ref, to="anyone", once=True).url
        spare = attachments.link(ctx, version=made.ref, to="anyone").url
    app = MallWSGI(world.mall, lambda request: ME if request.headers.get("x-me") else None)
    with httpx.Client(transport=httpx.WSGITransport(app), base_url="http://mall") as client:
        content = f"/versions/{made.ref}/content"
        assert client.get(content).status_code == 401
        part = client.get(content, headers={"x-me": "1", "range": "bytes=0-7"})
        assert (part.status_code, part.content) == (206, picture()[:8])
        head = client.head(content, headers={"x-me": "1"})
        assert (head.status_code, head.headers["content-length"], head.content) == (200, str(made.size), b"")
        known = client.get(content, headers={"x-me": "1", "if-none-match": head.headers["etag"]})
        assert (known.status_code, known.content) == (304, b"")
        beyond = client.get(content, headers={"x-me": "1", "range": "bytes=99999-"})
        assert (beyond.status_code, beyond.headers["content-range"]) == (416, f"bytes */{made.size}")
        saved = client.get(content, headers={"x-me": "1"}, params={"disposition": "attachment"})
        assert saved.headers["content-disposition"].startswith("attachment")
        assert [client.get(once).status_code for _ in range(2)] == [200, 403]
        refused = client.get(spare + "?x=1")
        assert (refused.status_code, refused.json()["code"], refused.json()["reason"]) == (
            403,
            "link-refused",
            "forged",
        )
        assert client.get(spare).content == picture()
        assert client.get("/links/" + "x" * 5000).json()["reason"] == "too-long"


@pytest.mark.objects
def test_a_real_store_sends_what_it_was_told(seaweed_server: SeaweedServer, clock: Clock) -> None:
    """A redirect to S3 works for whoever follows it, with our type and disposition, and breaks when its jti changes."""
    clock.now = datetime.now(UTC)
    with opened("sqlite://", clock, objects=seaweed_server.url("delivery")) as mall:
        world = World(mall, clock)
        url = str(world.deliver(world.put(picture()).ref).location)
        with urllib.request.urlopen(url) as answer:
            assert answer.read() == picture()
            assert answer.headers["Content-Type"] == "image/png"
            assert answer.headers["Content-Disposition"] == 'inline; filename="a.png"'
        jti = parse_qs(urlsplit(url).query)["x-mall-jti"][0]
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(url.replace(jti, "0" * 32))
        assert caught.value.code == 403
        caught.value.close()
