"""Holds, retention, expiry and removal: what must be kept is kept, what shows a version forbids its removal."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, BinaryIO

import pytest

from mallcore import Principal, access, attachments, audit, structure
from mallcore.attachments import Slot
from mallcore.backends.memory import MemoryStore
from mallcore.errors import (
    ContentErased,
    Denied,
    InUse,
    InvalidInput,
    NothingToDo,
    OnHold,
    StoreDenied,
    UnknownHold,
    UnknownVersion,
)
from tests.attachments.storehouse import ME, Storehouse

ADA = Principal.user("ada")


@pytest.fixture
def house(database_url: str) -> Iterator[Storehouse]:
    """A mall with slots whose content expires."""
    slots = [
        Slot("few", ("*/*",), keep_versions=2),
        Slot("short", ("*/*",), keep_days=30),
        Slot("both", ("*/*",), keep_versions=1, keep_days=30),
    ]
    found = Storehouse(database_url, "memory://", slots=slots)
    yield found
    found.close()


def expire(house: Storehouse) -> list[str]:
    """Keep house; the references that are dropped, all told."""
    house.mall.keep_house()
    rows = [row for row in house.rows("mall_attachment_version") if row.dropped_at is not None]
    return sorted(f"{row.attachment_id}@{row.n}" for row in rows)


def several(house: Storehouse, slot: str, count: int = 4) -> list[attachments.Version]:
    """So many versions of one attachment; ``live`` is at the last."""
    first = house.put(b"0", slot=slot)
    return [first, *(house.put(bytes([n]), slot=slot, attachment=first.attachment) for n in range(1, count))]


def test_a_version_that_nothing_shows_is_dropped_and_its_record_stays(house: Storehouse) -> None:
    """Its content is gone for readers at once (410) and from the store after a collection."""
    version = house.put(b"content", label=None)
    dropped = house.do("drop_version", version=version.ref, reason="a mistake")
    assert (dropped.dropped_for, dropped.digest) == ("a mistake", version.digest)
    with pytest.raises(ContentErased):
        house.read(version.ref)
    with pytest.raises(ContentErased):
        house.do("drop_version", version=version.ref)
    with pytest.raises(ContentErased):
        house.do("set_label", attachment=version.attachment, label="live", to=1)
    assert house.collect().blobs == 1
    assert [one.n for one in house.do("list_versions", attachment=version.attachment).items] == [1]
    with house.mall.begin(ME) as ctx:
        (record,) = audit.list_records(ctx, event="attachments.version_dropped").items
        assert (record.subject, (record.after or {})["reason"]) == (version.attachment, "a mistake")


def test_what_shows_a_version_is_named_when_its_removal_is_refused(house: Storehouse) -> None:
    """A label, a snapshot, and a channel's history."""
    version = house.put(b"content")
    with pytest.raises(InUse, match="live"):
        house.do("drop_version", version=version.ref)
    with house.mall.begin(ME) as ctx:
        structure.create_snapshot(ctx, name="spring", channels=["books"])
    house.do("remove_label", attachment=version.attachment, label="live")
    with pytest.raises(InUse, match="snapshot:spring"):
        house.do("drop_version", version=version.ref)
    banner = house.put(b"banner", label=None)
    with house.mall.begin(ME) as ctx:
        channel = structure.update_channel(ctx, channel="books", settings={"banner": banner.ref})
        structure.update_channel(ctx, channel="books", settings={})
    with pytest.raises(InUse, match=f"channel:{channel.id}"):
        house.do("drop_version", version=banner.ref)
    assert house.collect().blobs == 0


def test_a_hold_keeps_a_version_until_it_is_released(house: Storehouse) -> None:
    """Placing and releasing are on record; releasing twice does nothing."""
    version = house.put(b"content", label=None)
    hold = house.do("place_hold", attachment=version.attachment, n=1, reason="a lawsuit")
    assert (hold.n, hold.reason, hold.placed_by, hold.released_at) == (1, "a lawsuit", "system:test", None)
    with pytest.raises(OnHold, match="a lawsuit"):
        house.do("drop_version", version=version.ref)
    assert [one.id for one in house.do("list_holds").items] == [hold.id]
    assert house.do("release_hold", hold=hold.id).released_by == "system:test"
    with pytest.raises(NothingToDo):
        house.do("release_hold", hold=hold.id)
    assert house.do("list_holds").items == []
    assert [one.id for one in house.do("list_holds", attachment=version.attachment, released=True).items] == [hold.id]
    house.do("drop_version", version=version.ref)
    with house.mall.begin(ME) as ctx:
        for event in ("attachments.hold_placed", "attachments.hold_released"):
            (record,) = audit.list_records(ctx, event=event).items
            assert (record.after or {})["hold"] == hold.id


def test_a_hold_on_an_attachment_covers_versions_to_come(house: Storehouse) -> None:
    """Without a number, all of them."""
    version = house.put(b"one", label=None)
    house.do("place_hold", attachment=version.attachment, reason="a lawsuit")
    later = house.put(b"two", attachment=version.attachment, label=None)
    for one in (version, later):
        with pytest.raises(OnHold):
            house.do("drop_version", version=one.ref)


def test_holds_on_what_is_not_there(house: Storehouse) -> None:
    """Unknown versions and holds, and content that is gone already."""
    version = house.put(b"content", label=None)
    with pytest.raises(UnknownVersion):
        house.do("place_hold", attachment=version.attachment, n=2, reason="why")
    with pytest.raises(UnknownHold):
        house.do("release_hold", hold="hld_x")
    house.do("drop_version", version=version.ref)
    with pytest.raises(ContentErased):
        house.do("place_hold", attachment=version.attachment, n=1, reason="why")


def test_a_retention_keeps_a_version_and_only_grows(house: Storehouse) -> None:
    """Who may write may lengthen it; only who may manage may shorten it, or take it away."""
    version = house.put(b"content", label=None)
    soon, later = (datetime.now(UTC) + timedelta(days=days) for days in (10, 20))
    with house.mall.begin(ME) as ctx:
        access.grant(ctx, principal=ADA.ref, role="editor", scope="channel", channel="books")

    def set_to(until: Any) -> attachments.Version:
        with house.mall.begin(ADA) as ctx:
            return attachments.set_retention(ctx, version=version.ref, until=until)

    assert set_to(soon).retain_until == soon
    assert set_to(later).retain_until == later
    for shorter in (soon, None):
        with pytest.raises(OnHold):
            set_to(shorter)
    with pytest.raises(NothingToDo):
        set_to(later)
    with pytest.raises(InvalidInput):
        set_to(datetime(2040, 1, 1))  # noqa: DTZ001 - a time without a zone is what is refused
    with pytest.raises(OnHold, match="until"):
        house.do("drop_version", version=version.ref)
    house.clock.move(days=21)
    house.do("drop_version", version=version.ref)


def test_a_manager_may_shorten_a_retention(house: Storehouse) -> None:
    """Who manages attachments there decides."""
    version = house.put(b"content", label=None)
    house.do("set_retention", version=version.ref, until=datetime(2090, 1, 1, tzinfo=UTC))
    assert house.do("set_retention", version=version.ref, until=None).retain_until is None
    house.do("drop_version", version=version.ref)


def test_who_may_write_may_not_drop_or_hold(house: Storehouse) -> None:
    """Dropping and holding take `attachments.manage`."""
    version = house.put(b"content", label=None)
    with house.mall.begin(ME) as ctx:
        access.grant(ctx, principal=ADA.ref, role="editor", scope="channel", channel="books")
    for name, given in (
        ("drop_version", {"version": version.ref}),
        ("place_hold", {"attachment": version.attachment, "reason": "why"}),
        ("collect", {}),
        ("erase", {"principal": "user:bob"}),
    ):
        with pytest.raises(Denied), house.mall.begin(ADA) as ctx:
            getattr(attachments, name)(ctx, **given)


def test_a_slot_keeps_its_newest_versions(house: Storehouse) -> None:
    """Older ones expire when house is kept; then their content is collected."""
    versions = several(house, "few")
    others = several(house, "file")
    assert expire(house) == [one.ref for one in versions[:2]]
    house.clock.move(days=2)
    house.mall.keep_house()
    house.check(*versions[2:], *others)


def test_a_slot_keeps_versions_for_some_days(house: Storehouse) -> None:
    """What is older expires, but never what a label shows."""
    versions = several(house, "short")
    assert expire(house) == []
    house.clock.move(days=31)
    assert expire(house) == [one.ref for one in versions[:3]]
    house.check(versions[3])


def test_with_both_bounds_a_version_must_be_beyond_both(house: Storehouse) -> None:
    """Neither old nor many alone is enough."""
    versions = several(house, "both")
    assert expire(house) == []
    house.clock.move(days=31)
    fresh = house.put(b"fresh", slot="both", attachment=versions[0].attachment)
    assert expire(house) == [one.ref for one in versions]
    house.check(fresh)


def test_what_is_shown_held_or_retained_does_not_expire(house: Storehouse) -> None:
    """A label, a pin, a hold and a retention each keep a version beyond the bounds of its slot."""
    versions = several(house, "few", 8)
    attachment = versions[0].attachment
    house.do("set_label", attachment=attachment, label="first", to=1)
    house.do("place_hold", attachment=attachment, n=2, reason="a lawsuit")
    house.do("set_retention", version=versions[2].ref, until=datetime(2090, 1, 1, tzinfo=UTC))
    with house.mall.begin(ME) as ctx:
        structure.update_channel(ctx, channel="books", settings={"banner": versions[3].ref})
    assert expire(house) == [versions[4].ref, versions[5].ref]
    house.check(*versions[:4], *versions[6:])


class _Locking(MemoryStore):
    """A store that can lock objects; it remembers until when it was asked to."""

    capabilities = replace(MemoryStore.capabilities, retain_until=True)

    def __init__(self) -> None:
        super().__init__()
        self.until: dict[str, datetime] = {}

    def put_new(self, key: str, content: BinaryIO, **more: Any) -> Any:
        """Keep it, locked."""
        found = super().put_new(key, content, **{**more, "retain_until": None})
        if more.get("retain_until"):
            self.until[key] = more["retain_until"]
        return found

    def delete(self, key: str) -> None:
        """Refuse what is locked."""
        if key in self.until:
            raise StoreDenied(store="memory://", reason="the object is locked")
        super().delete(key)


def test_a_slot_with_a_duty_to_keep_retains_versions_and_locks_objects(database_url: str) -> None:
    """Versions get their retention as they come, copies too; what a store locks the collector leaves, and says so."""
    stores = _Locking(), _Locking()
    slots = [Slot("ledger", ("*/*",), retain_days=10)]
    house = Storehouse(database_url, stores[0], stores={"second": stores[1]}, slots=slots)
    version = house.put(b"content", slot="ledger", label=None)
    assert version.retain_until is not None
    assert timedelta(days=9) < version.retain_until - version.created_at < timedelta(days=11)
    house.do("mirror", store="second")
    assert [len(one.until) for one in stores] == [1, 1]
    with pytest.raises(OnHold):
        house.do("drop_version", version=version.ref)
    house.clock.move(days=11)
    house.do("drop_version", version=version.ref)
    done = house.collect()
    assert (done.objects, [one.reason[:12] for one in done.undone]) == (0, ["store-denied"] * 2)
    for one in stores:
        one.until.clear()
    assert house.collect().objects == 2
    house.check()
    house.close()
