"""A change that breaks a law is found, with the smallest counterexample; so is one of a plug-in's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, ClassVar

import pytest
from pydantic import BaseModel, Field

from mallcore.api.versions import Change, field
from mallcore.errors import BrokenLaw
from mallcore.kernel.operations import operation as declared
from mallcore.testing import ChangeContract, check_change
from mallcore.testing.changes import prove
from tests.api.versions.declaring import changed


class Wish(BaseModel):
    """A plug-in's model."""

    title: str
    times: int
    price: Annotated[int, Field(ge=0)] | None = None


@declared(permission=None, name="wishes.add")
def add(ctx: Any, *, wish: Wish, quickly: bool = False) -> Wish:
    """Add a wish."""
    return wish


def lost(text: str) -> str:
    return text[:3]


BREAKERS: dict[str, tuple[type[Change], str, Any]] = {
    "what comes back is another": (
        changed(Wish, field("title").had_type(str, up=str, down=lost)),
        "comes back",
        {"title": "0000", "times": 0, "price": None},
    ),
    "what is shown is not valid": (
        changed(Wish, field("times").had_type(Annotated[int, Field(le=99)], up=int, down=int)),
        "valid in the older",
        {"title": "", "times": 100, "price": None},
    ),
    "what is given is not understood": (
        changed(Wish, field("times").had_type(str, up=int, down=str)),
        "valid in the newest",
        {"title": "", "times": ""},
    ),
    "it raises": (
        changed(Wish, field("times").had_type(float, up=int, down=lambda n: 1 / n)),
        "valid in the older",
        {"title": "", "times": 0, "price": None},
    ),
    "an example that is none": (
        changed(Wish, field("title").was_named("name"), examples=[{"title": "new", "times": 1}]),
        "examples",
        {"title": "new", "times": 1},
    ),
}


@pytest.mark.parametrize("case", BREAKERS.values(), ids=BREAKERS)
def test_a_change_that_breaks_a_law_is_found(case: tuple[type[Change], str, Any]) -> None:
    """The error is typed, names the law, and shows the smallest payload for which it does not hold."""
    change, law, smallest = case
    with pytest.raises(BrokenLaw) as caught:
        prove(change)
    assert law in str(caught.value)
    assert caught.value.example == smallest  # type: ignore[attr-defined]
    assert "Wish" in str(caught.value)
    assert any(not kept for _, kept, _ in check_change(change))


def test_a_change_that_spoils_what_it_is_given_is_found() -> None:
    """Conversions are pure."""

    def spoil(d: dict[str, Any]) -> dict[str, Any]:
        d["tags"].append("x")
        return d

    class Tagged(BaseModel):
        tags: list[str]

    body = {"__doc__": "x", "version": "2026-11-01", "touches": Tagged, "up": spoil, "down": dict}
    change: type[Change] = type(Change)("Spoils", (Change,), body)
    report = {name: kept for name, kept, _ in check_change(change)}
    assert report["conversions_only_look"] is False


WISHES_HAVE_TITLES = changed(Wish, field("title").was_named("name"), examples=[{"name": "A lamp", "times": 1}])
WISHES_ARE_QUICK = changed(add, field("quickly").did_not_exist(), field("wish").was_named("what"),
                           examples=[{"what": {"title": "A lamp", "times": 1}}])  # fmt: skip


class TestAPlugInsChanges(ChangeContract):
    """Changes of a model and of an operation that are not ours."""

    operations: ClassVar[tuple[Callable[..., Any], ...]] = (add,)

    @pytest.fixture(params=[WISHES_HAVE_TITLES, WISHES_ARE_QUICK], ids=["model", "operation"])
    def change(self, request: pytest.FixtureRequest) -> type[Change]:
        found: type[Change] = request.param
        return found


def test_the_contract_can_not_be_muted() -> None:
    """A law that is rewritten is refused; one that is excused needs a name that there is."""
    with pytest.raises(TypeError, match="replaces"):
        type("Muted", (ChangeContract,), {"test_conversions_only_look": lambda self: None})
    with pytest.raises(TypeError, match="unknown promises"):
        type("Excused", (ChangeContract,), {"excused": {"test_nothing": "because"}})
