"""What is different between two trees, node by node: as values, and as text."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from mallcore.structure.rules.nodes import FIELDS, Node, alike
from mallcore.structure.rules.tree import Tree

_NAMING = {"name", "slug", "translations"}


class NodeChange(NamedTuple):
    """One node's difference. ``kinds`` is added, or removed, or some of moved, renamed, reordered, changed.

    ``fields`` names what differs; ``before_path`` and ``after_path`` are slugs joined by ``/``.
    """

    id: str
    kinds: tuple[str, ...]
    before: Node | None
    after: Node | None
    fields: tuple[str, ...]
    before_path: str | None
    after_path: str | None


def changed_ids(before: Tree, after: Tree) -> Iterator[str]:
    """The ids of nodes that are not the same in both trees; what the trees share is passed over."""
    return after.nodes.differing(before.nodes)


def diff(before: Tree, after: Tree, ids: Iterable[str] | None = None) -> list[NodeChange]:
    """All differences in the order of their paths; ``ids`` narrows the search to nodes known to differ.

    >>> root = Node("chn_1", "channel", None, 0, "books", "Books")
    >>> old = Tree.of("chn_1", [root])
    >>> new = Tree.of("chn_1", [root, Node("cat_1", "category", "chn_1", 0, "crime", "Crime")])
    >>> print(as_text(diff(old, new)))
    + crime  "Crime"
    """
    candidates = sorted(changed_ids(before, after) if ids is None else ids)
    reordered = _reordered(before, after, candidates)
    changes = (_change(before, after, node_id, node_id in reordered) for node_id in candidates)
    return sorted((change for change in changes if change is not None), key=_by_path)


def _by_path(change: NodeChange) -> tuple[str, str]:
    return change.after_path if change.after_path is not None else change.before_path or "", change.id


def _change(before: Tree, after: Tree, node_id: str, reordered: bool) -> NodeChange | None:
    old, new = before.get(node_id), after.get(node_id)
    if old is None or new is None:
        if old is new:
            return None
        kinds: tuple[str, ...] = ("added",) if old is None else ("removed",)
        fields: tuple[str, ...] = ()
    else:
        fields = tuple(
            f for f in FIELDS if not alike(getattr(old, f), getattr(new, f)) and (f != "position" or reordered)
        )
        kinds = tuple(_kinds(fields))
        if not kinds:
            return None
    return NodeChange(
        node_id, kinds, old, new, fields, before.path(node_id) if old else None, after.path(node_id) if new else None
    )


def _kinds(fields: Sequence[str]) -> Iterator[str]:
    if "parent_id" in fields:
        yield "moved"
    elif "position" in fields:
        yield "reordered"
    if not _NAMING.isdisjoint(fields):
        yield "renamed"
    if set(fields) - _NAMING - {"parent_id", "position"}:
        yield "changed"


def _reordered(before: Tree, after: Tree, ids: Iterable[str]) -> set[str]:
    """The fewest siblings whose moving explains the new order; a mere renumbering is none."""
    parents = set()
    for node_id in ids:
        old, new = before.get(node_id), after.get(node_id)
        if old and new and old.parent_id == new.parent_id and old.position != new.position and new.parent_id:
            parents.add(new.parent_id)
    found: set[str] = set()
    for parent in parents:
        place = {child: index for index, child in enumerate(before.child_ids(parent))}
        common = [child for child in after.child_ids(parent) if child in place]
        found.update(set(common) - _longest_rising(common, [place[child] for child in common]))
    return found


def _longest_rising(ids: Sequence[str], places: Sequence[int]) -> set[str]:
    """The ids of one longest run of rising places (patience sorting)."""
    tops: list[int] = []
    top_index: list[int] = []
    previous: list[int] = []
    for index, place in enumerate(places):
        pile = bisect_left(tops, place)
        previous.append(top_index[pile - 1] if pile else -1)
        if pile == len(tops):
            tops.append(place)
            top_index.append(index)
        else:
            tops[pile], top_index[pile] = place, index
    kept, index = set(), top_index[-1] if top_index else -1
    while index >= 0:
        kept.add(ids[index])
        index = previous[index]
    return kept


def as_text(changes: Iterable[NodeChange]) -> str:
    """The differences as lines: ``+`` added, ``-`` removed, ``>`` moved, ``~`` changed."""
    return "\n".join(_line(change) for change in changes)


def _line(change: NodeChange) -> str:
    if change.before is None:
        return f"+ {change.after_path}  {_quoted(change.after)}"
    if change.after is None:
        return f"- {change.before_path}  {_quoted(change.before)}"
    path = change.after_path or "(channel)"
    line = f"> {change.before_path} -> {path}" if "moved" in change.kinds else f"~ {path}"
    details = list(_details(change.before, change.after, change))
    return f"{line}  {', '.join(details)}" if details else line


def _details(before: Node, after: Node, change: NodeChange) -> Iterator[str]:
    if before.name != after.name:
        yield f"{_quoted(before)} -> {_quoted(after)}"
    if before.slug != after.slug and "moved" not in change.kinds:
        yield f"slug {before.slug} -> {after.slug}"
    if "reordered" in change.kinds:
        yield "order"
    yield from (field for field in change.fields if field not in {"name", "slug", "parent_id", "position"})


def _quoted(node: Node | None) -> str:
    return f'"{node.name}"' if node else ""
