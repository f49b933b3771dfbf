"""Coverage: what can be read and written in Python can be so over REST and GraphQL, field by field, or says why not.

What Python takes and gives is read from the operations' own types, what the faces do from what they publish: the
OpenAPI document and the GraphQL schema.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from graphql import (
    GraphQLInputObjectType,
    GraphQLSchema,
    GraphQLUnionType,
    get_named_type,
)

from mallcore import Mall
from mallcore.api import openapi
from mallcore.api.graphql.names import camel, field_name
from mallcore.api.graphql.schemas import schema_of
from mallcore.api.versions import View
from mallcore.kernel.operations import Operation

Json = dict[str, Any]
MALL = Mall.open("sqlite://", follow=False)
VIEW: View = MALL.versions.view(MALL.catalogue, MALL.versions.latest(MALL.now()))
DOCUMENT = openapi(VIEW)
SCHEMA: GraphQLSchema = schema_of(VIEW)
MALL.close()
OPERATIONS = dict(MALL.catalogue)

IN_PYTHON_ONLY = {
    "attachments.open_derivative": "it gives an open file; over HTTP: GET /versions/{version}/content?derivative=",
    "attachments.open_link": "it gives an open file; over HTTP: GET /links/{token}",
    "attachments.open_version": "it gives an open file; over HTTP: GET /versions/{version}/content",
    "attachments.stage": "it takes an open file before a transaction of the host's; over HTTP: POST /attachments, tus",
    "structure.carry_out": "the mall's own scheduler does this",
    "structure.give_up": "the mall's own scheduler does this",
    "structure.tree_reader": "it is a tree bound for one process, which reads it again and again",
}
"""Operations without a REST face, and why."""
BYTES_OVER_REST = {
    "api.schema": "it answers with a file: OpenAPI, GraphQL or a contract, as asked for",
    "attachments.append": "a body that is read while it comes",
    "attachments.deliver": "it answers with bytes or a redirect",
    "attachments.deliver_file": "it answers with bytes or a redirect",
    "attachments.deliver_link": "it answers with bytes or a redirect",
    "attachments.receive_direct": "a body that is read while it comes",
    "structure.export": "it answers with a file",
}
"""Operations that REST has and GraphQL has not, and why."""
AS_A_LIST = {"structure.list_changes": "the number of the last one is where the next page begins: `after`"}
"""Pages that GraphQL shows as plain lists, and why nothing is lost by it."""
BY_ID = {"attachments.attach": "staged"}
"""Parameters that Python also takes as the object an earlier call gave; elsewhere it is named by its id."""
TAGS = ("kind", "op")
"""What tells the members of a union apart; where GraphQL gives one of several inputs, the input's name does."""
TOLD_BY_HTTP = {"asked", "method", "content_type"}
"""Parameters that the request itself fills."""


def paths(schema: Json, whole: Json, seen: tuple[str, ...] = ()) -> Iterator[str]:
    """The dotted paths of all fields of a JSON schema; lists and unions are looked through, a recursion is met once."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        if name not in seen:
            yield from paths(whole[name], whole, (*seen, name))
        return
    for branch in (*schema.get("anyOf", ()), *schema.get("oneOf", ()), *schema.get("allOf", ())):
        yield from paths(branch, whole, seen)
    if isinstance(schema.get("items"), dict):
        yield from paths(schema["items"], whole, seen)
    for name, field in schema.get("properties", {}).items():
        yield name
        yield from (f"{name}.{one}" for one in paths(field, whole, seen))


def given(known: Operation) -> set[str]:
    """The paths of what an operation takes in Python."""
    schema = known.input.model_json_schema()
    return set(paths(schema, schema.get("$defs", {})))


def shown(known: Operation) -> set[str]:
    """The paths of what it returns."""
    schema = known.output.json_schema(mode="serialization")
    return set(paths(schema, schema.get("$defs", {})))


def rest_of(known: Operation) -> Json:
    """What the OpenAPI document says of it."""
    assert known.rest is not None
    found: Json = DOCUMENT["paths"][known.rest.path][known.rest.method.lower()]
    return found


def components(kind: str) -> Json:
    found: Json = DOCUMENT["components"][kind]
    return found


def rest_takes(known: Operation) -> set[str]:
    """The paths of what REST takes: in path, query, headers and body."""
    described, whole = rest_of(known), components("schemas")
    found: set[str] = set()
    for one in described["parameters"]:
        if "$ref" in one:
            continue
        schema = one.get("schema") or one["content"]["application/json"]["schema"]
        found |= {one["name"], *(f"{one['name']}.{path}" for path in paths(schema, whole))}
    for media, content in described.get("requestBody", {}).get("content", {}).items():
        found |= (
            set(paths(content["schema"], whole))
            if media == "application/json"
            else {str(known.rest and known.rest.raw)}
        )
    return found


def rest_gives(known: Operation) -> set[str]:
    """The paths of what REST answers with."""
    assert known.rest is not None
    content = rest_of(known)["responses"][str(known.rest.status)].get("content", {})
    return {path for one in content.values() for path in paths(one["schema"], components("schemas"))}


FACED = sorted(name for name, one in OPERATIONS.items() if one.rest is not None)
PLAIN = sorted(set(FACED) - set(BYTES_OVER_REST))


def test_every_operation_has_a_rest_face_or_a_reason() -> None:
    """What has none is listed, and what is listed has none."""
    assert sorted(set(OPERATIONS) - set(FACED)) == sorted(IN_PYTHON_ONLY)


@pytest.mark.parametrize("name", FACED)
def test_rest_takes_all_that_python_takes(name: str) -> None:
    """Each parameter, with all that is in it."""
    known = OPERATIONS[name]
    wanted = {path for path in given(known) if path.partition(".")[0] not in TOLD_BY_HTTP}
    described = "".join(str(one.get("$ref")) for one in rest_of(known)["parameters"])
    by_header = {"idempotency_key": "IdempotencyKey", "after": "LastEventId"}
    missing = {path for path in wanted - rest_takes(known) if by_header.get(path, "nowhere") not in described}
    assert missing == set()


@pytest.mark.parametrize("name", PLAIN)
def test_rest_gives_all_that_python_gives(name: str) -> None:
    """Each field of the result; a stream's items are the events it sends."""
    known = OPERATIONS[name]
    if known.kind == "stream":
        assert "text/event-stream" in str(rest_of(known)["responses"])
        return
    assert shown(known) - rest_gives(known) == set()


def root(known: Operation) -> Any:
    """The GraphQL field of an operation."""
    name = field_name(known.name)
    for kind in (SCHEMA.query_type, SCHEMA.mutation_type, SCHEMA.subscription_type):
        if kind is not None and name in kind.fields:
            return kind.fields[name]
    return None


def test_every_operation_has_a_graphql_field_or_a_reason() -> None:
    """What has none answers with bytes, takes a stream of them, or is Python's own."""
    missing = {name for name, one in OPERATIONS.items() if root(one) is None}
    assert missing - {"attachments.open_link"} == {*IN_PYTHON_ONLY, *BYTES_OVER_REST} - {"attachments.open_link"}


def has(kind: Any, parts: list[str]) -> bool:
    """Whether a GraphQL type has such a path of fields; any JSON has all."""
    named = get_named_type(kind)
    if not parts or named.name == "JSON":
        return True
    if isinstance(named, GraphQLUnionType):
        return any(has(one, parts) for one in named.types)
    if isinstance(named, GraphQLInputObjectType) and named.is_one_of:
        return parts[0] in TAGS or any(has(field.type, parts) for field in named.fields.values())
    fields = getattr(named, "fields", {})
    return parts[0] in fields and has(fields[parts[0]].type, parts[1:])


def camels(path: str) -> list[str]:
    return [camel(part) for part in path.split(".")]


@pytest.mark.parametrize("name", PLAIN)
def test_graphql_takes_all_that_python_takes(name: str) -> None:
    """Each parameter as an argument, with all that is in it; a page's ``limit`` and ``cursor`` are Relay's."""
    known = OPERATIONS[name]
    field = root(known)
    relay = {"limit": "first", "cursor": "after"} if "first" in field.args else {}
    told = {*TOLD_BY_HTTP, BY_ID.get(name)}

    def is_taken(path: str) -> bool:
        first, *rest = camels(relay.get(path, path))
        return path.partition(".")[0] in told or (first in field.args and has(field.args[first].type, rest))

    assert {path for path in given(known) if not is_taken(path)} == set()


@pytest.mark.parametrize("name", PLAIN)
def test_graphql_gives_all_that_python_gives(name: str) -> None:
    """Each field of the result; a page's items are a connection's nodes, and its cursor the end of the page."""
    known = OPERATIONS[name]
    kind = root(known).type
    paged = has(kind, ["pageInfo", "endCursor"])

    def as_shown(path: str) -> list[str]:
        if paged:
            path = "page_info.end_cursor" if path == "next" else path.replace("items", "nodes", 1)
        return camels(path.removeprefix("items.")) if name in AS_A_LIST else camels(path)

    wanted = shown(known) - ({"items", "next"} if name in AS_A_LIST else set())
    assert {path for path in wanted if not has(kind, as_shown(path))} == set()


def test_the_walk_sees_what_is_nested() -> None:
    """The oracle itself: fields in lists, in unions and in what refers to itself are seen."""
    schema = OPERATIONS["structure.tree"].output.json_schema(mode="serialization")
    assert {"nodes.slug", "nodes.children"} <= set(paths(schema, schema["$defs"]))
