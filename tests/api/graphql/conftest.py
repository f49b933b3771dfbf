"""A bookshop that is asked in GraphQL, through the dispatch as adapters do."""

import json
from typing import Any

import pytest

from mallcore import Mall, Principal
from mallcore.api import Dispatch, Options, Request, Response
from tests.adapters.faces import authenticate
from tests.api.conftest import OWNER

Json = dict[str, Any]


class Asking:
    """Asks one mall's GraphQL as somebody."""

    def __init__(self, mall: Mall, options: Options | None = None) -> None:
        self.mall = mall
        self.dispatch = Dispatch(mall, authenticate, options)
        self.version = ""

    def send(self, method: str, body: bytes = b"", query: str = "", path: str = "/graphql", **headers: str) -> Response:
        """One request, to be looked at as it is."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        request = Request(method, path, query, {"authorization": f"Bearer {OWNER.ref}"} | named, body, "/api")
        return self.dispatch.quick(request) or self.dispatch.run(request)

    def told(self, text: str, variables: Json | None = None, by: Principal = OWNER, **more: Any) -> Json:
        """The whole answer to a document."""
        body = json.dumps({"query": text, "variables": variables, **more}).encode()
        found: Json = json.loads(
            self.send(
                "POST",
                body,
                path=f"{self.version}/graphql",
                content_type="application/json",
                authorization=f"Bearer {by.ref}",
            ).body
        )
        return found

    def __call__(self, text: str, variables: Json | None = None, by: Principal = OWNER) -> Json:
        """The data of a document's answer, which has no errors."""
        found = self.told(text, variables, by)
        assert "errors" not in found, found["errors"]
        data: Json = found["data"]
        return data

    def refused(self, text: str, variables: Json | None = None, by: Principal = OWNER) -> list[Json]:
        """What the errors of an answer say of themselves."""
        return [one["extensions"] for one in self.told(text, variables, by)["errors"]]


@pytest.fixture
def graphql(mall: Mall) -> Asking:
    """Ask the bookshop as its owner."""
    return Asking(mall)
