"""The differ, rule by rule: the smallest pair that shows each, and pairs that show how they work together."""

from __future__ import annotations

from typing import Any

import pytest

from mallcore.api.rules.differing import RULES, breaking, differences, worst
from tests.api.contracts.pairs import (
    HIRE,
    NULL,
    NUMBER,
    PAIRS,
    TEXT,
    contract,
    either,
    record,
    shape,
)


def found(old: dict[str, Any], new: dict[str, Any]) -> list[tuple[str, str]]:
    return [(one.rule, one.where) for one in differences(old, new)]


def between(part: str, old: Any, new: Any, schemas: Any = ({}, {})) -> list[tuple[str, str]]:
    """What differs when a part of the operation was this, and is that; without the operation's name."""
    pair = (contract({**HIRE, part: one}, schemas=some) for one, some in zip((old, new), schemas, strict=True))
    return [(rule, where.partition(" ")[2]) for rule, where in found(*pair)]


def test_every_rule_is_tried_here() -> None:
    """There is a pair of contracts for each rule."""
    assert sorted(PAIRS) == sorted(RULES)


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_is_found_and_nothing_else(rule: str) -> None:
    """The smallest pair that shows a rule shows that rule alone, at the rule's level and with its advice."""
    (one,) = differences(*PAIRS[rule])
    assert (one.rule, one.level, one.sentence) == (rule, RULES[rule].level, RULES[rule].sentence)
    assert one.where.startswith("shop.hire")
    assert bool(one.advice) is (one.level != "additive")


@pytest.mark.parametrize("rule", RULES)
def test_a_contract_differs_in_nothing_from_itself(rule: str) -> None:
    """The same contract twice has no difference."""
    for one in PAIRS[rule]:
        assert differences(one, one) == []


def test_what_is_harmless_in_a_request_hurts_in_a_response() -> None:
    """The same two shapes are judged by who sends and who reads."""
    wider = (TEXT, either(TEXT, NULL))
    assert [RULES[rule].level for rule, _ in between("input", *wider)] == ["additive"]
    assert [RULES[rule].level for rule, _ in between("output", *wider)] == ["breaking"]
    assert [RULES[rule].level for rule, _ in between("input", *reversed(wider))] == ["breaking"]
    assert [RULES[rule].level for rule, _ in between("output", *reversed(wider))] == ["additive"]


def test_places_are_named_to_the_field() -> None:
    """A difference deep inside says where it is: fields, items of lists, values of maps."""
    old, new = ({"items": record({"prices": record({}, additionalProperties=record({"net": one}))}), "type": "array"}
                for one in (NUMBER, TEXT))  # fmt: skip
    assert between("output", old, new) == [("response-type-changed", "output[].prices{}.net")]


def test_references_are_followed() -> None:
    """What stands behind a name counts, not the name."""
    old, new = {"$ref": "#/schemas/Shop"}, {"$ref": "#/schemas/Store"}
    assert between("output", old, new, ({"Shop": record({"a": TEXT})}, {"Store": record({"a": TEXT})})) == []
    changed = ({"Shop": record({"a": TEXT})}, {"Store": record({"a": NUMBER})})
    assert between("output", old, new, changed) == [("response-type-changed", "output.a")]


def test_what_stands_beside_a_reference_counts() -> None:
    """The same name twice, once with a limit beside it: the limit is seen though the name was met before."""
    schemas = ({"Slug": TEXT, "More": TEXT}, {"Slug": TEXT, "More": NUMBER})
    plain, more = {"$ref": "#/schemas/Slug"}, {"$ref": "#/schemas/More"}
    old = record({"a": plain, "b": plain, "c": more})
    new = record({"a": plain, "b": {**plain, "maxLength": 3}, "c": more})
    assert between("input", old, new, schemas) == [
        ("request-limit-tightened", "input.b"),
        ("request-type-changed", "input.c"),
    ]


def test_shapes_that_hold_themselves_are_compared() -> None:
    """A tree of nodes ends where it comes back to itself, and is told once."""
    node = {"$ref": "#/schemas/Node"}
    old, new = ({"Node": record({"name": one, "children": {"type": "array", "items": node}})} for one in (TEXT, NUMBER))
    assert between("output", node, node, (old, new)) == [("response-type-changed", "output.name")]
    assert between("output", node, node, (old, old)) == []


def test_a_difference_in_what_two_names_share_is_not_lost() -> None:
    """A name that was tried in vain for one shape of a union is still compared for the shape it belongs to."""
    part = {"$ref": "#/schemas/Part"}
    union = either(shape("a", x=NUMBER, part=part), shape("b", part=part))
    schemas = ({"Part": record({"n": NUMBER})}, {"Part": record({"n": TEXT})})
    assert ("request-type-changed", "input.part.n") in between("input", union, union, schemas)


def test_a_shape_that_changed_is_told_by_its_fields() -> None:
    """In a union, shapes that are told apart by a constant are compared with their like."""
    old = either(shape("a", x=NUMBER), shape("b", y=NUMBER))
    new = either(shape("b", y=TEXT), shape("a", x=NUMBER))
    assert between("output", old, new) == [("response-type-changed", "output.y")]


def test_a_type_that_joins_a_union_is_told_as_a_type() -> None:
    """Numbers where there were only texts."""
    assert between("input", TEXT, either(TEXT, NUMBER)) == [("request-type-widened", "input")]
    assert between("output", TEXT, either(TEXT, NUMBER)) == [("response-type-widened", "output")]


def test_true_is_not_one() -> None:
    """Values of an enumeration are compared as JSON has them."""
    assert between("input", {"enum": [1]}, {"enum": [True]}) == [("request-type-changed", "input")]
    assert between("input", {"enum": [0, 1]}, {"enum": [0, 1]}) == []


def test_a_renamed_field_is_told_once() -> None:
    """One went and one came that has the same shape; two that could both be it are not guessed at."""
    assert between("output", record({"a": TEXT, "n": NUMBER}), record({"b": TEXT, "n": NUMBER})) == [
        ("response-field-renamed", "output.a")
    ]
    assert between("output", record({"a": TEXT}), record({"b": TEXT, "c": TEXT})) == [
        ("response-field-removed", "output.a"),
        ("response-field-added", "output.b"),
        ("response-field-added", "output.c"),
    ]


def test_the_worst_comes_first() -> None:
    """Breaking differences are told before warnings, those before what is only new."""
    levels = [one.level for one in differences(contract(HIRE), contract({**HIRE, "errors": [], "status": 201}))]
    assert levels == ["breaking", "warning"]
    many = differences(contract(HIRE), {**contract({**HIRE, "errors": []}), "events": {"shop.hired": TEXT}})
    assert (worst(many), [one.level for one in many], breaking(many)) == ("warning", ["warning", "additive"], [])
    assert worst([]) is None


def test_an_answer_where_there_was_none_is_a_difference() -> None:
    """What answered nothing and now answers a text hurts whoever expects nothing."""
    rules = between("output", None, TEXT)
    assert [RULES[rule].level for rule, _ in rules if RULES[rule].level == "breaking"] == ["breaking"]
    taken = record({"a": TEXT}, "a", additionalProperties=False)
    assert between("input", None, taken) == [("request-parameter-added-required", "input.a")]
