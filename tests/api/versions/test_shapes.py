"""Shapes are real models: same name, same schema where nothing changed, and validators where they still fit."""

from __future__ import annotations

import inspect
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, computed_field, field_validator

from mallcore import access, attachments, audit, structure
from mallcore.api.versions import field
from mallcore.api.versions.chain import made_model
from mallcore.api.versions.members import state_of
from mallcore.kernel.operations import Catalogue, Operation, operation
from mallcore.kernel.paging import Page
from tests.api.versions.declaring import changed, oldest


class Item(BaseModel):
    """Something."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    code: Annotated[str, Field(min_length=2, pattern="^[a-z]+$")]
    size: int = 3
    secret: str = Field(default="", alias="hidden")

    @field_validator("size")
    @classmethod
    def even(cls, value: int) -> int:
        if value % 2 == 0:
            raise ValueError("even")
        return value

    @computed_field  # type: ignore[prop-decorator]
    @property
    def doubled(self) -> int:
        return self.size * 2


class Box(BaseModel):
    """Holds items."""

    items: list[Item]
    first: Item | None = None
    kind: Literal["box"] = "box"

    @field_validator("kind")
    @classmethod
    def fine(cls, value: str) -> str:
        return value


CODE = changed(Item, field("code").was_named("key"))


def test_a_shape_refuses_what_the_model_refused() -> None:
    """Constraints move with a renamed field; configuration and validators of untouched fields stay."""
    shape = oldest(CODE).shape(Item)
    assert shape.model_validate({"key": "ab"}).key == "ab"
    for wrong in ({"key": "a"}, {"key": "AB"}, {"code": "ab"}, {"key": "ab", "size": 2}, {"key": "ab", "x": 1}):
        with pytest.raises(ValidationError):
            shape.model_validate(wrong)


def test_what_is_computed_is_shown() -> None:
    """A computed field is part of an older shape's schema, and is not asked for."""
    view = oldest(CODE)
    schema = view.shape(Item).model_json_schema()
    assert schema["properties"]["doubled"]["readOnly"] is True
    assert "doubled" not in schema["required"]
    convert = view.down(Item)
    assert convert is not None
    shown = convert(Item(code="ab").model_dump(mode="json"))
    assert shown == {"key": "ab", "size": 3, "secret": "", "doubled": 6}
    back = view.up(Item)
    assert back is not None
    assert back({"key": "ab", "doubled": 6}) == {"code": "ab"}


def test_what_only_holds_something_touched_stays_itself() -> None:
    """The shape of a container is a subclass of it: validators, name, docstring and the order of fields are its own."""
    shape = oldest(CODE).shape(Box)
    assert issubclass(shape, Box)
    assert (shape.__name__, shape.__doc__, list(shape.model_fields)) == ("Box", "Holds items.", [*Box.model_fields])
    assert shape.model_validate({"items": [{"key": "ab"}]}).items[0].key == "ab"


@pytest.mark.parametrize("mode", ["validation", "serialization"])
def test_the_schema_of_a_page_names_the_shape(mode: Any) -> None:
    """A page of touched items is a page of their shapes, under the names they have in the newest version."""
    new = TypeAdapter(Page[Item]).json_schema(mode=mode)
    old = TypeAdapter(oldest(CODE).shape(Page[Item])).json_schema(mode=mode)
    assert old["title"] == new["title"]
    assert old["$defs"].keys() == new["$defs"].keys() == {"Item"}
    assert "key" in old["$defs"]["Item"]["properties"]


def test_a_shape_is_made_once() -> None:
    """The same type in the same version has the same shape; versions between which nothing happened share it."""
    view = oldest(CODE)
    assert view.shape(Item) is view.shape(Item)
    assert view.shape(Box).model_fields["items"].annotation == list[view.shape(Item)]
    assert view.shape(list[Item]) == list[view.shape(Item)]


@operation(permission=None, name="shop.add")
def add(ctx: Any, *, item: Item, times: int = 1, note: str | None = None) -> list[Item]:
    """Add an item."""
    return [item] * times


ADD: Operation = add.operation  # type: ignore[attr-defined]


def test_parameters_of_an_operation() -> None:
    """What touches an operation touches its parameters, and what they hold is touched with it."""
    times = changed(add, field("times").was_named("count"), field("note").was_required(), version="2026-08-01")
    face = oldest(times, CODE, operations=[ADD]).faces["shop.add"]
    assert list(face.input.model_fields) == ["item", "count", "note"]
    assert face.input.__name__ == ADD.input.__name__
    assert face.names == {"times": "count"}
    assert face.up is not None
    assert face.up({"item": {"key": "ab"}, "count": 2, "note": "x"}) == {
        "item": {"code": "ab"}, "times": 2, "note": "x"}  # fmt: skip
    assert face.down is not None
    assert face.down([{"code": "ab", "size": 3}]) == [{"key": "ab", "size": 3}]
    assert set(face.deprecated) == {"count", "Item.key"}


def mall_models() -> list[type[BaseModel]]:
    catalogue = Catalogue.of(structure, access, attachments, audit)
    inputs = [one.input for one in catalogue.values()]
    return inputs + [one for package in (structure, access, attachments, audit) for one in vars(package).values()
                     if inspect.isclass(one) and issubclass(one, BaseModel)]  # fmt: skip


def test_a_model_that_is_made_again_is_the_same() -> None:
    """What is read of a model's fields is all there is to say of them: every model of the mall shows it."""
    different = []
    for model in mall_models():
        try:
            wanted = model.model_json_schema()
        except Exception:  # bytes and streams have none
            continue
        made = made_model(model, {name: (one.annotation, one) for name, one in state_of(model).items()})
        if made.model_json_schema() != wanted and model.__name__ not in wanted.get("$defs", {}):
            different.append(model.__name__)
    assert different == []
