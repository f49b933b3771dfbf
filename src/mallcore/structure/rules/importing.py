"""Importing a taxonomy: what must change in a tree so that its imported nodes are as the source says.

Nodes are matched by the source's ids (or our own, in a file of our own), so a newer taxonomy gives real adds, removals,
moves and renames. Nodes made by hand (without an external id) stay; those below a node the source dropped move up to
the nearest one that is left.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

from mallcore.errors import InvalidInput
from mallcore.structure.rules.apply import checked
from mallcore.structure.rules.edits import Put
from mallcore.structure.rules.formats import Entry
from mallcore.structure.rules.merchandising import rule_from_json
from mallcore.structure.rules.nodes import GAP, MAX_SLUG, Node, freeze, slugify
from mallcore.structure.rules.tree import Tree
from mallcore.structure.rules.workbench import external_ids

NewId = Callable[[str, str], str]  # (kind, external id) -> node id; the same for the same external id


class _Wanted(NamedTuple):
    """A child in its new family: the node it was, what the source says of it, and where it goes."""

    id: str
    old: Node | None
    entry: Entry | None
    parent_id: str
    slug: str


def plan(tree: Tree, entries: Sequence[Entry], new_id: NewId, keep_missing: bool = False) -> Put:
    """The one edit that brings the tree to the source's state; ``keep_missing`` removes nothing."""
    known = external_ids(tree)
    wanted = _wanted(tree, entries, new_id)
    named = {one.id for one in wanted}
    gone = [] if keep_missing else [node_id for node_id in known.values() if node_id not in named]
    families = _families(tree, [*wanted, *_lifted(tree, set(gone), named)], set(gone))
    placed = [node for family in families for node in _placed(_distinct(family))]
    return Put(tuple(placed), tuple(gone))


def _wanted(tree: Tree, entries: Sequence[Entry], new_id: NewId) -> list[_Wanted]:
    """Every entry with the node it is about, in the order of the source: parents come before their children."""
    known, present = external_ids(tree).get, tree.nodes.get
    ids: dict[str | None, str] = {None: tree.channel_id}
    wanted = []
    for entry in entries:
        external = entry.external_id
        old = present(known(external, external))
        node_id = new_id("category" if entry.parent else entry.kind or "section", external) if old is None else old.id
        ids[external] = node_id
        slug = entry.slug or (slugify(entry.name) if old is None else old.slug)
        wanted.append(_Wanted(node_id, old, entry, ids[entry.parent], slug))
    return wanted


def _lifted(tree: Tree, gone: set[str], named: set[str]) -> list[_Wanted]:
    """Nodes made by hand whose parent goes, under the nearest one that stays."""
    lifted = []
    for node_id in gone:
        for child in tree.children_of(node_id):
            if child.id not in gone and child.id not in named:
                parent = child.parent_id
                while parent in gone:
                    parent = tree.nodes[parent].parent_id
                lifted.append(_Wanted(child.id, child, None, parent or tree.channel_id, child.slug))
    return lifted


def _families(tree: Tree, wanted: Iterable[_Wanted], gone: set[str]) -> Iterable[list[_Wanted]]:
    """The children of every parent that is touched, in their new order: those made by hand keep their places."""
    families: dict[str, list[_Wanted]] = {}
    moved = set()
    for one in wanted:
        families.setdefault(one.parent_id, []).append(one)
        moved.add(one.id)
    for parent, family in families.items():
        for place, child in enumerate(tree.child_ids(parent)):
            if child not in gone and child not in moved:
                node = tree.nodes[child]
                family.insert(min(place, len(family)), _Wanted(child, node, None, parent, node.slug))
    return families.values()


def _distinct(family: list[_Wanted]) -> list[_Wanted]:
    """The family with a number behind slugs that others have; nodes that are there already keep theirs."""
    if len({one.slug for one in family}) == len(family):
        return family
    taken: dict[str, str] = {}
    for one in family:
        if one.old is not None and one.old.slug == one.slug and one.old.parent_id == one.parent_id:
            taken.setdefault(one.slug, one.id)
    return [_with_free_slug(one, taken) for one in family]


def _with_free_slug(one: _Wanted, taken: dict[str, str]) -> _Wanted:
    slug, number = one.slug, 1
    while taken.setdefault(slug, one.id) != one.id:
        number += 1
        slug = f"{one.slug[: MAX_SLUG - 8].rstrip('-_.')}-{number}"
    return one._replace(slug=slug)


def _placed(family: list[_Wanted]) -> Iterable[Node]:
    """The nodes of a family that are new or changed, at positions that rise; as few as possible change."""
    for one, position in zip(family, _positions(family), strict=True):
        node = _node(one, position)
        if node is not one.old:
            yield node


def _positions(family: list[_Wanted]) -> list[int]:
    """A position for each child: the one it has, where these rise; between them for new ones; else all anew."""
    known = [one.old.position if one.old and one.old.parent_id == one.parent_id else None for one in family]
    fixed = [position for position in known if position is not None]
    if not fixed:
        return [place * GAP for place in range(len(family))]
    filled: list[int] = []
    for position, following in zip(known, _following(known), strict=True):
        if position is not None:
            filled.append(position)
        elif following is None:
            filled.append(filled[-1] + GAP)
        else:
            before = filled[-1] if filled else following - 2 * GAP
            filled.append((before + following) // 2)
    if any(later <= earlier for earlier, later in pairwise(filled)):
        return [place * GAP for place in range(len(family))]
    return filled


def _following(positions: list[int | None]) -> list[int | None]:
    """For each place, the next position behind it that is fixed."""
    found: list[int | None] = []
    nearest = None
    for position in reversed(positions):
        found.append(nearest)
        nearest = nearest if position is None else position
    return found[::-1]


def _node(one: _Wanted, position: int) -> Node:
    """The node as its entry says, or the one there was if nothing is different."""
    entry, old = one.entry, one.old
    if entry is None:
        return _changed(one, position, None, None)
    if old is not None:
        kind = "category" if entry.parent is not None else entry.kind or old.kind
        node = _changed(one, position, kind, entry.name)
    else:
        kind = entry.kind or ("section" if entry.parent is None else "category")
        node = Node(one.id, kind, one.parent_id, position, one.slug, entry.name, entry.external_id)
    if kind == "section" and entry.parent is not None:
        raise InvalidInput(field=f"line {entry.line}", reason=f"the section {entry.name!r} can only stand at the top")
    if entry.slug or entry.translations or entry.attributes or entry.rules:
        return _with_extras(node, entry)
    return node  # name and slug were checked on reading


def _changed(one: _Wanted, position: int, kind: str | None, name: str | None) -> Node:
    old = one.old
    assert old is not None
    node = old._replace(
        kind=kind or old.kind, parent_id=one.parent_id, position=position, slug=one.slug, name=name or old.name
    )
    return old if node == old else node


def _with_extras(node: Node, entry: Entry) -> Node:
    full = checked(
        node._replace(
            translations=freeze(entry.translations) if entry.translations else node.translations,
            attributes=freeze(entry.attributes) if entry.attributes else node.attributes,
            rules=tuple(map(rule_from_json, entry.rules)) if entry.rules else node.rules,
        )
    )
    return node if full == node else full
