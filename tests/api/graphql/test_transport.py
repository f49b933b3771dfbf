"""GraphQL over HTTP: methods, media types, bad bodies, documents by name, versions."""

import json
from typing import Any
from urllib.parse import urlencode

import pytest

from mallcore import Mall
from mallcore.api import Options
from mallcore.api.graphql import GraphQLOptions
from mallcore.api.graphql.documents import Store, digest
from tests.api.graphql.conftest import Asking

GRAPHQL = "application/graphql-response+json"
JSON = "application/json"
WRITES = 'mutation { structureCreateUnit(slug: "x", name: "X") { id } }'
WATCHES = 'subscription { structureWatch(channel: "books") { number } }'
UNITS = "{ structureListUnits { nodes { slug } } }"


def posted(graphql: Asking, body: Any, **headers: str) -> Any:
    """The response to a body that is JSON, unless it is bytes."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return graphql.send("POST", content, **{"content_type": JSON, **headers})


def code(response: Any) -> str:
    """The code of a response's only error."""
    (error,) = json.loads(response.body)["errors"]
    found: str = error["extensions"]["code"]
    return found


@pytest.mark.parametrize(
    ("accept", "kind"),
    [(GRAPHQL, GRAPHQL), (JSON, JSON), ("*/*", JSON), ("application/*", JSON), (f"{JSON}, {GRAPHQL}", GRAPHQL)],
)
def test_the_answer_is_of_a_type_that_is_accepted(graphql: Asking, accept: str, kind: str) -> None:
    """The type made for GraphQL is for whoever names it; only there a wrong request has a status of its own."""
    good, bad = (posted(graphql, {"query": text}, accept=accept) for text in (UNITS, "{"))
    assert good.header("content-type") == bad.header("content-type") == f"{kind}; charset=utf-8"
    assert (good.status, bad.status) == (200, 400 if kind == GRAPHQL else 200)
    assert good.header("cache-control") == "no-store"


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        ({"method": "POST", "accept": "text/html"}, 406), ({"method": "POST", "content_type": "text/plain"}, 415),
        ({"method": "POST", "content_type": ""}, 415),
        ({"method": "POST", "content_type": f"{JSON}; charset=latin1"}, 415),
        ({"method": "POST", "content_type": "application/x-www-form-urlencoded"}, 415), ({"method": "PUT"}, 405),
        ({"method": "DELETE"}, 405), ({"method": "GET"}, 400),
        ({"method": "GET", "query": urlencode({"query": WRITES})}, 405),
        ({"method": "GET", "query": "query=%7BapiVersion%7D&query=%7BapiVersion%7D"}, 400),
        ({"method": "GET", "query": "query=%ff"}, 400),
        ({"method": "GET", "query": urlencode({"query": WATCHES})}, 400),
    ],
)  # fmt: skip
def test_requests_of_the_wrong_form_are_refused(graphql: Asking, request_: dict[str, str], status: int) -> None:
    """Method, type and parameters are checked before anything is read; a GET never writes."""
    defaults = {"content_type": JSON} if request_["method"] == "POST" else {}
    response = graphql.send(**{"body": json.dumps({"query": UNITS}).encode(), **defaults, **request_})  # type: ignore[arg-type]
    assert response.status == status
    assert code(response) == "invalid-input"
    assert ("allow" in dict(response.headers)) is (status == 405)


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"[]", b"7", b"null", b'"x"', b"\xff", b'{"query": NaN}',
        b'{"query": "{apiVersion}", "query": "{apiVersion}"}',
        b'{"query": "{apiVersion}", "variables": {"a": 1, "a": 2}}', b"[" * 100_000, b'[{"query": "{apiVersion}"}]',
        b'{"query": 7}', b'{"query": "{apiVersion}", "variables": []}', b'{"query": "{apiVersion}", "variables": "x"}',
        b'{"query": "{apiVersion}", "extensions": 7}', b'{"query": "{apiVersion}", "operationName": {}}',
        b'{"documentId": 7}', b"{}", b'{"variables": {}}',
    ],
)  # fmt: skip
def test_bodies_that_are_no_requests_are_refused(graphql: Asking, body: bytes) -> None:
    """Malformed JSON, keys given twice, batches, and parameters of other types: 400, and what is wrong."""
    response = posted(graphql, body)
    assert response.status == 400
    assert code(response) == "invalid-input"


def test_a_large_body_is_refused(mall: Mall) -> None:
    """What is beyond the limit is not parsed."""
    graphql = Asking(mall, Options(graphql=GraphQLOptions(max_body=1000)))
    response = posted(graphql, {"query": UNITS, "variables": {"x": "x" * 1000}})
    assert (response.status, code(response)) == (413, "limit-exceeded")


def test_reading_by_get(graphql: Asking) -> None:
    """A query may be sent in the URL, with its variables as JSON."""
    text = "query($u: String!) { structureGetUnit(unit: $u) { slug } }"
    query = urlencode({"query": text, "variables": json.dumps({"u": "main"}), "operationName": ""})
    response = graphql.send("GET", query=query)
    assert json.loads(response.body) == {"data": {"structureGetUnit": {"slug": "main"}}}
    assert graphql.send("HEAD", query=query).body == b""
    assert graphql.send("OPTIONS").header("allow") == "GET, HEAD, OPTIONS, POST"


def test_bad_credentials_are_refused_like_everywhere(graphql: Asking) -> None:
    """Before anything is looked at: 401, a challenge, and a problem document."""
    response = posted(graphql, {"query": "{"}, authorization="Bearer nonsense")
    assert response.status == 401
    assert response.header("www-authenticate")


def test_each_version_has_a_schema(graphql: Asking) -> None:
    """The version in the path answers, and says so; one that does not exist is a problem."""
    for name in graphql.mall.versions.names:
        response = graphql.send("POST", b'{"query": "{ apiVersion }"}', path=f"/{name}/graphql", content_type=JSON)
        assert json.loads(response.body) == {"data": {"apiVersion": name}}
        assert response.header("mall-version") == name
    assert graphql.send("POST", b"{}", path="/2001-01-01/graphql", content_type=JSON).status == 404


def test_documents_by_name(mall: Mall) -> None:
    """Documents that the server knows are asked for by name or digest; with `trusted_only` nothing else is executed."""
    store = Store({"units": UNITS})
    graphql = Asking(mall, Options(graphql=GraphQLOptions(documents=store, trusted_only=True)))
    for name in ("units", digest(UNITS)):
        assert "data" in json.loads(posted(graphql, {"documentId": name}).body)
    for other in ({"query": "{ apiVersion }"}, {"documentId": "nothing"}, {"documentId": ""}):
        assert code(posted(graphql, other)) == "invalid-document"


def test_introspection_can_be_off(mall: Mall) -> None:
    """Then the schema is not shown; `__typename` is no introspection."""
    graphql = Asking(mall, Options(graphql=GraphQLOptions(introspection=False)))
    assert graphql.refused("{ __schema { types { name } } }")[0]["code"] == "invalid-document"
    assert graphql("{ __typename }") == {"__typename": "Query"}


def test_the_explorer_is_for_development_only(mall: Mall) -> None:
    """Browsers get a page where it is asked for, which loads nothing from elsewhere; else 406."""
    shown = Asking(mall, Options(graphql=GraphQLOptions(explorer=True))).send("GET", accept="text/html")
    assert (shown.status, shown.header("content-type")) == (200, "text/html; charset=utf-8")
    assert b"http://" not in shown.body
    assert b"https://" not in shown.body
    assert "default-src 'none'" in (shown.header("content-security-policy") or "")
    assert Asking(mall).send("GET", accept="text/html").status == 406
