"""Three-way merge: both sides' changes are in the result, or a clash says which are not; nothing is lost in silence."""

from typing import Any

import pytest
from hypothesis import assume, given

from mallcore.structure.rules.apply import apply
from mallcore.structure.rules.edits import Create, Edit, Move, Remove, Rename, SetAttributes
from mallcore.structure.rules.merge import Side, merge
from mallcore.structure.rules.nodes import FIELDS, Node, freeze
from mallcore.structure.rules.tree import Tree
from mallcore.testing import strategies as mall
from mallcore.testing.plain import broken_rules

SEEN = [field for field in FIELDS if field != "position"]


def changed(before: Tree, after: Tree) -> set[tuple[str, str]]:
    """(node, field) of everything that is different, order aside; ``here`` stands for a node that came or went."""
    found = set()
    for one in {*before.nodes, *after.nodes}:
        old, new = before.get(one), after.get(one)
        if old is None or new is None:
            found.add((one, "here"))
        else:
            found |= {(one, field) for field in SEEN if getattr(old, field) != getattr(new, field)}
    return found


def value(tree: Tree, node: str, field: str) -> Any:
    there = tree.get(node)
    return there is not None if field == "here" else getattr(there, field, None)


def start(*slugs: str) -> Tree:
    nodes = [Node(slug, "category", mall.ROOT, i * 100, slug, slug.upper()) for i, slug in enumerate(slugs)]
    return Tree.of(mall.ROOT, [mall.root(), *nodes])


def category(slug: str, parent: str = mall.ROOT) -> Create:
    return Create(Node(slug, "category", parent, 0, slug, slug.upper()))


@given(mall.trees(), mall.edit_lists(5), mall.edit_lists(5))
def test_without_clash_both_sides_are_in_the_result(base: Tree, mine: list[Edit], others: list[Edit]) -> None:
    """Where nothing clashes, the result has what the draft changed and what the head changed, and breaks no rule."""
    ours, head = mall.grown(base, mine), mall.grown(base, others)
    merged = merge(base, ours, head)
    assume(not merged.clashes)
    result = apply(head, [merged.edit])
    assert broken_rules(result) == []
    for node, field in changed(base, ours):
        assert value(result, node, field) == value(ours, node, field)
    for node, field in changed(base, head) - changed(base, ours):
        if field == "here" or node in result:
            assert value(result, node, field) == value(head, node, field)
    assert changed(head, result) <= changed(base, ours)


@given(mall.trees(), mall.edit_lists(5), mall.edit_lists(5))
def test_what_both_sides_changed_is_a_clash(base: Tree, mine: list[Edit], others: list[Edit]) -> None:
    """A field that both sides gave different values is reported; the merge never chooses by itself."""
    ours, head = mall.grown(base, mine), mall.grown(base, others)
    clashing = {
        (node, field)
        for node, field in changed(base, ours) & changed(base, head)
        if field != "here" and value(ours, node, field) != value(head, node, field)
    }
    merged = merge(base, ours, head)
    assert clashing <= {(clash.node, clash.field) for clash in merged.clashes}


@given(mall.trees(), mall.edit_lists(6))
def test_a_head_that_stood_still_takes_the_draft_as_it_is(base: Tree, mine: list[Edit]) -> None:
    """On its own base a draft never clashes, and the result is the draft's tree to the last position."""
    ours = mall.grown(base, mine)
    merged = merge(base, ours, base)
    assert merged.clashes == ()
    assert dict(apply(base, [merged.edit]).nodes) == dict(ours.nodes)


@given(mall.trees(), mall.edit_lists(6))
def test_a_draft_that_changes_nothing_changes_nothing(base: Tree, others: list[Edit]) -> None:
    """A draft without changes leaves any head as it is."""
    merged = merge(base, base, mall.grown(base, others))
    assert merged == merge(base, base, base)
    assert not merged.edit.nodes
    assert not merged.edit.removed


@given(mall.trees(), mall.edit_lists(5), mall.edit_lists(5))
def test_settled_for_the_head_nothing_of_it_is_lost(base: Tree, mine: list[Edit], others: list[Edit]) -> None:
    """With ``theirs``, everything the head changed is in the result."""
    ours, head = mall.grown(base, mine), mall.grown(base, others)
    merged = merge(base, ours, head, {"*": "theirs"})
    assume(not merged.clashes)
    result = apply(head, [merged.edit])
    for node, field in changed(base, head):
        if value(head, node, "here") or field == "here":
            assert value(result, node, field) == value(head, node, field)


@given(mall.trees(), mall.edit_lists(5), mall.edit_lists(5))
def test_settled_for_the_draft_nothing_of_it_is_lost(base: Tree, mine: list[Edit], others: list[Edit]) -> None:
    """With ``ours``, everything the draft changed is in the result."""
    ours, head = mall.grown(base, mine), mall.grown(base, others)
    merged = merge(base, ours, head, {"*": "ours"})
    assume(not merged.clashes)
    result = apply(head, [merged.edit])
    for node, field in changed(base, ours):
        assert value(result, node, field) == value(ours, node, field)


def test_each_node_is_settled_by_itself() -> None:
    """A side chosen for one node says nothing of another, and ``*`` stands for all that are not named."""
    base = start("a", "b")
    ours = apply(base, [Rename("a", "Mine"), Rename("b", "Mine")])
    head = apply(base, [Rename("a", "Theirs"), Rename("b", "Theirs")])
    assert [clash.node for clash in merge(base, ours, head, {"a": "ours"}).clashes] == ["b"]
    result = apply(head, [merge(base, ours, head, {"a": "ours", "*": "theirs"}).edit])
    assert (result.node("a").name, result.node("b").name) == ("Mine", "Theirs")


def test_the_same_change_on_both_sides_is_no_clash() -> None:
    """Two sides that did the same agree."""
    base = start("a")
    same = apply(base, [Rename("a", "New")])
    assert merge(base, same, same).clashes == ()


def test_a_removal_spares_what_changed_meanwhile() -> None:
    """A draft that removes what the head changed clashes; either side can be chosen."""
    base = start("a")
    ours, head = apply(base, [Remove("a")]), apply(base, [Rename("a", "New")])
    assert [clash.field for clash in merge(base, ours, head).clashes] == ["removed"]
    assert "a" not in apply(head, [merge(base, ours, head, {"a": "ours"}).edit])
    assert apply(head, [merge(base, ours, head, {"a": "theirs"}).edit]).node("a").name == "New"


def test_a_change_of_what_was_removed_meanwhile_is_a_clash() -> None:
    """A draft that changes what the head removed clashes; ``ours`` brings it back."""
    base = start("a")
    ours, head = apply(base, [Rename("a", "New")]), apply(base, [Remove("a")])
    assert [clash.field for clash in merge(base, ours, head).clashes] == ["removed"]
    assert apply(head, [merge(base, ours, head, {"a": "ours"}).edit]).node("a").name == "New"
    assert "a" not in apply(head, [merge(base, ours, head, {"a": "theirs"}).edit])


def test_what_was_put_below_a_removed_node_is_never_lost() -> None:
    """A draft that removes a node below which the head put another clashes; ``theirs`` keeps both."""
    base = start("a")
    ours, head = apply(base, [Remove("a")]), apply(base, [category("b", "a")])
    assert [(clash.node, clash.field) for clash in merge(base, ours, head).clashes] == [("a", "removed")]
    assert {"a", "b"} <= set(apply(head, [merge(base, ours, head, {"a": "theirs"}).edit]).nodes)


@pytest.mark.parametrize("side", ["ours", "theirs"])
def test_two_nodes_with_one_slug_can_be_settled(side: Side) -> None:
    """Both sides put a node of the same slug in the same place: that is a clash, and choosing a side ends it."""
    base = start("a")
    ours = apply(base, [Create(Node("mine", "category", "a", 0, "x", "Mine"))])
    head = apply(base, [Create(Node("yours", "category", "a", 0, "x", "Yours"))])
    clashes = merge(base, ours, head).clashes
    assert [(clash.node, clash.field) for clash in clashes] == [("mine", "duplicate-slug")]
    settled = merge(base, ours, head, {"mine": side})
    if side == "theirs":
        assert settled.clashes == ()
        assert "mine" not in apply(head, [settled.edit])
    else:
        assert [clash.field for clash in settled.clashes] == ["duplicate-slug"]


def test_a_loop_made_by_two_moves_is_a_clash() -> None:
    """The draft moves a below b, the head b below a: each is right alone, together they are refused."""
    base = start("a", "b")
    ours, head = apply(base, [Move("a", "b")]), apply(base, [Move("b", "a")])
    assert [clash.field for clash in merge(base, ours, head).clashes] == ["would-create-loop"]


def test_different_fields_of_one_node_are_merged() -> None:
    """One side renames a node, the other gives it attributes: both are kept."""
    base = start("a")
    ours = apply(base, [Rename("a", "New")])
    head = apply(base, [SetAttributes("a", freeze({"x": 1}))])
    result = apply(head, [merge(base, ours, head).edit])
    assert (result.node("a").name, dict(result.node("a").attributes)) == ("New", {"x": 1})


@given(mall.trees(), mall.edit_lists(5), mall.edit_lists(5))
def test_choosing_the_head_for_everything_always_ends_the_clashes(
    base: Tree, mine: list[Edit], others: list[Edit]
) -> None:
    """Whoever gives in everywhere is never told of a clash again: a draft can always be published or given up."""
    ours, head = mall.grown(base, mine), mall.grown(base, others)
    assert merge(base, ours, head, {"*": "theirs"}).clashes == ()


def test_a_node_that_both_sides_brought_back_is_the_chosen_sides() -> None:
    """Both sides put the same node back, each with another name: the head's stays, unless the draft's is chosen."""
    base = start("a")
    ours = apply(base, [Create(Node("b", "category", mall.ROOT, 0, "b", "Mine"))])
    head = apply(base, [Create(Node("b", "category", "a", 0, "b", "Theirs"))])
    for settled, name in (({}, "Theirs"), ({"b": "theirs"}, "Theirs"), ({"b": "ours"}, "Mine")):
        merged = merge(base, ours, head, settled)  # type: ignore[arg-type]
        assert merged.clashes == ()
        assert apply(head, [merged.edit]).node("b").name == name
