"""Merging and restoring on plain dictionaries: what publishing, undoing and restoring should make, order aside."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mallcore.testing.plain import PlainTree

_Fields = dict[str, Any]


class Clashing(Exception):
    """Two sides disagree, or agree on something that breaks a rule."""


def merged(base: PlainTree, ours: PlainTree, head: PlainTree) -> PlainTree:
    """What both sides changed since ``base``, together; raises `Clashing` when that can't be."""
    nodes = {}
    for one in {**base.nodes, **ours.nodes, **head.nodes}:
        kept = _one(base.nodes.get(one), ours.nodes.get(one), head.nodes.get(one))
        if kept is not None:
            nodes[one] = kept
    found = _tree(head.root, nodes)
    if wrong := misfits(found):
        raise Clashing(wrong)
    return found


def _one(base: _Fields | None, ours: _Fields | None, head: _Fields | None) -> _Fields | None:
    if ours in (base, head):
        return head
    if head == base:
        return ours
    if ours is None or head is None:
        raise Clashing("removed on one side, changed on the other")
    if base is None:
        return head  # both sides brought it back: it is there
    fields = {}
    for name in {**base, **ours, **head}:
        b, o, h = base.get(name), ours.get(name), head.get(name)
        if o not in (b, h) and h != b:
            raise Clashing(f"both sides changed {name}")
        fields[name] = h if o == b else o
    return {name: value for name, value in fields.items() if value is not None or name == "parent_id"}


def restored(history: Sequence[PlainTree], node: str) -> PlainTree:
    """The newest tree with a node back that is gone, and all that went from below it in the same revision."""
    head = history[-1]
    number = max(n for n in range(1, len(history)) if node in history[n - 1].nodes and node not in history[n].nodes)
    before, after = history[number - 1], history[number]
    nodes = dict(head.nodes)
    for one in before.below(node):
        line = before.line(one)
        if all(above not in after.nodes for above in line[: line.index(node) + 1]) and one not in head.nodes:
            nodes[one] = before.nodes[one]
    if nodes[node]["parent_id"] not in head.nodes:
        nodes[node] = {**nodes[node], "parent_id": head.root}
    return _tree(head.root, nodes)


def _tree(root: str, nodes: dict[str, _Fields]) -> PlainTree:
    """The nodes as a tree, siblings in any order; what hangs in the air stays there."""
    tree = PlainTree(root)
    tree.nodes = nodes
    tree.children = {one: [] for one in nodes}
    for one, node in nodes.items():
        if node["parent_id"] in nodes:
            tree.children[node["parent_id"]].append(one)
    return tree


def misfits(tree: PlainTree) -> str | None:
    """A rule that the tree breaks, if any."""
    reached: set[str] = set()
    waiting = [tree.root]
    while waiting:
        one = waiting.pop()
        reached.add(one)
        waiting.extend(tree.children[one])
        slugs = [tree.nodes[child]["slug"] for child in tree.children[one]]
        if len(set(slugs)) < len(slugs):
            return f"two children of {one} have one slug"
    if reached != set(tree.nodes):
        return "a node hangs in the air, or in a loop"
    for one, node in tree.nodes.items():
        if node["kind"] == "section" and node["parent_id"] != tree.root:
            return f"the section {one} is not at the top"
    external = [node["external_id"] for node in tree.nodes.values() if "external_id" in node]
    return "two nodes have one external id" if len(set(external)) < len(external) else None


__all__ = ["Clashing", "merged", "misfits", "restored"]
