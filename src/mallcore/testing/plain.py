"""A channel's tree as plain dictionaries and lists: the slow, obvious model that the real one is compared with.

Every edit is written here a second time, by someone who thinks of nothing but what it should mean. Belongs here: the
model and the rules that hold in every tree. Does not: how to make random input (see `strategies`).
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from typing import Any

from mallcore.structure.rules.edits import (
    Create,
    Edit,
    Move,
    Remove,
    Rename,
    Reorder,
    SetAttributes,
    SetRules,
    node_to_json,
)
from mallcore.structure.rules.nodes import MAX_DEPTH, Node, thaw
from mallcore.structure.rules.tree import Tree


class Refused(Exception):
    """The model's word for an edit that breaks a rule; its text says which."""


class PlainTree:
    """Nodes by id as dictionaries, and the ids of children in order."""

    def __init__(self, root: str) -> None:
        self.root = root
        self.nodes: dict[str, dict[str, Any]] = {root: {"id": root, "kind": "channel", "parent_id": None}}
        self.children: dict[str, list[str]] = {root: []}

    @classmethod
    def of(cls, tree: Tree) -> PlainTree:
        """The same tree as a model."""
        plain = cls(tree.channel_id)
        for _, node in tree.walk():
            plain.nodes[node.id] = plain_node(node)
            plain.children[node.id] = list(tree.child_ids(node.id))
        return plain

    def copy(self) -> PlainTree:
        """A tree of its own with the same content."""
        return copy.deepcopy(self)

    def view(self) -> list[tuple[int, dict[str, Any]]]:
        """Every node with its level, depth first: what two equal trees have in common."""
        return list(self._walk(self.root, 0))

    def _walk(self, node_id: str, level: int) -> Iterator[tuple[int, dict[str, Any]]]:
        yield level, self.nodes[node_id]
        for child in self.children[node_id]:
            yield from self._walk(child, level + 1)

    def line(self, node_id: str) -> list[str]:
        """The ids from a node up to the root."""
        found = [node_id]
        while (parent := self.nodes[found[-1]]["parent_id"]) is not None:
            found.append(parent)
        return found

    def below(self, node_id: str) -> list[str]:
        """The ids of a node and of all below it."""
        return [node["id"] for _, node in self._walk(node_id, 0)]

    def height(self, node_id: str) -> int:
        """How many levels stand below a node."""
        return max(level for level, _ in self._walk(node_id, 0))

    def apply(self, edit: Edit) -> None:
        """Carry out one edit; raises `Refused`, and then the tree may be half changed: work on a copy."""
        match edit:
            case Create(node, index):
                self._create(node, index)
            case Rename(id, name, slug, translations):
                self._rename(id, name, slug, translations)
            case Move(id, parent_id, index):
                self._move(id, parent_id, index)
            case Reorder(id, children):
                self._reorder(id, list(children))
            case SetAttributes(id, attributes, replace):
                kept = {**({} if replace else self._node(id).get("attributes", {})), **thaw(attributes)}
                self._set(id, "attributes", {key: value for key, value in kept.items() if value is not None})
            case SetRules(id, _):
                self._set(id, "rules", plain_rules(edit))
            case Remove(id, policy):
                self._remove(id, policy)
            case _:
                raise TypeError(f"the model has no {type(edit).__name__}")

    def _node(self, node_id: str) -> dict[str, Any]:
        if node_id not in self.nodes:
            raise Refused(f"there is no {node_id}")
        return self.nodes[node_id]

    def _inner(self, node_id: str) -> dict[str, Any]:
        if self._node(node_id)["parent_id"] is None:
            raise Refused("that is the channel")
        return self.nodes[node_id]

    def _set(self, node_id: str, field: str, value: Any) -> None:
        node = dict(self._node(node_id))
        node.pop(field, None)
        self.nodes[node_id] = {**node, field: value} if value else node

    def _insert(self, parent: str, node_id: str, index: int | None) -> None:
        family = self.children[parent]
        family.insert(len(family) if index is None else max(index, 0), node_id)

    def _check_place(self, node: dict[str, Any], parent: str, levels_below: int) -> None:
        if node["kind"] == "section" and parent != self.root:
            raise Refused("a section stands at the top")
        if len(self.line(parent)) + levels_below > MAX_DEPTH:
            raise Refused("too deep")
        if any(self.nodes[child]["slug"] == node["slug"] for child in self.children[parent] if child != node["id"]):
            raise Refused("a sibling has this slug")

    def _create(self, node: Node, index: int | None) -> None:
        if node.id in self.nodes:
            raise Refused("it is there already")
        parent = node.parent_id or ""
        self._node(parent)
        self._check_place(plain_node(node), parent, 0)
        if node.external_id and any(one.get("external_id") == node.external_id for one in self.nodes.values()):
            raise Refused("another node has this external id")
        self.nodes[node.id] = plain_node(node)
        self.children[node.id] = []
        self._insert(parent, node.id, index)

    def _rename(self, node_id: str, name: str | None, slug: str | None, translations: Any) -> None:
        node = self._node(node_id)
        if slug is not None and slug != node.get("slug"):
            parent = self._inner(node_id)["parent_id"]
            self._check_place({**node, "slug": slug}, parent, 0)
            node = {**node, "slug": slug}
        self.nodes[node_id] = {**node, "name": node.get("name") if name is None else name}
        if translations is not None:
            self._set(node_id, "translations", dict(translations))

    def _move(self, node_id: str, parent: str, index: int | None) -> None:
        node = self._inner(node_id)
        self._node(parent)
        if node_id in self.line(parent):
            raise Refused("a loop")
        self._check_place(node, parent, self.height(node_id))
        self.children[node["parent_id"]].remove(node_id)
        self.nodes[node_id] = {**node, "parent_id": parent}
        self._insert(parent, node_id, index)

    def _reorder(self, node_id: str, wanted: list[str]) -> None:
        self._node(node_id)
        family = self.children[node_id]
        if not set(wanted) <= set(family) or len(set(wanted)) < len(wanted):
            raise Refused("a stranger among the children, or one twice")
        self.children[node_id] = wanted + [child for child in family if child not in wanted]

    def _remove(self, node_id: str, policy: str) -> None:
        parent = self._inner(node_id)["parent_id"]
        lifted = self.children[node_id]
        if lifted and policy == "restrict":
            raise Refused("it has children")
        place = self.children[parent].index(node_id)
        self.children[parent].remove(node_id)
        gone = self.below(node_id) if policy == "cascade" else [node_id]
        for one in gone:
            del self.nodes[one], self.children[one]
        for offset, child in enumerate(lifted if policy == "reparent" else ()):
            self._check_place(self.nodes[child], parent, 0)
            self.nodes[child] = {**self.nodes[child], "parent_id": parent}
            self._insert(parent, child, place + offset)


def plain_node(node: Node) -> dict[str, Any]:
    """A node as a dictionary, without its position: that only says in which order siblings are."""
    data = node_to_json(node)
    del data["position"]
    return data


def plain_rules(edit: SetRules) -> list[Any]:
    """The rules of an edit as JSON values."""
    return node_to_json(Node("", "", None, 0, "", "", rules=edit.rules)).get("rules", [])  # type: ignore[no-any-return]


def view(tree: Tree) -> list[tuple[int, dict[str, Any]]]:
    """Every node of a tree with its level, as `PlainTree.view` has it."""
    return [(level, plain_node(node)) for level, node in tree.walk()]


def broken_rules(tree: Tree) -> list[str]:
    """What is wrong with a tree, of the rules that hold in every tree; found without the code that keeps them."""
    return [*_lost(tree), *_families(tree), *_places(tree)]


def _lost(tree: Tree) -> Iterator[str]:
    reached = [node.id for _, node in tree.walk()]
    if sorted(reached) != sorted(tree.nodes):
        yield f"not all nodes hang together: {set(tree.nodes) ^ set(reached)}"
    if len(tree.nodes) != len(list(tree.nodes)):
        yield "the number of nodes is wrong"


def _families(tree: Tree) -> Iterator[str]:
    for parent, children in tree.children.items():
        nodes = [tree.nodes[child] for child in children]
        if not nodes or any(node.parent_id != parent for node in nodes):
            yield f"the children of {parent} are not its own"
        if [(node.position, node.id) for node in nodes] != sorted((node.position, node.id) for node in nodes):
            yield f"the children of {parent} are out of order"
        if len({node.slug for node in nodes}) < len(nodes):
            yield f"two children of {parent} have one slug"


def _places(tree: Tree) -> Iterator[str]:
    nodes = list(tree.nodes.values())
    for node in nodes:
        if (node.parent_id is None) != (node.id == tree.channel_id):
            yield f"{node.id} has no parent, or the root has one"
        if node.kind == "section" and node.parent_id != tree.channel_id:
            yield f"the section {node.id} is not at the top"
    if any(level > MAX_DEPTH for level, _ in tree.walk()):
        yield "it is too deep"
    yield from _twice(node.external_id for node in nodes)


def _twice(external: Iterable[str | None]) -> Iterator[str]:
    known = [one for one in external if one is not None]
    if len(set(known)) < len(known):
        yield "two nodes have one external id"


__all__ = ["PlainTree", "Refused", "broken_rules", "plain_node", "view"]
