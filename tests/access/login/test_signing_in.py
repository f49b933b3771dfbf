"""Signing in and out through a real provider, on real servers: the whole way, and what is tried on it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from mallcore import access
from mallcore.access import Identity, Logins
from tests.access.login.conftest import ME, World, opened
from tests.access.login.hostile import RS, new_key
from tests.access.login.stage import Browser, Stage


def test_a_person_signs_in_and_out(world: World) -> None:
    """To the provider and back: a user of one's own, a session in a cookie, and out again, here and there."""
    browser = world.browser()
    assert browser.me() is None
    assert browser.sign_in(query="?return_to=/account").url.path == "/account"
    (identity,) = world.identities()
    assert (identity.issuer, identity.subject, identity.email) == (
        world.stage.provider.issuer,
        "ada",
        "ada@login.example",
    )
    assert browser.me() == identity.principal
    (session,) = world.sessions()
    assert (session.principal, session.identity, session.address) == (identity.principal, identity.id, "127.0.0.1")
    out = browser.send("POST", "/auth/logout")
    assert (out.status_code, browser.session, world.sessions()) == (303, None, [])
    assert out.headers["location"].startswith(world.stage.provider.issuer)
    assert browser.follow(out.headers["location"], "ada").url == f"{world.site.url}/"


def test_the_same_person_is_the_same_user(world: World) -> None:
    """Issuer and subject make the user: another sign-in, in another browser, is the same one's; another's is not."""
    one, two, three = world.browser(), world.browser(), world.browser()
    one.sign_in("ada")
    two.sign_in("ada")
    three.sign_in("bob")
    assert one.me() == two.me() != three.me()
    assert one.session != two.session
    assert len(world.sessions()) == 3


def test_a_person_stands_in_no_record_by_name(world: World) -> None:
    """Sign-ins are on record, of the user; address and program are sealed, and no e-mail address is there at all."""
    browser = world.browser()
    browser.sign_in()
    (record,) = world.records("access.session_opened")
    assert record.principal == browser.me()
    assert record.personal["address"] == "127.0.0.1"
    for table in ("mall_audit_record", "mall_session", "mall_identity"):
        with world.mall.engine.connect() as connection:
            rows = str(connection.exec_driver_sql(f"SELECT * FROM {table}").all())
        assert "ada@" not in rows
        assert "python-httpx" not in rows
        assert str(browser.session) not in rows


def test_an_answer_counts_once(world: World) -> None:
    """A callback that is opened again signs nobody in, not even in the browser it belongs to."""
    browser = world.browser()
    callback = browser.to_callback()
    kept = browser.copied()
    assert browser.http.get(callback).status_code == 303
    again = httpx.get(callback, cookies=kept)
    assert (again.status_code, again.json()["code"]) == (403, "login-refused")
    assert world.denied() == ["it was finished before"]


def test_an_answer_counts_in_the_browser_that_asked(world: World) -> None:
    """Whoever is handed another's callback (login CSRF, a stolen code) is not signed in by it."""
    browser, victim = world.browser(), world.browser()
    callback = browser.to_callback("eve")
    assert victim.http.get(callback).json()["code"] == "login-refused"
    victim.get("/auth/login/work")  # and not, if it has a sign-in of its own under way
    assert victim.http.get(callback).status_code == 403
    assert (victim.session, world.sessions()) == (None, [])
    assert world.denied() == ["it was not begun in this browser"] * 2


@pytest.mark.parametrize("change", ["state", "iss", "code"])
def test_an_answer_that_was_changed_signs_nobody_in(site: World, change: str) -> None:
    """Another state, another issuer (a mix-up) or another code: refused, and on record."""
    browser = site.browser()
    callback = httpx.URL(browser.to_callback())
    wrong = callback.params[change][:1] + "x" * 43 if change != "iss" else "https://evil.example"
    assert browser.http.get(callback.copy_set_param(change, wrong)).status_code == 403
    assert (browser.session, site.identities()) == (None, [])
    assert len(site.denied()) == 1


@pytest.mark.parametrize("name", ["state", "iss", "code"])
def test_a_parameter_that_is_there_twice_is_refused(site: World, name: str) -> None:
    """Two readers could take one for the other."""
    browser = site.browser()
    callback = browser.to_callback()
    assert browser.http.get(f"{callback}&{name}=x").status_code == 400
    assert browser.session is None


def test_several_sign_ins_of_one_browser_go_on_side_by_side(site: World) -> None:
    """Two tabs: each of them ends well, in any order."""
    browser = site.browser()
    one, two = browser.to_callback(), browser.to_callback()
    assert browser.http.get(one).status_code == 303
    assert browser.http.get(two).status_code == 303
    assert browser.me() is not None


def test_a_session_is_new_with_every_sign_in(world: World) -> None:
    """Fixation: a session that was in the browser before is over, and the one after it has another token."""
    attacker, victim = world.browser(), world.browser()
    attacker.sign_in("eve")
    planted = str(attacker.session)
    victim.http.cookies.set("mall_session", planted, domain="127.0.0.1", path="/")
    assert victim.me() == attacker.me()
    victim.sign_in("ada")
    assert [one.value for one in victim.http.cookies.jar if one.name == "mall_session"] != [planted]
    assert attacker.me() is None


def test_a_token_of_ones_own_making_is_no_session(world: World) -> None:
    """What was never given out is refused, however it looks, and becomes nobody's session at a sign-in."""
    browser = world.browser()
    for token in ("ms_1_" + "x" * 43, "ms_9_" + "x" * 43, "ms_", "ms_1_", "x"):
        assert httpx.get(f"{world.site.url}/mall/me", cookies={"mall_session": token}).status_code == 401
    browser.http.cookies.set("mall_session", "ms_1_" + "x" * 43, domain="127.0.0.1", path="/")
    browser.sign_in()
    assert browser.session != "ms_1_" + "x" * 43


def test_a_stolen_cookie_is_of_no_use_after_the_logout(world: World) -> None:
    """Who kept a copy of the cookie is refused at once, and the attempt is on record, with its address sealed."""
    browser = world.browser()
    browser.sign_in()
    user, stolen = browser.me(), str(browser.session)
    browser.send("POST", "/auth/logout")
    assert httpx.get(f"{world.site.url}/mall/me", cookies={"mall_session": stolen}).status_code == 401
    (record,) = world.records("access.denied")
    assert (record.principal, record.after["reason"], record.personal["address"]) == (user, "ended", "127.0.0.1")


def test_a_session_is_a_bearer_token_too(world: World) -> None:
    """A program may send the token as such, where a host takes bearer tokens; then no page's origin counts."""
    from mallcore.api import Request, bearer
    from mallcore.kernel.ports import Presented, Verifiers

    browser = world.browser()
    browser.sign_in()
    token = str(browser.session)
    found = bearer(world.mall)(Request("POST", "/x", headers={"authorization": f"Bearer {token}"}))
    assert found is not None
    assert found.ref == browser.me()
    assert found.session == world.sessions()[0].id
    with world.mall.begin(ME) as ctx:
        assert ctx.port(Verifiers).of(token).verify(Presented(token)) == found  # type: ignore[union-attr]


FOREIGN = {
    "another site": {"origin": "https://evil.example"},
    "nowhere": {"origin": "null"},
    "a sandbox that says it is here": {"origin": "null", "sec-fetch-site": "same-origin"},
    "a neighbour": {"sec-fetch-site": "same-site", "origin": ""},
    "another site, by the browser's word": {"sec-fetch-site": "cross-site", "origin": ""},
    "somebody who says nothing": {"origin": ""},
    "a host like ours": {"origin": "http://127.0.0.1.evil.example"},
    "another port": {"origin": "http://127.0.0.1:1"},
}


@pytest.mark.parametrize("foreign", FOREIGN)
def test_another_site_changes_nothing(site: World, foreign: str) -> None:
    """A browser sends its cookie for any site that asks: what does not come from here changes nothing."""
    browser = site.browser()
    browser.sign_in()
    session = site.sessions()[0].id
    refused = browser.send("DELETE", f"/mall/sessions/{session}", **FOREIGN[foreign])
    assert (refused.status_code, refused.json()["code"]) == (403, "denied")
    assert browser.send("POST", "/auth/logout", **FOREIGN[foreign]).status_code == 403
    assert browser.me() is not None
    assert browser.send("DELETE", f"/mall/sessions/{session}").status_code == 200
    assert browser.me() is None


@pytest.mark.parametrize(
    "to", ["https://evil.example", "//evil.example", "/\\evil.example", "/%09/evil.example", "evil", "", "/a%0d%0ab",
           "javascript:alert(1)", "/" + "x" * 500, "/%5C%5Cevil"]
)  # fmt: skip
def test_nobody_is_sent_elsewhere(site: World, to: str) -> None:
    """A return target that is no path of this very site begins no sign-in (open redirects)."""
    refused = site.browser().get(f"/auth/login/work?return_to={to}")
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid-input")


def test_where_the_provider_sends_browsers_does_not_depend_on_a_request(site: World) -> None:
    """A Host header of somebody's making does not reach the redirect URI."""
    answer = site.browser().get("/auth/login/work", host="evil.example")
    assert httpx.URL(answer.headers["location"]).params["redirect_uri"] == f"{site.site.url}/auth/login/work/callback"


def test_an_unknown_provider_is_not_found(site: World) -> None:
    """There is only what the host has declared."""
    browser = site.browser()
    assert browser.get("/auth/login/other").json()["code"] == "unknown-provider"
    assert browser.get("/auth/login/other/callback").status_code == 403
    for method, path in (("GET", "/auth/logout"), ("POST", "/auth/login/work"), ("GET", "/auth/login/a/b/c")):
        assert browser.send(method, path).status_code == 404


def test_the_provider_rotates_its_keys(site: World) -> None:
    """It comes back with other keys: the next sign-in is proven by those, and none by the old."""
    browser = site.browser()
    browser.sign_in()
    keys = {"keys": [new_key(RS, "rotated", use="sig").as_dict(private=True)]}
    site.stage.provider.restart(keys)
    later = site.browser()
    later.sign_in()
    assert later.me() == browser.me() is not None


def test_the_provider_ends_its_sessions_here(world: World) -> None:
    """Back-channel logout: who signs out at the provider is out here, too, and nobody else is."""
    one, other = world.browser(), world.browser()
    one.sign_in("ada")
    other.sign_in("bob")
    one.follow(f"{world.stage.provider.issuer}/session/end", "ada")
    assert (one.me(), other.me() is not None) == (None, True)
    (ended,) = [one for one in world.sessions(over=True) if one.ended_at is not None]
    assert ended.reason == "provider"
    assert world.records("access.session_ended")[0].after["reason"] == "provider"


@pytest.mark.parametrize("token", ["", "x", "a.b.c"])
def test_a_message_that_proves_nothing_ends_nothing(world: World, token: str) -> None:
    """Who can't sign as the provider signs nobody out; the answer is the one that the specification has."""
    browser = world.browser()
    browser.sign_in()
    url = f"{world.site.url}/auth/login/work/backchannel-logout"
    told = httpx.post(url, data={"logout_token": token})
    assert (told.status_code, told.json()["error"], told.headers["cache-control"]) == (
        400,
        "invalid_request",
        "no-store",
    )
    assert httpx.post(url, json={"logout_token": token}).status_code == 400
    assert browser.me() is not None
    assert len(world.denied()) == 1


# --- whose an identity is


def by_email(identity: Identity) -> str | None:
    """A rule no host should have: it takes the e-mail address for the person."""
    return str(identity.email).partition("@")[0]


@pytest.fixture
def careless(stage: Stage, tmp_path: Path) -> Iterator[World]:
    """A site whose rule finds users by their e-mail address."""
    site = stage.sites["fastapi"]
    yield from opened(stage, site, tmp_path, Logins([stage.login(site, trusted=True)], new_user=by_email))


@pytest.mark.parametrize("thief", ["eve", "mallory"])
def test_an_email_address_takes_over_nobody(careless: World, thief: str) -> None:
    """Another identity with the same address, verified or not, never becomes the user who has it already."""
    browser, other = careless.browser(), careless.browser()
    browser.sign_in("ada")
    assert browser.me() == "user:ada"
    refused = other.sign_in(thief)
    assert (refused.status_code, refused.json()["code"], other.session) == (403, "login-refused", None)
    assert [one.subject for one in careless.identities()] == ["ada"]
    assert careless.denied() == ["the user it would be signs in otherwise: sign in so, and link this identity"]


def test_a_host_says_who_comes_in(stage: Stage, tmp_path: Path) -> None:
    """A rule that gives no id lets nobody in who is not known."""
    site = stage.sites["fastapi"]
    for world in opened(stage, site, tmp_path, Logins([stage.login(site)], new_user=lambda _: None)):
        assert world.browser().sign_in().json()["code"] == "login-refused"
        assert (world.identities(), world.sessions()) == ([], [])


def ticket(world: World, browser: Browser, user: str) -> str:
    """What a sign-in ends with that asked for a link."""
    browser.forget_provider()
    found = browser.follow(
        f"{world.site.url}/auth/login/work?link=1&return_to=/account", user, f"{world.site.url}/account"
    )
    return str(httpx.URL(found.headers["location"]).fragment).removeprefix("link=")


def test_an_identity_is_linked_by_who_has_both(careless: World) -> None:
    """Signed in here, signed in there, and confirmed: from then on, both are the same user."""
    browser, later = careless.browser(), careless.browser()
    browser.sign_in("ada")
    got = ticket(careless, browser, "eve")
    assert len(careless.identities()) == 1
    linked = browser.send("POST", "/mall/identities", json={"ticket": got})
    assert (linked.status_code, linked.json()["principal"], linked.json()["subject"]) == (201, "user:ada", "eve")
    later.sign_in("eve")
    assert later.me() == "user:ada"
    again = browser.send("POST", "/mall/identities", json={"ticket": got})
    assert (again.status_code, again.json()["code"]) == (403, "login-refused")


def test_a_ticket_is_for_the_session_that_asked(careless: World) -> None:
    """Handed to somebody else, or after the end of the session, it links nothing."""
    browser, other = careless.browser(), careless.browser()
    browser.sign_in("ada")
    other.sign_in("bob")
    got = ticket(careless, browser, "eve")
    assert other.send("POST", "/mall/identities", json={"ticket": got}).status_code == 403
    assert httpx.post(f"{careless.site.url}/mall/identities", json={"ticket": got}).status_code == 401
    assert browser.send("POST", "/mall/identities", json={"ticket": "1." + "x" * 80}).status_code == 403
    browser.send("POST", "/auth/logout")
    later = careless.browser()
    later.sign_in("ada")
    assert later.me() == "user:ada"
    assert later.send("POST", "/mall/identities", json={"ticket": got}).status_code == 403
    assert [one.subject for one in careless.identities()] == ["ada", "bob"]


def test_what_is_doubtful_is_not_linked(careless: World) -> None:
    """An address that the provider has not verified, and an identity that is another user's, get no ticket."""
    browser, other = careless.browser(), careless.browser()
    browser.sign_in("ada")
    other.sign_in("bob")
    for user, code in (("mallory", "login-refused"), ("bob", "identity-taken")):
        browser.forget_provider()
        refused = browser.follow(f"{careless.site.url}/auth/login/work?link=1", user)
        assert refused.json()["code"] == code
    assert browser.me() == "user:ada"
    assert careless.browser().get("/auth/login/work?link=1").status_code == 401


def test_a_provider_that_is_not_trusted_links_nothing(site: World) -> None:
    """Its word on whose an address is does not count, whatever it says."""
    browser = site.browser()
    browser.sign_in("ada")
    browser.forget_provider()
    refused = browser.follow(f"{site.site.url}/auth/login/work?link=1", "eve")
    assert refused.json()["code"] == "login-refused"
    assert site.denied() == ["this provider is not trusted to say whose an identity is"]


def test_an_identity_that_is_unlinked_opens_nothing(careless: World) -> None:
    """Its sessions are over, on record; who comes with it again is somebody new."""
    browser = careless.browser()
    browser.sign_in("ada")
    (identity,) = careless.identities()
    assert browser.send("DELETE", f"/mall/identities/{identity.id}").status_code == 200
    assert (browser.me(), careless.identities()) == (None, [])
    assert careless.records("access.identity_unlinked")[0].before["principal"] == "user:ada"
    browser.sign_in("eve")
    assert browser.me() == "user:ada"  # nobody has that name any more


def test_a_sign_in_everywhere_ends_at_once(world: World) -> None:
    """The end of all of a user's sessions reaches each browser with its next request."""
    one, two = world.browser(), world.browser()
    one.sign_in()
    two.sign_in()
    with world.mall.begin(ME) as ctx:
        access.end_sessions(ctx, principal=str(one.me()))
    assert (one.me(), two.me(), world.sessions()) == (None, None, [])
