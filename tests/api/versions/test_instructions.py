"""Every instruction: the older declaration, both conversions, and what is refused where it is written."""

import enum
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field

from mallcore.api.versions import Change, field, fields
from mallcore.errors import InvalidChange
from mallcore.testing.changes import check_change
from tests.api.versions.declaring import changed, down, oldest, up


class Money(BaseModel):
    model_config = ConfigDict(extra="forbid")

    amount: int
    currency: str = "EUR"


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Line(BaseModel):
    """A line of a list of wishes."""

    model_config = ConfigDict(extra="forbid")

    id: str
    title: Annotated[str, Field(description="What it is.", max_length=20)]
    price: Money
    state: Literal["open", "done", "dropped"] = "open"
    quantity: int = Field(default=1, ge=0, le=999)
    note: str | None = None
    tags: list[Literal["new", "sale"]] = []
    colour: Colour = Colour.RED


FULL: dict[str, Any] = {
    "id": "l1",
    "title": "Lamp",
    "price": {"amount": 5, "currency": "EUR"},
    "state": "done",
    "quantity": 2,
    "note": None,
    "tags": ["sale"],
    "colour": "red",
}


def split_title(text: str) -> tuple[str, str]:
    first, _, rest = text.partition(" ")
    return first, rest


def join_title(first: str, rest: str) -> str:
    return f"{first} {rest}"


CASES = {
    "was_named": (
        field("title").was_named("name"),
        {**FULL},
        {"id": "l1", "name": "Lamp", **{k: v for k, v in FULL.items() if k not in ("id", "title")}},
    ),
    "was_named, to no Python name": (
        field("title").was_named("from"),
        {**FULL},
        {"id": "l1", "from": "Lamp", **{k: v for k, v in FULL.items() if k not in ("id", "title")}},
    ),
    "did_not_exist": (
        field("quantity").did_not_exist(),
        {**FULL},
        {k: v for k, v in FULL.items() if k != "quantity"},
    ),
    "existed": (field("weight").existed(int, default=7), {**FULL}, {**FULL, "weight": 7}),
    "existed, made of the others": (
        field("label").existed(str, down=lambda d: f"{d['title']}!"),
        {**FULL},
        {**FULL, "label": "Lamp!"},
    ),
    "had_type": (
        field("quantity").had_type(Annotated[str, Field(pattern="^[0-9]{1,3}$")], up=int, down=str),
        {**FULL},
        {**FULL, "quantity": "2"},
    ),
    "was_optional": (field("title").was_optional(default="?"), {**FULL}, {**FULL}),
    "was_required": (field("note").was_required(default=""), {**FULL}, {**FULL, "note": ""}),
    "had_default": (field("quantity").had_default(3), {**FULL}, {**FULL}),
    "had_values": (
        field("state").had_values({"done": "carried_out"}),
        {**FULL},
        {**FULL, "state": "carried_out"},
    ),
    "had_values in a list": (field("tags").had_values({"sale": "cheap"}), {**FULL}, {**FULL, "tags": ["cheap"]}),
    "had_values of an enum": (field("colour").had_values({"red": "crimson"}), {**FULL}, {**FULL, "colour": "crimson"}),
    "was_at, in a nested object": (
        field("quantity").was_at("price.quantity"),
        {**FULL},
        {**{k: v for k, v in FULL.items() if k != "quantity"}, "price": {**FULL["price"], "quantity": 2}},
    ),
    "was_at, outside of a nested object": (
        field("price.currency").was_at("currency"),
        {**FULL},
        {**FULL, "price": {"amount": 5}, "currency": "EUR"},
    ),
    "was_at, in an object that is gone": (
        field("quantity").was_at("stock.count"),
        {**FULL},
        {**{k: v for k, v in FULL.items() if k != "quantity"}, "stock": {"count": 2}},
    ),
    "was_split": (
        field("quantity").was_split(
            "tens",
            "ones",
            types=(Annotated[int, Field(ge=0, le=99)], Annotated[int, Field(ge=0, le=9)]),
            split=lambda n: divmod(n, 10),
            join=lambda tens, ones: 10 * (tens or 0) + (ones or 0),
        ),
        {**FULL},
        {**{k: v for k, v in FULL.items() if k not in ("quantity", "note", "tags", "colour")}, "tens": 0, "ones": 2,
         "note": None, "tags": ["sale"], "colour": "red"},
    ),
    "were_one": (
        fields("id", "title").were_one("label", str, split=lambda one: one.split("/", 1) if "/" in one else ("", one),
                                       join=lambda *parts: "/".join(parts)),
        {**FULL},
        {"label": "l1/Lamp", **{k: v for k, v in FULL.items() if k not in ("id", "title")}},
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_an_instruction_takes_data_down_and_up(case: tuple[Any, dict[str, Any], dict[str, Any]]) -> None:
    """Newer data come down in the older order of fields, are valid there, and come back as they were."""
    was, newer, older = case
    view = oldest(changed(Line, was))
    shown = down(view, Line, newer)
    assert list(shown.items()) == list(older.items())
    view.shape(Line).model_validate(shown)
    back = up(view, Line, shown)
    assert Line.model_validate(back)
    lost = {"quantity", "note"} if "did_not_exist" in str(was) or "Added" in repr(was) else {"note"}
    assert {k: v for k, v in back.items() if k not in lost} == {k: v for k, v in newer.items() if k not in lost}


@pytest.mark.parametrize("case", [name for name in CASES if name not in ("were_one",)])
def test_an_instruction_keeps_the_laws(case: str) -> None:
    """Whatever the data: valid in the older version, back again, and valid in the newest."""
    assert [said for _, kept, said in check_change(changed(Line, CASES[case][0])) if not kept] == []


def test_what_the_older_version_declares() -> None:
    """The shape of a version has its names, types, defaults and descriptions, and the model's own name."""
    shape = oldest(
        changed(
            Line,
            field("title").was_named("name"),
            field("quantity").had_default(3),
            field("note").was_required(default=""),
            field("state").had_values({"done": "carried_out"}),
        )
    ).shape(Line)
    schema = shape.model_json_schema()
    assert (shape.__name__, schema["description"]) == ("Line", "A line of a list of wishes.")
    assert schema["properties"]["name"] == {
        "description": "What it is.",
        "maxLength": 20,
        "title": "Name",
        "type": "string",
    }
    assert schema["properties"]["quantity"] == {
        "default": 3,
        "minimum": 0,
        "maximum": 999,
        "title": "Quantity",
        "type": "integer",
    }
    assert schema["properties"]["state"]["enum"] == ["open", "carried_out", "dropped"]
    assert schema["properties"]["note"] == {"title": "Note", "type": "string"}
    assert set(schema["required"]) == {"id", "name", "price", "note"}
    assert schema["additionalProperties"] is False


def test_older_defaults_reach_the_newest() -> None:
    """What an older caller leaves out means what it meant then."""
    view = oldest(changed(Line, field("quantity").had_default(3), field("title").was_optional(default="?")))
    given = {"id": "l1", "price": {"amount": 1}}
    assert up(view, Line, given) == {**given, "quantity": 3, "title": "?"}
    assert up(view, Line, {**given, "title": None, "quantity": 9}) == {**given, "quantity": 9, "title": "?"}


def test_a_default_is_nobody_elses() -> None:
    """A list that is given for what was left out can be changed by one without the other's seeing it."""
    view = oldest(changed(Line, field("tags").had_default(["new"])))
    first, second = up(view, Line, {"id": "1"}), up(view, Line, {"id": "2"})
    first["tags"].append("sale")
    assert second["tags"] == ["new"]


def test_several_changes_of_one_model_over_several_versions() -> None:
    """Each version sees its own names, and each change the names of its time."""
    third = changed(Line, field("title").was_named("label"), version="2026-11-01")
    second = changed(Line, field("label").had_type(list[str], up=" ".join, down=str.split), version="2026-08-01")
    first = changed(Line, field("label").was_named("name"), field("id").was_named("key"), version="2026-05-01")
    view = oldest(first, second, third)
    shown = down(view, Line, {**FULL, "title": "Old lamp"})
    assert (shown["key"], shown["name"]) == ("l1", ["Old", "lamp"])
    assert up(view, Line, shown) == {**FULL, "title": "Old lamp"}
    assert list(view.shape(Line).model_fields)[:2] == ["key", "name"]


def test_by_hand() -> None:
    """Functions of a change's own do all of it; its instructions then only tell the shape."""

    class PricesWereNumbers(Change):
        """Prices carry their currency."""

        version = "2026-11-01"
        touches = Line
        was = (field("price").had_type(int),)

        @staticmethod
        def up(d: dict[str, Any]) -> dict[str, Any]:
            return {**d, "price": {"amount": d["price"], "currency": "EUR"}}

        @staticmethod
        def down(d: dict[str, Any]) -> dict[str, Any]:
            return {**d, "price": d["price"]["amount"]}

        loses = ("price",)

    view = oldest(PricesWereNumbers)
    assert down(view, Line, FULL) == {**FULL, "price": 5}
    assert up(view, Line, {**FULL, "price": 5}) == FULL
    assert view.shape(Line).model_fields["price"].annotation is int
    assert all(kept for _, kept, _ in check_change(PricesWereNumbers))


WRONG: dict[str, tuple[dict[str, Any], str, str]] = {
    "no docstring": ({"__doc__": " "}, "__doc__", "say in a docstring"),
    "an unknown attribute": ({"example": []}, "example", "did you mean `examples`"),
    "a version that is no date": ({"version": "2026-13-01"}, "version", "write a date"),
    "nothing said": ({"was": []}, "was", "it says nothing"),
    "nothing touched": ({"touches": ()}, "touches", "say what the fields belong to"),
    "what can't be touched": ({"touches": int}, "touches", "neither a pydantic model nor an operation"),
    "a sentence that is not finished": ({"was": [field("title")]}, "was", "finish it"),
    "a field that is not there": ({"was": [field("titel").was_named("x")]}, "was", "did you mean `title`"),
    "up alone": ({"up": lambda d: d, "was": []}, "down", "write down"),
    "down alone": ({"down": lambda d: d, "was": []}, "up", "write up"),
    "up with two arguments": ({"up": lambda d, e: d, "down": lambda d: d}, "up", "one dict"),
    "an example that is no payload": ({"examples": ["x"]}, "examples", "dicts"),
    "a deprecated field that is not there": ({"deprecates": {"colr": "x"}}, "deprecates", "no field `colr`"),
}


@pytest.mark.parametrize("case", WRONG.values(), ids=WRONG)
def test_a_wrong_declaration_is_refused_where_it_is_written(case: tuple[dict[str, Any], str, str]) -> None:
    """The error names the class and the attribute, and says the way out."""
    body, attribute, way_out = case
    good = {"touches": Line, "was": [field("title").was_named("name")], "version": "2026-11-01", "__doc__": "Why."}
    with pytest.raises(InvalidChange) as caught:
        type(Change)("Wrong", (Change,), {**good, **body})
    assert (caught.value.change, caught.value.attribute) == ("Wrong", attribute)  # type: ignore[attr-defined]
    assert way_out in str(caught.value)


@pytest.mark.parametrize(
    ("was", "way_out"),
    [
        (field("title").was_named("note"), "has a field `note`, too"),
        (field("title").did_not_exist(), "did_not_exist(default="),
        (field("title").existed(str, default=""), "has a field `title`, too"),
        (field("weight").existed(int), "existed(…, default=…)"),
        (field("quantity").had_type(str, down=str), "had_type(…, up=…)"),
        (field("quantity").had_type(str, up=int), "had_type(…, down=…)"),
        (field("title").was_optional(), "was_optional(default=…)"),
        (field("note").was_required(), "was_required(default=…)"),
        (field("state").had_values({"gone": "x"}), "no value 'gone'"),
        (field("price.cent").was_at("cent"), "no field `cent`"),
        (field("title.x").was_at("y"), "no nested object"),
        (field("quantity").was_split("a", "b", split=lambda n: (n, n), join=lambda a, b: a), "older type"),
    ],
)
def test_an_instruction_that_lacks_something_is_refused(was: Any, way_out: str) -> None:
    """What can't be converted both ways is found before anything is served."""
    with pytest.raises(InvalidChange) as caught:
        oldest(changed(Line, was))
    assert way_out in str(caught.value)


def test_a_change_is_immutable() -> None:
    """Nothing can be said otherwise afterwards, and nothing makes instances."""
    one = changed(Line, field("title").was_named("name"))
    with pytest.raises(InvalidChange, match="immutable"):
        one.version = "2026-08-01"
    with pytest.raises(TypeError, match="declaration"):
        one()


def test_an_older_change_may_name_what_a_newer_one_took_away() -> None:
    """The names of a change are those of its time."""
    newer = changed(Line, field("title").was_named("label"), version="2026-11-01")
    older = changed(Line, field("label").was_named("name"), version="2026-08-01")
    assert down(oldest(older, newer), Line, FULL)["name"] == "Lamp"
