"""Random schemas, data of many shapes with mistakes in it, and random documents that are valid for them."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from types import MappingProxyType, SimpleNamespace
from typing import Any

from graphql import (
    DocumentNode,
    GraphQLBoolean,
    GraphQLEnumType,
    GraphQLField,
    GraphQLFloat,
    GraphQLID,
    GraphQLInt,
    GraphQLInterfaceType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLScalarType,
    GraphQLSchema,
    GraphQLString,
    GraphQLUnionType,
    get_named_type,
    is_abstract_type,
    is_leaf_type,
    is_list_type,
    is_non_null_type,
    parse,
    validate,
)
from hypothesis import assume
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict

from mallcore.api.graphql.compiled import Reads

Maker = Callable[[], Any]
Draw = Callable[[st.SearchStrategy[Any]], Any]


class Colour(enum.Enum):
    RED = 1
    GREEN = 2


class Size(enum.StrEnum):
    SMALL = "small"
    LARGE = "large"


class Special(dict[str, Any]):
    """A mapping that is no plain dict."""


class Model(BaseModel):
    model_config = ConfigDict(extra="allow")


def _money(value: Any) -> str:
    if not isinstance(value, Decimal | int):
        raise ValueError(f"{value!r} is no money")
    return f"{value:.2f}"


LEAVES: dict[str, Any] = {
    "String": GraphQLString,
    "Int": GraphQLInt,
    "Float": GraphQLFloat,
    "Boolean": GraphQLBoolean,
    "ID": GraphQLID,
    "Money": GraphQLScalarType("Money", serialize=_money),
    "Any": GraphQLScalarType("Any", serialize=lambda value: None if value == "nothing" else value),
    "Letter": GraphQLEnumType("Letter", {"A": "A", "B": "B"}),
    "Mixed": GraphQLEnumType("Mixed", {"ONE": 1, "TWO": "two"}),
    "Colour": GraphQLEnumType("Colour", Colour),
    "Size": GraphQLEnumType("Size", {"S": Size.SMALL, "L": Size.LARGE}),
}
GOOD: dict[str, st.SearchStrategy[Any]] = {
    "String": st.one_of(st.text(max_size=4), st.integers(-9, 9), st.booleans(), st.just(Size.SMALL)),
    "Int": st.one_of(st.integers(-9, 9), st.sampled_from([2**31 - 1, -(2**31), 2.0, True, "7", Decimal(3)])),
    "Float": st.one_of(st.floats(-9, 9), st.sampled_from([1, True, "1.5", 10**20, Decimal("0.5"), -0.0])),
    "Boolean": st.sampled_from([True, False, 1, 0, 0.0]),
    "ID": st.one_of(st.text(max_size=3), st.integers(-9, 9), st.just(2.0)),
    "Money": st.decimals(-9, 9, places=3) | st.integers(0, 9),
    "Any": st.one_of(st.integers(0, 3), st.lists(st.integers(0, 3), max_size=2), st.just({"a": [None]})),
    "Letter": st.sampled_from(["A", "B"]),
    "Mixed": st.sampled_from([1, "two", 1.0, True]),
    "Colour": st.sampled_from([1, 2]),
    "Size": st.sampled_from([Size.SMALL, Size.LARGE, "small"]),
}
ODD: list[Maker] = [
    lambda: None, lambda: None, lambda: "text", lambda: "nothing", lambda: 3.5, lambda: 2**31, lambda: 2**70,
    lambda: float("nan"), lambda: float("inf"), lambda: b"bytes", lambda: ValueError("from the data"),
    lambda: lambda *given: "called", lambda: lambda *given: {"name": "called", "__typename": "T2"}, lambda: [],
    lambda: ["one", None], lambda: [[1], None], lambda: {}, lambda: {"__typename": 3},
    lambda: {"__typename": "Nowhere"},
    lambda: {"__typename": "Query"}, lambda: object, lambda: (one for one in [None, "a"]), lambda: {"one"},
    lambda: range(2), lambda: MappingProxyType({"name": "of a proxy"}), lambda: int, lambda: Decimal("NaN"),
]  # fmt: skip
BAD: dict[str, list[Any]] = {  # mistakes that only this type makes of a value
    "Int": [2**31, -(2**31) - 1, 2**70, 1.5, "x", None],
    "Float": [float("nan"), float("inf"), -float("inf"), 2**1100, 2**53 + 1, "x"],
    "Boolean": ["true", float("nan"), [], None],
    "ID": [1.5, True, [], None],
    "Letter": ["C", 1, [], None],
    "Mixed": ["ONE", 3, {}, None],
    "Colour": [Colour.RED, "RED", 3, None],
}
WRAPPED: list[Callable[[Any], Any]] = [
    lambda kind: kind,
    lambda kind: GraphQLNonNull(kind),
    lambda kind: GraphQLList(kind),
    lambda kind: GraphQLNonNull(GraphQLList(GraphQLNonNull(kind))),
    lambda kind: GraphQLList(GraphQLNonNull(kind)),
    lambda kind: GraphQLList(GraphQLList(kind)),
]
NAMES = ["id", "name", "x", "class_", "kind", "other"]


def look(value: Any, name: str) -> Any:
    """What a value says of itself."""
    return value.get(name) if hasattr(value, "get") else getattr(value, name, None)


@dataclass
class World:
    """A schema, how to make the values of its root fields anew, and whether mistakes are made."""

    schema: GraphQLSchema
    roots: dict[str, Maker]
    root: Maker


def _loud(source: Any, info: Any) -> str:
    """A resolver that is no plain data: it tells where it is."""
    return "/".join(map(str, info.path.as_list()))


def _failing(source: Any, info: Any) -> str:
    raise RuntimeError(f"at {info.path.as_list()}")


def _leaf_field(draw: Draw, name: str, noise: bool) -> GraphQLField:
    kind = draw(st.sampled_from(WRAPPED))(LEAVES[draw(st.sampled_from(sorted(LEAVES)))])
    return _sourced(draw, kind, name, computed=noise)


def _sourced(draw: Draw, kind: Any, name: str, *, computed: bool) -> GraphQLField:
    how = draw(st.integers(0, 19))
    if computed and how == 19:
        return GraphQLField(GraphQLString, resolve=draw(st.sampled_from([_loud, _failing])))
    if how >= 16:
        return GraphQLField(kind, resolve=Reads(f"of {name}" if how == 16 else f"{name}_kept"))
    if how == 15:
        return GraphQLField(
            kind, resolve=lambda source, info: look(source, name.upper()), extensions={"data": name.upper()}
        )
    return GraphQLField(kind)


def source_name(name: str, field: GraphQLField) -> str:
    """Under which name a field's value stands in the data."""
    if isinstance(field.resolve, Reads):
        return field.resolve.name
    return str((field.extensions or {}).get("data", name))


def _objects(draw: Draw, noise: bool) -> dict[str, Any]:
    shared = {name: _leaf_field(draw, name, noise) for name in ("id", "name")}
    kinds: dict[str, Any] = {}
    by = draw(st.sampled_from(["typename", "resolve_type", "is_type_of"]))
    resolve = (lambda value, info, kind: look(value, "tag")) if by == "resolve_type" else None
    named = GraphQLInterfaceType("Named", shared, resolve_type=resolve)
    for number in (3, 2, 1, 0):
        fields = dict(shared) if number >= 2 else {}
        for name in draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=4, unique=True)):
            fields.setdefault(name, _leaf_field(draw, name, noise))
        if kinds:
            for name in draw(st.lists(st.sampled_from(["one", "many", "some"]), max_size=3, unique=True)):
                kind = draw(st.sampled_from(sorted(kinds)))
                fields[name] = _sourced(draw, draw(st.sampled_from(WRAPPED))(kinds[kind]), name, computed=False)
        kinds[f"T{number}"] = _object(draw, f"T{number}", fields, [named] if number >= 2 else [], by)
        if number == 2:
            kinds["Named"] = named
            kinds["Either"] = GraphQLUnionType("Either", [kinds["T2"], kinds["T3"]], resolve_type=resolve)
    return kinds


def _object(draw: Draw, name: str, fields: Any, interfaces: Any, by: str) -> GraphQLObjectType:
    checks = by == "is_type_of" and interfaces
    check = (lambda value, info: look(value, "tag") == name) if checks else None
    return GraphQLObjectType(name, fields, interfaces=interfaces, is_type_of=check)


@st.composite
def worlds(draw: Draw, noise: bool = True) -> World:
    """A schema with data; without ``noise`` all of it is right, and no field has a resolver that must be called."""
    kinds = _objects(draw, noise)
    either = kinds["Either"]
    odds = draw(st.sampled_from([0, 0, 6, 25])) if noise else 0
    roots: dict[str, Maker] = {}
    fields: dict[str, GraphQLField] = {}
    for number in range(draw(st.integers(1, 3))):
        kind = draw(st.sampled_from(WRAPPED))(kinds[draw(st.sampled_from(sorted(kinds)))])
        name = f"root{number}"
        roots[name] = values(draw, kind, odds, either)
        fields[name] = GraphQLField(kind, resolve=(lambda made: lambda source, info: made())(roots[name]))
    fields["plain"] = GraphQLField(GraphQLString)
    fields["straight"] = GraphQLField(kinds["T2"])
    straight = values(draw, kinds["T2"], odds, either)
    schema = GraphQLSchema(GraphQLObjectType("Query", fields), types=list(kinds.values()))
    return World(schema, roots, lambda: {"plain": "text", "straight": straight()})


def values(draw: Draw, kind: Any, odds: int, either: Any) -> Maker:
    """Makes a value of a type: the same one each time, in fresh objects."""
    if odds and draw(st.integers(0, 99)) < odds:
        name = getattr(kind, "name", "")
        if name in BAD and draw(st.booleans()):
            bad = draw(st.sampled_from(BAD[name]))
            return lambda: bad
        return draw(st.sampled_from(ODD))  # type: ignore[no-any-return]
    if is_non_null_type(kind):
        return values(draw, kind.of_type, odds, either)
    if draw(st.integers(0, 9)) == 0 and odds:
        return lambda: None
    if is_list_type(kind):
        items = [values(draw, kind.of_type, odds, either) for _ in range(draw(st.integers(0, 3)))]
        form = draw(st.sampled_from([list, list, list, tuple]))
        return lambda: form(item() for item in items)
    if is_leaf_type(kind):
        found = draw(GOOD[kind.name])
        return lambda: found
    return _object_maker(draw, kind, odds, either)


def _object_maker(draw: Draw, kind: Any, odds: int, either: Any) -> Maker:
    shapes: list[Any] = [dict, dict, dict, Special, MappingProxyType, _spaced]
    if is_abstract_type(kind):
        kind = draw(st.sampled_from(either.types))
    else:
        shapes.append(_modelled)  # a model doesn't say its type
    parts = {source_name(name, field): values(draw, field.type, odds, either) for name, field in kind.fields.items()}
    parts |= {"tag": lambda: kind.name, "__typename": lambda: kind.name}
    if odds and draw(st.integers(0, 5)) == 0:
        del parts[draw(st.sampled_from(sorted(parts)))]
    shape = draw(st.sampled_from(shapes))
    return lambda: shape({name: made() for name, made in parts.items()})


def _spaced(parts: dict[str, Any]) -> Any:
    made = SimpleNamespace(**{name: value for name, value in parts.items() if name != "__typename"})
    if "__typename" in parts:
        vars(made)["_SimpleNamespace__typename"] = parts["__typename"]
    return made


def _modelled(parts: dict[str, Any]) -> Any:
    made = Model.model_construct(**{name: value for name, value in parts.items() if name != "__typename"})
    return made


@dataclass
class Asking:
    """A document, and the variables that go with it."""

    text: str
    document: DocumentNode
    variables: dict[str, Any]


@st.composite
def documents(draw: Draw, schema: GraphQLSchema, only: str = "") -> Asking:
    """A valid document; one that asks for ``only`` this root field."""
    fragments: dict[str, str] = {}
    query: Any = schema.query_type
    if only:
        body = f"{{ {only} {_selection(draw, schema, get_named_type(query.fields[only].type), fragments, 3)} }}"
    else:
        body = _selection(draw, schema, query, fragments, 4)
    used = [name for name in ("yes", "no") if f"${name}" in body + "".join(fragments.values())]
    head = ""
    if used:
        default = draw(st.booleans())
        head = "query (" + " ".join(f"${name}: Boolean! {'= true' if default else ''}" for name in used) + ") "
    text = head + body + "".join(fragments.values())
    document = parse(text)
    assume(not validate(schema, document))
    given = {"yes": True, "no": False}
    return Asking(text, document, {name: given[name] for name in used if not (default and name == "yes")})


def _directives(draw: Draw) -> str:
    how = draw(st.integers(0, 11))
    condition = draw(st.sampled_from(["true", "false", "$yes", "$no"]))
    return {9: f" @include(if: {condition})", 10: f" @skip(if: {condition})"}.get(
        how, f" @skip(if: $no) @include(if: {condition})" if how == 11 else ""
    )


def _selection(draw: Draw, schema: GraphQLSchema, kind: Any, fragments: dict[str, str], depth: int) -> str:
    parts = [_part(draw, schema, kind, fragments, depth) for _ in range(draw(st.integers(1, 4)))]
    return "{ " + " ".join(parts) + " }"


def _part(draw: Draw, schema: GraphQLSchema, kind: Any, fragments: dict[str, str], depth: int) -> str:
    how = draw(st.integers(0, 9))
    if how >= 8 and depth > 0:
        return _fragment(draw, schema, kind, fragments, depth, spread=how == 9)
    fields = getattr(kind, "fields", {})
    if how == 7 or not fields:
        return draw(st.sampled_from(["__typename", "what: __typename"])) + _directives(draw)
    name = draw(st.sampled_from(sorted(fields)))
    inner = get_named_type(fields[name].type)
    alias = draw(st.sampled_from(["", "", f"my_{name}: "]))
    below = "" if is_leaf_type(inner) else _selection(draw, schema, inner, fragments, depth - 1) if depth > 0 else None
    if below is None:
        return "__typename"
    return f"{alias}{name}{_directives(draw)} {below}"


def _fragment(
    draw: Draw, schema: GraphQLSchema, kind: Any, fragments: dict[str, str], depth: int, *, spread: bool
) -> str:
    possible = schema.get_possible_types(kind) if is_abstract_type(kind) else [kind, *kind.interfaces]
    on = draw(st.sampled_from([kind, *possible]))
    if spread:
        name = draw(st.sampled_from([f"F{len(fragments)}", *(one for one in fragments if one.endswith(on.name))]))
        if name not in fragments:
            name += f"_{on.name}"
            body = _selection(draw, schema, on, fragments, depth - 1)
            fragments[name] = f" fragment {name} on {on.name} {body}"
        return f"...{name}{_directives(draw)}"
    condition = draw(st.sampled_from([f" on {on.name}", ""])) if on is kind else f" on {on.name}"
    return f"...{condition}{_directives(draw)} {_selection(draw, schema, on, fragments, depth - 1)}"
