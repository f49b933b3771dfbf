"""Plans reach whatever holds something touched, look at nothing else, and say the same whole and step by step."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given, settings
from pydantic import BaseModel, ConfigDict, Field, RootModel

from mallcore.api.versions import View, field
from mallcore.api.versions.programs import program, step_by_step
from mallcore.kernel.paging import Page
from mallcore.testing.payloads import shown
from tests.api.versions.declaring import changed, down, oldest, up


class Leaf(BaseModel):
    name: str


class Other(BaseModel):
    name: str
    size: int


class Named(Leaf):
    """Inherits what changes."""

    more: int = 0


class Branch(BaseModel):
    leaf: Leaf
    leaves: list[Leaf] = []
    by_name: dict[str, Leaf] = {}
    pair: tuple[Leaf, int] | None = None
    many: tuple[Leaf, ...] = ()
    deep: dict[str, list[Leaf | None]] = {}
    either: Leaf | Other | str | None = None
    anything: Any = None
    others: Sequence[Mapping[str, Leaf]] = []


class Tree(BaseModel):
    name: str
    children: list[Tree] = []
    parent: Tree | None = None


class Cat(BaseModel):
    kind: Literal["cat"] = "cat"
    name: str


class Dog(BaseModel):
    kind: Literal["dog"] = "dog"
    name: str
    tail: Leaf | None = None


Animal = Annotated[Cat | Dog, Field(discriminator="kind")]


class Zoo(BaseModel):
    model_config = ConfigDict(frozen=True)

    animals: list[Animal]
    star: Animal | None = None


class Leaves(RootModel[list[Leaf]]):
    """A list with a name."""


RENAMED = changed(Leaf, field("name").was_named("title"))
OLD, NEW = {"title": "a"}, {"name": "a"}


@pytest.mark.parametrize(
    ("kind", "new", "old"),
    [
        (Leaf, NEW, OLD),
        (Named, {**NEW, "more": 1}, {**OLD, "more": 1}),
        (list[Leaf], [NEW, NEW], [OLD, OLD]),
        (dict[str, Leaf], {"name": NEW}, {"name": OLD}),
        (tuple[int, Leaf], [1, NEW], [1, OLD]),
        (tuple[Leaf, ...], [NEW, NEW], [OLD, OLD]),
        (Leaf | None, NEW, OLD),
        (Leaf | None, None, None),
        (Annotated[list[Annotated[Leaf, "x"]], Field(max_length=3)], [NEW], [OLD]),
        (Page[Leaf], {"items": [NEW], "next": None}, {"items": [OLD], "next": None}),
        (list[dict[str, list[Leaf | None]]], [{"a": [NEW, None]}], [{"a": [OLD, None]}]),
        (Leaf | Other, {"name": "a", "size": 1}, {"name": "a", "size": 1}),
        (Leaf | Other | list[Leaf], [NEW], [OLD]),
        (Leaf | str, "name", "name"),
        (Leaves, [NEW], [OLD]),
        (
            Branch,
            {
                "leaf": NEW,
                "leaves": [NEW],
                "by_name": {"x": NEW},
                "pair": [NEW, 1],
                "many": [NEW],
                "deep": {"x": [NEW, None]},
                "either": NEW,
                "anything": NEW,
                "others": [{"y": NEW}],
            },
            {
                "leaf": OLD,
                "leaves": [OLD],
                "by_name": {"x": OLD},
                "pair": [OLD, 1],
                "many": [OLD],
                "deep": {"x": [OLD, None]},
                "either": OLD,
                "anything": NEW,
                "others": [{"y": OLD}],
            },
        ),
    ],
)
def test_a_change_reaches_what_is_nested(kind: Any, new: Any, old: Any) -> None:
    """In lists, dicts, tuples, unions, pages and subclasses; not in what may be anything."""
    view, before = oldest(RENAMED), deepcopy(new)
    assert down(view, kind, new) == old
    assert up(view, kind, old) == new
    assert new == before


def test_a_recursive_model_is_walked_to_the_end() -> None:
    """A tree is converted at every depth, and its shape is a tree of shapes."""
    view = oldest(changed(Tree, field("name").was_named("title")))
    deep: dict[str, Any] = {"name": "0", "children": [], "parent": None}
    for number in range(1, 50):
        deep = {"name": str(number), "children": [deep, deep] if number < 4 else [deep], "parent": None}
    text = str(deep).replace("'name'", "'title'")
    assert str(down(view, Tree, deep)) == text
    shape = view.shape(Tree)
    assert shape.model_fields["children"].annotation == list[shape]
    assert shape.model_validate(down(view, Tree, deep)).children[0].title == "48"


def test_a_union_is_decided_by_what_names_its_branch() -> None:
    """The discriminator counts, under the name and with the values it has in the version the data are of."""
    told = changed((Cat, Dog), field("kind").was_named("type"), version="2026-08-01")
    called = changed(Dog, field("name").was_named("title"), field("kind").had_values({"dog": "hound"}))
    view = oldest(told, called)
    new = {
        "animals": [{"kind": "cat", "name": "Tom"}, {"kind": "dog", "name": "Rex", "tail": None}],
        "star": {"kind": "dog", "name": "Bo", "tail": {"name": "t"}},
    }
    old = {
        "animals": [{"type": "cat", "name": "Tom"}, {"type": "hound", "title": "Rex", "tail": None}],
        "star": {"type": "hound", "title": "Bo", "tail": {"name": "t"}},
    }
    assert down(view, Zoo, new) == old
    assert up(view, Zoo, old) == new
    shape = view.shape(Zoo)
    assert shape.model_validate(old).star.title == "Bo"
    assert shape.model_json_schema()["properties"]["animals"]["items"]["discriminator"]["propertyName"] == "type"


def test_what_names_a_branch_may_be_left_out() -> None:
    """Where its value is clear without, the members that are there decide."""

    class Home(BaseModel):
        pet: Cat | Dog

    view = oldest(changed(Dog, field("tail").was_named("end")))
    assert up(view, Home, {"pet": {"name": "Rex", "end": None}}) == {"pet": {"name": "Rex", "tail": None}}
    assert up(view, Home, {"pet": {"name": "Tom"}}) == {"pet": {"name": "Tom"}}


def test_a_type_that_was_another_is_walked_on_both_sides() -> None:
    """A value is taken to the place of the change by its newer type, and on from there by its older one."""

    class Shelf(BaseModel):
        content: Leaf

    wrapped = changed(Shelf, field("content").had_type(list[Leaf], up=lambda x: x[0], down=lambda x: [x]),
                      version="2026-08-01")  # fmt: skip
    early = changed(Leaf, field("title").was_named("label"), version="2026-05-01")
    view = oldest(early, wrapped, RENAMED)
    assert down(view, Shelf, {"content": {"name": "a"}}) == {"content": [{"label": "a"}]}
    assert up(view, Shelf, {"content": [{"label": "a"}]}) == {"content": {"name": "a"}}


def test_what_is_not_touched_has_no_plan_and_is_the_same_object() -> None:
    """Nothing is done for a type that holds nothing touched, nor in the newest version."""
    view = oldest(RENAMED)
    for kind in (Other, Page[Other], Zoo.model_fields["star"].annotation, int, list[int], Any):
        wanted = kind is Zoo.model_fields["star"].annotation
        assert (view.down(kind) is None) is not wanted
        assert (view.shape(kind) is kind) is not wanted
    assert view.down(Branch) is view.down(Branch)


class Wide(BaseModel):
    a: int
    b: str | None = None
    c: list[Leaf] = []
    d: Literal["x", "y"] = "x"
    e: Other


WIDE = changed(
    Wide,
    field("a").was_named("aa"),
    field("b").was_required(default="none"),
    field("d").had_values({"x": "ex"}),
    field("e.size").was_at("size"),
    field("f").existed(int, default=1),
)


@settings(max_examples=60, deadline=None)
@given(shown(Wide))
def test_whole_and_step_by_step_say_the_same(data: Any) -> None:
    """The function that is written for whole data and the steps one by one agree, on order, too."""
    view = oldest(RENAMED, WIDE)
    written = down(view, Wide, data)
    extra = down(view, Wide, {**data, "unknown": 1})  # not what was expected: step by step
    assert list(extra.items()) == [*written.items(), ("unknown", 1)]


def test_what_is_missing_stays_missing() -> None:
    """Data that lack something come through as far as they go; what is no object is left alone."""
    view = oldest(RENAMED, WIDE)
    assert down(view, Wide, {"a": 1}) == {"aa": 1, "b": "none", "f": 1}
    assert up(view, Wide, {"aa": 1}) == {"a": 1}
    assert down(view, Wide, "no object") == "no object"
    assert down(view, Wide, [1]) == [1]


def test_a_program_of_nothing_orders_keys() -> None:
    """Both forms give the keys in the order they were told."""
    for make in (program([], ["b", "a"], ["a", "b"]), step_by_step([], ["a", "b"])):
        assert list(make({"b": 1, "a": 2})) == ["a", "b"]


def test_threads_that_ask_at_once_get_what_is_whole() -> None:
    """A plan and a shape of a recursive model are shown to other threads only when they are whole."""
    for _ in range(10):
        view = oldest(changed(Tree, field("name").was_named("title")))
        data = {"name": "a", "children": [{"name": "b", "children": [], "parent": None}], "parent": None}
        wanted = str(data).replace("'name'", "'title'")
        ready = threading.Barrier(8)

        def ask(_: int, view: View = view, ready: threading.Barrier = ready, data: Any = data) -> tuple[str, str]:
            ready.wait()
            shown = down(view, Tree, data)
            return str(shown), view.shape(Tree).model_validate(shown).children[0].title

        with ThreadPoolExecutor(8) as pool:
            assert set(pool.map(ask, range(8))) == {(wanted, "b")}
