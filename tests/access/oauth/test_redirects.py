"""Where answers are sent: to the client's own addresses, spelt as registered, and never anywhere else."""

from __future__ import annotations

from typing import Any

import pytest

from mallcore import access
from mallcore.access import redirects_to
from mallcore.errors import InvalidInput
from tests.access.oauth.world import ADA, DONE, ME, URL, World, sent_back

ELSEWHERE = [
    "https://partner.example/done/",
    "https://partner.example/done/../../evil",
    "https://partner.example/done?x=1",
    "https://partner.example/done#x",
    "https://partner.example/DONE",
    "https://PARTNER.example/done",
    "https://partner.example:443/done",
    "https://partner.example.evil.example/done",
    "https://partner.example@evil.example/done",
    "https://evil.example/done",
    "https://evil.example\\@partner.example/done",
    "https://partner.example%2f@evil.example/done",
    "https://partner.example%00.evil.example/done",
    "http://partner.example/done",
    "//partner.example/done",
    "/done",
    "javascript:alert(1)//https://partner.example/done",
    "data:text/html,x",
    "https://partner.example/done\r\nlocation: https://evil.example",
    "https://partner.exämple/done",
    "https://partner。example/done",
    "https://partner.example/done\u200b",
    ' https://partner.example/done"',
    "x" * 3000,
]


@pytest.mark.parametrize("uri", ELSEWHERE)
def test_nobody_is_sent_anywhere_else(still: World, uri: str) -> None:
    """A redirect URI that is not the registered one, to the letter, gets a page, and no redirect."""
    asked, _ = still.asked(redirect_uri=uri)
    response = still.ask("GET", "/oauth/authorize", asked)
    assert (response.status, response.header("location")) == (400, None)


@pytest.mark.parametrize(
    ("uri", "good"),
    [
        ("http://127.0.0.1/done", True),
        ("http://127.0.0.1:1/done", True),
        ("http://127.0.0.1:65535/done", True),
        ("com.example.app:/done", True),
        ("http://127.0.0.1:99999/done", False),
        ("http://127.0.0.1:80x/done", False),
        ("http://127.0.0.1:80@evil.example/done", False),
        ("http://127.0.0.1.evil.example/done", False),
        ("http://127.0.0.2/done", False),
        ("http://localhost/done", False),
        ("http://[::1]/done", False),
        ("https://127.0.0.1/done", False),
        ("http://127.0.0.1/done/", False),
        ("http://127.0.0.1/done?x", False),
        ("com.example.app:/done2", False),
        ("com.example.app://done", False),
    ],
)
def test_of_a_loopback_address_only_the_port_is_free(uri: str, good: bool) -> None:
    """An app may listen on any port of the address it registered (RFC 8252); everything else stays as it is."""
    assert redirects_to(uri, ["http://127.0.0.1/done", "com.example.app:/done"]) is good


@pytest.mark.parametrize(
    "uri",
    [
        "http://partner.example/done",
        "https://partner.example/*",
        "https://*.example/done",
        "https://partner.example/done#x",
        "https://ada@partner.example/done",
        "https://partner.example/../done",
        "https://partner.example/%2e%2e/done",
        "https:///done",
        "https://Partner.example/done",
        "//partner.example/done",
        "javascript:alert(1)",
        "data:text/html,x",
        "myapp:/done",
        "http://localhost/done",
        "http://127.0.0.1.evil.example/done",
        "https://partner.example/ü",
        "https://partner.example/a b",
        "https://[::1/done",
        "",
    ],
)
def test_what_may_be_registered(still: World, uri: str) -> None:
    """Plain http, wildcards, fragments, users, ways up, and schemes that are nobody's are refused."""
    with still.mall.begin(ME) as ctx:
        known = access.create_client(ctx, name="New").id
    given: dict[str, Any] = {"scopes": ["structure.read"], "grant_types": ["authorization_code"]}
    with pytest.raises(InvalidInput), still.mall.begin(ME) as ctx:
        access.register_oauth_client(ctx, client=known, redirect_uris=[uri], **given)


def test_the_answer_says_from_whom_it_is(world: World) -> None:
    """Codes and errors come with the issuer (RFC 9207) and the state, untouched, so that servers are not mixed up."""
    state = "a b&c=d%20+/?"
    back = sent_back(world.consent(world.asked(state=state)[0]))
    assert (set(back), back["iss"], back["state"]) == ({"code", "state", "iss"}, URL, state)
    back = sent_back(world.consent(world.asked(state=state)[0] | {"scope": "structure.*"}, "deny"))
    assert (back["error"], back["iss"], back["state"]) == ("access_denied", URL, state)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"response_type": "code token"}, "unsupported_response_type"),
        ({"response_type": None}, "unsupported_response_type"),
        ({"response_type": 'x"\\'}, "unsupported_response_type"),
        ({"response_mode": "fragment"}, "invalid_request"),
        ({"scope": "structure.nothing"}, "access_denied"),
        ({"scope": "openid"}, "invalid_scope"),
        ({"scope": "audit.read"}, "invalid_scope"),
        ({"scope": "structure.publish"}, "access_denied"),
        ({"resource": "https://elsewhere.example"}, "invalid_target"),
    ],
)
def test_errors_are_sent_back_to_the_client(still: World, change: dict[str, Any], error: str) -> None:
    """What is wrong with a request of a known client is said to that client."""
    back = sent_back(still.ask("GET", "/oauth/authorize", still.asked(**change)[0]))
    assert (back["error"], back["iss"], back["state"]) == (error, URL, "xyz")


def test_a_client_or_parameters_that_are_not_clear_get_a_page(still: World) -> None:
    """An unknown client, two of one parameter, what is no ASCII, too much: nobody is sent anywhere."""
    asked, _ = still.asked()
    for query in (
        {**asked, "client_id": "nobody"},
        {name: value for name, value in asked.items() if name != "client_id"},
        "client_id=partner&client_id=other&redirect_uri=" + DONE,
        {**asked, "state": "ü"},
        {**asked, "state": "x" * 9000},
        "&".join(f"a{n}=1" for n in range(100)),
        "client_id=%ff",
    ):
        response = still.ask("GET", "/oauth/authorize", query)
        assert response.status in (400, 414)
        assert response.header("location") is None
        assert "default-src 'none'" in (response.header("content-security-policy") or "")


def test_one_fixed_address_need_not_be_named(world: World) -> None:
    """A client with one address may leave it out, at both ends; one whose port is free may not."""
    code, form = world.code(redirect_uri=None)
    assert world.token("partner", code=code, **form)[0] == 200
    assert world.ask("GET", "/oauth/authorize", world.asked("app", redirect_uri=None)[0]).status == 400


def test_who_is_not_signed_in_is_asked_to(world: World) -> None:
    """Without a user there is no question and no code; programs and narrowed credentials are no users."""
    world.user = None
    assert world.ask("GET", "/oauth/authorize", world.asked()[0]).status == 401
    tokens = _as(world, ADA, world.tokens)
    for user in (world.verify(tokens["access_token"]), world.verify(world.robot())):
        response = _as(world, user, lambda: world.ask("GET", "/oauth/authorize", world.asked()[0]))
        assert (response.status, b"access_denied" in response.body) == (403, True)


def _as(world: World, user: Any, call: Any) -> Any:
    before, world.user = world.user, user
    try:
        return call()
    finally:
        world.user = before


def test_an_answer_counts_only_from_the_page_that_asked(world: World) -> None:
    """No ticket, another user's, another request's and an old one: no code, and no redirect."""
    asked, _ = world.asked()
    page = world.ask("GET", "/oauth/authorize", asked)
    assert page.header("x-frame-options") == "DENY"
    ticket = page.body.split(b'name="ticket" value="')[1].split(b'"')[0].decode()
    yes = {"ticket": ticket, "decision": "allow"}

    def refused(asked: dict[str, Any], form: dict[str, str]) -> bool:
        return world.ask("POST", "/oauth/authorize", asked, form).status == 400

    assert refused(asked, {"decision": "allow"})
    assert refused(asked, {**yes, "ticket": ticket[:-1] + ("0" if ticket[-1] != "0" else "1")})
    assert refused(asked | {"scope": "structure.*"}, yes)
    assert refused(asked | {"client_id": "other", "redirect_uri": "https://other.example/done"}, yes)
    eve = type(ADA).user("eve")
    assert _as(world, eve, lambda: refused(asked, yes))
    assert "code" in sent_back(world.ask("POST", "/oauth/authorize", asked, yes))
    world.clock.goes(601)
    assert refused(asked, yes)


def test_who_consented_is_not_asked_again(world: World) -> None:
    """The same or less is let through; more is asked for; an app, which may be another one, is asked for every time."""
    assert world.ask("GET", "/oauth/authorize", world.asked()[0]).status == 200
    world.tokens()
    assert world.ask("GET", "/oauth/authorize", world.asked()[0]).status == 302
    assert world.ask("GET", "/oauth/authorize", world.asked(scope="structure.*")[0]).status == 200
    app = {"redirect_uri": "com.example.app:/done"}
    world.tokens("app", **app)
    assert world.ask("GET", "/oauth/authorize", world.asked("app", **app)[0]).status == 200


def test_the_hosts_own_client_asks_nobody(world: World) -> None:
    """A trusted client with addresses of its own gets its code at once."""
    with world.mall.begin(ME) as ctx:
        access.update_oauth_client(ctx, client="partner", trusted=True)
    assert "code" in sent_back(world.ask("GET", "/oauth/authorize", world.asked()[0]))


def test_the_page_shows_nothing_but_text(world: World) -> None:
    """A client's name is no HTML, and the page says who asks, for whom, for what, and where one is sent."""
    with world.mall.begin(ME) as ctx:
        access.update_client(ctx, client="partner", name="<script>alert(1)</script>")
    body = world.ask("GET", "/oauth/authorize", world.asked()[0]).body.decode()
    assert "<script" not in body
    for text in ("&lt;script&gt;", "user:ada", "structure.read", DONE):
        assert text in body
