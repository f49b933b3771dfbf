"""History: listing, comparing, verifying, rolling back and undoing revisions. Nothing is ever rewritten."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import Field
from sqlalchemy import Select, select

from mallcore.errors import (
    ChannelRemoved,
    EditConflict,
    HistoryBroken,
    InvalidReference,
    StaleRevision,
    UnknownNode,
    UnknownRevision,
)
from mallcore.kernel.context import Context
from mallcore.kernel.operations import Rest, operation
from mallcore.kernel.paging import Cursor, Limit, Page, decode, page
from mallcore.structure.model.shapes import (
    Applied,
    At,
    ChannelRef,
    Clash,
    Difference,
    ExpectedRevision,
    IdempotencyKey,
    Message,
    NodeDifference,
    NodeRef,
    Revision,
    RevisionDetail,
    Verified,
)
from mallcore.structure.model.tables import revision as revision_table
from mallcore.structure.operations.nodes import EDIT, applied_fields
from mallcore.structure.operations.reading import plain_node
from mallcore.structure.operations.revising import Outcome, revise
from mallcore.structure.operations.scopes import number_at, of_channel, partly, tree_at
from mallcore.structure.operations.trees import Known, at_revision, caught_up, known, stored_at
from mallcore.structure.rules.apply import apply
from mallcore.structure.rules.diff import NodeChange, as_text, changed_ids, diff
from mallcore.structure.rules.edits import Edit, Put, edits_from_json
from mallcore.structure.rules.history import Record, first_broken
from mallcore.structure.rules.merchandising import RULES, rule_to_json
from mallcore.structure.rules.merge import Clash as ClashValue
from mallcore.structure.rules.merge import Side, merge
from mallcore.structure.rules.nodes import Node, thaw
from mallcore.structure.rules.tree import Tree

HISTORY = "structure.history"
Settle = Annotated[
    dict[str, Side] | None, Field(description="Which side wins, by node id (`*`: all others): `ours` or `theirs`.")
]
Number = Annotated[int, Field(ge=0, lt=1 << 63, description="A revision's number.")]


@operation(permission=HISTORY, subject=of_channel, rest=Rest("GET", "/channels/{channel}/revisions"))
def log(ctx: Context, *, channel: ChannelRef, limit: Limit = 50, cursor: Cursor = None) -> Page[Revision]:
    """The revisions of a channel, newest first. Revision 0, the channel as created, is not listed.

    >>> [(one.number, one.author) for one in log(ctx, channel="books").items]
    [(2, 'system:docs'), (1, 'system:docs')]
    """
    found = known(ctx, channel)
    query = _revisions(found).where(revision_table.c.number > 0).order_by(revision_table.c.number.desc())
    if cursor is not None:
        query = query.where(revision_table.c.number < decode(cursor, int)[0])
    return page(ctx.execute(query.limit(limit + 1)).all(), limit, revision_shape, lambda row: (row.number,))


def _revisions(found: Known) -> Select[*tuple[Any, ...]]:
    columns = [column for column in revision_table.c if column.name != "edits"]
    return select(*columns).where(revision_table.c.channel_id == found.id)


def revision_shape(row: Any) -> Revision:
    """A revision's row as its shape."""
    return Revision(
        channel=row.channel_id,
        number=row.number,
        author=row.author,
        at=row.at,
        message=row.message or None,
        digest=row.digest,
    )


@operation(permission=HISTORY, subject=of_channel, errors=(UnknownRevision,),
           rest=Rest("GET", "/channels/{channel}/revisions/{number}"))  # fmt: skip
def get_revision(ctx: Context, *, channel: ChannelRef, number: Number) -> RevisionDetail:
    """One revision with its edits."""
    found = known(ctx, channel)
    mine = (revision_table.c.channel_id == found.id, revision_table.c.number == number)
    row = ctx.execute(select(revision_table).where(*mine)).one_or_none()
    if row is None:
        raise UnknownRevision(revision=number, first=0, last=caught_up(ctx, found.id).revision)
    return RevisionDetail(edits=json.loads(row.edits), **revision_shape(row).model_dump())


@operation(permission=HISTORY, subject=of_channel, errors=(UnknownRevision, InvalidReference),
           rest=Rest("GET", "/channels/{channel}/diff"))  # fmt: skip
def diff_revisions(ctx: Context, *, channel: ChannelRef, a: At = None, b: At = None) -> Difference:
    """What is different in ``b`` (nothing: the head) from ``a`` (nothing: the revision before ``b``), node by node.

    >>> print(diff_revisions(ctx, channel="books", a=0).text)
    + fiction  "Fiction"
    + fiction/crime  "Crime"
    """
    found = known(ctx, channel)
    after = tree_at(ctx, found, b)
    before = tree_at(ctx, found, max(after.revision - 1, 0) if a is None else a)
    return difference(found, before, after)


def difference(found: Known, before: Tree, after: Tree) -> Difference:
    """Two trees' differences as a shape."""
    changes = diff(before, after, changed_ids(before, after))
    return Difference(
        channel=found.id,
        a=before.revision,
        b=after.revision,
        counts=dict(Counter(kind for change in changes for kind in change.kinds)),
        changes=[_node_difference(change) for change in changes],
        text=as_text(changes),
    )


def _node_difference(change: NodeChange) -> NodeDifference:
    return NodeDifference(
        id=change.id,
        kinds=list(change.kinds),
        before_path=change.before_path,
        after_path=change.after_path,
        before=plain_node(change.before),
        after=plain_node(change.after),
    )


@operation(permission=HISTORY, subject=of_channel, errors=(HistoryBroken,),
           rest=Rest("GET", "/channels/{channel}/verification"))  # fmt: skip
def verify(ctx: Context, *, channel: ChannelRef) -> Verified:
    """Check a channel's history: every digest, and that replaying all edits gives the nodes the head shows.

    >>> verify(ctx, channel="books").revisions
    2
    """
    found = known(ctx, channel)
    tree = caught_up(ctx, found.id)
    replayed = Tree.of(found.id, ())
    parent = ""
    for record in _records(ctx, found, tree.revision):
        broken = first_broken([record], parent, record.number)
        if broken is not None:
            raise HistoryBroken(channel=found.slug, revision=broken[0], reason=broken[1])
        replayed, parent = _replay(found, replayed, record), record.digest
    stored = stored_at(ctx, found.id, tree.revision)
    differing = next(iter(changed_ids(replayed, stored)), None)
    if differing is not None or parent != stored.digest or parent != tree.digest:
        reason = f"the rows of {differing or 'its head'} are not what its edits make"
        raise HistoryBroken(channel=found.slug, revision=tree.revision, reason=reason)
    return Verified(channel=found.id, revisions=tree.revision, digest=tree.digest, nodes=len(tree))


def _records(ctx: Context, found: Known, last: int) -> Iterator[Record]:
    columns = ("number", "author", "message", "at", "edits", "digest")
    query = select(*(revision_table.c[name] for name in columns)).where(revision_table.c.channel_id == found.id)
    rows = ctx.execute(query.where(revision_table.c.number <= last).order_by(revision_table.c.number))
    for expected, row in enumerate(rows.yield_per(100)):
        if row.number != expected:
            raise HistoryBroken(channel=found.slug, revision=expected, reason=f"revision {expected} is missing")
        yield Record._make(row)


def _replay(found: Known, tree: Tree, record: Record) -> Tree:
    edits = edits_from_json(json.loads(record.edits))
    if record.number == 0:
        return Tree.of(found.id, (edit.node for edit in edits))  # type: ignore[union-attr]
    return apply(tree, edits)


@operation(permission=EDIT, kind="command", subject=partly(EDIT),
           errors=(UnknownRevision, UnknownNode, StaleRevision, ChannelRemoved, InvalidReference),
           rest=Rest("POST", "/channels/{channel}/rollback"))  # fmt: skip
def rollback(
    ctx: Context,
    *,
    channel: ChannelRef,
    to: At,
    node: NodeRef | None = None,
    message: Message = "",
    expected_revision: ExpectedRevision = None,
    idempotency_key: IdempotencyKey = None,
) -> Applied:
    """Make a new revision that equals an old one: for the whole channel, or only for a node and what is below it.

    >>> rollback(ctx, channel="books", to=1).counts
    {'added': 0, 'removed': 1, 'changed': 0}
    """
    found = known(ctx, channel)
    if to is None:
        raise InvalidReference(reference=None)
    number = number_at(ctx, found, to)
    old = tree_at(ctx, found, number)

    def plan(tree: Tree) -> list[Edit]:
        return [_back_to(old, tree) if node is None else _subtree_back_to(old, tree, node)]

    text = message or f"Roll back to revision {number}"
    outcome = revise(ctx, found, plan, permission=EDIT, message=text, expected_revision=expected_revision)
    return Applied(**applied_fields(found, outcome))


def _back_to(old: Tree, tree: Tree) -> Put:
    ids = sorted(changed_ids(tree, old))
    nodes = (old.get(node_id) for node_id in ids)
    return Put(tuple(one for one in nodes if one is not None), tuple(one for one in ids if one not in old))


def _subtree_back_to(old: Tree, tree: Tree, reference: str) -> Put:
    """What makes a subtree equal to an old one; nodes that moved out of it come back, those new in it go."""
    top = (tree.find(reference) if _has(tree, reference) else old.find(reference)).id
    then = {one.id for _, one in old.walk(top)} if top in old else set()
    now = {one.id for _, one in tree.walk(top)} if top in tree else set()
    nodes = [old.node(node_id) for node_id in sorted(then) if tree.get(node_id) != old.node(node_id)]
    if top in then:
        nodes = [_rooted(one, tree, old) if one.id == top else one for one in nodes]
    leaving = now - then
    return Put(tuple(nodes), tuple(sorted(leaving)))


def _has(tree: Tree, reference: str) -> bool:
    try:
        tree.find(reference)
    except UnknownNode:
        return False
    return True


def _rooted(top: Node, tree: Tree, old: Tree) -> Node:
    """The top of a subtree stays where it is now; when it is gone, to its old place or the channel's top."""
    current = tree.get(top.id)
    if current is not None:
        return top._replace(parent_id=current.parent_id, position=current.position)
    return top if top.parent_id in tree else top._replace(parent_id=tree.channel_id)


@operation(permission=EDIT, kind="command", subject=partly(EDIT),
           errors=(UnknownRevision, EditConflict, StaleRevision, ChannelRemoved),
           rest=Rest("POST", "/channels/{channel}/revisions/{number}/undo"))  # fmt: skip
def undo(
    ctx: Context,
    *,
    channel: ChannelRef,
    number: Annotated[int, Field(ge=1)],
    settle: Settle = None,
    message: Message = "",
    expected_revision: ExpectedRevision = None,
    idempotency_key: IdempotencyKey = None,
) -> Applied:
    """Take back what one revision changed and keep what came after; clashes with later changes are reported.

    >>> undo(ctx, channel="books", number=2).counts
    {'added': 0, 'removed': 1, 'changed': 0}
    """
    found = known(ctx, channel)
    text = message or f"Undo revision {number}"
    outcome = undone(ctx, found, number, settle, text, expected_revision, EDIT)
    return Applied(**applied_fields(found, outcome))


def undone(
    ctx: Context, found: Known, number: int, settle: Any, message: str, expected: int | None, permission: str
) -> Outcome:
    """Make the revision that takes another back."""
    number_at(ctx, found, number)
    changed, before = at_revision(ctx, found.id, number), at_revision(ctx, found.id, number - 1)

    def plan(tree: Tree) -> list[Edit]:
        merged = merge(changed, before, tree, settle)
        refuse_clashes(merged.clashes)
        return [merged.edit]

    return revise(ctx, found, plan, permission=permission, message=message, expected_revision=expected)


def refuse_clashes(clashes: tuple[ClashValue, ...]) -> None:
    """Raise `EditConflict` with all clashes, when there are any."""
    if clashes:
        raise EditConflict(count=len(clashes), clashes=[clash.model_dump() for clash in clash_shapes(clashes)])


def clash_shapes(clashes: tuple[ClashValue, ...]) -> list[Clash]:
    """Clashes as shapes."""
    return [
        Clash(
            node=one.node,
            field=one.field,
            base=_plain(one.base),
            ours=_plain(one.ours),
            theirs=_plain(one.theirs),
            reason=one.reason,
        )
        for one in clashes
    ]


def _plain(value: Any) -> Any:
    if isinstance(value, tuple) and value and type(value[0]) in RULES.values():
        return [rule_to_json(rule) for rule in value]
    return thaw(value)
