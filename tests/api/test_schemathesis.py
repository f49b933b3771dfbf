"""Every released version keeps what its OpenAPI document says, on FastAPI and on Flask, whatever it is sent.

Schemathesis makes requests from the documents and checks the answers: no 5xx, no status, type, header or shape that is
not documented. Hypothesis-graphql makes documents from each version's schema.
"""

from __future__ import annotations

import base64
import json
import os
import re
from collections.abc import Callable, Iterator
from datetime import UTC
from typing import Any

import pytest
import schemathesis
from fastapi import FastAPI
from flask import Flask
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis_graphql import from_schema, nodes
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from mallcore import Mall, Principal
from mallcore.adapters.fastapi import install
from mallcore.adapters.flask import mall_blueprint
from mallcore.api import Dispatch, Request
from mallcore.api.graphql import sdl
from mallcore.api.releases import OURS
from tests.adapters.faces import PythonFace, authenticate
from tests.adapters.scenarios import bookshop

CHECKS = [
    not_a_server_error, status_code_conformance, content_type_conformance, response_headers_conformance,
    response_schema_conformance,
]  # fmt: skip
PROOFS = bool(os.environ.get("MALLCORE_PROOFS"))
OWNER = Principal.system("tests")
AS_OWNER = {"authorization": f"Bearer {OWNER.ref}"}
SHORT = settings(
    max_examples=100 if PROOFS else 2,
    deadline=None,
    database=None,
    derandomize=not PROOFS,  # what runs every day runs alike every day
    suppress_health_check=list(HealthCheck),
    phases=[Phase.generate],
)


@pytest.fixture
def mall() -> Iterator[Mall]:
    """A mall with the scenarios' bookshop."""
    with Mall.open("sqlite://") as opened:
        bookshop(PythonFace(opened, OWNER))
        yield opened


def on_fastapi(mall: Mall, version: str) -> Any:
    app = FastAPI()
    install(app, mall, authenticate)
    return schemathesis.openapi.from_asgi(f"/mall/{version}/openapi.json", app)


def on_flask(mall: Mall, version: str) -> Any:
    app = Flask("shop")
    app.register_blueprint(mall_blueprint(mall, authenticate), url_prefix="/mall")
    return schemathesis.openapi.from_wsgi(f"/mall/{version}/openapi.json", app)


PLACES = [
    *((on_fastapi, version) for version in OURS.names),
    (on_flask, OURS.names[-1]),
    *(pytest.param(on_flask, version, marks=pytest.mark.proof) for version in OURS.names[:-1]),
]
"""On Flask, every day, the oldest version: the one that has the most to convert."""


@pytest.mark.slow
@pytest.mark.parametrize(("opened", "version"), PLACES)
def test_answers_are_what_the_document_says(mall: Mall, opened: Callable[[Mall, str], Any], version: str) -> None:
    """No request that the document allows is answered in a way that it does not describe."""
    tried = 0
    for found in opened(mall, version).get_all_operations():
        operation = found.ok()
        if operation.path.startswith("/tus"):  # its bodies have a type that only uploads have: see test_tus
            continue

        @SHORT
        @given(case=operation.as_strategy())
        def asked(case: Any) -> None:
            case.validate_response(case.call(headers=AS_OWNER), checks=CHECKS)

        asked()
        tried += 1
    assert tried > 100


SCALARS: dict[str, st.SearchStrategy[Any]] = {
    "Base64": st.binary(max_size=20).map(lambda one: nodes.String(base64.b64encode(one).decode())),
    "Date": st.dates().map(lambda one: nodes.String(str(one))),
    "DateTime": st.datetimes(timezones=st.just(UTC)).map(lambda one: nodes.String(one.isoformat())),
    "Decimal": st.decimals(allow_nan=False, allow_infinity=False).map(lambda one: nodes.String(str(one))),
    "IntOrString": st.integers(-5, 5).map(nodes.Int) | st.text(max_size=9).map(nodes.String),
    "JSON": st.integers().map(nodes.Int) | st.text(max_size=9).map(nodes.String) | st.just(nodes.Null),
    "Long": st.integers(-(2**63), 2**63 - 1).map(nodes.Int),
}


def scalars(text: str) -> dict[str, st.SearchStrategy[Any]]:
    """What values of the schema's own scalars are made of."""
    return {name: SCALARS[name] for name in re.findall(r"^scalar (\w+)", text, re.MULTILINE)}


@pytest.mark.slow
@pytest.mark.parametrize("version", OURS.names)
def test_any_document_of_the_schema_is_answered(mall: Mall, version: str) -> None:
    """No document that the schema allows makes the mall fail: each is answered, or refused with a code."""
    dispatch = Dispatch(mall, authenticate)
    text = sdl(mall.versions.view(mall.catalogue, version))

    @settings(parent=SHORT, max_examples=2000 if PROOFS else 25)
    @given(query=from_schema(text, custom_scalars=scalars(text)))
    def asked(query: str) -> None:
        body = json.dumps({"query": query}).encode()
        headers = {"content-type": "application/json", **AS_OWNER}
        response = dispatch.run(Request("POST", f"/{version}/graphql", headers=headers, body=body))
        told = json.loads(response.body)
        assert response.status < 500, told
        codes = [one.get("extensions", {}).get("code") for one in told.get("errors", ())]
        assert "mall-error" not in codes, (query, told)

    asked()
