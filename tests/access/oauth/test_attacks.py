"""What a token, or a client, must not become: more than was allowed, longer than was allowed, or a way around both."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest
from joserfc.jwk import OKPKey

from mallcore import access, audit, structure
from mallcore.api import Dispatch, Request, bearer, session_cookie
from mallcore.backends.oauth import authorization_server
from mallcore.errors import Denied
from tests.access.oauth.world import ADA, ME, World


def follow(world: World, token: str) -> Any:
    """The stream of a channel's changes, as the bearer of a token gets it over HTTP."""
    given = {"authorization": f"Bearer {token}", "accept": "text/event-stream"}
    response = Dispatch(world.mall, bearer(world.mall)).run(Request("GET", "/channels/books/changes", headers=given))
    assert response.stream is not None, response.body
    return response.stream


def change(world: World, name: str) -> None:
    """Something happens in the channel."""
    with world.mall.begin(ME) as ctx:
        structure.create_section(ctx, channel="books", name=name)


def shop(world: World) -> None:
    """A channel to follow."""
    with world.mall.begin(ME) as ctx:
        structure.create_channel(ctx, name="Books", slug="books")


ENDS: dict[str, Callable[[World, dict[str, Any]], Any]] = {
    "taken-back": lambda world, tokens: world.ask(
        "POST", "/oauth/revoke", form={"token": tokens["access_token"], "client_id": "app"}
    ),
    "family": lambda world, tokens: world.ask(
        "POST", "/oauth/revoke", form={"token": tokens["refresh_token"], "client_id": "app"}
    ),
    "client-disabled": lambda world, tokens: _do(world, access.disable_client, client="app"),
    "signed-out": lambda world, tokens: _do(world, access.end_sessions, principal="user:ada"),
    "key-revoked": lambda world, tokens: _do(world, access.revoke_key, purpose="tokens", number=1),
    "over": lambda world, tokens: world.clock.goes(700),
}


def _do(world: World, operation: Any, **given: Any) -> Any:
    with world.mall.begin(ME) as ctx:
        return operation(ctx, **given)


@pytest.mark.parametrize("end", ENDS)
def test_an_open_stream_ends_with_its_token(world: World, end: str) -> None:
    """Who follows a channel by an access token hears nothing of what is done after the token is taken back, or over."""
    shop(world)
    tokens = world.tokens("app", redirect_uri="http://127.0.0.1:5000/done", scope="structure.read structure.history")
    stream = follow(world, tokens["access_token"])
    change(world, "Seen")
    assert b"id: 1\n" in stream.fetch(5)
    ENDS[end](world, tokens)
    change(world, "Unseen")
    assert stream.fetch(1) == b""
    assert stream.over


@pytest.mark.parametrize("end", ["signed-out", "withdrawn"])
def test_a_code_that_is_on_its_way_ends_with_the_rest(world: World, end: str) -> None:
    """Who signs out everywhere, or takes a consent back, need not fear a code that was not used until then."""
    code, form = world.code()
    if end == "signed-out":
        _do(world, access.end_sessions, principal="user:ada")
    else:
        with world.mall.begin(ADA) as ctx:
            access.withdraw_oauth_consent(ctx, client="partner")
    status, found = world.token("partner", code=code, **form)
    assert (status, found["error"]) == (400, "invalid_grant")
    again, form = world.code()
    assert world.token("partner", code=again, **form)[0] == 200


def test_a_token_that_is_kept_stays_good_while_it_is(world: World) -> None:
    """That a token was checked a while ago, and has to be checked anew, ends nothing that was begun with it."""
    shop(world)
    tokens = world.tokens("app", redirect_uri="http://127.0.0.1:5000/done", scope="structure.read structure.history")
    stream = follow(world, tokens["access_token"])
    world.clock.goes(300)
    change(world, "Seen")
    assert b"id: 1\n" in stream.fetch(5)


def test_a_narrow_credential_registers_no_wider_client(world: World) -> None:
    """Who was let manage access, and nothing else, gets no client of OAuth2 that may do more, new or by another's."""
    with world.mall.begin(ME) as ctx:
        access.grant(ctx, principal="user:ada", role="owner")
        fresh = access.create_client(ctx, name="Fresh").id
    world.register(
        "manager", scopes=["access.*"], grant_types=["authorization_code"], redirect_uris=["https://m.example/"]
    )
    token = world.tokens("manager", redirect_uri="https://m.example/", scope="access.manage")["access_token"]
    narrow = world.verify(token)
    attempts: list[tuple[Any, dict[str, Any]]] = [
        (access.register_oauth_client, {"client": fresh, "scopes": ["structure.*"]}),
        (access.update_oauth_client, {"client": "robot", "scopes": ["*"]}),
        (access.update_oauth_client, {"client": "partner", "redirect_uris": ["https://thief.example/"]}),
        (access.rotate_oauth_secret, {"client": "robot"}),
    ]
    for operation, given in attempts:
        with pytest.raises(Denied), world.mall.begin(narrow) as ctx:
            operation(ctx, **given)
    with world.mall.begin(narrow) as ctx:
        access.register_oauth_client(ctx, client=fresh, scopes=["access.manage"])


def test_a_token_takes_no_consent_of_others_away(world: World) -> None:
    """A client that was let read sees nothing of what its user lets other clients do, and ends none of it."""
    world.tokens("other", redirect_uri="https://other.example/done")
    narrow = world.verify(world.tokens("partner")["access_token"])
    attempts: list[tuple[Any, dict[str, Any]]] = [
        (access.list_oauth_consents, {}),
        (access.list_oauth_consents, {"principal": "user:ada"}),
        (access.withdraw_oauth_consent, {"client": "other"}),
    ]
    for operation, given in attempts:
        with pytest.raises(Denied), world.mall.begin(narrow) as ctx:
            operation(ctx, **given)
    with world.mall.begin(ADA) as ctx:
        assert [one.client for one in access.list_oauth_consents(ctx).items] == ["other", "partner"]


@pytest.mark.parametrize("algorithm", [["EdDSA"], {"EdDSA": 1}, None, 7, "none", "HS256"])
def test_an_assertion_by_an_odd_algorithm_is_refused(world: World, algorithm: Any) -> None:
    """Whatever stands where an algorithm's name belongs: the client is not recognised, and nothing breaks."""
    key = OKPKey.generate_key("Ed25519", private=True)
    jwks = {"keys": [key.as_dict(private=False)]}
    world.register("signer", scopes=["structure.read"], auth_method="private_key_jwt", jwks=jwks)
    claims = {"iss": "signer", "sub": "signer", "aud": world.server.url, "jti": "a", "exp": 1e10}
    parts = (json.dumps(one).encode() for one in ({"alg": algorithm}, claims))
    text = ".".join([*(base64.urlsafe_b64encode(one).rstrip(b"=").decode() for one in parts), "AAAA"])
    status, found = world.token(
        None,
        grant_type="client_credentials",
        client_assertion_type="urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        client_assertion=text,
    )
    assert (status, found["error"]) == (400, "invalid_client")


@pytest.mark.parametrize("client", ["a\x00b", "\ud800", "a\ud800b", "'; --", "x" * 181])
def test_an_assertion_of_an_odd_client_is_refused(world: World, client: str) -> None:
    """What no database holds is nobody's id: the client is not recognised, and nothing breaks."""
    parts = (json.dumps(one).encode() for one in ({"alg": "EdDSA"}, {"iss": client, "sub": client}))
    text = ".".join([*(base64.urlsafe_b64encode(one).rstrip(b"=").decode() for one in parts), "AAAA"])
    form = {"grant_type": "client_credentials", "client_assertion": text}
    kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
    status, found = world.token(None, client_assertion_type=kind, **form)
    assert (status, found["error"]) == (400, "invalid_client")


@pytest.mark.parametrize("client", ["a%00b", "%ED%A0%80", "\x00", "%"])
def test_a_client_of_an_odd_name_is_refused(world: World, client: str) -> None:
    """However a client's id is written in the header, one that no client has is not recognised, and nothing breaks."""
    shown = base64.b64encode(f"{client}:word".encode()).decode()
    response = world.ask(
        "POST", "/oauth/token", form={"grant_type": "client_credentials"}, authorization=f"Basic {shown}"
    )
    assert (response.status, json.loads(response.body)["error"]) == (401, "invalid_client")


def test_a_session_that_is_over_is_nobodys_at_the_authorization_server(world: World) -> None:
    """A browser whose session has ended is asked to sign in; what another site makes it post is refused."""
    server = authorization_server(world.mall, session_cookie(world.mall))
    with world.mall.begin(ME) as ctx:
        made = access.open_session(ctx, user="ada")
    cookie = {"cookie": f"__Host-mall_session={made.token}", "host": "shop.example"}
    asked = Request("GET", "/oauth/authorize", "client_id=partner", cookie)
    found = server.answer(asked)
    assert found is not None
    assert found.status == 302  # it went on, to look at the request
    foreign = {**cookie, "origin": "https://thief.example", "content-type": "application/x-www-form-urlencoded"}
    refused = server.answer(Request("POST", "/oauth/authorize", "client_id=partner", foreign, b"decision=allow"))
    assert refused is not None
    assert refused.status == 403
    _do(world, access.end_session, session=made.id)
    over = server.answer(asked)
    assert over is not None
    assert (over.status, b"sign in" in over.body) == (401, True)


def test_a_token_that_is_refused_is_on_record(world: World) -> None:
    """A token that is over, was taken back, or was never ours: who looks finds that it was shown, and from where."""
    dispatch = Dispatch(world.mall, bearer(world.mall))
    token = world.robot()
    world.clock.goes(700)
    for _ in range(50):
        request = Request(
            "GET", "/me", headers={"authorization": f"Bearer {token}"}, origin={"client": ("192.0.2.9", 1)}
        )
        assert dispatch.run(request).status == 401
    with world.mall.begin(ME) as ctx:
        found = audit.list_records(ctx, outcome="denied").items
    assert found
    assert len(found) <= 20  # a flood fills no log
    assert (found[0].subject, found[0].principal, "192.0.2.9" in repr(found[0])) == (
        "access-token",
        "anonymous:*",
        True,
    )
    assert token not in repr(found)
