"""Limits are found out before anything is validated or run, and quickly, whatever the document does."""

from __future__ import annotations

from typing import Any

import pytest
from graphql import (
    GraphQLError,
    build_schema,
    execute_sync,
    get_introspection_query,
    parse,
    validate,
)
from hypothesis import given
from hypothesis import strategies as st

from mallcore.api.graphql.compiled import execute
from mallcore.api.graphql.limits import Deadline, Limits, parsed, refuse
from mallcore.errors import LimitExceeded

SCHEMA = build_schema("""
    type Query { id: ID, item: Item, items: [Item!]!, page(first: Int, last: Int): Page, shelf(limit: Int = 20): Page }
    type Page { edges: [Edge!]! nodes: [Item] }
    type Edge { node: Item! cursor: ID }
    type Item { id: ID! name: String item: Item more: [Item!] page(first: Int): Page dear: Item sized: [Item] }
""")
ITEM: Any = SCHEMA.type_map["Item"]
ITEM.fields["dear"].extensions = {"cost": 500}
ITEM.fields["sized"].extensions = {"size": 3}
HUGE = Limits(tokens=10**7, document_bytes=10**8)


def what(
    text: str, variables: dict[str, Any] | None = None, limits: Limits | None = None, name: str | None = None
) -> dict[str, Any]:
    """What is beyond a limit, with how much it is."""
    limits = limits or Limits()
    found = refuse(parsed(text, limits), variables, SCHEMA, limits, name)
    for error in found:
        assert error.extensions is not None
        assert error.extensions["code"] == "limit-exceeded"
        assert isinstance(error.original_error, LimitExceeded)
        assert str(error.extensions["limit"]) in error.message
    return {error.extensions["what"]: error.extensions["actual"] for error in found if error.extensions}


def cost(text: str, variables: dict[str, Any] | None = None) -> int:
    """What a document costs, by the limit below it."""
    return int(what(text, variables, Limits(cost=-1))["The cost of the query"])


def chain(length: int, kind: str, body: str, last: str = "id") -> str:
    """Fragments of which each spreads the next; ``%`` stands for it."""
    links = [f" fragment F{n} on {kind} {{ {body.replace('%', f'...F{n + 1}')} }}" for n in range(length)]
    return "".join(links) + f" fragment F{length} on {kind} {{ {last} }}"


def test_an_ordinary_document_is_within_the_limits() -> None:
    """Pages in pages of usual size, fragments, variables, and the introspection of every tool."""
    assert what("query ($n: Int!) { page(first: $n) { edges { node { ...A page(first: 5) { nodes { id } } } } } }"
                " fragment A on Item { id name }", {"n": 50}) == {}  # fmt: skip
    assert what(get_introspection_query(input_value_deprecation=True, specified_by_url=True)) == {}


def test_a_document_that_is_too_long_is_not_read() -> None:
    """Bytes and tokens are counted before a tree is made of them."""
    for text in ("{ id }" + " " * 200_000, "{ " + "id " * 6_000 + "}", '{ a(b: "' + "é" * 60_000 + '") }'):
        with pytest.raises(GraphQLError) as caught:
            parsed(text, Limits())
        assert caught.value.extensions is not None
        assert caught.value.extensions["code"] == "limit-exceeded"
    with pytest.raises(GraphQLError, match="Syntax Error"):
        parsed("{ id", Limits())


def test_depth_is_counted_through_fragments() -> None:
    """It is the answer's depth, however the document is cut into pieces."""
    assert what("{ item { item { ... on Item { item { id } } } } }", limits=Limits(depth=3)) == {
        "The depth of the query": 4
    }
    deep = "{ item { ...F0 } }" + chain(30, "Item", "item { % }")
    assert what(deep)["The depth of the query"] > 15
    assert what("{ item { item { id } } }", limits=Limits(depth=3)) == {}


@pytest.mark.parametrize("levels", [80, 1_000, 20_000])
@pytest.mark.parametrize(("begin", "end"), [("item {", "}"), ("... {", "}"), ("item { ...X ... on Item {", "} }")])
def test_deep_documents_are_refused(levels: int, begin: str, end: str) -> None:
    """A document that nests a thousand times is an error like any other, and overflows no stack."""
    text = "{ item { " + begin * levels + " id " + end * levels + "} }"
    try:
        found = what(text, limits=HUGE)
    except GraphQLError as error:
        found = {"The depth of the query": error.message.index("nested too deeply") + levels}
    assert found["The depth of the query"] > 15


def test_many_aliases_are_refused() -> None:
    """Ten thousand names for one field are one too many for every limit that they meet."""
    text = "{ " + " ".join(f"a{number}: id" for number in range(10_000)) + " }"
    found = what(text, limits=HUGE)
    assert found["The number of aliases"] == 10_000
    assert found["The number of root fields"] == 10_000
    hidden = "{ item { " + "...F0 " * 20 + "} }" + chain(2, "Item", "% x: name ... on Item { % }")
    assert what(hidden, limits=Limits(aliases=50, fragments=1000))["The number of aliases"] > 50


@pytest.mark.parametrize("length", [20, 200, 2_000])
def test_fragments_that_double_are_measured_once_each(length: int) -> None:
    """A document of a few kilobytes that stands for 2 to the 2,000 fields is refused without counting to that."""
    bomb = "{ item { ...F0 } }" + chain(length, "Item", "item { % } x: item { % }")
    found = what(bomb, limits=Limits(tokens=10**6, document_bytes=10**7, fragments=10**6))
    assert found["The number of fields"] > 10_000
    assert found["The cost of the query"] > 20_000
    assert what(bomb, limits=HUGE) == {"The number of fragments and their spreads": 3 * length + 2} or length == 20


def test_cyclic_fragments_are_passed_over() -> None:
    """They end, and validation names them."""
    for text in (
        "{ item { ...A } } fragment A on Item { id item { ...B } } fragment B on Item { item { ...A } }",
        "{ ...A } fragment A on Query { ...A id }",
        "{ item { ...A ...A } } fragment A on Item { x: item { ...A } y: item { ...A } }",
    ):
        assert what(text) == {}
        assert any("cannot spread fragment" in error.message.lower() for error in validate(SCHEMA, parse(text)))


def test_unknown_things_are_left_to_validation() -> None:
    """Unknown fields, types, fragments, arguments and variables make no limit fail to be found."""
    text = "query ($n: Nope) { nope(first: $m) { foo { ...X } ...Y } ... on Nope { id } item(first: [1]) { id } }"
    assert what(text, {"n": {"a": None}}) == {}
    assert what("subscription { id } mutation { id }") == {}


def test_directives_are_counted() -> None:
    """Directives cost validation and execution, wherever they are piled up."""
    assert what("{ id " + "@include(if: true) " * 900 + "}", limits=HUGE) == {"The number of directives": 900}
    assert what("query " + "@a " * 101 + "{ id }") == {"The number of directives": 101}
    assert what("query ($a: Int " + "@a " * 101 + ") { id }") == {"The number of directives": 101}


def test_one_place_is_not_named_too_often() -> None:
    """Validation compares each with each: so what is merged into one place is counted as one place."""
    what_is = "The number of times that one place is named"
    assert what("{ item { " + "id " * 60 + "} }") == {what_is: 60}
    assert what("{ " + ("item { " + "item { id } " * 8 + "} ") * 10 + "}") == {what_is: 80}
    spread = "{ item { " + "".join(f"...G{n} " for n in range(45)) + "} }"
    parts = "".join(f" fragment G{n} on Item {{ id name item {{ id id }} }}" for n in range(45))
    assert what(spread + parts) == {what_is: 90}


def test_values_of_variables_are_counted() -> None:
    """A million values in a list are not looked at one by one."""
    assert what("{ id }", {"a": [1] * 1_000_000}) == {"The number of values in the variables": "more than 10000"}
    assert what("{ id }", {"a": [[{"b": [1] * 100}]] * 100}) == {
        "The number of values in the variables": "more than 10000"
    }
    assert what("{ id }", {"a": [1] * 9_999}) == {}


def test_an_introspection_is_no_way_around() -> None:
    """Lists of types within lists of types multiply; a chain of `ofType` doesn't."""
    text = "{ __schema { types { fields { type { fields { type { fields { type { fields { name } } } } } } } } } }"
    assert what(text) == {"The depth of the introspection": 4}
    assert what("{ __schema { queryType { " + "... { " * 80 + "name" + " }" * 80 + " } } }") != {}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{ id }", 0),
        ("{ item { id name } }", 1),
        ("{ item { item { id } } }", 2),
        ("{ items { item { id } } }", 10 * 2),
        ("{ page(first: 30) { edges { node { id } } } }", 1 + 30 * 2),
        ("{ page(last: 7) { nodes { item { id } } } }", 1 + 7 * 2),
        ("{ page { nodes { id } } }", 1 + 50),
        ("{ shelf { nodes { id } } }", 1 + 20),
        ("{ shelf(limit: 3) { ...P } } fragment P on Page { nodes { id } }", 1 + 3),
        ("{ page(first: 10) { nodes { page(first: 10) { nodes { id } } } } }", 1 + 10 * (2 + 10)),
        ("{ page(first: 10) { nodes { more { id } } } }", 1 + 10 * (1 + 10)),
        ("{ page(first: 10) { nodes { more { item { id } } } } }", 1 + 10 * (1 + 10 * 2)),
        ("{ item { dear { id } } }", 501),
        ("{ item { sized { item { id } } } }", 1 + 3 * 2),
        ("query ($n: Int = 4) { page(first: $n) { nodes { id } } }", 1 + 4),
        ("{ __schema { types { name } } }", 0),
    ],
)  # fmt: skip
def test_cost(text: str, expected: int) -> None:
    """Objects cost 1, times how often they are asked for; scalars nothing; a field may say what it costs."""
    assert validate(SCHEMA, parse(text)) == []
    assert cost(text) == expected


@pytest.mark.parametrize("given", [9, 9.0, "9"])
def test_variables_count_in_the_cost(given: Any) -> None:
    """However a size is written, as a server may take it."""
    text = "query ($n: Int) { page(first: $n) { nodes { id } } }"
    assert cost(text, {"n": given}) == 10
    assert what(text, {"n": type(given)(900)})["The number of items asked for"] == 900
    assert cost(text, {"n": True}) == cost(text, {}) == cost(text, {"n": [1]}) == cost(text, {"n": "x" * 99}) == 51


def test_a_page_is_not_larger_than_pages_may_be() -> None:
    """The error points at the argument."""
    (error,) = refuse(parse("{\n page(first: 201) { nodes { id } } }"), None, SCHEMA, Limits())
    assert error.extensions is not None
    assert error.extensions["actual"] == 201
    assert error.locations is not None
    assert error.locations[0].line == 2
    assert what("{ page(first: 200) { nodes { id } } }") == {}


def test_only_the_operation_that_is_asked_for_counts() -> None:
    """A document may hold others, which cost nothing; without a name, all are looked at."""
    text = "query A { id } query B { page(first: 900) { nodes { id } } }"
    assert what(text, name="A") == {}
    assert list(what(text, name="B")) == ["The number of items asked for"]
    assert list(what(text)) == ["The number of items asked for"]


@given(st.integers(0, 12), st.integers(0, 3), st.integers(1, 3))
def test_fragments_count_as_if_they_were_written_out(depth: int, plain: int, times: int) -> None:
    """What a document is measured to be doesn't depend on its being cut into fragments."""
    whole, limits = "id " + "a: name " * plain, Limits(depth=0, fields=-1, aliases=-1, cost=-1, repeats=10**6)
    for _ in range(depth):
        whole = "id " + "a: name " * plain + " ".join(f"i{n}: item {{ {whole} }}" for n in range(times))
        if len(whole) > 5_000:
            return
    body = "id " + "a: name " * plain + " ".join(f"i{n}: item {{ % }}" for n in range(times))
    parts = "{ item { ...F0 } }" + chain(depth, "Item", body, "id " + "a: name " * plain)
    wide = {"tokens": 10**6, "fragments": 10**6, "document_bytes": 10**7}
    limits = Limits(**{**{name: getattr(limits, name) for name in limits.__slots__}, **wide})
    assert what("{ item { " + whole + " } }", limits=limits) == what(parts, limits=limits)


def test_a_deadline_ends_a_request_between_two_resolvers() -> None:
    """What is past it is not asked for; the answer is one error, and no data."""
    now, asked = [0.0], []

    def slow(source: Any, info: Any) -> str:
        asked.append(info.field_name)
        now[0] += 4
        return "done"

    schema = build_schema("type Query { a: String! b: String c: String d: [Query] }")
    query: Any = schema.query_type
    for name in "abc":
        query.fields[name].resolve = slow
    query.fields["d"].resolve = lambda source, info: [{}]
    late = execute(schema, parse("{ a d { b } c }"), deadline=Deadline(7, lambda: now[0]))
    assert (late.data, asked) == (None, ["a", "b"])
    assert late.errors is not None
    (error,) = late.errors
    assert error.extensions == {
        "code": "limit-exceeded", "what": "The time of the request in seconds", "actual": "more than 7", "limit": 7,
    }  # fmt: skip
    in_time = execute(schema, parse("{ a d { b } c }"), deadline=Deadline(7, lambda: 0))
    assert in_time == execute_sync(schema, parse("{ a d { b } c }"))


def test_a_deadline_can_be_asked() -> None:
    """Work between resolvers can look at it, and stop."""
    now = [10.0]
    deadline = Deadline(2, lambda: now[0])
    deadline.check()
    assert deadline.left == 2
    now[0] = 12.5
    assert deadline.over
    assert deadline.left < 0
    with pytest.raises(LimitExceeded):
        deadline.check()
