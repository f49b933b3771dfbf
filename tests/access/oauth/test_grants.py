"""The ways to tokens: what is given, for how long, and to nobody else."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from mallcore import access, audit
from mallcore.errors import BadCredential
from mallcore.kernel.context import Principal
from tests.access.oauth.world import ADA, DONE, ME, URL, World, basic, pkce, read, sent_back


def test_a_client_gets_tokens_in_its_own_name(world: World) -> None:
    """The token says all that RFC 9068 asks for, is signed by the newest key, and allows what its client holds."""
    status, found = world.token("robot", grant_type="client_credentials")
    assert (status, found["token_type"], found["expires_in"], found["scope"]) == (200, "Bearer", 600, "structure.read")
    assert "refresh_token" not in found
    token = found["access_token"]
    assert read(token, 0) == {"typ": "at+jwt", "alg": "EdDSA", "kid": "1"}
    claims, now = read(token), int(world.clock.now.timestamp())
    assert claims.pop("jti").startswith("tok_")
    assert claims == {
        "iss": URL, "aud": URL, "sub": "client:robot", "client_id": "robot", "iat": now, "exp": now + 600,
        "scope": "structure.read",
    }  # fmt: skip
    principal = world.verify(token)
    assert principal.ref == "client:robot"
    assert principal.credential is not None
    assert (principal.credential.scopes, principal.credential.client) == (frozenset({"structure.read"}), "robot")


def test_somebody_lets_a_client_act_in_their_name(world: World) -> None:
    """Consent, code, tokens: they are the user's, as far as the client may ask and the user holds it."""
    tokens = world.tokens(scope="structure.read structure.history")
    assert set(tokens) == {"access_token", "token_type", "expires_in", "scope", "refresh_token"}
    principal = world.verify(tokens["access_token"])
    assert principal == ADA
    assert principal.credential is not None
    assert principal.credential.scopes == frozenset({"structure.read", "structure.history"})


def test_a_pattern_is_narrowed_to_what_is_held(world: World) -> None:
    """Asked for all of a domain, the client gets what the user holds of it, and is told so."""
    assert world.tokens(scope="structure.*")["scope"] == "structure.history structure.read"


def test_nothing_asked_for_is_all_that_is_allowed(world: World) -> None:
    """Without a scope, the client asks for all it may have."""
    assert world.tokens(scope=None)["scope"] == "structure.history structure.read"


def test_a_token_never_allows_more_than_its_holder_may_now(world: World) -> None:
    """What the user may no more do is gone from the next token, and the last thing that is gone ends it."""
    tokens = world.tokens()
    with world.mall.begin(ME) as ctx:
        (grant,) = access.list_grants(ctx, principal="user:ada").items
        access.revoke(ctx, grant=grant.id)
    status, found = world.token("partner", grant_type="refresh_token", refresh_token=tokens["refresh_token"])
    assert (status, found["error"]) == (400, "invalid_scope")


@pytest.mark.parametrize(
    ("client", "form", "error"),
    [
        ("robot", {"grant_type": "client_credentials", "scope": "structure.publish"}, "invalid_scope"),
        ("robot", {"grant_type": "client_credentials", "scope": "*"}, "invalid_scope"),
        ("robot", {"grant_type": "client_credentials", "scope": "structure.edit"}, "invalid_scope"),
        ("robot", {"grant_type": "client_credentials", "scope": "a  b"}, "invalid_scope"),
        ("robot", {"grant_type": "client_credentials", "resource": "https://other.example"}, "invalid_target"),
        ("robot", {"grant_type": "authorization_code", "code": "x"}, "unauthorized_client"),
        ("robot", {"grant_type": "password", "username": "ada", "password": "x"}, "unsupported_grant_type"),
        ("robot", {"grant_type": "implicit"}, "unsupported_grant_type"),
        ("robot", {"grant_type": 'x"\\'}, "unsupported_grant_type"),
        ("robot", {"grant_type": "ü"}, "invalid_request"),
        ("robot", {}, "invalid_request"),
        ("partner", {"grant_type": "client_credentials"}, "unauthorized_client"),
        ("partner", {"grant_type": "authorization_code"}, "invalid_request"),
        ("partner", {"grant_type": "authorization_code", "code": "x"}, "invalid_grant"),
        ("partner", {"grant_type": "refresh_token"}, "invalid_request"),
        ("partner", {"grant_type": "refresh_token", "refresh_token": "x"}, "invalid_grant"),
    ],
)
def test_what_is_wrong_is_said_as_the_standard_says(still: World, client: str, form: Any, error: str) -> None:
    """Errors of the token endpoint are those of RFC 6749, section 5.2."""
    status, found = still.token(client, **form)
    assert (status, found["error"]) == (400, error)


@pytest.mark.parametrize(
    "headers",
    [
        basic("robot", "wrong"),
        basic("nobody", "wrong"),
        basic("app", ""),
        {"authorization": "Basic !!!"},
        {"authorization": "Basic /w=="},
        {"authorization": "Basic"},
        {"authorization": "Bearer x"},
        {},
    ],
)
def test_a_client_that_does_not_show_who_it_is_gets_nothing(still: World, headers: dict[str, str]) -> None:
    """Wrong, unreadable and missing credentials are refused alike, and whether there is such a client is not said."""
    response = still.ask("POST", "/oauth/token", form={"grant_type": "client_credentials"}, **headers)
    assert response.status == 401
    assert b'"invalid_client"' in response.body
    assert b"could not be recognised" in response.body
    assert (response.header("www-authenticate") or "").startswith("Basic")


def test_a_client_shows_who_it_is_in_one_way_only(world: World) -> None:
    """Secrets in two places, two names, and parameters that come twice are refused."""
    form = {"grant_type": "client_credentials"}
    secret = str(world.secrets["robot"])
    for given, headers in (
        ({**form, "client_id": "robot", "client_secret": secret}, basic("robot", secret)),
        ({**form, "client_id": "other"}, basic("robot", secret)),
        (b"grant_type=client_credentials&grant_type=client_credentials", basic("robot", secret)),
    ):
        response = world.ask("POST", "/oauth/token", form=given, **headers)
        assert (response.status, b'"invalid_request"' in response.body) == (400, True)


def test_a_secret_is_sent_as_was_registered(world: World) -> None:
    """A client of client_secret_post uses the form, and one of client_secret_basic does not."""
    world.register("poster", scopes=["structure.read"], auth_method="client_secret_post")
    with world.mall.begin(ME) as ctx:
        access.grant(ctx, principal="client:poster", role="reader")
    form = {"grant_type": "client_credentials"}
    assert world.token(None, client_id="poster", client_secret=world.secrets["poster"], **form)[0] == 200
    assert world.token("poster", **form)[1]["error"] == "invalid_client"
    assert world.token(None, client_id="robot", client_secret=world.secrets["robot"], **form)[0] == 401


def test_a_new_secret_leaves_the_old_one_for_a_while(world: World) -> None:
    """After a rotation both open, until the overlap ends; nobody can read either anywhere."""
    old = str(world.secrets["robot"])
    with world.mall.begin(ME) as ctx:
        made = access.rotate_oauth_secret(ctx, client="robot", overlap_seconds=60)
    new = str(made.secret)
    assert new not in repr(made)
    ask = {"grant_type": "client_credentials"}
    for secret, good in ((old, True), (new, True), ("x", False)):
        assert (world.ask("POST", "/oauth/token", form=ask, **basic("robot", secret)).status == 200) is good
    world.clock.goes(61)
    for secret, good in ((old, False), (new, True)):
        assert (world.ask("POST", "/oauth/token", form=ask, **basic("robot", secret)).status == 200) is good
    with world.mall.begin(ME) as ctx:
        assert new not in str(audit.list_records(ctx, limit=200))


@pytest.mark.parametrize(
    "change",
    [
        {"code_challenge": None},
        {"code_challenge_method": None},
        {"code_challenge_method": "plain"},
        {"code_challenge": "short"},
        {"code_challenge": "x" * 44},
        {"code_challenge": None, "code_challenge_method": None},
    ],
)
def test_every_request_brings_a_challenge_by_s256(still: World, change: dict[str, Any]) -> None:
    """Without a challenge, or with a plain one, there is no code for any client."""
    for client, uri in (("partner", DONE), ("app", "com.example.app:/done")):
        asked, _ = still.asked(client, redirect_uri=uri, **change)
        back = sent_back(still.consent(asked))
        assert (back["error"], back["state"], back["iss"]) == ("invalid_request", "xyz", URL)
        assert "code" not in back


def test_the_verifier_is_asked_for_and_compared(world: World) -> None:
    """No verifier, another one and the challenge itself get nothing; then the right one still does."""
    code, form = world.code()
    verifier = form.pop("code_verifier")
    assert world.token("partner", code=code, **form)[1]["error"] == "invalid_request"
    for wrong in (pkce()[0], pkce()[1], verifier[:-1], "x"):
        assert world.token("partner", code=code, code_verifier=wrong, **form)[1]["error"] == "invalid_grant"
    assert world.token("partner", code=code, code_verifier=verifier, **form)[0] == 200


def test_a_code_is_its_clients_its_requests_and_not_for_long(world: World) -> None:
    """Another client, another redirect URI and a minute later: nothing."""
    code, form = world.code()
    assert world.token("other", code=code, **form)[1]["error"] == "invalid_grant"
    moved = {**form, "redirect_uri": "https://partner.example/other"}
    assert world.token("partner", code=code, **moved)[1]["error"] == "invalid_grant"
    world.clock.goes(60)
    assert world.token("partner", code=code, **form)[1]["error"] == "invalid_grant"


@pytest.mark.parametrize("later", [0, 3600])
def test_a_code_that_comes_twice_ends_what_it_made(world: World, later: float) -> None:
    """The second use is refused, and the tokens of the first count no more: one of the two is a thief."""
    code, form = world.code()
    _, tokens = world.token("partner", code=code, **form)
    if not later:
        assert world.verify(tokens["access_token"]) == ADA
    world.clock.goes(later)
    assert world.token("partner", code=code, **form)[1]["error"] == "invalid_grant"
    with pytest.raises(BadCredential):
        world.verify(tokens["access_token"])
    status, _ = world.token("partner", grant_type="refresh_token", refresh_token=tokens["refresh_token"])
    assert status == 400
    with world.mall.begin(ME) as ctx:
        (record,) = audit.list_records(ctx, event="access.tokens_ended").items
    assert record.after == {"reason": "a code was used twice"}


def test_of_many_who_use_a_code_at_once_none_keeps_tokens(world: World) -> None:
    """Concurrent uses of one code: one gets tokens at most, and they are worth nothing."""
    code, form = world.code()
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: world.token("partner", code=code, **form), range(4)))
    good = [tokens for status, tokens in found if status == 200]
    assert len(good) <= 1
    for tokens in good:
        with pytest.raises(BadCredential):
            world.verify(tokens["access_token"])
        again = world.token("partner", grant_type="refresh_token", refresh_token=tokens["refresh_token"])
        assert again[0] == 400


def test_a_refresh_token_is_replaced_each_time(world: World) -> None:
    """The next one goes on; its scope may shrink, and grows back to what was consented to, never beyond."""
    first = world.tokens(scope="structure.read structure.history")
    refresh = {"grant_type": "refresh_token"}
    status, second = world.token("partner", refresh_token=first["refresh_token"], scope="structure.read", **refresh)
    assert (status, second["scope"]) == (200, "structure.read")
    assert second["refresh_token"] != first["refresh_token"]
    wide = world.token("partner", refresh_token=second["refresh_token"], scope="structure.edit", **refresh)
    assert wide[1]["error"] == "invalid_scope"
    status, third = world.token("partner", refresh_token=second["refresh_token"], **refresh)
    assert (status, third["scope"]) == (200, "structure.history structure.read")


def test_a_refresh_token_that_comes_twice_ends_its_family(world: World) -> None:
    """The old token is refused, and the new ones, access and refresh, count no more."""
    first = world.tokens()
    refresh = {"grant_type": "refresh_token"}
    _, second = world.token("partner", refresh_token=first["refresh_token"], **refresh)
    assert world.verify(second["access_token"]) == ADA
    assert world.token("partner", refresh_token=first["refresh_token"], **refresh)[1]["error"] == "invalid_grant"
    assert world.token("partner", refresh_token=second["refresh_token"], **refresh)[1]["error"] == "invalid_grant"
    for tokens in (first, second):
        with pytest.raises(BadCredential):
            world.verify(tokens["access_token"])


def test_of_many_who_use_a_refresh_token_at_once_none_goes_on(world: World) -> None:
    """Concurrent uses of one refresh token end the family, whoever was first."""
    first = world.tokens()

    def use(_: int) -> tuple[int, dict[str, Any]]:
        return world.token("partner", grant_type="refresh_token", refresh_token=first["refresh_token"])

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(use, range(4)))
    good = [tokens for status, tokens in found if status == 200]
    assert len(good) <= 1
    for tokens in (first, *good):
        with pytest.raises(BadCredential):
            world.verify(tokens["access_token"])
        assert world.token("partner", grant_type="refresh_token", refresh_token=tokens["refresh_token"])[0] == 400


def test_a_refresh_token_is_its_clients(world: World) -> None:
    """Another client can neither use it, nor end its family by trying."""
    tokens = world.tokens()
    refresh = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
    assert world.token("other", **refresh)[1]["error"] == "invalid_grant"
    assert world.token("partner", **refresh)[0] == 200


def test_refresh_tokens_end_when_they_lie_about_and_in_any_case(world: World) -> None:
    """One that is not used for two weeks is over; a family is over after ninety days, however busy."""
    refresh = {"grant_type": "refresh_token"}
    idle = world.tokens()
    world.clock.goes(14 * 86_400)
    assert world.token("partner", refresh_token=idle["refresh_token"], **refresh)[0] == 400
    tokens = world.tokens()
    for _ in range(9):
        world.clock.goes(9.9 * 86_400)
        status, tokens = world.token("partner", refresh_token=tokens["refresh_token"], **refresh)
        assert status == 200
    world.clock.goes(86_400)
    assert world.token("partner", refresh_token=tokens["refresh_token"], **refresh)[0] == 400


def test_a_client_that_may_not_go_on_gets_no_refresh_token(world: World) -> None:
    """Refresh tokens are for clients that are registered for them."""
    world.register("short", scopes=["structure.read"], grant_types=["authorization_code"], redirect_uris=[DONE])
    assert "refresh_token" not in world.tokens("short")


def test_an_app_has_no_secret_and_any_port(world: World) -> None:
    """A native client gets its answer at whatever loopback port it listens on, and its verifier is all it shows."""
    tokens = world.tokens("app", redirect_uri="http://127.0.0.1:51004/done")
    assert world.verify(tokens["access_token"]) == ADA
    found = world.token(None, client_id="app", grant_type="refresh_token", refresh_token=tokens["refresh_token"])
    assert found[0] == 200


def test_a_confidential_client_does_not_pass_without_its_secret(world: World) -> None:
    """Only its name is not enough, though the code and the verifier are right."""
    code, form = world.code()
    assert world.token(None, client_id="partner", code=code, **form)[1]["error"] == "invalid_client"


def test_a_removed_client_is_out_at_once(world: World) -> None:
    """Its tokens, its codes and its refresh tokens count no more."""
    tokens, robot = world.tokens(), world.robot()
    assert world.verify(robot).ref == "client:robot"
    with world.mall.begin(ME) as ctx:
        access.remove_oauth_client(ctx, client="partner")
        access.remove_oauth_client(ctx, client="robot")
    for token in (tokens["access_token"], robot):
        with pytest.raises(BadCredential):
            world.verify(token)
    assert world.token("partner", grant_type="refresh_token", refresh_token=tokens["refresh_token"])[0] == 401


def test_a_disabled_client_is_out_until_it_asks_anew(world: World) -> None:
    """While it is shut out it gets nothing, and what it had counts no more, now or when it is let in again."""
    robot = world.robot()
    with world.mall.begin(ME) as ctx:
        access.disable_client(ctx, client="robot")
    with pytest.raises(BadCredential):
        world.verify(robot)
    assert world.token("robot", grant_type="client_credentials")[1]["error"] == "invalid_client"
    with world.mall.begin(ME) as ctx:
        access.enable_client(ctx, client="robot")
    world.clock.goes(1)
    assert world.verify(world.robot()).ref == "client:robot"
    with pytest.raises(BadCredential):
        world.verify(robot)


def test_a_withdrawn_consent_ends_the_tokens(world: World) -> None:
    """Whoever consented sees it, takes it back, and is asked again; others see nothing of it."""
    tokens = world.tokens()
    with world.mall.begin(ADA) as ctx:
        (consent,) = access.list_oauth_consents(ctx).items
        assert (consent.client, consent.scopes) == ("partner", ["structure.read"])
    with world.mall.begin(Principal.user("eve")) as ctx:
        assert access.list_oauth_consents(ctx).items == []
    with world.mall.begin(ADA) as ctx:
        access.withdraw_oauth_consent(ctx, client="partner")
    with pytest.raises(BadCredential):
        world.verify(tokens["access_token"])
    assert world.ask("GET", "/oauth/authorize", world.asked()[0]).status == 200


def test_who_is_signed_out_everywhere_is_so_in_clients_too(world: World) -> None:
    """The ends of somebody's sessions end the tokens in their name; what they consented to is still known."""
    tokens = world.tokens()
    with world.mall.begin(ME) as ctx:
        access.end_sessions(ctx, principal="user:ada")
    with pytest.raises(BadCredential):
        world.verify(tokens["access_token"])
    status, _ = world.token("partner", grant_type="refresh_token", refresh_token=tokens["refresh_token"])
    assert status == 400
    assert world.ask("GET", "/oauth/authorize", world.asked()[0]).status == 302
