"""Verification: of the database against its tree and the checkpoints outside it; and of files and proofs, offline."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Any

from pydantic import Field
from sqlalchemy import func, select

from mallcore.audit.model.shapes import VerifiedLog
from mallcore.audit.model.tables import audit_checkpoint, audit_record, audit_tile
from mallcore.audit.operations.checkpoints import get, keys_of, newest_stored
from mallcore.audit.operations.proving import rows_between
from mallcore.audit.operations.sequencing import Head, committed, head_of, sequence
from mallcore.audit.rules import exports, notes, proofs, tiles
from mallcore.audit.rules.leaves import FORM, leaf
from mallcore.audit.rules.tree import leaf_hash
from mallcore.errors import DatabaseReadOnly, InvalidInput, LogBroken, MallError
from mallcore.kernel.context import Context
from mallcore.kernel.objects import ObjectStore, Stores
from mallcore.kernel.operations import Rest, operation
from mallcore.kernel.progress import told

_CHUNK = 4096
_INDEX = audit_record.c.log_index


@operation(permission="audit.read", errors=(LogBroken,), rest=Rest("POST", "/audit/verification"))
def verify(
    ctx: Context,
    *,
    checkpoint: Annotated[
        str | None, Field(max_length=10_000, description="A checkpoint from a place you trust.")
    ] = None,
) -> VerifiedLog:
    """Check the whole log: every record against the tree, the tree against every checkpoint.

    The newest checkpoint in the second store counts, and the given one. `LogBroken` names the first record that is not
    as it was, or is not there.

    >>> verify(ctx).size > 0
    True
    """
    _settle(ctx)
    with committed(ctx) as now:
        head = head_of(now)
        own = _own(now, head)
    trusted = _trusted(ctx, head, checkpoint)
    _require_length(head, [*own, *trusted])
    with committed(ctx) as now:
        head = head_of(now)
        hashes = _hashes(now, head)
        _check_tiles(now, hashes)
        waiting = now.execute(select(func.count()).select_from(audit_record).where(_INDEX.is_(None))).scalar_one()
    try:
        root = exports.against(hashes, [*own, *trusted])
    except LogBroken as broken:
        raise _located(ctx, head, hashes, broken) from None
    return VerifiedLog(
        origin=head.origin,
        size=head.size,
        root=base64.b64encode(root).decode(),
        checkpoints=len(own),
        trusted=max((one.size for one in trusted), default=0),
        waiting=waiting,
    )


def _settle(ctx: Context) -> None:
    """What waits is checked too, where that can be written."""
    try:
        sequence(ctx)
    except DatabaseReadOnly:
        return


def _trusted(ctx: Context, head: Head, given: str | None) -> list[notes.Checkpoint]:
    """Checkpoints from outside the database."""
    found = [] if given is None else notes.checkpoints(given)
    for one in found:
        if one.origin != head.origin:
            raise InvalidInput(field="checkpoint", reason=f"it is of the log {one.origin!r}, not of {head.origin!r}")
    stored = newest_stored(ctx, head.origin)
    return found if stored is None else [*found, stored]


def _own(ctx: Context, head: Head) -> list[notes.Checkpoint]:
    """The checkpoints of the database, each signed by a key of ours."""
    keys, found = keys_of(ctx, head.origin), []
    for row in ctx.execute(select(audit_checkpoint).order_by(audit_checkpoint.c.size)):
        try:
            one = notes.checkpoint(row.note)
        except InvalidInput:
            raise LogBroken(index=row.size, reason="the checkpoint here is damaged") from None
        if notes.is_signed(one, keys) and (one.size, one.origin) == (row.size, head.origin):
            found.append(one)
        elif not _is_revoked(one, keys):
            raise LogBroken(index=row.size, reason="the checkpoint here is forged")
    return found


def _is_revoked(one: notes.Checkpoint, keys: Sequence[notes.VerificationKey]) -> bool:
    """Whether the checkpoint may be of a key that counts no more: then it vouches for nothing."""
    return not {key.id for key in keys} & {signature.key_id for signature in one.signatures}


def _require_length(head: Head, vouching: Iterable[notes.Checkpoint]) -> None:
    longest = max((one.size for one in vouching), default=0)
    if head.size < longest:
        raise LogBroken(index=head.size, reason=f"the log ends here, and had {longest} records: its end is cut")


def _hashes(ctx: Context, head: Head) -> list[bytes]:
    """The hash of every record, computed from its fields; each must be the one in the tree."""
    hashes: list[bytes] = []
    for start in range(0, head.size, _CHUNK):
        told("verifying records", start, head.size)
        end = min(start + _CHUNK, head.size)
        there = list(_leaf_tiles(ctx, start, end))
        for row in rows_between(ctx, start, end):
            hashes.append(_checked(row, len(hashes), there[len(hashes) - start :]))
        if len(hashes) < end:
            raise LogBroken(index=len(hashes), reason="the record is missing")
    count = ctx.execute(select(func.count()).select_from(audit_record).where(_INDEX.is_not(None))).scalar_one()
    if count != head.size:
        raise LogBroken(index=head.size, reason=f"{count - head.size} records have places that the log does not know")
    return hashes


def _leaf_tiles(ctx: Context, start: int, end: int) -> Iterator[bytes]:
    numbers = (start // tiles.WIDTH, -(-end // tiles.WIDTH))
    columns = audit_tile.c
    query = select(columns.number, columns.hashes).where(columns.level == 0)
    rows = ctx.execute(query.where(columns.number >= numbers[0], columns.number < numbers[1]))
    found = {row.number: bytes(row.hashes) for row in rows}
    for number in range(*numbers):
        full = tiles.hashes(found.get(number, b""))
        if len(full) < min(tiles.WIDTH, end - number * tiles.WIDTH):
            raise LogBroken(index=number * tiles.WIDTH + len(full), reason="its place in the tree is missing")
        yield from full


def _checked(row: Mapping[str, Any], index: int, there: Sequence[bytes]) -> bytes:
    if row["log_index"] != index:
        if row["log_index"] < index:
            raise LogBroken(index=row["log_index"], reason="two records have this place")
        raise LogBroken(index=index, reason="the record is missing")
    found, written = leaf_hash(leaf(row)), row["leaf"]
    if found != there[0]:
        rewritten = written == found
        raise LogBroken(
            index=index,
            reason="the record and its hash are not those that were sequenced" if rewritten else "a field was changed",
        )
    if written != found or row["form"] != FORM:
        raise LogBroken(index=index, reason="the hash beside the record was changed")
    return found


def _check_tiles(ctx: Context, hashes: Sequence[bytes]) -> None:
    """Every tile above the leaves must be what they make: proofs are read from there."""
    wanted = tiles.grown(0, hashes, lambda level, number: b"")
    for row in ctx.execute(select(audit_tile).order_by(audit_tile.c.level, audit_tile.c.number)):
        if wanted.pop((row.level, row.number), None) != bytes(row.hashes):
            index = (row.number * tiles.WIDTH) << 8 * row.level
            raise LogBroken(index=index, reason=f"tile {row.level}/{row.number} of the tree was changed")
    for level, number in wanted:
        index = (number * tiles.WIDTH) << 8 * level
        raise LogBroken(index=index, reason=f"tile {level}/{number} of the tree is missing")


def _located(ctx: Context, head: Head, hashes: Sequence[bytes], broken: LogBroken) -> LogBroken:
    """The very record at which the tree departs from the tiles in the second store, where those can be read."""
    store = ctx.port(Stores).checkpoints
    stored = newest_stored(ctx, head.origin)
    if store is None or stored is None:
        return broken
    try:
        for start in range(0, min(stored.size, len(hashes)), tiles.WIDTH):
            kept = _kept_tile(store, head.origin, start, stored.size)
            for index in exports.differing(kept, hashes[start:]):
                reason = f"the record is not the one that the second store has in its tile ({broken.details['reason']})"
                return LogBroken(index=start + index, reason=reason)
    except MallError:
        return broken
    return broken


def _kept_tile(store: ObjectStore, origin: str, start: int, size: int) -> list[bytes]:
    width = min(tiles.WIDTH, size - start)
    return tiles.hashes(get(store, f"{origin}/{tiles.path(0, start // tiles.WIDTH, width)}"))


def check_file(lines: Iterable[bytes], *, checkpoint: str = "", keys: Iterable[str] = ()) -> exports.Checked:
    """Check a file that `export` wrote, without a mall: ``checkpoint`` is trusted, ``keys`` verify those in the file.

    `LogBroken` names the first record that is not as it was, or is not there.
    """
    return exports.check(lines, notes.checkpoints(checkpoint), [notes.verification_key(one) for one in keys])


def check_proof(proof: Mapping[str, Any], *, checkpoint: str = "", keys: Iterable[str] = ()) -> notes.Checkpoint:
    """Check a proof without a mall; returns the checkpoint that vouches for it. Raises `LogBroken`, `InvalidInput`."""
    return proofs.check(proof, notes.checkpoints(checkpoint), [notes.verification_key(one) for one in keys])
