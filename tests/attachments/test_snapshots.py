"""What a mall has shown can be fetched again, byte for byte: by revision, snapshot and time, and by going back."""

from __future__ import annotations

from typing import Any

import pytest

from mallcore import Principal, access, attachments, structure
from mallcore.errors import (
    ContentErased,
    InUse,
    InvalidReference,
    MallError,
    UnknownChannel,
    UnknownLabel,
    UnknownRevision,
    UnknownSnapshot,
    UnknownVersion,
)
from tests.attachments.pictures import png
from tests.attachments.storehouse import ME, Storehouse

OLD, NEW = png(4, 2), png(8, 4)


@pytest.fixture
def banner(house: Storehouse) -> attachments.Version:
    """A banner that hangs on the category Crime."""
    call(house, structure.create_category, channel="books", name="Crime")
    made = house.put(OLD, owner="category:books/crime", slot="banner", file_name="old.png")
    hang(house, made.ref)
    return made


def call(house: Storehouse, operation: Any, **given: Any) -> Any:
    """An operation of another package."""
    with house.mall.begin(ME) as ctx:
        return operation(ctx, **given)


def hang(house: Storehouse, ref: str) -> Any:
    """Hang a version on the category."""
    return call(house, structure.update_node, channel="books", node="crime", attributes={"banner": ref})


def shown(house: Storehouse, at: Any = None) -> bytes:
    """The banner of the category, at a revision, in a snapshot or at a time."""
    node = call(house, structure.get_node, channel="books", node="crime", at=at).shape
    return house.read(node.attributes["banner"])


def read_at(house: Storehouse, reference: str, at: Any) -> bytes:
    """The bytes a label named at a moment."""
    with house.mall.begin(ME) as ctx, attachments.open_version(ctx, version=reference, at=at) as stream:
        return stream.read()


def test_a_rollback_brings_the_old_banner_back(house: Storehouse, banner: attachments.Version) -> None:
    """A node refers to a version, so an old revision shows the old banner, and so does going back to it."""
    newer = house.put(NEW, owner="category:books/crime", slot="banner", attachment=banner.attachment)
    hang(house, newer.ref)
    assert (shown(house), shown(house, at=2)) == (NEW, OLD)
    call(house, structure.rollback, channel="books", to=2)
    assert shown(house) == OLD
    call(house, structure.undo, channel="books", number=4)
    assert shown(house) == NEW


def test_a_snapshot_keeps_where_every_label_stood(house: Storehouse, banner: attachments.Version) -> None:
    """A snapshot shows what was live then, of nodes, channels and everything else of its unit."""
    product = house.put(b"cover 1", owner="product:42", unit="main")
    draft = house.do("set_label", attachment=product.attachment, label="draft", to=1)
    call(house, structure.create_snapshot, name="spring", channels=["books"])
    house.put(NEW, owner="category:books/crime", slot="banner", attachment=banner.attachment)
    house.put(b"cover 2", owner="product:42", unit="main", attachment=product.attachment)
    house.do("remove_label", attachment=product.attachment, label="draft")
    late = house.put(b"late", owner="product:43", unit="main")
    assert read_at(house, banner.attachment, "spring") == OLD
    assert read_at(house, f"{product.attachment}@live", "spring") == b"cover 1"
    assert read_at(house, f"{product.attachment}@draft", "spring") == b"cover 1"
    assert house.do("get_version", version=product.attachment, at="spring").ref == draft.ref
    assert (house.read(banner.attachment), house.read(product.attachment)) == (NEW, b"cover 2")
    with pytest.raises(UnknownLabel):
        read_at(house, late.attachment, "spring")


def test_a_time_and_a_revision_show_what_was_live_then(house: Storehouse, banner: attachments.Version) -> None:
    """A label names at a time what it stood at then; a revision stands for the time it was made."""
    house.clock.move(hours=1)
    between = house.clock()
    house.clock.move(hours=1)
    house.put(NEW, owner="category:books/crime", slot="banner", attachment=banner.attachment)
    call(house, structure.create_category, channel="books", name="Noir")
    for at, expected in ((between, OLD), (between.isoformat(), OLD), ("books@2", OLD), ("books@3", NEW)):
        assert read_at(house, banner.attachment, at) == expected
    assert read_at(house, f"{banner.attachment}@1", "books@3") == OLD, "a number means the same at every time"
    with pytest.raises(UnknownLabel):
        read_at(house, banner.attachment, "2000-01-01T00:00:00+00:00")


NO_MOMENT: dict[str, type[MallError]] = {
    "nothing-such": UnknownSnapshot,
    "books@9": UnknownRevision,
    "books@x": InvalidReference,
    "nowhere@1": UnknownChannel,
    "2026-13-01": InvalidReference,
    "2026-11-01T00:00:00": InvalidReference,
}


@pytest.mark.parametrize("at", NO_MOMENT)
def test_what_is_no_moment_is_refused(house: Storehouse, banner: attachments.Version, at: str) -> None:
    """A snapshot, revision or channel that is not there, and a time without its zone, are refused by name."""
    with pytest.raises(NO_MOMENT[at]):
        house.do("get_version", version=banner.attachment, at=at)


def test_moments_of_channels_one_may_not_see_are_unknown(house: Storehouse, banner: attachments.Version) -> None:
    """Nobody learns by trying which channels there are, or when they were changed."""
    ada = Principal.user("ada")
    call(house, structure.create_channel, slug="secret", name="Secret")
    call(house, access.grant, principal=ada.ref, role="editor", scope="subtree", channel="books", node="crime")
    with house.mall.begin(ada) as ctx:
        assert attachments.get_version(ctx, version=banner.attachment, at="books@2").ref == banner.ref
        for channel in ("secret", "nowhere"):
            with pytest.raises(UnknownChannel) as refused:
                attachments.get_version(ctx, version=banner.attachment, at=f"{channel}@0")
            assert str(refused.value) == str(UnknownChannel(channel=channel))


def test_what_was_ever_shown_is_never_collected(house: Storehouse, banner: attachments.Version) -> None:
    """A version in a revision or a snapshot can't be dropped, and its bytes outlive every collection."""
    call(house, structure.create_snapshot, name="spring", channels=["books"])
    house.put(NEW, owner="category:books/crime", slot="banner", attachment=banner.attachment)
    call(house, structure.update_node, channel="books", node="crime", attributes={"banner": None})
    call(house, structure.remove, channel="books", node="crime")
    with pytest.raises(InUse):
        house.do("drop_version", version=banner.ref)
    house.clock.move(days=1000)
    house.collect()
    assert shown(house, at=2) == OLD
    assert read_at(house, banner.attachment, "spring") == OLD


# --- what a node may refer to


def test_a_node_refers_only_to_what_is_there(house: Storehouse, banner: attachments.Version) -> None:
    """A version that does not exist is refused, wherever in the attributes it stands; nothing has changed."""
    missing = f"{banner.attachment}@9"
    for attributes in ({"banner": missing}, {"a": {"b": [1, missing]}}, {"text": f"see {missing}."}):
        with pytest.raises(UnknownVersion):
            call(house, structure.update_node, channel="books", node="crime", attributes=attributes)
    assert call(house, structure.get_channel, channel="books").revision == 2


def test_a_node_does_not_refer_to_another_units_files(house: Storehouse, banner: attachments.Version) -> None:
    """What lies in another unit is as if it were not there."""
    call(house, structure.create_unit, slug="north", name="North")
    call(house, structure.create_channel, slug="games", name="Games", unit="north")
    foreign = house.put(OLD, owner="channel:games", slot="banner")
    with pytest.raises(UnknownVersion):
        hang(house, foreign.ref)


def test_a_node_refers_only_to_what_its_author_may_read(house: Storehouse, banner: attachments.Version) -> None:
    """An editor of a subtree can't show what lies beside it; what was shown before may be shown again."""
    ada = Principal.user("ada")
    call(house, access.grant, principal=ada.ref, role="editor", scope="subtree", channel="books", node="crime")
    private = house.put(b"a contract", owner="channel:books")
    given: dict[str, Any] = {"channel": "books", "node": "crime"}
    with house.mall.begin(ada) as ctx, pytest.raises(UnknownVersion):
        structure.update_node(ctx, **given, attributes={"banner": private.ref})
    hang(house, private.ref)
    hang(house, banner.ref)
    with house.mall.begin(ada) as ctx:
        structure.update_node(ctx, **given, attributes={"banner": private.ref})


def test_a_node_does_not_refer_to_what_was_dropped(house: Storehouse, banner: attachments.Version) -> None:
    """A version without its content is refused, with the reason."""
    gone = house.put(NEW, owner="category:books/crime", slot="banner", label=None)
    house.do("drop_version", version=gone.ref)
    with pytest.raises(ContentErased):
        hang(house, gone.ref)


def test_drafts_and_imports_are_held_to_the_same(house: Storehouse, banner: attachments.Version) -> None:
    """However a revision is made, what it refers to is looked at."""
    wrong = [{"op": "update", "node": "crime", "attributes": {"banner": f"{banner.attachment}@9"}}]
    draft = call(house, structure.open_draft, channel="books", name="Wrong")
    call(house, structure.edit_draft, draft=draft.id, edits=wrong)
    with pytest.raises(UnknownVersion):
        call(house, structure.publish_draft, draft=draft.id)
    with pytest.raises(UnknownVersion):
        call(house, structure.edit, channel="books", edits=wrong)
