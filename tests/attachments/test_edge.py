"""Edges: what CloudFront and Azure would check, checked by their own libraries; and a real nginx that checks itself."""

from __future__ import annotations

import base64
import io
import json
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.message import Message
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA1, SHA256
from PIL import Image

from mallcore import Mall, Principal, attachments, structure
from mallcore.adapters.wsgi import MallWSGI
from mallcore.attachments.hooks import Edge
from mallcore.backends.azure_cdn import AzureSas
from mallcore.backends.cloudfront import CloudFront
from mallcore.backends.plain_edge import PlainEdge
from mallcore.backends.secure_link import HmacEdge, SecureLink
from mallcore.errors import InvalidInput, InvalidSettings
from mallcore.testing import edge_server
from mallcore.testing.edge_server import NginxEdge
from mallcore.testing.object_servers import AzuriteServer
from mallcore.testing.servers import ServerUnavailable

REPOSITORY = Path(__file__).resolve().parents[2]
ME = Principal.system("test")
END = datetime(2026, 11, 24, 12, 15, tzinfo=UTC)
JTI = "ab" * 16
SECRET = "a-secret-of-the-edges-own"
RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
CURVE = ec.generate_private_key(ec.SECP256R1())
BASE = "https://d111.cloudfront.test"


def pem(key: Any) -> bytes:
    form = serialization.PrivateFormat.PKCS8
    return bytes(key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()))


def front(key: Any = RSA, **given: Any) -> CloudFront:
    return CloudFront(BASE, key_id="K1", private_key=pem(key), **given)


def decoded(text: str) -> bytes:
    return base64.b64decode(text.translate(str.maketrans("-_~", "+=/")))


def check(key: Any, fields: dict[str, str], policy: bytes) -> None:
    """What CloudFront does: the signature over the policy, with the public key, by the algorithm that is named."""
    hashed = SHA256() if fields.get("Hash-Algorithm") == "SHA256" else SHA1()
    signature = decoded(fields["Signature"])
    if isinstance(key, rsa.RSAPrivateKey):
        key.public_key().verify(signature, policy, padding.PKCS1v15(), hashed)
    else:
        key.public_key().verify(signature, policy, ec.ECDSA(hashed))


def canned_policy(url: str, end: int) -> bytes:
    """The policy that CloudFront makes of a URL itself."""
    return f'{{"Statement":[{{"Resource":"{url}","Condition":{{"DateLessThan":{{"AWS:EpochTime":{end}}}}}}}]}}'.encode()


@pytest.mark.parametrize("key", [RSA, CURVE], ids=["rsa", "ecdsa"])
@pytest.mark.parametrize("algorithm", ["sha1", "sha256"])
def test_cloudfront_accepts_a_canned_policy(key: Any, algorithm: Any) -> None:
    """The signature is over the policy CloudFront makes of the URL without what the signature added to it."""
    url = front(key, algorithm=algorithm).signed_url("/files/a/1/b.png", expires=END, jti=JTI)
    fields = dict(parse_qsl(urlsplit(url).query))
    assert list(fields)[:2] == ["x-mall-jti", "Expires"]
    assert fields["Key-Pair-Id"] == "K1"
    assert fields.get("Hash-Algorithm") == ("SHA256" if algorithm == "sha256" else None)
    plain = f"{BASE}/files/a/1/b.png?x-mall-jti={JTI}"
    check(key, fields, canned_policy(plain, int(END.timestamp())))
    for other in (canned_policy(plain, int(END.timestamp()) + 1), canned_policy(plain.replace("b.png", "c.png"), 0)):
        with pytest.raises(InvalidSignature):
            check(key, fields, other)


@pytest.mark.parametrize("key", [RSA, CURVE], ids=["rsa", "ecdsa"])
@pytest.mark.parametrize("algorithm", ["sha1", "sha256"])
def test_cloudfront_accepts_a_custom_policy(key: Any, algorithm: Any) -> None:
    """The policy in the URL is the one that is signed, and says what was asked for."""
    url = front(key, algorithm=algorithm).custom(
        f"{BASE}/a.png?x=1", END, not_before=END - timedelta(hours=1), address="192.0.2.0/24", resource=f"{BASE}/*"
    )
    fields = dict(parse_qsl(urlsplit(url).query))
    policy = decoded(fields["Policy"])
    check(key, fields, policy)
    (statement,) = json.loads(policy)["Statement"]
    assert statement["Resource"] == f"{BASE}/*"
    assert statement["Condition"] == {
        "DateLessThan": {"AWS:EpochTime": int(END.timestamp())},
        "DateGreaterThan": {"AWS:EpochTime": int(END.timestamp()) - 3600},
        "IpAddress": {"AWS:SourceIp": "192.0.2.0/24"},
    }
    assert fields["x"] == "1"


@pytest.mark.parametrize("algorithm", ["sha1", "sha256"])
def test_cloudfront_accepts_cookies(algorithm: Any) -> None:
    """Three cookies (four with SHA-256) open a whole folder."""
    cookies = front(algorithm=algorithm).cookies(f"{BASE}/files/*", END)
    fields = {name.removeprefix("CloudFront-"): value for name, value in cookies.items()}
    more = {"Hash-Algorithm"} if algorithm == "sha256" else set()
    assert set(fields) == {"Policy", "Signature", "Key-Pair-Id"} | more
    check(RSA, fields, decoded(fields["Policy"]))
    assert not any(sign in value for value in cookies.values() for sign in ' ;,"+=/')


def test_botocore_signs_the_same() -> None:
    """Canned and custom: botocore's signer, given the same key, makes the same URL, letter by letter."""
    signers = pytest.importorskip("botocore.signers")
    theirs = signers.CloudFrontSigner("K1", lambda message: RSA.sign(message, padding.PKCS1v15(), SHA1()))
    url = f"{BASE}/files/a/1/b.png?x-mall-jti={JTI}"
    assert front().canned(url, END) == theirs.generate_presigned_url(url, date_less_than=END)
    start = END - timedelta(hours=1)
    policy = theirs.build_policy(url, END, date_greater_than=start, ip_address="192.0.2.7/32")
    ours = front().custom(url, END, not_before=start, address="192.0.2.7/32")
    assert decoded(parse_qs(urlsplit(ours).query)["Policy"][0]).decode() == policy
    assert ours == theirs.generate_presigned_url(url, policy=policy)


@pytest.mark.parametrize("name", ["Expires", "Policy", "Signature", "Key-Pair-Id", "Hash-Algorithm"])
def test_a_url_has_none_of_the_signatures_parameters(name: str) -> None:
    """An origin's URL that holds one of them already would be read otherwise than it was signed."""
    for sign in (lambda url: front().canned(url, END), lambda url: front().cookies(url, END)):
        with pytest.raises(InvalidInput):
            sign(f"{BASE}/a?{name}=1")


def test_only_keys_that_cloudfront_knows_are_taken() -> None:
    """Another kind of key, and what is no key, are refused when the edge is made; nothing of it is shown."""
    for wrong in (pem(ed25519.Ed25519PrivateKey.generate()), pem(ec.generate_private_key(ec.SECP384R1())), b"junk"):
        with pytest.raises(InvalidSettings) as caught:
            CloudFront(BASE, key_id="K1", private_key=wrong)
        assert "BEGIN" not in str(caught.value)


def test_cloudfront_proves_itself_to_the_mall() -> None:
    """The distribution takes the signature off: its secret header is what lets it in."""
    edge = front(origin_secret=SECRET)
    assert edge.admits("/files/a", {"x-mall-edge": SECRET}, END)
    assert not edge.admits("/files/a", {"x-mall-edge": SECRET + "x"}, END)
    assert not edge.admits("/files/a", {}, END)
    assert not front().admits("/files/a", {"x-mall-edge": ""}, END)


def test_in_front_of_a_bucket_the_url_says_how_it_is_served() -> None:
    """With an origin access control, type and disposition are part of what is signed."""
    edge = front(store="main", overrides=True)
    url = edge.signed_url(
        "/b/x", expires=END, jti=JTI, disposition='inline; filename="a b.png"', content_type="image/png"
    )
    plain, _, _ = url.partition("&Expires=")
    assert "response-content-type=image%2Fpng" in plain
    assert "response-content-disposition=inline%3B%20filename%3D%22a%20b.png%22" in plain
    check(RSA, dict(parse_qsl(urlsplit(url).query)), canned_policy(plain, int(END.timestamp())))


def azure(**given: Any) -> AzureSas:
    key = base64.b64encode(b"k" * 64).decode()
    return AzureSas("https://cdn.test", account="acc", container="box", key=key, **given)


def test_azure_signs_as_its_own_library_does() -> None:
    """A shared access signature of the same fields is the one that azure-storage-blob makes."""
    blob = pytest.importorskip("azure.storage.blob")
    told = {"content_disposition": 'attachment; filename="a.png"', "content_type": "image/png"}
    theirs = parse_qs(
        blob.generate_blob_sas(
            "acc", "box", "b/x.0", account_key=base64.b64encode(b"k" * 64).decode(),
            permission=blob.BlobSasPermissions(read=True), start=END - timedelta(hours=25, minutes=15), expiry=END,
            protocol="https", **told,
        )
    )  # fmt: skip
    edge = azure(version=theirs["sv"][0])
    url = edge.signed_url(
        "/b/x.0", expires=END, jti=JTI, disposition=told["content_disposition"], content_type=told["content_type"]
    )
    ours = parse_qs(urlsplit(url).query)
    assert url.startswith("https://cdn.test/box/b/x.0?")
    assert ours.pop("x-mall-jti") == [JTI]
    assert ours == theirs


@pytest.mark.objects
def test_azurite_takes_the_signature(azurite_server: AzuriteServer) -> None:
    """The blob is served as the URL says; a changed URL, and one that has expired, are refused."""
    from mallcore.testing.object_servers import AZURE_ACCOUNT

    box = azurite_server.container()
    azurite_server.plant(box, "b/x.0", b"content")
    key = azurite_server.connection_string.partition("AccountKey=")[2].partition(";")[0]
    edge = AzureSas(azurite_server.endpoint, account=AZURE_ACCOUNT, container=box, key=key, https=False)
    now = datetime.now(UTC)
    said: dict[str, Any] = {"jti": JTI, "disposition": 'attachment; filename="a.png"', "content_type": "image/png"}
    url = edge.signed_url("/b/x.0", expires=now + timedelta(minutes=5), **said)
    with urllib.request.urlopen(url) as answer:
        assert answer.read() == b"content"
        assert answer.headers["Content-Type"] == "image/png"
        assert answer.headers["Content-Disposition"] == said["disposition"]
    expired = edge.signed_url("/b/x.0", expires=now - timedelta(minutes=5), **said)
    for wrong in (expired, url.replace("rsct=image%2Fpng", "rsct=text%2Fhtml"), url.replace("sp=r", "sp=rw")):
        assert fetched(wrong)[0] == 403


@pytest.mark.parametrize("edge", [HmacEdge(BASE, secret=SECRET), SecureLink(BASE, secret=SECRET)], ids=["hmac", "md5"])
def test_a_signature_is_for_one_url(edge: HmacEdge) -> None:
    """The origin can check what the edge lets through: one spelling, until its end."""
    url = edge.signed_url("/files/a/1/b.png", expires=END, jti=JTI).removeprefix(BASE)
    now = END - timedelta(seconds=1)
    assert edge.admits(url, {}, now)
    assert not edge.admits(url, {}, END)
    wrong = [url + "&x=1", url[:-1], url.replace("/1/", "/2/"), url.replace(JTI, "cd" * 16), url.partition("?")[0],
             url.replace("expires=1", "expires=9"), url.replace("expires=", "expires=0")]  # fmt: skip
    assert not any(edge.admits(target, {}, now) for target in wrong)


def test_an_edge_may_serve_below_a_path() -> None:
    """What it checks is the whole path it is asked for; what the mall is asked for begins where the mall is mounted."""
    above, below = HmacEdge(BASE, secret=SECRET), HmacEdge(f"{BASE}/shop/", secret=SECRET)
    url = below.signed_url("/files/a", expires=END, jti=JTI)
    assert url == above.signed_url("/shop/files/a", expires=END, jti=JTI)
    assert below.admits(url.removeprefix(f"{BASE}/shop"), {}, END - timedelta(seconds=1))


def test_an_edges_secret_is_changed_without_a_gap() -> None:
    """While the old secret is given beside the new one, what it signed comes through; new URLs have the new one."""
    old, new = HmacEdge(BASE, secret=SECRET), HmacEdge(BASE, secret="b" * 32, old_secret=SECRET)
    url = old.signed_url("/files/a", expires=END, jti=JTI).removeprefix(BASE)
    now = END - timedelta(seconds=1)
    assert new.admits(url, {}, now)
    assert not old.admits(new.signed_url("/files/a", expires=END, jti=JTI).removeprefix(BASE), {}, now)
    with pytest.raises(InvalidSettings):
        HmacEdge(BASE, secret="short")


def test_all_of_them_are_edges_that_show_no_secret() -> None:
    """Every edge fulfils the Protocol; no repr holds a key, a secret or a signature."""
    shared = [kind(BASE, secret=SECRET) for kind in (HmacEdge, SecureLink)]
    edges = [front(origin_secret=SECRET), front(CURVE), azure(), PlainEdge(BASE), *shared]
    for edge in edges:
        assert isinstance(edge, Edge)
        assert SECRET not in repr(edge)
        assert "PRIVATE" not in repr(edge)
        assert "kkkk" not in repr(edge)


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    def log_message(self, *_: object) -> None:
        """Nothing to say."""


@dataclass
class Street:
    """A mall behind an nginx with a cache; ``asked`` is what reached the mall."""

    mall: Mall
    nginx: NginxEdge
    edge: HmacEdge
    asked: list[str] = field(default_factory=list)

    def put(self, slot: str = "shown", colour: str = "red") -> attachments.Version:
        made = io.BytesIO()
        Image.new("RGB", (8, 8), colour).save(made, "PNG")
        with self.mall.begin(ME) as ctx:
            return attachments.upload_file(
                ctx, file=made.getvalue(), file_name="a b.png", owner="channel:books", slot=slot
            )

    def url(self, made: attachments.Version) -> str:
        """Where a caller is sent for it."""
        with self.mall.begin(ME) as ctx:
            return str(attachments.deliver(ctx, version=made.ref).location)

    def signed(self, made: attachments.Version, seconds: float) -> str:
        end = datetime.now(UTC) + timedelta(seconds=seconds)
        return self.edge.signed_url(f"/files/{made.attachment}/1/a-b.png", expires=end, jti=JTI)


Counted = Callable[[dict[str, Any], Any], Any]


def fetched(url: str, **headers: str) -> tuple[int, Message, bytes]:
    """Status, headers and body of what comes back."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=20) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers, error.read()


@pytest.fixture(params=["hmac", "secure_link"])
def street(request: pytest.FixtureRequest) -> Iterator[Street]:
    """The mall's WSGI adapter on loopback, and an nginx before it."""
    asked: list[str] = []
    place: dict[str, MallWSGI] = {}

    def counting(environ: dict[str, Any], start: Any) -> Any:
        asked.append(environ["PATH_INFO"])
        return place["mall"](environ, start)

    origin = make_server("127.0.0.1", 0, counting, _Server, _Quiet)
    thread = threading.Thread(target=origin.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        with NginxEdge(f"http://127.0.0.1:{origin.server_port}", SECRET, check=request.param) as nginx:
            kind = HmacEdge if request.param == "hmac" else SecureLink
            edge = kind(nginx.url, secret=SECRET, health_url=f"{nginx.url}/health")
            slots = [attachments.Slot("shown", inline=True)]
            with Mall.open("sqlite://", objects="memory://", edges=[edge], slots=slots, content_url=nginx.url) as mall:
                place["mall"] = MallWSGI(mall, lambda _: None)
                with mall.begin(ME) as ctx:
                    structure.create_channel(ctx, slug="books", name="Books")
                yield Street(mall, nginx, edge, asked)
    except ServerUnavailable as error:
        pytest.skip(f"nginx: {error}")
    finally:
        origin.shutdown()
        origin.server_close()
        thread.join()


def test_a_hit_does_not_ask_the_mall(street: Street) -> None:
    """Private content is fetched from the mall once; then the edge has it, for every URL that is signed for it."""
    made = street.put()
    first = fetched(street.url(made))
    assert (first[0], first[1]["X-Cache"], len(first[2])) == (200, "MISS", made.size)
    assert first[1]["Content-Security-Policy"] == "sandbox; default-src 'none'"
    for url in (street.url(made), street.signed(made, 100), street.signed(made, 200)):
        status, headers, body = fetched(url)
        assert (status, headers["X-Cache"], body) == (200, "HIT", first[2])
    assert street.asked == [f"/files/{made.attachment}/1/a-b.png"]


def test_wrong_and_expired_signatures_are_refused_at_the_edge(street: Street) -> None:
    """The mall does not even hear of them, neither before nor after the content is in the cache."""
    made, other = street.put(), street.put(colour="blue")
    good = street.signed(made, 100)
    # The first letter: of base64's last one nginx ignores some bits, as the mall does not.
    place, _, signature = good.rpartition("=")
    flipped = f"{place}={'0' if signature[0] != '0' else '1'}{signature[1:]}"
    wrong = [flipped, good[:-1], good + "&x=1", good.replace(JTI, "cd" * 16), good.replace("expires=", "expires=9"),
             good.replace(made.attachment, other.attachment), good.partition("?")[0] + "?x=1"]  # fmt: skip
    for _ in ("before", "after"):
        assert [fetched(url)[0] for url in wrong] == [403] * len(wrong)
        assert fetched(street.signed(made, -1))[0] == 410
        assert len(street.asked) == (0 if _ == "before" else 1)
        assert fetched(good)[0] == 200


def test_without_a_signature_there_is_nothing_private(street: Street) -> None:
    """Also when the edge holds the content: what is not signed is asked of the mall, which says there is none."""
    made = street.put()
    assert fetched(street.signed(made, 100))[0] == 200
    assert fetched(street.signed(made, 100).partition("?")[0])[0] == 404
    assert len(street.asked) == 2


def test_public_content_is_kept_by_the_edge(street: Street) -> None:
    """Its URL needs no signature; the mall is asked once, whoever comes."""
    made = street.put(slot="image")
    with street.mall.begin(ME) as ctx:
        url = attachments.public_url(ctx, version=made.ref).url
    found = [fetched(url) for _ in range(3)]
    assert [(status, headers["X-Cache"]) for status, headers, _ in found] == [(200, "MISS"), (200, "HIT"), (200, "HIT")]
    assert found[0][1]["Cache-Control"] == "public, max-age=31536000, immutable"
    assert len(street.asked) == 1


def test_the_edge_answers_parts_and_conditions_itself(street: Street) -> None:
    """Ranges and tags are answered from the cache."""
    url = street.url(street.put())
    _, headers, whole = fetched(url)
    status, part, body = fetched(url, Range="bytes=2-5")
    assert (status, body) == (206, whole[2:6])
    assert part["Content-Range"] == f"bytes 2-5/{len(whole)}"
    assert fetched(url, **{"If-None-Match": headers["ETag"]})[0] == 304
    assert fetched(url, Range="bytes=99999-")[0] == 416
    assert len(street.asked) == 1


def test_many_at_once_ask_the_mall_once(street: Street) -> None:
    """While the edge fetches a content, others wait for it instead of asking too."""
    url = street.url(street.put())
    statuses: list[int] = []
    threads = [threading.Thread(target=lambda: statuses.append(fetched(url)[0])) for _ in range(8)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert statuses == [200] * 8
    assert len(street.asked) == 1


def test_links_pass_through_the_edge_and_are_not_kept(street: Street) -> None:
    """A link is asked of the mall every time: who may open it, and how often, only the mall knows."""
    made = street.put()
    with street.mall.begin(ME) as ctx:
        link = attachments.link(ctx, version=made.ref, to="anyone", once=True)
    assert link.url.startswith(f"{street.nginx.url}/links/")
    assert [fetched(link.url)[0] for _ in range(3)] == [200, 403, 403]
    assert len(street.asked) == 3


@pytest.mark.parametrize("part", ["SCRIPT", "HMAC", "SECURE_LINK", "SECURE_LINK_LOCATION", "LOCATION"])
def test_the_how_to_has_the_configuration_that_is_tested(part: str) -> None:
    """What the page on nginx tells is what these tests run, line by line."""
    page = (REPOSITORY / "docs" / "how-to" / "deliver-through-nginx.md").read_text(encoding="utf-8")
    told = "\n".join(line.strip() for line in page.splitlines())
    tested = "\n".join(line.strip() for line in getattr(edge_server, part).splitlines())
    assert tested in told


def test_an_edge_that_dies_is_passed_over(street: Street) -> None:
    """When nginx is gone, three looks later the mall sends content itself."""
    made = street.put()
    edges = street.mall.services.ports[attachments.Edges]
    edges.look()
    assert street.url(made).startswith(street.nginx.url)
    street.nginx.stop()
    for _ in range(3):
        edges._looked.clear()
        edges.look()
    with street.mall.begin(ME) as ctx:
        found = attachments.deliver(ctx, version=made.ref)
    assert found.mode == "proxy"
    assert found.body is not None
    found.body.close()
