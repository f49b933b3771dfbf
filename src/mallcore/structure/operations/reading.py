"""Reading a channel: its tree, one node, effective rules; at the head or at any revision, time or snapshot."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Any

from pydantic import AwareDatetime, Field

from mallcore.errors import (
    ChannelRemoved,
    InvalidReference,
    RevisionNotReached,
    UnknownNode,
    UnknownRevision,
    UnknownSnapshot,
)
from mallcore.kernel.context import Context
from mallcore.kernel.operations import Rest, operation
from mallcore.kernel.work import MemoryOnly, MemoryWork
from mallcore.structure.model.shapes import (
    At,
    ChannelRef,
    Crumb,
    Depth,
    EffectiveRule,
    EffectiveRules,
    Locale,
    MinRevision,
    NodeRef,
    NodeView,
    TreeNode,
    TreeShape,
    node_fields,
)
from mallcore.structure.operations.scopes import of_node, tree_at
from mallcore.structure.operations.trees import head, known, refuse_removed
from mallcore.structure.rules.merchandising import effective, rule_to_json
from mallcore.structure.rules.nodes import Node
from mallcore.structure.rules.rendering import cached_tree_json, remembered, tree_json
from mallcore.structure.rules.tree import Tree

_MISSING = (ChannelRemoved, UnknownNode, UnknownRevision, UnknownSnapshot, InvalidReference, RevisionNotReached)
_INLINE_NODES = 500  # larger trees are rendered in a thread, never on an event loop


@dataclass(frozen=True, slots=True)
class TreeView:
    """A channel's tree, or a part of it, as of one revision: as values, as a shape, or as JSON bytes made once."""

    tree: Tree = field(repr=False)
    start: str
    depth: int | None = None
    locale: str | None = None

    @property
    def revision(self) -> int:
        """The revision shown."""
        return self.tree.revision

    @property
    def etag(self) -> str:
        """Names exactly these bytes: same tag, same content."""
        part = "" if self.start == self.tree.channel_id else self.start
        return f"{self.tree.digest[:32]}.{part}.{self.depth or ''}.{self.locale or ''}"

    @property
    def body(self) -> bytes:
        """The tree as JSON in the form of `TreeShape`."""
        return tree_json(self.tree, self.start, self.depth, self.locale)

    @property
    def shape(self) -> TreeShape:
        """The tree as nested pydantic models."""
        return TreeShape.model_validate(json.loads(self.body))

    @property
    def nodes(self) -> list[TreeNode]:
        """The nodes at the top, each with its children."""
        return self.shape.nodes

    def __len__(self) -> int:
        """How many sections and categories the whole tree has."""
        return len(self.tree)

    def find(self, reference: str) -> Node:
        """The node with an id or at a path of slugs; `UnknownNode` when there is none."""
        return self.tree.find(reference)

    def children_of(self, reference: str) -> list[Node]:
        """The children of a node in order."""
        return self.tree.children_of(self.tree.find(reference).id)

    def path(self, reference: str) -> str:
        """The slugs that lead to a node."""
        return self.tree.path(self.tree.find(reference).id)


@dataclass(frozen=True, slots=True)
class NodeAnswer:
    """One node as JSON bytes made once per revision, or as a shape."""

    tree: Tree = field(repr=False)
    node: Node
    locale: str | None = None

    @property
    def revision(self) -> int:
        """The revision shown."""
        return self.tree.revision

    @property
    def etag(self) -> str:
        """Names exactly these bytes."""
        return f"{self.tree.digest[:32]}.{self.node.id}.{self.locale or ''}"

    @property
    def body(self) -> bytes:
        """The node as JSON in the form of `NodeView`."""
        return remembered(self.tree, (self.node.id, "view", self.locale), lambda: self.shape.model_dump_json().encode())

    @property
    def shape(self) -> NodeView:
        """The node with the way to it and its children."""
        tree, node = self.tree, self.node
        line = tree.lineage(node.id)
        path = "/".join(one.slug for one in line[1:])
        fields = {**node_fields(node, path), "name": node.name_in(self.locale)}
        return NodeView(
            channel=tree.channel_id,
            revision=tree.revision,
            breadcrumbs=[self._crumb(one) for one in line[1:-1]],
            children=[self._crumb(one) for one in tree.children_of(node.id)],
            **fields,
        )

    def _crumb(self, one: Node) -> Crumb:
        return Crumb(id=one.id, kind=one.kind, slug=one.slug, name=one.name_in(self.locale))


@operation(permission="structure.read", subject=of_node, errors=_MISSING, output=TreeShape,
           rest=Rest("GET", "/channels/{channel}/tree"))  # fmt: skip
def tree(
    ctx: Context,
    *,
    channel: ChannelRef,
    node: NodeRef | None = None,
    depth: Depth = None,
    locale: Locale = None,
    at: At = None,
    min_revision: MinRevision = None,
) -> TreeView:
    """A channel's tree, or the part below a node, to a depth and in a language. The head is answered from memory.

    >>> shown = tree(ctx, channel="books", depth=1)
    >>> [node.name for node in shown.nodes], shown.revision
    (['Fiction'], 2)
    """
    found = known(ctx, channel)
    if at is None:
        refuse_removed(ctx, found)
        shown = head(ctx, found.id, min_revision)
    else:
        shown = tree_at(ctx, found, at, min_revision)
    start = found.id if node is None else shown.find(node).id
    if (
        isinstance(ctx.work, MemoryWork)
        and len(shown) > _INLINE_NODES
        and not cached_tree_json(shown, start, depth, locale)
    ):
        raise MemoryOnly()
    return TreeView(shown, start, depth, locale)


@operation(permission="structure.read", subject=of_node, errors=_MISSING, output=NodeView,
           rest=Rest("GET", "/channels/{channel}/nodes/{node}"))  # fmt: skip
def get_node(
    ctx: Context,
    *,
    channel: ChannelRef,
    node: NodeRef,
    locale: Locale = None,
    at: At = None,
    min_revision: MinRevision = None,
) -> NodeAnswer:
    """One section or category, with the way to it and its children.

    >>> crime = get_node(ctx, channel="books", node="fiction/crime").shape
    >>> [crumb.name for crumb in crime.breadcrumbs], crime.name
    (['Fiction'], 'Crime')
    """
    found = known(ctx, channel)
    if at is None:
        refuse_removed(ctx, found)
    shown = tree_at(ctx, found, at, min_revision)
    return NodeAnswer(shown, shown.find(node), locale)


@operation(permission="structure.read", subject=of_node, errors=_MISSING,
           rest=Rest("GET", "/channels/{channel}/effective-rules"))  # fmt: skip
def effective_rules(
    ctx: Context,
    *,
    channel: ChannelRef,
    node: NodeRef | None = None,
    time: Annotated[AwareDatetime | None, Field(description="Rules in force at this time; nothing for now.")] = None,
    at: At = None,
    min_revision: MinRevision = None,
) -> EffectiveRules:
    """The merchandising rules in force at a node (or for the whole channel): its own, and what it inherits."""
    found = known(ctx, channel)
    shown = tree_at(ctx, found, at, min_revision)
    there = shown.root if node is None else shown.find(node)
    when: datetime = ctx.now() if time is None else time
    chain = [(one.id, one.rules) for one in shown.lineage(there.id)]
    rules = [EffectiveRule(rule=rule_to_json(one.rule), source=one.source) for one in effective(chain, when)]
    return EffectiveRules(channel=found.id, node=there.id, revision=shown.revision, at=when, rules=rules)


def plain_node(there: Node | None) -> dict[str, Any] | None:
    """A node as a JSON value, for a difference."""
    if there is None:
        return None
    fields = node_fields(there, "")
    del fields["path"]
    return fields
