"""What the structure's state machine is made of: a clock, random edits that fit, and how operations are given them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import strategies as st

from mallcore import structure
from mallcore.structure.rules.edits import Create, Edit, Move, Remove, Rename, Reorder, SetAttributes, SetRules
from mallcore.structure.rules.nodes import Node, freeze
from mallcore.testing import strategies as any_
from mallcore.testing.plain import PlainTree

_given = any_.attributes.map(lambda found: freeze({name: value for name, value in found.items() if value is not None}))


class Clock:
    """A clock that is moved by hand; every look at it is a millisecond later than the last."""

    def __init__(self) -> None:
        self.time = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        self.time += timedelta(milliseconds=1)
        return self.time

    def forward(self, seconds: float) -> None:
        """Let time go by."""
        self.time += timedelta(seconds=seconds)


def chosen(tree: PlainTree, place: int) -> str:
    """One of the nodes."""
    return sorted(tree.nodes)[place % len(tree.nodes)]


def edit_of(tree: PlainTree, fresh: str) -> st.SearchStrategy[Edit]:
    """An edit that refers to nodes that are there."""
    inner = sorted(set(tree.nodes) - {tree.root})
    parent = st.sampled_from([tree.root, *inner])
    created = st.builds(
        lambda kind, parent, slug, name, more: Node(fresh, kind, parent, 0, slug, name, fresh, attributes=more),
        *(
            st.sampled_from(["category", "category", "section"]),
            parent,
            any_.slugs,
            any_.names,
            _given,
        ),
    )
    creating = st.builds(Create, created, any_.indexes)
    if not inner:
        return creating
    some = st.sampled_from(inner)
    return st.one_of(
        creating,
        creating,
        st.builds(Rename, some, any_.names, st.none() | any_.slugs, st.none() | any_.translations.map(freeze)),
        st.builds(Move, some, parent, any_.indexes),
        parent.flatmap(
            lambda one: st.permutations(tree.children[one]).map(lambda order: Reorder(one, tuple(order[:3])))
        ),
        st.builds(SetAttributes, some, any_.attributes.map(freeze)),
        st.builds(SetRules, some, any_.rule_lists),
        st.builds(Remove, some, any_.policies),
    )


def as_input(tree: PlainTree, edit: Edit) -> Any:
    """The edit as a caller of the public operations gives it: nodes by their paths."""

    def at(node_id: str) -> str | None:
        line = tree.line(node_id)[-2::-1]
        return "/".join(tree.nodes[one]["slug"] for one in line) or None

    def there(node_id: str) -> str:
        return at(node_id) or tree.root

    match edit:
        case Create(node, index):
            return structure.CreateNode(
                name=node.name, kind="section" if node.kind == "section" else "category", slug=node.slug,
                parent=at(node.parent_id or ""), index=index,
                external_id=node.external_id, attributes=dict(node.attributes),
            )  # fmt: skip
        case Rename(id, name, slug, translations):
            named = None if translations is None else dict(translations)
            return structure.UpdateNode(node=there(id), name=name, slug=slug, translations=named)
        case Move(id, parent, index):
            return structure.MoveNode(node=there(id), parent=at(parent), index=index)
        case Reorder(id, children):
            return structure.ReorderChildren(node=at(id), children=[there(child) for child in children])
        case SetAttributes(id, attributes, _):
            return structure.UpdateNode(node=there(id), attributes=dict(attributes))
        case SetRules(id, rules):
            return structure.SetNodeRules(node=there(id), rules=list(rules))
        case Remove(id, policy):
            return structure.RemoveNode(node=there(id), policy=policy)
    raise TypeError(edit)


def by_source(tree: PlainTree, ordered: bool = False) -> Any:
    """What a tree holds, its nodes named by what the machine called them: their ids are made by the mall."""
    names = {node_id: node.get("external_id", node_id) for node_id, node in tree.nodes.items()}
    held = {
        names[node_id]: {**node, "id": None, "parent_id": names.get(node["parent_id"])}
        for node_id, node in tree.nodes.items()
    }
    families = {names[parent]: [names[child] for child in children] for parent, children in tree.children.items()}
    return held, families if ordered else {parent: set(children) for parent, children in families.items()}


def check_same(one: PlainTree, other: PlainTree, ordered: bool = False) -> None:
    """Both hold the same nodes in the same places, with ``ordered`` in the same order; else it says what differs."""
    for mine, theirs in zip(by_source(one, ordered), by_source(other, ordered), strict=True):
        differing = {key: (mine.get(key), theirs.get(key)) for key in mine | theirs if mine.get(key) != theirs.get(key)}
        assert differing == {}, differing


__all__ = ["Clock", "as_input", "by_source", "check_same", "chosen", "edit_of"]
