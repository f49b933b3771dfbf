"""The tree of a channel: immutable, and shared between revisions but for what changed.

Nodes lie in `Buckets`, about √n small dictionaries; a change copies the ones it touches and the row that holds them, so
an edit of a million nodes costs some ten microseconds and an old tree stays as it was.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

from mallcore.errors import UnknownNode
from mallcore.structure.rules.nodes import Node, alike

V = TypeVar("V")
NEVER = datetime(1970, 1, 1, tzinfo=UTC)


class Buckets(Mapping[str, V], Generic[V]):
    """A persistent mapping: `updated` gives a new one that shares all buckets it did not touch."""

    __slots__ = ("_parts", "_size")

    def __init__(self, parts: list[dict[str, V]], size: int) -> None:
        self._parts = parts
        self._size = size

    @classmethod
    def of(cls, items: Mapping[str, V]) -> Buckets[V]:
        """Buckets that hold these items."""
        count = 8
        while count * count < len(items):
            count *= 2
        parts: list[dict[str, V]] = [{} for _ in range(count)]
        for key, value in items.items():
            parts[hash(key) & (count - 1)][key] = value
        return cls(parts, len(items))

    def __getitem__(self, key: str) -> V:
        parts = self._parts
        return parts[hash(key) & (len(parts) - 1)][key]

    def get(self, key: object, default: Any = None) -> Any:
        parts = self._parts
        return parts[hash(key) & (len(parts) - 1)].get(key, default)  # type: ignore[call-overload]

    def __contains__(self, key: object) -> bool:
        parts = self._parts
        return key in parts[hash(key) & (len(parts) - 1)]

    def __iter__(self) -> Iterator[str]:
        for part in self._parts:
            yield from part

    def __len__(self) -> int:
        return self._size

    def updated(self, changes: Mapping[str, V | None]) -> Buckets[V]:
        """These items with some replaced, added, or (``None``) removed."""
        if len(changes) * 2 > self._size or self._size > 16 * len(self._parts) ** 2:
            return self._rebuilt(changes)
        parts, mask = list(self._parts), len(self._parts) - 1
        copied: set[int] = set()
        size = self._size
        for key, value in changes.items():
            place = hash(key) & mask
            if place not in copied:
                copied.add(place)
                parts[place] = dict(parts[place])
            size += _put(parts[place], key, value)
        return Buckets(parts, size)

    def _rebuilt(self, changes: Mapping[str, V | None]) -> Buckets[V]:
        merged: dict[str, V] = {}
        for part in self._parts:
            merged.update(part)
        for key, value in changes.items():
            _put(merged, key, value)
        return Buckets.of(merged)

    def differing(self, other: Buckets[V]) -> Iterator[str]:
        """The keys whose values differ; buckets that both share are passed over."""
        if len(self._parts) != len(other._parts):
            yield from _differing(dict(self), dict(other))
            return
        for mine, theirs in zip(self._parts, other._parts, strict=True):
            if mine is not theirs:
                yield from _differing(mine, theirs)


def _put(part: dict[str, V], key: str, value: V | None) -> int:
    before = len(part)
    if value is None:
        part.pop(key, None)
    else:
        part[key] = value
    return len(part) - before


def _differing(mine: dict[str, V], theirs: dict[str, V]) -> Iterator[str]:
    for key in mine.keys() | theirs.keys():
        one, other = mine.get(key), theirs.get(key)
        if not alike(one, other):
            yield key


class Tree:
    """One revision of a channel, in memory.

    ``children`` maps a node's id to the ids of its children in order; a leaf has no entry. ``memo`` holds what was
    derived from this very revision (rendered bytes, indexes) and goes with it.
    """

    __slots__ = ("at", "channel_id", "children", "digest", "memo", "nodes", "revision")

    def __init__(
        self,
        channel_id: str,
        nodes: Buckets[Node],
        children: Buckets[tuple[str, ...]],
        revision: int = 0,
        digest: str = "",
        at: datetime = NEVER,
    ) -> None:
        self.channel_id = channel_id
        self.nodes = nodes
        self.children = children
        self.revision = revision
        self.digest = digest
        self.at = at
        self.memo: dict[Any, Any] = {}

    @classmethod
    def of(
        cls, channel_id: str, nodes: Iterable[Node], revision: int = 0, digest: str = "", at: datetime = NEVER
    ) -> Tree:
        """The tree that these nodes make; one of them is the root, whose id is the channel's."""
        known = {node.id: node for node in nodes}
        families: dict[str, list[Node]] = {}
        for node in known.values():
            if node.parent_id is not None:
                families.setdefault(node.parent_id, []).append(node)
        children = {parent: tuple(node.id for node in sorted(family, key=order)) for parent, family in families.items()}
        return cls(channel_id, Buckets.of(known), Buckets.of(children), revision, digest, at)

    def as_revision(self, revision: int, digest: str, at: datetime) -> Tree:
        """The same nodes under a revision's number, digest and time; takes the memo along."""
        tree = Tree(self.channel_id, self.nodes, self.children, revision, digest, at)
        tree.memo = self.memo
        return tree

    @property
    def root(self) -> Node:
        """The channel itself."""
        return self.nodes[self.channel_id]

    def __len__(self) -> int:
        """How many sections and categories there are."""
        return len(self.nodes) - 1

    def __contains__(self, node_id: object) -> bool:
        return node_id in self.nodes

    def get(self, node_id: str) -> Node | None:
        """The node, or nothing."""
        found: Node | None = self.nodes.get(node_id)
        return found

    def node(self, node_id: str) -> Node:
        """The node; `UnknownNode` when there is none."""
        found: Node | None = self.nodes.get(node_id)
        if found is None:
            raise UnknownNode(node=node_id)
        return found

    def child_ids(self, node_id: str) -> tuple[str, ...]:
        """The ids of the children, in order."""
        found: tuple[str, ...] = self.children.get(node_id, ())
        return found

    def children_of(self, node_id: str) -> list[Node]:
        """The children, in order."""
        return [self.nodes[child] for child in self.child_ids(node_id)]

    def lineage(self, node_id: str) -> list[Node]:
        """The node and everything above it, the root first."""
        line = [self.node(node_id)]
        while (parent := line[-1].parent_id) is not None:
            line.append(self.nodes[parent])
        return line[::-1]

    def depth(self, node_id: str) -> int:
        """How far below the root the node stands (the root: 0)."""
        return len(self.lineage(node_id)) - 1

    def walk(self, start: str | None = None, levels: int | None = None) -> Iterator[tuple[int, Node]]:
        """A node and everything below it, depth first, each with its level below the start (0)."""
        first = self.channel_id if start is None else start
        stack = [(0, first)]
        while stack:
            level, node_id = stack.pop()
            yield level, self.nodes[node_id]
            if levels is None or level < levels:
                stack.extend((level + 1, child) for child in reversed(self.child_ids(node_id)))

    def find(self, reference: str) -> Node:
        """The node with this id, or at this path of slugs (``fiction/crime``); `UnknownNode` when there is none."""
        found = self.get(reference)
        if found is not None:
            return found
        node_id = self.channel_id
        for slug in reference.strip("/").split("/"):
            match = next((child.id for child in self.children_of(node_id) if child.slug == slug), None)
            if match is None:
                raise UnknownNode(node=reference[:200])
            node_id = match
        return self.nodes[node_id]

    def path(self, node_id: str) -> str:
        """The slugs from the top to the node, joined by ``/``."""
        return "/".join(node.slug for node in self.lineage(node_id)[1:])


def order(node: Node) -> tuple[int, str]:
    """What siblings are sorted by."""
    return node.position, node.id
