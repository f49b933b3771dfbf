"""What the API answers: methods, conditions, keys, places, pages; and which answers need no waiting."""

import json
import re
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode

import pytest

from mallcore import Context, Mall, Principal, access, audit, operation, structure
from mallcore.api import Dispatch, Options, Request, Response
from mallcore.kernel.operations import Catalogue, Rest
from tests.adapters.faces import authenticate
from tests.api.conftest import OWNER, Asking

NODE, NODES, TREE = "/channels/books/nodes/fiction/crime", "/channels/books/nodes", "/channels/books/tree"


def read(response: Response) -> Any:
    return json.loads(response.body)


def test_reads_are_answered_from_memory(ask: Asking) -> None:
    """After the first, reads of the head need no database and no thread; writes and lists do."""
    ask("GET", TREE)
    for path in (TREE, NODE, "/channels/books/effective-rules", "/me", "/"):
        assert ask("GET", path).status == 200
        assert ask.quick, path
    for method, path in (("GET", "/channels"), ("GET", "/health"), ("GET", "/channels/books/export"), ("PATCH", NODE)):
        ask(method, path, {} if method == "PATCH" else None)
        assert not ask.quick, path


def test_what_authenticates_slowly_is_never_called_on_the_event_loop(mall: Mall) -> None:
    """With `blocking`, nothing is answered quickly but what needs no caller."""
    ask = Asking(Dispatch(mall, authenticate, Options(blocking=True)))
    assert (ask("GET", TREE).status, ask.quick) == (200, False)
    assert (ask("GET", "/").status, ask.quick) == (200, True)


def test_a_caller_is_authenticated_once(mall: Mall) -> None:
    """A request that memory could not answer is not asked for its credentials again."""
    asked: list[str] = []

    def counting(request: Request) -> Principal:
        asked.append(request.path)
        return OWNER

    ask = Asking(Dispatch(mall, counting))
    assert (ask("GET", "/channels").status, ask.quick, asked) == (200, False, ["/channels"])


def test_a_refusal_is_recorded_once(mall: Mall) -> None:
    """A read that memory could refuse goes to the database all the same: a refusal is on record, under its request."""
    ask = Asking(Dispatch(mall, lambda request: Principal.user("ada")))
    assert ask("GET", TREE, x_request_id="r-7").status == 403
    assert not ask.quick
    with mall.begin(OWNER) as ctx:
        (record,) = audit.list_records(ctx, outcome="denied").items
    assert (record.principal, record.request_id) == ("user:ada", "r-7")


def test_a_refused_node_may_as_well_not_be_there(mall: Mall) -> None:
    """Whoever holds a grant on one subtree can't find out what else there is."""
    with mall.begin(OWNER) as ctx:
        access.grant(ctx, principal="user:ada", role="visitor", scope="subtree", channel="books", node="fiction/crime")
    ask = Asking(Dispatch(mall, lambda request: Principal.user("ada")))
    assert ask("GET", NODE).status == 200
    there, nowhere = ask("GET", "/channels/books/nodes/fiction/poetry"), ask("GET", "/channels/books/nodes/nowhere")
    assert (there.status, nowhere.status) == (403, 403)


def test_conditional_reads(ask: Asking) -> None:
    """Who has the current bytes gets none: by its tag, by a weak one, by one of a list, by `*`."""
    first = ask("GET", TREE)
    etag = first.header("etag")
    assert etag is not None
    assert etag.startswith('"3.')
    assert (first.header("cache-control"), first.header("mall-revision")) == ("private, no-cache", "3")
    for header in (etag, f"W/{etag}", f'"x", {etag}', "*"):
        again = ask("GET", TREE, if_none_match=header)
        assert (again.status, again.body, again.header("etag")) == (304, b"", etag)
        assert again.header("content-length") is None
    ask("PATCH", NODE, {"name": "Mystery"})
    changed = ask("GET", TREE, if_none_match=etag)
    assert (changed.status, changed.header("mall-revision")) == (200, "4")


def test_every_read_has_a_tag_of_its_own(ask: Asking) -> None:
    """Another depth, language, node or format is another tag; what has none of its own is tagged by its bytes."""
    asked = [
        (TREE, ""), (TREE, "depth=1"), (TREE, "locale=de"), (TREE, "node=fiction"), (NODE, ""), (NODE, "locale=de"),
        ("/channels/books/export", "format=csv"), ("/channels/books/export", "format=paths"), ("/channels/books", ""),
        ("/channels", ""), ("/channels/books/revisions", ""), ("/units", ""), ("/openapi.json", ""), ("/", ""),
    ]  # fmt: skip
    tags = [ask("GET", path, query=query).header("etag") for path, query in asked]
    assert None not in tags
    assert len(set(tags)) == len(tags)
    for (path, query), tag in zip(asked, tags, strict=True):
        assert ask("GET", path, query=query, if_none_match=str(tag)).status == 304


def test_a_tag_that_was_read_is_a_precondition(ask: Asking) -> None:
    """The entity tag of a read can be an `If-Match`: 412 when something changed since, 409 when the body said it."""
    etag = str(ask("GET", NODE).header("etag"))
    assert ask("PATCH", NODE, {"name": "Mystery"}, if_match=etag).status == 200
    stale = ask("PATCH", NODE, {"name": "Noir"}, if_match=etag)
    assert (stale.status, read(stale)["code"], read(stale)["actual"]) == (412, "stale-revision", 4)
    said = ask("PATCH", NODE, {"name": "Noir", "expected_revision": 3})
    assert (said.status, read(said)["code"]) == (409, "stale-revision")
    assert ask("PATCH", NODE, {"name": "Noir"}, if_match="*").status == 200
    assert ask("DELETE", NODE, if_match='"5"').status == 200


def test_conditions_of_what_has_a_version(ask: Asking) -> None:
    """Units and drafts are compared by their own version, and so are their tags."""
    draft = read(ask("POST", "/channels/books/drafts", {"name": "Autumn"}))["id"]
    etag = str(ask("GET", f"/drafts/{draft}").header("etag"))
    edits = {"edits": [{"op": "create", "name": "Noir"}]}
    assert ask("POST", f"/drafts/{draft}/edits", edits, if_match=etag).status == 200
    assert ask("POST", f"/drafts/{draft}/edits", edits, if_match=etag).status == 412


def test_conditions_must_agree_and_be_understood(ask: Asking) -> None:
    """A condition that contradicts another, or that the operation can't keep, is refused; nothing is done."""
    assert ask("PATCH", NODE, {"name": "x", "expected_revision": 3}, if_match='"3"').status == 200
    assert ask("PATCH", NODE, {"name": "y", "expected_revision": 3}, if_match='"4"').status == 422
    assert ask("POST", "/units", {"slug": "u", "name": "U"}, if_match='"1"').status == 422
    assert ask("PATCH", NODE, {"name": "y", "idempotency_key": "a"}, idempotency_key="b").status == 422
    assert ask("GET", NODE).header("mall-revision") == "4"


def test_a_repeated_key_is_answered_again(ask: Asking) -> None:
    """A call with a key it had before gets the first answer, and is told so."""
    first = ask("POST", NODES, {"name": "Noir"}, idempotency_key="k")
    again = ask("POST", NODES, {"name": "Noir"}, idempotency_key="k")
    assert (first.status, again.status, first.body) == (201, 201, again.body)
    assert (first.header("idempotency-replayed"), again.header("idempotency-replayed")) == (None, "true")
    assert first.header("location") == again.header("location")
    assert read(ask("POST", NODES, {"name": "Other"}, idempotency_key="k"))["code"] == "idempotency-mismatch"


def test_read_your_writes(ask: Asking) -> None:
    """`Mall-Min-Revision` waits for nobody: it is answered from that revision on, or refused for now."""
    assert ask("GET", TREE, mall_min_revision="3").status == 200
    later = ask("GET", TREE, mall_min_revision="99")
    assert (later.status, later.header("retry-after")) == (503, "1")
    assert ask("GET", "/channels", mall_min_revision="99").status == 200


@pytest.mark.parametrize(
    ("path", "body", "location"),
    [
        ("/units", {"slug": "u", "name": "U"}, "/api/units/{id}"),
        ("/channels", {"slug": "toys", "name": "Toys"}, "/api/channels/{id}"),
        (NODES, {"name": "Noir"}, "/api/channels/books/nodes/{id}"),
        ("/channels/books/drafts", {"name": "Autumn"}, "/api/drafts/{id}"),
        ("/snapshots", {"name": "s1"}, "/api/snapshots/{name}"),
    ],
)
def test_what_was_made_can_be_found(path: str, body: Any, location: str, ask: Asking) -> None:
    """201 tells where to read what was made."""
    response = ask("POST", path, body)
    assert response.status == 201
    assert response.header("location") == location.format(**read(response))
    assert read(ask("GET", location.format(**read(response)).removeprefix("/api"))).items() >= body.items() - {"slug"}


def test_methods(ask: Asking) -> None:
    """HEAD is GET without its body; OPTIONS and 405 tell what there is."""
    shown, head = ask("GET", TREE), ask("HEAD", TREE)
    differing = {"x-request-id"}
    assert [one for one in head.headers if one[0] not in differing] == [
        one for one in shown.headers if one[0] not in differing
    ]
    assert (head.status, head.body) == (200, b"")
    assert ask("HEAD", "/nope").body == b""
    for method in ("OPTIONS", "PUT"):
        response = ask(method, NODE)
        assert response.header("allow") == "DELETE, GET, HEAD, OPTIONS, PATCH"
    assert ask("OPTIONS", "*").status == 204
    assert ask("OPTIONS", NODE).status == 204


def test_every_response_is_named_and_typed(ask: Asking) -> None:
    """Each response carries its request's id and forbids guessing of types; only reads may be kept."""
    for method, path in (("GET", TREE), ("GET", "/nope"), ("OPTIONS", TREE), ("POST", NODES), ("PUT", TREE)):
        response = ask(method, path)
        assert response.header("x-content-type-options") == "nosniff"
        assert str(response.header("x-request-id")).startswith("req_")
        assert response.status in (200, 204) or response.header("cache-control") == "no-store"


def test_the_request_id_reaches_the_audit_trail(ask: Asking, mall: Mall) -> None:
    """A change can be found in the trail by the id its request had."""
    ask("POST", NODES, {"name": "Noir"}, x_request_id="trace-9")
    with mall.begin(OWNER) as ctx:
        (record,) = audit.list_records(ctx, request_id="trace-9").items
    assert record.event == "structure.revised"


def test_one_path_two_forms(ask: Asking) -> None:
    """Changes are a page for who wants JSON, and a stream for who asks for events."""
    page = ask("GET", "/channels/books/changes", query="after=2")
    assert ([one["number"] for one in read(page)["items"]], page.header("vary")) == ([3], "Accept")
    stream = ask("GET", "/channels/books/changes", accept="text/event-stream", last_event_id="1")
    assert (stream.status, stream.header("content-type")) == (200, "text/event-stream")
    assert stream.stream is not None
    assert stream.stream.fetch().count(b"event: revision\n") == 2
    stream.stream.close()
    head = ask("HEAD", "/channels/books/changes", accept="text/event-stream")
    assert (head.status, head.stream) == (200, None)
    wrong = ask("GET", "/channels/books/changes", accept="text/event-stream", last_event_id="soon")
    assert wrong.status == 422
    assert len(ask.dispatch.streams) == 0


def test_a_stream_ends_when_its_caller_may_no_more(mall: Mall) -> None:
    """Access is checked anew while a stream is open."""
    with mall.begin(OWNER) as ctx:
        grant = access.grant(ctx, principal="user:ada", role="auditor", scope="mall")
    ask = Asking(Dispatch(mall, lambda request: Principal.user("ada")))
    stream = ask("GET", "/channels/books/changes", accept="text/event-stream", query="after=0").stream
    assert stream is not None
    assert b"id: 1\n" in stream.fetch()
    with mall.begin(OWNER) as ctx:
        access.revoke(ctx, grant=grant.id)
    assert (stream.fetch(), stream.over, len(ask.dispatch.streams)) == (b"", True, 0)


def test_index_and_health(ask: Asking, mall: Mall) -> None:
    """The index leads on; health needs no credentials, and is bad when the database is."""
    links = {"openapi": "/api/openapi.json", "health": "/api/health", "uploads": "/api/tus"}
    assert read(ask("GET", "/"))["links"] == links
    assert read(ask("GET", "/health", authorization="Bearer nonsense")) == {"status": "ok"}
    mall.engine.dispose()
    file = Path(str(mall.engine.url.database))
    for part in file.parent.glob(f"{file.name}*"):
        part.unlink()
    file.mkdir()
    unwell = ask("GET", "/health")
    assert (unwell.status, read(unwell)) == (503, {"status": "unavailable"})


@operation(permission=None, rest=Rest("GET", "/greeting"), name="host.greet")
def greet(
    ctx: Context, *, names: list[str], loud: bool = False, options: dict[str, int] | None = None
) -> dict[str, Any]:
    """An operation of a plug-in."""
    return {"names": names, "loud": loud, "options": options}


class Tagged(NamedTuple):
    """A result of a plug-in that brings its own bytes and tag."""

    etag: str
    body: bytes = b"x"
    content_type: str = "text/plain"


@operation(permission=None, rest=Rest("GET", "/tagged"), name="host.tagged", output=bytes)
def tagged(ctx: Context, *, tag: str) -> Tagged:
    """Another operation of a plug-in."""
    return Tagged(tag)


@pytest.mark.parametrize("tag", ["a\r\nSet-Cookie: x=1", '", "', "ü🔎", "a b", "", "x" * 10_000])
def test_a_tag_of_a_plug_in_can_not_break_the_header(tag: str, mall: Mall) -> None:
    """Whatever a result calls its content, one well-formed entity tag is sent, and recognised when it comes back."""
    mall.catalogue = Catalogue([tagged.operation])  # type: ignore[attr-defined]
    ask = Asking(Dispatch(mall, authenticate))
    query = urlencode({"tag": tag})
    etag = str(ask("GET", "/tagged", query=query).header("etag"))
    assert re.fullmatch('"[!#-~]{0,200}"', etag)
    assert ask("GET", "/tagged", query=query, if_none_match=etag).status == 304
    assert ask("GET", "/tagged", query=query, accept="application/json").status == 406


def test_a_new_catalogue_is_served_at_once(mall: Mall) -> None:
    """Routes and document follow the catalogue; lists are repeated, objects are JSON, flags are words."""
    ask = Asking(Dispatch(mall, authenticate))
    assert ask("GET", "/greeting").status == 404
    mall.catalogue = Catalogue([*mall.catalogue.values(), greet.operation])  # type: ignore[attr-defined]
    answer = ask("GET", "/greeting", query="names=a&names=b&loud=true&options=%7B%22x%22:1%7D")
    assert read(answer) == {"names": ["a", "b"], "loud": True, "options": {"x": 1}}
    assert ask("GET", "/greeting", query="names=a&options=%7B").status == 400
    assert "/greeting" in read(ask("GET", "/openapi.json"))["paths"]


def test_a_change_in_another_unit_of_work_is_seen(ask: Asking, mall: Mall) -> None:
    """What Python commits, HTTP shows next."""
    with mall.begin(OWNER) as ctx:
        structure.create_category(ctx, channel="books", name="Noir")
    assert ask("GET", TREE).header("mall-revision") == "4"
