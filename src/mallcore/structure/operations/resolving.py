"""Edits as callers give them, turned into edits of the rules: references to nodes become their ids."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from mallcore.errors import InvalidInput
from mallcore.kernel.ids import new_id
from mallcore.structure.model.inputs import (
    CreateNode,
    EditInput,
    MoveNode,
    RemoveNode,
    ReorderChildren,
    SetNodeRules,
    UpdateNode,
)
from mallcore.structure.rules.apply import apply
from mallcore.structure.rules.edits import (
    Create,
    Edit,
    Move,
    Remove,
    Rename,
    Reorder,
    SetAttributes,
    SetRules,
)
from mallcore.structure.rules.nodes import EMPTY, Node, checked_attributes, freeze, slugify
from mallcore.structure.rules.tree import Tree


def resolved(tree: Tree, wanted: Iterable[EditInput], ids: dict[int, str]) -> list[Edit]:
    """Edits as callers give them, with their references resolved; a path may lead to what an earlier edit made."""
    edits: list[Edit] = []
    waiting: list[Edit] = []
    current = tree

    def find(reference: str | None) -> str:
        nonlocal current
        if reference is None:
            return tree.channel_id
        if waiting and (reference not in current or any(isinstance(one, Remove) for one in waiting)):
            current = apply(current, waiting)
            waiting.clear()
        return current.find(reference).id

    for place, one in enumerate(wanted):
        fresh = _RESOLVE[type(one)](one, find, ids, place)
        edits.extend(fresh)
        waiting.extend(fresh)
    return edits


_Find = Callable[["str | None"], str]


def _create(one: CreateNode, find: _Find, ids: dict[int, str], place: int) -> list[Edit]:
    node_id = ids.setdefault(place, new_id("sec" if one.kind == "section" else "cat"))
    node = Node(
        id=node_id,
        kind=one.kind,
        parent_id=find(one.parent),
        position=0,
        slug=slugify(one.name) if one.slug is None else one.slug,
        name=one.name,
        external_id=one.external_id,
        translations=freeze(one.translations or EMPTY),
        attributes=checked_attributes(
            {key: value for key, value in (one.attributes or {}).items() if value is not None}
        ),
        rules=tuple(one.rules or ()),
    )
    return [Create(node, one.index)]


def _update(one: UpdateNode, find: _Find, ids: dict[int, str], place: int) -> list[Edit]:
    node_id = find(one.node)
    if node_id == find(None):
        raise InvalidInput(field="node", reason="the channel itself is changed by update_channel")
    edits: list[Edit] = []
    if one.name is not None or one.slug is not None or one.translations is not None:
        edits.append(Rename(node_id, one.name, one.slug, one.translations))
    if one.attributes is not None:
        edits.append(SetAttributes(node_id, checked_attributes(one.attributes)))
    return edits


def _move(one: MoveNode, find: _Find, ids: dict[int, str], place: int) -> list[Edit]:
    return [Move(find(one.node), find(one.parent), one.index)]


def _reorder(one: ReorderChildren, find: _Find, ids: dict[int, str], place: int) -> list[Edit]:
    return [Reorder(find(one.node), tuple(find(child) for child in one.children))]


def _set_rules(one: SetNodeRules, find: _Find, ids: dict[int, str], place: int) -> list[Edit]:
    return [SetRules(find(one.node), tuple(one.rules))]


def _remove(one: RemoveNode, find: _Find, ids: dict[int, str], place: int) -> list[Edit]:
    return [Remove(find(one.node), one.policy)]


_RESOLVE: dict[type[Any], Callable[[Any, _Find, dict[int, str], int], list[Edit]]] = {
    CreateNode: _create,
    UpdateNode: _update,
    MoveNode: _move,
    ReorderChildren: _reorder,
    SetNodeRules: _set_rules,
    RemoveNode: _remove,
}
