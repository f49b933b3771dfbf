"""Access tokens under attack: what is forged, borrowed, old or for somebody else is refused."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from joserfc.jwk import OKPKey

from mallcore import Mall, access
from mallcore.backends.oauth.jose import sign
from mallcore.backends.oauth.own_keys import OwnKeys
from mallcore.errors import BadCredential, InvalidSettings
from mallcore.kernel.ports import Presented, Verifiers
from tests.access.oauth.world import ADA, ME, URL, Clock, World, basic, read


def encoded(value: Any) -> str:
    """A part of a token."""
    text = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(text).rstrip(b"=").decode()


def keys(world: World) -> OwnKeys:
    return OwnKeys(world.mall.keys, "EdDSA", world.clock)


def claims(world: World, **more: Any) -> dict[str, Any]:
    """What a good token says, and changes to it; ``None`` leaves something out."""
    now = int(world.clock.now.timestamp())
    good = {
        "iss": URL, "aud": URL, "sub": "user:ada", "client_id": "partner", "iat": now, "exp": now + 600,
        "jti": "tok_1", "scope": "structure.read", **more,
    }  # fmt: skip
    return {name: value for name, value in good.items() if value is not None}


def signed(world: World, header: dict[str, Any] | None = None, **more: Any) -> str:
    """A token by the mall's own key, with changes."""
    return keys(world).sign({"typ": "at+jwt", **(header or {})}, claims(world, **more))


def refused(world: World, token: str) -> bool:
    """Whether the token opens nothing: no verifier takes it, or the one that does refuses it."""
    verifier = world.mall.services.ports[Verifiers].of(token)
    if verifier is None:
        return True
    assert verifier.recall(Presented(token)) is None
    with pytest.raises(BadCredential):
        verifier.verify(Presented(token))
    return True


def test_a_good_token_is_good(still: World) -> None:
    """What the tests below change is accepted as it is."""
    assert still.verify(signed(still)) == ADA
    assert still.verify(signed(still, aud=["https://x.example", URL])) == ADA
    assert still.verify(signed(still, {"typ": "application/AT+JWT"})) == ADA


@pytest.mark.parametrize(
    "change",
    [
        {"iss": "https://evil.example"}, {"iss": URL + "/"}, {"iss": None}, {"iss": [URL]}, {"iss": 7},
        {"aud": "https://evil.example"}, {"aud": None}, {"aud": []}, {"aud": {"a": URL}}, {"aud": URL + "/"},
        {"exp": None}, {"exp": "9999999999"}, {"exp": True}, {"exp": 0}, {"exp": -1}, {"exp": 1e300},
        {"exp": 1 << 50}, {"iat": None}, {"iat": 9_999_999_999}, {"nbf": 9_999_999_999}, {"nbf": "now"},
        {"sub": None}, {"sub": 7}, {"sub": ""}, {"sub": ["user:ada"]}, {"sub": "user:"}, {"sub": "ada"},
        {"sub": "system:admin"}, {"sub": "anonymous:*"}, {"sub": "user:a\nb"}, {"sub": "user:" + "x" * 300},
        {"client_id": None}, {"client_id": 7}, {"jti": None}, {"jti": {}}, {"scope": ["*"]}, {"scope": 7},
    ],
)  # fmt: skip
def test_claims_that_are_missing_wrong_or_of_another_kind(still: World, change: dict[str, Any]) -> None:
    """A token is refused, though it is signed by the right key, unless each of its claims is as it should be."""
    assert refused(still, signed(still, **change))


@pytest.mark.parametrize(
    "header",
    [
        {"typ": "JWT"}, {"typ": "id_token"}, {"typ": "dpop+jwt"}, {"typ": None}, {"typ": ["at+jwt"]},
        {"typ": "at+jwt "},
        {"crit": ["exp"]}, {"crit": ["x"], "x": 1}, {"crit": []}, {"b64": False, "crit": ["b64"]},
    ],
)  # fmt: skip
def test_what_is_no_access_token_is_none(still: World, header: dict[str, Any]) -> None:
    """An ID token, another kind of token, and one that asks for extensions are refused."""
    forged = {"alg": "EdDSA", "kid": "1", "typ": "at+jwt", **header}
    assert refused(still, resigned(still, forged, claims(still)))


def resigned(world: World, header: dict[str, Any], payload: Any) -> str:
    """Any header over any payload, signed by the mall's key as it stands, without a library that would refuse to."""
    key = Ed25519PrivateKey.from_private_bytes(world.mall.keys.current("tokens").derive("EdDSA"))
    content = f"{encoded(header)}.{encoded(payload)}"
    return f"{content}.{encoded(key.sign(content.encode()))}"


def test_the_public_key_is_no_secret_to_sign_with(still: World) -> None:
    """HS256 over the published key, in each of its spellings, is refused, and so is no algorithm at all."""
    (jwk,) = keys(still).jwks()["keys"]
    raw = base64.urlsafe_b64decode(jwk["x"] + "=")
    pem = OKPKey.import_key({name: jwk[name] for name in ("kty", "crv", "x")}).as_pem(private=False)
    for secret in (raw, jwk["x"].encode(), pem, pem.strip(), json.dumps(jwk).encode(), b""):
        for algorithm in ("HS256", "HS384", "HS512"):
            content = f"{encoded({'alg': algorithm, 'typ': 'at+jwt', 'kid': '1'})}.{encoded(claims(still))}"
            mac = hmac.new(secret, content.encode(), hashlib.new("sha" + algorithm[2:]).name).digest()
            assert refused(still, f"{content}.{encoded(mac)}")
    others: tuple[Any, ...] = (
        "none",
        "None",
        "NONE",
        "",
        "EdDSA ",
        "eddsa",
        "RS256",
        "ES256",
        "Ed25519",
        None,
        ["EdDSA"],
        7,
    )
    for other in others:
        header = {"alg": other, "typ": "at+jwt", "kid": "1"}
        content = f"{encoded(header)}.{encoded(claims(still))}"
        assert refused(still, f"{content}.")
        assert refused(still, f"{content}.{encoded(b'x' * 64)}")
        assert refused(still, resigned(still, header, claims(still)))


def test_a_key_is_never_taken_from_the_token(still: World) -> None:
    """A token that brings its own key, or says where it is, is checked by ours; its certificates are not looked at."""
    mine = OKPKey.generate_key("Ed25519", parameters={"kid": "1"}, private=True)
    public = mine.as_dict(private=False)
    for more in (
        {"jwk": public},
        {"jku": "https://evil.example/jwks"},
        {"x5u": "https://evil.example/cert"},
        {"x5c": ["MIIB"]},
        {"jwk": public, "jku": "http://127.0.0.1:1/", "kid": None},
    ):
        header = {"typ": "at+jwt", "alg": "EdDSA", "kid": "1", **more}
        assert refused(still, sign({name: one for name, one in header.items() if one is not None}, claims(still), mine))


@pytest.mark.parametrize(
    "kid",
    [
        "0", "2", "01", "+1", " 1", "1 ", "1.0", "-1", "1e0", "\u0661", "\uff11", "1\x00", "", "99999999999999999999",
        "../1", "../../../../dev/null", "/etc/passwd", "1' OR '1'='1", "1; DROP TABLE mall_key", "links/1", "subjects",
        "x" * 3000, None, 1, True, ["1"], {"kid": "1"},
    ],
)  # fmt: skip
def test_a_key_id_is_a_number_and_nothing_else(still: World, kid: Any) -> None:
    """Paths, SQL, other spellings, other kinds and other purposes name no key."""
    header = {"typ": "at+jwt", "alg": "EdDSA", "kid": kid}
    assert refused(still, resigned(still, header, claims(still)))
    with still.mall.begin(ME) as ctx:
        assert access.list_keys(ctx, purpose="tokens")


def test_keys_of_other_purposes_sign_no_tokens(still: World) -> None:
    """The key number 1 for links is not the key number 1 for tokens."""
    for purpose in ("links", "subjects", "checkpoints"):
        key = Ed25519PrivateKey.from_private_bytes(still.mall.keys.current(purpose).derive("EdDSA"))
        content = f"{encoded({'typ': 'at+jwt', 'alg': 'EdDSA', 'kid': '1'})}.{encoded(claims(still))}"
        assert refused(still, f"{content}.{encoded(key.sign(content.encode()))}")


def _cut(token: str) -> Iterator[str]:
    head, body, tail = token.split(".")
    other = "B" if body[10] != "B" else "C"
    yield f"{head}.{body[:10]}{other}{body[11:]}.{tail}"
    yield f"{head}.{body}.{tail[:-2]}"
    yield f"{head}.{body}.{tail}A"
    yield f"{head}.{body}.{tail}="
    yield f"{head}.{body}.{tail}\n"
    yield f" {token}"
    yield f"{head}.{body}"
    yield f"{token}.{tail}"
    yield f"{head}..{tail}"
    yield f"..{tail}"
    yield f"{head}.{body}." + "A" * 9000
    yield "ey" + "A" * 10_000_000 + ".." if len(token) else token
    yield "ey.ey.ey"
    yield f"{head}.{body}.{tail}é"
    yield f"{head}.{body}.\ud800"


def test_a_token_that_is_not_whole_is_none(still: World) -> None:
    """Changed, cut, padded, spaced, doubled, endless and unreadable tokens are refused."""
    token = signed(still)
    assert still.verify(token) == ADA
    assert all(refused(still, one) for one in _cut(token))


def test_json_is_read_strictly(still: World) -> None:
    """Names that come twice, constants that are no JSON, lists, and depths without end are refused."""
    good = json.dumps(claims(still))
    header = {"typ": "at+jwt", "alg": "EdDSA", "kid": "1"}
    deep = b'{"iss":"' + URL.encode() + b'","a":' + b"[" * 3000 + b"]" * 3000 + b"}"
    for body in (
        good[:-1] + ', "sub": "user:root"}',
        good[:-1] + ', "nbf": NaN}',
        good[:-1] + ', "nbf": -Infinity}',
        f"[{good}]",
        '"x"',
        good[:-1],
    ):
        assert refused(still, resigned(still, header, body.encode()))
    assert refused(still, resigned(still, header, deep))


def test_a_token_is_over_when_it_says(world: World) -> None:
    """A few seconds are forgiven to clocks, whether it was checked before or not."""
    token = world.robot()
    assert world.verify(token).ref == "client:robot"
    world.clock.goes(604)
    assert world.verify(token).ref == "client:robot"
    world.clock.goes(1)
    assert refused(world, token)


def test_keys_are_rotated_with_an_overlap(world: World) -> None:
    """The new key signs at once, the old one verifies for a day, and both are published as long as they count."""
    old = world.robot()
    with world.mall.begin(ME) as ctx:
        access.rotate_key(ctx, purpose="tokens")
    new = world.robot()
    assert (read(old, 0)["kid"], read(new, 0)["kid"]) == ("1", "2")
    assert world.verify(old) == world.verify(new)
    published = json.loads(world.ask("GET", "/oauth/jwks").body)["keys"]
    assert [(one["kid"], one["alg"], one["use"], one["crv"]) for one in published] == [
        ("1", "EdDSA", "sig", "Ed25519"), ("2", "EdDSA", "sig", "Ed25519")
    ]  # fmt: skip
    assert all(set(one) == {"kty", "crv", "x", "kid", "use", "alg"} for one in published)
    late = keys(world).sign({"typ": "at+jwt"}, claims(world))
    world.clock.now += timedelta(days=1)
    assert [one["kid"] for one in json.loads(world.ask("GET", "/oauth/jwks").body)["keys"]] == ["2"]
    assert refused(world, old)
    assert refused(world, late)


def test_a_revoked_key_ends_its_tokens_at_once(world: World) -> None:
    """What it has signed is refused, though it was checked before, and the next key is there."""
    token = world.robot()
    assert world.verify(token).ref == "client:robot"
    with world.mall.begin(ME) as ctx:
        access.revoke_key(ctx, purpose="tokens", number=1)
    assert refused(world, token)
    assert world.verify(world.robot()).ref == "client:robot"


def test_tokens_can_be_signed_by_es256(database_url: str, clock: Clock) -> None:
    """With the setting, tokens and published keys are ES256; what EdDSA signed before is refused: one key, one kind."""
    with Mall.open(database_url, migrate="always", clock=clock, issuer=URL) as mall:
        old = World(mall, clock).robot()
    with Mall.open(database_url, migrate="always", clock=clock, issuer=URL, token_algorithm="ES256") as mall:
        world = World.__new__(World)
        world.mall, world.clock, world.user, world.secrets = mall, clock, ADA, {}
        found = OwnKeys(mall.keys, "ES256", clock)
        token = found.sign({"typ": "at+jwt"}, claims(world))
        assert read(token, 0)["alg"] == "ES256"
        assert world.verify(token) == ADA
        (jwk,) = found.jwks()["keys"]
        assert (jwk["kty"], jwk["crv"], "d" in jwk) == ("EC", "P-256", False)
        assert refused(world, old)


def introspected(world: World, client: str, token: str) -> dict[str, Any]:
    response = world.ask("POST", "/oauth/introspect", form={"token": token}, **basic(client, world.secrets[client]))
    assert (response.status, response.header("cache-control")) == (200, "no-store")
    found: dict[str, Any] = json.loads(response.body)
    return found


def test_who_asks_about_a_token_learns_what_it_may(world: World) -> None:
    """A client sees its own tokens; one that introspects, all; others learn nothing but that."""
    tokens = world.tokens()
    token = tokens["access_token"]
    for client in ("partner", "api"):
        assert introspected(world, client, token) == {
            "active": True, "token_type": "Bearer", "iss": URL, "aud": URL, "sub": "user:ada", "client_id": "partner",
            **{name: read(token)[name] for name in ("iat", "exp", "jti", "scope")},
        }  # fmt: skip
        found = introspected(world, client, tokens["refresh_token"])
        assert (found["active"], found["client_id"], found["sub"]) == (True, "partner", "user:ada")
    assert introspected(world, "other", token) == {"active": False}
    for wrong in ("x", token + "x", "a.b.c", tokens["refresh_token"] + "x"):
        assert introspected(world, "api", wrong) == {"active": False}
    world.clock.goes(700)
    assert introspected(world, "api", token) == {"active": False}
    assert world.ask("POST", "/oauth/introspect", form={"token": token}).status == 401
    assert world.ask("POST", "/oauth/introspect", form={"token": token, "client_id": "app"}).status == 401


@pytest.mark.parametrize("which", ["access_token", "refresh_token"])
def test_what_is_taken_back_counts_no_more_at_once(world: World, which: str) -> None:
    """A token that was checked a moment ago is refused after its revocation; a refresh token takes its family along."""
    tokens = world.tokens()
    assert world.verify(tokens["access_token"]) == ADA
    form = {"token": tokens[which], "token_type_hint": "access_token"}
    other = world.ask("POST", "/oauth/revoke", form=form, **basic("other", world.secrets["other"]))
    assert (other.status, world.verify(tokens["access_token"])) == (400, ADA)
    for _ in range(2):  # taking back what is gone is no error
        response = world.ask("POST", "/oauth/revoke", form=form, **basic("partner", world.secrets["partner"]))
        assert response.status == 200
    assert refused(world, tokens["access_token"])
    found = world.token("partner", grant_type="refresh_token", refresh_token=tokens["refresh_token"])
    assert (found[0] == 200) is (which == "access_token")


def test_other_processes_hear_of_it(database_url: str, clock: Clock) -> None:
    """A token that another mall on the same database takes back is refused here, whether this one follows or not."""
    with Mall.open(database_url, migrate="always", clock=clock, issuer=URL) as first:
        world = World(first, clock)
        tokens = [world.robot() for _ in range(2)]
        with Mall.open(database_url, migrate="always", clock=clock, issuer=URL, follow=False) as second:
            verifier = second.services.ports[Verifiers].of(tokens[0])
            assert verifier is not None
            assert verifier.verify(Presented(tokens[0])).ref == "client:robot"
            form = {"token": tokens[0]}
            world.ask("POST", "/oauth/revoke", form=form, **basic("robot", world.secrets["robot"]))
            with pytest.raises(BadCredential):
                verifier.verify(Presented(tokens[0]))
            assert verifier.verify(Presented(tokens[1])).ref == "client:robot"


def assertion(world: World, key: Any, **more: Any) -> dict[str, str]:
    """How a client of private_key_jwt shows who it is."""
    now = int(world.clock.now.timestamp())
    said = {"iss": "signer", "sub": "signer", "aud": URL, "exp": now + 60, "jti": f"a{now}", **more}
    text = sign({"alg": "EdDSA", "typ": more.pop("typ", "JWT")}, {k: v for k, v in said.items() if v is not None}, key)
    return {
        "grant_type": "client_credentials",
        "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        "client_assertion": text,
    }


def test_a_client_may_sign_who_it_is(world: World) -> None:
    """An assertion counts once, for this server, for a while, and by the client's own key only."""
    key, other = (OKPKey.generate_key("Ed25519", private=True) for _ in range(2))
    jwks = {"keys": [key.as_dict(private=False)]}
    world.register("signer", scopes=["structure.read"], auth_method="private_key_jwt", jwks=jwks)
    with world.mall.begin(ME) as ctx:
        access.grant(ctx, principal="client:signer", role="reader")
    form = assertion(world, key)
    assert world.token(None, **form)[0] == 200
    assert world.token(None, **form)[1]["error"] == "invalid_client"  # it came before
    now = int(world.clock.now.timestamp())
    wrong: list[Callable[[], dict[str, str]]] = [
        lambda: assertion(world, other, jti="b"),
        lambda: assertion(world, key, jti="c", aud="https://other.example"),
        lambda: assertion(world, key, jti="d", exp=now - 60),
        lambda: assertion(world, key, jti="e", exp=now + 86_400),
        lambda: assertion(world, key, jti="f", exp=None),
        lambda: assertion(world, key, jti=None),
        lambda: assertion(world, key, jti="g", iss="robot"),
        lambda: assertion(world, key, jti="h", iss="robot", sub="robot"),
        lambda: assertion(world, key, jti="i", sub=["signer"]),
        lambda: {**assertion(world, key, jti="j"), "client_assertion": "x.y.z"},
    ]
    for make in wrong:
        assert world.token(None, **make())[1]["error"] == "invalid_client"


def test_the_server_needs_to_know_its_own_url(database_url: str) -> None:
    """Without an issuer there is no server, and an issuer is an https URL without query or fragment."""
    with Mall.open(database_url, migrate="always") as mall, pytest.raises(InvalidSettings):
        World(mall, Clock())
    for url in ("http://shop.example", "https://", "shop.example", "https://shop.example?x", "https://a@shop.example"):
        with pytest.raises(InvalidSettings):
            Mall.open(database_url, migrate="always", issuer=url)
