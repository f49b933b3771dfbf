"""Sections and categories: creating, changing, moving, removing, restoring; one by one or many as one revision."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import func, select

from mallcore.errors import (
    ChannelRemoved,
    DuplicateExternalId,
    DuplicateSlug,
    HasChildren,
    InvalidInput,
    LimitExceeded,
    MisplacedSection,
    StaleRevision,
    UnknownNode,
    WouldCreateLoop,
)
from mallcore.kernel.context import Context
from mallcore.kernel.operations import Rest, operation
from mallcore.structure.model.inputs import (
    Children,
    CreateNode,
    EditInput,
    Edits,
    ExternalId,
    Index,
    MoveNode,
    NodeRules,
    Parent,
    RemoveNode,
    ReorderChildren,
    SetNodeRules,
    UpdateNode,
)
from mallcore.structure.model.shapes import (
    Applied,
    Attributes,
    Changed,
    ChannelRef,
    ExpectedRevision,
    IdempotencyKey,
    Kind,
    Message,
    Name,
    NodeRef,
    Policy,
    Rules,
    Slug,
    Translations,
    node_fields,
)
from mallcore.structure.model.tables import node as node_table
from mallcore.structure.operations.resolving import resolved
from mallcore.structure.operations.revising import Outcome, counts, revise
from mallcore.structure.operations.scopes import partly
from mallcore.structure.operations.trees import COLUMNS, Known, known, node_of
from mallcore.structure.rules.edits import (
    Edit,
    Put,
)
from mallcore.structure.rules.nodes import Node
from mallcore.structure.rules.tree import Tree

EDIT = "structure.edit"
_EDITABLE = partly(EDIT)
_REFUSALS = (
    ChannelRemoved, DuplicateExternalId, DuplicateSlug, HasChildren, InvalidInput, LimitExceeded, MisplacedSection,
    StaleRevision, UnknownNode, WouldCreateLoop,
)  # fmt: skip


@operation(permission=EDIT, kind="command", subject=_EDITABLE, errors=_REFUSALS,
           rest=Rest("POST", "/channels/{channel}/nodes", 201))  # fmt: skip
def create_node(
    ctx: Context,
    *,
    channel: ChannelRef,
    name: Name,
    kind: Kind = "category",
    parent: Parent = None,
    slug: Slug | None = None,
    index: Index = None,
    external_id: ExternalId = None,
    translations: Translations = None,
    attributes: Attributes = None,
    rules: Rules = None,
    message: Message = "",
    expected_revision: ExpectedRevision = None,
    idempotency_key: IdempotencyKey = None,
) -> Changed:
    """Add a section or category under a parent (or at the top); without a slug, one is made from the name."""
    wanted = CreateNode(
        name=name, kind=kind, parent=parent, slug=slug, index=index, external_id=external_id,
        translations=translations, attributes=attributes, rules=rules,
    )  # fmt: skip
    _, outcome = _edit(ctx, channel, [wanted], message, expected_revision)
    made = next(node_id for node_id, (before, _) in outcome.changes.items() if before is None)
    return _changed(outcome, made)


def create_section(ctx: Context, *, channel: str, name: str, **more: Any) -> Changed:
    """Add a section at the top of a channel; takes what `create_node` takes."""
    return create_node(ctx, channel=channel, name=name, kind="section", **more)


def create_category(ctx: Context, *, channel: str, name: str, **more: Any) -> Changed:
    """Add a category, at the top or under a ``parent``; takes what `create_node` takes."""
    return create_node(ctx, channel=channel, name=name, kind="category", **more)


@operation(permission=EDIT, kind="command", subject=_EDITABLE, errors=_REFUSALS,
           rest=Rest("PATCH", "/channels/{channel}/nodes/{node}"))  # fmt: skip
def update_node(
    ctx: Context,
    *,
    channel: ChannelRef,
    node: NodeRef,
    name: Name | None = None,
    slug: Slug | None = None,
    translations: Translations = None,
    attributes: Attributes = None,
    message: Message = "",
    expected_revision: ExpectedRevision = None,
    idempotency_key: IdempotencyKey = None,
) -> Changed:
    """Change a node's name, slug, translations or attributes; what is not given stays."""
    wanted = UpdateNode(node=node, name=name, slug=slug, translations=translations, attributes=attributes)
    return _edit_one(ctx, channel, node, wanted, message, expected_revision)


def rename(ctx: Context, *, channel: str, node: str, name: str, **more: Any) -> Changed:
    """Give a node another name; takes what `update_node` takes.

    >>> rename(ctx, channel="books", node="fiction/crime", name="Crime & Thrillers").path
    'fiction/crime'
    """
    return update_node(ctx, channel=channel, node=node, name=name, **more)


@operation(permission=EDIT, kind="command", subject=_EDITABLE, errors=_REFUSALS,
           rest=Rest("POST", "/channels/{channel}/nodes/{node}/move"))  # fmt: skip
def move(
    ctx: Context,
    *,
    channel: ChannelRef,
    node: NodeRef,
    parent: Parent = None,
    index: Index = None,
    message: Message = "",
    expected_revision: ExpectedRevision = None,
    idempotency_key: IdempotencyKey = None,
) -> Changed:
    """Move a node, with all below it, under another parent (or to the top), to a place among its children."""
    return _edit_one(ctx, channel, node, MoveNode(node=node, parent=parent, index=index), message, expected_revision)


@operation(permission=EDIT, kind="command", subject=_EDITABLE, errors=_REFUSALS,
           rest=Rest("PUT", "/channels/{channel}/order"))  # fmt: skip
def reorder(
    ctx: Context,
    *,
    channel: ChannelRef,
    children: Children,
    node: Parent = None,
    message: Message = "",
    expected_revision: ExpectedRevision = None,
    idempotency_key: IdempotencyKey = None,
) -> Applied:
    """Put the children of a node (or the top of the channel) in this order; those not named follow."""
    wanted = ReorderChildren(node=node, children=children)
    return _applied(*_edit(ctx, channel, [wanted], message, expected_revision))


@operation(permission=EDIT, kind="command", subject=_EDITABLE, errors=_REFUSALS,
           rest=Rest("PUT", "/channels/{channel}/rules"))  # fmt: skip
def set_rules(
    ctx: Context,
    *,
    channel: ChannelRef,
    rules: NodeRules,
    node: Parent = None,
    message: Message = "",
    expected_revision: ExpectedRevision = None,
    idempotency_key: IdempotencyKey = None,
) -> Applied:
    """Replace the merchandising rules of a node, or of the whole channel when none is named."""
    return _applied(*_edit(ctx, channel, [SetNodeRules(node=node, rules=rules)], message, expected_revision))


@operation(permission=EDIT, kind="command", subject=_EDITABLE, errors=_REFUSALS,
           rest=Rest("DELETE", "/channels/{channel}/nodes/{node}"))  # fmt: skip
def remove(
    ctx: Context,
    *,
    channel: ChannelRef,
    node: NodeRef,
    policy: Policy = "restrict",
    message: Message = "",
    expected_revision: ExpectedRevision = None,
    idempotency_key: IdempotencyKey = None,
) -> Applied:
    """Remove a node. Of its children, ``restrict`` refuses any, ``reparent`` lifts them, ``cascade`` removes them."""
    return _applied(*_edit(ctx, channel, [RemoveNode(node=node, policy=policy)], message, expected_revision))


@operation(permission=EDIT, kind="command", subject=_EDITABLE, errors=_REFUSALS,
           rest=Rest("POST", "/channels/{channel}/edits"))  # fmt: skip
def edit(
    ctx: Context,
    *,
    channel: ChannelRef,
    edits: Edits,
    message: Message = "",
    expected_revision: ExpectedRevision = None,
    idempotency_key: IdempotencyKey = None,
) -> Applied:
    """Apply many edits in order as one revision: all of them or none. Later edits see what earlier ones did.

    >>> edits = [CreateNode(name="Maps", kind="section"), CreateNode(name="Europe", parent="maps")]
    >>> edit(ctx, channel="books", edits=edits).counts
    {'added': 2, 'removed': 0, 'changed': 0}
    """
    return _applied(*_edit(ctx, channel, edits, message, expected_revision))


@operation(permission=EDIT, kind="command", subject=_EDITABLE, errors=_REFUSALS,
           rest=Rest("POST", "/channels/{channel}/nodes/{node}/restore"))  # fmt: skip
def restore(
    ctx: Context,
    *,
    channel: ChannelRef,
    node: NodeRef,
    message: Message = "",
    expected_revision: ExpectedRevision = None,
    idempotency_key: IdempotencyKey = None,
) -> Applied:
    """Bring back a removed node, by its id, with all that was removed from below it in the same revision.

    It returns under its former parent, or to the top when that is gone. A node that is there stays as it is.
    """
    found = known(ctx, channel)

    def plan(tree: Tree) -> list[Edit]:
        return [] if node in tree else [Put(tuple(_last_seen(ctx, found, tree, node)))]

    outcome = revise(
        ctx, found, plan, permission=EDIT, message=message or "Restore", expected_revision=expected_revision
    )
    return _applied(found, outcome)


def _last_seen(ctx: Context, found: Known, tree: Tree, node_id: str) -> list[Node]:
    """The node as it was when it was removed, and what went with it."""
    here, begun, until = node_table.c.channel_id == found.id, node_table.c.from_revision, node_table.c.to_revision
    ended = ctx.execute(select(func.max(until)).where(here, node_table.c.node_id == node_id)).scalar_one()
    if ended is None:
        raise UnknownNode(node=node_id[:200])
    stayed = set(ctx.execute(select(node_table.c.node_id).where(here, begun == ended)).scalars())
    rows = map(node_of, ctx.execute(select(*COLUMNS).where(here, until == ended)))
    gone = {one.id: one for one in rows if one.id not in tree and one.id not in stayed}
    families: dict[str | None, list[Node]] = {}
    for one in gone.values():
        families.setdefault(one.parent_id, []).append(one)
    top = gone[node_id]
    back = [top if top.parent_id in tree else top._replace(parent_id=found.id)]
    for one in back:
        back.extend(families.get(one.id, ()))
    return back


def _edit_one(ctx: Context, channel: str, node: str, wanted: EditInput, message: str, expected: int | None) -> Changed:
    """One edit of one node, and the node as it is then."""
    _, outcome = _edit(ctx, channel, [wanted], message, expected)
    return _changed(outcome, outcome.before.find(node).id)


def _edit(
    ctx: Context, channel: str, wanted: Iterable[EditInput], message: str, expected: int | None
) -> tuple[Known, Outcome]:
    found = known(ctx, channel)
    ids: dict[int, str] = {}  # ids stay the same when a plan is made again on a newer head

    def plan(tree: Tree) -> list[Edit]:
        return resolved(tree, wanted, ids)

    return found, revise(ctx, found, plan, permission=EDIT, message=message, expected_revision=expected)


def _changed(outcome: Outcome, node_id: str) -> Changed:
    tree = outcome.tree
    return Changed(revision=tree.revision, **node_fields(tree.node(node_id), tree.path(node_id)))


def _applied(found: Known, outcome: Outcome) -> Applied:
    return Applied(**applied_fields(found, outcome))


def applied_fields(found: Known, outcome: Outcome) -> dict[str, Any]:
    """The fields of an `Applied`."""
    return {
        "channel": found.id,
        "revision": outcome.tree.revision,
        "digest": outcome.tree.digest,
        "changed": bool(outcome.changes),
        "counts": counts(outcome.changes),
        "created": [node_id for node_id, (before, _) in outcome.changes.items() if before is None][:1000],
    }
