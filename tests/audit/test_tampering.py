"""Tampering behind the mall's back, by SQL: each is found, and the first record that is not as it was is named."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import delete, insert, select, text, update

from mallcore import audit
from mallcore.audit.model.tables import audit_checkpoint, audit_head, audit_record, audit_tile
from mallcore.audit.rules import tiles, tree
from mallcore.audit.rules.leaves import leaf
from mallcore.errors import LogBroken
from tests.audit.conftest import Log

COLUMNS = audit_record.c
SIZE, AT = 12, 5


@pytest.fixture
def kept(log: Log) -> Log:
    """A log of twelve records with a checkpoint at its sixth and one at its end."""
    log.act(4)
    log.call(audit.checkpoint)
    log.act(6)
    assert log.call(audit.checkpoint).size == SIZE
    assert log.call(audit.verify).trusted == SIZE
    return log


def broken(log: Log, **given: Any) -> int:
    """The index at which the log does not verify."""
    with pytest.raises(LogBroken) as found:
        log.call(audit.verify, **given)
    assert found.value.details["reason"] in str(found.value)
    return int(found.value.details["index"])


def change(log: Log, *statements: Any) -> None:
    """What an administrator of the database does."""
    with log.mall.engine.begin() as connection:
        for statement in statements:
            connection.execute(statement)


def row_at(log: Log, index: int) -> dict[str, Any]:
    """A record's row."""
    with log.mall.engine.connect() as connection:
        return dict(connection.execute(select(audit_record).where(COLUMNS.log_index == index)).mappings().one())


def other(value: Any) -> Any:
    """A value with one bit flipped, or one that was not there."""
    if value is None:
        return {"x": 1}
    if isinstance(value, dict):
        return {**value, "x": 1}
    if isinstance(value, bytes):
        return bytes([value[0] ^ 1]) + value[1:]
    if isinstance(value, int):
        return value ^ 1
    if isinstance(value, str):
        return value[:-1] + chr(ord(value[-1]) ^ 1)
    return value.replace(microsecond=value.microsecond ^ 1)


CHANGED = [name for name in COLUMNS.keys() if name != "log_index"]  # noqa: SIM118 - columns, not names
TEXTS = {"jti", "sealed", "unit_id", "channel_id"}


@pytest.mark.parametrize("column", CHANGED)
def test_a_flipped_bit_is_named(kept: Log, column: str) -> None:
    """A bit of any column of a record, or a value where there was none, is found at that record."""
    found = row_at(kept, AT)
    new = "x" if found[column] is None and column in TEXTS else other(found[column])
    change(kept, update(audit_record).where(COLUMNS.id == found["id"]).values({column: new}))
    assert broken(kept) == AT


@pytest.mark.parametrize("column", ["before", "after", "unit_id", "channel_id", "revision"])
def test_an_emptied_field_is_named(kept: Log, column: str) -> None:
    """A field that was emptied is found."""
    index = next(at for at in range(SIZE) if row_at(kept, at)[column] is not None) if column != "before" else 0
    if column == "before":
        change(kept, update(audit_record).where(COLUMNS.log_index == 0).values(before={}))
    else:
        change(kept, update(audit_record).where(COLUMNS.log_index == index).values({column: None}))
    assert broken(kept) == index


@pytest.mark.parametrize("index", [0, AT, SIZE - 1])
def test_a_dropped_record_is_named(kept: Log, index: int) -> None:
    """A record that was deleted is missing at its place."""
    change(kept, delete(audit_record).where(COLUMNS.log_index == index))
    assert broken(kept) == index


def test_a_cut_end_is_named(kept: Log) -> None:
    """Records cut off the end are missing from the first of them on, whatever the head says."""
    change(kept, delete(audit_record).where(COLUMNS.log_index >= 8))
    assert broken(kept) == 8
    change(kept, update(audit_head).values(size=8))
    assert broken(kept) == 8


def test_swapped_records_are_named(kept: Log) -> None:
    """Two records that changed places are found at the first of them."""
    for start, end in ((3, 1000), (9, 3), (1000, 9)):
        change(kept, update(audit_record).where(COLUMNS.log_index == start).values(log_index=end))
    assert broken(kept) == 3


def test_renumbered_records_are_named(kept: Log) -> None:
    """Records moved up to close a gap, a place given twice, none, or one outside of the log are found."""
    dropped = delete(audit_record).where(COLUMNS.log_index == 4)
    change(kept, dropped, text("UPDATE mall_audit_record SET log_index = log_index - 1 WHERE log_index > 4"))
    assert broken(kept) == 4


@pytest.mark.parametrize(("new", "index"), [(AT - 1, AT - 1), (AT + 1, AT), (-1, AT), (5000, AT)])
def test_a_record_in_another_place_is_named(kept: Log, new: int, index: int) -> None:
    """A record that claims another's place, or one that is not there, is found."""
    change(kept, update(audit_record).where(COLUMNS.log_index == AT).values(log_index=new))
    assert broken(kept) == index


def test_a_record_that_lost_its_place_is_named(kept: Log) -> None:
    """A record that was made to wait again is missing in its old place."""
    change(kept, update(audit_record).where(COLUMNS.log_index == AT).values(log_index=None))
    assert broken(kept) == AT


def test_an_added_record_is_named(kept: Log) -> None:
    """A record that was put into the log by hand, behind its end or on another's place, is found."""
    copied = {**row_at(kept, AT), "id": "aud_added"}
    change(kept, insert(audit_record).values({**copied, "log_index": SIZE}))
    assert broken(kept) == SIZE
    change(kept, update(audit_record).where(COLUMNS.id == "aud_added").values(log_index=AT))
    assert broken(kept) == AT


def test_a_rewritten_record_and_hash_are_named(kept: Log) -> None:
    """Whoever changes a record and computes its hash anew is told by the tree."""
    _rewrite(kept, AT)
    assert broken(kept) == AT


def _rewrite(log: Log, index: int) -> bytes:
    row = {**row_at(log, index), "operation": "nothing.at_all"}
    hashed = tree.leaf_hash(leaf(row))
    values = {"operation": row["operation"], "leaf": hashed}
    change(log, update(audit_record).where(COLUMNS.id == row["id"]).values(values))
    return hashed


TREES: dict[str, tuple[Callable[[], Any], int]] = {
    "a changed tile": (lambda: update(audit_tile).values(hashes=b"x" * 32 * SIZE), 0),
    "a cut tile": (lambda: update(audit_tile).values(hashes=b""), 0),
    "no tile": (lambda: delete(audit_tile), 0),
    "one tile more": (lambda: insert(audit_tile).values(level=1, number=0, hashes=b"x" * 32), 0),
    "a shorter head": (lambda: update(audit_head).values(size=SIZE - 1), SIZE - 1),
    "a longer head": (lambda: update(audit_head).values(size=SIZE + 1), SIZE),
}


@pytest.mark.parametrize("what", TREES)
def test_a_changed_tree_is_named(kept: Log, what: str) -> None:
    """A tile or the head that was changed is found, though all records are there."""
    statement, index = TREES[what]
    change(kept, statement())
    assert broken(kept) == index


def test_a_forged_checkpoint_is_named(kept: Log) -> None:
    """A checkpoint in the database that our keys did not sign, or that is no checkpoint, is found."""
    forged = text("UPDATE mall_audit_checkpoint SET note = replace(note, :old, :new) WHERE size = 6")
    with kept.mall.engine.begin() as connection:
        connection.execute(forged, {"old": "\n6\n", "new": "\n7\n"})
    assert broken(kept) == 6
    change(kept, update(audit_checkpoint).where(audit_checkpoint.c.size == 6).values(note="nothing"))
    assert broken(kept) == 6


def _rewrite_all(log: Log, index: int) -> None:
    """An administrator rewrites a record and all that stands on it: hash, tiles, checkpoints; even the keys."""
    _rewrite(log, index)
    with log.mall.engine.begin() as connection:
        rows = connection.execute(select(COLUMNS.leaf).order_by(COLUMNS.log_index)).scalars().all()
        made = tiles.grown(0, [bytes(one) for one in rows], lambda level, number: b"")
        connection.execute(delete(audit_tile))
        for (level, number), hashes in made.items():
            connection.execute(insert(audit_tile).values(level=level, number=number, hashes=hashes))
        connection.execute(delete(audit_checkpoint))


def test_a_whole_rewrite_is_named_by_the_second_store(kept: Log) -> None:
    """Whoever rewrites the database whole can't rewrite the second store: its tiles name the very record."""
    _rewrite_all(kept, AT)
    assert broken(kept) == AT


def test_a_whole_rewrite_is_told_by_a_trusted_checkpoint(kept: Log) -> None:
    """With nothing but an old checkpoint in somebody's hand, a rewrite before it is told, and one behind it is not."""
    early, late = reversed([one.note for one in kept.call(audit.list_checkpoints).items])
    _rewrite_all(kept, AT + 3)
    kept.store._objects.clear()
    assert kept.call(audit.verify, checkpoint=early).trusted == 6
    assert broken(kept, checkpoint=late) == 0
    assert broken(kept, checkpoint=early + "\n" + late) == 6
    with pytest.raises(LogBroken) as found:
        audit.check_file(kept.file(), checkpoint=late)
    assert found.value.details["index"] == 0


def test_a_rewritten_log_gets_no_checkpoint(kept: Log) -> None:
    """The mall signs no tree that its last checkpoint does not lead to, and proves nothing in one."""
    _rewrite(kept, AT)
    change(kept, update(audit_tile).values(hashes=b"x" * 32 * SIZE))
    kept.act()
    for operation, given in (
        (audit.checkpoint, {}),
        (audit.prove, {"record": row_at(kept, 1)["id"]}),
        (audit.consistency, {"old": 6}),
    ):
        with pytest.raises(LogBroken):
            kept.call(operation, **given)


def test_a_changed_record_is_not_proved(kept: Log) -> None:
    """A record that was changed has no proof, and those beside it have theirs."""
    change(kept, update(audit_record).where(COLUMNS.log_index == AT).values(operation="x.y"))
    with pytest.raises(LogBroken) as found:
        kept.call(audit.prove, record=row_at(kept, AT)["id"])
    assert found.value.details["index"] == AT
    assert kept.call(audit.prove, record=row_at(kept, AT + 1)["id"]).index == AT + 1


def test_a_fork_is_told(kept: Log) -> None:
    """Two logs that grew from one beginning have checkpoints of one size: with both in hand, the fork is told."""
    note = kept.call(audit.list_checkpoints).items[0].note
    _rewrite_all(kept, SIZE - 1)
    kept.store._objects.clear()
    forked = kept.call(audit.checkpoint)
    assert forked.size == SIZE
    with pytest.raises(LogBroken, match="forked"):
        kept.call(audit.verify, checkpoint=note)
    with pytest.raises(LogBroken, match="forked"):
        audit.check_file(kept.file(), checkpoint=note, keys=kept.vkeys())
