"""Egress: webhooks reach the world, and nothing that is not meant to be reached from there."""

from __future__ import annotations

import ipaddress
import socket
import ssl
import threading
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from mallcore import webhooks
from mallcore.backends.outbound import Outbound, webhook_sender
from mallcore.errors import InvalidInput, InvalidSettings
from mallcore.webhooks import Egress, Message
from tests.webhooks.conftest import Shop
from tests.webhooks.receiving import Receiver

REFUSED = {
    "loopback": "https://127.0.0.1/",
    "another loopback": "https://127.8.9.1/",
    "loopback of IPv6": "https://[::1]/",
    "private": "https://10.0.0.1/",
    "private of a house": "https://192.168.1.1/",
    "private in between": "https://172.31.255.255/",
    "link-local": "https://169.254.1.1/",
    "metadata": "https://169.254.169.254/latest/meta-data/",
    "metadata of IPv6": "https://[fd00:ec2::254]/",
    "metadata behind a carrier": "https://100.100.100.200/",
    "metadata in the open": "https://168.63.129.16/",
    "carrier": "https://100.64.0.1/",
    "multicast": "https://224.0.0.1/",
    "multicast of IPv6": "https://[ff02::1]/",
    "broadcast": "https://255.255.255.255/",
    "nowhere": "https://0.0.0.0/",
    "nowhere of IPv6": "https://[::]/",
    "reserved": "https://240.0.0.1/",
    "for benchmarks": "https://198.18.0.1/",
    "unique local": "https://[fc00::1]/",
    "link-local of IPv6": "https://[fe80::1]/",
    "with a zone": "https://[fe80::1%25eth0]/",
    "site-local": "https://[fec0::1]/",
    "mapped": "https://[::ffff:127.0.0.1]/",
    "mapped in hexadecimal": "https://[::ffff:7f00:1]/",
    "compatible": "https://[::127.0.0.1]/",
    "6to4": "https://[2002:7f00:1::]/",
    "translated": "https://[64:ff9b::127.0.0.1]/",
    "translated here": "https://[64:ff9b:1::10.0.0.1]/",
    "Teredo": "https://[2001:0:4136:e378:8000:63bf:80ff:fffe]/",
    "one decimal number": "https://2130706433/",
    "hexadecimal": "https://0x7f000001/",
    "hexadecimal parts": "https://0x7f.0.0.0x1/",
    "octal": "https://0177.0.0.1/",
    "octal with more zeros": "https://00000177.0.0.1/",
    "two parts": "https://127.1/",
    "nothing": "https://0/",
    "a dot behind": "https://127.0.0.1./",
    "wide digits": "https://\uff11\uff12\uff17.0.0.1/",
    "escaped": "https://127%2e0%2e0%2e1/",
    "no host": "https:///hooks",
    "an empty label": "https://shop..example/",
    "a blank": "https://shop.example /",
    "a line break": "https://shop.example/\r\nx: y",
    "a backslash": "https://shop.example\\@127.0.0.1/",
    "credentials": "https://user:word@shop.example/",
    "a user": "https://user@shop.example/",
    "an empty user": "https://@shop.example/",
    "a fragment": "https://shop.example/#here",
    "plain": "http://shop.example/",
    "a file": "file:///etc/passwd",
    "gopher": "gopher://shop.example/",
    "no scheme": "//shop.example/",
    "port of SSH": "https://shop.example:22/",
    "port of a database": "https://shop.example:5432/",
    "no port": "https://shop.example:0/",
    "port of another world": "https://shop.example:70000/",
    "a letter for a port": "https://shop.example:a/",
    "a name in another script": "https://ex\u0430mple.com/",
    "a long one": f"https://shop.example/{'a' * 2000}",
    "an open bracket": "https://[::1/",
}
TAKEN = {
    "https://shop.example/hooks": ("shop.example", 443, "/hooks", "shop.example"),
    "https://shop.example": ("shop.example", 443, "/", "shop.example"),
    "https://Shop.Example:8443/a?b=c%20d": ("shop.example", 8443, "/a?b=c%20d", "shop.example:8443"),
    "https://shop.example./": ("shop.example", 443, "/", "shop.example"),
    "https://8.8.8.8/": ("8.8.8.8", 443, "/", "8.8.8.8"),
    "https://[2606:4700::1111]:8443/": ("2606:4700::1111", 8443, "/", "[2606:4700::1111]:8443"),
    "https://xn--ksereien-0za.example/": ("xn--ksereien-0za.example", 443, "/", "xn--ksereien-0za.example"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_no_url_leads_inside(case: str) -> None:
    """Addresses that are not the world's, in any spelling, and URLs that hide something are refused."""
    with pytest.raises(InvalidInput) as refused:
        Egress().target(REFUSED[case])
    assert refused.value.details["field"] == "url"


@pytest.mark.parametrize("url", TAKEN)
def test_urls_of_the_world_are_taken(url: str) -> None:
    """The others are taken, in parts."""
    found = Egress().target(url)
    assert (found.host, found.port, found.path, found.authority) == TAKEN[url]


@given(st.text(alphabet="htps:/@[]0123456789abcdefx.%\\#?-_ \t\n", max_size=40))
def test_any_text_is_taken_or_refused(text: str) -> None:
    """No text gets another answer than a target, or `InvalidInput`; a target that is an address is the world's."""
    for url in (text, f"https://{text}"):
        try:
            found = Egress().target(url)
        except InvalidInput:
            continue
        try:
            address = ipaddress.ip_address(found.host)
        except ValueError:
            continue
        assert address.is_global


def test_what_is_allowed_is_only_that() -> None:
    """A network in the settings may be reached, its neighbours not; nonsense there is refused by its name."""
    egress = Egress.of(["10.1.0.0/16", "fd00:1::/64"], False, [])
    for allowed in ("https://10.1.2.3/", "https://[fd00:1::7]:9/", "https://[::ffff:10.1.2.3]/"):
        assert egress.target(allowed)
    for refused in ("https://10.2.0.1/", "https://[fd00:2::1]/", "http://10.1.2.3/"):
        with pytest.raises(InvalidInput):
            egress.target(refused)
    with pytest.raises(InvalidSettings):
        Egress.of(["10.0.0.0/33"], False, [])


@pytest.mark.parametrize("case", ["loopback", "mapped", "one decimal number", "credentials", "plain", "port of SSH"])
def test_no_subscription_leads_inside(shop: Shop, case: str) -> None:
    """It is refused when it is made, or changed; here http and all ports are allowed, and 127/8 is."""
    allowed = case in ("loopback", "mapped", "plain", "port of SSH")
    if allowed:
        made = shop.subscribe(REFUSED[case])
        assert made.url == REFUSED[case]
        return
    with pytest.raises(InvalidInput):
        shop.subscribe(REFUSED[case])


class Names:
    """A resolver that says something else each time it is asked."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append(host)
        return self.answers.pop(0)


def message(url: str, egress: Egress) -> Message:
    """A message to a URL."""
    return Message(egress.target(url), b"{}", {"content-type": "application/json"})


@pytest.mark.parametrize("inside", ["127.0.0.1", "10.0.0.8", "169.254.169.254", "::1", "::ffff:127.0.0.1", "fe80::1%1"])
def test_a_name_that_leads_inside_is_refused(receiver: Receiver, inside: str) -> None:
    """What counts is the address of a name, when a message is sent; one of several that is inside is too many."""
    egress = Egress(insecure=True, ports=frozenset())
    for addresses in ([inside], ["93.184.215.14", inside]):
        sender = Outbound(egress, Names(addresses))
        with pytest.raises(InvalidInput, match="its host is at"):
            sender.send(message(receiver.url.replace("127.0.0.1", "shop.example"), egress))
    assert receiver.received == []


def test_a_name_is_asked_for_once(receiver: Receiver) -> None:
    """Who rebinds a name between the look and the connection gains nothing: it goes to what was looked at."""
    egress = Egress.of(["127.0.0.1/32"], True, [])
    names = Names(["127.0.0.1"], ["127.0.0.2"])
    url = receiver.url.replace("127.0.0.1", "shop.example")
    assert Outbound(egress, names).send(message(url, egress)).status == 204
    assert names.asked == ["shop.example"]
    assert receiver.received[0].headers["host"] == url.split("/")[2]


def test_the_next_address_is_tried_when_the_first_is_dead(receiver: Receiver) -> None:
    """A name with several addresses is reached as long as one of them takes connections."""
    egress = Egress.of(["127.0.0.0/8"], True, [])
    sender = Outbound(egress, Names(["127.0.0.9", "127.0.0.1"]))
    with socket.socket() as probe:  # where 127.0.0.9 answers like 127.0.0.1, there is nothing to see
        if probe.connect_ex(("127.0.0.9", receiver.server.server_address[1])) == 0:
            pytest.skip("the whole of 127/8 answers here")
    assert sender.send(message(receiver.url.replace("127.0.0.1", "shop.example"), egress)).status == 204


def test_what_goes_wrong_out_there_is_an_answer() -> None:
    """No connection, no name, no HTTP: a reason, and no word of this machine."""
    egress = Egress.of(["127.0.0.0/8"], True, [])
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    sender = webhook_sender(egress)
    assert sender is not None
    assert sender.send(message(f"http://127.0.0.1:{port}/", egress)).error == "it refused the connection"
    assert sender.send(message("http://nowhere.invalid/", egress)).error == "its host has no address"
    for said in (b"no HTTP at all\r\n\r\n", b""):
        with saying(said) as url:
            assert sender.send(message(url, egress)).status is None


def test_a_trickle_ends(receiver: Receiver) -> None:
    """Who answers a byte at a time does not hold a thread for longer than a message may take."""
    egress = Egress.of(["127.0.0.0/8"], True, [])
    with saying(b"HTTP/1.1 200 OK\r\n", b"x: y\r\n" * 10_000, pause=0.05) as url:
        answer = Outbound(egress, seconds=0.3).send(message(url, egress))
    assert answer.error == "it took longer than 0.3 s"


def test_an_endless_answer_counts_by_its_status() -> None:
    """A body that does not end is not read: the status has arrived."""
    egress = Egress.of(["127.0.0.0/8"], True, [])
    with saying(b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n", b"x" * (1 << 22)) as url:
        assert Outbound(egress).send(message(url, egress)).status == 200


class saying:
    """A server that takes one connection and says something, with pauses."""

    def __init__(self, *parts: bytes, pause: float = 0.0) -> None:
        self._parts = parts
        self._pause = pause
        self._over = threading.Event()
        self._server = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> str:
        self._thread.start()
        return f"http://127.0.0.1:{self._server.getsockname()[1]}/"

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._server.close()
        self._thread.join()

    def _run(self) -> None:
        connection, _ = self._server.accept()
        with connection, suppress(OSError):  # whoever asked may be gone
            connection.recv(65536)
            for part in self._parts:
                step = 3 if self._pause else len(part)
                for start in range(0, len(part), step or 1):
                    connection.sendall(part[start : start + step])
                    if self._pause and self._over.wait(self._pause):
                        return


# --- TLS


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for `shop.example`, which is its own authority, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "shop.example")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("shop.example")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "shop.pem"
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM) + secret)
    return path


@pytest.fixture
def secure(receiver: Receiver, authority: Path) -> Receiver:
    """A receiver behind TLS, which remembers what name it was asked for."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority)
    names: list[str | None] = []
    context.sni_callback = lambda _socket, name, _context: names.append(name)
    receiver.server.socket = context.wrap_socket(receiver.server.socket, server_side=True)
    receiver.sni = names  # type: ignore[attr-defined]
    return receiver


def test_certificate_and_name_are_those_of_the_host(
    secure: Receiver, authority: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection goes to the address, the certificate must be the name's, and so are SNI and `Host`."""
    monkeypatch.setenv("SSL_CERT_FILE", str(authority))
    egress = Egress.of(["127.0.0.0/8"], False, [])
    port = secure.server.server_address[1]
    names = Names(["127.0.0.1"], ["127.0.0.1"])
    sender = Outbound(egress, names)
    assert sender.send(message(f"https://shop.example:{port}/", egress)).status == 204
    assert secure.sni == ["shop.example"]  # type: ignore[attr-defined]
    other = sender.send(message(f"https://other.example:{port}/", egress))
    assert (other.status, "certificate" in (other.error or "")) == (None, True)
    assert len(secure.received) == 1


def test_a_certificate_nobody_vouches_for_is_refused(secure: Receiver) -> None:
    """Nothing is sent to who can't prove to be the host."""
    egress = Egress.of(["127.0.0.0/8"], False, [])
    url = f"https://shop.example:{secure.server.server_address[1]}/"
    answer = Outbound(egress, Names(["127.0.0.1"])).send(message(url, egress))
    assert answer.error is not None
    assert answer.error.startswith("its certificate does not hold")
    assert secure.received == []


def test_a_subscription_that_leads_inside_fails_when_it_is_sent(shop: Shop, receiver: Receiver) -> None:
    """A name that leads inside by the time of sending gives a failure with its reason, and no request."""
    made = shop.subscribe(receiver.url.replace("127.0.0.1", "localhost"))
    shop.act()

    sender = Outbound(Egress(insecure=True, ports=frozenset()), Names(["127.0.0.1"]))
    strict = webhooks.Dispatcher(shop.mall.begin, lambda: sender)
    strict.deliver()
    strict.close()
    assert receiver.received == []
    (found,) = shop.deliveries(made.id)
    error = found.error or ""
    assert (found.state, "of this network" in error, "127.0.0.1" in error) == ("waiting", True, False)
