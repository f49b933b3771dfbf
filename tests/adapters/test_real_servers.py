"""Each adapter behind a real server: one story over the wire, and the streams."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import httpx
import pytest

from mallcore import Mall, Principal, structure
from mallcore.adapters.asgi import MallASGI
from mallcore.adapters.fastapi import install
from mallcore.adapters.flask import mall_blueprint
from mallcore.adapters.wsgi import MallWSGI
from mallcore.api import Options
from tests.adapters.faces import HttpFace, Json, authenticate
from tests.adapters.scenarios import (
    a_file_keeps_all_its_versions,
    a_link_is_for_whoever_has_it,
    a_taxonomy_goes_in_and_out,
    a_tree_grows,
    bookshop,
    files_are_refused_for_a_reason,
    refusals_name_the_reason,
)
from tests.adapters.serving import uvicorn_serving, werkzeug_serving, wsgiref_serving

OWNER = Principal.system("tests")
AS_OWNER = {"authorization": f"Bearer {OWNER.ref}"}
EVENTS = {**AS_OWNER, "accept": "text/event-stream"}
QUICK_BEATS = Options(heartbeat=0.2, max_streams=2)


def asgi(mall: Mall) -> Any:
    return MallASGI(mall, authenticate, options=QUICK_BEATS)


def fastapi(mall: Mall) -> Any:
    from fastapi import FastAPI

    app = FastAPI()
    install(app, mall, authenticate, prefix="", options=QUICK_BEATS)
    return app


def wsgi(mall: Mall) -> Any:
    return MallWSGI(mall, authenticate, options=QUICK_BEATS)


def flask(mall: Mall) -> Any:
    from flask import Flask

    app = Flask(__name__)
    app.register_blueprint(mall_blueprint(mall, authenticate, options=QUICK_BEATS))
    return app


Serve = Callable[[Any], AbstractContextManager[str]]
SERVED: dict[str, tuple[Callable[[Mall], Any], Serve]] = {
    "asgi": (asgi, uvicorn_serving),
    "fastapi": (fastapi, uvicorn_serving),
    "wsgi": (wsgi, wsgiref_serving),
    "flask": (flask, werkzeug_serving),
}
STREAMING = [kind for kind in SERVED if kind != "wsgi"]  # wsgiref has one thread, which an open stream would keep


@pytest.fixture
def client(request: pytest.FixtureRequest, mall: Mall) -> Iterator[httpx.Client]:
    """A client of the application that the test is for, behind its server."""
    make, serve = SERVED[request.param]
    with serve(make(mall)) as url, httpx.Client(base_url=url, timeout=10) as opened:
        yield opened


def every(kinds: Any) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("client", kinds, indirect=True)


STORIES = [
    a_tree_grows,
    a_taxonomy_goes_in_and_out,
    refusals_name_the_reason,
    a_file_keeps_all_its_versions,
    files_are_refused_for_a_reason,
    a_link_is_for_whoever_has_it,
]


@every(SERVED)
@pytest.mark.parametrize("scenario", STORIES)
def test_a_story_over_the_wire(scenario: Any, client: httpx.Client, mall: Mall) -> None:
    """Behind a real server all is as without one."""

    def send(method: str, path: str, headers: dict[str, str], body: bytes) -> httpx.Response:
        return client.request(method, path, headers=headers, content=body or None)

    scenario(HttpFace(mall, send, "", OWNER))


@every(SERVED)
def test_conditional_requests_over_the_wire(client: httpx.Client, mall: Mall) -> None:
    """A tree is sent once; HEAD tells its length; a tag that was read can be a precondition of a change."""
    books(mall)
    first = client.get("/channels/books/tree", headers=AS_OWNER)
    head = client.head("/channels/books/tree", headers=AS_OWNER)
    again = client.get("/channels/books/tree", headers={**AS_OWNER, "if-none-match": first.headers["etag"]})
    assert (first.status_code, again.status_code, again.content) == (200, 304, b"")
    assert (head.headers["content-length"], head.content) == (str(len(first.content)), b"")
    renamed = {"url": "/channels/books/nodes/fiction/crime", "json": {"name": "Mystery"}}
    changed = client.patch(**renamed, headers={**AS_OWNER, "if-match": first.headers["etag"]})
    stale = client.patch(**renamed, headers={**AS_OWNER, "if-match": first.headers["etag"]})
    assert (changed.status_code, changed.headers["mall-revision"], stale.status_code) == (200, "4", 412)


@every(SERVED)
def test_a_body_over_the_limit_is_refused(client: httpx.Client, mall: Mall) -> None:
    """Neither a body that says it is too large nor one that hides its length is taken in."""
    books(mall)
    limit = Options().max_body
    declared = {**AS_OWNER, "content-length": str(limit + 1), "content-type": "application/json"}
    try:
        response = client.post("/channels/books/nodes", headers=declared, content=pieces(limit + 1))
    except httpx.TransportError:
        return  # a server may close the connection as soon as it has refused
    assert (response.status_code, response.json()["code"]) == (413, "limit-exceeded")


@every(["asgi", "fastapi", "flask"])
def test_a_body_without_a_length_is_read_to_its_end(client: httpx.Client, mall: Mall) -> None:
    """Chunked bodies are accepted, where the server reads them."""
    books(mall)
    text = json.dumps({"name": "Chunked"}).encode()
    headers = {**AS_OWNER, "content-type": "application/json"}
    response = client.post("/channels/books/nodes", headers=headers, content=iter([text[:5], text[5:]]))
    assert response.status_code == 201, response.text


@every(STREAMING)
def test_a_stream_tells_each_revision_once(client: httpx.Client, mall: Mall) -> None:
    """Revisions come as they are committed; whoever comes back with the last id gets what was missed."""
    books(mall)
    with client.stream("GET", "/channels/books/changes?after=1", headers=EVENTS) as response:
        assert (response.status_code, response.headers["content-type"]) == (200, "text/event-stream")
        events = told(response)
        assert [next(events)["number"], next(events)["number"]] == [2, 3]
        threading.Timer(0.3, rename, (mall, "Mystery")).start()
        assert next(events)["number"] == 4
    rename(mall, "Noir")
    with client.stream("GET", "/channels/books/changes?after=1", headers={**EVENTS, "last-event-id": "4"}) as response:
        assert next(told(response))["number"] == 5


@every(STREAMING)
def test_an_idle_stream_shows_that_it_lives(client: httpx.Client, mall: Mall) -> None:
    """Comments keep proxies from closing a stream on which nothing happens."""
    books(mall)
    with client.stream("GET", "/channels/books/changes", headers=EVENTS) as response:
        lines = response.iter_lines()
        assert next(lines).startswith("retry: ")
        assert next(line for line in lines if line) == ": still here"


@every(STREAMING)
def test_streams_are_limited(client: httpx.Client, mall: Mall) -> None:
    """One stream too many is told to come again later; a stream that ends makes room."""
    books(mall)
    url = "/channels/books/changes"
    with client.stream("GET", url, headers=EVENTS), client.stream("GET", url, headers=EVENTS):
        refused = client.get(url, headers=EVENTS)
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        assert refused.json()["code"] == "unavailable"
    deadline = time.monotonic() + 10
    while True:
        with client.stream("GET", url, headers=EVENTS) as response:
            if response.status_code == 200:
                return
        assert time.monotonic() < deadline, "no room was made"
        time.sleep(0.05)


def test_idle_streams_occupy_no_thread(mall: Mall) -> None:
    """A hundred open streams leave the pool free: a request that needs a thread is answered."""
    books(mall)
    app = MallASGI(mall, authenticate)
    with uvicorn_serving(app) as url, httpx.Client(base_url=url, timeout=10, limits=httpx.Limits()) as client:
        opened = [client.stream("GET", "/channels/books/changes", headers=EVENTS) for _ in range(100)]
        responses = [stream.__enter__() for stream in opened]
        try:
            assert {response.status_code for response in responses} == {200}
            assert client.get("/channels/books", headers=AS_OWNER).status_code == 200
            assert len(app.dispatch.streams) == 100
            rename(mall, "Mystery")
            assert {next(told(response))["number"] for response in responses} == {4}
        finally:
            for stream in opened:
                stream.__exit__(None, None, None)


def test_streams_end_when_asked(mall: Mall) -> None:
    """`Dispatch.close` ends all streams, so that a server can go down."""
    books(mall)
    app = asgi(mall)
    with uvicorn_serving(app) as url, httpx.Client(base_url=url, timeout=10) as client:
        with client.stream("GET", "/channels/books/changes", headers=EVENTS) as response:
            threading.Timer(0.2, app.dispatch.close).start()
            response.read()
        assert len(app.dispatch.streams) == 0


def books(mall: Mall) -> None:
    """The scenarios' bookshop: a channel at revision 3."""
    from tests.adapters.faces import PythonFace

    bookshop(PythonFace(mall, OWNER))


def rename(mall: Mall, name: str) -> None:
    with mall.begin(OWNER) as ctx:
        structure.rename(ctx, channel="books", node="fiction/crime", name=name)


def pieces(size: int) -> Iterator[bytes]:
    for start in range(0, size, 1 << 20):
        yield b" " * min(1 << 20, size - start)


def told(response: httpx.Response) -> Iterator[Json]:
    """The data of the events of a stream, checked for their ids."""
    number = ""
    for line in response.iter_lines():
        if line.startswith("id: "):
            number = line[4:]
        elif line.startswith("data: "):
            data = json.loads(line[6:])
            assert str(data["number"]) == number
            yield data
