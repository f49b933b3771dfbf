"""A plug-in's versions over HTTP: both are served side by side, and what is wrong is told in the caller's words."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, Field

from mallcore import Mall, hookimpl
from mallcore.api import Dispatch
from mallcore.api.versions import Change, Release, field, fields
from mallcore.api.versions import operation as saying
from mallcore.errors import InvalidChange, InvalidInput, InvalidSettings
from mallcore.kernel.operations import Rest, operation
from tests.adapters.faces import authenticate
from tests.api.conftest import Asking
from tests.api.versions.declaring import changed


class Part(BaseModel):
    title: str


class Parcel(BaseModel):
    low: Annotated[int, Field(ge=0)]
    high: int
    parts: list[Part] = []


@operation(permission=None, name="parcels.add", kind="command", rest=Rest("POST", "/parcels/{size}", 201))
def add(
    ctx: Any,
    *,
    size: Annotated[int, Field(ge=1)],
    parcel: Parcel,
    note: str | None = None,
    idempotency_key: str | None = None,
) -> Parcel:
    """Add a parcel."""
    if size > 99:
        raise InvalidInput("Too heavy.", field="size", reason="too heavy", problems=[{"field": "size", "reason": "-"}])
    return parcel


def bounds(text: str) -> tuple[int, int]:
    if text == "none":
        raise LookupError("a secret of the code")
    low, _, high = text.rpartition("-")
    return int(low), int(high)


CHANGES = [
    changed(Parcel, fields("low", "high").were_one("span", str, split=bounds, join=lambda a, b: f"{a}-{b}"),
            version="2026-11-01"),
    changed(Part, field("title").was_named("name"), version="2026-08-01"),
    changed(add, field("size").was_named("weight"), field("note").was_required(),
            field("idempotency_key").was_named("once"), version="2026-08-01"),
]  # fmt: skip


class Parcels:
    @hookimpl
    def operations_extra(self) -> list[Any]:
        return [add]

    @hookimpl
    def changes_extra(self) -> list[type[Change]]:
        return CHANGES

    @hookimpl
    def releases_extra(self) -> list[Release]:
        return [Release("2099-01-01")]


@pytest.fixture(scope="module")
def asking() -> Iterator[Asking]:
    with Mall.open("sqlite://", plugins=[Parcels()]) as mall:
        yield Asking(Dispatch(mall, authenticate))


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/2099-01-01/parcels/3", {"parcel": {"low": 1, "high": 2, "parts": [{"title": "a"}]}}),
        ("/2026-11-01/parcels/3", {"parcel": {"low": 1, "high": 2, "parts": [{"title": "a"}]}}),
        ("/2026-08-01/parcels/3", {"parcel": {"span": "1-2", "parts": [{"title": "a"}]}}),
        ("/2026-05-01/parcels/3", {"parcel": {"span": "1-2", "parts": [{"name": "a"}]}, "note": "x"}),
    ],
)
def test_each_version_takes_and_gives_its_own_shape(asking: Asking, path: str, body: Any) -> None:
    """What was sent comes back in the version it was sent in."""
    response = asking("POST", path, body)
    assert (response.status, json.loads(response.body)) == (201, body["parcel"])


@pytest.mark.parametrize(
    ("path", "body", "named"),
    [
        ("/2026-05-01/parcels/0", {"parcel": {"span": "1-2"}, "note": "x"}, "weight"),
        ("/2026-05-01/parcels/3", {"parcel": {"span": "1-2"}}, "note"),
        ("/2026-08-01/parcels/3", {"parcel": {"low": 1, "high": 2}}, "parcel.span"),
        ("/2026-11-01/parcels/3", {"parcel": {"span": "1-2"}}, "parcel.low"),
        ("/2026-08-01/parcels/3", {"parcel": {"span": "one"}}, "input"),
        ("/2026-08-01/parcels/3", {"parcel": {"span": "-1-2"}}, "parcel"),
    ],
)
def test_what_is_wrong_is_told_in_the_callers_words(asking: Asking, path: str, body: Any, named: str) -> None:
    """A payload of another version is refused, by the name the caller gave; so is what a change can't read."""
    response = asking("POST", path, body)
    problem = json.loads(response.body)
    assert (response.status, problem["code"], problem["field"]) == (422, "invalid-input", named)


def test_headers_mean_the_same_whatever_the_version_calls_it(asking: Asking) -> None:
    """A key is known again across versions, though one of them calls its parameter otherwise."""
    new, old = {"low": 7, "high": 8, "parts": []}, {"span": "7-8", "parts": []}
    first = asking("POST", "/2026-05-01/parcels/3", {"parcel": old, "note": "x"}, idempotency_key="again")
    second = asking("POST", "/2026-11-01/parcels/3", {"parcel": new, "note": "x"}, idempotency_key="again")
    assert (first.status, json.loads(first.body)) == (201, old)
    assert (second.status, json.loads(second.body), second.header("idempotency-replayed")) == (201, new, "true")


def test_what_a_change_stumbles_over_is_not_shown(asking: Asking) -> None:
    """An error of a change's own code says nothing to its caller, and names no part of the code."""
    response = asking("POST", "/2026-08-01/parcels/3", {"parcel": {"span": "none"}})
    assert json.loads(response.body)["reason"] == "it can't be read in this version"


@pytest.mark.parametrize(
    ("version", "named", "more"), [("2026-08-01", "size", {}), ("2026-05-01", "weight", {"note": "x"})]
)
def test_what_an_operation_itself_refuses_is_told_in_the_callers_words(
    asking: Asking, version: str, named: str, more: Any
) -> None:
    """An operation knows its newest parameters alone; its message stays as it wrote it."""
    response = asking("POST", f"/{version}/parcels/100", {"parcel": {"span": "1-2"}, **more})
    problem = json.loads(response.body)
    assert (response.status, problem["field"], problem["problems"][0]["field"]) == (422, named, named)
    assert problem["detail"] == "Too heavy."


@operation(permission=None, name="parcels.find", rest=Rest("GET", "/parcels/{size}"))
def find(ctx: Any, *, size: int) -> Parcel:
    """Find a parcel."""
    return Parcel(low=size, high=size)


@operation(permission=None, name="parcels.shadow", rest=Rest("GET", "/channels/{name}"))
def shadow(ctx: Any, *, name: str) -> Parcel:
    """Answer where a channel is."""
    return Parcel(low=1, high=1)


MOVED = changed((), saying("parcels.find").was_at("GET", "/channels/{size}"), version="2026-11-01")
NOWHERE = changed((), saying("parcels.find").was_at("GET", "/parcels/{weight}"), version="2026-11-01")


@pytest.mark.parametrize(
    ("operations", "changes", "releases", "reason"),
    [
        ([shadow], [], [], r"both answer GET /channels/{\w+} in version 2026-11-01"),
        ([find], [MOVED], [], r"both answer GET /channels/{\w+} in version 2026-08-01"),
        ([find], [NOWHERE], [], "no parameter `{weight}`"),
        ([print], [], [], "operations_extra returned <built-in function print>, which does not fit"),
        (find, [], [], "operations_extra returned <function find .*: return a list"),
        ([], MOVED, [], "changes_extra returned .*: return a list"),
        ([], [Change], [], "changes_extra returned .*, which does not fit"),
        ([], [], ["2099-01-01"], "releases_extra returned '2099-01-01', which does not fit"),
    ],
)
def test_what_does_not_fit_together_is_found_on_opening(
    operations: Any, changes: Any, releases: Any, reason: str
) -> None:
    """No operation takes the place of another in any version, and what is nonsense is shown."""

    class Odd:
        @hookimpl
        def operations_extra(self) -> Any:
            return operations

        @hookimpl
        def changes_extra(self) -> Any:
            return changes

        @hookimpl
        def releases_extra(self) -> Any:
            return releases

    with pytest.raises((InvalidChange, InvalidSettings), match=reason):
        Mall.open("sqlite://", plugins=[Odd()])


def test_an_operation_that_is_gone_is_given_as_it_was() -> None:
    """What is no operation of that name can't be what older callers reach."""
    for wrong in (print, find):
        with pytest.raises(InvalidChange, match="no operation of that name"):
            saying("parcels.lost").existed(wrong)
