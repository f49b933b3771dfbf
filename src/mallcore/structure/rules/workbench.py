"""The workbench: a tree while it is being changed, as an overlay over the one it began from."""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from mallcore.errors import DuplicateExternalId, DuplicateSlug, InvalidInput, LimitExceeded, UnknownNode
from mallcore.structure.rules.nodes import MAX_DEPTH, Node, alike
from mallcore.structure.rules.tree import Buckets, Tree, order

Changes = Mapping[str, tuple[Node | None, Node | None]]


class Evolution(NamedTuple):
    """What edits made of a tree: the new one, and each changed node before and after (``None``: not there)."""

    tree: Tree
    changes: Changes


def patched(tree: Tree, changed: Iterable[Node], removed: Iterable[str]) -> Tree:
    """The tree with rows of a later revision taken in; they were checked when that revision was made."""
    bench = Workbench(tree)
    bench.replace({**dict.fromkeys(removed, None), **{node.id: node for node in changed}})
    return bench.finish().tree


def external_ids(tree: Tree) -> Buckets[str]:
    """Node ids by external id. Made on first use; from then on each revision hands it to the next."""
    index: Buckets[str] | None = tree.memo.get(external_ids)
    if index is None:
        index = Buckets.of({node.external_id: node.id for node in tree.nodes.values() if node.external_id is not None})
        tree.memo[external_ids] = index
    return index


class Workbench:
    """A tree being changed: an overlay of nodes and families over the tree it began from."""

    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self.before = tree.nodes.get
        self.nodes: dict[str, Node | None] = {}
        self.families: dict[str, list[tuple[int, str]]] = {}
        self.slugs: dict[str, dict[str, str]] = {}
        self.external: dict[str, str | None] = {}

    def get(self, node_id: str) -> Node | None:
        found: Node | None = self.nodes[node_id] if node_id in self.nodes else self.before(node_id)
        return found

    def node(self, node_id: str) -> Node:
        found = self.get(node_id)
        if found is None:
            raise UnknownNode(node=node_id)
        return found

    def inner(self, node_id: str) -> Node:
        """A node that is not the root."""
        found = self.node(node_id)
        if found.parent_id is None:
            raise InvalidInput(field="id", reason="the channel itself can't be moved or removed here")
        return found

    def family(self, parent_id: str) -> list[tuple[int, str]]:
        """(position, id) of the children, sorted; a list of our own."""
        known = self.families.get(parent_id)
        if known is None:
            known = [(self.tree.nodes[child].position, child) for child in self.tree.child_ids(parent_id)]
            self.families[parent_id] = known
        return known

    def child_ids(self, parent_id: str) -> list[str]:
        if parent_id in self.families:
            return [child for _, child in self.families[parent_id]]
        return list(self.tree.child_ids(parent_id))

    def taken(self, parent_id: str) -> dict[str, str]:
        """Node ids by slug among the children."""
        known = self.slugs.get(parent_id)
        if known is None:
            known = {self.node(child).slug: child for child in self.child_ids(parent_id)}
            self.slugs[parent_id] = known
        return known

    def depth(self, node_id: str) -> int:
        """How far below the root; refuses a loop, which only bulk edits could make."""
        levels, current = 0, self.node(node_id)
        while current.parent_id is not None:
            levels += 1
            if levels > MAX_DEPTH:
                raise LimitExceeded(what="the depth of the tree", actual=levels, limit=MAX_DEPTH)
            current = self.node(current.parent_id)
        return levels

    def below(self, node_id: str) -> list[str]:
        """The ids of everything below, parents first."""
        found, waiting = [], self.child_ids(node_id)
        while waiting:
            child = waiting.pop()
            found.append(child)
            waiting.extend(self.child_ids(child))
        return found

    def height(self, node_id: str) -> int:
        """How many levels stand below."""
        levels, row = -1, [node_id]
        while row:
            levels += 1
            row = [child for one in row for child in self.child_ids(one)]
        return levels

    def put(self, node: Node) -> None:
        """Set one node; its family, slugs and external id follow. Raises before anything is set."""
        old = self.get(node.id)
        self._check_slug(node)
        self._check_external(node)
        if old is not None:
            self._leave(old, node)
        if node.parent_id is not None:
            self.taken(node.parent_id)[node.slug] = node.id
            if old is None or order(old) != order(node) or old.parent_id != node.parent_id:
                insort(self.family(node.parent_id), order(node))
        if node.external_id is not None:
            self.external[node.external_id] = node.id
        self.nodes[node.id] = node

    def drop(self, node: Node) -> None:
        """Take one node out, whatever is below it."""
        self._leave(node, None)
        self.nodes[node.id] = None

    def _leave(self, old: Node, new: Node | None) -> None:
        if old.external_id is not None and (new is None or new.external_id != old.external_id):
            self.external[old.external_id] = None
        if old.parent_id is None:
            return
        slugs = self.taken(old.parent_id)
        if slugs.get(old.slug) == old.id:
            del slugs[old.slug]
        if new is None or order(old) != order(new) or old.parent_id != new.parent_id:
            self.family(old.parent_id).remove(order(old))

    def _check_slug(self, node: Node) -> None:
        if node.parent_id is not None and self.taken(node.parent_id).get(node.slug, node.id) != node.id:
            raise DuplicateSlug(slug=node.slug, parent=self.node(node.parent_id).slug)

    def _check_external(self, node: Node) -> None:
        if node.external_id is None:
            return
        owner = self.owner(node.external_id)
        if owner is not None and owner != node.id:
            raise DuplicateExternalId(external_id=node.external_id, node=owner)

    def owner(self, external_id: str) -> str | None:
        """The id of the node that has an external id."""
        if external_id in self.external:
            return self.external[external_id]
        found: str | None = external_ids(self.tree).get(external_id)
        return found

    def replace(self, wanted: Mapping[str, Node | None]) -> None:
        """Set and take out many nodes at once, in time linear in them and their families; checks come after."""
        families: dict[str, set[str]] = {}
        for node_id, new in wanted.items():
            old = self.get(node_id)
            if old is not None and old.parent_id is not None:
                families.setdefault(old.parent_id, set()).add(node_id)
            if old is not None and old.external_id is not None:
                self.external[old.external_id] = None
            if new is not None and new.parent_id is not None:
                families.setdefault(new.parent_id, set())
        arriving: dict[str, list[tuple[int, str]]] = {}
        for node_id, new in wanted.items():
            self.nodes[node_id] = new
            if new is not None and new.parent_id is not None:
                arriving.setdefault(new.parent_id, []).append(order(new))
            if new is not None and new.external_id is not None:
                self.external[new.external_id] = node_id
        for parent_id, leaving in families.items():
            stay = [one for one in self.family(parent_id) if one[1] not in leaving]
            self.families[parent_id] = sorted(stay + arriving.get(parent_id, []))
            self.slugs.pop(parent_id, None)

    def finish(self) -> Evolution:
        tree = self.tree
        changes = {
            node_id: (before, after)
            for node_id, after in self.nodes.items()
            if (before := self.before(node_id)) is not after and not alike(before, after)
        }
        families = {
            parent: tuple(child for _, child in family) or None
            for parent, family in self.families.items()
            if self.get(parent) is not None
        }
        families |= {gone: None for gone, (_, after) in changes.items() if after is None}
        new = Tree(
            tree.channel_id,
            tree.nodes.updated({node_id: after for node_id, (_, after) in changes.items()}),
            tree.children.updated(families),
            tree.revision,
            tree.digest,
        )
        if (index := tree.memo.get(external_ids)) is not None:
            new.memo[external_ids] = index.updated(self.external)
        return Evolution(new, changes)
