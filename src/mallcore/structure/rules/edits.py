"""Edits as values: what can be done to a tree, and how that is written down.

The written form is what a revision's digest is made of, so it never changes for an edit that exists.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from mallcore.errors import InvalidInput
from mallcore.structure.rules.merchandising import Rule, rule_from_json, rule_to_json
from mallcore.structure.rules.nodes import EMPTY, Node, freeze, thaw

Policy = Literal["restrict", "reparent", "cascade"]


@dataclass(frozen=True, slots=True)
class Create:
    """Add a node at an index among its parent's children (``None``: last); its own position is found, not taken."""

    node: Node
    index: int | None = None


@dataclass(frozen=True, slots=True)
class Rename:
    """Give a node another name, slug or translations; what is ``None`` stays."""

    id: str
    name: str | None = None
    slug: str | None = None
    translations: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Move:
    """Put a node, with all below it, under another parent, at an index among its children (``None``: last)."""

    id: str
    parent_id: str
    index: int | None = None


@dataclass(frozen=True, slots=True)
class Reorder:
    """Put children in this order; those not named keep theirs, behind."""

    id: str
    children: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SetAttributes:
    """Set some attributes (``None`` removes one), or with ``replace`` all of them."""

    id: str
    attributes: Mapping[str, Any]
    replace: bool = False


@dataclass(frozen=True, slots=True)
class SetRules:
    """Set a node's merchandising rules."""

    id: str
    rules: tuple[Rule, ...]


@dataclass(frozen=True, slots=True)
class Remove:
    """Remove a node; the policy says what becomes of its children."""

    id: str
    policy: Policy = "restrict"


@dataclass(frozen=True, slots=True)
class Put:
    """Make these nodes exactly so and remove those, all at once: import, rollback, restore, undo, merged publish."""

    nodes: tuple[Node, ...] = ()
    removed: tuple[str, ...] = ()


Edit = Create | Rename | Move | Reorder | SetAttributes | SetRules | Remove | Put


def node_to_json(node: Node) -> dict[str, Any]:
    """The node as a JSON value, empty fields left out."""
    data: dict[str, Any] = {
        "id": node.id,
        "kind": node.kind,
        "parent_id": node.parent_id,
        "position": node.position,
        "slug": node.slug,
        "name": node.name,
    }
    if node.external_id is not None:
        data["external_id"] = node.external_id
    if node.translations:
        data["translations"] = dict(node.translations)
    if node.attributes:
        data["attributes"] = thaw(node.attributes)
    if node.rules:
        data["rules"] = [rule_to_json(rule) for rule in node.rules]
    return data


def node_from_json(data: Mapping[str, Any]) -> Node:
    """The node of a JSON value."""
    return Node(
        data["id"],
        data["kind"],
        data["parent_id"],
        data["position"],
        data["slug"],
        data["name"],
        data.get("external_id"),
        freeze(data.get("translations") or EMPTY),
        freeze(data.get("attributes") or EMPTY),
        tuple(rule_from_json(rule) for rule in data.get("rules") or ()),
    )


def edit_to_json(edit: Edit) -> list[Any]:
    """The edit as a JSON value: its name, then its parts."""
    match edit:
        case Create(node, index):
            return ["create", node_to_json(node), index]
        case Rename(id, name, slug, translations):
            return ["rename", id, name, slug, None if translations is None else dict(translations)]
        case Move(id, parent_id, index):
            return ["move", id, parent_id, index]
        case Reorder(id, children):
            return ["reorder", id, list(children)]
        case SetAttributes(id, attributes, replace):
            return ["set_attributes", id, thaw(attributes), replace]
        case SetRules(id, rules):
            return ["set_rules", id, [rule_to_json(rule) for rule in rules]]
        case Remove(id, policy):
            return ["remove", id, policy]
        case Put(nodes, removed):
            return ["put", [node_to_json(node) for node in nodes], list(removed)]


def edit_from_json(data: Sequence[Any]) -> Edit:
    """The edit of a JSON value."""
    match list(data):
        case ["create", node, index]:
            return Create(node_from_json(node), index)
        case ["rename", id, name, slug, translations]:
            return Rename(id, name, slug, None if translations is None else freeze(translations))
        case ["move", id, parent_id, index]:
            return Move(id, parent_id, index)
        case ["reorder", id, children]:
            return Reorder(id, tuple(children))
        case ["set_attributes", id, attributes, replace]:
            return SetAttributes(id, freeze(attributes), replace)
        case ["set_rules", id, rules]:
            return SetRules(id, tuple(rule_from_json(rule) for rule in rules))
        case ["remove", id, policy]:
            return Remove(id, policy)
        case ["put", nodes, removed]:
            return Put(tuple(node_from_json(node) for node in nodes), tuple(removed))
        case _:
            raise InvalidInput(field="edits", reason=f"{str(data)[:80]} is no edit")


def edits_to_json(edits: Iterable[Edit]) -> list[Any]:
    """All edits as JSON values."""
    return [edit_to_json(edit) for edit in edits]


def edits_from_json(data: Iterable[Sequence[Any]]) -> tuple[Edit, ...]:
    """The edits of JSON values."""
    return tuple(edit_from_json(one) for one in data)


def touched(edit: Edit) -> tuple[str, ...]:
    """The ids of existing nodes an edit is about: where its author needs to be allowed."""
    match edit:
        case Create(node, _):
            return (node.parent_id,) if node.parent_id is not None else ()
        case Move(id, parent_id, _):
            return (id, parent_id)
        case Put(nodes, removed):
            return tuple(node.id for node in nodes) + removed
        case _:
            return (edit.id,)
