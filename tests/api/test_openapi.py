"""The OpenAPI document says what is so: it validates, it is whole, and answers have the form it promises."""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate

from mallcore import Mall, Principal
from mallcore.api import Dispatch, openapi
from mallcore.api.rules.routes import Routes, split
from tests.adapters.faces import Face, HttpFace, Opened, authenticate
from tests.adapters.scenarios import SCENARIOS
from tests.api.conftest import OWNER, Asking


@pytest.fixture
def mall() -> Any:
    """An empty mall, for the scenarios to fill."""
    with Mall.open("sqlite://") as opened:
        yield opened


@pytest.mark.parametrize(("base", "namespace"), [("", ""), ("/api", "mall.")])
def test_the_document_is_valid(base: str, namespace: str, mall: Mall) -> None:
    """It is OpenAPI 3.1 by the validator's word, alone and with names that can be merged into another document."""
    validate(openapi(mall.catalogue, base, namespace))


def test_every_operation_is_in_the_document(mall: Mall) -> None:
    """Each operation with a REST face is there under its name, with its parameters, and with every code it declares."""
    document = openapi(mall.catalogue)
    shown = {one["operationId"]: one for _, _, one in routes(document) if not one["operationId"].startswith("tus.")}
    faced = {one.name: one for one in mall.catalogue.values() if one.rest is not None and one.kind != "stream"}
    also = {f"{name}.also" for name, one in faced.items() if one.rest and (one.rest.also or one.rest.posted)}
    assert shown.keys() == faced.keys() | also
    for name, one in faced.items():
        text = json.dumps(shown[name]["responses"])
        assert all(f"`{kind.code}`" in text for kind in one.errors), name
        assert set(one.parameters) <= named(shown[name]) | {one.rest and one.rest.raw, one.rest and one.rest.asked}, (
            name
        )
    stream = shown["structure.list_changes"]["responses"]["200"]["content"]
    assert set(stream) == {"application/json", "text/event-stream"}


def routes(document: Any) -> Iterator[tuple[str, str, Any]]:
    """Method, path and description of each route in the document."""
    for path, item in document["paths"].items():
        yield from ((method.upper(), path, one) for method, one in item.items() if method != "parameters")


def test_tus_is_in_the_document(mall: Mall) -> None:
    """Routes that are no operations, too: what they take and say stands in headers; a status of tus' own is there."""
    document = openapi(mall.catalogue, "", "mall.")
    shown = {one["operationId"]: (method, path, one) for method, path, one in routes(document)}
    assert shown["tus.create"][:2] == ("POST", "/tus")
    append = shown["tus.append"][2]
    assert set(append["requestBody"]["content"]) == {"application/offset+octet-stream"}
    assert {"204", "409", "460"} <= set(append["responses"])
    assert "Upload-Offset" in append["responses"]["204"]["headers"]
    assert append["security"] == [{"mall.bearer": []}]


def named(operation: Any) -> set[str]:
    """The parameters of an operation in the document, wherever they are."""
    found = {one["name"] for one in operation["parameters"] if "name" in one}
    for content in operation.get("requestBody", {}).get("content", {}).values():
        found |= set(content["schema"].get("properties", {}))
    return found


def test_every_reference_leads_somewhere(mall: Mall) -> None:
    """No reference dangles, and no component is there for nothing."""
    document = openapi(mall.catalogue, "", "mall.")
    used = set(re.findall(r'"(#/components/[^"]+)"', json.dumps(document)))
    there = {f"#/components/{kind}/{name}" for kind, found in document["components"].items() for name in found}
    assert used - there == set()
    assert {one for one in there - used if "securitySchemes" not in one} == set()


def test_the_document_is_hot(mall: Mall) -> None:
    """It is made once for each place it is mounted at, and tagged."""
    ask = Asking(Dispatch(mall, authenticate))
    first = ask("GET", "/openapi.json", base="/a")
    assert not ask.quick
    again = ask("GET", "/openapi.json", base="/a", if_none_match=str(first.header("etag")))
    assert (again.status, ask.quick) == (304, True)
    assert json.loads(first.body)["servers"] == [{"url": "/a"}]
    for number in range(20):
        ask("GET", "/openapi.json", base=f"/{number}")
    assert len(ask.dispatch.table("2026-11-01").documents) <= 16


class Promised:
    """Compares each response with what the document promises for it."""

    def __init__(self, document: Any, send: Callable[..., httpx.Response]) -> None:
        self._document = document
        self._send = send
        self._routes = Routes(routes(document))

    def __call__(self, method: str, path: str, headers: dict[str, str], body: bytes) -> httpx.Response:
        response = self._send(method, path, headers, body)
        found = self._routes.match(method, split(httpx.URL("http://x" + urlsplit(path).path).path))
        assert found is not None, path
        promised = found[0]["responses"]
        shown = promised.get(str(response.status_code))
        assert shown is not None, f"{method} {path}: {response.status_code} {response.text}"
        if response.status_code == 204:
            assert (response.content, "content" in shown) == (b"", False)
            return response
        media_type = response.headers["content-type"].partition(";")[0]
        schema = shown["content"].get(media_type, shown["content"].get("*/*"))
        if "json" in media_type:
            whole = {**schema["schema"], "components": self._document["components"]}
            Draft202012Validator(whole).validate(response.json())
            if response.status_code >= 400:
                assert f"`{response.json()['code']}`" in shown["description"]
        return response


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_answers_have_the_promised_form(scenario: Callable[[Face], None], mall: Mall) -> None:
    """In every story, each status, each body and each error code is one that the document announces."""
    document = openapi(mall.catalogue)
    with Opened("wsgi", mall) as opened:
        scenario(HttpFace(mall, Promised(document, opened.send), "", Principal.system("tests")))


def test_all_that_can_be_read_has_the_promised_form(mall: Mall) -> None:
    """Also what no story reads: lists, details, trails."""
    document = openapi(mall.catalogue)
    owner = {"authorization": f"Bearer {OWNER.ref}", "content-type": "application/json"}
    with Opened("wsgi", mall) as opened:
        SCENARIOS[0](opened.face(OWNER))
        promised = Promised(document, opened.send)
        for path in ("/units", "/channels", "/roles", "/grants", "/audit", "/me", "/snapshots"):
            promised("GET", path, owner, b"")
        for part in (
            "",
            "/revisions",
            "/revisions/1",
            "/diff",
            "/verification",
            "/effective-rules",
            "/drafts",
            "/schedules",
        ):
            promised("GET", f"/channels/books{part}", owner, b"")
