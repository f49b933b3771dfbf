"""Making a revision: the one way in which a channel's structure changes.

Edits are applied in memory first, so a refusal costs no database work. Then the head moves from the revision they were
applied to, by one conditional update; if another was faster, the channel is locked, the tree caught up, and the edits
are applied again. Rows, digest, event and announcement follow in the same transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, ClassVar, NamedTuple

from mallcore.errors import ChannelRemoved, Conflict, MallError, NotFound, StaleRevision
from mallcore.kernel.context import Context
from mallcore.kernel.events import Event
from mallcore.kernel.ports import Subject
from mallcore.structure.hooks import Change
from mallcore.structure.operations.trees import Known, Trees, caught_up, head, refuse_removed
from mallcore.structure.operations.writing import persist
from mallcore.structure.rules.apply import evolve
from mallcore.structure.rules.edits import Edit, node_to_json, touched
from mallcore.structure.rules.history import canonical_edits
from mallcore.structure.rules.history import digest as digest_of
from mallcore.structure.rules.nodes import FIELDS, Node
from mallcore.structure.rules.tree import Tree
from mallcore.structure.rules.workbench import Changes, Evolution

Plan = Callable[[Tree], Sequence[Edit]]
_SHOWN = 20  # nodes whose before and after an audit record holds; the revision holds them all


@dataclass(frozen=True, slots=True, kw_only=True)
class Revised(Event):
    """A channel got a new revision."""

    name: ClassVar[str] = "structure.revised"
    message: str = ""
    changed: int = 0
    attributes: tuple[Mapping[str, Any], ...] = ()


class Outcome(NamedTuple):
    """The tree after a change, and what changed: nothing when no revision was needed."""

    tree: Tree
    before: Tree
    changes: Changes


class _Change(NamedTuple):
    """What is asked of `revise`."""

    plan: Plan
    permission: str
    message: str
    expected: int | None
    even_if_empty: bool


def revise(
    ctx: Context,
    found: Known,
    plan: Plan,
    *,
    permission: str,
    message: str = "",
    expected_revision: int | None = None,
    even_if_empty: bool = False,
) -> Outcome:
    """Apply what ``plan`` makes of the head, as one revision. What changes nothing makes none, unless asked."""
    refuse_removed(ctx, found)
    change = _Change(plan, permission, message, expected_revision, even_if_empty)
    tree = head(ctx, found.id)
    try:
        outcome = _attempt(ctx, found, tree, change)
        # Memory may be a moment behind; only the database's word is final, on refusals and on "nothing to change".
        if outcome is not None and outcome.tree is tree and _seen_now(ctx, found).revision != tree.revision:
            outcome = None
    except MallError:
        if _seen_now(ctx, found).revision == tree.revision:
            raise
        outcome = None
    if outcome is None:
        outcome = _attempt(ctx, found, caught_up(ctx, found.id, locked=True), change)
    if outcome is None:  # the head stood still, so it is the channel that is gone
        raise ChannelRemoved(channel=found.slug)
    return outcome


def _attempt(ctx: Context, found: Known, tree: Tree, change: _Change) -> Outcome | None:
    """Make the revision on this tree; nothing is written, and nothing returned, when it is the head no more."""
    if change.expected is not None and tree.revision != change.expected:
        raise StaleRevision(expected=change.expected, actual=tree.revision)
    edits, evolution = _evolved(ctx, found, tree, change)
    _authorize(ctx, found, change.permission, tree, evolution)
    if not (evolution.changes or change.even_if_empty):
        return Outcome(tree, tree, {})
    attributes = _attributes(evolution.changes)
    _refuse_vetoed(ctx, found, tree.revision + 1, attributes)
    written = canonical_edits(edits)
    new = _next(ctx, tree, evolution.tree, written, change.message)
    if not persist(ctx, new, evolution.changes, written, change.message):
        return None
    _tell(ctx, found, new, evolution.changes, change.message, attributes)
    return Outcome(new, tree, evolution.changes)


def _attributes(changes: Changes) -> tuple[Mapping[str, Any], ...]:
    """The attributes of nodes where they are new or changed."""
    pairs = ((after.attributes, None if before is None else before.attributes)
             for before, after in changes.values() if after is not None)  # fmt: skip
    return tuple(new for new, old in pairs if new and new is not old and new != old)


def _refuse_vetoed(ctx: Context, found: Known, revision: int, attributes: tuple[Mapping[str, Any], ...]) -> None:
    change = Change(found.unit_id, found.id, revision, attributes)
    for refusal in ctx.hooks.structure_check(ctx=ctx, change=change):
        raise refusal


def _evolved(ctx: Context, found: Known, tree: Tree, change: _Change) -> tuple[Sequence[Edit], Evolution]:
    """The edits and what they make; whoever may edit only a part learns nothing from errors about the rest."""
    edits: Sequence[Edit] | None = None
    try:
        edits = change.plan(tree)
        return edits, evolve(tree, edits)
    except (NotFound, Conflict):
        reach = ctx.reach(change.permission)
        whole = Subject(found.unit_id, found.id)
        if not reach.covers(whole) and not _all_within(reach.nodes_in(whole), tree, edits):
            ctx.refuse(change.permission, whole)
        raise


def _all_within(tops: frozenset[str], tree: Tree, edits: Sequence[Edit] | None) -> bool:
    """Whether all nodes that edits name are within reach; what can't be found is not."""
    named = None if edits is None else [node_id for edit in edits for node_id in touched(edit)]
    return named is not None and all(node_id in tree and _within(tops, tree, node_id) for node_id in named)


def _seen_now(ctx: Context, found: Known) -> Tree:
    return head(ctx, found.id) if found.id in ctx.work.local else caught_up(ctx, found.id)


def _authorize(ctx: Context, found: Known, permission: str, tree: Tree, evolution: Evolution) -> None:
    """Refuse unless every node that changes lies within the caller's reach, where it was and where it goes.

    To come, go or move, a node needs its parent within reach: the top of a granted subtree stays where it is.
    """
    reach = ctx.reach(permission)
    whole = Subject(found.unit_id, found.id)
    if reach.covers(whole):
        return
    tops = reach.nodes_in(whole)
    for node_id, (before, after) in evolution.changes.items():
        stays = before is not None and after is not None and before[2:4] == after[2:4]  # parent and position
        for side, there in ((tree, before), (evolution.tree, after)):
            if there is not None and not _within(tops, side, there.id if stays else there.parent_id):
                ctx.refuse(permission, Subject(found.unit_id, found.id, (node_id,)))


def _within(tops: frozenset[str], tree: Tree, node_id: str | None) -> bool:
    return node_id is not None and not tops.isdisjoint(one.id for one in tree.lineage(node_id))


def _next(ctx: Context, tree: Tree, changed: Tree, edits: str, message: str) -> Tree:
    """The changed tree under its number, digest and time; times never go back within a channel."""
    number = tree.revision + 1
    at = max(ctx.now(), tree.at + timedelta(microseconds=1))
    digest = digest_of(tree.digest, number, ctx.principal.ref, message, at, edits)
    return changed.as_revision(number, digest, at)


def _tell(
    ctx: Context,
    found: Known,
    new: Tree,
    changes: Changes,
    message: str,
    attributes: tuple[Mapping[str, Any], ...],
) -> None:
    trees = ctx.port(Trees)
    ctx.work.local[found.id] = new
    ctx.work.on_rollback(lambda: _unknown(ctx.work.local, found.id))
    ctx.work.on_commit(lambda: trees.advance(new))
    before, after = summary(changes)
    ctx.record(
        Revised(
            subject=_subject(found, changes),
            unit_id=found.unit_id,
            channel_id=found.id,
            revision=new.revision,
            before=before,
            after=after,
            message=message,
            changed=len(changes),
            attributes=attributes,
        )
    )


def _unknown(local: dict[Any, Any], channel_id: str) -> None:
    """After a rollback inside a host's transaction: what it sees must be read again."""
    if channel_id in local:
        local[channel_id] = None


def _subject(found: Known, changes: Changes) -> str:
    return next(iter(changes)) if len(changes) == 1 else found.id


def summary(changes: Changes) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    """Before and after of the fields that changed, for the record: by node when few, else as counts."""
    if len(changes) > _SHOWN:
        return None, {"counts": counts(changes)}
    before: dict[str, Any] = {}
    after: dict[str, Any] = {}
    for node_id, (old, new) in changes.items():
        fields = [f for f in FIELDS if old is None or new is None or getattr(old, f) != getattr(new, f)]
        _keep(before, node_id, old, fields)
        _keep(after, node_id, new, fields)
    return before or None, after or None


def _keep(into: dict[str, Any], node_id: str, one: Node | None, fields: Iterable[str]) -> None:
    if one is not None:
        data = node_to_json(one)
        into[node_id] = {field: data.get(field) for field in fields if field in data}


def counts(changes: Mapping[str, tuple[Node | None, Node | None]]) -> dict[str, int]:
    """How many nodes were added, removed and changed."""
    added = sum(before is None for before, _ in changes.values())
    removed = sum(after is None for _, after in changes.values())
    return {"added": added, "removed": removed, "changed": len(changes) - added - removed}
