"""Bytes of a tree: JSON made once per revision, depth and locale, and kept with the tree it shows."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from json.encoder import encode_basestring
from typing import Any

from mallcore.structure.rules.nodes import Node
from mallcore.structure.rules.tree import Tree

_MEMO_BYTES = 64 << 20  # what one tree keeps of its renderings, or one that is larger


def tree_json(tree: Tree, start: str, depth: int | None, locale: str | None) -> bytes:
    """A node's subtree as the JSON of a `TreeShape`: the channel, the revision, and nested nodes."""
    return remembered(tree, (start, depth, locale), lambda: _tree_json(tree, start, depth, locale))


def cached_tree_json(tree: Tree, start: str, depth: int | None, locale: str | None) -> bytes | None:
    """The same bytes if they were made before."""
    found: bytes | None = _kept(tree).get((start, depth, locale))
    return found


def remembered(tree: Tree, key: tuple[Any, ...], make: Callable[[], bytes]) -> bytes:
    """Bytes derived from a tree, made on first use; when too many are kept, the rest make way for the newest."""
    kept = _kept(tree)
    known: bytes | None = kept.get(key)
    if known is not None:
        return known
    made = make()
    spent = tree.memo.get(_MEMO_BYTES, 0) + len(made)
    if spent > _MEMO_BYTES:
        kept.clear()
        spent = len(made)
    tree.memo[_MEMO_BYTES] = spent
    kept[key] = made
    return made


def _kept(tree: Tree) -> dict[Any, bytes]:
    kept: dict[Any, bytes] | None = tree.memo.get(remembered)
    return tree.memo.setdefault(remembered, {}) if kept is None else kept


def _tree_json(tree: Tree, start: str, depth: int | None, locale: str | None) -> bytes:
    root = tree.root
    head = {
        "channel": tree.channel_id,
        "slug": root.slug,
        "name": root.name_in(locale),
        "locale": locale or root.attributes.get("locale", "en"),
        "currency": root.attributes.get("currency", "EUR"),
        "revision": tree.revision,
        "digest": tree.digest,
    }
    opening = json.dumps(head, ensure_ascii=False, separators=(",", ":"))[:-1]
    return "".join([opening, ',"nodes":', *_nested(tree, start, depth, locale), "}"]).encode()


def _nested(tree: Tree, start: str, depth: int | None, locale: str | None) -> Iterator[str]:
    """The JSON of a list of nodes in pieces, without recursion: a tree may be deep."""
    top = [start] if start != tree.channel_id else tree.child_ids(start)
    nodes, children = tree.nodes, tree.children
    limit = depth or 1 << 30
    yield "["
    stack: list[Iterator[str]] = [iter(top)]
    first = True
    while stack:
        node_id = next(stack[-1], None)
        if node_id is None:
            stack.pop()
            if stack:
                yield "]}"
            first = False
            continue
        yield _opening(nodes[node_id], locale) if first else "," + _opening(nodes[node_id], locale)
        below = children.get(node_id)
        if below and len(stack) < limit:
            stack.append(iter(below))
            first = True
        else:
            yield "]}"
            first = False
    yield "]"


def _opening(node: Node, locale: str | None) -> str:
    external = "null" if node.external_id is None else encode_basestring(node.external_id)
    return (
        f'{{"id":"{node.id}","kind":"{node.kind}","slug":"{node.slug}",'
        f'"name":{encode_basestring(node.name_in(locale))},"external_id":{external},"children":['
    )
