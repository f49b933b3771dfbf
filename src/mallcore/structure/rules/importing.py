"""Importing a taxonomy: what must change in a tree so that its imported nodes are as the source says.

Nodes are matched by the source's ids, so a newer taxonomy gives real adds, removals, moves and renames. Nodes made by
hand (without an external id) stay; those below a node the source dropped move up to the nearest one that is left.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise

from mallcore.errors import InvalidInput
from mallcore.structure.rules.apply import checked
from mallcore.structure.rules.edits import Put
from mallcore.structure.rules.formats import Entry
from mallcore.structure.rules.merchandising import rule_from_json
from mallcore.structure.rules.nodes import GAP, MAX_SLUG, Node, freeze, slugify
from mallcore.structure.rules.tree import Tree
from mallcore.structure.rules.workbench import external_ids

NewId = Callable[[str, str], str]  # (kind, external id) -> node id; the same for the same external id


def plan(tree: Tree, entries: Sequence[Entry], new_id: NewId, keep_missing: bool = False) -> Put:
    """The one edit that brings the tree to the source's state; ``keep_missing`` removes nothing."""
    known = external_ids(tree)
    ids = {entry.external_id: known.get(entry.external_id) for entry in entries}
    for entry in entries:
        if ids[entry.external_id] is None:
            ids[entry.external_id] = new_id("category" if entry.parent else entry.kind or "section", entry.external_id)
    gone = [] if keep_missing else [node_id for external, node_id in known.items() if external not in ids]
    wanted = [_node(tree, entry, ids) for entry in entries]
    lifted = _lifted(tree, set(gone), {node.id for node in wanted})
    families = _families(tree, [*wanted, *lifted], set(gone))
    placed = [node for family in families for node in _placed(tree, _distinct(tree, family))]
    return Put(tuple(node for node in placed if tree.get(node.id) != node), tuple(gone))


def _node(tree: Tree, entry: Entry, ids: dict[str, str | None]) -> Node:
    """A node as its entry says; what the source is silent about stays as it is."""
    node_id = ids[entry.external_id] or ""
    parent = tree.channel_id if entry.parent is None else ids[entry.parent]
    old = tree.get(node_id)
    if old is None:
        kind = entry.kind or ("section" if entry.parent is None else "category")
        fresh = Node(node_id, kind, parent, -1, entry.slug or slugify(entry.name), entry.name, entry.external_id)
        return _checked(_with_extras(fresh, entry), entry)
    kind = "category" if entry.parent is not None else entry.kind or old.kind
    if old.parent_id == parent and old.name == entry.name and old.kind == kind and entry.slug in (None, old.slug):
        changed = old
    else:
        changed = old._replace(kind=kind, parent_id=parent, name=entry.name, slug=entry.slug or old.slug)
    changed = _with_extras(changed, entry)
    return changed if changed is old else _checked(changed, entry)


def _with_extras(node: Node, entry: Entry) -> Node:
    if not (entry.translations or entry.attributes or entry.rules):
        return node
    return node._replace(
        translations=freeze(entry.translations) if entry.translations else node.translations,
        attributes=freeze(entry.attributes) if entry.attributes else node.attributes,
        rules=tuple(map(rule_from_json, entry.rules)) if entry.rules else node.rules,
    )


def _checked(node: Node, entry: Entry) -> Node:
    if node.kind == "section" and entry.parent is not None:
        raise InvalidInput(field=f"line {entry.line}", reason=f"the section {entry.name!r} can only stand at the top")
    return checked(node)


def _lifted(tree: Tree, gone: set[str], wanted: set[str]) -> list[Node]:
    """Nodes made by hand whose parent goes, under the nearest one that stays."""
    lifted = []
    for node_id in gone:
        for child in tree.children_of(node_id):
            if child.id not in gone and child.id not in wanted:
                parent = child.parent_id
                while parent in gone:
                    parent = tree.nodes[parent].parent_id
                lifted.append(child._replace(parent_id=parent))
    return lifted


def _families(tree: Tree, wanted: Iterable[Node], gone: set[str]) -> Iterable[list[Node]]:
    """The children of every parent that is touched, in their new order: those made by hand keep their places."""
    families: dict[str, list[Node]] = {}
    moved = set()
    for node in wanted:
        families.setdefault(node.parent_id or "", []).append(node)
        moved.add(node.id)
    for parent, family in families.items():
        for place, child in enumerate(tree.child_ids(parent)):
            if child not in gone and child not in moved:
                family.insert(min(place, len(family)), tree.nodes[child])
    return families.values()


def _distinct(tree: Tree, family: list[Node]) -> list[Node]:
    """The family with a number behind slugs that others have; nodes that are there already keep theirs."""
    taken: dict[str, str] = {}
    for node in family:
        old = tree.get(node.id)
        if old is not None and old.slug == node.slug:
            taken.setdefault(node.slug, node.id)
    return [_with_free_slug(node, taken) for node in family]


def _with_free_slug(node: Node, taken: dict[str, str]) -> Node:
    slug, number = node.slug, 1
    while taken.setdefault(slug, node.id) != node.id:
        number += 1
        slug = f"{node.slug[: MAX_SLUG - 8]}-{number}"
    return node if slug == node.slug else node._replace(slug=slug)


def _placed(tree: Tree, family: list[Node]) -> Iterable[Node]:
    """The family with positions that rise; as few as possible change."""
    positions = [_position(tree, node) for node in family]
    fixed = [position for position in positions if position is not None]
    if fixed != sorted(set(fixed)):
        return (_at(node, place * GAP) for place, node in enumerate(family))
    return _filled(family, positions)


def _position(tree: Tree, node: Node) -> int | None:
    """Where a node stands in its family already."""
    old = tree.get(node.id)
    return old.position if old is not None and old.parent_id == node.parent_id else None


def _filled(family: list[Node], positions: list[int | None]) -> Iterable[Node]:
    """New ones between those that stay; all are numbered anew when there is no room."""
    filled: list[int] = []
    for position, following in zip(positions, _following(positions), strict=True):
        if position is not None:
            filled.append(position)
        elif following is None:
            filled.append(filled[-1] + GAP if filled else 0)
        else:
            before = filled[-1] if filled else following - 2 * GAP
            filled.append((before + following) // 2)
    if any(later <= earlier for earlier, later in pairwise(filled)):
        filled = [place * GAP for place in range(len(family))]
    return (_at(node, position) for node, position in zip(family, filled, strict=True))


def _following(positions: list[int | None]) -> list[int | None]:
    """For each place, the next position behind it that is fixed."""
    found: list[int | None] = []
    nearest = None
    for position in reversed(positions):
        found.append(nearest)
        nearest = nearest if position is None else position
    return found[::-1]


def _at(node: Node, position: int) -> Node:
    return node if node.position == position else node._replace(position=position)
