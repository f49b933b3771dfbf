"""Erasing somebody's uploads: their content goes from everywhere, at once; what must be kept is named."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from mallcore import Principal, access, attachments, audit, structure
from mallcore.attachments import Erasure, Slot
from mallcore.errors import ContentErased, InvalidReference, StageFirst, UnknownUpload, UploadClosed
from tests.attachments.storehouse import ME, Storehouse

ADA, BOB = Principal.user("ada"), Principal.user("bob")


@pytest.fixture
def house(database_url: str) -> Iterator[Storehouse]:
    """A mall with a mirror, where Ada and Bob may upload."""
    slots = [Slot("public", ("*/*",), public=True)]
    found = Storehouse(database_url, "memory://", stores={"second": "memory://"}, slots=slots)
    with found.mall.begin(ME) as ctx:
        for one in (ADA, BOB):
            access.grant(ctx, principal=one.ref, role="owner", scope="unit", unit="main")
    yield found
    found.close()


def erase(house: Storehouse, principal: str = "user:ada") -> Erasure:
    """Erase somebody's uploads."""
    found: Erasure = house.do("erase", principal=principal)
    return found


def test_what_somebody_uploaded_goes_from_every_store_at_once(house: Storehouse) -> None:
    """What belongs to them and what they put into private slots; other people's and public content stays."""
    theirs = [house.put(b"own", ADA), house.put(b"of her", owner="user:ada")]
    others = [house.put(b"bob's", BOB), house.put(b"public", ADA, slot="public")]
    house.do("mirror", store="second")
    done = erase(house)
    assert (done.versions, done.labels, done.kept) == (2, 2, [])
    assert (done.collected.blobs, done.collected.objects) == (2, 4)
    assert house.contents() == house.contents("second") == [b"bob's", b"public"]
    for version in theirs:
        with pytest.raises(ContentErased):
            house.read(version.ref)
    house.check(*others)


def test_the_record_stays_without_what_they_wrote(house: Storehouse) -> None:
    """Number, digest and size stay; the file's name and the sender's facts go."""
    version = house.put(b"own", ADA, file_name="ada-lovelace.pdf", meta={"caption": "me"})
    erase(house)
    (found,) = house.do("list_versions", attachment=version.attachment).items
    assert (found.n, found.digest, found.size, found.dropped_for) == (1, version.digest, 3, "erased")
    assert (found.file_name, found.meta) == ("erased", None)


def test_pins_and_labels_do_not_keep_it(house: Storehouse) -> None:
    """Snapshots and a channel's history still tell that something was there; its content is erased."""
    version = house.put(b"own", ADA)
    with house.mall.begin(ME) as ctx:
        structure.update_channel(ctx, channel="books", settings={"banner": version.ref})
        structure.create_snapshot(ctx, name="spring", channels=["books"])
    assert erase(house).versions == 1
    with pytest.raises(ContentErased):
        house.read(version.ref)
    assert house.do("get_attachment", attachment=version.attachment).labels == {}
    assert house.do("label_history", attachment=version.attachment, label="live").items[0].n is None
    with house.mall.begin(ME) as ctx:
        assert attachments.get_version(ctx, version=f"{version.attachment}@live", at="spring").dropped_at is not None


def test_holds_and_retentions_keep_it_and_are_named(house: Storehouse) -> None:
    """The answer says what was not erased, and why."""
    held, retained, free = (house.put(name, ADA) for name in (b"held", b"retained", b"free"))
    house.do("place_hold", attachment=held.attachment, reason="a lawsuit")
    house.do("set_retention", version=retained.ref, until=datetime(2090, 1, 1, tzinfo=UTC))
    done = erase(house)
    assert done.versions == 1
    assert sorted(one.version for one in done.kept) == sorted([held.ref, retained.ref])
    assert any("a lawsuit" in one.reason for one in done.kept)
    house.check(held, retained)
    with pytest.raises(ContentErased):
        house.read(free.ref)


def test_content_that_somebody_else_holds_too_stays_theirs(house: Storehouse) -> None:
    """Equal content of somebody else is theirs: only the versions of the erased person go."""
    house.put(b"same", ADA)
    bobs = house.put(b"same", BOB)
    done = erase(house)
    assert (done.versions, done.collected.blobs) == (1, 0)
    house.check(bobs)


def test_what_is_staged_or_arriving_goes_too(house: Storehouse) -> None:
    """Uploads that are not attached are given up at once."""
    with house.mall.begin(ADA) as ctx:
        staged = attachments.stage(ctx, file=b"staged", file_name="a.bin", owner="channel:books")
    done = erase(house)
    assert (done.uploads, done.collected.blobs) == (1, 1)
    assert house.contents() == []
    with pytest.raises((UploadClosed, UnknownUpload)):
        house.do("attach", staged=staged)


def test_it_is_on_record_and_may_be_repeated(house: Storehouse) -> None:
    """The log tells that uploads were erased, and of every version; a second time there is nothing left."""
    house.put(b"own", ADA)
    erase(house)
    assert erase(house).versions == 0
    with house.mall.begin(ME) as ctx:
        assert len(audit.list_records(ctx, event="attachments.erased").items) == 2
        assert len(audit.list_records(ctx, event="attachments.version_dropped").items) == 1


def test_bad_input(house: Storehouse) -> None:
    """What names nobody is refused; and it is no part of somebody's transaction."""
    with pytest.raises(InvalidReference):
        erase(house, "ada lovelace")
    with house.mall.begin(ME) as ctx:
        structure.create_channel(ctx, slug="toys", name="Toys")
        with pytest.raises(StageFirst):
            attachments.erase(ctx, principal="user:ada")
