"""Isolation over GraphQL: every operation it has against every way in which a credential does not suffice."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import pytest
from graphql import GraphQLSchema

from mallcore.api import Dispatch, Request, Response, bearer
from mallcore.api.graphql import schema
from mallcore.api.graphql.names import field_name
from mallcore.kernel.operations import anywhere
from tests.access.test_isolation import ARGUMENTS, FOR_ALL, World, given, world
from tests.access.test_isolation_over_rest import LIMITS, key_of
from tests.adapters.graphql_face import document

__all__ = ["world"]


CODES = {"no credential": "unauthenticated", "expired": "bad-credential", "revoked": "bad-credential"}


def documents(world: World) -> dict[str, tuple[str, Any]]:
    """What calls each operation that GraphQL has, with the arguments of its row."""
    made: GraphQLSchema = schema(world.mall.versions.view(world.mall.catalogue, "2026-11-01"))
    found = {}
    for kind, root in (("query", made.query_type), ("mutation", made.mutation_type)):
        for name in ARGUMENTS:
            if root is not None and field_name(name) in root.fields:
                field = root.fields[field_name(name)]
                text, variables = document(kind, field_name(name), field, given(world, name))
                found[name] = text, {key: typed(field.args[key].type, value) for key, value in variables.items()}
    return found


def typed(kind: Any, value: Any) -> Any:
    """A number that the table writes as text, as everything else that stands in a path."""
    return int(value) if str(kind).rstrip("!") in ("Int", "Long") and value is not None else value


def asked(world: World, dispatch: Dispatch, text: str, variables: Any, key: str | None, call: int) -> Response:
    """The answer to one document, from an address of its own, so that no refusal is one too many."""
    body = json.dumps({"query": text, "variables": variables}, default=datetime.isoformat).encode()
    headers = {"content-type": "application/json", "x-request-id": f"call-{call}"}
    if key is not None:
        headers["authorization"] = f"Bearer {key}"
    origin = {"REMOTE_ADDR": f"10.1.{call // 250}.{call % 250}"}
    return dispatch.run(Request("POST", "/graphql", headers=headers, body=body, origin=origin))


def code_of(response: Response) -> str:
    """Why it was refused: by a problem of the whole request, or of the field that was asked for."""
    told = json.loads(response.body)
    return str(told["code"] if "code" in told else told["errors"][0]["extensions"]["code"])


@pytest.mark.parametrize("case", LIMITS)
def test_what_does_not_suffice_is_refused_and_on_record(world: World, case: str) -> None:
    """Every operation that GraphQL has is refused without a credential, and with one that has ended, or is for other
    things or places; each refusal is on record under its request, and nothing has changed.
    """
    dispatch, keys, before = Dispatch(world.mall, bearer(world.mall)), dict[str, str | None](), world.digest()
    in_places = case in ("wrong unit", "wrong channel")
    tried = 0
    for number, (name, (text, variables)) in enumerate(sorted(documents(world).items())):
        known = world.mall.catalogue[name]
        if known.permission is None or name in FOR_ALL or (in_places and known.subject is anywhere):
            continue
        permission = known.permission if case == "wrong scope" else ""
        if permission not in keys:
            keys[permission] = key_of(world, case, permission)
        response = asked(world, dispatch, text, variables, keys[permission], number)
        expected = CODES.get(case, "denied")
        assert (name, code_of(response)) == (name, expected), response.body[:400]
        assert (name, len(world.refused(f"call-{number}"))) == (name, 1)
        tried += 1
    assert tried > 40
    assert world.digest() == before
