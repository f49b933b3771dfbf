"""The log as a whole: places in the tree, checkpoints in a second store, proofs and files for those outside."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest
from sqlalchemy import insert, select, text

from mallcore import Mall, audit, structure
from mallcore.audit.model.tables import audit_record
from mallcore.audit.operations import sequencing
from mallcore.audit.rules import leaves, notes, tiles, tree
from mallcore.backends.memory import MemoryStore
from mallcore.errors import Denied, InvalidInput, LogBroken, ObjectMissing, StageFirst, StoreUnavailable, UnknownRecord
from mallcore.kernel.context import Context
from mallcore.kernel.events import Event
from mallcore.kernel.recording import record_now
from mallcore.kernel.work import OwnWork
from tests.audit.conftest import ADA, ME, Log


def places(log: Log) -> list[int | None]:
    """The records' places, oldest record first."""
    return [one.index for one in reversed(log.records())]


def test_every_record_gets_its_place_once(log: Log) -> None:
    """Committed records get the places that follow, in their order, and keep them."""
    log.act(3)
    assert set(places(log)) == {None}
    assert log.mall.keep_log() == 5
    assert places(log) == [0, 1, 2, 3, 4]
    log.act(2)
    assert log.mall.keep_log() == 2
    assert places(log) == [0, 1, 2, 3, 4, 5, 6]
    assert log.mall.keep_log() == 0
    assert log.call(audit.verify).size == 7


def test_large_batches_are_one_tree(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many batches it took, tiles of several levels hold one tree, of which every proof holds."""
    monkeypatch.setattr(sequencing, "BATCH", 100)
    with log.mall.begin(ME) as ctx:
        for number in range(700):
            ctx.record(Event(subject=f"s{number}"))
    log.act(5)
    assert log.mall.keep_log() == 707
    held = log.call(audit.verify)
    assert (held.size, held.trusted, held.waiting) == (707, 707, 0)
    for record in log.records(limit=3):
        proof = log.call(audit.prove, record=record.id).model_dump()
        assert audit.check_proof(proof, keys=log.vkeys()).size == 707


def test_only_what_is_committed_has_a_place(log: Log) -> None:
    """A record of a transaction under way waits, and one that was rolled back never comes."""
    log.act()
    work = OwnWork(log.mall.services.source)
    ctx = Context(log.mall.services, ME, work)
    structure.create_category(ctx, channel="books", name="Waiting")
    if log.mall.backend.serial_writes:
        with pytest.raises(StageFirst):
            audit.sequence(ctx)
    else:
        assert audit.sequence(ctx) == 3
    work.rollback()
    log.mall.keep_log()
    assert log.call(audit.verify).size == 3


def test_many_sequencers_make_one_log(log: Log) -> None:
    """While several threads and a second mall write and sequence at once, no place is given twice or left out."""
    wrong: list[BaseException] = []

    def run(mall: Mall, name: str) -> None:
        try:
            for number in range(15):
                with mall.begin(ADA) as ctx:
                    structure.create_category(ctx, channel="books", name=f"{name} {number}")
                mall.keep_log()
        except BaseException as error:
            wrong.append(error)

    with Mall.open(log.mall.engine, checkpoints="memory://", busy_seconds=20) as other:
        threads = [
            threading.Thread(target=run, args=(mall, f"t{number}"))
            for number, mall in enumerate([log.mall, other, log.mall])
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert wrong == []
    log.mall.keep_log()
    assert sorted(one for one in places(log) if one is not None) == list(range(47))
    assert log.call(audit.verify).size == 47


def test_records_of_old_code_enter_the_log(log: Log) -> None:
    """What code without the log wrote, before the migration or beside it, is sealed and gets its place."""
    log.act(2)
    with log.mall.engine.begin() as connection:
        for row in connection.execute(select(audit_record).where(audit_record.c.revision > 0)).mappings().all():
            old = {name: row[name] for name in ("at", "event", "outcome", "request_id")}
            new = {
                "id": f"aud_1{row['id'][5:]}",
                "principal": "user:bob",
                "subject": "user:bob",
                "operation": "old.way",
            }
            after = {"principal": "user:bob", "n": 1.5}
            connection.execute(insert(audit_record), {**old, **new, "after": after})
    (first, second) = log.records(principal="user:bob")
    assert (first.principal, first.after, first.index) == ("user:bob", {"principal": "user:bob", "n": 1.5}, None)
    log.mall.keep_log()
    assert log.records(principal="user:bob", subject="user:bob") == [
        first.model_copy(update={"index": log.records(principal="user:bob")[0].index}),
        second.model_copy(update={"index": log.records(principal="user:bob")[1].index}),
    ]
    with log.mall.engine.connect() as connection:
        stored = connection.execute(text("SELECT principal, subject, after FROM mall_audit_record")).all()
    assert "bob" not in str(stored)
    assert log.call(audit.verify).waiting == 0


def test_a_checkpoint_stands_in_the_second_store(log: Log) -> None:
    """A checkpoint is a signed note under its log's name; tiles beside it hold the tree, and bundles the leaves."""
    log.act(300)
    made = log.call(audit.checkpoint)
    assert made.stored_at is not None
    found = notes.checkpoint(made.note)
    assert [one.key for one in log.store.iter("checkpoint/")] == [f"checkpoint/{found.origin}/{made.size:020d}"]
    key = notes.verification_key(log.vkeys()[0])
    assert notes.signer(notes.checkpoint(_object(log, f"checkpoint/{found.origin}/{made.size:020d}").decode()), [key])

    def tile(level: int, number: int) -> bytes:
        width = min(256, (made.size >> 8 * level) - 256 * number)
        return _object(log, f"{found.origin}/{tiles.path(level, number, width)}")

    assert tree.root(tiles.node_reader(tile), made.size) == found.root
    bundle = _object(log, f"{found.origin}/{tiles.path('entries', 0)}")
    entries = []
    while bundle:
        length = int.from_bytes(bundle[:2], "big")
        entries.append(bundle[2 : 2 + length])
        bundle = bundle[2 + length :]
    assert [tree.leaf_hash(one) for one in entries] == tiles.hashes(tile(0, 0))
    assert json.loads(entries[5])["operation"] == "structure.create_node"


def _object(log: Log, key: str) -> bytes:
    with log.store.open(key) as stream:
        return stream.read()


def test_checkpoints_come_by_number_and_by_time(log: Log) -> None:
    """The first record gets a checkpoint, then each N records, or any once the last checkpoint is old enough."""
    mall = Mall.open(log.mall.engine, checkpoints="memory://", checkpoint_records=5, checkpoint_seconds=3600)
    with mall:
        mall.keep_log()
        log.act(3)
        mall.keep_log()
        assert [one.size for one in log.call(audit.list_checkpoints).items] == [2]
        log.act(2)
        mall.keep_log()
        assert [one.size for one in log.call(audit.list_checkpoints).items] == [7, 2]
    log.act(1)
    with Mall.open(log.mall.engine, checkpoints="memory://", checkpoint_seconds=0.001) as other:
        other.keep_log()
    page = log.call(audit.list_checkpoints, limit=2)
    assert [one.size for one in page.items] == [8, 7]
    assert [one.size for one in log.call(audit.list_checkpoints, cursor=page.next).items] == [2]


class Failing(MemoryStore):
    """A store that can be out of reach, or lose its connection after some objects."""

    left = 0

    def put_new(self, key: str, content: Any, **given: Any) -> Any:
        if self.left <= 0:
            raise StoreUnavailable(store="failing", reason="it is away")
        self.left -= 1
        return super().put_new(key, content, **given)


def test_a_checkpoint_that_cannot_be_written_waits(log: Log) -> None:
    """While the second store fails, checkpoints are kept and say so; each next try goes on, and none is lost."""
    store = log.mall.stores.checkpoints = Failing()
    log.mall.keep_log()
    log.act(300)
    made = log.call(audit.checkpoint)
    assert made.stored_at is None
    assert made.failure.startswith("store-unavailable")
    assert list(store.iter()) == []
    for turn in range(10):
        store.left = turn
        log.mall.keep_log()
    waiting = [one for one in log.call(audit.list_checkpoints).items if one.stored_at is None]
    assert waiting == []
    assert len(list(store.iter("checkpoint/"))) == 2
    assert log.call(audit.verify).trusted == 302


def test_a_store_with_another_log_is_told(log: Log) -> None:
    """When the second store holds another checkpoint in the place of ours, the log was forked; it is not replaced."""
    log.call(audit.checkpoint)
    (kept,) = log.store.iter("checkpoint/")
    log.act(1)
    origin = kept.key.rpartition("/")[0]
    log.store.put_new(f"{origin}/{3:020d}", __import__("io").BytesIO(b"another"))
    with pytest.raises(LogBroken, match="forked"):
        log.call(audit.checkpoint)
    assert log.call(audit.list_checkpoints).items[0].failure.startswith("log-broken")


def test_rotated_keys_verify_what_they_signed(log: Log) -> None:
    """After a rotation new checkpoints bear the new key, and those before still verify by theirs; a revoked is out."""
    first = log.call(audit.checkpoint)
    _rotate(log)
    log.act(1)
    second = log.call(audit.checkpoint)
    keys = [notes.verification_key(one) for one in log.vkeys()]
    assert [one.state for one in log.call(audit.verification_keys)] == ["old", "current"]
    assert [notes.signer(notes.checkpoint(one.note), keys) for one in (first, second)] == keys
    assert log.call(audit.verify).checkpoints == 2
    with log.mall.engine.begin() as connection:
        connection.execute(
            text("UPDATE mall_key SET revoked_at = created_at WHERE purpose = 'checkpoints' AND number = 1")
        )
    log.mall.keys.forget()
    assert log.call(audit.verify).checkpoints == 1


def _rotate(log: Log) -> None:
    row = log.mall.keys.row("checkpoints", 2)
    names = ", ".join(row)
    with log.mall.engine.begin() as connection:
        marks = ", ".join(f":{name}" for name in row)
        connection.execute(
            text(f"INSERT INTO mall_key ({names}) VALUES ({marks})"), {**row, "created_at": str(row["created_at"])}
        )
    log.mall.keys.forget()


def test_a_record_is_proved_to_those_outside(log: Log) -> None:
    """Whoever has a proof and the log's key can check it without the mall, and read what was done."""
    log.act(9)
    record = log.records()[4]
    proof = log.call(audit.prove, record=record.id)
    note = audit.check_proof(proof.model_dump(), keys=log.vkeys())
    assert note.size == 11
    told = json.loads(proof.leaf)
    assert (told["id"], told["operation"], told["v"]) == (record.id, record.operation, leaves.FORM)
    assert ADA.ref not in proof.leaf
    with pytest.raises(UnknownRecord):
        log.call(audit.prove, record="aud_0")


def test_growth_is_proved_to_those_outside(log: Log) -> None:
    """Whoever kept a checkpoint can have it proved that the log of today begins with it."""
    old = log.call(audit.checkpoint)
    log.act(9)
    proof = log.call(audit.consistency, old=old.size)
    assert audit.check_proof(proof.model_dump(), keys=log.vkeys()).size == 11
    assert proof.old == old.note
    for wrong in ({"old": 1}, {"old": 2, "size": 3}, {"old": 11, "size": 2}):
        with pytest.raises(InvalidInput):
            log.call(audit.consistency, **wrong)


def test_the_log_is_checked_as_a_file(log: Log) -> None:
    """An exported file holds the whole log and no person's name, and is checked by its keys or a trusted checkpoint."""
    made = log.call(audit.checkpoint)
    log.act(20)
    lines = log.file()
    assert ADA.ref.encode() not in b"".join(lines)
    assert audit.check_file(lines, keys=log.vkeys()).trusted == 22
    checked = audit.check_file(lines, checkpoint=made.note)
    assert (checked.size, checked.trusted) == (22, 2)
    with pytest.raises(Denied), log.mall.begin(ADA) as ctx:
        list(audit.export(ctx))


def test_an_empty_log_has_a_checkpoint(database_url: str) -> None:
    """A mall in which nothing happened yet has a log of no record, which verifies."""
    with Mall.open(database_url, migrate="always", checkpoints="memory://") as mall, mall.begin(ME) as ctx:
        assert audit.checkpoint(ctx).size == 0
        assert audit.verify(ctx).size == 0


def test_the_scheduler_keeps_the_log(log: Log) -> None:
    """A mall whose scheduler runs sequences and signs by itself."""
    log.act(3)
    done = threading.Event()
    log.mall.start_scheduler(0.01)
    while not done.wait(0.01):
        if log.call(audit.list_checkpoints).items:
            done.set()


def test_a_decision_apart_is_in_the_log(log: Log) -> None:
    """What is recorded before it is acted upon has its leaf and its place like all else, with its link's id."""
    with log.mall.begin(ADA) as ctx:
        record_now(ctx, Event(subject="att_1@1", details={"jti": "abc", "store": "main", "bytes": 5}))
    (found,) = log.records(jti="abc")
    assert (found.principal, found.after) == (ADA.ref, {"jti": "abc", "store": "main", "bytes": 5})
    log.mall.keep_log()
    assert log.call(audit.get_record, record=found.id).index == 2
    assert log.call(audit.verify).size == 3


def test_a_store_that_cannot_be_read_is_no_verification(log: Log) -> None:
    """Where the second store holds a checkpoint that is gone or unreadable, nobody is told that all is well."""
    log.call(audit.checkpoint)

    class Gone(MemoryStore):
        def open(self, key: str, start: int = 0, end: int | None = None) -> Any:
            raise ObjectMissing(key=key)

    gone = Gone()
    gone._objects = log.store._objects
    log.mall.stores.checkpoints = gone
    with pytest.raises(ObjectMissing):
        log.call(audit.verify)


def test_a_new_second_store_gets_the_whole_tree(log: Log) -> None:
    """Who changes the second store has all of the log there with the next checkpoint, and not only what is new."""
    log.act(300)
    log.call(audit.checkpoint)
    store = log.mall.stores.checkpoints = MemoryStore()
    log.act(1)
    made = log.call(audit.checkpoint)
    origin = notes.checkpoint(made.note).origin
    missing = [
        place
        for place in tiles.shown(made.size)
        if f"{origin}/{tiles.path(*place)}" not in {one.key for one in store.iter()}
    ]
    assert missing == []
    assert log.call(audit.verify).trusted == 303
