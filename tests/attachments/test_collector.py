"""The collector: what nothing refers to goes, whatever is referred to stays, whoever writes meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Callable
from io import BytesIO
from typing import Any

import pytest
from sqlalchemy import insert, text, update

from mallcore import attachments, audit, structure
from mallcore.attachments.operations import collecting
from mallcore.errors import StageFirst, StoreUnavailable, UnknownUpload, UploadClosed
from mallcore.kernel.ids import new_id
from mallcore.kernel.tables import metadata
from tests.attachments.storehouse import ME, Storehouse

DAY = 86_400


def drop(house: Storehouse, *versions: attachments.Version) -> None:
    """Give versions up, labels and all."""
    for one in versions:
        house.do("remove_label", attachment=one.attachment, label="live")
        house.do("drop_version", version=one.ref)


class Steps:
    """The steps of the collector, one by one."""

    def __init__(self, ctx: Any) -> None:
        self._ctx, self._steps = ctx, collecting

    def mark(self) -> Any:
        """G0."""
        return self._steps.mark(self._ctx, 0, 100)

    def doomed(self) -> list[Any]:
        """What G1 is about to delete."""
        return list(self._steps.doomed(self._ctx))

    def delete(self, rows: list[Any]) -> None:
        """G1."""
        self._steps.delete_objects(self._ctx, rows)

    def forget(self, rows: list[Any]) -> None:
        """G2."""
        self._steps.forget(self._ctx, rows)


def test_a_dry_run_counts_and_deletes_nothing(house: Storehouse) -> None:
    """By default the collector says what it would do."""
    drop(house, house.put(b"12345"))
    house.stage(b"123")
    house.clock.move(hours=2)
    found = house.do("collect", grace_seconds=0)
    assert (found.dry_run, found.blobs, found.size, found.uploads) == (True, 2, 8, 1)
    assert len(house.keys()) == 2
    done = house.collect()
    assert (done.dry_run, done.blobs, done.size, done.uploads, done.objects) == (False, 2, 8, 1, 2)
    assert house.keys() == []
    assert house.do("collect", grace_seconds=0).blobs == 0


def test_what_was_touched_within_the_grace_is_left_alone(house: Storehouse) -> None:
    """The grace counts from the last upload of the content."""
    drop(house, house.put(b"content"))
    assert house.collect(DAY).blobs == 0
    house.clock.move(days=2)
    assert house.collect(DAY).blobs == 1
    house.check()


def test_what_is_referred_to_stays(house: Storehouse) -> None:
    """Versions without a label, of removed attachments, and in snapshots keep their content for ever."""
    bare, gone, shown = house.put(b"bare", label=None), house.put(b"gone"), house.put(b"shown")
    house.do("remove_attachment", attachment=gone.attachment)
    with house.mall.begin(ME) as ctx:
        structure.create_snapshot(ctx, name="spring", channels=["books"])
    house.put(b"newer", attachment=shown.attachment)
    house.clock.move(days=1000)
    assert house.collect().blobs == 0
    house.check(bare, gone, shown)


def test_content_of_two_versions_goes_with_the_last(house: Storehouse) -> None:
    """Content that is shared stays while one version holds it."""
    one, two = house.put(b"shared"), house.put(b"shared")
    drop(house, one)
    assert house.collect().blobs == 0
    house.check(two)
    drop(house, two)
    assert house.collect().blobs == 1
    house.check()


def test_a_derivative_goes_with_its_original_in_one_run(house: Storehouse) -> None:
    """What was made of a content lives as long as that does."""
    original, product = house.put(b"original"), house.stage(b"product")
    row = {"unit_id": original.unit_id, "source_digest": original.digest, "recipe_digest": "0" * 64, "recipe": {}}
    row |= {"digest": product.digest, "state": "ready", "created_at": house.clock()}
    with house.sql() as connection:
        connection.execute(insert(metadata.tables["mall_attachment_derivative"]).values(**row))
    house.collect_later()
    assert house.contents() == [b"original", b"product"]
    drop(house, original)
    assert house.collect().blobs == 2
    assert house.contents() == []
    assert house.rows("mall_attachment_derivative") == []


def test_content_that_is_marked_is_uploaded_again_under_a_new_key(house: Storehouse) -> None:
    """An upload that meets a marked content does not wait for the collector, which can't hurt it any more."""
    drop(house, house.put(b"content"))
    with house.mall.begin(ME) as ctx:
        steps = Steps(ctx)
        steps.mark()
        (old,) = steps.doomed()
        again = house.put(b"content")
        assert [old.object_key] != [row.object_key for row in house.rows("mall_replica") if row.state == "ready"]
        steps.delete([old])
        steps.forget([old])
    assert house.collect().blobs == 0
    house.check(again, contents={again.ref: b"content"})


def test_a_collector_that_stalled_deletes_only_what_it_had_marked(house: Storehouse) -> None:
    """Another collector finishes, the content comes back, and then the first one wakes up with its old list."""
    drop(house, house.put(b"content"))
    with house.mall.begin(ME) as ctx:
        steps = Steps(ctx)
        steps.mark()
        stalled = steps.doomed()
        house.collect()
        again = house.put(b"content")
        steps.delete(stalled)
        steps.forget(stalled)
    house.check(again, contents={again.ref: b"content"})


def test_what_was_staged_in_time_is_attached_and_what_expired_is_refused(house: Storehouse) -> None:
    """Until its lease ends nobody collects what is staged; after that, attaching it says so."""
    one, two = house.stage(b"one"), house.stage(b"two")
    house.clock.move(minutes=59)
    assert house.collect().blobs == 0
    made = house.do("attach", staged=one)
    house.collect_later()
    with pytest.raises((UploadClosed, UnknownUpload)):
        house.do("attach", staged=two)
    house.check(made, contents={made.ref: b"one"})
    assert house.contents() == [b"one"]


def test_a_zombie_leaves_nothing_in_the_end(house: Storehouse) -> None:
    """A process thought dead writes after its upload was given up: its key is deleted once more, after a week."""
    staged = house.stage(b"zombie")
    (key,) = house.keys()
    house.collect_later()
    house.mall.stores["main"].put_new(key, BytesIO(b"zombie"))
    assert house.collect().objects == 0
    with pytest.raises((UploadClosed, UnknownUpload)):
        house.do("attach", staged=staged)
    house.clock.move(days=8)
    assert house.collect().objects == 1
    assert house.keys() == []
    assert house.rows("mall_upload") == []


def test_a_late_zombie_can_not_hurt_who_came_after_it(house: Storehouse) -> None:
    """The content was uploaded anew meanwhile: the zombie's key is another one, and only that goes."""
    house.stage(b"same")
    (old,) = house.keys()
    house.collect_later()
    again = house.put(b"same")
    house.mall.stores["main"].put_new(old, BytesIO(b"same"))
    house.clock.move(days=8)
    house.collect()
    there = house.keys()
    assert old not in there
    house.check(again)


def test_parts_of_abandoned_uploads_go(house: Storehouse) -> None:
    """What a resumable upload has received goes when it is given up."""
    staged = house.stage(b"whole")
    row = {"upload_id": staged.id, "number": 1, "object_key": f"u/{staged.id}.1", "start": 0, "size": 4}
    with house.sql() as connection:
        connection.execute(insert(metadata.tables["mall_upload_part"]).values(**row, state="written"))
    house.mall.stores["main"].put_new(row["object_key"], BytesIO(b"part"))
    assert house.collect().objects == 0
    house.collect_later()
    assert house.keys() == []
    house.clock.move(days=8)
    house.collect()
    assert house.rows("mall_upload_part") == []


def test_a_store_that_fails_keeps_the_rows_and_the_next_run_finishes(house: Storehouse) -> None:
    """Nothing is forgotten that could not be deleted."""
    drop(house, house.put(b"one"), house.put(b"two"))
    store: Any = house.mall.stores["main"]
    real: Callable[[str], None] = store.delete
    failing = iter((True, False, False))

    def delete(key: str) -> None:
        if next(failing, False):
            raise StoreUnavailable(store="memory://", reason="it answers 500")
        real(key)

    store.delete = delete
    first = house.collect()
    assert (first.blobs, first.objects, len(first.undone)) == (2, 1, 1)
    assert "500" in first.undone[0].reason
    assert len(house.rows("mall_blob")) == 1
    second = house.collect()
    assert (second.blobs, second.objects, second.undone) == (0, 1, ())
    house.check()


def test_every_deletion_is_on_record_before_it_happens(house: Storehouse) -> None:
    """The log tells of a content that goes while its bytes are still there."""
    version = house.put(b"content")
    drop(house, version)
    seen = []
    store: Any = house.mall.stores["main"]
    real = store.delete

    def delete(key: str) -> None:
        with house.mall.begin(ME) as ctx:
            records = audit.list_records(ctx, event="attachments.collected").items
        seen.append([(one.subject, one.unit_id) for one in records])
        real(key)

    store.delete = delete
    house.collect()
    assert seen == [[(f"sha256:{version.digest}", version.unit_id)]]


def test_a_unit_of_work_that_writes_does_not_collect(house: Storehouse) -> None:
    """No byte is deleted inside somebody's transaction."""
    with house.mall.begin(ME) as ctx:
        structure.create_channel(ctx, slug="toys", name="Toys")
        with pytest.raises(StageFirst):
            attachments.collect(ctx)


def test_a_limit_leaves_the_rest_for_the_next_run(house: Storehouse) -> None:
    """Long work can be cut into pieces."""
    drop(house, *(house.put(bytes([number])) for number in range(5)))
    with house.mall.begin(ME) as ctx:
        assert attachments.collect(ctx, dry_run=False, grace_seconds=0, limit=3).blobs == 3
    assert house.collect().blobs == 2


def test_keeping_house_collects_unless_told_otherwise() -> None:
    """The scheduler's housekeeping collects what is older than the grace; with `collect="never"` nothing."""
    for setting, left in (("never", [b"content"]), ("auto", [])):
        house = Storehouse("sqlite://", "memory://", collect=setting)
        drop(house, house.put(b"content"))
        house.mall.keep_house()
        assert house.contents() == [b"content"]
        house.clock.move(days=2)
        house.mall.keep_house()
        assert house.contents() == left
        house.close()


def test_an_expired_claim_on_ready_content_does_not_touch_it(house: Storehouse) -> None:
    """An upload of a content that is there already wrote nothing, so its end deletes nothing."""
    version = house.put(b"content")
    house.stage(b"content")
    house.collect_later()
    house.clock.move(days=8)
    house.collect()
    house.check(version)


def test_writers_and_collectors_at_once_lose_nothing(house: Storehouse) -> None:
    """Threads upload and drop the same few contents while three collectors run without grace: what stands, reads."""
    kept: list[tuple[str, bytes]] = []
    wrong: list[str] = []
    stop = threading.Event()

    def write(thread: int) -> None:
        for number in range(12):
            content = bytes([number % 3])
            try:
                version = house.put(content, label=None)
                if (thread + number) % 2:
                    house.do("drop_version", version=version.ref)
                else:
                    kept.append((version.ref, content))
            except UploadClosed:
                continue
            except Exception as error:
                wrong.append(repr(error))

    def collect() -> None:
        while not stop.is_set():
            try:
                house.collect()
            except Exception as error:
                wrong.append(repr(error))

    writers = [threading.Thread(target=write, args=(thread,)) for thread in range(3)]
    collectors = [threading.Thread(target=collect) for _ in range(3)]
    for one in (*writers, *collectors):
        one.start()
    for one in writers:
        one.join()
    stop.set()
    for one in collectors:
        one.join()
    assert wrong == []
    house.collect_later()
    house.clock.move(days=8)
    house.collect()
    house.check(contents=dict(kept))


def test_a_copy_counts_only_if_its_upload_wrote_it(house: Storehouse) -> None:
    """Who claims what is there already vouches for no copy that somebody else is still making elsewhere."""
    version = house.put(b"content")
    with house.sql() as connection:
        copy = metadata.tables["mall_replica"]
        row = {name: getattr(version, name) for name in ("unit_id", "digest")}
        incarnation = connection.execute(text("SELECT incarnation FROM mall_blob")).scalar_one()
        new = {**row, "incarnation": incarnation, "store": "second", "object_key": f"b/{new_id('x')}"}
        connection.execute(insert(copy).values(**new, state="pending", created_at=house.clock()))
        states = metadata.tables["mall_object_store"]
        role = {"name": "second", "url": "memory://", "role": "written", "changed_at": house.clock()}
        connection.execute(insert(states).values(**role))
    house.put(b"content")
    assert {row.store: row.state for row in house.rows("mall_replica")} == {"main": "ready", "second": "pending"}
    assert house.read(version.ref) == b"content"


def test_lost_content_is_healed_by_who_brings_it(house: Storehouse) -> None:
    """When no store has a content any more, the next upload of it writes it anew, for all versions."""
    version = house.put(b"content")
    with house.sql() as connection:
        connection.execute(update(metadata.tables["mall_replica"]).values(state="lost"))
    with pytest.raises(StoreUnavailable):
        house.read(version.ref)
    again = house.put(b"content")
    house.collect_later()
    house.check(version, again)
    assert house.contents() == [b"content"]
