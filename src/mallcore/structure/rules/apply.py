"""Applying edits: a tree and edits in, the new tree and what changed out; or a refusal, and nothing has happened.

The rules that hold in every tree: one root; every parent is there; no loops; siblings have different slugs; sections
stand at the top; no path is longer than `MAX_DEPTH`; an external id belongs to one node.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from mallcore.errors import (
    AlreadyExists,
    DuplicateExternalId,
    DuplicateSlug,
    HasChildren,
    InvalidInput,
    LimitExceeded,
    MisplacedSection,
    UnknownNode,
    WouldCreateLoop,
)
from mallcore.structure.rules.edits import (
    Create,
    Edit,
    Move,
    Put,
    Remove,
    Rename,
    Reorder,
    SetAttributes,
    SetRules,
)
from mallcore.structure.rules.merchandising import checked_rule
from mallcore.structure.rules.nodes import (
    EMPTY,
    GAP,
    KINDS,
    MAX_DEPTH,
    MAX_RULES,
    Node,
    checked_attributes,
    checked_name,
    checked_slug,
    checked_translations,
)
from mallcore.structure.rules.tree import Tree
from mallcore.structure.rules.workbench import Evolution, Workbench

MAX_EXTERNAL_ID = 200


def evolve(tree: Tree, edits: Iterable[Edit]) -> Evolution:
    """Apply edits in order. Raises the error of the first that breaks a rule; the tree given is never changed."""
    bench = Workbench(tree)
    for edit in edits:
        _APPLY[type(edit)](bench, edit)
    return bench.finish()


def apply(tree: Tree, edits: Iterable[Edit]) -> Tree:
    """The tree that the edits make.

    >>> root = Node("chn_1", "channel", None, 0, "books", "Books")
    >>> before = Tree.of("chn_1", [root])
    >>> after = apply(before, [Create(Node("cat_1", "category", "chn_1", 0, "crime", "Crime"))])
    >>> len(before), len(after), after.find("crime").name
    (0, 1, 'Crime')
    """
    return evolve(tree, edits).tree


def _place(bench: Workbench, parent_id: str, index: int | None, moving: str | None = None) -> int:
    """A position for an index among the children (not counting the one that moves)."""
    family = [one for one in bench.family(parent_id) if one[1] != moving]
    if not family:
        return 0
    if index is None or index >= len(family):
        return family[-1][0] + GAP
    if index <= 0:
        return family[0][0] - GAP
    before, after = family[index - 1][0], family[index][0]
    if after - before > 1:
        return (before + after) // 2
    _number(bench, [child for _, child in family])
    return index * GAP - GAP // 2


def _number(bench: Workbench, children: Iterable[str]) -> None:
    """Give children positions in this order."""
    for place, child in enumerate(children):
        node = bench.node(child)
        if node.position != place * GAP:
            bench.put(node._replace(position=place * GAP))


def _check_place(bench: Workbench, node: Node, levels_below: int) -> None:
    parent = bench.node(node.parent_id or "")
    if node.kind == "section" and parent.kind != "channel":
        raise MisplacedSection(node=node.slug)
    depth = bench.depth(parent.id) + 1 + levels_below
    if depth > MAX_DEPTH:
        raise LimitExceeded(what="the depth of the tree", actual=depth, limit=MAX_DEPTH)


def _create(bench: Workbench, edit: Create) -> None:
    node = edit.node
    if bench.get(node.id) is not None:
        raise AlreadyExists(what="node", name=node.id)
    if node.kind not in KINDS[1:]:
        raise InvalidInput(field="kind", reason=f"{node.kind!r} is neither 'section' nor 'category'")
    bench.node(node.parent_id or "")
    _check_place(bench, node, 0)
    bench.put(checked(node)._replace(position=_place(bench, node.parent_id or "", edit.index)))


def checked(node: Node) -> Node:
    """The node with every field checked and frozen."""
    if node.external_id is not None and not (
        0 < len(node.external_id) <= MAX_EXTERNAL_ID and node.external_id.isprintable()
    ):
        raise InvalidInput(field="external_id", reason=f"it needs 1 to {MAX_EXTERNAL_ID} printable characters")
    return node._replace(
        name=checked_name(node.name),
        slug=checked_slug(node.slug),
        translations=checked_translations(node.translations),
        attributes=checked_attributes(node.attributes),
        rules=_checked_rules(node.rules),
    )


def _checked_rules(rules: tuple[Any, ...]) -> tuple[Any, ...]:
    if len(rules) > MAX_RULES:
        raise LimitExceeded(what="the number of rules", actual=len(rules), limit=MAX_RULES)
    return tuple(checked_rule(rule) for rule in rules)


def _rename(bench: Workbench, edit: Rename) -> None:
    node = bench.node(edit.id)
    if edit.slug is not None and node.parent_id is None and edit.slug != node.slug:
        raise InvalidInput(field="slug", reason="a channel keeps the slug it was created with")
    bench.put(
        node._replace(
            name=node.name if edit.name is None else checked_name(edit.name),
            slug=node.slug if edit.slug is None else checked_slug(edit.slug),
            translations=node.translations if edit.translations is None else checked_translations(edit.translations),
        )
    )


def _move(bench: Workbench, edit: Move) -> None:
    node = bench.inner(edit.id)
    parent: Node | None = bench.node(edit.parent_id)
    while parent is not None:
        if parent.id == node.id:
            raise WouldCreateLoop(node=node.slug, parent=bench.node(edit.parent_id).slug)
        parent = bench.get(parent.parent_id) if parent.parent_id is not None else None
    moved = node._replace(parent_id=edit.parent_id)
    _check_place(bench, moved, bench.height(node.id))
    if _stands_there(bench, node, edit):
        return
    position = _place(bench, edit.parent_id, edit.index, node.id)
    bench.put(moved._replace(position=position))


def _stands_there(bench: Workbench, node: Node, edit: Move) -> bool:
    """Whether a move leads to where the node is: then it must not even get another position."""
    if node.parent_id != edit.parent_id:
        return False
    family = bench.child_ids(edit.parent_id)
    last = len(family) - 1
    return family.index(node.id) == (last if edit.index is None else min(max(edit.index, 0), last))


def _reorder(bench: Workbench, edit: Reorder) -> None:
    bench.node(edit.id)
    present = bench.child_ids(edit.id)
    known = set(present)
    for child in edit.children:
        if child not in known:
            raise UnknownNode(node=child)
    named = set(edit.children)
    if len(named) != len(edit.children):
        raise InvalidInput(field="children", reason="a child is named twice")
    wanted = [*edit.children, *(child for child in present if child not in named)]
    if wanted != present:
        _number(bench, wanted)


def _set_attributes(bench: Workbench, edit: SetAttributes) -> None:
    node = bench.node(edit.id)
    kept = {} if edit.replace else dict(node.attributes)
    merged = {key: value for key, value in {**kept, **edit.attributes}.items() if value is not None}
    bench.put(node._replace(attributes=checked_attributes(merged) if merged else EMPTY))


def _set_rules(bench: Workbench, edit: SetRules) -> None:
    bench.put(bench.node(edit.id)._replace(rules=_checked_rules(edit.rules)))


def _remove(bench: Workbench, edit: Remove) -> None:
    node = bench.inner(edit.id)
    children = bench.child_ids(node.id)
    if children and edit.policy == "restrict":
        raise HasChildren(node=node.slug, count=len(children))
    if edit.policy == "cascade":
        bench.replace(dict.fromkeys([node.id, *bench.below(node.id)]))
        return
    index = bench.child_ids(node.parent_id or "").index(node.id)
    bench.drop(node)
    for offset, child in enumerate(children):
        lifted = bench.node(child)._replace(parent_id=node.parent_id)
        bench.put(lifted._replace(position=_place(bench, node.parent_id or "", index + offset, child)))


def _put(bench: Workbench, edit: Put) -> None:
    roots = [node for node in edit.nodes if node.parent_id is None]
    if bench.tree.channel_id in edit.removed or any(node.id != bench.tree.channel_id for node in roots):
        raise InvalidInput(field="nodes", reason="a channel has one root, and keeps it")
    wanted: dict[str, Node | None] = {**dict.fromkeys(edit.removed, None), **{node.id: node for node in edit.nodes}}
    _check_external_ids(bench, edit, wanted)
    bench.replace(wanted)
    _check_whole(bench, edit)


def _check_external_ids(bench: Workbench, edit: Put, wanted: Mapping[str, Node | None]) -> None:
    seen: dict[str, str] = {}
    for node in edit.nodes:
        if node.external_id is not None:
            owner = bench.owner(node.external_id)
            if owner is None or owner in wanted:  # it gives the id up, or is among these nodes and seen here
                owner = seen.setdefault(node.external_id, node.id)
            if owner != node.id:
                raise DuplicateExternalId(external_id=node.external_id, node=owner)


def _check_whole(bench: Workbench, edit: Put) -> None:
    """The rules of `put` for many nodes at once, when all of them are in place."""
    for gone in edit.removed:
        for child in bench.child_ids(gone):
            raise UnknownNode(f"The parent of {child!r} would be gone.", node=gone)
    parents = {node.parent_id for node in edit.nodes if node.parent_id is not None}
    for parent_id in parents:
        bench.node(parent_id)
        _check_siblings(bench, parent_id)
    depths: dict[str, int] = {bench.tree.channel_id: 0}
    for node in edit.nodes:
        if node.kind == "section" and node.parent_id != bench.tree.channel_id:
            raise MisplacedSection(node=node.slug)
        known = bench.before(node.id)
        moved = known is not None and known.parent_id != node.parent_id
        depth = _depth(bench, node.id, depths)  # first: it finds loops, in which a height has no end
        deepest = depth + (bench.height(node.id) if moved else 0)
        if deepest > MAX_DEPTH:
            raise LimitExceeded(what="the depth of the tree", actual=deepest, limit=MAX_DEPTH)


def _check_siblings(bench: Workbench, parent_id: str) -> None:
    seen: set[str] = set()
    for child in bench.child_ids(parent_id):
        slug = bench.node(child).slug
        if slug in seen:
            raise DuplicateSlug(slug=slug, parent=bench.node(parent_id).slug)
        seen.add(slug)


def _depth(bench: Workbench, node_id: str, depths: dict[str, int]) -> int:
    line: list[str] = []
    current = node_id
    while current not in depths:
        line.append(current)
        if len(line) > MAX_DEPTH + 1:
            raise _loop_or_deep(bench, line)
        current = bench.node(current).parent_id or bench.tree.channel_id
    base = depths[current]
    for distance, one in enumerate(reversed(line), 1):
        depths[one] = base + distance
    return depths[node_id]


def _loop_or_deep(bench: Workbench, line: list[str]) -> Exception:
    if len(set(line)) < len(line):
        node = bench.node(line[0])
        return WouldCreateLoop(node=node.slug, parent=bench.node(node.parent_id or "").slug)
    return LimitExceeded(what="the depth of the tree", actual=len(line), limit=MAX_DEPTH)


_APPLY: dict[type[Any], Callable[[Workbench, Any], None]] = {
    Create: _create,
    Rename: _rename,
    Move: _move,
    Reorder: _reorder,
    SetAttributes: _set_attributes,
    SetRules: _set_rules,
    Remove: _remove,
    Put: _put,
}
