"""Three-way merge: what a draft changed since its base, brought onto a head that moved on; never silently over it.

Fields of a node are merged one by one. A clash is reported per node and settled by ``ours`` (the draft's) or ``theirs``
(the head's).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from mallcore.errors import MallError
from mallcore.structure.rules.apply import evolve
from mallcore.structure.rules.diff import changed_ids
from mallcore.structure.rules.edits import Put
from mallcore.structure.rules.nodes import FIELDS, Node
from mallcore.structure.rules.tree import Tree

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
    edit = Put(tuple(nodes), tuple(_removable(head, removed, nodes, settled)))
    if not clashes:
        clashes.extend(_orphans(head, edit) or _broken(head, edit))
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
        base = head if side == "theirs" else ours  # both sides put the same id: restored or rolled back on both
    fields, clashes = {}, []
    for name in FIELDS:
        b, o, h = getattr(base, name), getattr(ours, name), getattr(head, name)
        if o in (b, h):
            continue
        if h == b or side == "ours" or name == "position":
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
    if side == "theirs":
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


def _orphans(head: Tree, edit: Put) -> list[Clash]:
    """Nodes that the head put below what the draft removes."""
    gone, kept = set(edit.removed), {node.id for node in edit.nodes}
    return [
        Clash(node_id, "removed", None, None, child, "the draft removes it, but a node was put below it since")
        for node_id in edit.removed
        for child in head.child_ids(node_id)
        if child not in gone and child not in kept
    ]


def _broken(head: Tree, edit: Put) -> list[Clash]:
    """The rule that the merged tree would break, if any."""
    try:
        evolve(head, [edit])
    except MallError as error:
        node = str(error.details.get("node") or error.details.get("slug") or "")
        return [Clash(_id_of(node, edit), error.code, None, None, None, str(error))]
    return []


def _id_of(name: str, edit: Put) -> str:
    """The id of the draft's node a broken rule names, so that it can be settled."""
    return next((node.id for node in edit.nodes if name in (node.id, node.slug)), name)
