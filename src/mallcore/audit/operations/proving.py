"""Proofs that can be checked without the mall, and the log as a file."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import Field
from sqlalchemy import select

from mallcore.audit.model.shapes import Proof
from mallcore.audit.model.tables import audit_checkpoint, audit_record
from mallcore.audit.operations.checkpoints import sign
from mallcore.audit.operations.reading import RecordId, of_record
from mallcore.audit.operations.sequencing import committed, node_of
from mallcore.audit.rules import exports, notes, proofs, tree
from mallcore.audit.rules.leaves import leaf
from mallcore.errors import InvalidInput, LogBroken, UnknownRecord
from mallcore.kernel.context import Context
from mallcore.kernel.operations import Rest, operation

_CHUNK = 2000
_Size = Annotated[int, Field(ge=0, lt=1 << 62, description="The size of a checkpoint.")]


@operation(
    permission="audit.read", subject=of_record, errors=(UnknownRecord, LogBroken),
    rest=Rest("GET", "/audit/records/{record}/proof"),
)  # fmt: skip
def prove(ctx: Context, *, record: RecordId) -> Proof:
    """Prove that a record is in the log: its leaf, and the path from there to the root of the newest checkpoint.

    >>> proof = prove(ctx, record=list_records(ctx, limit=1).items[0].id)
    >>> check_proof(proof.model_dump(), keys=[one.key for one in verification_keys(ctx)]).size > proof.index
    True
    """
    note = sign(ctx).note
    found = notes.checkpoint(note)
    with committed(ctx) as now:
        row = now.execute(select(audit_record).where(audit_record.c.id == record)).mappings().one_or_none()
        if row is None or row["log_index"] is None:
            raise UnknownRecord(record=record)
        content, index = leaf(dict(row)), row["log_index"]
        path = tree.inclusion(node_of(now), index, found.size) if 0 <= index < found.size else []
    if not tree.included(tree.leaf_hash(content), index, found.size, path, found.root):
        raise LogBroken(index=index, reason="the record is not the one that was sequenced")
    return Proof(**proofs.of_record(index, content, path, note))


@operation(permission="audit.read", errors=(LogBroken,), rest=Rest("GET", "/audit/consistency"))
def consistency(ctx: Context, *, old: _Size, size: _Size | None = None) -> Proof:
    """Prove that the log of one checkpoint begins with that of an older one; without ``size``, as it is now."""
    newest = notes.checkpoint(sign(ctx).note)
    with committed(ctx) as now:
        newer = newest if size is None else _note(now, "size", size)
        older = _note(now, "old", old)
        if older.size > newer.size:
            raise InvalidInput(field="old", reason="it is larger than the other")
        path = tree.consistency(node_of(now), older.size, newer.size)
    if not tree.consistent(older.size, newer.size, older.root, newer.root, path):
        raise LogBroken(index=0, reason=f"the log of {newer.size} records does not begin with the one of {older.size}")
    return Proof(**proofs.of_growth(older.text, path, newer.text))


def _note(ctx: Context, field: str, size: int) -> notes.Checkpoint:
    found = ctx.execute(select(audit_checkpoint.c.note).where(audit_checkpoint.c.size == size)).scalar_one_or_none()
    if found is None:
        raise InvalidInput(field=field, reason=f"there is no checkpoint at {size}: list them to see those there are")
    return notes.checkpoint(found)


def export(ctx: Context) -> Iterator[bytes]:
    """The log as a file, line by line: records up to the newest checkpoint, and the checkpoints, for `check_file`.

    It holds no names of persons. The caller needs ``audit.read`` on the whole mall.
    """
    ctx.require("audit.read")
    newest = notes.checkpoint(sign(ctx).note)
    yield exports.header(newest.origin, newest.size)
    with committed(ctx) as now:
        for start in range(0, newest.size, _CHUNK):
            for row in rows_between(now, start, min(start + _CHUNK, newest.size)):
                content = leaf(row)
                yield exports.record(row["log_index"], tree.leaf_hash(content), content)
        made = select(audit_checkpoint.c.note).where(audit_checkpoint.c.size <= newest.size)
        for note in now.execute(made.order_by(audit_checkpoint.c.size)).scalars().all():
            yield exports.note(note)


def rows_between(ctx: Context, start: int, end: int) -> list[dict[str, Any]]:
    """The rows of records by their places."""
    index = audit_record.c.log_index
    query = select(audit_record).where(index >= start, index < end).order_by(index, audit_record.c.id)
    result = ctx.execute(query)
    names = list(result.keys())
    return [dict(zip(names, row, strict=True)) for row in result]
