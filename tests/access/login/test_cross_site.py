"""What another site makes a browser send: with the session's cookie, in every form that needs no leave (CSRF)."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from mallcore import Mall, Principal, access, audit
from mallcore.api import Dispatch, Request, bearer, session_cookie

ME = Principal.system("test")
TYPES = ("application/json", "text/plain", "multipart/form-data; boundary=x", "application/x-www-form-urlencoded", "")
FOREIGN: dict[str, dict[str, str]] = {
    "says nothing": {},
    "another site": {"origin": "https://thief.example"},
    "no origin of its own": {"origin": "null"},
    "a name like ours": {"origin": "https://shop.example.thief.example"},
    "a user like ours": {"origin": "https://shop.example@thief.example"},
    "another port": {"origin": "https://shop.example:444"},
    "not encrypted": {"origin": "http://shop.example"},
    "cross-site": {"sec-fetch-site": "cross-site"},
    "a neighbour": {"sec-fetch-site": "same-site"},
    "a neighbour that says where": {"sec-fetch-site": "same-site", "origin": "https://other.shop.example"},
    "a contradiction": {"sec-fetch-site": "same-origin", "origin": "https://thief.example"},
    "another contradiction": {"sec-fetch-site": "cross-site", "origin": "https://shop.example"},
}
MUTATION = json.dumps({"query": 'mutation { accessEndSessions(principal: "user:ada") { epoch } }'}).encode()
ASKED = {"/graphql": MUTATION, "/sessions/end": b'{"principal": "user:ada"}', "/tus": b""}


@pytest.fixture(scope="module")
def mall() -> Iterator[Mall]:
    with Mall.open("sqlite://") as opened:
        yield opened


def asked(mall: Mall, path: str, content_type: str, more: dict[str, str], query: str = "", method: str = "POST") -> int:
    """The status of a request with the cookie of a session that may do everything."""
    with mall.begin(ME) as ctx:
        access.grant(ctx, principal="user:ada", role="owner")
        made = access.open_session(ctx, user="ada")
    given = {"cookie": f"__Host-mall_session={made.token}", "host": "shop.example", **more}
    if content_type:
        given["content-type"] = content_type
    dispatch = Dispatch(mall, session_cookie(mall, bearer(mall)))
    return dispatch.run(Request(method, path, query, given, ASKED[path])).status


@pytest.mark.parametrize("site", FOREIGN)
def test_no_other_site_changes_anything(mall: Mall, site: str) -> None:
    """REST, GraphQL and uploads refuse it, whatever type the body is said to have, and nothing has happened."""
    for path in ASKED:
        for content_type in TYPES:
            assert asked(mall, path, content_type, FOREIGN[site]) == 403, (path, content_type)
    with mall.begin(ME) as ctx:
        assert audit.list_records(ctx, event="access.sessions_ended").items == []


def test_a_mutation_in_a_link_is_none(mall: Mall) -> None:
    """A link, which a browser follows with its cookies, carries out nothing; nor does a method by another name."""
    query = "query=mutation%7BaccessEndSessions(principal:%22user:ada%22)%7Bepoch%7D%7D"
    assert asked(mall, "/graphql", "", FOREIGN["cross-site"], query, method="GET") == 405
    override = {**FOREIGN["another site"], "x-http-method-override": "GET"}
    assert asked(mall, "/sessions/end", "application/json", override) == 403
    with mall.begin(ME) as ctx:
        assert audit.list_records(ctx, event="access.sessions_ended").items == []


def test_the_site_itself_does(mall: Mall) -> None:
    """The same from here is carried out."""
    own = {"origin": "https://shop.example", "sec-fetch-site": "same-origin"}
    for path in ("/graphql", "/sessions/end"):
        assert asked(mall, path, "application/json", own) == 200
    with mall.begin(ME) as ctx:
        assert len(audit.list_records(ctx, event="access.sessions_ended").items) == 2
