"""Whatever is thrown at the API, it answers with a problem document that blames the caller, and changes nothing."""

import base64
import json
import logging
from typing import Any

import pytest

from mallcore import Mall, Principal
from mallcore.api import Dispatch, Options, Request, Response
from tests.adapters.faces import WEB, Opened, PythonFace, authenticate
from tests.adapters.scenarios import bookshop
from tests.api.conftest import OWNER, Asking

NODES, NODE, TREE = "/channels/books/nodes", "/channels/books/nodes/fiction/crime", "/channels/books/tree"
LONG = "x" * 200_000
DEEP = b"[" * 100_000

BAD_BODIES: dict[str, tuple[int, bytes]] = {
    "empty": (422, b""),
    "not JSON": (400, b"name=Crime"),
    "cut off": (400, b'{"name": "Cri'),
    "two documents": (400, b"{}{}"),
    "a list": (400, b"[]"),
    "a text": (400, b'"x"'),
    "null": (400, b"null"),
    "not UTF-8": (400, b'{"name": "\xff\xfe"}'),
    "UTF-16": (400, '{"name": "x"}'.encode("utf-16")),
    "NaN": (400, b'{"name": "x", "attributes": {"a": NaN}}'),
    "infinity": (400, b'{"name": "x", "attributes": {"a": -Infinity}}'),
    "a lone surrogate": (400, b'{"name": "\\ud800"}'),
    "deep lists": (400, DEEP),
    "deep objects": (400, b'{"a":' * 50_000),
    "deep attributes": (400, b'{"name": "x", "attributes": {"a": ' + b"[" * 500 + b"]" * 500 + b"}}"),
    "a huge number": (422, b'{"name": "x", "index": 1' + b"0" * 3000 + b"}"),
    "an endless number": (400, b'{"name": "x", "index": ' + b"9" * 100_000 + b"}"),
    "beyond floating point": (422, b'{"name": "x", "attributes": {"a": 1e400}}'),
    "a name twice": (400, b'{"name": "x", "name": "y"}'),
    "a key twice, written in two ways": (400, b'{"name": "x", "attributes": {"a": 1, "\\u0061": 2}}'),
    "a number as name": (422, b'{"name": 7}'),
    "a list as name": (422, b'{"name": ["x"]}'),
    "an unknown kind": (422, b'{"name": "x", "kind": "aisle"}'),
    "an unknown field": (422, b'{"name": "x", "colour": "red"}'),
    "a huge unknown field": (422, json.dumps({"name": "x", LONG: 1}).encode()),
    "a name of 10 MB": (422, json.dumps({"name": "x" * 10_000_000}).encode()),
    "a name of 200 kB": (422, json.dumps({"name": LONG}).encode()),
    "an empty name": (422, b'{"name": ""}'),
    "a null byte": (422, b'{"name": "a\\u0000b"}'),
    "a null byte in an attribute": (422, b'{"name": "x", "attributes": {"a": "\\u0000"}}'),
    "a null byte as a key": (422, b'{"name": "x", "attributes": {"\\u0000": "a"}}'),
    "control characters": (422, b'{"name": "a\\r\\nb"}'),
    "a bad slug": (422, b'{"name": "x", "slug": "../etc"}'),
    "a field of the path": (422, b'{"name": "x", "channel": "toys"}'),
    "a bad rule": (422, b'{"name": "x", "rules": [{"kind": "sort"}]}'),
    "an unknown rule": (422, b'{"name": "x", "rules": [{"kind": "explode"}]}'),
    "a negative revision": (422, b'{"name": "x", "expected_revision": -1}'),
    "an empty key": (422, b'{"name": "x", "idempotency_key": ""}'),
    "a long key": (422, json.dumps({"name": "x", "idempotency_key": LONG}).encode()),
    "an unknown parent": (404, b'{"name": "x", "parent": "nowhere"}'),
    "a parent with a null byte": (422, b'{"name": "x", "parent": "a\\u0000"}'),
}

BAD_QUERIES: dict[str, tuple[int, str]] = {
    "broken escape": (400, "locale=%zz"),
    "cut escape": (400, "locale=%"),
    "not UTF-8": (400, "locale=%ff%fe"),
    "a null byte": (400, "locale=%00"),
    "a null byte in a name": (400, "%00=1"),
    "twice": (400, "depth=1&depth=2"),
    "too many": (400, "&".join(f"f{number}=1" for number in range(5000))),
    "unknown": (422, "colour=red"),
    "unknown and long": (422, f"{LONG}=1"),
    "no number": (422, "depth=deep"),
    "an empty number": (422, "depth="),
    "beyond its limit": (422, "depth=0"),
    "a huge number": (422, "depth=" + "9" * 5000),
    "a long locale": (422, f"locale={LONG}"),
    "a revision that is not there": (404, "at=99"),
    "a huge revision": (404, "at=99999999999999999999999999"),
    "a negative revision": (404, "at=-1"),
    "a time before the channel": (404, "at=1999-01-01T00:00:00Z"),
    "a time without a zone": (422, "at=2026-01-01T00:00:00"),
    "a day that is none": (422, "at=2026-02-31T00:00:00Z"),
    "an unknown snapshot": (404, "at=never"),
    "an unknown node": (404, "node=nowhere"),
    "a revision of the future": (503, "min_revision=99"),
}

BAD_HEADERS: dict[str, tuple[int, str, dict[str, str]]] = {
    "no revision": (400, "PATCH", {"if_match": '"abc"'}),
    "several revisions": (400, "PATCH", {"if_match": '"1", "2"'}),
    "a huge revision": (400, "PATCH", {"if_match": '"99999999999999999999"'}),
    "an empty condition": (400, "PATCH", {"if_match": ""}),
    "a stale revision": (412, "PATCH", {"if_match": '"1"'}),
    "an empty key": (422, "PATCH", {"idempotency_key": ""}),
    "a long key": (422, "PATCH", {"idempotency_key": LONG}),
    "a form": (415, "PATCH", {"content_type": "application/x-www-form-urlencoded"}),
    "nonsense": (415, "PATCH", {"content_type": ";;;"}),
    "text only": (406, "GET", {"accept": "text/html"}),
    "anything but JSON": (406, "GET", {"accept": "*/*, application/json;q=0"}),
    "events of a node": (406, "GET", {"accept": "text/event-stream"}),
    "broken accept": (406, "GET", {"accept": ";q=,,;="}),
}

BAD_PATHS: dict[str, tuple[int, str, str]] = {
    "nothing there": (404, "GET", "/nope"),
    "up and away": (404, "GET", "/../../etc/passwd"),
    "a slash too many": (404, "GET", "/channels/"),
    "an empty channel": (404, "GET", "/channels//tree"),
    "an empty slug": (404, "GET", "/channels/books/nodes/fiction//crime"),
    "a null byte": (400, "GET", "/channels/bo\0oks/tree"),
    "line breaks": (404, "GET", "/channels/a\r\nSet-Cookie: x=1/tree"),
    "markup": (404, "GET", "/channels/<script>/tree"),
    "a long channel": (422, "GET", f"/channels/{LONG}/tree"),
    "a long node": (422, "GET", f"/channels/books/nodes/{LONG}"),
    "many segments": (422, "GET", "/channels/books/nodes/" + "a/" * 20_000 + "a"),
    "other alphabets": (404, "GET", "/channels/書籍\U0001f4da/tree"),
    "a replacement character": (404, "GET", "/channels/\ufffd/tree"),
    "not a number": (422, "GET", "/channels/books/revisions/last"),
    "a huge number": (422, "GET", "/channels/books/revisions/" + "9" * 19),
    "an endless number": (422, "GET", "/channels/books/revisions/" + "9" * 5000),
    "no such method here": (405, "PUT", "/channels/books/tree"),
    "no such method at all": (405, "BREW", "/channels/books/tree"),
    "a method with line breaks": (405, "GET\r\nX: y", "/channels/books/tree"),
    "an unknown draft": (404, "GET", "/drafts/drf_nope"),
    "an unknown page": (404, "OPTIONS", "/nope"),
}


@pytest.fixture(autouse=True)
def nothing_fails_inside(mall: Mall, caplog: pytest.LogCaptureFixture) -> Any:
    """No bad input is an error of ours: nothing is logged as such, and the tree stays as it was."""
    with caplog.at_level(logging.WARNING, "mallcore"):
        yield
    assert caplog.records == []
    assert PythonFace(mall, OWNER).tree("books")["revision"] == 3


def blamed(response: Response, status: int) -> dict[str, Any]:
    """The problem document of a response, which must have this status and be of a size one can read."""
    assert (response.status, response.header("content-type")) == (status, "application/problem+json"), response.body
    assert len(response.body) < 20_000
    problem: dict[str, Any] = json.loads(response.body)
    assert problem["status"] == status
    assert problem["type"] == f"urn:mallcore:error:{problem['code']}"
    assert {"title", "detail", "instance", "request_id"} <= set(problem)
    for name, value in response.headers:
        assert (name + value).isascii()
        assert (name + value).isprintable()
    return problem


@pytest.mark.parametrize("what", BAD_BODIES)
def test_bad_bodies(what: str, ask: Asking) -> None:
    """A body that is no JSON object, or not what the operation takes."""
    status, body = BAD_BODIES[what]
    blamed(ask("POST", NODES, body), status)


@pytest.mark.parametrize("what", BAD_QUERIES)
def test_bad_queries(what: str, ask: Asking) -> None:
    """A query string that is malformed, or not what the operation takes."""
    status, query = BAD_QUERIES[what]
    blamed(ask("GET", TREE, query=query), status)


@pytest.mark.parametrize("what", BAD_HEADERS)
def test_bad_headers(what: str, ask: Asking) -> None:
    """A header that asks for what can't be."""
    status, method, headers = BAD_HEADERS[what]
    blamed(ask(method, NODE, {"name": "Late"} if method == "PATCH" else None, **headers), status)


@pytest.mark.parametrize("what", BAD_PATHS)
def test_bad_paths(what: str, ask: Asking) -> None:
    """A path or method that means nothing."""
    status, method, path = BAD_PATHS[what]
    problem = blamed(ask(method, path), status)
    assert len(problem["instance"]) < 10_000


@pytest.mark.parametrize(
    ("method", "path", "body", "query", "status"),
    [
        ("POST", NODES, {"name": "x"}, "kind=section", 400),
        ("DELETE", NODE, {"policy": "cascade"}, "", 400),
        ("POST", "/channels/books/import", b"", "dry_run=perhaps", 422),
        ("POST", "/channels/books/import", b"\x00\x01", "", 422),
        ("POST", "/channels/books/import", b"1 - A", "data=B", 422),
        ("POST", "/channels/books/restore", None, "force=1", 400),
    ],
)
def test_parameters_in_the_wrong_place(method: str, path: str, body: Any, query: str, status: int, ask: Asking) -> None:
    """What is given where nobody looks is refused, not lost."""
    blamed(ask(method, path, body, query=query), status)


def test_every_wrong_field_is_named(ask: Asking) -> None:
    """One answer tells all that is wrong, field by field, without repeating what was sent."""
    body = {"name": 7, "kind": "aisle", "colour": "secret", "index": -1}
    problem = blamed(ask("POST", NODES, body), 422)
    assert {one["field"] for one in problem["problems"]} == {"name", "kind", "colour", "index"}
    assert "secret" not in json.dumps(problem)


def test_a_locale_can_not_inject_headers(ask: Asking) -> None:
    """Entity tags are made of what the caller said; what is no language tag does not get there."""
    for locale in ("de%0d%0aSet-Cookie:%20x=1", "%22,%20%22", "%C3%BC%F0%9F%94%8E", "a%20b"):
        blamed(ask("GET", TREE, query=f"locale={locale}"), 422)


def test_a_request_id_can_not_inject_headers(ask: Asking) -> None:
    """A harmless id comes back; any other is replaced."""
    assert ask("GET", "/", x_request_id="trace-1/2").header("x-request-id") == "trace-1/2"
    for bad in ("a\r\nSet-Cookie: x=1", "", "x" * 101, "ü", "a b"):
        given = ask("GET", "/", x_request_id=bad).header("x-request-id")
        assert given is not None
        assert given.startswith("req_")


def test_a_large_body_is_refused(mall: Mall) -> None:
    """What is larger than the limit is refused, whether it says so or not."""
    ask = Asking(Dispatch(mall, authenticate, Options(max_body=100)))
    assert blamed(ask("POST", NODES, b" " * 101), 413)["limit"] == 100
    assert blamed(ask("POST", NODES, b"", content_length="101"), 413)["actual"] == 101
    assert blamed(ask("POST", "/channels/books/import", b"1 - A\n" * 20), 413)["code"] == "limit-exceeded"
    blamed(ask("POST", NODES, b"{}", content_length="9" * 5000), 422)


@pytest.mark.parametrize("kind", WEB)
def test_adapters_pass_the_blame_on(kind: str, mall: Mall) -> None:
    """A few of each, through every adapter."""
    owner = {"authorization": f"Bearer {OWNER.ref}"}
    asked = [
        (404, "GET", "/nope", b""),
        (404, "GET", "/channels/%F0%9F%93%9A/tree", b""),
        (404, "GET", "/channels/%ff/tree", b""),
        (404, "GET", "/channels/%zz/tree", b""),
        (400, "GET", "/channels/a%00b/tree", b""),
        (400, "GET", TREE + "?locale=%zz", b""),
        (405, "PUT", TREE, b"{}"),
        (400, "POST", NODES, DEEP),
        (422, "POST", NODES, json.dumps({"name": LONG}).encode()),
    ]
    with Opened(kind, mall) as opened:
        for status, method, path, body in asked:
            response = opened.send(method, path, owner, body)
            assert (response.status_code, response.headers["content-type"]) == (status, "application/problem+json"), (
                path
            )
            assert response.json()["instance"].startswith(opened.base)


def test_what_fails_inside_is_logged_and_hidden(mall: Mall, caplog: pytest.LogCaptureFixture) -> None:
    """A failure of ours is a problem document without a word of what failed; the log has it, under the request's id."""

    def broken(request: Request) -> Principal | None:
        raise RuntimeError("secret host")

    ask = Asking(Dispatch(mall, broken))
    problem = blamed(ask("GET", TREE, x_request_id="r-1"), 500)
    assert "secret" not in json.dumps(problem)
    assert (problem["code"], "r-1" in problem["detail"]) == ("mall-error", True)
    (record,) = caplog.records
    assert "r-1" in record.getMessage()
    assert "secret host" in caplog.text
    caplog.clear()


def test_authenticate_must_tell_who(mall: Mall, caplog: pytest.LogCaptureFixture) -> None:
    """An `authenticate` that returns something else, or a coroutine, is a mistake that lets nobody in."""

    async def coroutine(request: Request) -> Principal | None:
        return OWNER

    with pytest.raises(TypeError, match="plain function"):
        Dispatch(mall, coroutine)  # type: ignore[arg-type]
    assert Asking(Dispatch(mall, lambda request: True))("GET", TREE).status == 500  # type: ignore[arg-type, return-value]
    caplog.clear()


@pytest.mark.parametrize("key", [[10**30], ["x"], [1.5], [None], [True], [1, 2], {}, "1"])
def test_forged_cursors(key: Any, ask: Asking) -> None:
    """A cursor that is not one of ours is refused, also one that no database could be asked for."""
    cursor = base64.urlsafe_b64encode(json.dumps(key).encode()).decode()
    assert blamed(ask("GET", "/channels/books/revisions", query=f"cursor={cursor}"), 422)["field"] == "cursor"


NULL_BYTES: list[tuple[str, dict[str, Any]]] = [
    ("/channels", {"slug": "toys", "name": "Toys", "unit": "\0"}),
    ("/channels", {"slug": "toys", "name": "Toys", "message": "\0"}),
    ("/channels", {"slug": "toys", "name": "Toys", "settings": {"a": "\0"}}),
    ("/channels", {"slug": "toys", "name": "Toys", "translations": {"de": "\0"}}),
    ("/channels/books/nodes", {"name": "x", "message": "a\0"}),
    ("/channels/books/nodes", {"name": "x", "external_id": "a\0"}),
    ("/channels/books/nodes", {"name": "x", "idempotency_key": "a\0"}),
    ("/channels/books/nodes", {"name": "x", "rules": [{"kind": "sort", "by": "a\0"}]}),
    ("/channels/books/drafts", {"name": "\0"}),
    ("/snapshots", {"name": "s", "channels": ["\0"]}),
    ("/snapshots", {"name": "s", "message": "\0"}),
    ("/grants", {"principal": "user:\0", "role": "visitor", "scope": "mall"}),
    ("/grants", {"principal": "user:a", "role": "\0", "scope": "mall"}),
    ("/channels/books/rollback", {"to": "\0"}),
]


@pytest.mark.parametrize(("path", "body"), NULL_BYTES)
def test_null_bytes_anywhere(path: str, body: dict[str, Any], ask: Asking) -> None:
    """No text may hold a null byte, wherever it stands."""
    blamed(ask("POST", path, body), 422)


@pytest.mark.postgres
def test_bad_input_on_postgres(postgres_url: str) -> None:
    """PostgreSQL takes less than SQLite (no null bytes, no endless numbers), and is blamed as little."""
    with Mall.open(postgres_url, migrate="always") as mall:
        bookshop(PythonFace(mall, OWNER))
        ask = Asking(Dispatch(mall, authenticate))
        for what, (status, body) in BAD_BODIES.items():
            assert ask("POST", NODES, body).status == status, what
        for what, (status, query) in BAD_QUERIES.items():
            assert ask("GET", TREE, query=query).status == status, what
        for what, (status, method, path) in BAD_PATHS.items():
            assert ask(method, path).status == status, what
        for path, body in NULL_BYTES:
            assert ask("POST", path, body).status == 422, (path, body)
        assert PythonFace(mall, OWNER).tree("books")["revision"] == 3
