"""What becomes of a three-way merge when its clashes are settled."""

import pytest

from mallcore.structure.rules.apply import apply
from mallcore.structure.rules.edits import Create, Move, Put, Remove, Rename
from mallcore.structure.rules.merge import merge
from mallcore.structure.rules.nodes import Node
from mallcore.structure.rules.tree import Tree

ROOT = Node("chn_1", "channel", None, 0, "books", "Books")


def new(node_id: str, parent: str = "chn_1") -> Create:
    return Create(Node(node_id, "category", parent, 0, node_id, node_id.title()))


EMPTY = Tree.of("chn_1", [ROOT])
WITH_GIFTS = apply(EMPTY, [new("gifts"), new("cards", "gifts")])


@pytest.mark.parametrize("side", ["ours", "theirs", None])
def test_a_removal_that_nobody_objects_to_is_carried_out(side: str | None) -> None:
    """Settling says who wins a clash; where there is none, both sides' changes count."""
    head = apply(WITH_GIFTS, [new("poetry")])
    merged = merge(WITH_GIFTS, EMPTY, head, {"*": side} if side else None)  # type: ignore[dict-item]
    assert merged.clashes == ()
    assert sorted(apply(head, [merged.edit]).nodes) == ["chn_1", "poetry"]


def test_theirs_keeps_a_node_that_was_changed_since() -> None:
    """What the head changed is not removed, nor what it stands below."""
    head = apply(WITH_GIFTS, [Rename("cards", name="Greetings")])
    merged = merge(WITH_GIFTS, EMPTY, head, {"*": "theirs"})
    assert merged.clashes == ()
    assert apply(head, [merged.edit]).get("cards") == head.get("cards")
    assert apply(head, [merged.edit]).get("gifts") == head.get("gifts")


def test_theirs_keeps_a_node_that_something_was_put_below_since() -> None:
    """Who put a node somewhere finds it there, and the way to it."""
    head = apply(WITH_GIFTS, [new("wrapping", "cards")])
    merged = merge(WITH_GIFTS, EMPTY, head, {"*": "theirs"})
    assert merged.clashes == ()
    assert apply(head, [merged.edit]).path("wrapping") == "gifts/cards/wrapping"


def test_unsettled_it_is_a_clash() -> None:
    """Nothing is removed from under what others put there, unless somebody says so."""
    head = apply(WITH_GIFTS, [new("wrapping", "cards")])
    assert [(clash.node, clash.field) for clash in merge(WITH_GIFTS, EMPTY, head).clashes] == [("cards", "removed")]


def test_a_node_that_both_removed_is_gone() -> None:
    """Two removals are no clash."""
    head = apply(WITH_GIFTS, [Remove("gifts", "cascade")])
    assert merge(WITH_GIFTS, EMPTY, head).edit == Put()


def test_what_moved_away_since_does_not_hold_a_removal_up() -> None:
    """A node whose children left is removed; settled by theirs, the child that was moved stays."""
    head = apply(WITH_GIFTS, [Move("cards", "chn_1")])
    merged = merge(WITH_GIFTS, EMPTY, head, {"*": "theirs"})
    assert sorted(apply(head, [merged.edit]).nodes) == ["cards", "chn_1"]
