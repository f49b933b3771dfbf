"""Writing a revision: the head's move and all rows that go with it.

One conditional update moves the head, so two processes can't make the same revision. Where the database can change
several tables in one statement (PostgreSQL), a small revision is a single round trip, announcement included.
"""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import DateTime, bindparam, insert, text, update

from mallcore.kernel import progress
from mallcore.kernel.context import Context
from mallcore.structure.model.tables import OPEN, channel, node, revision
from mallcore.structure.operations.trees import TOPIC
from mallcore.structure.rules.edits import node_to_json
from mallcore.structure.rules.nodes import Node
from mallcore.structure.rules.tree import Tree
from mallcore.structure.rules.workbench import Changes

_FEW = 20  # up to here rows go in by ordinary statements, above by the driver's bulk path


# Built once: what SQLAlchemy spends on building a statement is more than SQLite spends on running it.
_HEAD_COLUMNS = ("head", "digest", "revised_at", "name", "locale", "currency")
_ADVANCE = (
    update(channel)
    .where(channel.c.id == bindparam("of"), channel.c.head == bindparam("before"), channel.c.removed_at.is_(None))
    .values({name: bindparam(f"new_{name}") for name in _HEAD_COLUMNS})
)
# The sum keeps SQLite from reading every open row by the index of heads: it must go by the key, which is exact.
_END = (
    update(node)
    .where(node.c.channel_id == bindparam("of"), node.c.to_revision + 0 > bindparam("until"))
    .values(to_revision=bindparam("until"))
)
_END_ONE = _END.where(node.c.node_id == bindparam("one"))
_REVISION = insert(revision)
_NODE = insert(node)


def persist(ctx: Context, new: Tree, changes: Changes, edits: str, message: str) -> bool:
    """Move the head to a new revision and write its rows; or write nothing, when the head is not the one before it."""
    ended = [node_id for node_id, (before, _) in changes.items() if before is not None]
    begun = [after for _, after in changes.values() if after is not None]
    if ctx.backend.announcement is not None and len(changes) <= _FEW:
        return _at_once(ctx, new, ended, begun, edits, message)
    if not _advance(ctx, new):
        return False
    ctx.execute(_REVISION, _revision_row(ctx, new, edits, message))
    _end(ctx, new, ended)
    write_nodes(ctx, new.channel_id, new.revision, begun)
    ctx.backend.announce(ctx.connection, f"{TOPIC} {new.channel_id}:{new.revision}")
    return True


def _revision_row(ctx: Context, new: Tree, edits: str, message: str) -> dict[str, Any]:
    return {
        "channel_id": new.channel_id,
        "number": new.revision,
        "author": ctx.principal.ref,
        "message": message,
        "at": new.at,
        "edits": edits,
        "digest": new.digest,
    }


def _head_values(new: Tree) -> dict[str, Any]:
    """What the channel's own row repeats of its head, for lists."""
    root = new.root
    return {
        "head": new.revision,
        "digest": new.digest,
        "revised_at": new.at,
        "name": root.name,
        "locale": root.attributes.get("locale", "en"),
        "currency": root.attributes.get("currency", "EUR"),
    }


def _advance(ctx: Context, new: Tree) -> bool:
    """Move the head, if it still is the revision before; from here on the channel is ours until we commit."""
    values = {f"new_{name}": value for name, value in _head_values(new).items()}
    return _marked(ctx, _ADVANCE, {"of": new.channel_id, "before": new.revision - 1, **values})


def _marked(ctx: Context, statement: Any, parameters: Any = None) -> bool:
    """Whether a conditional change came about; only then is there something that could be half done."""
    dirty = ctx.work.dirty
    happened = ctx.execute(statement, parameters).rowcount == 1
    ctx.work.dirty = dirty or happened
    return happened


def _end(ctx: Context, new: Tree, ids: list[str]) -> None:
    """End the versions of nodes that were in force until now."""
    values = {"of": new.channel_id, "until": new.revision}
    if len(ids) == 1:
        ctx.execute(_END_ONE, {**values, "one": ids[0]})
    elif ids:
        ctx.execute(_END.where(ctx.backend.among(node.c.node_id, ids)), values)


def write_nodes(ctx: Context, channel_id: str, number: int, nodes: list[Node]) -> None:
    """Begin versions of nodes in a revision."""
    if len(nodes) > _FEW:
        ctx.work.dirty = True
        for part in progress.parts("writing", nodes):
            ctx.backend.bulk_insert(ctx.connection, node, [_row(channel_id, number, one) for one in part])
    elif nodes:
        names = [column.name for column in node.c]
        rows = [dict(zip(names, _row(channel_id, number, one, plain=True), strict=True)) for one in nodes]
        ctx.execute(_NODE, rows)


def _row(channel_id: str, number: int, one: Node, plain: bool = False) -> tuple[Any, ...]:
    """A node as a row: JSON columns as text, or with ``plain`` as values for the column types to convert."""
    if not (one.translations or one.attributes or one.rules):
        return (channel_id, one[0], number, OPEN, *one[1:7], None, None, None)
    data = node_to_json(one)
    extras = [data.get(name) for name in ("translations", "attributes", "rules")]
    return (channel_id, one[0], number, OPEN, *one[1:7], *(extras if plain else map(_json, extras)))


def _json(value: Any) -> str | None:
    return None if value is None else json.dumps(value, ensure_ascii=False)


_AT_ONCE = text("""
WITH moved AS (
    UPDATE mall_channel SET head = :head, digest = :digest, revised_at = :revised_at, name = :name, locale = :locale,
        currency = :currency
    WHERE id = :channel_id AND head = :head - 1 AND removed_at IS NULL RETURNING id
), revised AS (
    INSERT INTO mall_revision (channel_id, number, author, message, at, edits, digest)
    SELECT id, :head, :author, :message, :revised_at, :edits, :digest FROM moved
), ended AS (
    UPDATE mall_node SET to_revision = :head FROM moved
    WHERE channel_id = :channel_id AND node_id = ANY(:ended) AND to_revision > :head
), begun AS (
    INSERT INTO mall_node (channel_id, node_id, from_revision, to_revision, kind, parent_id, position, slug, name,
        external_id, translations, attributes, rules)
    SELECT moved.id, one.id, :head, :open, one.kind, one.parent_id, one.position, one.slug, one.name,
        one.external_id, one.translations, one.attributes, one.rules
    FROM moved, json_to_recordset(CAST(:begun AS json)) AS one(id text, kind text, parent_id text, position bigint,
        slug text, name text, external_id text, translations json, attributes json, rules json)
)
SELECT pg_notify(:topic, :payload) FROM moved
""").bindparams(bindparam("revised_at", type_=DateTime(timezone=True)))


def _at_once(ctx: Context, new: Tree, ended: list[str], begun: list[Node], edits: str, message: str) -> bool:
    """The same as the statements of `persist`, as one that PostgreSQL runs whole."""
    values = {
        **_head_values(new),
        "channel_id": new.channel_id,
        "author": ctx.principal.ref,
        "message": message,
        "edits": edits,
        "ended": ended,
        "begun": json.dumps([node_to_json(one) for one in begun]),
        "open": OPEN,
        "topic": ctx.backend.announcement,
        "payload": f"{TOPIC} {new.channel_id}:{new.revision}",
    }
    return _marked(ctx, _AT_ONCE, values)
