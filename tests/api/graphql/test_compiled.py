"""The compiled path answers what graphql-core's executor answers: the same bytes, the same errors."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from types import SimpleNamespace
from typing import Any
from weakref import ref

import pytest
from graphql import (
    DocumentNode,
    ExecutionResult,
    GraphQLField,
    GraphQLInt,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLSchema,
    GraphQLString,
    Undefined,
    build_schema,
    execute_sync,
    parse,
    subscribe,
    validate,
)
from graphql import execute as execute_async
from hypothesis import given, settings
from hypothesis import strategies as st

from mallcore.api.graphql.compiled import CompilingExecutor, Doubt, Plan, Reads, execute, plan
from tests.api.graphql.worlds import LEAVES, Colour, Size, documents, worlds

LONG = os.environ.get("MALLCORE_PROOFS") == "1"


def told(result: ExecutionResult) -> tuple[str, list[Any]]:
    """All that a client sees of a result, in the order it sees it; addresses of objects are no part of it."""
    errors = [(re.sub("0x[0-9a-f]+", "0x", one.message), one.path, one.locations) for one in result.errors or ()]
    return shown(result.data), errors


def shown(data: Any) -> str:
    """An answer as JSON; what is none, by its type."""
    return json.dumps(data, default=lambda value: f"<{type(value).__name__}>")


@settings(max_examples=4000 if LONG else 80)
@given(st.data())
def test_answers_are_those_of_the_executor(data: st.DataObject) -> None:
    """On any schema, data and document, mistakes in the data included, data and errors are equal, byte for byte."""
    world = data.draw(worlds())
    asked = data.draw(documents(world.schema))
    given = {"variable_values": asked.variables, "root_value": world.root()}
    theirs = execute_sync(world.schema, asked.document, **given)
    ours = execute(world.schema, asked.document, variables=asked.variables, root=world.root())
    assert told(ours) == told(theirs), asked.text
    again = execute(world.schema, asked.document, variables=asked.variables, root=world.root())
    assert told(again) == told(theirs), asked.text


@settings(max_examples=1000 if LONG else 25)
@given(st.data())
def test_data_without_mistakes_is_completed_without_the_executor(data: st.DataObject) -> None:
    """Where all fields are data and all data is right, there is a plan, and it is never in doubt."""
    world = data.draw(worlds(noise=False))
    asked = data.draw(documents(world.schema, only="root0"))
    theirs = execute_sync(world.schema, asked.document, variable_values=asked.variables)
    assert theirs.errors is None
    assert theirs.data is not None
    query: Any = world.schema.query_type
    node: Any = asked.document.definitions[0].selection_set.selections[0]  # type: ignore[attr-defined]
    found = plan(world.schema, asked.document, query.fields["root0"].type, [node])
    assert found is not None
    completed = found(world.roots["root0"](), {"yes": True, "no": False}, world.schema)
    assert shown(completed) == shown(theirs.data["root0"])


NUMBERS = [0, 7, 2**31 - 1, 2**31, -(2**31), -(2**31) - 1, 2**53 + 1, 2**1100, True, 0.0, -0.0, 1.5, 1e300]
VALUES = [
    *NUMBERS, float("nan"), float("inf"), -float("inf"), Decimal(3), Decimal("1.5"), Decimal("NaN"), "", "A", "C", "7",
    "1.5", "ONE", "two", "small", "nothing", Colour.RED, Size.LARGE, b"b", [], ["A"], [None], {}, {"a": 1}, (), {"A"},
    object, None, ValueError("from the data"), SimpleNamespace(), Undefined,
]  # fmt: skip


@pytest.mark.parametrize("name", sorted(LEAVES))
def test_every_leaf_takes_every_value_as_the_executor_does(name: str) -> None:
    """Ranges, coercion, nulls and errors of each scalar and enum, bare, required, in lists, of dicts and of objects."""
    kind = LEAVES[name]
    kinds = {"a": kind, "b": GraphQLNonNull(kind), "c": GraphQLList(kind), "d": GraphQLList(GraphQLNonNull(kind))}
    item = GraphQLObjectType("Item", {key: GraphQLField(one) for key, one in kinds.items()})
    schema = GraphQLSchema(GraphQLObjectType("Query", {"items": GraphQLField(GraphQLList(item))}))
    document = parse("{ items { a b c d } }")
    for value in VALUES:
        for parts in (
            {"a": value, "b": value, "c": [value], "d": [value]},
            {"b": "A", "c": value, "d": [value, value]},
        ):
            for shape in (dict, lambda parts: SimpleNamespace(**parts)):
                root = {"items": [shape(parts), shape(parts)]}
                theirs = execute_sync(schema, document, root)
                assert told(execute(schema, document, root=root)) == told(theirs), value


SCHEMA = """
    type Query { items: [Item!]! item: Item things: [Thing] thing: Thing }
    interface Thing { id: ID! }
    type Item implements Thing { id: ID! name: String! count: Int price: Float tags: [String!] item: Item slow: Item }
    type Other implements Thing { id: ID! on: Boolean }
"""
GOOD = {"id": 7, "name": "n", "count": 1, "price": 2, "tags": ["a"], "item": {"id": "x", "name": "y"}}


def built() -> GraphQLSchema:
    return build_schema(SCHEMA)


def planned(text: str, schema: GraphQLSchema | None = None) -> Callable[..., Any] | None:
    """The plan of the only root field of a document."""
    schema = schema or built()
    document = parse(text)
    assert validate(schema, document) == []
    node: Any = document.definitions[0].selection_set.selections[0]  # type: ignore[attr-defined]
    query: Any = schema.query_type
    found = plan(schema, document, query.fields[node.name.value].type, [node])
    return None if found is None else lambda value, **variables: found(value, variables, schema)


def test_a_plan_completes_values() -> None:
    """Aliases, nested objects, lists and leaves, of dicts and of objects."""
    run = planned("{ items { id title: name count price tags item { id name tags } __typename } }")
    assert run is not None
    expected = [
        {
            "id": "7", "title": "n", "count": 1, "price": 2.0, "tags": ["a"],
            "item": {"id": "x", "name": "y", "tags": None}, "__typename": "Item",
        }
    ]  # fmt: skip
    assert run([GOOD]) == expected
    assert run((SimpleNamespace(**GOOD),)) == expected
    assert list(run([GOOD])[0]) == list(expected[0])


@pytest.mark.parametrize(
    "value",
    [
        None,
        [None],
        [{**GOOD, "name": None}],
        [{"id": 1}],
        [{**GOOD, "count": 2**31}],
        [{**GOOD, "count": 1.5}],
        [{**GOOD, "price": float("nan")}],
        [{**GOOD, "name": ["list"]}],
        [{**GOOD, "name": lambda info: "called"}],
        [{**GOOD, "tags": "text"}],
        [{**GOOD, "tags": [None]}],
        [{**GOOD, "tags": iter(["a"])}],
        [{**GOOD, "item": ValueError("no")}],
        (row for row in [GOOD]),
        {"id": 1},
        "text",
        ValueError("no"),
    ],
)
def test_a_plan_leaves_mistakes_to_the_executor(value: Any) -> None:
    """It makes no error, and consumes nothing that the executor will need."""
    run = planned("{ items { id name count price tags item { id } } }")
    assert run is not None
    with pytest.raises(Doubt):
        run(value)


def test_an_error_costs_only_its_own_selection_the_fast_path() -> None:
    """Beside it, and in the lists that hold it, errors and nulls are the executor's, and all the rest is there."""
    schema, document = built(), parse("{ things { id ... on Item { name item { name } } } item { count name } }")
    things = [{"__typename": "Item", **GOOD}, {"__typename": "Item", "id": 2}, {"__typename": "Other", "id": 3}, None]
    root = {"things": things, "item": {**GOOD, "count": "many"}}
    theirs, ours = execute_sync(schema, document, root), execute(schema, document, root=root)
    assert told(ours) == told(theirs)
    assert [error.path for error in ours.errors or ()] == [["things", 1, "name"], ["item", "count"]]


@pytest.mark.parametrize(
    ("text", "compiled"),
    [
        ("{ items { id } }", True),
        ("{ item { slow { id } } }", False),
        ("{ item { item { item { id } } } }", True),
        ("{ thing { id ... on Item { slow { id } } } }", True),  # decided when a value turns out to be one
        ("{ item { ...F } } fragment F on Item { id ...G } fragment G on Item { slow { id } }", False),
        ("query ($a: Boolean!) { item { id name @include(if: $a) } }", True),
    ],
)
def test_what_is_compiled(text: str, compiled: bool) -> None:
    """Selections of plain data are; a resolver anywhere below leaves a selection to the executor."""
    schema = built()
    kind: Any = schema.type_map["Item"]
    kind.fields["slow"].resolve = lambda source, info: {"id": 1}
    assert (planned(text, schema) is not None) is compiled
    thing = {"__typename": "Item", **GOOD}
    root = dict.fromkeys(("item", "thing"), thing) | {"items": [thing]}
    given = {"a": True} if "$a" in text else None
    theirs = execute_sync(schema, parse(text), root, variable_values=given)
    assert told(execute(schema, parse(text), root=root, variables=given)) == told(theirs)
    assert theirs.errors is None


def test_a_selection_below_a_resolver_is_compiled() -> None:
    """However deep a resolver stands, what it returns is completed by the function of its selection."""
    schema = built()
    kind: Any = schema.type_map["Item"]
    kind.fields["slow"].resolve = lambda source, info: {"id": "/".join(map(str, info.path.as_list())), "name": "n"}
    document = parse("{ items { id slow { id item { id } slow { id } } } }")
    root = {"items": [GOOD, GOOD]}
    assert told(execute(schema, document, root=root)) == told(execute_sync(schema, document, root))


def test_variables_choose_the_function() -> None:
    """Each set of conditions has its own; a condition that is no truth value is the executor's."""
    run = planned("query ($a: Boolean!, $b: Boolean!) { item { id @skip(if: $a) name @include(if: $b) count } }")
    assert run is not None
    assert run(GOOD, a=False, b=True) == {"id": "7", "name": "n", "count": 1}
    assert run(GOOD, a=True, b=False) == {"count": 1}
    for odd in (None, 1, "true"):
        with pytest.raises(Doubt):
            run(GOOD, a=odd, b=True)


def test_a_plan_is_made_once_and_goes_with_the_schema() -> None:
    """The same nodes of the same document have one plan; when the schema goes, its plans go."""
    schema, document = built(), parse("{ item { id } }")
    query: Any = schema.query_type
    node: Any = document.definitions[0].selection_set.selections[0]  # type: ignore[attr-defined]
    first = plan(schema, document, query.fields["item"].type, [node])
    assert isinstance(first, Plan)
    assert plan(schema, document, query.fields["item"].type, [node]) is first
    gone = ref(schema)
    del schema, query, first
    gc.collect()
    assert gone() is None


def test_fragments_of_another_document_are_another_plan() -> None:
    """Documents that share nodes, and not their fragments, don't share plans."""
    schema = built()
    one, other = parse("{ item { ...F } } fragment F on Item { id }"), parse("fragment F on Item { name }")
    mixed = DocumentNode(definitions=(one.definitions[0], other.definitions[0]))
    root = {"item": GOOD}
    assert execute(schema, one, root=root).data == {"item": {"id": "7"}}
    assert execute(schema, mixed, root=root).data == {"item": {"name": "n"}}
    assert execute(schema, one, root=root).data == {"item": {"id": "7"}}


def test_fields_are_read_under_other_names() -> None:
    """By `Reads`, or by a resolver that says which name it reads; names that are no identifiers are no code."""
    odd = "class'\"\\ {v} __import__('os')"
    fields = {
        "a": GraphQLField(GraphQLString, resolve=Reads("class")),
        "b": GraphQLField(GraphQLString, resolve=Reads(odd)),
        "c": GraphQLField(GraphQLInt, resolve=lambda source, info: source["kept"], extensions={"data": "kept"}),
    }
    item = GraphQLObjectType("Item", fields)
    schema = GraphQLSchema(GraphQLObjectType("Query", {"item": GraphQLField(item)}))
    run = planned("{ item { a b c } }", schema)
    assert run is not None
    assert run({"class": "A", odd: "B", "kept": 3}) == {"a": "A", "b": "B", "c": 3}
    assert run(SimpleNamespace(**{"class": "A", odd: "B", "kept": 3})) == {"a": "A", "b": "B", "c": 3}
    with pytest.raises(Doubt):
        run({"class": "A", odd: "B"})  # what the resolver does then, is its own affair
    assert execute(schema, parse("{ item { c } }"), root={"item": {}}).errors


def test_documents_that_explode_are_no_trouble() -> None:
    """Fragments that double are compiled once each; a plan doesn't grow beyond its size, and no deeper than Python."""
    schema, root = built(), {"item": {"item": {"item": None}}}
    parts = "".join(
        f" fragment F{n} on Item {{ a: item {{ ...F{n + 1} }} b: item {{ ...F{n + 1} }} }}" for n in range(24)
    )
    run = planned("{ item { ...F0 } }" + parts + " fragment F24 on Item { id }", schema)
    assert run is not None
    assert run({"item": {"item": None}}) == {"a": {"a": None, "b": None}, "b": {"a": None, "b": None}}
    wide = "{ item { " + " ".join(f"a{n}: item {{ id }}" for n in range(600)) + " } }"
    deep = "{ " + "item { " * 60 + "id" + " }" * 60 + " }"
    assert planned(wide, schema) is None
    for text in (wide, deep):
        assert told(execute(schema, parse(text), root=root)) == told(execute_sync(schema, parse(text), root))


def test_threads_share_a_plan() -> None:
    """Types that several requests meet at once for the first time are compiled one after the other."""
    names = [f"T{number}" for number in range(30)]
    kinds = "".join(f" type {name} {{ {name.lower()}: Int name: String }}" for name in names)
    parts = " ".join(f"... on {name} {{ {name.lower()} {name.lower()}n: name }}" for name in names)
    document = parse(f"{{ all {{ {parts} }} }}")
    values = [{"__typename": name, name.lower(): 1, "name": name} for name in names]
    for _ in range(5):
        schema = build_schema(f"type Query {{ all: [Any] }} union Any = {' | '.join(names)} {kinds}")
        expected = execute_sync(schema, document, {"all": values}).data
        assert expected is not None

        def run(first: int, schema: GraphQLSchema = schema) -> Any:
            turned = values[first:] + values[:first]
            return execute(schema, document, root={"all": turned}).data

        with ThreadPoolExecutor(8) as threads:
            found = list(threads.map(run, range(30)))
        for first, data in enumerate(found):
            assert data == {"all": expected["all"][first:] + expected["all"][:first]}


def test_wrong_requests_are_answered_as_by_the_executor() -> None:
    """Operations that are not there, and variables of the wrong type."""
    schema, document = built(), parse("query A($a: Boolean!) { item { id @skip(if: $a) } } query B { item { id } }")
    for name, variables in (("C", {}), (None, {}), ("A", {}), ("A", {"a": "x"}), ("B", {"a": 1})):
        theirs = execute_sync(schema, document, operation_name=name, variable_values=variables)
        assert told(execute(schema, document, operation_name=name, variables=variables)) == told(theirs)


def test_middleware_is_not_passed_by() -> None:
    """Where a caller wraps resolvers, or brings its own, nothing is compiled."""
    schema, document, seen = built(), parse("{ item { id name } }"), []

    def watching(following: Any, source: Any, info: Any, **given: Any) -> Any:
        seen.append(info.field_name)
        return following(source, info, **given)

    execute_sync(schema, document, {"item": GOOD}, middleware=[watching], executor_class=CompilingExecutor)
    assert seen == ["item", "id", "name"]
    own = execute_sync(
        schema, document, {}, executor_class=CompilingExecutor,
        field_resolver=lambda source, info: {} if info.field_name == "item" else info.field_name,
    )  # fmt: skip
    assert own.data == {"item": {"id": "id", "name": "name"}}


def test_awaited_values_are_awaited() -> None:
    """The executor works the same on an event loop; what has to be awaited below is left to it."""
    schema, document = built(), parse("{ items { id name item { id } } }")

    async def later(value: Any) -> Any:
        return value

    async def run(executor: Any) -> Any:
        root = {"items": later([{**GOOD, "item": later({"id": 1})}, GOOD])}
        return await execute_async(schema, document, root, executor_class=executor)  # type: ignore[misc]

    assert told(asyncio.run(run(CompilingExecutor))) == told(asyncio.run(run(None)))


def test_each_event_of_a_subscription_is_completed() -> None:
    """The functions are the same for all events, and their answers aren't."""
    schema = build_schema("type Query { a: Int } type Subscription { item: Item } type Item { id: ID! name: String }")

    async def events() -> Any:
        for number in range(3):
            yield {"item": {"id": number, "name": f"n{number}"}}

    kind: Any = schema.subscription_type
    kind.fields["item"].subscribe = lambda source, info: events()

    async def run(executor: Any) -> list[Any]:
        stream: Any = subscribe(schema, parse("subscription { item { id name } }"), executor_class=executor)
        return [told(one) async for one in stream]

    assert asyncio.run(run(CompilingExecutor)) == asyncio.run(run(None))


def test_numbers_beyond_json_are_scalars_business() -> None:
    """A scalar of the schema's own decides what stands in the answer."""
    schema = build_schema("scalar Money type Query { item: Item } type Item { price: Money prices: [Money!]! }")
    kind: Any = schema.type_map["Money"]
    kind.coerce_output_value = kind.serialize = str
    run = planned("{ item { price prices } }", schema)
    assert run is not None
    assert run({"price": Decimal("1.50"), "prices": [Decimal(1), 2]}) == {"price": "1.50", "prices": ["1", "2"]}
