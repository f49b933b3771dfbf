"""Changes of the same models in every order: each is followed at its own place, whatever comes before and behind it."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any, Literal

import pytest
from hypothesis import HealthCheck, given, settings
from pydantic import BaseModel, TypeAdapter
from pydantic_core import from_json, to_json

from mallcore.api.versions import Change, field
from mallcore.errors import InvalidChange
from mallcore.testing.payloads import shown
from tests.api.versions.declaring import changed, down, oldest, up


class Leaf(BaseModel):
    name: str
    kind: Literal["a", "b"] = "a"


class Node(BaseModel):
    name: str
    leaf: Leaf
    kids: list[Node] = []
    other: Leaf | Node | None = None
    count: int = 1


WAYS: dict[str, Callable[[str], type[Change]]] = {
    "values": lambda v: changed(Leaf, field("kind").had_values({"a": "x"}), version=v),
    "wrapped": lambda v: changed(Node, field("leaf").had_type(list[Leaf], up=lambda x: x[0] if x else {"name": ""},
                                                              down=lambda x: [x]), version=v),
    "moved": lambda v: changed(Node, field("leaf.name").was_at("label"), version=v),
    "leaves": lambda v: changed(Leaf, field("name").was_named("title"), version=v),
    "both": lambda v: changed((Leaf, Node), field("name").was_named("text"), version=v),
    "removed": lambda v: changed(Node, field("extra").existed(dict[str, Leaf], default={}), version=v),
    "children": lambda v: changed(Node, field("kids").was_named("children"), version=v),
}  # fmt: skip
NOT_ONE_AFTER_THE_OTHER = {
    *(("leaves", "both"), ("both", "leaves"), ("both", "moved"), ("leaves", "moved")),
    *(("wrapped", "moved"), ("moved", "wrapped")),
}
"""The second names what the first took away; where it was moved out, the function of the test makes no whole leaf."""


@pytest.mark.parametrize("ways", sorted(set(itertools.permutations(WAYS, 2)) - NOT_ONE_AFTER_THE_OTHER), ids="-".join)
def test_two_changes_in_either_order(ways: tuple[str, str]) -> None:
    """What is taken down is valid in the oldest version, and comes back as it was."""
    newer = WAYS[ways[0]]("2026-08-01")
    view = oldest(WAYS[ways[1]]("2026-05-01"), newer)
    older, newest = TypeAdapter[Any](view.shape(Node)), TypeAdapter(Node)

    @settings(max_examples=8, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(shown(Node))
    def comes_back(data: Any) -> None:
        taken = down(view, Node, data)
        older.validate_json(to_json(taken))
        again = newest.validate_json(to_json(up(view, Node, taken)))
        assert from_json(newest.dump_json(again)) == data

    comes_back()


def test_what_a_newer_change_took_away_can_not_be_named() -> None:
    """The older of two changes names what was there at its time; what was not is an error when they are in a row."""
    newer = WAYS["leaves"]("2026-08-01")
    older = WAYS["both"]("2026-05-01")
    with pytest.raises(InvalidChange, match="no field `name`"):
        oldest(older, newer)
    inside = WAYS["wrapped"]("2026-08-01")
    with pytest.raises(InvalidChange, match="no nested object"):
        oldest(WAYS["moved"]("2026-05-01"), inside)
