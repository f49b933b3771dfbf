"""The schema of a version: every operation that GraphQL can have, types from the models, deprecations."""

import gc
import weakref
from typing import Annotated, Literal

import pytest
from graphql import (
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLNonNull,
    GraphQLObjectType,
    get_introspection_query,
    get_operation_ast,
    parse,
    validate_schema,
)
from pydantic import BaseModel, Field

from mallcore import Context, Mall
from mallcore.api.graphql import schema, sdl
from mallcore.api.graphql.exposure import place_of, reason_left_out
from mallcore.api.graphql.names import field_name
from mallcore.api.graphql.uses import used
from mallcore.api.versions import Face, View
from mallcore.kernel.operations import Catalogue, Rest, operation
from mallcore.kernel.paging import Cursor, Limit, Page
from tests.api.graphql.conftest import Asking

LEFT_OUT = {
    "attachments.append", "attachments.receive_direct", "attachments.deliver", "attachments.deliver_file",
    "attachments.deliver_link", "structure.export",
    "attachments.open_derivative", "attachments.open_version", "attachments.stage", "structure.give_up",
    "structure.carry_out", "structure.tree_reader", "api.schema",
}  # fmt: skip
"""What answers or takes bytes, and what has no face outside of Python."""


class Colour(BaseModel):
    """A colour."""

    name: Literal["red", "dark-blue"]
    wave: Annotated[int, Field(ge=0, le=1000)] = 0
    size: int = 0


class Ball(BaseModel):
    """A ball."""

    kind: Literal["ball"] = "ball"
    colours: list[Colour]


class Box(BaseModel):
    """A box."""

    kind: Literal["box"] = "box"
    inside: Ball | None = None


Toy = Annotated[Ball | Box, Field(discriminator="kind")]


@operation(permission=None, name="shop.toys", rest=Rest("GET", "/toys"))
def toys(ctx: Context, *, limit: Limit = 50, cursor: Cursor = None) -> Page[Toy]:
    """Toys: ``ball`` or ``box``."""
    red = Colour(name="red", size=1 << 40)
    return Page(items=[Box(inside=Ball(colours=[red])), Ball(colours=[Colour(name="dark-blue")])])


@operation(permission=None, name="shop.paint", kind="command", rest=Rest("POST", "/toys"))
def paint(ctx: Context, *, toy: Toy, colour: Literal["red", "dark-blue"] = "red") -> Toy:
    """Paint a toy."""
    return Ball(colours=[Colour(name=colour)]) if isinstance(toy, Box) else toy


@operation(permission=None, name="shop.hidden")
def hidden(ctx: Context) -> Colour:
    """Not for the outside."""
    return Colour(name="red")


@pytest.mark.parametrize("version", range(3))
def test_every_version_has_a_valid_schema(mall: Mall, version: int) -> None:
    """Each version's schema is valid, is printed, and has every operation but those that mean bytes."""
    view = mall.versions.view(mall.catalogue, mall.versions.names[version])
    made = schema(view)
    assert validate_schema(made) == []
    assert "type Query" in sdl(view)
    assert schema(view) is made
    fields = {
        name for root in (made.query_type, made.mutation_type, made.subscription_type) if root for name in root.fields
    }
    assert {field_name(name) for name, face in view.faces.items() if place_of(face)} | {
        "apiVersion",
        "node",
        "nodes",
    } == fields


def test_what_is_left_out_is_listed(mall: Mall) -> None:
    """Nothing is missing but what this list names, each for a reason."""
    faces = mall.versions.view(mall.catalogue, mall.versions.names[0]).faces
    assert {name for name, face in faces.items() if reason_left_out(face)} - LEFT_OUT == set()


def test_a_get_is_a_query_and_all_else_a_mutation(mall: Mall) -> None:
    """What costs or changes something is no query, whatever it is to the mall's database."""
    for face in mall.versions.view(mall.catalogue, mall.versions.names[0]).faces.values():
        if place_of(face) == "query":
            assert face.rest is not None
            assert face.rest.method == "GET"


def test_a_schema_is_forgotten_with_its_view(mall: Mall) -> None:
    """Schemas are kept on the view, and no longer than it."""
    view = View(mall.catalogue)
    kept = weakref.ref(schema(view))
    assert kept() is not None
    del view
    gc.collect()
    assert kept() is None


def test_the_schema_tells_all_of_itself(graphql: Asking) -> None:
    """The usual introspection is within the limits."""
    found = graphql(get_introspection_query(descriptions=True, input_value_deprecation=True))
    assert len(found["__schema"]["types"]) > 100


def test_types_come_from_models() -> None:
    """Enums, unions, one-of inputs, defaults, bounds and descriptions are those of the models."""
    made = schema(View(Catalogue([one.operation for one in (toys, paint, hidden)])))  # type: ignore[attr-defined]
    assert made.query_type is not None
    assert made.mutation_type is not None
    assert set(made.query_type.fields) == {"shopToys", "apiVersion"}
    assert made.query_type.fields["shopToys"].description == "Toys: `ball` or `box`."
    colour = made.type_map["Colour"]
    assert isinstance(colour, GraphQLObjectType)
    kinds = {name: str(field.type) for name, field in colour.fields.items()}
    assert kinds == {"name": "ColourName!", "wave": "Int!", "size": "Long!"}
    names = made.type_map["ColourName"]
    assert isinstance(names, GraphQLEnumType)
    assert {key: one.value for key, one in names.values.items()} == {"RED": "red", "DARK_BLUE": "dark-blue"}
    paints = made.mutation_type.fields["shopPaint"].args
    assert str(paints["toy"].type) == "ToyInput!"
    assert isinstance(paints["colour"].type, GraphQLNonNull)
    assert paints["colour"].default_value == "red"


def test_unions_are_read_and_written(mall: Mall) -> None:
    """Members of a union are told apart by what tells them apart in JSON."""
    mall.catalogue = mall.catalogue.with_more([toys, paint])
    graphql = Asking(mall)
    text = """{ shopToys { nodes { __typename ... on Box { inside { colours { name size } } }
                                  ... on Ball { colours { name } } } pageInfo { hasNextPage } } }"""
    box, ball = graphql(text)["shopToys"]["nodes"]
    assert box == {"__typename": "Box", "inside": {"colours": [{"name": "RED", "size": 1 << 40}]}}
    assert ball == {"__typename": "Ball", "colours": [{"name": "DARK_BLUE"}]}
    made = graphql("mutation { shopPaint(toy: {box: {}}, colour: DARK_BLUE) { ... on Ball { colours { name } } } }")
    assert made["shopPaint"] == {"colours": [{"name": "DARK_BLUE"}]}


def test_what_is_deprecated_says_so_and_its_use_is_counted(mall: Mall, monkeypatch: pytest.MonkeyPatch) -> None:
    """Arguments and fields that are on their way out carry the reason, and whoever uses them is counted under them."""
    mall.catalogue = mall.catalogue.with_more([toys, paint])
    reasons = {
        "colour": "use a brush",
        "Ball.colours": "look closer",
        "Box.inside": "open it",
        "toy": "required: it can't be deprecated",
    }
    monkeypatch.setattr(
        Face, "deprecated", property(lambda face: reasons if face.operation.name == "shop.paint" else {})
    )
    graphql = Asking(mall)
    made = schema(mall.versions.view(mall.catalogue, mall.versions.latest(mall.now())))
    assert made.mutation_type is not None
    paints = made.mutation_type.fields["shopPaint"].args
    assert (paints["colour"].deprecation_reason, paints["toy"].deprecation_reason) == ("use a brush", None)
    ball = made.type_map["Ball"]
    assert isinstance(ball, GraphQLObjectType)
    assert ball.fields["colours"].deprecation_reason == "look closer"
    given = made.type_map["BoxInput"]
    assert isinstance(given, GraphQLInputObjectType)
    assert given.fields["inside"].deprecation_reason == "open it"
    graphql("mutation { shopPaint(toy: {box: {}}, colour: RED) { ...A } } fragment A on Ball { colours { name } }")
    graphql("mutation { shopPaint(toy: {box: {}}) { __typename } }")
    counted = {key.field: times for key, (times, _) in mall.counter._counts.items() if key.operation == "shop.paint"}
    assert counted == {"": 2, "Ball.colours": 1, "colour": 1}
    graphql("mutation { ...M } fragment M on Mutation { shopPaint(toy: {box: {}}, colour: RED) { __typename } }")
    assert next(times for key, (times, _) in mall.counter._counts.items() if key.field == "colour") == 2


def test_what_a_document_uses_is_looked_for_once(mall: Mall) -> None:
    """A document that is kept is not walked again with every request."""
    made = schema(mall.versions.view(mall.catalogue, "2026-05-01"))
    document = parse('{ structureTree(channel: "books", levels: 1) { slug } }')
    operation = get_operation_ast(document)
    assert operation is not None
    first = used(made, document, operation)
    assert first == {"structureTree": ["levels"]}
    assert used(made, document, operation) is first
