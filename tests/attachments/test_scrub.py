"""Scrubbing: the store and the rows are compared, hashes are taken again, and nothing is deleted on a doubt."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from typing import Any

import pytest

from mallcore import attachments, audit
from mallcore.attachments import Scrubbed
from mallcore.errors import StageFirst, StoreDenied, StoreUnavailable, UnknownStore
from mallcore.kernel import progress
from tests.attachments.storehouse import ME, Storehouse


def scrub(house: Storehouse, **given: Any) -> Scrubbed:
    """Scrub a store."""
    found: Scrubbed = house.do("scrub", **given)
    return found


def spoil(house: Storehouse, version: attachments.Version, content: bytes | None, store: str = "main") -> str:
    """Change (or take) the object of a version behind the mall's back; returns its key."""
    kept = house.mall.stores[store]
    (row,) = (one for one in house.rows("mall_replica") if one.store == store and one.digest == version.digest)
    kept.delete(row.object_key)
    if content is not None:
        kept.put_new(row.object_key, BytesIO(content))
    return str(row.object_key)


def states(house: Storehouse, store: str = "main") -> list[str]:
    """The states of the copies in a store."""
    return sorted(row.state for row in house.rows("mall_replica") if row.store == store)


def test_a_sound_store_is_found_sound(house: Storehouse) -> None:
    """Everything is listed, looked at and hashed; when it was is kept."""
    versions = [house.put(bytes([number])) for number in range(3)]
    house.clock.move(days=1)
    found = scrub(house)
    assert (found.store, found.listed, found.copies, found.hashed) == ("main", 3, 3, 3)
    assert (found.missing, found.corrupt, found.unknown, found.healed, found.deleted) == ([], [], [], 0, 0)
    assert all(str(row.verified_at) > str(row.created_at) for row in house.rows("mall_replica"))
    house.check(*versions)


def test_what_is_missing_or_corrupt_is_marked_and_on_record(house: Storehouse) -> None:
    """A lost object, one with other bytes, and one that was cut; nobody is served what is not what was uploaded."""
    lost, changed, cut = house.put(b"lost"), house.put(b"changed"), house.put(b"cut off")
    sound = house.put(b"sound")
    keys = spoil(house, lost, None), spoil(house, changed, b"CHANGED"), spoil(house, cut, b"cut")
    found = scrub(house)
    assert (found.missing, sorted(found.corrupt)) == ([keys[0]], sorted(keys[1:]))
    assert states(house) == ["lost", "lost", "lost", "ready"]
    with house.mall.begin(ME) as ctx:
        assert len(audit.list_records(ctx, event="attachments.copy_lost").items) == 3
    for version in (lost, changed, cut):
        with pytest.raises(StoreUnavailable):
            house.read(version.ref)
    assert house.read(sound.ref) == b"sound"
    again = scrub(house)
    assert (again.missing, again.corrupt, again.copies) == ([], [], 4)


def test_what_is_lost_is_healed_from_a_mirror(house: Storehouse) -> None:
    """A copy that another store has is made again, under a new key; what was wrong is collected."""
    lost, changed = house.put(b"lost"), house.put(b"changed")
    house.do("mirror", store="second")
    old = spoil(house, lost, None), spoil(house, changed, b"CHANGED")
    found = scrub(house)
    assert (len(found.missing), len(found.corrupt), found.healed) == (1, 1, 2)
    assert states(house) == ["ready", "ready"]
    assert house.contents() == sorted([b"CHANGED", b"changed", b"lost"])
    house.collect()
    assert house.contents() == [b"changed", b"lost"]
    assert not set(old) & set(house.keys())
    house.clock.move(days=8)
    house.collect()
    house.check(lost, changed)


def test_a_copy_that_comes_back_counts_again(house: Storehouse) -> None:
    """A store that was mounted empty by mistake, say: what it lost and has again is served again."""
    version = house.put(b"content")
    spoil(house, version, None)
    scrub(house)
    spoil(house, version, b"content")
    scrub(house)
    assert states(house) == ["ready"]
    house.check(version)


def test_a_sample_looks_at_all_and_hashes_some(house: Storehouse) -> None:
    """With no sample a copy that is missing is found, one of other bytes but the same size is not."""
    lost, changed = house.put(b"lost"), house.put(b"changed")
    spoil(house, lost, None)
    spoil(house, changed, b"CHANGED")
    found = scrub(house, sample=0)
    assert (found.copies, found.hashed, len(found.missing), found.corrupt) == (2, 0, 1, [])


def test_unknown_objects_are_reported_and_deleted_only_when_asked(house: Storehouse) -> None:
    """Objects of our form that no row knows; those of other forms are somebody else's."""
    house.put(b"known")
    store = house.mall.stores["main"]
    for key in ("b/unt_x/sha256/aa/bb/stray", "u/upl_x.1", "reports/2026.pdf"):
        store.put_new(key, BytesIO(b"stray"))
    found = scrub(house)
    assert (found.unknown, found.deleted) == (["b/unt_x/sha256/aa/bb/stray", "u/upl_x.1"], 0)
    assert scrub(house, delete=True).deleted == 0  # younger than the grace
    house.clock.move(days=2)
    assert scrub(house, delete=True).deleted == 2
    assert len(house.keys()) == 2
    with house.mall.begin(ME) as ctx:
        (record,) = (one for one in audit.list_records(ctx, event="attachments.unknown_deleted").items)
        assert len((record.after or {})["keys"]) == 2
    assert scrub(house).unknown == []


def test_what_uploads_are_writing_is_never_unknown(house: Storehouse) -> None:
    """An upload that begins after the listing, or has not been attached yet, is known by its intent."""
    house.stage(b"staged")
    store: Any = house.mall.stores["main"]
    real = store.iter

    def listing(prefix: str = "") -> Iterator[Any]:
        yield from real(prefix)
        house.stage(b"in between" + prefix.encode())
        yield from real(prefix)

    store.iter = listing
    house.clock.move(days=2)
    assert scrub(house, delete=True, grace_seconds=0).unknown == []


@pytest.mark.parametrize("step", ["iter", "stat", "open"])
@pytest.mark.parametrize("error", [StoreUnavailable, StoreDenied])
def test_it_fails_closed(house: Storehouse, step: str, error: type[Exception]) -> None:
    """Whatever fails in the store, nothing is deleted, and nothing is taken for lost."""
    version = house.put(b"content")
    store: Any = house.mall.stores["main"]
    store.put_new("b/unt_x/stray", BytesIO(b"stray"))
    house.clock.move(days=2)
    real = getattr(store, step)

    def failing(*given: Any, **more: Any) -> Any:
        raise error(store="memory://", reason="it answers 500")

    setattr(store, step, failing)
    with pytest.raises(error):
        scrub(house, delete=True)
    setattr(store, step, real)
    assert len(house.keys()) == 2
    assert states(house) == ["ready"]
    assert house.read(version.ref) == b"content"


def test_a_copy_that_is_collected_meanwhile_is_not_lost(house: Storehouse) -> None:
    """Scrubbing beside a collector finds nothing wrong with what goes rightly."""
    version = house.put(b"content", label=None)
    store: Any = house.mall.stores["main"]
    real = store.stat

    def stat(key: str) -> Any:
        store.stat = real
        house.do("drop_version", version=version.ref)
        house.collect()
        return real(key)

    store.stat = stat
    found = scrub(house)
    assert (found.missing, found.corrupt) == ([], [])
    with house.mall.begin(ME) as ctx:
        assert audit.list_records(ctx, event="attachments.copy_lost").items == []


def test_progress_is_told(house: Storehouse) -> None:
    """Whoever watches hears of every stage."""
    house.put(b"content")
    told = []
    with progress.watched(lambda stage, done, total: told.append((stage, done))):
        scrub(house)
    assert told == [("listing", 1), ("checking", 1)]


def test_scrubbing_is_no_part_of_a_transaction(house: Storehouse) -> None:
    """It has transactions of its own; and a store that is not there is none."""
    with house.mall.begin(ME) as ctx:
        with pytest.raises(UnknownStore):
            attachments.scrub(ctx, store="nowhere")
        attachments.upload_file(ctx, file=b"content", file_name="a.bin", owner="channel:books")
        with pytest.raises(StageFirst):
            attachments.scrub(ctx)
