"""GraphQL over WebSockets: `graphql-transport-ws` on uvicorn, with a client of another library."""

import asyncio
import gc
import json
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect

from mallcore import Mall, Principal, access
from mallcore.adapters.asgi import MallASGI
from mallcore.api import Options
from mallcore.api.graphql import GraphQLOptions
from mallcore.kernel.context import Credential
from tests.adapters.faces import PythonFace, authenticate
from tests.adapters.serving import uvicorn_serving
from tests.api.conftest import OWNER

WATCH = 'subscription($a: Long) { structureWatch(channel: "books", after: $a) { number author channel { slug } } }'
PROTOCOL = "graphql-transport-ws"
Json = dict[str, Any]


class Talk:
    """One connection, and short ways to use it."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket

    async def say(self, **message: Any) -> None:
        await self.socket.send(json.dumps(message))

    async def hear(self) -> Json:
        found: Json = json.loads(await asyncio.wait_for(self.socket.recv(), 20))
        return found

    async def init(self, by: str | None = OWNER.ref) -> None:
        payload = {} if by is None else {"authorization": f"Bearer {by}"}
        await self.say(type="connection_init", payload=payload)
        assert (await self.hear())["type"] == "connection_ack"

    async def closed(self) -> int:
        """The code that the server closes with."""
        await asyncio.wait_for(self.socket.wait_closed(), 30)
        assert self.socket.close_code is not None
        return self.socket.close_code

    async def watch(self, id: str = "1", after: int | None = None) -> None:
        """Subscribe to what follows a revision."""
        await self.say(type="subscribe", id=id, payload={"query": WATCH, "variables": {"a": after}})


@pytest.fixture
def url(mall: Mall) -> Iterator[str]:
    """Where the bookshop is served."""
    options = Options(graphql=GraphQLOptions(max_subscriptions=3, max_message=5000, init_seconds=1.0, heartbeat=0.3))
    with uvicorn_serving(MallASGI(mall, authenticate, options=options)) as base:
        yield base.replace("http", "ws") + "/graphql"


def talk(url: str, story: Callable[[Talk], Awaitable[None]], protocols: Any = (PROTOCOL,), **more: Any) -> None:
    """Play a story over one connection."""

    async def play() -> None:
        async with connect(url, subprotocols=protocols or None, **more) as socket:
            await story(Talk(socket))

    asyncio.run(play())


def test_changes_are_told_as_they_are_committed(url: str, mall: Mall) -> None:
    """Each revision once and in order, with edges read after it; the client ends it, and hears no more."""

    async def story(client: Talk) -> None:
        await client.init()
        face = PythonFace(mall, OWNER)
        await client.watch(after=face.tree("books")["revision"])
        for name in ("One", "Two"):
            await asyncio.to_thread(face.create_node, "books", name)
        told = [await client.hear(), await client.hear()]
        assert [(one["type"], one["id"]) for one in told] == [("next", "1")] * 2
        shown = [one["payload"]["data"]["structureWatch"] for one in told]
        assert shown[1]["number"] == shown[0]["number"] + 1
        assert shown[0]["channel"] == {"slug": "books"}
        assert shown[0]["author"] == OWNER.ref
        await client.say(type="complete", id="1")
        await client.say(type="ping", payload={"n": 1})
        assert await client.hear() == {"type": "pong", "payload": {"n": 1}}
        await asyncio.to_thread(face.create_node, "books", "Three")
        await client.say(type="subscribe", id="1", payload={"query": "{ apiVersion }"})
        assert [(await client.hear())["type"] for _ in range(2)] == ["next", "complete"]

    talk(url, story)


def test_queries_and_mutations_have_one_answer(url: str) -> None:
    """What is no subscription is answered once; what is wrong is an error of that operation alone."""

    async def story(client: Talk) -> None:
        await client.init()
        text = 'mutation($s: String!) { structureCreateUnit(slug: $s, name: "A") { slug } }'
        await client.say(type="subscribe", id="a", payload={"query": text, "variables": {"s": "a"}})
        assert await client.hear() == {
            "type": "next", "id": "a", "payload": {"data": {"structureCreateUnit": {"slug": "a"}}},
        }  # fmt: skip
        assert await client.hear() == {"type": "complete", "id": "a"}
        wrong = ({"query": "{"}, {"query": "{ nothing }"}, {}, {"query": 7}, {"query": text}, {"documentId": "x"})
        for number, payload in enumerate(wrong):
            await client.say(type="subscribe", id=str(number), payload=payload)
            told = await client.hear()
            assert (told["type"], told["id"]) == ("error", str(number))
            assert told["payload"][0]["extensions"]["code"] in ("invalid-document", "invalid-input")
        await client.say(type="subscribe", id="b", payload={"query": WATCH.replace('"books"', '"nothing"')})
        assert (await client.hear())["payload"][0]["extensions"]["code"] == "unknown-channel"

    talk(url, story)


@pytest.mark.parametrize(
    ("messages", "code"),
    [
        (["nonsense"], 4400), (["[]"], 4400), (['{"type": 7}'], 4400), (['{"type": "nothing"}'], 4400),
        (['{"type": "ping"}'], 4400), (['{"type": "connection_init", "payload": 7}'], 4400),
        (['{"type": "connection_init", "type": "connection_init"}'], 4400), ([b"\x00"], 4400),
        (['{"type": "subscribe", "id": "1", "payload": {"query": "{apiVersion}"}}'], 4401),
        (['{"type": "connection_init"}'] * 2, 4429), (['{"type": "connection_init"}', '{"type": "next"}'], 4400),
        (['{"type": "connection_init"}', '{"type": "subscribe", "id": "", "payload": {}}'], 4400),
        (['{"type": "connection_init"}', '{"type": "subscribe", "id": "1"}'], 4400),
        (['{"type": "connection_init"}', '{"type": "subscribe", "id": 1, "payload": {}}'], 4400),
        (['{"type": "connection_init", "payload": {"authorization": "Bearer nonsense"}}'], 4403),
        (['{"type": "connection_init", "payload": {"Authorization": 7}}'], 4400),
        (['{"type": "connection_init", "payload": {"x": "' + "x" * 5000 + '"}}'], 1009), ([], 4408),
    ],
)  # fmt: skip
def test_whoever_breaks_the_protocol_is_cut_off(url: str, messages: list[Any], code: int) -> None:
    """Each with the protocol's code for it: and nothing of what was sent is done."""

    async def story(client: Talk) -> None:
        for message in messages:
            await client.socket.send(message)
        assert await client.closed() == code

    talk(url, story)


def test_another_protocol_is_not_spoken(url: str) -> None:
    """The old `graphql-ws` and none at all are closed with 4406."""

    async def story(client: Talk) -> None:
        assert await client.closed() == 4406

    for protocols in ((), ("graphql-ws",)):
        talk(url, story, protocols)


def test_an_id_is_taken_while_its_operation_runs(url: str) -> None:
    """A second operation under an id that is in use ends the connection."""

    async def story(client: Talk) -> None:
        await client.init()
        await client.watch("1")
        await client.say(type="subscribe", id="1", payload={"query": WATCH})
        assert await client.closed() == 4409

    talk(url, story)


def test_one_connection_runs_so_many_operations(url: str) -> None:
    """One more than the limit is refused, and the others go on."""

    async def story(client: Talk) -> None:
        await client.init()
        for number in range(3):
            await client.watch(str(number))
        await client.say(type="subscribe", id="more", payload={"query": WATCH})
        told = await client.hear()
        assert (told["type"], told["id"]) == ("error", "more")
        assert told["payload"][0]["extensions"]["code"] == "unavailable"

    talk(url, story)


def test_who_may_not_watch_is_refused_and_who_may_no_longer_hears_no_more(url: str, mall: Mall) -> None:
    """Access is asked for when it begins, and again for all that is told; refusals go on record."""
    with mall.begin(OWNER) as ctx:
        given = access.grant(ctx, principal="user:ada", role="editor", scope="channel", channel="books").id

    head = PythonFace(mall, OWNER).tree("books")["revision"]

    async def story(client: Talk) -> None:
        await client.init("user:ada")
        await client.watch(after=1)
        assert (await client.hear())["type"] == "next"
        with mall.begin(OWNER) as ctx:
            access.revoke(ctx, grant=given)
        await asyncio.to_thread(PythonFace(mall, OWNER).create_node, "books", "Secret")
        while (told := await client.hear())["type"] == "next":
            assert told["payload"]["data"]["structureWatch"]["number"] <= head
        assert (told["type"], told["payload"][0]["extensions"]["code"]) == ("error", "denied")
        await client.watch("2")
        assert (await client.hear())["payload"][0]["extensions"]["code"] == "denied"

    talk(url, story)
    face = PythonFace(mall, OWNER)
    records = face.call("audit.list_records", {"outcome": "denied", "principal": "user:ada"})["items"]
    assert {one["operation"] for one in records} >= {"structure.watch"}


def test_credentials_that_end_end_the_connection(mall: Mall) -> None:
    """While it is quiet, the mall asks again who is there."""
    good = {"now": True}

    def admits(request: Any) -> Principal | None:
        return OWNER if good["now"] else authenticate(request)

    options = Options(graphql=GraphQLOptions(heartbeat=0.2))

    async def story(client: Talk) -> None:
        await client.init("nonsense")
        await client.watch(after=1)
        assert (await client.hear())["type"] == "next"
        good["now"] = False
        assert await client.closed() == 4403

    with uvicorn_serving(MallASGI(mall, admits, options=options)) as base:
        talk(base.replace("http", "ws") + "/graphql", story)


def test_a_page_of_somebody_else_brings_no_cookies(mall: Mall) -> None:
    """A browser sends cookies along for any page: they count only for pages of this very host."""

    def admits(request: Any) -> Principal | None:
        return OWNER if request.headers.get("cookie") == "session=1" else Principal.anonymous()

    async def story(client: Talk) -> None:
        await client.init(None)
        await client.say(type="subscribe", id="1", payload={"query": "{ accessMyPermissions { principal } }"})
        who.append((await client.hear())["payload"]["data"]["accessMyPermissions"]["principal"])

    with uvicorn_serving(MallASGI(mall, admits)) as base:
        who: list[str] = []
        for origin in ("http://elsewhere.test", base):
            talk(base.replace("http", "ws") + "/graphql", story, origin=origin,
                 additional_headers={"cookie": "session=1"})  # fmt: skip
    assert who == ["anonymous:*", OWNER.ref]


def test_each_version_has_its_address(url: str, mall: Mall) -> None:
    """The version in the path is the one that answers; where nothing is, no connection is accepted."""

    async def story(client: Talk) -> None:
        await client.init()
        await client.say(type="subscribe", id="1", payload={"query": "{ apiVersion }"})
        found.append((await client.hear())["payload"]["data"]["apiVersion"])

    found: list[str] = []
    base = url.removesuffix("/graphql")
    for name in mall.versions.names:
        talk(f"{base}/{name}/graphql", story)
    assert found == list(mall.versions.names)
    with pytest.raises(Exception, match="403"):
        talk(f"{base}/channels", story)


def test_fastapi_hands_connections_on(mall: Mall) -> None:
    """The router of the FastAPI adapter takes WebSockets, too."""
    from fastapi import FastAPI

    from mallcore.adapters.fastapi import install

    async def story(client: Talk) -> None:
        await client.init()
        await client.say(type="subscribe", id="1", payload={"query": "{ structureListUnits { nodes { slug } } }"})
        assert (await client.hear())["payload"]["data"]["structureListUnits"]["nodes"] == [{"slug": "main"}]

    app = FastAPI()
    install(app, mall, authenticate, prefix="/mall")
    with uvicorn_serving(app) as base:
        talk(base.replace("http", "ws") + "/mall/graphql", story)


def test_all_are_closed_when_the_server_goes(mall: Mall) -> None:
    """Clients are told that the server goes away, and come back elsewhere."""

    async def story(client: Talk) -> None:
        await client.init()
        await client.watch()
        app.close()
        assert await client.closed() == 1001

    app = MallASGI(mall, authenticate)
    with uvicorn_serving(app) as base:
        talk(base.replace("http", "ws") + "/graphql", story)


def test_a_bad_credential_is_refused_in_every_version(url: str, mall: Mall) -> None:
    """Also where the path says the version, so that nothing else asks who it is."""

    async def story(client: Talk) -> None:
        await client.say(type="connection_init", payload={"authorization": "Bearer nonsense"})
        assert await client.closed() == 4403

    for name in mall.versions.names:
        talk(f"{url.removesuffix('/graphql')}/{name}/graphql", story)


@pytest.mark.parametrize(
    "message", [{"type": "subscribe", "id": "1", "payload": {"query": "{ no }"}}, {"type": "ping"}]
)
def test_a_client_that_leaves_while_it_is_told_something_is_no_error(mall: Mall, message: Json) -> None:
    """Neither the server nor the event loop hears of it."""
    said = [{"type": "connection_init"}, message]
    events = [{"type": "websocket.connect"}, *({"type": "websocket.receive", "text": json.dumps(one)} for one in said)]
    heard: list[Any] = []

    async def play() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: heard.append(context))
        gone = asyncio.Event()

        async def receive() -> Any:
            if events:
                return events.pop(0)
            await gone.wait()
            return {"type": "websocket.disconnect"}

        async def send(event: Any) -> None:
            if event["type"] == "websocket.send" and "connection_ack" not in event["text"]:
                gone.set()
                raise OSError

        scope = {"type": "websocket", "path": "/graphql", "headers": [], "subprotocols": [PROTOCOL]}
        await MallASGI(mall, authenticate)(scope, receive, send)
        await asyncio.sleep(0.05)
        gc.collect()

    asyncio.run(play())
    assert heard == []


def test_each_operation_counts_as_a_request() -> None:
    """A connection is no way around the limits on how often one may ask."""

    async def story(client: Talk) -> None:
        await client.init()
        for number in range(8):
            await client.say(type="subscribe", id=str(number), payload={"query": "{ apiVersion }"})
            told = await client.hear()
            if told["type"] == "error":
                assert told["payload"][0]["extensions"]["code"] == "too-many-requests"
                return
            assert (await client.hear())["type"] == "complete"
        pytest.fail("nothing was refused")

    def known(request: Any) -> Principal:
        return Principal("client", "till", credential=Credential("cli_1", client="till"))

    with Mall.open("sqlite://", plans={"default": "5/hour"}) as mall, uvicorn_serving(MallASGI(mall, known)) as base:
        talk(base.replace("http", "ws") + "/graphql", story)
