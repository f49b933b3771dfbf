"""The differ and graphql-core, asked the same: what one calls harmless the other does, where both can see it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from itertools import pairwise
from typing import Any, Literal

import pytest
from pydantic import BaseModel

from mallcore import Mall
from mallcore.api.contracts import breaking, contract_of, differences
from mallcore.api.contracts.graphql import graphql_differences
from mallcore.api.versions import View
from mallcore.kernel.context import Context
from mallcore.kernel.operations import Rest, operation
from tests.api.contracts.shop import VERSIONS, catalogue

pytest.importorskip("graphql")
GET = operation(permission=None, rest=Rest("GET", "/thing"), name="shop.thing")


def view(function: Callable[..., Any]) -> View:
    """An API of one operation."""
    return View(catalogue(GET(function)))


def opinions(old: View, new: View) -> tuple[bool, bool]:
    """Whether something breaks, by the differ and by graphql-core."""
    ours = breaking(differences(contract_of(old), contract_of(new)))
    return bool(ours), any(one.level == "breaking" for one in graphql_differences(old, new))


def shown(name: str, **fields: Any) -> Callable[..., Any]:
    """An operation that shows a shape with these fields."""
    model = type(name, (BaseModel,), {"__annotations__": fields, "__module__": __name__})

    def thing(ctx: Context) -> Any: ...

    thing.__annotations__["return"] = model
    return thing


def taken(**parameters: Any) -> Callable[..., Any]:
    """An operation that takes these parameters: a type, or a type and its default."""
    defaults = {name: one[1] for name, one in parameters.items() if isinstance(one, tuple)}
    kinds = {name: one[0] if isinstance(one, tuple) else one for name, one in parameters.items()}

    def thing(ctx: Context, **given: Any) -> str: ...

    made = [inspect.Parameter("ctx", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=Context)]
    made += [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=kind,
                          default=defaults.get(name, inspect.Parameter.empty))
        for name, kind in kinds.items()
    ]  # fmt: skip
    thing.__signature__ = inspect.Signature(made, return_annotation=str)  # type: ignore[attr-defined]
    thing.__annotations__ = {"ctx": Context, **kinds, "return": str}
    return thing


BOTH: dict[str, tuple[Any, Any, bool]] = {
    "a field is new": (shown("Thing", a=str), shown("Thing", a=str, b=int), False),
    "a field is gone": (shown("Thing", a=str, b=int), shown("Thing", a=str), True),
    "a field has another type": (shown("Thing", a=str), shown("Thing", a=int), True),
    "a field may be null": (shown("Thing", a=str), shown("Thing", a=str | None), True),
    "a field is never null": (shown("Thing", a=str | None), shown("Thing", a=str), False),
    "a list where one was": (shown("Thing", a=str), shown("Thing", a=list[str]), True),
    "a value may be shown": (
        shown("Thing", a=Literal["x", "y"]),
        shown("Thing", a=Literal["x", "y", "z"]),
        False,
    ),
    "a parameter is new": (taken(a=str), taken(a=str, b=(str, "")), False),
    "a parameter is gone": (taken(a=str, b=(str, "")), taken(a=str), True),
    "a parameter may be left out": (taken(a=str), taken(a=(str, "")), False),
    "another parameter must be given": (taken(a=str), taken(a=str, b=str), True),
    "a parameter has another type": (taken(a=str), taken(a=int), True),
    "a value is not taken": (taken(a=Literal["x", "y"]), taken(a=Literal["x"]), True),
    "a value is taken, too": (taken(a=Literal["x"]), taken(a=Literal["x", "y"]), False),
}


@pytest.mark.parametrize("case", BOTH)
def test_both_say_the_same(case: str) -> None:
    """Where GraphQL can see a difference, both judge it alike."""
    old, new, breaks = BOTH[case]
    assert opinions(view(old), view(new)) == (breaks, breaks)


ONLY_OURS: dict[str, tuple[Any, Any]] = {
    "a parameter must be given": (taken(a=(str, "")), taken(a=str)),  # to graphql-core it only lost its default
    "a default is another": (taken(a=(str, "x")), taken(a=(str, "y"))),
}


@pytest.mark.parametrize("case", ONLY_OURS)
def test_what_only_the_differ_calls_breaking(case: str) -> None:
    """What GraphQL takes for dangerous, or does not see, the differ still calls breaking."""
    old, new = ONLY_OURS[case]
    assert opinions(view(old), view(new)) == (True, False)


def test_versions_that_differ_break_both_faces() -> None:
    """Between versions with declared changes both find what breaks; of a version and itself neither finds anything."""
    seen = {version: VERSIONS.view(catalogue(), version) for version in VERSIONS.names}
    assert opinions(seen["2026-01-01"], seen["2026-05-01"]) == (True, True)
    assert opinions(seen["2026-01-01"], seen["2026-03-01"]) == (False, False)
    for one in seen.values():
        assert graphql_differences(one, one) == []


def test_our_own_versions_are_judged_alike() -> None:
    """From each of mallcore's versions to the next: where the differ finds nothing breaking, neither does GraphQL."""
    with Mall.open("sqlite://", follow=False) as mall:
        names = mall.versions.names[::-1]
        for older, newer in pairwise(names):
            views = [mall.versions.view(mall.catalogue, name) for name in (older, newer)]
            ours, graphql = opinions(*views)
            assert ours or not graphql, graphql_differences(*views)
