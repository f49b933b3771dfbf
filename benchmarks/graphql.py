"""GraphQL: a list of 100 objects of 6 fields, by graphql-core, by Strawberry and compiled; documents; making schemas.

Pure computation: the data is in memory, and no case asks a database or a network. Cases take turns, and are timed in
seconds of the processor: what else runs on the machine counts little. All give equal answers, which is checked before
anything is measured. Strawberry is left out where it isn't installed.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from importlib.metadata import version
from time import thread_time_ns
from types import SimpleNamespace
from typing import Any

import graphql
from pydantic import create_model
from pydantic_core import to_json

from benchmarks.measuring import Case, Finding, Times, interleaved, report
from mallcore.api.graphql.compiled import Plan, execute, plan
from mallcore.api.graphql.documents import Documents
from mallcore.api.graphql.limits import Limits, refuse
from mallcore.api.graphql.schemas import schema_of
from mallcore.api.versions import View
from mallcore.kernel.operations import Catalogue, Rest, operation

ROWS = [
    {"id": str(n), "name": f"Item {n}", "price": n * 1.25, "count": n, "active": n % 3 == 0, "kind": "NEW"}
    for n in range(100)
]
OBJECTS = [SimpleNamespace(**row) for row in ROWS]
FIELDS = "id name price count active kind"
TEXT = f"{{ items {{ {FIELDS} }} }}"
SDL = """
    enum Kind { NEW USED }
    type Item { id: ID! name: String! price: Float count: Int! active: Boolean! kind: Kind! }
    type Query { items: [Item!]! objects: [Item!]! }
"""
TYPES, WIDTH = 300, 10
CORE, OURS, BERRY = "graphql-core", "mallcore, compiled", "Strawberry"
VERSIONS = ("graphql-core", "strawberry-graphql", "pydantic")


def made() -> graphql.GraphQLSchema:
    """The schema of the list, with the data behind it."""
    schema = graphql.build_schema(SDL)
    query: Any = schema.query_type
    query.fields["items"].resolve = lambda source, info: ROWS
    query.fields["objects"].resolve = lambda source, info: OBJECTS
    return schema


def installed(found: Finding) -> Finding:
    """With the versions that count here."""
    found.facts["versions"] = ", ".join(f"{name} {_version(name)}" for name in VERSIONS)
    return found


def _version(name: str) -> str:
    try:
        return version(name)
    except ImportError:
        return "absent"


def executing(rounds: int) -> Iterator[Finding]:
    """The execution of a document that was parsed and found valid before, to plain data."""
    schema, rival = made(), strawberry_list()
    documents = {"dicts": graphql.parse(TEXT), "objects": graphql.parse(TEXT.replace("items", "objects"))}
    cases: dict[str, Case] = {}
    for name, document in documents.items():
        cases[f"{CORE}, {name}"] = _call(graphql.execute_sync, schema, document)
        cases[f"{OURS}, {name}"] = _call(execute, schema, document)
    if rival is not None:
        cases[f"{BERRY}, objects (its schema, graphql-core's executor)"] = _call(
            graphql.execute_sync, rival._schema, documents["dicts"]
        )
    _same({name: case().data for name, case in cases.items()})  # type: ignore[attr-defined]
    found = Finding("GraphQL: executing 100 x 6 fields", "no database", _taken(cases, rounds))
    for name in documents:
        found.compare(f"{OURS}, {name}", f"{CORE}, {name}")
    yield installed(found)


def completing(rounds: int) -> Iterator[Finding]:
    """The compiled function alone, beside building the same dicts without any check, and making it."""
    schema = made()
    document = graphql.parse(TEXT)
    query: Any = schema.query_type
    node: Any = document.definitions[0].selection_set.selections[0]  # type: ignore[attr-defined]
    kind = query.fields["items"].type
    ready = plan(schema, document, kind, [node])
    assert ready is not None
    function = ready.function(schema, {})
    assert function is not None
    keys = FIELDS.split()
    unchecked: Any = eval(f"lambda rows: [{{{', '.join(f'{key!r}: row[{key!r}]' for key in keys)}}} for row in rows]")
    assert unchecked(ROWS) == function(ROWS)
    whole = _call(graphql.execute_sync, schema, document)
    cases: dict[str, Case] = {
        "graphql-core, the whole execution": whole,
        "compiled function": lambda: function(ROWS),
        "a list comprehension that checks nothing": lambda: unchecked(ROWS),
        "compiling it": lambda: Plan(schema, {}, kind, [node]),
    }
    found = Finding("GraphQL: completing 100 x 6 fields", "no database", _taken(cases, rounds))
    found.compare("compiled function", "graphql-core, the whole execution", 0.01)
    found.compare("compiled function", "a list comprehension that checks nothing")
    yield installed(found)


def answering(rounds: int) -> Iterator[Finding]:
    """From the text of a request to the bytes of its answer."""
    schema, rival = made(), strawberry_list()
    kept = Documents()

    def core() -> bytes:
        return json.dumps({"data": graphql.graphql_sync(schema, TEXT).data}).encode()

    def ours(documents: Documents) -> bytes:
        return to_json({"data": execute(schema, documents.prepared(schema, TEXT)).data})

    known, new = f"{OURS}, document known", f"{OURS}, document new"
    cases: dict[str, Case] = {CORE: core, known: lambda: ours(kept), new: lambda: ours(Documents())}
    if rival is not None:
        cases[BERRY] = lambda: json.dumps({"data": rival.execute_sync(TEXT).data}).encode()
        again = strawberry_list(cached=True)
        cases[f"{BERRY}, document known"] = lambda: json.dumps({"data": again.execute_sync(TEXT).data}).encode()
    _same({name: json.loads(case()) for name, case in cases.items()})  # type: ignore[arg-type]
    found = Finding("GraphQL: text to bytes, 100 x 6 fields", "no database", _taken(cases, rounds))
    found.compare(known, CORE)
    found.compare(new, CORE)
    if rival is not None:
        found.compare(known, f"{BERRY}, document known")
        found.compare(new, BERRY)
    yield installed(found)


def documents(rounds: int) -> Iterator[Finding]:
    """What a document costs before it is executed."""
    schema, limits = made(), Limits()
    document, kept = graphql.parse(TEXT), Documents()
    cases: dict[str, Case] = {
        "parse": lambda: graphql.parse(TEXT),
        "validate": lambda: graphql.validate(schema, document),
        "limits": lambda: refuse(document, None, schema, limits),
        "all of it, document new": lambda: Documents().prepared(schema, TEXT),
        "all of it, document known": lambda: kept.prepared(schema, TEXT),
    }
    found = Finding("GraphQL: a document, before it is executed", "no database", _taken(cases, rounds))
    found.compare("all of it, document known", "all of it, document new")
    yield installed(found)


def schemas(rounds: int) -> Iterator[Finding]:
    """A schema of 300 types of 10 fields, made anew each time: mallcore's of a catalogue, Strawberry's of classes."""
    catalogue = Catalogue(_operation(number) for number in range(TYPES))
    cases: dict[str, Case] = {
        f"{CORE}, types written by hand": _core_types,
        "mallcore, of a catalogue": lambda: schema_of(View(catalogue)),
    }
    made_types = schema_of(View(catalogue)).type_map
    assert all(f"Thing{number}" in made_types for number in range(TYPES))
    rival = strawberry_types()
    if rival is not None:
        cases[f"{BERRY}, of classes that are there"] = rival
    found = Finding(f"GraphQL: a schema of {TYPES} x {WIDTH} fields", "no database", _taken(cases, rounds, 1))
    if rival is not None:
        found.compare("mallcore, of a catalogue", f"{BERRY}, of classes that are there")
    yield installed(found)


def _core_types() -> graphql.GraphQLSchema:
    kinds = [
        graphql.GraphQLObjectType(
            f"Thing{number}",
            {f"field{n}": graphql.GraphQLField(graphql.GraphQLString) for n in range(WIDTH)},
        )
        for number in range(TYPES)
    ]
    fields = {f"thing{number}": graphql.GraphQLField(kind) for number, kind in enumerate(kinds)}
    return graphql.GraphQLSchema(graphql.GraphQLObjectType("Query", fields))


def _operation(number: int) -> Any:
    kind: Any = create_model(f"Thing{number}", **{f"field{n}": (str | None, None) for n in range(WIDTH)})  # type: ignore[call-overload]

    def thing(ctx: Any) -> Any:
        return kind()

    thing.__annotations__["return"] = kind
    known: Any = operation(
        permission=None, name=f"bench.thing{number}", output=kind, rest=Rest("GET", f"/things/{number}")
    )(thing)
    return known.operation


def strawberry_list(cached: bool = False) -> Any:
    """Strawberry's schema of the list; nothing where it is not installed."""
    try:
        import strawberry
        from strawberry.extensions import ParserCache, ValidationCache
    except ImportError:
        return None
    kind = strawberry.enum(_enum())
    fields = {"id": strawberry.ID, "name": str, "price": float | None, "count": int, "active": bool, "kind": kind}
    item = strawberry.type(type("Item", (), {"__annotations__": fields}))
    items = [item(**{**row, "kind": kind.NEW}) for row in ROWS]

    def all_items() -> Any:
        return items

    all_items.__annotations__["return"] = list[item]  # type: ignore[valid-type]
    query = strawberry.type(type("Query", (), {"items": strawberry.field(all_items)}))
    return strawberry.Schema(query, extensions=[ParserCache, ValidationCache] if cached else [])


def _enum() -> Any:
    from enum import Enum

    return Enum("Kind", ["NEW", "USED"])


def strawberry_types() -> Case | None:
    """Makes Strawberry's schema of classes that were made before."""
    try:
        import strawberry
    except ImportError:
        return None
    annotations = {f"field{n}": str | None for n in range(WIDTH)}
    kinds = [
        strawberry.type(type(f"Thing{number}", (), {"__annotations__": dict(annotations)})) for number in range(TYPES)
    ]
    query = strawberry.type(
        type("Query", (), {"__annotations__": {f"thing{number}": kind for number, kind in enumerate(kinds)}})
    )
    return lambda: strawberry.Schema(query)


def _taken(cases: dict[str, Case], rounds: int, inner: int = 2) -> dict[str, Times]:
    return interleaved({name: _processor(case, inner) for name, case in cases.items()}, rounds, warm=3)


def _processor(case: Case, inner: int) -> Case:
    def timed() -> float:
        calls, begin = range(inner), thread_time_ns()
        for _ in calls:
            case()
        return (thread_time_ns() - begin) / 1e9 / inner

    return timed


def _call(run: Callable[..., Any], schema: Any, document: Any) -> Case:
    return lambda: run(schema, document)


def _same(answers: dict[str, Any]) -> None:
    shown = {name: json.dumps(answer).replace('"objects"', '"items"') for name, answer in answers.items()}
    assert len(set(shown.values())) == 1, {name: text[:200] for name, text in shown.items()}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.graphql", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the rounds")
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")
    given = parser.parse_args()
    share = 10 if given.quick else 1

    def run() -> Iterator[Finding]:
        for case in (executing, completing, answering, documents):
            yield from case(200 // share)
        yield from schemas(30 // share)

    report(run(), given.json)


if __name__ == "__main__":
    main()
