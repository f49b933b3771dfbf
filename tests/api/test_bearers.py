"""Bearer tokens over HTTP: API keys before the host's own sign-in, challenges that say what is wrong, and addresses."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mallcore import Mall, Principal, access, audit, structure
from mallcore.adapters.asgi import MallASGI
from mallcore.adapters.wsgi import MallWSGI
from mallcore.api import Dispatch, Options, Request, Response, bearer
from mallcore.api.rules import addresses
from mallcore.errors import Unauthenticated

ME = Principal.system("test")


@pytest.fixture
def mall() -> Iterator[Mall]:
    """A mall with a channel."""
    with Mall.open("sqlite://") as opened:
        with opened.begin(ME) as ctx:
            structure.create_channel(ctx, slug="books", name="Books")
        yield opened


def key_of(mall: Mall, **limits: Any) -> str:
    """The key of a client that owns the mall."""
    with mall.begin(ME) as ctx:
        client = access.create_client(ctx, name="A partner")
        access.grant(ctx, principal=client.principal, role="owner")
        return access.create_api_key(ctx, client=client.id, name="Key", **limits).secret or ""


def hosts_own(request: Request) -> Principal | None:
    """A host that signs in by a header of its own, or by a bearer token that it made."""
    if request.headers.get("authorization") == "Bearer of-the-host":
        return Principal.user("ada")
    if request.headers.get("authorization", "").startswith("Basic "):
        return Principal.user("basic")
    if "x-bad" in request.headers:
        raise Unauthenticated()
    return Principal.user("grace") if "x-user" in request.headers else None


def ask(mall: Mall, *, own: bool = True, query: str = "", options: Options | None = None, **headers: str) -> Response:
    """What is answered to somebody who asks who it is."""
    dispatch = Dispatch(mall, bearer(mall, hosts_own if own else None), options)
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    request = Request("GET", "/me", query, names, base="/api", origin={"REMOTE_ADDR": "192.0.2.1"})
    return dispatch.quick(request) or dispatch.run(request)


def told(response: Response) -> Any:
    return json.loads(response.body)


def test_a_key_is_asked_of_the_mall_and_all_else_of_the_host(mall: Mall) -> None:
    """Who brings a key is its client; other tokens, other schemes and none at all are the host's business."""
    key = key_of(mall)
    assert told(ask(mall, authorization=f"Bearer {key}"))["principal"].startswith("client:cli_")
    assert told(ask(mall, authorization=f"bearer  {key}"))["principal"].startswith("client:cli_")
    assert told(ask(mall, authorization="Bearer of-the-host"))["principal"] == "user:ada"
    assert told(ask(mall, authorization="Basic eDp5"))["principal"] == "user:basic"
    assert told(ask(mall, x_user="1"))["principal"] == "user:grace"
    assert told(ask(mall))["principal"] == "anonymous:*"
    assert ask(mall, x_bad="1").status == 401
    assert told(ask(mall, own=False))["principal"] == "anonymous:*"


def test_a_bad_token_is_challenged(mall: Mall) -> None:
    """What is not accepted is a 401 that says so as RFC 6750 wants it, whatever is wrong with the token."""
    key = key_of(mall)
    for token in (key[:-1] + ("0" if key[-1] != "0" else "1"), "mk_live_", "mk_live_" + "a" * 82):
        found = ask(mall, authorization=f"Bearer {token}")
        assert found.status == 401
        assert 'error="invalid_token"' in (found.header("www-authenticate") or "")
        assert told(found)["code"] == "bad-credential"
        assert token not in found.body.decode() + str(found.headers)
    stranger = ask(mall, own=False, authorization="Bearer of-another")
    assert (stranger.status, told(stranger)["code"]) == (401, "bad-credential")


@pytest.mark.parametrize(
    "header",
    [
        "Bearer",
        "Bearer ",
        "Bearer a b",
        "Bearer one, Bearer two",
        "Basic eDp5, Bearer x",
        "Bearer " + "a" * 9000,
        "Bearer é",
    ],
)
def test_a_malformed_header_is_refused(mall: Mall, header: str) -> None:
    """Two readers of a header that can be read in two ways could believe another, so nobody reads it."""
    found = ask(mall, authorization=header)
    assert found.status == 400
    assert 'error="invalid_request"' in (found.header("www-authenticate") or "")


def test_a_token_in_the_url_is_refused(mall: Mall) -> None:
    """URLs end up in logs and histories: a token in one is not looked at."""
    found = ask(mall, query=f"access_token={key_of(mall)}")
    assert (found.status, told(found)["code"]) == (400, "invalid-input")


@pytest.mark.parametrize("face", ["asgi", "wsgi"])
def test_keys_over_real_adapters(mall: Mall, face: str) -> None:
    """Both adapters tell from where a request comes, and an event loop recognises a key it has seen."""
    key, far = key_of(mall, addresses=["192.0.2.0/24"]), key_of(mall, addresses=["198.51.100.0/24"])
    authenticate = bearer(mall)
    for token, status in ((key, 200), (key, 200), (far, 401)):
        assert asked(mall, face, authenticate, {"authorization": f"Bearer {token}"}).status_code == status


def asked(mall: Mall, face: str, authenticate: Any, headers: Any, **options: Any) -> httpx.Response:
    """What an adapter answers to somebody at 192.0.2.7."""
    if face == "wsgi":
        wsgi = MallWSGI(mall, authenticate, options=Options(**options))
        with httpx.Client(
            transport=httpx.WSGITransport(wsgi, remote_addr="192.0.2.7"), base_url="http://mall"
        ) as client:
            return client.get("/me", headers=headers)
    asgi = MallASGI(mall, authenticate, options=Options(**options))

    async def get() -> httpx.Response:
        transport = httpx.ASGITransport(asgi, client=("192.0.2.7", 5))
        async with httpx.AsyncClient(transport=transport, base_url="http://mall") as client:
            return await client.get("/me", headers=headers)

    return asyncio.run(get())


def test_two_headers_are_refused(mall: Mall) -> None:
    """A server that joins two headers of one name does not make one of them."""
    twice = [("authorization", "Basic eDp5"), ("authorization", "Basic eDp6")]
    assert asked(mall, "asgi", bearer(mall, hosts_own), twice).status_code == 400
    both = [("authorization", "Basic eDp5"), ("authorization", f"Bearer {key_of(mall)}")]
    assert asked(mall, "asgi", bearer(mall, hosts_own), both).status_code == 400


@pytest.mark.parametrize("face", ["asgi", "wsgi"])
def test_a_proxy_is_believed_only_if_it_is_trusted(mall: Mall, face: str) -> None:
    """From where a request comes is the server's word; a header counts when a trusted proxy wrote it."""
    key = key_of(mall, addresses=["203.0.113.0/24"])
    headers = {"authorization": f"Bearer {key}", "x-forwarded-for": "203.0.113.5", "forwarded": "for=203.0.113.5"}
    assert asked(mall, face, bearer(mall), headers).status_code == 401
    proxies = ("192.0.2.0/24",)
    assert asked(mall, face, bearer(mall), headers, proxies=proxies).status_code == 200
    assert asked(mall, face, bearer(mall), headers, proxies=proxies, forwarded="forwarded").status_code == 200
    forged = {**headers, "x-forwarded-for": "203.0.113.5, 198.51.100.1"}
    assert asked(mall, face, bearer(mall), forged, proxies=proxies).status_code == 401


PROXIES = addresses.networks(["10.0.0.0/8", "fd00::/8"])
CASES = {
    "1.1.1.1": "1.1.1.1",
    "1.1.1.1, 2.2.2.2": "2.2.2.2",
    "1.1.1.1, 2.2.2.2, 10.1.1.1": "2.2.2.2",
    "10.2.2.2, 10.1.1.1": "10.2.2.2",
    "2001:db8::1": "2001:db8::1",
    "[2001:db8::1]:443, 10.1.1.1": "2001:db8::1",
    "2.2.2.2:1234": "2.2.2.2",
    "1.1.1.1, unknown": "10.0.0.1",
    "": "10.0.0.1",
    "1.1.1.1, ::ffff:10.1.1.1": "1.1.1.1",
}


@pytest.mark.parametrize("header", CASES)
def test_the_last_that_is_no_proxy_of_ours_is_meant(header: str) -> None:
    """A chain of proxies is read from its end, and no further than the first that is not ours."""
    given = {"x-forwarded-for": header} if header else {}
    assert addresses.address("10.0.0.1", given, PROXIES, "x-forwarded-for") == CASES[header]
    parts = ", ".join(f'for="{one}"' if ":" in one else f"for={one}" for one in header.split(", ")) if header else ""
    told = {"forwarded": parts} if parts else {}
    assert addresses.address("10.0.0.1", told, PROXIES, "forwarded") == CASES[header]


@given(st.text(alphabet='0123456789abcdef.:,;"=[] for', max_size=60))
def test_no_header_makes_an_address_of_nonsense(header: str) -> None:
    """Whatever stands in the header, what is found is an address."""
    for name in ("x-forwarded-for", "forwarded"):
        found = addresses.address("10.0.0.1", {name: header}, PROXIES, name)  # type: ignore[arg-type]
        assert addresses.networks([found])


def test_an_anonymous_flood_has_to_wait(mall: Mall) -> None:
    """Of one address so many refusals are put on record; then it is put off, while others are served."""
    dispatch = Dispatch(mall, bearer(mall), Options(max_refusals=3))

    def get(address: str, **headers: str) -> int:
        request = Request("GET", "/channels", headers=headers, origin={"client": (address, 1)})
        return (dispatch.quick(request) or dispatch.run(request)).status

    assert [get("2001:db8::1") for _ in range(5)] == [401, 401, 401, 429, 429]
    assert get("2001:db8::2") == 429
    assert get("2001:db8:1::1") == 401
    assert get("2001:db8::1", authorization=f"Bearer {key_of(mall)}") == 200
    with mall.begin(ME) as ctx:
        assert len(audit.list_records(ctx, outcome="denied").items) == 4


def test_an_open_stream_ends_with_its_key(mall: Mall) -> None:
    """Who follows a channel sees what is done while its key is good, and nothing of what is done after."""
    key = key_of(mall, channels=["books"])
    dispatch = Dispatch(mall, bearer(mall))
    given = {"authorization": f"Bearer {key}", "accept": "text/event-stream"}
    found = dispatch.run(Request("GET", "/channels/books/changes", headers=given))
    stream = found.stream
    assert stream is not None
    with mall.begin(ME) as ctx:
        structure.create_section(ctx, channel="books", name="Seen")
    assert b"id: 1\n" in stream.fetch(5)
    with mall.begin(ME) as ctx:
        access.revoke_api_key(ctx, api_key=access.list_api_keys(ctx).items[0].id)
        structure.create_section(ctx, channel="books", name="Unseen")
    assert stream.fetch(5) == b""
    assert stream.over
    assert dispatch.run(Request("GET", "/channels/books/changes", headers=given)).status == 401
