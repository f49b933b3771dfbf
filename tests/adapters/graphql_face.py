"""The mall through GraphQL, as the scenarios see it: documents are written from the schema, answers read back by it."""

import base64
import json
from typing import Any

from graphql import (
    GraphQLEnumType,
    GraphQLField,
    GraphQLInputObjectType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLSchema,
    GraphQLUnionType,
    is_leaf_type,
)

from mallcore import Mall, Principal
from mallcore.api.graphql import schema
from mallcore.api.graphql.compiled.values import Reads
from mallcore.api.graphql.names import camel, field_name
from tests.adapters.faces import HttpFace, Json, Refusal, Send

DEEPEST = 4  # objects of one kind inside of each other: deeper trees are not told in stories


class GraphQLFace(HttpFace):
    """The mall over GraphQL. What answers with bytes is asked for over HTTP as ever."""

    def __init__(self, mall: Mall, send: Send, base: str, principal: Principal, version: str = "latest") -> None:
        super().__init__(mall, send, base, principal)
        name = mall.versions.latest(mall.now()) if version == "latest" else version
        self.schema: GraphQLSchema = schema(mall.versions.view(mall.catalogue, name))
        self.path = f"{base}/graphql" if version == "latest" else f"{base}/{version}/graphql"

    def call(self, operation: str, arguments: Json) -> Any:
        name = field_name(operation)
        found = [(kind, root.fields[name]) for kind, root in self._roots() if name in root.fields]
        if not found:
            return super().call(operation, arguments)
        kind, field = found[0]
        text, variables = document(kind, name, field, arguments)
        return read(field.type, self.asked(text, variables)[name])

    def asked(self, text: str, variables: Json | None = None) -> Json:
        """The data of a document's answer; raises `Refusal` for the first of its errors."""
        body = json.dumps({"query": text, "variables": variables or {}}).encode()
        response = self.send("POST", self.path, {**self.headers, "content-type": "application/json"}, body)
        told = response.json()
        if "errors" not in told:
            data: Json = told["data"]
            return data
        first = told["errors"][0] if isinstance(told["errors"], list) else told
        raise Refusal(first["extensions"]["code"], first["extensions"])

    def _roots(self) -> list[tuple[str, GraphQLObjectType]]:
        roots = (("query", self.schema.query_type), ("mutation", self.schema.mutation_type))
        return [(kind, root) for kind, root in roots if root is not None]


def document(kind: str, name: str, field: GraphQLField, arguments: Json) -> tuple[str, Json]:
    """A document that calls one root field and shows all there is, and its variables."""
    given = {key: arg for key, arg in field.args.items() if arg.out_name in arguments}
    variables = {key: written(arg.type, arguments[arg.out_name or ""]) for key, arg in given.items()}
    declared = ", ".join(f"${key}: {arg.type}" for key, arg in given.items())
    passed = ", ".join(f"{key}: ${key}" for key in given)
    declared, passed = (f"({one})" if one else "" for one in (declared, passed))
    return f"{kind}{declared} {{ {name}{passed} {selection(field.type)} }}", variables


def written(kind: Any, value: Any) -> Any:
    """A value of the operations as GraphQL's input has it."""
    if isinstance(kind, GraphQLNonNull):
        return written(kind.of_type, value)
    if isinstance(kind, GraphQLList):
        return [written(kind.of_type, one) for one in value] if isinstance(value, list | tuple) else value
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(kind, GraphQLEnumType):
        return next((name for name, one in kind.values.items() if one.value == value), value)
    if isinstance(kind, GraphQLInputObjectType) and isinstance(value, dict):
        if kind.is_one_of:
            tag = camel(str(value.get("op") or value.get("kind")))
            return {tag: written(kind.fields[tag].type, value)} if tag in kind.fields else value
        return {
            key: written(one.type, value[one.out_name]) for key, one in kind.fields.items() if one.out_name in value
        }
    return value


def data_fields(kind: GraphQLObjectType) -> dict[str, tuple[str, GraphQLField]]:
    """The fields of a type that show its own data, and what the operations call them."""
    fields = kind.fields.items()
    return {name: (field.resolve.name, field) for name, field in fields if isinstance(field.resolve, Reads)}


def selection(kind: Any, above: tuple[str, ...] = ()) -> str:
    """All data of a type."""
    while isinstance(kind, GraphQLNonNull | GraphQLList):
        kind = kind.of_type
    if is_leaf_type(kind):
        return ""
    if isinstance(kind, GraphQLUnionType):
        return "{ __typename " + " ".join(f"... on {one.name} {selection(one, above)}" for one in kind.types) + " }"
    if kind.name.endswith("Connection"):
        return f"{{ nodes {selection(kind.fields['nodes'].type, above)} pageInfo {{ hasNextPage endCursor }} }}"
    inside = (*above, kind.name)
    shown = (f"{name} {selection(field.type, inside)}" for name, (_, field) in data_fields(kind).items()
             if inside.count(_named(field.type)) < DEEPEST)  # fmt: skip
    return "{ " + " ".join(shown) + " }"


def read(kind: Any, value: Any) -> Any:
    """An answer of GraphQL as the operations give it."""
    if isinstance(kind, GraphQLNonNull):
        return read(kind.of_type, value)
    if value is None or (isinstance(value, str | int | float) and not isinstance(kind, GraphQLEnumType)):
        return value
    if isinstance(kind, GraphQLList):
        return [read(kind.of_type, one) for one in value]
    if isinstance(kind, GraphQLEnumType):
        return kind.values[value].value
    if isinstance(kind, GraphQLUnionType):
        return read(next(one for one in kind.types if one.name == value["__typename"]), value)
    if not isinstance(kind, GraphQLObjectType):
        return value
    if kind.name.endswith("Connection"):
        page = value["pageInfo"]
        items = read(kind.fields["nodes"].type, value["nodes"])
        return {"items": items, "next": page["endCursor"] if page["hasNextPage"] else None}
    return {key: read(field.type, value[name]) for name, (key, field) in data_fields(kind).items() if name in value}


def _named(kind: Any) -> str:
    while isinstance(kind, GraphQLNonNull | GraphQLList):
        kind = kind.of_type
    return str(kind.name)
