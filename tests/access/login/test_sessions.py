"""Sessions: how long they are good, who sees and ends them, what is kept of them, and which cookies carry them."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from mallcore import Mall, Principal, access, audit, structure
from mallcore.access import Logins
from mallcore.adapters.login import LoginPages
from mallcore.api import Dispatch, Options, Refused, Request, Response, session_cookie
from mallcore.backends.openid import OpenIdConnect
from mallcore.errors import (
    BadCredential,
    Denied,
    InvalidSettings,
    LoginRefused,
    MallError,
    Unauthenticated,
    UnknownIdentity,
    UnknownSession,
)
from mallcore.kernel.ports import Presented, Verifiers
from tests.access.login.desk import Desk, signed_in

ME = Principal.system("test")


class Clock:
    """A clock that goes when it is told to."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 24, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def go(self, **time: float) -> None:
        self.now += timedelta(**time)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def mall(database_url: str, clock: Clock) -> Iterator[Mall]:
    logins = Logins([Desk()], idle_seconds=3600, life_seconds=24 * 3600)
    with Mall.open(database_url, migrate="always", clock=clock, logins=logins) as opened:
        yield opened


def opened(mall: Mall, user: str = "ada", **more: Any) -> access.NewSession:
    """A session, as a host opens one for whom it has signed in itself."""
    with mall.begin(ME) as ctx:
        return access.open_session(ctx, user=user, **more)


def whose(mall: Mall, token: str) -> Principal:
    """Who bears a token; raises what its verifier raises."""
    with mall.begin(ME) as ctx:
        verifier = ctx.port(Verifiers).of(token)
    assert verifier is not None
    found: Principal = verifier.verify(Presented(token, "192.0.2.7"))
    return found


def is_good(mall: Mall, token: str) -> bool:
    try:
        whose(mall, token)
    except BadCredential:
        return False
    return True


def test_a_host_opens_sessions_itself(mall: Mall) -> None:
    """For whom it has signed in by a password, say: a random token, of a user who has a session now."""
    one, two = opened(mall), opened(mall)
    assert re.fullmatch(r"ms_1_[A-Za-z0-9_-]{43}", one.token)
    assert one.token != two.token
    assert (whose(mall, one.token), whose(mall, one.token).session) == (Principal.user("ada"), one.id)
    assert one.token not in repr(one)


def test_only_a_system_opens_sessions(mall: Mall) -> None:
    """No person and no program can sign in somebody."""
    with mall.begin(ME) as ctx:
        access.grant(ctx, principal="user:eve", role="owner")
    with pytest.raises(Denied), mall.begin(Principal.user("eve")) as ctx:
        access.open_session(ctx, user="ada")


def test_the_token_is_nowhere(mall: Mall) -> None:
    """What stands in the database, and in the log, opens nothing and names no address."""
    made = opened(mall, caller=access.Caller("192.0.2.55", "a browser"))
    secret = made.token.removeprefix("ms_1_")
    with mall.engine.connect() as connection:
        for table in ("mall_session", "mall_audit_record"):
            rows = str(connection.execute(text(f"SELECT * FROM {table}")).all())
            assert (secret in rows, "192.0.2.55" in rows, "a browser" in rows) == (False, False, False)


def test_a_session_ends_when_nobody_uses_it(mall: Mall, clock: Clock) -> None:
    """An hour without a request; each request begins the hour anew."""
    used, unused = opened(mall), opened(mall)
    for _ in range(4):
        clock.go(minutes=40)
        assert is_good(mall, used.token)
    assert not is_good(mall, unused.token)
    clock.go(minutes=61)
    assert not is_good(mall, used.token)


def test_a_session_ends_however_much_it_is_used(mall: Mall, clock: Clock) -> None:
    """After a day in all, sign in again."""
    made = opened(mall)
    for _ in range(23 * 2):
        clock.go(minutes=30)
        assert is_good(mall, made.token)
    clock.go(minutes=61)
    assert not is_good(mall, made.token)


def test_it_is_noted_in_batches_when_a_session_was_seen(mall: Mall, clock: Clock, database_url: str) -> None:
    """A request writes nothing for a minute; then, or with the scheduler, another process knows it, too."""
    made = opened(mall)
    clock.go(seconds=61)
    whose(mall, made.token)
    assert seen(mall) == [datetime(2026, 11, 24, 12, tzinfo=UTC)]
    clock.go(seconds=61)
    whose(mall, made.token)
    assert seen(mall) == [clock.now]
    clock.go(minutes=50)
    whose(mall, made.token)
    for chore in mall.chores.ticks:
        chore()
    clock.go(minutes=50)
    with Mall.open(database_url, clock=clock, follow=False) as other:
        assert is_good(other, made.token)


def seen(mall: Mall) -> list[datetime]:
    """When the sessions were seen last, by the database."""
    with mall.begin(ME) as ctx:
        return [one.seen_at for one in access.list_sessions(ctx, over=True).items]


def test_the_end_counts_in_every_process(mall: Mall, database_url: str, clock: Clock) -> None:
    """A session that was ended here is refused there with its next request."""
    made = opened(mall)
    with Mall.open(database_url, clock=clock, follow=False) as other:
        assert is_good(other, made.token)
        with mall.begin(whose(mall, made.token)) as ctx:
            access.end_session(ctx, session=made.id)
        assert not is_good(other, made.token)


def test_the_end_of_all_is_the_end_of_each(mall: Mall) -> None:
    """One raises the epoch, and ends the sessions; a session that is opened afterwards is good."""
    one, other = opened(mall), opened(mall, "bob")
    with mall.begin(ME) as ctx:
        access.end_sessions(ctx, principal="user:ada")
    assert (is_good(mall, one.token), is_good(mall, other.token)) == (False, True)
    assert is_good(mall, opened(mall).token)


def test_a_session_of_an_older_epoch_is_over(mall: Mall) -> None:
    """One that was opened while all were being ended does not slip through: it belongs to the epoch before."""
    made = opened(mall)
    with mall.engine.begin() as connection:
        connection.execute(text("UPDATE mall_session SET epoch = -1"))
    assert not is_good(mall, made.token)


def test_a_revoked_key_ends_all_sessions_made_under_it(mall: Mall) -> None:
    """Rotation ends none, revocation all that the key has made; new ones are known under the next."""
    one = opened(mall)
    with mall.begin(ME) as ctx:
        access.rotate_key(ctx, purpose="logins")
    two = opened(mall)
    assert (is_good(mall, one.token), is_good(mall, two.token)) == (True, True)
    with mall.begin(ME) as ctx:
        access.revoke_key(ctx, purpose="logins", number=1)
    assert (is_good(mall, one.token), is_good(mall, two.token)) == (False, True)


TOKENS = ("ms_", "ms_1_", "ms_0_" + "x" * 43, "ms_1_" + "x" * 42, "ms_1_" + "x" * 44, "ms_1_" + "é" * 43,
          "ms_99999999999999999999_" + "x" * 43, "ms_1_" + "x" * 43 + "\n", "ms_" + "x" * 10_000)  # fmt: skip


@pytest.mark.parametrize("token", TOKENS)
def test_what_looks_like_a_token_only_is_refused(mall: Mall, token: str) -> None:
    """Any text that begins like a session's token and is none: refused, and on record, so many a minute."""
    for _ in range(25):
        assert not is_good(mall, token)
    with mall.begin(ME) as ctx:
        records = audit.list_records(ctx, outcome="denied", limit=200).items
    assert len(records) == 20
    assert {one.after["reason"] for one in records} == {"unknown"}


def test_ones_own_sessions_are_listed_and_ended(mall: Mall) -> None:
    """A user sees where one is signed in, which session this is, and ends any of them; others' look like none."""
    mine, also, foreign = opened(mall), opened(mall, caller=access.Caller("192.0.2.1", "x")), opened(mall, "eve")
    with mall.begin(whose(mall, mine.token)) as ctx:
        found = access.list_sessions(ctx).items
        assert [(one.id, one.current) for one in found] == [(mine.id, True), (also.id, False)]
        assert (found[1].address, found[1].user_agent) == ("192.0.2.1", "x")
        assert access.end_session(ctx, session=also.id).reason == "ended"
    for session in (foreign.id, f"ses_{0:032x}"):
        with pytest.raises(Denied) as refused, mall.begin(whose(mall, mine.token)) as ctx:
            access.end_session(ctx, session=session)
        assert str(refused.value) == "user:ada may not access.manage here: ask for a role that has this permission."
    with mall.begin(whose(mall, mine.token)) as ctx:
        assert access.end_session(ctx, session=mine.id).reason == "signed-out"
    assert [is_good(mall, one.token) for one in (mine, also, foreign)] == [False, False, True]


def test_others_sessions_are_for_who_manages_access(mall: Mall) -> None:
    """Listing needs access.read, ending access.manage, both in the whole mall; refusals are on record."""
    made = opened(mall)
    eve = Principal.user("eve")
    listing: list[Callable[[Any], Any]] = [
        lambda ctx: access.list_sessions(ctx, principal="user:ada"),
        lambda ctx: access.list_identities(ctx, principal="user:ada"),
    ]
    ending: Callable[[Any], Any] = lambda ctx: access.end_session(ctx, session=made.id)  # noqa: E731
    for call in (*listing, ending):
        with pytest.raises(Denied), mall.begin(eve) as ctx:
            call(ctx)
        with pytest.raises(Unauthenticated), mall.begin(Principal.anonymous()) as ctx:
            call(ctx)
    with mall.begin(ME) as ctx:
        assert len(audit.list_records(ctx, outcome="denied").items) == 6
        access.grant(ctx, principal="user:eve", role="auditor")
    with mall.begin(eve) as ctx:
        assert [len(call(ctx).items) for call in listing] == [1, 0]
    with pytest.raises(Denied), mall.begin(eve) as ctx:
        ending(ctx)
    with mall.begin(ME) as ctx:
        access.grant(ctx, principal="user:eve", role="owner")
    with mall.begin(eve) as ctx:
        assert ending(ctx).reason == "ended"
    with pytest.raises(UnknownSession), mall.begin(eve) as ctx:
        ending(ctx)
    with pytest.raises(UnknownIdentity), mall.begin(eve) as ctx:
        access.unlink_identity(ctx, identity="idt_x")


def test_who_was_given_only_some_permissions_is_not_the_person(mall: Mall) -> None:
    """A credential that is narrowed to scopes does not reach its person's sessions by being theirs."""
    made = opened(mall)
    from mallcore.kernel.context import Credential

    narrow = Principal("user", "ada", None, Credential("key", scopes=frozenset({"structure.read"})))
    for call in (lambda ctx: access.list_sessions(ctx), lambda ctx: access.end_session(ctx, session=made.id)):
        with pytest.raises(Denied), mall.begin(narrow) as ctx:
            call(ctx)


def test_sessions_that_are_long_over_are_forgotten(mall: Mall, clock: Clock) -> None:
    """They are kept for 30 days, for who asks what happened; then housekeeping drops them."""
    opened(mall)
    for days, kept in ((29, 1), (4, 0)):
        clock.go(days=days)
        for chore in mall.chores.hours:
            chore()
        assert len(seen(mall)) == kept


@pytest.mark.parametrize("lives", [(299, 3600), (3600, 3599), (3600, 2**40), (-1, 3600)])
def test_lives_make_sense(lives: tuple[int, int]) -> None:
    """No session is idle before it can be noted that it was used, and none is good for ever."""
    with pytest.raises(InvalidSettings):
        Logins(idle_seconds=lives[0], life_seconds=lives[1])


def test_providers_are_what_they_must_be() -> None:
    """A name that is a part of a path, once; and all that the Protocol asks for."""
    other = Desk()
    other.name = "../x"
    for wrong in ([Desk(), Desk()], [other], [object()]):
        with pytest.raises(InvalidSettings):
            Logins(wrong)  # type: ignore[arg-type]


def at_once(calls: list[Callable[[], Any]]) -> list[Any]:
    """What calls give that are made at one moment; an error of the mall's, for one that is refused."""
    gate = threading.Barrier(len(calls))

    def call(one: Callable[[], Any]) -> Any:
        gate.wait()
        try:
            return one()
        except MallError as error:
            return error

    with ThreadPoolExecutor(len(calls)) as threads:
        return list(threads.map(call, calls))


def test_a_sign_in_that_is_finished_twice_at_once_counts_once(mall: Mall) -> None:
    """Of several requests with one state, whichever is first signs in, and the others are refused."""
    steps = access.SigningIn(mall.begin)
    under_way = steps.start("desk", "https://shop.example/callback")
    parameters = {"state": under_way.url.partition("state=")[2], "code": "ada"}
    returned = access.Returned(parameters, {under_way.slot: under_way.kept})
    found = at_once([lambda: steps.finish("desk", returned, access.Caller())] * 4)
    assert sorted(type(one).__name__ for one in found) == ["LoginRefused"] * 3 + ["SignedIn"]
    with mall.begin(ME) as ctx:
        assert len(access.list_sessions(ctx).items) == 1


def test_a_person_who_comes_twice_at_once_is_one_user(mall: Mall) -> None:
    """Two browsers of somebody new: one identity, one user, two sessions."""
    found = at_once([lambda: signed_in(mall, "ada")] * 4)
    assert len({one.session.principal for one in found}) == 1
    with mall.begin(ME) as ctx:
        assert len(access.list_identities(ctx).items) == 1
        assert len(access.list_sessions(ctx).items) == 4


def test_a_ticket_that_is_used_twice_at_once_links_once(mall: Mall) -> None:
    """Whichever is first links, on record once."""
    first = signed_in(mall, "ada").session
    assert first is not None
    who = whose(mall, first.token)
    ticket = str(signed_in(mall, "ada@work", first.token, who).ticket)

    def link() -> Any:
        with mall.begin(who) as ctx:
            return access.link_identity(ctx, ticket=ticket)

    found = at_once([link] * 4)
    assert sorted(type(one).__name__ for one in found) == ["IdentityInfo"] + ["LoginRefused"] * 3
    with mall.begin(ME) as ctx:
        assert len(audit.list_records(ctx, event="access.identity_linked").items) == 2


# --- pages and cookies, as they are over https


@pytest.fixture
def pages(mall: Mall) -> LoginPages:
    return LoginPages(mall, "https://shop.example/auth", failed="/sign-in?x=1", after_logout="/bye")


def asked(pages: LoginPages, method: str, path: str, query: str = "", **headers: str) -> Response:
    """A request of a browser."""
    told = {name.replace("_", "-"): value for name, value in headers.items()}
    return pages.run(Request(method, path, query, told, origin={"client": ("192.0.2.9", 1)}))


def cookies(response: Response) -> list[str]:
    return [value for name, value in response.headers if name == "set-cookie"]


def begun(pages: LoginPages, query: str = "", **headers: str) -> tuple[str, str]:
    """A sign-in that is under way: its state, and the cookie that it left."""
    response = asked(pages, "GET", "/login/desk", query, **headers)
    state = str(response.header("location")).partition("state=")[2]
    (kept,) = cookies(response)
    return state, kept.partition(";")[0]


def test_cookies_are_for_this_site_only(pages: LoginPages) -> None:
    """Over https, for this host, for no script, not for other sites' requests; and nothing is stored on the way."""
    state, kept = begun(pages, "return_to=/account")
    response = asked(pages, "GET", "/login/desk/callback", f"code=ada&state={state}", cookie=kept)
    assert (response.status, response.header("location")) == (303, "/account")
    assert (response.header("cache-control"), response.header("referrer-policy")) == ("no-store", "no-referrer")
    used, session = cookies(response)
    assert used.startswith(f"__Host-mall_login_{state[0]}=; Path=/; Max-Age=0;")
    assert re.fullmatch(
        r"__Host-mall_session=ms_1_[\w-]{43}; Path=/; Max-Age=86400; HttpOnly; SameSite=Lax; Secure", session
    )


def test_a_refusal_shows_where_the_host_says(pages: LoginPages) -> None:
    """A page of the host's gets the code of what went wrong, and the cookie of that sign-in is used up."""
    state, kept = begun(pages)
    response = asked(pages, "GET", "/login/desk/callback", f"code=ada&state={state}x", cookie=kept)
    assert (response.status, response.header("location")) == (303, "/sign-in?x=1&error=login-refused")
    assert cookies(response) == [f"__Host-mall_login_{state[0]}=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax; Secure"]


@pytest.mark.parametrize("state", ["", "%0d%0aset-cookie:x=y", ";", "z" * 44])
def test_no_state_of_somebodys_making_reaches_a_header(pages: LoginPages, state: str) -> None:
    """Headers have only names that the mall itself gives."""
    response = asked(pages, "GET", "/login/desk/callback", f"code=ada&state={state}")
    assert cookies(response) == ["__Host-mall_login_a=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax; Secure"]


def test_a_sign_in_may_not_take_too_long(pages: LoginPages, mall: Mall, clock: Clock) -> None:
    """After ten minutes it is begun anew; and what was sealed for one provider is good for no other."""
    state, kept = begun(pages)
    clock.go(minutes=10)
    slot, _, sealed = kept.removeprefix("__Host-mall_login_").partition("=")
    returned = access.Returned({"state": state, "code": "ada"}, {slot: sealed})
    with pytest.raises(LoginRefused, match="too long"):
        access.SigningIn(mall.begin).finish("desk", returned, access.Caller())


def test_no_cookie_of_a_sign_in_can_be_changed(pages: LoginPages) -> None:
    """It is sealed: whatever is changed in it, or comes from a key that is none, makes it nothing."""
    state, kept = begun(pages)
    name, _, value = kept.partition("=")
    for wrong in (value[:-2] + "xx", "9" + value[1:], "", "1.", "x", value.partition(".")[2], "1." + "é"):
        response = asked(pages, "GET", "/login/desk/callback", f"code=ada&state={state}", cookie=f"{name}={wrong}")
        assert "error=login-refused" in str(response.header("location"))


def test_four_sign_ins_of_a_browser_go_on_side_by_side(pages: LoginPages) -> None:
    """Each has a cookie of its own; a fifth takes the place of one of them, so that cookies never pile up."""
    had: list[str] = []
    for _ in range(5):
        _, kept = begun(pages, cookie="; ".join(had))
        had = [one for one in had if one.partition("=")[0] != kept.partition("=")[0]] + [kept]
    assert sorted(one.partition("=")[0][-1] for one in had) == ["a", "b", "c", "d"]


def test_another_site_fills_no_browser_with_cookies(pages: LoginPages) -> None:
    """What is embedded begins no sign-in; and four sign-ins with the longest of targets fit in any server's headers."""
    for where in ("image", "iframe", "empty", "script"):
        embedded = asked(pages, "GET", "/login/desk", sec_fetch_dest=where)
        assert (embedded.status, cookies(embedded)) == (403, [])
    _, kept = begun(pages, "return_to=/" + "x" * 499, sec_fetch_dest="document")
    assert 4 * len(kept) < 6000


def test_signing_out_leads_through_the_provider(pages: LoginPages, mall: Mall) -> None:
    """The session is over, its cookie is gone, and the provider may send the browser back to this site only."""
    state, kept = begun(pages)
    asked(pages, "GET", "/login/desk/callback", f"code=ada&state={state}", cookie=kept)
    state, kept = begun(pages)
    response = asked(pages, "GET", "/login/desk/callback", f"code=ada&state={state}", cookie=kept)
    cookie = cookies(response)[1].partition(";")[0]
    out = asked(pages, "POST", "/logout", cookie=cookie, origin="https://shop.example", host="shop.example")
    assert (out.status, out.header("location")) == (303, "https://desk.example/out?p&https://shop.example/bye")
    assert cookies(out) == ["__Host-mall_session=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax; Secure"]
    again = asked(pages, "POST", "/logout", cookie=cookie, sec_fetch_site="same-origin")
    assert (again.status, again.header("location")) == (303, "/bye")
    assert asked(pages, "POST", "/logout").header("location") == "/bye"


def test_the_provider_ends_what_it_names(pages: LoginPages, mall: Mall) -> None:
    """All sessions of a subject, or one of them; what is told twice counts once, and of a stranger nothing ends."""
    tokens = []
    for who in ("ada", "ada", "bob"):
        state, kept = begun(pages)
        made = asked(pages, "GET", "/login/desk/callback", f"code={who}&state={state}", cookie=kept)
        tokens.append(cookies(made)[1].partition("=")[2].partition(";")[0])

    def told(token: str) -> int:
        request = Request("POST", "/login/desk/backchannel-logout", body=f"logout_token={token}".encode())
        request.headers = {"content-type": "application/x-www-form-urlencoded"}
        return pages.run(request).status

    assert (told("stranger/"), told("/"), told("/at-bob")) == (200, 400, 200)
    assert [is_good(mall, one) for one in tokens] == [True, True, False]
    assert (told("ada/"), told("ada/")) == (200, 400)
    assert [is_good(mall, one) for one in tokens] == [False, False, False]


def test_a_refused_message_is_on_record_with_its_address(pages: LoginPages, mall: Mall) -> None:
    """Whoever sends false messages fills the room of its own address on record, and not everybody's."""
    for number in range(31):
        form = {"content-type": "application/x-www-form-urlencoded"}
        origin = {"client": ("192.0.2.44" if number < 30 else "192.0.2.45", 1)}
        asked = Request(
            "POST", "/login/desk/backchannel-logout", headers=form, body=b"logout_token=ada/", origin=origin
        )
        assert pages.run(asked).status == (400 if number else 200)
    with mall.begin(ME) as ctx:
        found = [repr(one) for one in audit.list_records(ctx, outcome="denied", limit=100).items]
    assert [sum(one in record for record in found) for one in ("192.0.2.44", "192.0.2.45")] == [20, 1]


def test_what_a_provider_says_of_a_person_is_cut(pages: LoginPages, mall: Mall) -> None:
    """A text that no database holds is left out, a long one is cut; a name that is too long is nobody's."""
    state, kept = begun(pages)
    asked(pages, "GET", "/login/desk/callback", f"code=ada&state={state}", cookie=kept)
    with mall.begin(ME) as ctx:
        (found,) = access.list_identities(ctx).items
    assert (found.email, found.name) == (None, "x" * 320)
    state, kept = begun(pages)
    refused = asked(pages, "GET", "/login/desk/callback", f"code={'x' * 256}&state={state}", cookie=kept)
    assert "login-refused" in str(refused.header("location"))


@pytest.mark.parametrize("url", ["http://shop.example/auth", "shop.example", "https://", "https://shop.example?a=b"])
def test_pages_have_a_place_that_is_safe(mall: Mall, url: str) -> None:
    """Where they are reached from outside is an https URL; plain http needs to be allowed."""
    with pytest.raises(InvalidSettings):
        LoginPages(mall, url)


def test_a_large_body_is_refused_unread(pages: LoginPages) -> None:
    """What a provider tells is small."""
    request = Request("POST", "/login/desk/backchannel-logout", headers={"content-length": str(1 << 20)})
    assert pages.run(request).status == 413


def cookied(mall: Mall, token: str, method: str = "GET", **more: Any) -> Principal | None:
    """Who a request with a session's cookie is from."""
    headers = {"cookie": f"a=b; __Host-mall_session={token}", "host": "shop.example", **more.pop("headers", {})}
    return session_cookie(mall, **more)(Request(method, "/x", headers=headers))


@pytest.mark.parametrize(
    ("headers", "good"),
    [
        ({"origin": "https://shop.example"}, True),
        ({"sec-fetch-site": "same-origin"}, True),
        ({"sec-fetch-site": "none"}, True),
        ({"origin": "https://shop.example", "sec-fetch-site": "same-origin"}, True),
        ({"origin": "https://app.example", "sec-fetch-site": "cross-site"}, True),
        ({"origin": "http://shop.example"}, False),
        ({"origin": "https://shop.example", "sec-fetch-site": "cross-site"}, False),
        ({"origin": "https://evil.example", "sec-fetch-site": "same-origin"}, False),
        ({"origin": "https://shop.example:444"}, False),
        ({"origin": "https://[bad"}, False),
        ({"sec-fetch-site": "same-site"}, False),
        ({}, False),
    ],
)
def test_a_change_comes_from_this_site(mall: Mall, headers: dict[str, str], good: bool) -> None:
    """By Origin, by Sec-Fetch-Site, and by both if both are there; a host may allow other origins by name."""
    token = opened(mall).token
    for method, more in (("POST", {}), ("GET", {"upgrade": "websocket"})):
        given: dict[str, Any] = {"headers": {**headers, **more}, "origins": ["https://app.example"]}
        if good:
            assert cookied(mall, token, method, **given) == Principal.user("ada")
        else:
            with pytest.raises(Refused):
                cookied(mall, token, method, **given)
    assert cookied(mall, token, headers=headers) == Principal.user("ada")


def test_a_cookie_that_is_no_sessions_is_left_alone(mall: Mall) -> None:
    """Without ours, another way to say who one is counts; so it does beside an Authorization header."""
    host = session_cookie(mall, lambda _: Principal.user("host"))
    for headers in ({}, {"cookie": "other=1"}, {"authorization": "Basic x", "cookie": "__Host-mall_session=ms_1_x"}):
        assert host(Request("GET", "/x", headers=headers)) == Principal.user("host")
    assert session_cookie(mall)(Request("GET", "/x")) is None
    with pytest.raises(MallError):
        host(Request("GET", "/x", headers={"cookie": "__Host-mall_session=nothing"}))


def test_no_cookie_hides_in_another(mall: Mall) -> None:
    """Who may set a cookie of some name can't make one of ours of it: neither by a comma nor by quotation marks."""
    ours = f"__Host-mall_session={opened(mall).token}"
    for header in (f"a=1,{ours}", f'a="1; {ours}"', ours.replace("=", " ")):
        assert session_cookie(mall)(Request("GET", "/x", headers={"cookie": header})) is None
    assert session_cookie(mall)(Request("GET", "/x", headers={"cookie": f"a=1;{ours}; b"})) is not None


def test_who_is_refused_too_often_has_to_wait(mall: Mall) -> None:
    """Guesses from one address are bounded, as those of the API are; signing out is not."""
    pages = LoginPages(mall, "https://shop.example", options=Options(max_refusals=3))
    guesses = [asked(pages, "GET", "/login/desk/callback", "code=ada&state=a").status for _ in range(5)]
    assert guesses == [403, 403, 403, 429, 429]
    assert asked(pages, "GET", "/login/desk").status == 429
    assert asked(pages, "POST", "/logout").status == 303


def test_options_of_the_api_count(mall: Mall) -> None:
    """Which proxies are believed is said to the pages as to the API."""
    pages = LoginPages(mall, "https://shop.example", options=Options(proxies=("192.0.2.0/24",)))
    state, kept = begun(pages)
    asked(pages, "GET", "/login/desk/callback", f"code=ada&state={state}", cookie=kept, x_forwarded_for="198.51.100.3")
    with mall.begin(ME) as ctx:
        assert [one.address for one in access.list_sessions(ctx).items] == ["198.51.100.3"]


def test_a_provider_that_is_gone_is_told_like_a_refusal(database_url: str) -> None:
    """On the host's page if it has one, else as a problem document; nobody is sent anywhere, and nothing is kept."""
    gone = OpenIdConnect("desk", "http://127.0.0.1:1", "mall", loopback=True)
    with Mall.open(database_url, migrate="always", logins=[gone]) as mall:
        shown = asked(LoginPages(mall, "https://shop.example", failed="/sign-in"), "GET", "/login/desk")
        assert (shown.status, shown.header("location")) == (303, "/sign-in?error=provider-unavailable")
        plain = asked(LoginPages(mall, "https://shop.example"), "GET", "/login/desk")
        assert (plain.status, cookies(shown), cookies(plain)) == (503, [], [])


def test_an_open_stream_ends_with_its_session(mall: Mall, clock: Clock) -> None:
    """Who follows a channel by a cookie hears what is done while the session is good, and nothing of what is after."""
    with mall.begin(ME) as ctx:
        structure.create_channel(ctx, slug="books", name="Books")
        access.grant(ctx, principal="user:ada", role="owner")
    dispatch = Dispatch(mall, session_cookie(mall))
    for end in ("ended", "everywhere", "idle", "key"):
        made = opened(mall)
        given = {"cookie": f"__Host-mall_session={made.token}", "accept": "text/event-stream"}
        stream = dispatch.run(Request("GET", "/channels/books/changes", headers=given)).stream
        assert stream is not None
        with mall.begin(ME) as ctx:
            structure.create_section(ctx, channel="books", name=f"Seen {end}")
        assert b"revision" in stream.fetch(5)
        with mall.begin(ME) as ctx:
            if end == "ended":
                access.end_session(ctx, session=made.id)
            elif end == "everywhere":
                access.end_sessions(ctx, principal="user:ada")
            elif end == "key":
                access.revoke_key(ctx, purpose="logins", number=1)
            structure.create_section(ctx, channel="books", name=f"Unseen {end}")
        clock.go(seconds=3601 if end == "idle" else 2)
        assert (stream.fetch(1), stream.over) == (b"", True), end
