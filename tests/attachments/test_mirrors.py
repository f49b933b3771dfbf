"""Mirrors and migration: copies in other stores, made and preferred while everything goes on."""

from __future__ import annotations

import threading
from io import BytesIO
from typing import Any

import pytest

from mallcore import attachments, audit
from mallcore.errors import InvalidInput, ObjectMissing, StoreUnavailable, UnknownStore
from mallcore.kernel import progress
from tests.attachments.storehouse import ME, Storehouse


def roles(house: Storehouse) -> dict[str, str]:
    """What each store is for."""
    return {one.name: one.role for one in house.do("list_stores")}


def failing(house: Storehouse, store: str, name: str, times: int = 10**9) -> None:
    """Have a store fail at something, so many times."""
    kept: Any = house.mall.stores[store]
    real, left = getattr(kept, name), [times]

    def fail(*given: Any, **more: Any) -> Any:
        if left[0] > 0:
            left[0] -= 1
            raise StoreUnavailable(store=f"{store}://", reason="it answers 500")
        return real(*given, **more)

    setattr(kept, name, fail)


def test_a_mirror_gets_the_backlog_and_then_what_is_new(house: Storehouse) -> None:
    """What is there is copied at once, what comes later when house is kept; each copy is on record."""
    old = [house.put(bytes([number])) for number in range(3)]
    told = []
    with progress.watched(lambda stage, done, total: told.append((stage, done, total))):
        done = house.do("mirror", store="second")
    assert (done.copied, done.size, done.left, done.undone) == (3, 3, 0, ())
    assert told[-1] == ("copying", 3, 3)
    assert roles(house) == {"main": "written", "second": "mirror"}
    new = house.put(b"new")
    house.mall.keep_house()
    assert house.contents("second") == house.contents("main")
    with house.mall.begin(ME) as ctx:
        assert len(audit.list_records(ctx, event="attachments.copied").items) == 4
    house.check(*old, new)
    assert house.do("mirror", store="second").copied == 0


def test_readers_fall_back_to_a_mirror(house: Storehouse) -> None:
    """When the store that is written to fails or has lost an object, a mirror serves."""
    version = house.put(b"content")
    house.do("mirror", store="second")
    failing(house, "main", "open")
    assert house.read(version.ref) == b"content"


def test_a_collected_content_goes_from_every_store(house: Storehouse) -> None:
    """The collector takes all copies."""
    version = house.put(b"content", label=None)
    house.do("mirror", store="second")
    house.do("drop_version", version=version.ref)
    assert house.collect().objects == 2
    house.check()


def test_a_corrupt_source_is_not_copied(house: Storehouse) -> None:
    """Copies are checked on the way: wrong bytes reach no mirror, and the copy they came from counts no more."""
    house.put(b"content")
    (row,) = house.rows("mall_replica")
    store: Any = house.mall.stores["main"]
    store.delete(row.object_key)

    store.put_new(row.object_key, BytesIO(b"CONTENT"))
    done = house.do("mirror", store="second")
    assert (done.copied, done.left) == (0, 1)
    assert house.contents("second") == []
    assert [row.state for row in house.rows("mall_replica") if row.store == "main"] == ["lost"]


def test_a_store_that_fails_is_filled_by_the_next_run(house: Storehouse) -> None:
    """What could not be copied is reported, and left for later."""
    versions = [house.put(bytes([number])) for number in range(3)]
    failing(house, "second", "put_new", times=1)
    first = house.do("mirror", store="second")
    assert (first.copied, first.left, len(first.undone)) == (2, 1, 1)
    assert house.do("mirror", store="second").copied == 1
    house.collect_later()
    house.clock.move(days=8)
    house.collect()
    house.check(*versions)


def test_a_migration_moves_everything_and_empties_the_old_store(house: Storehouse) -> None:
    """Filled, checked, written to, emptied; new content goes to the new store, and can come back the same way."""
    versions = [house.put(bytes([number])) for number in range(3)]
    done = house.do("migrate", to="second")
    assert (done.copied, done.drained, done.left, done.undone) == (3, 3, 0, ())
    assert roles(house) == {"main": "drained", "second": "written"}
    assert house.keys("main") == []
    versions.append(house.put(b"new"))
    assert house.keys("main") == []
    house.check(*versions)
    back = house.do("migrate", to="main")
    assert (back.copied, back.drained) == (4, 4)
    assert (roles(house), house.keys("second")) == ({"main": "written", "second": "drained"}, [])
    house.check(*versions)


def test_a_migration_may_keep_the_old_store(house: Storehouse) -> None:
    """Without draining the old copies stay, to be read when the new store fails."""
    version = house.put(b"content")
    assert house.do("migrate", to="second", drain=False).drained == 0
    assert roles(house) == {"main": "read", "second": "written"}
    failing(house, "second", "open")
    assert house.read(version.ref) == b"content"


def test_a_migration_that_can_not_copy_all_does_not_switch(house: Storehouse) -> None:
    """As long as something is not in the new store, the old one is written to; called again it goes on."""
    versions = [house.put(bytes([number])) for number in range(3)]
    failing(house, "second", "put_new", times=1)
    first = house.do("migrate", to="second")
    assert (first.copied, first.left) == (2, 1)
    assert roles(house) == {"main": "written", "second": "mirror"}
    second = house.do("migrate", to="second")
    assert (second.copied, second.drained) == (1, 3)
    house.check(*versions)


def test_a_new_copy_is_read_again_before_the_old_one_goes(house: Storehouse) -> None:
    """A store that keeps other bytes than it was given is found out before anything is drained."""
    version = house.put(b"content")
    store: Any = house.mall.stores["second"]
    real = store.open

    def other(key: str, start: int = 0, end: int | None = None) -> Any:

        return BytesIO(b"CONTENT"[start:end])

    store.open = other
    done = house.do("migrate", to="second")
    assert (done.copied, done.drained, done.left) == (0, 0, 1)
    store.open = real
    assert house.read(version.ref) == b"content"
    assert roles(house)["main"] == "written"


def test_uploads_under_way_during_a_migration_are_kept(house: Storehouse) -> None:
    """What was staged before the switch is attached after it, and follows when house is kept."""
    staged, shared = house.stage(b"staged"), house.put(b"shared")
    house.do("migrate", to="second")
    made = house.do("attach", staged=staged)
    house.check(made, shared)
    house.mall.keep_house()
    assert house.keys("main") == []
    house.check(made, shared)


def test_readers_and_writers_go_on_during_a_migration(house: Storehouse) -> None:
    """Threads read everything and upload while the mall moves to another store and back: nothing is ever missing."""
    versions = [house.put(bytes([number])) for number in range(10)]
    wrong: list[str] = []
    stop = threading.Event()

    def read() -> None:
        while not stop.is_set():
            for number, version in enumerate(versions[:10]):
                try:
                    if house.read(version.ref) != bytes([number]):
                        wrong.append("other bytes")
                except Exception as error:
                    wrong.append(repr(error))

    def write() -> None:
        number = 10
        while not stop.is_set() and number < 100:
            try:
                versions.append(house.put(bytes([number])))
            except Exception as error:
                wrong.append(repr(error))
            number += 1

    threads = [threading.Thread(target=one) for one in (read, write)]
    for one in threads:
        one.start()
    for to in ("second", "main"):
        house.do("migrate", to=to)
    stop.set()
    for one in threads:
        one.join()
    assert wrong == []
    house.mall.keep_house()
    house.check(*versions)


def test_a_copy_whose_content_was_collected_meanwhile_is_not_left(house: Storehouse) -> None:
    """The content went while it was copied: the copy is nobody's, and the collector takes it."""
    version = house.put(b"content", label=None)
    store: Any = house.mall.stores["second"]
    real = store.put_new

    def put(*given: Any, **more: Any) -> Any:
        house.do("drop_version", version=version.ref)
        house.clock.move(hours=2)  # the copy's lease ends: it takes far too long
        house.collect()
        return real(*given, **more)

    store.put_new = put
    done = house.do("mirror", store="second")
    assert (done.copied, len(done.undone)) == (0, 1)
    assert "collected" in done.undone[0].reason
    house.clock.move(days=8)
    house.collect()
    assert house.keys("second") == []
    house.check()


def test_stores_that_can_not_be_mirrors(house: Storehouse) -> None:
    """Unknown ones, and the one that is written to."""
    with pytest.raises(UnknownStore):
        house.do("mirror", store="nowhere")
    with pytest.raises(UnknownStore):
        house.do("migrate", to="nowhere")
    with pytest.raises(InvalidInput):
        house.do("mirror", store="main")
    assert roles(house) == {"main": "written", "second": "read"}


def test_what_every_store_lost_is_reported(house: Storehouse) -> None:
    """A content with no copy left is left undone, with the reason."""
    house.put(b"content")
    (key,) = house.keys()
    house.mall.stores["main"].delete(key)
    done = house.do("mirror", store="second")
    assert (done.copied, done.left) == (0, 1)
    assert ObjectMissing.code in done.undone[0].reason
    listed: list[attachments.StoreInfo] = house.do("list_stores")
    assert [(one.name, one.copies, one.size, one.pending) for one in listed] == [("main", 1, 7, 0), ("second", 0, 0, 1)]
