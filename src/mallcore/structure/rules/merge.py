"""Three-way merge: what a draft changed since its base, brought onto a head that moved on; never silently over it.

Fields of a node are merged one by one. A clash is reported per node and settled by ``ours`` (the draft's) or ``theirs``
(the head's).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

from mallcore.errors import MallError
from mallcore.structure.rules.apply import evolve
from mallcore.structure.rules.diff import changed_ids
from mallcore.structure.rules.edits import Put
from mallcore.structure.rules.nodes import FIELDS, MAX_DEPTH, Node, alike
from mallcore.structure.rules.tree import Tree
from mallcore.structure.rules.workbench import external_ids

Side = Literal["ours", "theirs"]


class Clash(NamedTuple):
    """One thing two sides disagree on. ``field`` is a node's field, ``removed``, or the code of a broken rule."""

    node: str
    field: str
    base: Any
    ours: Any
    theirs: Any
    reason: str


class Merge(NamedTuple):
    """What to do to the head, and what stands in the way. Nothing may be done while there are clashes."""

    edit: Put
    clashes: tuple[Clash, ...]


def merge(base: Tree, ours: Tree, head: Tree, settled: Mapping[str, Side] | None = None) -> Merge:
    """Bring the difference between ``base`` and ``ours`` onto ``head``.

    ``settled`` says, by node id (``*`` for all others), which side wins where they clash.
    """
    settled = settled or {}
    nodes: list[Node] = []
    removed: list[str] = []
    clashes: list[Clash] = []
    for node_id in sorted(changed_ids(base, ours)):
        side = _side(settled, node_id)
        outcome, found = _merge_node(base.get(node_id), ours.get(node_id), head.get(node_id), side)
        clashes.extend(Clash(node_id, *one) for one in found)
        if outcome is _GONE:
            removed.append(node_id)
        elif isinstance(outcome, Node):
            nodes.append(outcome)
    gone = _removable(head, removed, nodes, settled)
    edit = Put(tuple(nodes), tuple(_with_later_children(head, gone, nodes, settled)))
    if not clashes:
        clashes.extend(_orphans(head, edit))
    if not clashes:
        edit, clashes = _fitting(head, edit, settled)
    return Merge(edit, tuple(clashes))


_GONE = object()
_Found = list[tuple[str, Any, Any, Any, str]]


def _side(settled: Mapping[str, Side], node_id: str) -> Side | None:
    return settled.get(node_id) or settled.get("*")


def _merge_node(base: Node | None, ours: Node | None, head: Node | None, side: Side | None) -> tuple[Any, _Found]:
    """The node to put, ``_GONE`` to remove it, or ``None`` to leave the head as it is; and the clashes."""
    if ours is None:
        return _merge_removal(base, head, side)
    if head is None:
        return _merge_missing(base, ours, side)
    if base is None:
        base = head if side == "ours" else ours  # both sides put the same id: restored or rolled back on both
    fields, clashes = {}, []
    for name in FIELDS:
        b, o, h = getattr(base, name), getattr(ours, name), getattr(head, name)
        if alike(o, b) or alike(o, h):
            continue
        if alike(h, b) or side == "ours" or name == "position":
            fields[name] = o
        elif side is None:
            clashes.append((name, b, o, h, "both sides changed it"))
    return (head._replace(**fields) if fields else None), clashes


def _merge_removal(base: Node | None, head: Node | None, side: Side | None) -> tuple[Any, _Found]:
    if head is None:
        return None, []
    unchanged = base is not None and head._replace(position=base.position) == base
    if unchanged or side == "ours":
        return _GONE, []
    if side == "theirs":
        return None, []
    return None, [("removed", None, None, None, "the draft removes what was changed since")]


def _merge_missing(base: Node | None, ours: Node, side: Side | None) -> tuple[Any, _Found]:
    if base is None or side == "ours":
        return ours, []
    if side == "theirs" or ours._replace(position=base.position) == base:
        return None, []
    return None, [("removed", None, None, None, "the draft changes what was removed since")]


def _removable(head: Tree, removed: list[str], nodes: list[Node], settled: Mapping[str, Side]) -> list[str]:
    """What is removed after all: settled by ``theirs``, a node stays when the head put something below it."""
    gone, moved = set(removed), {node.id for node in nodes}
    again = True
    while again:
        staying = {
            node_id
            for node_id in gone
            if _side(settled, node_id) == "theirs"
            and any(child not in gone and child not in moved for child in head.child_ids(node_id))
        }
        gone -= staying
        again = bool(staying)
    return [node_id for node_id in removed if node_id in gone]


def _with_later_children(head: Tree, removed: list[str], nodes: list[Node], settled: Mapping[str, Side]) -> list[str]:
    """What is removed, and, settled by ``ours``, what the head put below it since."""
    moved, gone = {node.id for node in nodes}, set(removed)
    waiting = [node_id for node_id in removed if _side(settled, node_id) == "ours"]
    later = []
    while waiting:
        for child in head.child_ids(waiting.pop()):
            if child not in moved:
                waiting.append(child)
                if child not in gone:
                    gone.add(child)
                    later.append(child)
    return [*removed, *later]


def _orphans(head: Tree, edit: Put) -> list[Clash]:
    """Nodes that the head put below what the draft removes."""
    gone, kept = set(edit.removed), {node.id for node in edit.nodes}
    return [
        Clash(node_id, "removed", None, None, child, "the draft removes it, but a node was put below it since")
        for node_id in edit.removed
        for child in head.child_ids(node_id)
        if child not in gone and child not in kept
    ]


def _fitting(head: Tree, edit: Put, settled: Mapping[str, Side]) -> tuple[Put, list[Clash]]:
    """The edit without nodes that break a rule on this head and are settled by ``theirs``; and what still clashes."""
    while True:
        try:
            evolve(head, [edit])
            return edit, []
        except MallError as error:
            guilty = _guilty(head, edit) or {node.id for node in edit.nodes} | set(edit.removed)
            yielding = {node_id for node_id in guilty if _side(settled, node_id) == "theirs"}
            if not yielding:
                return edit, [Clash(one, error.code, None, None, None, str(error)) for one in sorted(guilty)]
        edit = Put(
            tuple(node for node in edit.nodes if node.id not in yielding),
            tuple(node_id for node_id in edit.removed if node_id not in yielding),
        )


def _guilty(head: Tree, edit: Put) -> set[str]:
    """The draft's nodes that break a rule of every tree when they are put into this head."""
    put = {node.id: node for node in edit.nodes}
    gone = set(edit.removed)

    def there(node_id: str | None) -> Node | None:
        return None if node_id is None or node_id in gone else put.get(node_id) or head.get(node_id)

    return {
        *(node.id for node in edit.nodes if node.parent_id is not None and _misplaced(node, there)),
        *_taken(head, put, gone),
        *(one for one in gone if any(child not in gone for child in head.child_ids(one) if child not in put)),
        *(parent for node in edit.nodes if (parent := node.parent_id) in gone and parent is not None),
    }


def _misplaced(node: Node, there: Callable[[str | None], Node | None]) -> bool:
    """Whether a node hangs below nothing, below itself, too deep, or is a section below the top."""
    parent = there(node.parent_id)
    if node.kind == "section" and parent is not None and parent.kind != "channel":
        return True
    levels = 0
    while parent is not None and parent.parent_id is not None:
        levels += 1
        if parent.id == node.id or levels >= MAX_DEPTH:
            return True
        parent = there(parent.parent_id)
    return parent is None


def _taken(head: Tree, put: Mapping[str, Node], gone: set[str]) -> set[str]:
    """The draft's nodes that have another's slug beside them, or another's external id."""
    families: dict[tuple[str | None, str], set[str]] = {}
    stay = [one for parent in {node.parent_id for node in put.values()} for one in head.children_of(parent or "")]
    for node in (*put.values(), *(one for one in stay if one.id not in put and one.id not in gone)):
        families.setdefault((node.parent_id, node.slug), set()).add(node.id)
    known = external_ids(head)
    owners = {node.id: known.get(node.external_id) for node in put.values() if node.external_id is not None}
    doubled = {one for one, owner in owners.items() if owner not in (None, one) and owner not in gone | put.keys()}
    return doubled | {one for family in families.values() if len(family) > 1 for one in family if one in put}
