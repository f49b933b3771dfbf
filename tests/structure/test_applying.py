"""Applying edits: the same as a model of plain dictionaries, or a refusal that leaves everything as it was."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mallcore.errors import MallError
from mallcore.structure.rules.apply import apply, evolve
from mallcore.structure.rules.diff import changed_ids, diff
from mallcore.structure.rules.edits import Create, Edit, Move, Put, Reorder, edit_from_json, edit_to_json
from mallcore.structure.rules.nodes import Node
from mallcore.structure.rules.tree import Buckets, Tree
from mallcore.testing import strategies as mall
from mallcore.testing.plain import PlainTree, Refused, broken_rules, view


def between(before: Tree, after: Tree) -> Put:
    """The edit that makes one tree of the other."""
    ids = sorted(changed_ids(before, after))
    return Put(tuple(after.node(one) for one in ids if one in after), tuple(one for one in ids if one not in after))


def same(one: Tree, other: Tree) -> bool:
    return dict(one.nodes) == dict(other.nodes) and dict(one.children) == dict(other.children)


@given(mall.edit_lists(25))
def test_edits_do_what_the_model_does(edits: list[Edit]) -> None:
    """Each edit is refused when the model refuses it, and otherwise does what the model does."""
    tree = mall.empty()
    plain = PlainTree.of(tree)
    for edit in edits:
        before, tried = view(tree), plain.copy()
        try:
            tried.apply(edit)
        except Refused:
            with pytest.raises(MallError):
                apply(tree, [edit])
            assert view(tree) == before
        else:
            after = apply(tree, [edit])
            assert view(tree) == before
            tree, plain = after, tried
            assert view(tree) == plain.view()
            assert broken_rules(tree) == []


@given(mall.edit_lists(10))
def test_many_edits_are_one_after_the_other(edits: list[Edit]) -> None:
    """Applying edits together is applying them one by one; one that is refused refuses them all."""
    single = mall.empty()
    for edit in edits:
        try:
            single = apply(single, [edit])
        except MallError as refusal:
            with pytest.raises(type(refusal)):
                apply(mall.empty(), edits)
            return
    assert same(apply(mall.empty(), edits), single)


@given(mall.trees(), mall.edit_lists(10))
def test_what_changed_is_told_exactly(tree: Tree, edits: list[Edit]) -> None:
    """The changes of an evolution are the nodes that are not the same before and after, no more and no fewer."""
    after = mall.grown(tree, edits)
    evolution = evolve(tree, [between(tree, after)])
    assert set(evolution.changes) == set(changed_ids(tree, after))
    assert all(evolution.changes[one] == (tree.get(one), after.get(one)) for one in evolution.changes)


@given(mall.trees(), mall.trees())
def test_a_put_makes_any_tree_of_any_other(one: Tree, other: Tree) -> None:
    """The nodes that differ, put at once, turn a tree into another, to the last position."""
    assert same(apply(one, [between(one, other)]), other)


@given(mall.trees(), st.lists(mall.nodes(), max_size=4), st.lists(st.sampled_from(mall.IDS), max_size=3))
def test_a_put_keeps_every_rule_or_is_refused(tree: Tree, nodes: list[Node], removed: list[str]) -> None:
    """Whatever nodes are put, the tree afterwards breaks no rule; or there is a refusal, and the tree is as it was."""
    before = view(tree)
    try:
        after = apply(tree, [Put(tuple(nodes), tuple(removed))])
    except MallError:
        assert view(tree) == before
        return
    assert broken_rules(after) == []
    wanted = {node.id: node for node in nodes}
    assert all(after.get(one) == node for one, node in wanted.items())
    assert all(one not in after for one in removed if one not in wanted)


@given(mall.edits())
def test_edits_survive_being_written_down(edit: Edit) -> None:
    """An edit is the same after it was JSON text; so the text that a digest covers tells all of it."""
    assert edit_from_json(json.loads(json.dumps(edit_to_json(edit)))) == edit


@given(mall.trees())
def test_a_bulk_edit_survives_being_written_down(tree: Tree) -> None:
    """A put of whole nodes is the same after it was JSON text."""
    put = between(mall.empty(), tree)
    assert edit_from_json(json.loads(json.dumps(edit_to_json(put)))) == put


@given(st.dictionaries(st.text(max_size=3), st.integers(), max_size=90), st.data())
def test_buckets_are_a_mapping(items: dict[str, int], data: st.DataObject) -> None:
    """Buckets hold what a dictionary would, through any changes, and leave the mapping they came from alone."""
    buckets, model = Buckets.of(items), dict(items)
    for _ in range(3):
        keys = st.text(max_size=3) | (st.sampled_from(sorted(model)) if model else st.nothing())
        changes = data.draw(st.dictionaries(keys, st.none() | st.integers(), max_size=12))
        before, old = dict(model), buckets
        buckets = buckets.updated(changes)
        model.update({key: value for key, value in changes.items() if value is not None})
        model = {key: value for key, value in model.items() if key not in changes or changes[key] is not None}
        assert dict(buckets) == model
        assert len(buckets) == len(model) == len(list(buckets))
        assert all(buckets[key] == buckets.get(key) == value and key in buckets for key, value in model.items())
        assert set(buckets.differing(old)) == {k for k in before | model if before.get(k) != model.get(k)}
        assert dict(old) == before


def test_a_missing_key_of_buckets_is_a_key_error() -> None:
    """Buckets answer for what they do not hold as a dictionary does."""
    buckets: Buckets[int] = Buckets.of({"a": 1})
    with pytest.raises(KeyError):
        buckets["b"]
    assert buckets.get("b") is None
    assert buckets.get("b", 7) == 7
    assert "b" not in buckets


@given(mall.trees())
def test_a_tree_has_no_difference_from_itself(tree: Tree) -> None:
    """Nothing differs between a tree and the same nodes collected anew."""
    again = Tree.of(tree.channel_id, tree.nodes.values())
    assert same(tree, again)
    assert diff(tree, again) == []


@given(mall.trees(), mall.trees())
def test_a_difference_names_what_people_see(one: Tree, other: Tree) -> None:
    """A difference is empty exactly when both trees show the same, and names all that is new, gone or changed."""
    changes = {change.id: change for change in diff(one, other)}
    assert bool(changes) == (view(one) != view(other))
    assert {c.id for c in changes.values() if c.kinds == ("added",)} == set(other.nodes) - set(one.nodes)
    assert {c.id for c in changes.values() if c.kinds == ("removed",)} == set(one.nodes) - set(other.nodes)
    for node_id in set(one.nodes) & set(other.nodes):
        fields = {f for f in Node._fields if getattr(one.node(node_id), f) != getattr(other.node(node_id), f)}
        told = set(changes[node_id].fields) if node_id in changes else set()
        assert told - {"position"} == fields - {"position"}


@given(st.permutations(range(7)))
def test_the_fewest_reordered_siblings_are_named(places: list[int]) -> None:
    """A new order of siblings is told by as few of them as can be moved to get it; a renumbering is no difference."""
    family = [Node(f"n{i}", "category", mall.ROOT, i * 10, f"s{i}", "n") for i in range(7)]
    before = Tree.of(mall.ROOT, [mall.root(), *family])
    after = apply(before, [Reorder(mall.ROOT, tuple(f"n{i}" for i in places))])
    rising = [1] * 7
    for i in range(7):
        rising[i] = 1 + max((rising[j] for j in range(i) if places[j] < places[i]), default=0)
    named = diff(before, after)
    assert len(named) == 7 - max(rising)
    assert all(change.kinds == ("reordered",) for change in named)


@given(mall.trees(), st.data())
def test_an_order_that_is_there_already_changes_nothing(tree: Tree, data: st.DataObject) -> None:
    """Putting children in the order they have, or moving one to where it stands, changes no node at all."""
    parent = data.draw(st.sampled_from(sorted(tree.children) or [tree.channel_id]))
    children = tree.child_ids(parent)
    assert evolve(tree, [Reorder(parent, children)]).changes == {}
    for index, child in enumerate(children):
        assert evolve(tree, [Move(child, parent, index)]).changes == {}
    if children:
        assert evolve(tree, [Move(children[-1], parent)]).changes == {}


def test_a_place_between_two_siblings_is_a_place_already() -> None:
    """Naming the order or the place that is there changes nothing, also where positions have gaps of all sizes."""
    family = [Node(f"n{i}", "category", mall.ROOT, i * i - 7, f"s{i}", "n") for i in range(5)]
    tree = Tree.of(mall.ROOT, [mall.root(), *family])
    edits: list[Edit] = [Move(f"n{i}", mall.ROOT, i) for i in range(5)]
    assert evolve(tree, [*edits, Move("n4", mall.ROOT), Move("n4", mall.ROOT, 99)]).changes == {}
    assert evolve(tree, [Reorder(mall.ROOT, ("n0", "n1"))]).changes == {}


def test_there_is_always_room_between_two_siblings() -> None:
    """A hundred nodes set in at the same place stand in the order in which they were set in, the last one first."""
    tree = apply(mall.empty(), [Create(Node(f"end{i}", "category", mall.ROOT, 0, f"end{i}", "End")) for i in (0, 1)])
    for i in range(100):
        tree = apply(tree, [Create(Node(f"n{i}", "category", mall.ROOT, 0, f"s{i}", "N"), 1)])
        assert broken_rules(tree) == []
    assert tree.child_ids(mall.ROOT) == ("end0", *(f"n{i}" for i in reversed(range(100))), "end1")
