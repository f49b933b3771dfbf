"""Tokens of issuers elsewhere: whose they are here, what they allow, and where their keys come from."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from mallcore import Mall, Principal
from mallcore.access import Issuer
from mallcore.errors import BadCredential, InvalidSettings, MallError, MissingExtra, Unavailable
from mallcore.kernel.hooks import hookimpl
from mallcore.kernel.ports import Presented, Verifier, Verifiers
from mallcore.testing.openid_server import Client, OpenIdServer
from mallcore.testing.servers import ServerUnavailable
from tests.access.oauth.issuer import KEYS, METADATA, Elsewhere, reply
from tests.access.oauth.world import Clock

AUDIENCE = "https://shop.example"


@pytest.fixture
def elsewhere(clock: Clock) -> Iterator[Elsewhere]:
    with Elsewhere(clock) as issuer:
        yield issuer


@contextlib.contextmanager
def trusting(*issuers: Issuer, clock: Any = None) -> Iterator[Mall]:
    with Mall.open("sqlite://", clock=clock, issuers=issuers) as mall:
        yield mall


def issuer(elsewhere: Elsewhere, **more: Any) -> Issuer:
    given = {"name": "staff", "loopback": True, "timeout": 1.0, **more}
    return Issuer(url=elsewhere.url, audience=AUDIENCE, **given)


def verifier(mall: Mall, token: str) -> Verifier:
    found = mall.services.ports[Verifiers].of(token)
    assert found is not None
    return found  # type: ignore[no-any-return]


def who(mall: Mall, token: str) -> Principal:
    found = verifier(mall, token).verify(Presented(token))
    assert isinstance(found, Principal)
    return found


def refused(mall: Mall, token: str, error: type[MallError] = BadCredential) -> bool:
    with pytest.raises(error):
        who(mall, token)
    return True


def test_people_of_an_issuer_are_told_apart_from_all_others(elsewhere: Elsewhere, clock: Clock) -> None:
    """A subject is known by its issuer's name and its own; a token for no person is its client's."""
    with trusting(issuer(elsewhere), clock=clock) as mall:
        found = who(mall, elsewhere.token())
        assert found.ref == "user:staff/42"
        assert found.credential is not None
        assert (found.credential.client, found.credential.scopes) == ("till", frozenset({"structure.read", "profile"}))
        assert who(mall, elsewhere.token(sub="till")).ref == "client:staff/till"
        bare = who(mall, elsewhere.token(scope="")).credential
        assert bare is not None
        assert bare.scopes == frozenset()  # no scope allows nothing, not all
    with trusting(issuer(elsewhere, name=""), clock=clock) as mall:
        assert who(mall, elsewhere.token()).ref == f"user:{elsewhere.url[7:]}/42"


def test_a_host_says_who_they_are_and_what_words_mean(elsewhere: Elsewhere, clock: Clock) -> None:
    """Principals and scopes are mapped; a mapping can make nobody the system, and nobody at all is refused."""
    words = {"catalog:read": ["structure.read", "structure.history"], "catalog:write": ["structure.edit"]}
    people = {"42": Principal.user("ada"), "43": Principal.system("admin"), "44": None}
    given = issuer(elsewhere, principal=lambda claims: people[claims["sub"]], scopes=words)
    with trusting(given, clock=clock) as mall:
        found = who(mall, elsewhere.token(scope="catalog:read structure.publish"))
        assert found == Principal.user("ada")
        assert found.credential is not None
        assert found.credential.scopes == frozenset({"structure.read", "structure.history"})
        for subject in ("43", "44"):
            assert refused(mall, elsewhere.token(sub=subject))


@pytest.mark.parametrize(("kind", "algorithm"), [("Ed25519", "EdDSA"), ("P-256", "ES256"), ("RSA", "RS256")])
def test_each_key_has_one_kind_of_algorithm(elsewhere: Elsewhere, clock: Clock, kind: str, algorithm: str) -> None:
    """What an issuer signs with is checked by keys of that kind; its other algorithms are not taken unless allowed."""
    elsewhere.adds("b", kind)
    with trusting(issuer(elsewhere, algorithms=(algorithm,)), clock=clock) as mall:
        assert who(mall, elsewhere.token("b", algorithm)).ref == "user:staff/42"
    other = "ES256" if algorithm != "ES256" else "RS256"
    with trusting(issuer(elsewhere, algorithms=(other,)), clock=clock) as mall:
        assert refused(mall, elsewhere.token("b", algorithm))


def test_keys_are_read_once_and_again_for_one_that_is_new(elsewhere: Elsewhere, clock: Clock) -> None:
    """A rotated key is found at once; forged key ids don't make us ask again and again."""
    with trusting(issuer(elsewhere, pause=30), clock=clock) as mall:
        for number in range(5):
            assert who(mall, elsewhere.token(jti=str(number))).ref == "user:staff/42"
        assert elsewhere.asked.count(KEYS) == 1
        clock.goes(31)
        elsewhere.adds("b")
        assert who(mall, elsewhere.token("b")).ref == "user:staff/42"
        assert elsewhere.asked.count(KEYS) == 2
        for number in range(50):
            assert refused(mall, elsewhere.token(header={"kid": f"forged{number}"}))
        assert elsewhere.asked.count(KEYS) == 2
        clock.goes(31)
        assert refused(mall, elsewhere.token(header={"kid": "forged"}))
        assert elsewhere.asked.count(KEYS) == 3


def test_a_withdrawn_key_counts_no_more_after_a_while(elsewhere: Elsewhere, clock: Clock) -> None:
    """Keys are read anew every so often, and what was checked by one that is gone is checked again."""
    with trusting(issuer(elsewhere, renew=300, lag=60), clock=clock) as mall:
        token = elsewhere.token()
        assert who(mall, token).ref == "user:staff/42"
        elsewhere.keys = {}
        elsewhere.adds("b")
        clock.goes(301)
        assert refused(mall, token)
        assert who(mall, elsewhere.token("b")).ref == "user:staff/42"


def test_an_issuer_that_is_down_for_a_while_is_borne(elsewhere: Elsewhere, clock: Clock) -> None:
    """Its keys are used though they can't be read anew, but not for ever; without any the mall says it can't answer."""
    with trusting(issuer(elsewhere, renew=300, pause=10), clock=clock) as mall:
        elsewhere.answers[KEYS] = lambda handler: reply(handler, 500, {})
        assert refused(mall, elsewhere.token(), Unavailable)
        del elsewhere.answers[KEYS]
        assert refused(mall, elsewhere.token(), Unavailable)  # it was tried a moment ago
        clock.goes(11)
        assert who(mall, elsewhere.token()).ref == "user:staff/42"
        elsewhere.answers[KEYS] = lambda handler: reply(handler, 500, {})
        clock.goes(3000)
        assert who(mall, elsewhere.token()).ref == "user:staff/42"
        clock.goes(24 * 300)
        assert refused(mall, elsewhere.token(), Unavailable)


def _drip(handler: Any) -> None:
    handler.send_response(200)
    handler.end_headers()
    with contextlib.suppress(OSError):
        for _ in range(100):
            handler.wfile.write(b" ")
            handler.wfile.flush()
            time.sleep(0.2)


def test_nothing_is_followed_waited_for_or_swallowed(elsewhere: Elsewhere, clock: Clock) -> None:
    """Redirects, endless, slow, broken and foreign answers give no keys."""
    elsewhere.answers["/other"] = lambda handler: reply(handler, 200, elsewhere.jwks())
    for answer in (
        lambda handler: reply(handler, 302, {}, location=f"{elsewhere.url}/other"),
        lambda handler: reply(handler, 307, elsewhere.jwks(), location=f"{elsewhere.url}/other"),
        lambda handler: reply(handler, 200, b'{"keys":[' + b" " * 300_000 + b"]}"),
        lambda handler: reply(handler, 200, b"<html>"),
        lambda handler: reply(handler, 200, b"\xff"),
        lambda handler: reply(handler, 200, b"[" * 100_000),
        lambda handler: reply(handler, 200, []),
        lambda handler: reply(handler, 200, {"keys": {}}),
        lambda handler: reply(handler, 404, elsewhere.jwks()),
        _drip,
    ):
        elsewhere.answers[KEYS] = answer
        with trusting(issuer(elsewhere), clock=clock) as mall:
            began = time.monotonic()
            assert refused(mall, elsewhere.token(), Unavailable)
            assert time.monotonic() - began < 10
    assert "/other" not in elsewhere.asked


@pytest.mark.parametrize(
    "metadata",
    [
        {"issuer": "https://evil.example", "jwks_uri": "{url}/keys"},
        {"issuer": "{url}/", "jwks_uri": "{url}/keys"},
        {"jwks_uri": "{url}/keys"},
        {"issuer": "{url}"},
        {"issuer": "{url}", "jwks_uri": "http://169.254.169.254/latest/meta-data"},
        {"issuer": "{url}", "jwks_uri": "http://127.0.0.1:1/keys"},
        {"issuer": "{url}", "jwks_uri": "https://evil.example/keys"},
        {"issuer": "{url}", "jwks_uri": "file:///etc/passwd"},
        {"issuer": "{url}", "jwks_uri": 7},
    ],
)
def test_metadata_lead_nowhere_else(elsewhere: Elsewhere, clock: Clock, metadata: dict[str, Any]) -> None:
    """Another issuer's metadata, and keys on another host, are not believed: only settings may say so."""
    document = {name: one.format(url=elsewhere.url) if isinstance(one, str) else one for name, one in metadata.items()}
    elsewhere.answers[METADATA] = lambda handler: reply(handler, 200, document)
    with trusting(issuer(elsewhere), clock=clock) as mall:
        assert refused(mall, elsewhere.token(), Unavailable)
    assert KEYS not in elsewhere.asked
    with trusting(issuer(elsewhere, jwks_url=elsewhere.url + KEYS), clock=clock) as mall:
        assert who(mall, elsewhere.token()).ref == "user:staff/42"


def test_keys_that_both_sides_know_or_that_are_weak_are_no_keys(elsewhere: Elsewhere, clock: Clock) -> None:
    """Symmetric, weak, encrypting, private-use and broken keys in a set are passed over; the good one still counts."""
    good = elsewhere.jwks()["keys"][0]
    elsewhere.more = [
        {"kty": "oct", "k": "c2VjcmV0", "kid": "oct", "alg": "HS256"},
        {"kty": "RSA", "n": "AQAB", "e": "AQAB", "kid": "weak"},
        {**good, "kid": "enc", "use": "enc"},
        {**good, "kid": "hs", "alg": "HS256"},
        {**good, "kid": "none", "alg": "none"},
        {**good, "kid": "broken", "x": "AA"},
        {"kty": ["OKP"], "kid": "list"},
        {"kid": 7, **{name: good[name] for name in ("kty", "crv", "x")}},
        "x",
        None,
    ]
    with trusting(issuer(elsewhere), clock=clock) as mall:
        for kid in ("oct", "weak", "enc", "hs", "none", "broken", "list"):
            assert refused(mall, elsewhere.token(header={"kid": kid}))
        assert who(mall, elsewhere.token()).ref == "user:staff/42"


def test_without_a_key_id_there_must_be_one_key(elsewhere: Elsewhere, clock: Clock) -> None:
    """A token that names no key is checked by the only one of its kind; of two, none is tried."""
    with trusting(issuer(elsewhere), clock=clock) as mall:
        assert who(mall, elsewhere.token(header={"kid": None})).ref == "user:staff/42"
    elsewhere.adds("b")
    with trusting(issuer(elsewhere), clock=clock) as mall:
        assert refused(mall, elsewhere.token(header={"kid": None}))


@pytest.mark.parametrize("claim", ["sub", "client_id", "jti"])
def test_a_name_that_nobody_can_keep_is_nobodys(elsewhere: Elsewhere, clock: Clock, claim: str) -> None:
    """Half a character, signed or not, would break whoever looks for it."""
    with trusting(issuer(elsewhere), clock=clock) as mall:
        assert refused(mall, elsewhere.token(**{claim: "a\ud800"}))


def test_issuers_are_not_mixed_up(clock: Clock) -> None:
    """A token that one issuer signed in another's name is refused, and an unknown issuer's is nobody's."""
    with (
        Elsewhere(clock) as first,
        Elsewhere(clock) as second,
        trusting(issuer(first), issuer(second, name="partners"), clock=clock) as mall,
    ):
        assert who(mall, second.token()).ref == "user:partners/42"
        assert refused(mall, first.token(iss=second.url))
        assert mall.services.ports[Verifiers].of(first.token(iss="https://evil.example")) is None


@pytest.mark.parametrize(
    "second",
    [
        {"url": "https://login.example/two"}, {"url": "https://login.example/one"},
        {"url": "https://other.example", "name": "login.example"}, {"url": "https://shop.example", "name": "own"},
    ],
)  # fmt: skip
def test_issuers_whose_people_could_be_mixed_up_are_refused(second: dict[str, Any]) -> None:
    """Two tenants of one host need names: `42` of one must not be `42` of the other. No issuer comes twice."""
    first = Issuer(url="https://login.example/one", audience=AUDIENCE)
    with pytest.raises(InvalidSettings):
        Mall.open("sqlite://", issuer="https://shop.example", issuers=[first, Issuer(audience=AUDIENCE, **second)])
    named = Issuer(url="https://login.example/two", audience=AUDIENCE, name="two")
    Mall.open("sqlite://", issuers=[first, named]).close()


@pytest.mark.parametrize(
    "given",
    [
        {"url": "http://login.example"}, {"url": "https://login.example?x=1"}, {"url": "ftp://login.example"},
        {"url": "http://127.0.0.1"}, {"url": "https://login.example", "audience": ""},
        {"url": "https://login.example", "algorithms": ("HS256",)}, {"url": "https://login.example", "algorithms": ()},
        {"url": "https://login.example", "algorithms": ("none",)},
        {"url": "https://login.example", "jwks_url": "http://login.example/keys"},
        {"url": "https://login.example", "name": "staff/7"},
    ],
)  # fmt: skip
def test_an_issuer_is_checked_when_it_is_declared(given: dict[str, Any]) -> None:
    """Plain http, shared secrets and no audience are refused before anything is asked of anybody."""
    with pytest.raises(InvalidSettings):
        Issuer(**{"audience": AUDIENCE, **given})


class Doorman:
    """A host's own way of verifying tokens."""

    @hookimpl
    def access_tokens_backend(self, own: Any, issuers: Any, clock: Any) -> Any:
        """Everybody with any token is ada."""
        return self if issuers else None

    def takes(self, token: str) -> bool:
        """Any."""
        return True

    def recall(self, presented: Presented) -> Principal:
        """At once."""
        return Principal.user("ada")

    verify = recall


def test_access_tokens_backend() -> None:
    """A host's plug-in may verify access tokens in the place of ours; without issuers nobody does."""
    given = Issuer(url="https://login.example", audience=AUDIENCE)
    with Mall.open("sqlite://", issuers=[given], plugins=[Doorman()]) as mall:
        assert who(mall, "x").ref == "user:ada"
    with Mall.open("sqlite://", plugins=[Doorman()]) as mall:
        assert mall.services.ports[Verifiers].of("ey.ey.ey") is None


@pytest.mark.parametrize("missing", ["joserfc", "urllib3"])
def test_what_is_not_installed_is_asked_for(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    """Where the extra is not installed, a mall that needs it says so when it is opened; others don't miss it."""
    for name in [*sys.modules]:
        if name.startswith("mallcore.backends.oauth.") or name.partition(".")[0] == missing:
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(MissingExtra):
        Mall.open("sqlite://", issuer="https://shop.example")
    Mall.open("sqlite://").close()


def test_a_real_provider() -> None:
    """Access tokens of npm's oidc-provider are taken; its opaque ones, and those for somebody else, are not."""
    client = Client("till", "s" * 32, (), grant_types=("client_credentials",))
    try:
        server = OpenIdServer([client], audience=AUDIENCE, scopes="structure.read structure.edit").__enter__()
    except ServerUnavailable as error:
        pytest.skip(f"oidc-provider: {error}")
    try:
        given = Issuer(url=server.issuer, audience=AUDIENCE, name="staff", loopback=True)
        form = {"grant_type": "client_credentials", "scope": "structure.read", "resource": AUDIENCE}
        answer = httpx.post(f"{server.issuer}/token", data=form, auth=("till", "s" * 32)).json()
        with trusting(given) as mall:
            found = who(mall, answer["access_token"])
            assert found.ref == "client:staff/till"
            assert found.credential is not None
            assert found.credential.scopes == frozenset({"structure.read"})
        with trusting(Issuer(url=server.issuer, audience="https://x.example", loopback=True)) as mall:
            assert refused(mall, answer["access_token"])
    finally:
        server.__exit__(None, None, None)
