"""OpenID Connect against a provider that lies: what is not proven signs nobody in."""

from __future__ import annotations

import base64
import hashlib
import json
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, unquote_plus, urlsplit

import pytest
from joserfc.jwk import RSAKey

from mallcore.access import Identity, LoginAnswer, LoginProvider, LoginRedirect, LoginRequest, LoginTokens
from mallcore.backends.openid import OpenIdConnect
from mallcore.errors import InvalidSettings, LoginRefused, ProviderUnavailable
from tests.access.login.hostile import ED, ES, RS, SECRET, Hostile, encoded, hostile_provider, new_key, reply

CALLBACK = "https://shop.example/auth/login/work/callback"


@pytest.fixture
def hostile() -> Iterator[Hostile]:
    with hostile_provider() as found:
        yield found


def connected(hostile: Hostile, **more: Any) -> OpenIdConnect:
    """A client of the provider."""
    given: dict[str, Any] = {"loopback": True, "seconds": 5.0, **more}
    return OpenIdConnect("work", hostile.issuer, "mall", SECRET, **given)


def begun(hostile: Hostile, provider: OpenIdConnect, **more: Any) -> LoginRedirect:
    """A sign-in that is under way at the provider."""
    redirect = provider.authorization(LoginRequest(CALLBACK, "the-state", **more))
    hostile.nonce = asked(redirect)["nonce"]
    return redirect


def asked(redirect: LoginRedirect) -> dict[str, str]:
    """The parameters of a redirect."""
    return {name: one for name, (one,) in parse_qs(urlsplit(redirect.url).query).items()}


def finished(hostile: Hostile, provider: OpenIdConnect | None = None, **given: str) -> Identity:
    """A sign-in from its beginning to its end."""
    provider = provider or connected(hostile)
    redirect = begun(hostile, provider)
    parameters = {"code": "a-code", "state": "the-state", "iss": hostile.issuer, **given}
    return provider.callback(LoginAnswer(parameters, CALLBACK, redirect.kept))


def test_it_is_a_login_provider(hostile: Hostile) -> None:
    """The backend fulfils the Protocol, and shows no secret."""
    provider = connected(hostile)
    assert isinstance(provider, LoginProvider)
    assert SECRET not in repr(provider)


def test_a_proven_sign_in_has_an_identity(hostile: Hostile) -> None:
    """Issuer and subject are those of the ID token; what is told of the person comes with them."""
    hostile.claims = {"sid": "one", "at_hash": hostile.at_hash()}
    found = finished(hostile)
    assert (found.issuer, found.subject, found.session) == (hostile.issuer, "ada", "one")
    assert (found.email, found.email_verified) == ("ada@login.example", True)


def test_the_code_is_bound_to_this_mall(hostile: Hostile) -> None:
    """PKCE by S256: the challenge is the verifier's hash, and the verifier is sent with the code only."""
    provider = connected(hostile)
    redirect = begun(hostile, provider)
    sent = asked(redirect)
    assert (sent["code_challenge_method"], sent["response_type"], sent["scope"]) == (
        "S256",
        "code",
        "openid email profile",
    )
    digest = hashlib.sha256(redirect.kept["verifier"].encode()).digest()
    assert sent["code_challenge"] == encoded(digest)
    assert redirect.kept["verifier"] not in redirect.url
    provider.callback(LoginAnswer({"code": "c", "iss": hostile.issuer}, CALLBACK, redirect.kept))
    (form,) = hostile.forms
    assert parse_qs(form)["code_verifier"] == [redirect.kept["verifier"]]
    assert SECRET not in form


def test_each_sign_in_has_secrets_of_its_own(hostile: Hostile) -> None:
    """No two sign-ins share a nonce or a verifier."""
    provider = connected(hostile)
    one, two = begun(hostile, provider), begun(hostile, provider)
    assert not set(one.kept.values()) & set(two.kept.values())


@pytest.mark.parametrize("way", ["client_secret_basic", "client_secret_post"])
def test_the_client_shows_its_secret_as_it_was_told(hostile: Hostile, way: Any) -> None:
    """In the header or in the form, and never in both."""
    finished(hostile, connected(hostile, authentication=way))
    (form,), (header,) = hostile.forms, hostile.authorizations
    if way == "client_secret_post":
        assert parse_qs(form)["client_secret"] == [SECRET]
        assert header is None
    else:
        assert header is not None
        name, _, secret = base64.b64decode(header.removeprefix("Basic ")).decode().partition(":")
        assert (unquote_plus(name), unquote_plus(secret)) == ("mall", SECRET)
        assert "client_secret" not in parse_qs(form)


# --- tokens that prove nothing


def _resign(hostile: Hostile, key: Any) -> None:
    hostile.key = key


def _confused(hostile: Hostile) -> None:
    hostile.header = {"alg": "HS256"}


DAMAGES: dict[str, Callable[[Hostile], None]] = {
    "another nonce": lambda it: it.claims.update(nonce="another"),
    "no nonce": lambda it: it.claims.update(nonce=None),
    "a nonce that is no text": lambda it: it.claims.update(nonce=["x"]),
    "another issuer": lambda it: it.claims.update(iss="https://evil.example"),
    "an issuer with a slash": lambda it: it.claims.update(iss=it.issuer + "/"),
    "no issuer": lambda it: it.claims.update(iss=None),
    "another audience": lambda it: it.claims.update(aud="another"),
    "no audience": lambda it: it.claims.update(aud=None),
    "an audience like ours": lambda it: it.claims.update(aud="mall2"),
    "two audiences and no azp": lambda it: it.claims.update(aud=["mall", "another"]),
    "another azp": lambda it: it.claims.update(azp="another"),
    "expired": lambda it: it.claims.update(exp=int(time.time()) - 120),
    "no expiry": lambda it: it.claims.update(exp=None),
    "an expiry that is no number": lambda it: it.claims.update(exp="never"),
    "an expiry that is true": lambda it: it.claims.update(exp=True),
    "of the future": lambda it: it.claims.update(iat=int(time.time()) + 600),
    "not yet": lambda it: it.claims.update(nbf=int(time.time()) + 600),
    "issued long ago": lambda it: it.claims.update(iat=int(time.time()) - 3600),
    "no time of issue": lambda it: it.claims.update(iat=None),
    "no subject": lambda it: it.claims.update(sub=None),
    "a subject that is no text": lambda it: it.claims.update(sub=7),
    "another access token": lambda it: it.claims.update(at_hash=it.at_hash("another")),
    "an at_hash that is no text": lambda it: it.claims.update(at_hash=7),
    "alg none": lambda it: it.header.update(alg="none"),
    "the public key as a secret": _confused,
    "an algorithm nobody knows": lambda it: setattr(it, "token", it.id_token().replace(
        it.id_token().partition(".")[0], encoded({"alg": "XX256", "kid": "first"}))),
    "a key of its own in the header": lambda it: it.header.update(jwk=new_key(ES, "evil").as_dict(private=False)),
    "a key elsewhere": lambda it: it.header.update(jku=it.issuer + "/evil"),
    "a certificate elsewhere": lambda it: it.header.update(x5u=it.issuer + "/evil"),
    "a certificate": lambda it: it.header.update(x5c=["MIIB"]),
    "something critical": lambda it: it.header.update(crit=["b64"], b64=False),
    "an access token (RFC 9068)": lambda it: it.header.update(typ="at+jwt"),
    "a logout token": lambda it: it.header.update(typ="logout+jwt"),
    "a key nobody lists": lambda it: _resign(it, new_key(ES, "evil")),
    "another key under a known name": lambda it: _resign(it, new_key(ES, "first")),
    "a kid that leads elsewhere": lambda it: it.header.update(kid="../../dev/null"),
    "a kid that is a number": lambda it: it.header.update(kid=7),
    "no token": lambda it: setattr(it, "token", ""),
    "no JWT": lambda it: setattr(it, "token", "a.b"),
    "five parts": lambda it: setattr(it, "token", "a.b.c.d.e"),
    "a token of 100 kB": lambda it: setattr(it, "token", it.id_token(much="x" * 100_000)),
    "no signature": lambda it: setattr(it, "token", it.id_token().rpartition(".")[0] + "."),
    "another person is told of": lambda it: it.userinfo.update(sub="eve"),
    "nobody is told of": lambda it: it.userinfo.update(sub=None),
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_proves_nothing_signs_nobody_in(hostile: Hostile, damage: str) -> None:
    """A token with any one thing wrong is refused; nothing of it is believed."""
    provider = connected(hostile)
    redirect = begun(hostile, provider)
    DAMAGES[damage](hostile)
    answer = LoginAnswer({"code": "c", "state": "the-state", "iss": hostile.issuer}, CALLBACK, redirect.kept)
    with pytest.raises(LoginRefused):
        provider.callback(answer)


def test_a_token_of_another_sign_in_is_refused(hostile: Hostile) -> None:
    """An ID token that was good once is good for no other sign-in: a replayed or injected one is refused."""
    provider = connected(hostile)
    redirect = begun(hostile, provider)
    hostile.token = hostile.id_token()
    answer = {"code": "c", "iss": hostile.issuer}
    assert provider.callback(LoginAnswer(answer, CALLBACK, redirect.kept)).subject == "ada"
    later = begun(hostile, provider)
    with pytest.raises(LoginRefused, match="another sign-in"):
        provider.callback(LoginAnswer(answer, CALLBACK, later.kept))


@pytest.mark.parametrize(
    "given",
    [{"iss": "https://evil.example"}, {"iss": ""}, {"code": ""}, {"code": "a\nb"}, {"code": "x" * 5000},
     {"error": "access_denied"}, {"error": "<script>"}],
    ids=str,
)  # fmt: skip
def test_a_wrong_answer_asks_the_provider_nothing(hostile: Hostile, given: dict[str, str]) -> None:
    """A mix-up (RFC 9207), an error, or no code: no secret and no code leaves the mall."""
    with pytest.raises(LoginRefused) as refused:
        finished(hostile, **given)
    assert "/token" not in hostile.asked
    assert "<" not in str(refused.value)


def test_an_answer_must_name_its_issuer_where_the_provider_always_does(hostile: Hostile) -> None:
    """Without ``iss`` an answer is refused, unless the provider is one that names itself never."""
    provider = connected(hostile)
    redirect = begun(hostile, provider)
    with pytest.raises(LoginRefused, match="another provider"):
        provider.callback(LoginAnswer({"code": "c"}, CALLBACK, redirect.kept))
    hostile.metadata = {"authorization_response_iss_parameter_supported": None}
    silent = connected(hostile)
    redirect = begun(hostile, silent)
    assert silent.callback(LoginAnswer({"code": "c"}, CALLBACK, redirect.kept)).subject == "ada"


def test_who_must_sign_in_anew_does(hostile: Hostile) -> None:
    """A fresh sign-in is one whose time is after it was asked for."""
    provider = connected(hostile)
    for auth_time, good in ((None, False), (int(time.time()) - 3600, False), (int(time.time()), True)):
        redirect = begun(hostile, provider, fresh=True)
        assert (asked(redirect)["prompt"], asked(redirect)["max_age"]) == ("login", "0")
        hostile.claims = {"auth_time": auth_time}
        answer = LoginAnswer({"code": "c", "iss": hostile.issuer}, CALLBACK, redirect.kept)
        if good:
            assert provider.callback(answer).subject == "ada"
        else:
            with pytest.raises(LoginRefused, match="anew"):
                provider.callback(answer)


# --- keys


@pytest.mark.parametrize("algorithm", [ES, RS, ED])
def test_a_key_of_each_kind_verifies(hostile: Hostile, algorithm: str) -> None:
    """Elliptic curves, RSA and Ed25519."""
    hostile.algorithm, hostile.key = algorithm, new_key(algorithm, "mine")
    hostile.listed = [hostile.key.as_dict(private=False)]
    assert finished(hostile).subject == "ada"


def test_a_new_key_is_fetched_once_an_interval(hostile: Hostile) -> None:
    """A rotated key is found at once; names that nobody knows do not make the mall ask again and again."""
    provider = connected(hostile, keys_every=0.0)
    assert finished(hostile, provider).subject == "ada"
    hostile.key = new_key(ES, "second")
    hostile.listed = [hostile.key.as_dict(private=False)]
    assert finished(hostile, provider).subject == "ada"
    assert hostile.asked.count("/jwks") == 2
    patient = connected(hostile, keys_every=3600.0)
    hostile.header = {"kid": "unknown"}
    for _ in range(3):
        with pytest.raises(LoginRefused, match="no key"):
            finished(hostile, patient)
    assert hostile.asked.count("/jwks") == 3


def test_a_key_that_is_gone_is_forgotten(hostile: Hostile) -> None:
    """When the keys have been kept for as long as they may, a key that is listed no more verifies nothing."""
    provider = connected(hostile, keys_life=0.0)
    assert finished(hostile, provider).subject == "ada"
    hostile.listed = [new_key(ES, "second").as_dict(private=False)]
    with pytest.raises(LoginRefused, match="no key"):
        finished(hostile, provider)


LISTS: dict[str, Callable[[Any], Any]] = {
    "no list": lambda key: "keys",
    "nothing": lambda key: [],
    "no keys": lambda key: [7, None, "x", {}, {"kty": "EC"}, {"kty": "EC", "crv": "P-256", "x": 1, "y": 2}],
    "for encryption": lambda key: [{**key, "use": "enc"}],
    "for signing only": lambda key: [{**key, "key_ops": ["sign"]}],
    "for another algorithm": lambda key: [{**key, "alg": "ES384"}],
    "for a secret's algorithm": lambda key: [{**key, "alg": "HS256"}],
    "one name twice": lambda key: [key, {**new_key(ES, "first").as_dict(private=False)}],
    "a secret": lambda key: [{"kty": "oct", "kid": "first", "k": encoded(b"x" * 32)}],
}


@pytest.mark.parametrize("listed", LISTS)
def test_a_key_that_is_for_something_else_verifies_nothing(hostile: Hostile, listed: str) -> None:
    """One family of algorithms a key, and none for what is not understood, or is not clear."""
    hostile.listed = LISTS[listed](hostile.key.as_dict(private=False))
    with pytest.raises(LoginRefused, match="no key"):
        finished(hostile)


def test_a_weak_key_verifies_nothing(hostile: Hostile) -> None:
    """RSA has 2048 bits or more."""
    hostile.algorithm = RS
    with warnings.catch_warnings(action="ignore"):
        hostile.key = RSAKey.generate_key(1024, {"kid": "weak"})
    hostile.listed = [hostile.key.as_dict(private=False)]
    with pytest.raises(LoginRefused, match="no key"):
        finished(hostile)


def test_a_token_without_a_name_needs_the_only_key(hostile: Hostile) -> None:
    """Without ``kid``, one key that fits is taken; of two, none."""
    hostile.header = {"kid": None}
    assert finished(hostile).subject == "ada"
    hostile.listed.append(new_key(ES, "second").as_dict(private=False))
    with pytest.raises(LoginRefused, match="more than one"):
        finished(hostile)


# --- what the provider says of itself


def _redirecting(hostile: Hostile) -> None:
    for path in ("/jwks", "/token", "/me"):
        hostile.answers[path] = lambda it: reply(it, 302, b"", location=hostile.issuer + "/elsewhere")


def _endless(handler: Any) -> None:
    handler.send_response(200)
    handler.end_headers()
    for _ in range(64):
        handler.wfile.write(b" " * 65536)


def _dripping(handler: Any) -> None:
    handler.send_response(200)
    handler.end_headers()
    for _ in range(40):
        handler.wfile.write(b" ")
        handler.wfile.flush()
        time.sleep(0.1)


WRONG: dict[str, Callable[[Hostile], Any]] = {
    "another issuer": lambda it: it.metadata.update(issuer="https://evil.example"),
    "no issuer": lambda it: it.metadata.update(issuer=None),
    "no place to send browsers to": lambda it: it.metadata.update(authorization_endpoint=None),
    "a plain place elsewhere": lambda it: it.metadata.update(token_endpoint="http://login.example/token"),
    "a file": lambda it: it.metadata.update(jwks_uri="file:///etc/passwd"),
    "a script": lambda it: it.metadata.update(authorization_endpoint="javascript:alert(1)"),
    "a user name": lambda it: it.metadata.update(token_endpoint=it.issuer.replace("//", "//a:b@")),
    "no PKCE": lambda it: it.metadata.update(code_challenge_methods_supported=["plain"]),
    "a redirect": lambda it: it.answers.update({"/.well-known/openid-configuration": lambda h: reply(
        h, 302, b"", location=it.issuer + "/elsewhere")}),
    "an error": lambda it: it.answers.update({"/.well-known/openid-configuration": lambda h: reply(h, 500, b"{}")}),
    "no JSON": lambda it: it.answers.update({"/.well-known/openid-configuration": lambda h: reply(h, 200, b"<p>")}),
    "a list": lambda it: it.answers.update({"/.well-known/openid-configuration": lambda h: reply(h, 200, b"[]")}),
    "a tower": lambda it: it.answers.update({"/.well-known/openid-configuration": lambda h: reply(
        h, 200, b"[" * 100_000)}),
    "without end": lambda it: it.answers.update({"/.well-known/openid-configuration": _endless}),
    "drop by drop": lambda it: it.answers.update({"/.well-known/openid-configuration": _dripping}),
}  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG)
def test_a_provider_that_makes_no_sense_is_unavailable(hostile: Hostile, wrong: str) -> None:
    """A discovery document that is another's, unsafe, too large or too slow begins no sign-in."""
    provider = connected(hostile, seconds=1.0)
    WRONG[wrong](hostile)
    with pytest.raises(ProviderUnavailable):
        provider.authorization(LoginRequest(CALLBACK, "s"))
    assert "/elsewhere" not in hostile.asked


@pytest.mark.parametrize("path", ["/jwks", "/token", "/me"])
def test_no_redirect_is_followed(hostile: Hostile, path: str) -> None:
    """Wherever the provider leads: secrets are sent to the place it names in its document, and nowhere else."""
    hostile.answers[path] = lambda it: reply(it, 307, b"", location=hostile.issuer + "/elsewhere")
    with pytest.raises(ProviderUnavailable, match="redirect"):
        finished(hostile)
    assert "/elsewhere" not in hostile.asked


def test_a_provider_that_is_gone_is_unavailable(hostile: Hostile) -> None:
    """Nobody listens there: an error that says so, not a crash."""
    with hostile_provider() as other:
        gone = other.issuer
    with pytest.raises(ProviderUnavailable, match="does not answer"):
        OpenIdConnect("work", gone, "mall", loopback=True).authorization(LoginRequest(CALLBACK, "s"))


def test_a_provider_that_does_not_answer_keeps_nobody_waiting_twice(
    hostile: Hostile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever comes while it is known not to answer is told so at once; a moment later it is asked again."""
    provider = connected(hostile, seconds=0.5)
    hostile.answers["/.well-known/openid-configuration"] = _dripping

    def attempt(_: int) -> str:
        with pytest.raises(ProviderUnavailable) as refused:
            provider.authorization(LoginRequest(CALLBACK, "s"))
        return str(refused.value)

    with ThreadPoolExecutor(8) as threads:
        assert len(set(threads.map(attempt, range(16)))) == 1
    assert hostile.asked == ["/.well-known/openid-configuration"]
    hostile.answers.clear()
    clock = time.monotonic
    monkeypatch.setattr(time, "monotonic", lambda: clock() + 60)
    assert provider.authorization(LoginRequest(CALLBACK, "s")).url


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (400, {"error": "invalid_grant"}, LoginRefused),
        (401, {"error": "invalid_client", "error_description": "<b>"}, LoginRefused),
        (500, {}, LoginRefused),
        (200, {}, LoginRefused),
        (200, {"id_token": 7}, LoginRefused),
        (200, {"access_token": "a", "token_type": "mac"}, LoginRefused),
    ],
)
def test_a_code_that_is_not_taken_signs_nobody_in(hostile: Hostile, status: int, body: Any, error: Any) -> None:
    """What the token endpoint answers instead of tokens is told by its code only."""
    hostile.answers["/token"] = lambda it: reply(it, status, json.dumps(body).encode())
    with pytest.raises(error) as refused:
        finished(hostile)
    assert "<" not in str(refused.value)


@pytest.mark.parametrize(
    "issuer", ["http://login.example", "https://login.example?a=b", "https://login.example#x", "login", "https://a@b"]
)
def test_an_issuer_is_a_safe_address(issuer: str) -> None:
    """Only https, and nothing in it that has no place there."""
    with pytest.raises(InvalidSettings):
        OpenIdConnect("work", issuer, "mall")


def test_plain_http_is_for_this_machine_and_only_if_allowed(hostile: Hostile) -> None:
    """http to the loopback interface is refused unless a test allows it, and to elsewhere always."""
    with pytest.raises(InvalidSettings):
        OpenIdConnect("work", hostile.issuer, "mall")
    with pytest.raises(InvalidSettings):
        OpenIdConnect("work", "http://192.0.2.1", "mall", loopback=True)


@pytest.mark.parametrize("algorithms", [["HS256"], ["none"], [], ["ES256", "HS512"], ["ES256K"]])
def test_algorithms_of_secrets_can_not_be_allowed(algorithms: list[str]) -> None:
    """A host can't turn on what would make a public key a secret, or no signature a good one."""
    with pytest.raises(InvalidSettings):
        OpenIdConnect("work", "https://login.example", "mall", algorithms=algorithms)


def test_an_algorithm_that_is_not_allowed_is_refused(hostile: Hostile) -> None:
    """The host's own list counts, even for a signature that holds."""
    with pytest.raises(LoginRefused, match="not allowed"):
        finished(hostile, connected(hostile, algorithms=["RS256"]))


# --- tokens later, and the end


def test_tokens_are_refreshed_for_the_same_person_only(hostile: Hostile) -> None:
    """New tokens by the refresh token; an ID token that comes with them must be the same person's."""
    provider = connected(hostile)
    identity = Identity(hostile.issuer, "ada", tokens=LoginTokens("old", "refresh-1"))
    hostile.claims = {"nonce": None}
    found = provider.refresh(identity)
    assert found.tokens is not None
    assert (found.tokens.access, found.tokens.refresh) == ("an-access-token", "refresh-1")
    hostile.claims = {"sub": "eve"}
    with pytest.raises(LoginRefused, match="another person"):
        provider.refresh(identity)
    with pytest.raises(LoginRefused, match="no refresh token"):
        provider.refresh(Identity(hostile.issuer, "ada"))


def notice(hostile: Hostile, **more: Any) -> str:
    """A logout token."""
    event = {"http://schemas.openid.net/event/backchannel-logout": {}}
    hostile.header.setdefault("typ", "logout+jwt")
    return hostile.id_token(**{"nonce": None, "jti": "one", "sid": "s", "events": event, **more})


def test_a_logout_is_told_by_the_provider(hostile: Hostile) -> None:
    """A logout token says whose sign-in is over, and when it may be forgotten."""
    found = connected(hostile).notice(notice(hostile))
    assert (found.issuer, found.id, found.subject, found.session) == (hostile.issuer, "one", "ada", "s")
    assert found.expires_at > datetime.now(UTC) + timedelta(minutes=4)


NOTICES: dict[str, dict[str, Any]] = {
    "no event": {"events": None},
    "another event": {"events": {"other": {}}},
    "an event that is no object": {"events": {"http://schemas.openid.net/event/backchannel-logout": 1}},
    "a nonce": {"nonce": "x"},
    "no id": {"jti": None},
    "an id that is no text": {"jti": 7},
    "nobody": {"sub": None, "sid": None},
    "another audience": {"aud": "another"},
    "another issuer": {"iss": "https://evil.example"},
    "expired": {"exp": 1},
}


@pytest.mark.parametrize("wrong", NOTICES)
def test_a_message_that_is_no_logout_ends_nothing(hostile: Hostile, wrong: str) -> None:
    """A logout token has an event, an id, somebody, and no nonce; an ID token is none."""
    with pytest.raises(LoginRefused):
        connected(hostile).notice(notice(hostile, **NOTICES[wrong]))


def test_an_id_token_is_no_logout(hostile: Hostile) -> None:
    """What signs somebody in does not sign them out."""
    hostile.nonce = "n"
    with pytest.raises(LoginRefused, match="no logout"):
        connected(hostile).notice(hostile.id_token())
