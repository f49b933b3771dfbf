"""A host's own routes behind the mall's access, in a FastAPI and in a Flask application."""

# No `from __future__ import annotations`: FastAPI reads the annotations of functions that are made in a function.

import asyncio
from collections.abc import Callable, Iterator
from typing import Annotated, Any

import httpx
import pytest

from mallcore import Mall, Principal, access, audit, structure
from mallcore.adapters.guarding import FastAPIGuard, FlaskGuard
from mallcore.api import bearer

ME = Principal.system("test")
Get = Callable[..., httpx.Response]


@pytest.fixture
def mall() -> Iterator[Mall]:
    """A mall whose host has a permission of its own, and a plan."""
    with Mall.open("sqlite://", permissions=["orders.refund"], plans={"few": "3/hour"}) as opened:
        with opened.begin(ME) as ctx:
            for slug in ("books", "toys"):
                structure.create_channel(ctx, slug=slug, name=slug.title())
            access.set_role(ctx, role="clerk", permissions=["orders.refund", "structure.read"])
        yield opened


def key_of(mall: Mall, scope: dict[str, Any] | None, **limits: Any) -> dict[str, str]:
    """The header of a client that is a clerk somewhere."""
    with mall.begin(ME) as ctx:
        client = access.create_client(ctx, name="A partner")
        if scope is not None:
            access.grant(ctx, principal=client.principal, role="clerk", **scope)
        key = access.create_api_key(ctx, client=client.id, name="Key", **limits)
    return {"authorization": f"Bearer {key.secret}"}


def fastapi_app(mall: Mall) -> Get:
    """A FastAPI application of a host, to be asked."""
    fastapi = pytest.importorskip("fastapi")
    from fastapi import Depends, Request

    guard = FastAPIGuard(mall, bearer(mall))
    app = fastapi.FastAPI()

    @app.get("/who")
    def who(principal: Annotated[Principal, Depends(guard.principal)]) -> str:
        return principal.ref

    @app.get("/refunds")
    async def refunds(principal: Annotated[Principal, Depends(guard.require("orders.refund"))]) -> str:
        return principal.ref

    @app.get("/{shop}/refunds", dependencies=[Depends(guard.require("orders.refund", channel="shop"))])
    def of_channel(shop: str, request: Request) -> str:
        with guard.begin(request) as ctx:
            return structure.get_channel(ctx, channel=shop).slug

    @app.get("/units/{part}/refunds", dependencies=[Depends(guard.require("orders.refund", unit="part"))])
    def of_unit(part: str) -> str:
        return part

    def get(path: str, headers: dict[str, str] | None = None) -> httpx.Response:
        async def ask() -> httpx.Response:
            async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://shop") as client:
                return await client.get(path, headers=headers)

        return asyncio.run(ask())

    return get


def flask_app(mall: Mall) -> Get:
    """A Flask application of a host, to be asked."""
    flask = pytest.importorskip("flask")
    guard = FlaskGuard(mall, bearer(mall))
    app = flask.Flask("shop")

    @app.get("/who")
    def who() -> Any:
        return flask.jsonify(guard.principal.ref)

    @app.get("/refunds")
    @guard.require("orders.refund")
    def refunds() -> Any:
        return flask.jsonify(guard.principal.ref)

    @app.get("/<shop>/refunds")
    @guard.require("orders.refund", channel="shop")
    def of_channel(shop: str) -> Any:
        with guard.begin() as ctx:
            return flask.jsonify(structure.get_channel(ctx, channel=shop).slug)

    @app.get("/units/<part>/refunds")
    @guard.require("orders.refund", unit="part")
    def of_unit(part: str) -> Any:
        return flask.jsonify(part)

    def get(path: str, headers: dict[str, str] | None = None) -> httpx.Response:
        with httpx.Client(transport=httpx.WSGITransport(app), base_url="http://shop") as client:
            return client.get(path, headers=headers)

    return get


@pytest.fixture(params=[fastapi_app, flask_app], ids=["fastapi", "flask"])
def get(request: pytest.FixtureRequest, mall: Mall) -> Get:
    """Ask a host's application."""
    made: Get = request.param(mall)
    return made


def shown(response: httpx.Response) -> Any:
    """The problem document."""
    found = response.json()
    return found.get("detail") if isinstance(found.get("detail"), dict) else found


def test_a_route_tells_who_asks(mall: Mall, get: Get) -> None:
    """Clients are recognised by their keys as on the mall's own routes; anonymous callers are nobody."""
    assert get("/who").json() == "anonymous:*"
    assert get("/who", key_of(mall, None)).json().startswith("client:cli_")
    assert get("/who", {"authorization": "Bearer mk_live_no"}).status_code == 401


def test_a_route_asks_for_a_permission_of_the_hosts_own(mall: Mall, get: Get) -> None:
    """Who holds it in the whole mall is let in; who does not is refused, with a problem document, and on record."""
    assert get("/refunds", key_of(mall, {})).status_code == 200
    anonymous = get("/refunds")
    assert anonymous.status_code == 401
    assert anonymous.headers["www-authenticate"].startswith("Bearer")
    for headers in (key_of(mall, None), key_of(mall, {}, scopes=["structure.*"]), key_of(mall, {}, channels=["books"])):
        refused = get("/refunds", headers)
        assert (refused.status_code, shown(refused)["code"]) == (403, "denied")
    with mall.begin(ME) as ctx:
        found = audit.list_records(ctx, outcome="denied").items
    assert [(one.operation, (one.after or {})["permission"]) for one in found] == [
        ("GET /refunds", "orders.refund")
    ] * 4


def test_a_route_asks_for_it_where_its_path_says(mall: Mall, get: Get) -> None:
    """A grant, or a key, for a channel opens the routes of that one; what is unknown looks like what is foreign."""
    books = {"scope": "channel", "channel": "books"}
    for headers in (key_of(mall, books), key_of(mall, {}, channels=["books"])):
        assert get("/books/refunds", headers).json() == "books"
        assert get("/toys/refunds", headers).status_code == 403
        assert get("/units/main/refunds", headers).status_code == 403
        assert get("/nowhere/refunds", headers).status_code == 403
    assert get("/nowhere/refunds", key_of(mall, None)).status_code == 403
    assert get("/nowhere/refunds", key_of(mall, {})).status_code == 404
    assert get("/units/main/refunds", key_of(mall, {}, units=["main"])).json() == "main"


def test_routes_count_against_the_plan(mall: Mall, get: Get) -> None:
    """A host's own routes take from what a client may ask, once for each request."""
    headers = key_of(mall, {}, plan="few")
    answers = [get("/books/refunds", headers) for _ in range(4)]
    assert [one.status_code for one in answers] == [200, 200, 200, 429]
    assert answers[0].headers["ratelimit"].startswith('"hour";r=2')
    assert "retry-after" in answers[3].headers
