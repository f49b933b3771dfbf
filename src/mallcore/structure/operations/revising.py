"""Making a revision: the one way in which a channel's structure changes.

Edits are applied in memory first, so a refusal costs no database work. Then the head moves from the revision they were
applied to, by one conditional update; if another was faster, the channel is locked, the tree caught up, and the edits
are applied again. Rows, digest, event and announcement follow in the same transaction.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, ClassVar, NamedTuple

from sqlalchemy import insert, update

from mallcore.errors import MallError, StaleRevision
from mallcore.kernel import progress
from mallcore.kernel.context import Context
from mallcore.kernel.events import Event
from mallcore.kernel.ports import Reach, Subject
from mallcore.structure.model.tables import OPEN, channel, node, revision
from mallcore.structure.operations.trees import TOPIC, Known, Trees, caught_up, head, refuse_removed
from mallcore.structure.rules.apply import evolve
from mallcore.structure.rules.edits import Edit, node_to_json
from mallcore.structure.rules.history import canonical_edits
from mallcore.structure.rules.history import digest as digest_of
from mallcore.structure.rules.nodes import FIELDS, Node
from mallcore.structure.rules.tree import Tree
from mallcore.structure.rules.workbench import Changes, Evolution

Plan = Callable[[Tree], Sequence[Edit]]
_FEW = 20  # up to here rows go in by the ordinary insert, above by the driver's bulk path
_SHOWN = 20  # nodes whose before and after an audit record holds; the revision holds them all


@dataclass(frozen=True, slots=True, kw_only=True)
class Revised(Event):
    """A channel got a new revision."""

    name: ClassVar[str] = "structure.revised"
    message: str = ""
    changed: int = 0


class Outcome(NamedTuple):
    """The tree after a change, and what changed: nothing when no revision was needed."""

    tree: Tree
    before: Tree
    changes: Changes


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
    refuse_removed(found)
    tree = head(ctx, found.id)
    try:
        evolution, edits = _planned(tree, plan, expected_revision)
    except MallError:
        # Memory may be a moment behind; only the database's word is final.
        fresh = _seen_now(ctx, found)
        if fresh.revision == tree.revision:
            raise
        tree = fresh
        evolution, edits = _planned(tree, plan, expected_revision)
    _authorize(ctx, found, permission, tree, evolution)
    if not (evolution.changes or even_if_empty):
        return Outcome(tree, tree, {})
    new = _next(ctx, tree, evolution.tree, edits, message)
    if not _advance(ctx, new):
        tree = caught_up(ctx, found.id, locked=True)
        evolution, edits = _planned(tree, plan, expected_revision)
        _authorize(ctx, found, permission, tree, evolution)
        if not (evolution.changes or even_if_empty):
            return Outcome(tree, tree, {})
        new = _next(ctx, tree, evolution.tree, edits, message)
        if not _advance(ctx, new):
            refuse_removed(found._replace(removed=True))
    _write(ctx, new, evolution.changes, edits, message)
    _tell(ctx, found, tree, new, evolution.changes, message)
    return Outcome(new, tree, evolution.changes)


def _planned(tree: Tree, plan: Plan, expected: int | None) -> tuple[Evolution, str]:
    if expected is not None and tree.revision != expected:
        raise StaleRevision(expected=expected, actual=tree.revision)
    edits = plan(tree)
    evolution = evolve(tree, edits)
    return evolution, canonical_edits(edits)


def _seen_now(ctx: Context, found: Known) -> Tree:
    return head(ctx, found.id) if found.id in ctx.work.local else caught_up(ctx, found.id)


def _authorize(ctx: Context, found: Known, permission: str, tree: Tree, evolution: Evolution) -> None:
    """Refuse unless every node that changes lies within the caller's reach, where it was and where it goes."""
    reach = ctx.reach(permission)
    if reach.covers(Subject(found.unit_id, found.id)):
        return
    for node_id, (before, after) in evolution.changes.items():
        for side, there in ((tree, before), (evolution.tree, after)):
            if there is not None and not _within(reach, side, there):
                ctx.refuse(permission, Subject(found.unit_id, found.id, (node_id,)))


def _within(reach: Reach, tree: Tree, there: Node) -> bool:
    return not reach.nodes.isdisjoint(one.id for one in tree.lineage(there.id))


def _next(ctx: Context, tree: Tree, changed: Tree, edits: str, message: str) -> Tree:
    """The changed tree under its number, digest and time; times never go back within a channel."""
    number = tree.revision + 1
    at = max(ctx.now(), tree.at + timedelta(microseconds=1))
    digest = digest_of(tree.digest, number, ctx.principal.ref, message, at, edits)
    return changed.as_revision(number, digest, at)


def _advance(ctx: Context, new: Tree) -> bool:
    """Move the head, if it still is the revision before; from here on the channel is ours until we commit."""
    root = new.root
    statement = (
        update(channel)
        .where(channel.c.id == new.channel_id, channel.c.head == new.revision - 1, channel.c.removed_at.is_(None))
        .values(
            head=new.revision,
            digest=new.digest,
            revised_at=new.at,
            name=root.name,
            locale=root.attributes.get("locale", "en"),
            currency=root.attributes.get("currency", "EUR"),
        )
    )
    dirty = ctx.work.dirty
    moved = ctx.execute(statement).rowcount == 1
    ctx.work.dirty = dirty or moved
    return moved


def _write(ctx: Context, new: Tree, changes: Changes, edits: str, message: str) -> None:
    row = {
        "channel_id": new.channel_id,
        "number": new.revision,
        "author": ctx.principal.ref,
        "message": message,
        "at": new.at,
        "edits": edits,
        "digest": new.digest,
    }
    ctx.execute(insert(revision), row)
    _end(ctx, new, [node_id for node_id, (before, _) in changes.items() if before is not None])
    write_nodes(ctx, new.channel_id, new.revision, [after for _, after in changes.values() if after is not None])


def _end(ctx: Context, new: Tree, ids: list[str]) -> None:
    """End the versions of nodes that were in force until now."""
    if ids:
        among = node.c.node_id == ids[0] if len(ids) == 1 else ctx.backend.among(node.c.node_id, ids)
        mine = (node.c.channel_id == new.channel_id, node.c.to_revision == OPEN, among)
        ctx.execute(update(node).where(*mine).values(to_revision=new.revision))


def write_nodes(ctx: Context, channel_id: str, number: int, nodes: list[Node]) -> None:
    """Begin versions of nodes in a revision."""
    if len(nodes) > _FEW:
        ctx.work.dirty = True
        for part in progress.parts("writing", nodes):
            ctx.backend.bulk_insert(ctx.connection, node, [_row(channel_id, number, one) for one in part])
    elif nodes:
        names = [column.name for column in node.c]
        rows = [dict(zip(names, _row(channel_id, number, one, plain=True), strict=True)) for one in nodes]
        ctx.execute(insert(node), rows)


def _row(channel_id: str, number: int, one: Node, plain: bool = False) -> tuple[Any, ...]:
    """A node as a row: JSON columns as text, or with ``plain`` as values for the column types to convert."""
    if not (one.translations or one.attributes or one.rules):
        return (channel_id, one[0], number, OPEN, *one[1:7], None, None, None)
    data = node_to_json(one)
    extras = [data.get(name) for name in ("translations", "attributes", "rules")]
    return (channel_id, one[0], number, OPEN, *one[1:7], *(extras if plain else map(_json, extras)))


def _json(value: Any) -> str | None:
    return None if value is None else json.dumps(value, ensure_ascii=False)


def _tell(ctx: Context, found: Known, old: Tree, new: Tree, changes: Changes, message: str) -> None:
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
        )
    )
    ctx.backend.announce(ctx.connection, f"{TOPIC} {found.id}:{new.revision}")


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
