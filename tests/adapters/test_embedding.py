"""Each adapter inside a host's application: mounted anywhere, documented, beside the host's own routes and sessions."""

import asyncio
import builtins
import io
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from openapi_spec_validator import validate
from sqlalchemy import Column, Integer, MetaData, String, Table, insert, select
from sqlalchemy.orm import Session

from mallcore import Mall, Principal, structure
from mallcore.adapters.asgi import MallASGI
from mallcore.adapters.fastapi import install, mall_router
from mallcore.adapters.flask import mall_blueprint
from mallcore.adapters.wsgi import MallWSGI
from mallcore.api import Options, Request
from mallcore.errors import MissingExtra
from tests.adapters.faces import PythonFace, authenticate
from tests.adapters.scenarios import bookshop
from tests.adapters.serving import uvicorn_serving

OWNER = Principal.system("tests")
AS_OWNER = {"authorization": f"Bearer {OWNER.ref}"}


@pytest.fixture
def mall() -> Iterator[Mall]:
    """A mall with the scenarios' bookshop."""
    with Mall.open("sqlite://") as opened:
        bookshop(PythonFace(opened, OWNER))
        yield opened


def got(app: Any, *paths: str, **options: Any) -> list[httpx.Response]:
    """What an ASGI application answers to one GET after the other."""

    async def ask() -> list[httpx.Response]:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://mall.test", **options) as client:
            return [await client.get(path, headers=AS_OWNER) for path in paths]

    return asyncio.run(ask())


def test_fastapi_shows_the_operations_in_its_own_document(mall: Mall) -> None:
    """The host's document is valid, and holds its own routes and ours; names that both have do not clash."""
    from fastapi import FastAPI
    from pydantic import BaseModel

    class Channel(BaseModel):
        frequency: int

    app = FastAPI(openapi_tags=[{"name": "structure", "description": "The host's own words."}])

    @app.get("/radio")
    def radio() -> Channel:
        return Channel(frequency=100)

    install(app, mall, authenticate, prefix="/mall")
    document = app.openapi()
    validate(document)
    assert {"/radio", "/mall/channels/{channel}/tree", "/mall/me"} <= set(document["paths"])
    assert not any("{path}" in path for path in document["paths"])
    assert {"Channel", "mall.Channel"} <= set(document["components"]["schemas"])
    assert app.openapi() is document
    assert {"name": "structure", "description": "The host's own words."} in document["tags"]
    docs, served, own = got(app, "/docs", "/openapi.json", "/radio")
    assert (docs.status_code, served.json(), own.json()) == (200, document, {"frequency": 100})


def test_a_router_is_documented_when_the_application_starts(mall: Mall) -> None:
    """`include_router` alone is enough: prefixes add up, and the document is whole as soon as the application runs."""
    from fastapi import FastAPI

    app = FastAPI()
    app.include_router(mall_router(mall, authenticate, prefix="/mall"), prefix="/v1")
    with uvicorn_serving(app) as url:
        document = httpx.get(f"{url}/openapi.json").json()
        tree = httpx.get(f"{url}/v1/mall/channels/books/tree", headers=AS_OWNER)
    assert "/v1/mall/channels/{channel}/tree" in document["paths"]
    assert (tree.status_code, tree.headers["mall-revision"]) == (200, "3")


def test_two_malls_in_one_application(mall: Mall) -> None:
    """Each has its own place, in the document too."""
    from fastapi import FastAPI

    app = FastAPI()
    with Mall.open("sqlite://") as other:
        install(app, mall, authenticate, prefix="/one")
        install(app, other, authenticate, prefix="/two")
        assert {"/one/me", "/two/me"} <= set(app.openapi()["paths"])
        one, two = got(app, "/one/channels/books/tree", "/two/channels/books/tree")
        assert (one.status_code, two.status_code) == (200, 404)


def test_dependencies_of_the_host_guard_the_router(mall: Mall) -> None:
    """What a host demands of its routers is demanded of ours."""
    from fastapi import Depends, FastAPI, HTTPException

    def closed() -> None:
        raise HTTPException(418, "closed today")

    app = FastAPI()
    app.include_router(mall_router(mall, authenticate), prefix="/mall", dependencies=[Depends(closed)])
    (answer,) = got(app, "/mall/channels/books/tree")
    assert answer.status_code == 418


@pytest.mark.parametrize("kind", ["asgi", "fastapi"])
def test_hot_reads_stay_on_the_event_loop(kind: str, mall: Mall) -> None:
    """A tree in memory is answered by the loop's own thread; what needs the database is not."""
    from fastapi import FastAPI

    threads: list[bool] = []

    def noting(request: Request) -> Principal:
        threads.append(threading.current_thread() is threading.main_thread())
        return OWNER

    app: Any = FastAPI()
    if kind == "asgi":
        app = MallASGI(mall, noting, options=Options(blocking=False))
    else:
        install(app, mall, noting, prefix="")
    got(app, "/channels/books/tree")
    threads.clear()
    assert got(app, "/channels/books/tree")[0].status_code == 200
    assert threads == [True]


@pytest.mark.parametrize("path", ["/shop/mall", "/shop/mall/"])
def test_asgi_is_mounted_anywhere(path: str, mall: Mall) -> None:
    """Links and places begin where the application is mounted, however deep."""
    from starlette.applications import Starlette
    from starlette.routing import Mount

    inner = Starlette(routes=[Mount("/mall", MallASGI(mall, authenticate))])
    outer = Starlette(routes=[Mount("/shop", inner)])
    index, missing = got(outer, path, "/shop/mall/nope", follow_redirects=True)
    assert index.json()["links"]["health"] == "/shop/mall/health"
    assert missing.json()["instance"] == "/shop/mall/nope"


def test_asgi_refuses_websockets_politely(mall: Mall) -> None:
    """What is not HTTP is closed, not failed."""
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    scope = {"type": "websocket", "path": "/elsewhere", "headers": []}
    asyncio.run(MallASGI(mall, authenticate)(scope, receive, send))
    assert [one["type"] for one in sent] == ["websocket.close"]


def posted(app: MallASGI, *messages: Any, **headers: str) -> list[Any]:
    """What an ASGI application sends for a POST whose body comes in these messages."""
    waiting, sent = list(messages), []

    async def receive() -> Any:
        return waiting.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    named = {**AS_OWNER, **{name.replace("_", "-"): value for name, value in headers.items()}}
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/channels/books/nodes",
        "headers": [(name.encode(), value.encode()) for name, value in named.items()],
    }
    asyncio.run(app(scope, receive, send))
    return [*sent, len(waiting)]


def test_asgi_reads_no_more_than_it_must(mall: Mall) -> None:
    """A body that is too large is not read to its end; one whose sender went away changes nothing."""
    app = MallASGI(mall, authenticate, options=Options(max_body=20))
    part = {"type": "http.request", "body": b" " * 15, "more_body": True}
    start, _, left = posted(app, part, part, part, part)
    assert (start["status"], left) == (413, 2)
    start, _, left = posted(app, part, content_length="21")
    assert (start["status"], left) == (413, 1)
    assert posted(app, part, {"type": "http.disconnect"}) == [0]
    start, *_ = posted(app, {"type": "http.request", "body": b'{"name": "Noir"}'})
    assert start["status"] == 201


def test_wsgi_is_mounted_anywhere(mall: Mall) -> None:
    """`SCRIPT_NAME` is where links begin."""
    from werkzeug.middleware.dispatcher import DispatcherMiddleware
    from werkzeug.test import Client
    from werkzeug.wrappers import Response

    app = DispatcherMiddleware(Response("host"), {"/mall": MallWSGI(mall, authenticate)})
    client = Client(app)
    assert client.get("/mall/").json["links"]["health"] == "/mall/health"
    assert client.get("/mall").json["links"]["health"] == "/mall/health"
    assert client.get("/other").text == "host"


def test_flask_knows_who_is_signed_in(mall: Mall) -> None:
    """`authenticate` runs inside Flask's request: the host's session says who asks."""
    import flask

    app = flask.Flask(__name__)
    app.secret_key = "test"

    def signed_in(request: Request) -> Principal | None:
        name = flask.session.get("user")
        return Principal.system(name) if name else None

    @app.get("/login")
    def login() -> str:
        flask.session["user"] = "tests"
        return "welcome"

    app.register_blueprint(mall_blueprint(mall, signed_in), url_prefix="/mall")
    client = app.test_client()
    assert client.get("/mall/channels/books/tree").status_code == 401
    client.get("/login")
    assert client.get("/mall/channels/books/tree").status_code == 200
    assert client.get("/mall/channels/books/nodes/fiction/crime").json["path"] == "fiction/crime"


def test_limits_of_a_host_on_forms_are_not_those_of_files(mall: Mall) -> None:
    """What Flask is told of the host's own forms holds for these, and the mall's options for what the mall takes."""
    import flask

    app = flask.Flask(__name__)
    app.config.update(MAX_CONTENT_LENGTH=1000, MAX_FORM_MEMORY_SIZE=1000, MAX_FORM_PARTS=1)
    app.register_blueprint(mall_blueprint(mall, authenticate, options=Options(max_upload=5000)), url_prefix="/mall")

    @app.post("/note")
    def note() -> str:
        return flask.request.form["text"]

    client = app.test_client()
    where = "/mall/attachments?owner=channel:books&file_name=a"
    raw = {"authorization": f"Bearer {OWNER.ref}", "content-type": "application/octet-stream"}
    assert client.post(where, data=b"x" * 5000, headers=raw).status_code == 201
    assert client.post(where, data=b"x" * 5001, headers=raw).status_code == 413
    form = {"owner": "channel:books", "label": "live", "file": (io.BytesIO(b"x" * 3000), "a")}
    assert client.post("/mall/attachments", data=form, headers=AS_OWNER).json["size"] == 3000
    assert client.post("/note", data={"text": "x" * 2000}).status_code == 413


def test_browsers_elsewhere_may_upload_when_the_host_lets_them(mall: Mall) -> None:
    """Whom CORS lets in is the host's affair: its middleware answers before the mall, and shows the mall's headers."""
    from fastapi import FastAPI
    from fastapi.middleware.cors import CORSMiddleware

    app = FastAPI()
    install(app, mall, authenticate)
    shown = ["Location", "Upload-Offset"]
    app.add_middleware(
        CORSMiddleware,
        allow_origins=["https://shop.example"],
        allow_methods=["*"],
        allow_headers=["*"],
        expose_headers=shown,
    )
    origin = {"origin": "https://shop.example"}
    asks = {"access-control-request-method": "PATCH", "access-control-request-headers": "tus-resumable"}
    begun = {
        "tus-resumable": "1.0.0",
        "upload-length": "1",
        "upload-metadata": "filename YQ==,owner Y2hhbm5lbDpib29rcw==",
    }

    async def ask() -> None:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://mall.test", headers=origin) as client:
            assert (await client.options("/mall/tus/upl_1", headers=asks)).status_code == 200
            assert (await client.options("/mall/tus")).headers["tus-version"] == "1.0.0"
            made = await client.post("/mall/tus", headers={**AS_OWNER, **begun})
            assert made.status_code == 201, made.text
            assert made.headers["location"].startswith("/mall/tus/upl_")
            assert set(shown) <= set(made.headers["access-control-expose-headers"].split(", "))

    asyncio.run(ask())


def test_a_route_of_the_host_joins_its_session(mall: Mall) -> None:
    """A host's own route changes the mall in its own transaction: both are kept, or neither."""
    import flask

    orders = Table("orders", MetaData(), Column("id", Integer, primary_key=True), Column("text", String))
    orders.metadata.create_all(mall.engine)
    app = flask.Flask(__name__)

    @app.post("/orders/<text>")
    def order(text: str) -> str:
        with Session(mall.engine) as session, session.begin():
            session.execute(insert(orders).values(text=text))
            with mall.begin(OWNER, session=session) as ctx:
                structure.create_category(ctx, channel="books", name=text)
            if text == "wrong":
                flask.abort(409)
        return text

    client = app.test_client()
    assert (client.post("/orders/noir").status_code, client.post("/orders/wrong").status_code) == (200, 409)
    with Session(mall.engine) as session:
        assert list(session.scalars(select(orders.c.text))) == ["noir"]
    assert PythonFace(mall, OWNER).tree("books")["revision"] == 4


@pytest.mark.parametrize(("make", "extra"), [(mall_router, "fastapi"), (mall_blueprint, "flask")])
def test_a_missing_framework_is_named(make: Any, extra: str, mall: Mall, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the framework is not installed, the error is the line that installs it."""
    real = builtins.__import__

    def without(name: str, *arguments: Any) -> Any:
        if name.partition(".")[0] == extra:
            raise ImportError(name)
        return real(name, *arguments)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtra, match=rf"mallcore\[{extra}\]"):
        make(mall, authenticate)
