"""The life of an attachment as its users tell it: uploads, versions, restoring, removal, sharing, retries, hosts."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.orm import Session

from mallcore import Principal, access, attachments, audit, structure
from mallcore.errors import (
    ContentErased,
    IdempotencyMismatch,
    InvalidInput,
    LabelMoved,
    NothingToDo,
    RangeNotSatisfiable,
    StageFirst,
    UnknownVersion,
    UploadClosed,
)
from tests.attachments.storehouse import ME, OWNER, Storehouse


@pytest.fixture(params=["memory", "local"])
def house(request: pytest.FixtureRequest, database_url: str, tmp_path: Path) -> Iterator[Storehouse]:
    """A mall on every database, its objects in memory or in files."""
    objects = "memory://" if request.param == "memory" else (tmp_path / "objects").as_uri()
    found = Storehouse(database_url, objects)
    yield found
    found.close()


def events(house: Storehouse, *names: str) -> list[str]:
    """What the audit log tells of attachments, oldest first."""
    with house.mall.begin(ME) as ctx:
        records = audit.list_records(ctx, limit=200).items
    found = [one.event.removeprefix("attachments.") for one in records if one.event.startswith("attachments.")]
    return [one for one in reversed(found) if not names or one in names]


# --- versions


def test_a_file_becomes_a_version_that_tells_all_of_it(house: Storehouse) -> None:
    """An upload answers with an immutable reference, and with what the bytes are beside what their sender said."""
    made = house.put(b"%PDF-1.7 a book", file_name="Book.pdf", declared_type="image/png", meta={"pages": 3})
    assert (made.ref, made.n, made.file_name) == (f"{made.attachment}@1", 1, "Book.pdf")
    assert (made.size, made.digest) == (15, sha256(b"%PDF-1.7 a book").hexdigest())
    assert (made.detected_type, made.declared_type, made.meta) == ("application/pdf", "image/png", {"pages": 3})
    assert (made.slot, made.created_by) == ("file", "system:test")
    assert made.owner.startswith("channel:chn_")
    assert house.do("get_version", version=made.ref) == made
    assert house.read(made.ref) == b"%PDF-1.7 a book"
    shown = house.do("get_attachment", attachment=made.attachment)
    assert (shown.head, shown.labels, shown.removed_at) == (1, {"live": 1}, None)


def test_a_new_version_leaves_the_old_one_as_it_was(house: Storehouse) -> None:
    """Versions are numbered without a gap; the label moves on, and every version stays readable."""
    first = house.put(b"one")
    second = house.put(b"two", attachment=first.attachment)
    third = house.put(b"three", attachment=first.attachment, label=None)
    assert [one.n for one in (first, second, third)] == [1, 2, 3]
    assert [one.ref for one in house.do("list_versions", attachment=first.attachment).items] == [
        third.ref,
        second.ref,
        first.ref,
    ]
    assert house.read(first.attachment) == house.read(f"{first.attachment}@live") == b"two"
    house.check(first, second, third, contents={f"{first.attachment}@sha256:{third.digest}": b"three"})


def test_a_part_is_read_by_its_bytes(house: Storehouse) -> None:
    """A range ends where it is told to, or with the content; one outside of it is refused."""
    ref = house.put(b"0123456789").ref

    def part(**given: int) -> bytes:
        with house.mall.begin(ME) as ctx, attachments.open_version(ctx, version=ref, **given) as stream:
            return stream.read()

    assert (part(start=3, end=5), part(start=8), part(end=2), part(start=4, end=4)) == (b"34", b"89", b"01", b"")
    assert part(start=5, end=100) == b"56789"
    for wrong in ({"start": 11}, {"start": 5, "end": 4}):
        with pytest.raises(RangeNotSatisfiable):
            part(**wrong)


def test_an_old_version_is_restored_without_its_bytes_being_copied(house: Storehouse) -> None:
    """Restoring makes a new version of the old content: same file, same digest, no further object."""
    first = house.put(b"one", file_name="first.txt", meta={"by": "Ada"})
    house.put(b"two", attachment=first.attachment)
    keys = house.keys()
    back = house.do("restore_version", version=first.ref, expect=2)
    assert (back.n, back.digest, back.file_name, back.meta) == (3, first.digest, "first.txt", {"by": "Ada"})
    assert house.keys() == keys
    assert house.read(f"{first.attachment}@live") == b"one"
    assert house.do("restore_version", version=f"{first.attachment}@2", label=None).n == 4
    assert house.read(first.attachment) == b"one"
    with pytest.raises(LabelMoved):
        house.do("restore_version", version=first.ref, expect=2)
    with pytest.raises(UnknownVersion):
        house.do("restore_version", version=f"{first.attachment}@9")
    assert house.do("get_attachment", attachment=first.attachment).head == 4
    house.collect_later()
    house.check(first, back)


def test_what_was_dropped_is_not_restored(house: Storehouse) -> None:
    """Whoever restores a version whose content was given up is told so; its record is still there."""
    first = house.put(b"one")
    house.put(b"two", attachment=first.attachment)
    house.do("drop_version", version=first.ref)
    for _ in range(2):
        with pytest.raises(ContentErased):
            house.do("restore_version", version=first.ref)
        house.collect_later()
    assert house.do("get_version", version=first.ref).dropped_at is not None


def test_a_removed_attachment_is_out_of_sight_and_not_gone(house: Storehouse) -> None:
    """It leaves the lists, stays readable by reference, and comes back with a new version."""
    made = house.put(b"one")
    gone = house.do("remove_attachment", attachment=made.attachment)
    assert gone.removed_at is not None
    assert house.do("list_attachments").items == []
    assert [one.id for one in house.do("list_attachments", removed=True).items] == [made.attachment]
    assert house.read(made.ref) == b"one"
    with pytest.raises(NothingToDo):
        house.do("remove_attachment", attachment=made.attachment)
    house.collect_later()
    house.put(b"two", attachment=made.attachment)
    assert [one.id for one in house.do("list_attachments").items] == [made.attachment]
    house.check(made)


def test_every_step_is_on_record(house: Storehouse) -> None:
    """Upload, version, label, reading, restoring and removal each leave their record."""
    made = house.put(b"one")
    house.read(made.ref)
    house.do("restore_version", version=made.ref)
    house.do("remove_attachment", attachment=made.attachment)
    assert events(house) == [
        "upload_begun",
        "version_added",
        "label_set",
        "read",
        "version_added",
        "label_set",
        "removed",
    ]


# --- sharing


def test_the_same_content_lies_there_once_in_a_unit(house: Storehouse) -> None:
    """Within a unit equal contents share an object, whoever brings them; between units they never do."""
    with house.mall.begin(ME) as ctx:
        structure.create_unit(ctx, slug="north", name="North")
        structure.create_channel(ctx, slug="games", name="Games", unit="north")
    first = house.put(b"same")
    second = house.put(b"same", owner="product:42", unit="main", file_name="other.txt")
    assert len(house.keys()) == 1
    other = house.put(b"same", owner="channel:games")
    assert len(house.keys()) == 2
    assert first.digest == second.digest == other.digest
    assert first.attachment != second.attachment
    keys = house.keys()
    assert [key.split("/")[1] for key in keys] == sorted((first.unit_id, other.unit_id))
    house.check(first, second, other)


# --- staging and units of work


def test_several_files_are_attached_in_one_unit_of_work(house: Storehouse) -> None:
    """Stage all, then attach all; if the unit of work fails, they are as they were, and can be attached later."""
    staged = [house.stage(b"%d" % number) for number in range(3)]
    with pytest.raises(KeyError), house.mall.begin(ME) as ctx:  # noqa: PT012
        for one in staged:
            attachments.attach(ctx, staged=one)
        raise KeyError
    assert house.do("list_attachments").items == []
    with house.mall.begin(ME) as ctx:
        made = [attachments.attach(ctx, staged=one) for one in staged]
    house.check(*made)
    with pytest.raises(UploadClosed):
        house.do("attach", staged=staged[0].id)


def test_bytes_are_not_moved_while_a_unit_of_work_writes(house: Storehouse) -> None:
    """On every database: stage first, then write."""
    with house.mall.begin(ME) as ctx:
        structure.create_category(ctx, channel="books", name="Crime")
        with pytest.raises(StageFirst):
            attachments.stage(ctx, file=b"x", file_name="a.txt", owner=OWNER)
        with pytest.raises(StageFirst):
            attachments.upload_file(ctx, file=b"x", file_name="a.txt", owner=OWNER)
    assert house.keys() == []


def test_staged_content_is_for_its_owner_and_slot_alone(house: Storehouse) -> None:
    """What was staged for one thing does not become a version of another."""
    made = house.put(b"one")
    for given in ({"owner": "product:42"}, {"slot": "banner", "file": b"\x89PNG\r\n\x1a\n"}):
        with pytest.raises(InvalidInput):
            house.put(given.pop("file", b"two"), attachment=made.attachment, **given)  # type: ignore[arg-type]
    assert house.do("get_attachment", attachment=made.attachment).head == 1


def test_a_hosts_transaction_decides(house: Storehouse) -> None:
    """Attached within a host's session, a version shares the fate of the host's transaction and of its SAVEPOINTs."""
    kept, undone, lost = (house.stage(content) for content in (b"kept", b"undone", b"lost"))
    with Session(house.mall.engine) as session:
        with house.mall.begin(ME, session=session) as ctx:
            made = attachments.attach(ctx, staged=kept)
        nested = session.begin_nested()
        with house.mall.begin(ME, session=session) as ctx:
            attachments.attach(ctx, staged=undone, attachment=made.attachment)
        nested.rollback()
        session.commit()
    with Session(house.mall.engine) as session:
        with house.mall.begin(ME, session=session) as ctx:
            attachments.attach(ctx, staged=lost, attachment=made.attachment)
        session.rollback()
    assert house.do("get_attachment", attachment=made.attachment).head == 1
    again = house.do("attach", staged=undone, attachment=made.attachment)
    assert again.n == 2
    house.collect_later()
    assert house.contents() == [b"kept", b"undone"]
    house.check(made, again)


# --- retries


class Once(BytesIO):
    """A stream that can be read from its beginning to its end, and not again."""

    def seekable(self) -> bool:
        return False

    def seek(self, *_: Any) -> int:
        raise OSError("it has gone by")


def test_a_retried_upload_makes_no_second_version(house: Storehouse) -> None:
    """With an idempotency key the same stream, sent again, answers with the version there is."""
    first = house.put(Once(b"one"), idempotency_key="k")  # type: ignore[arg-type]
    again = house.put(Once(b"one"), idempotency_key="k")  # type: ignore[arg-type]
    assert again == first
    assert house.do("get_attachment", attachment=first.attachment).head == 1
    with pytest.raises(IdempotencyMismatch):
        house.put(Once(b"another"), idempotency_key="k")  # type: ignore[arg-type]
    with pytest.raises(IdempotencyMismatch):
        house.put(b"one", idempotency_key="k", file_name="b.bin")
    house.collect_later()
    assert house.contents() == [b"one"]


def test_who_may_do_little_may_retry_too(house: Storehouse) -> None:
    """A retried `attach` is let in, though what was staged is a version by now."""
    ada = Principal.user("ada")
    with house.mall.begin(ME) as ctx:
        structure.create_category(ctx, channel="books", name="Crime")
        access.grant(ctx, principal=ada.ref, role="editor", scope="subtree", channel="books", node="crime")
    with house.mall.begin(ada) as ctx:
        staged = attachments.stage(ctx, file=b"one", file_name="a.txt", owner="category:books/crime")
        made = attachments.attach(ctx, staged=staged.id, idempotency_key="k")
    with house.mall.begin(ada) as ctx:
        assert attachments.attach(ctx, staged=staged.id, idempotency_key="k") == made
    house.collect_later()
    house.check(made)


def test_a_restored_version_is_kept_as_long_as_its_slot_says(database_url: str) -> None:
    """It is a version like any other: the retention of its slot begins anew."""
    house = Storehouse(database_url, "memory://", slots=[attachments.Slot("law", retain_days=30)])
    first = house.put(b"a contract", slot="law")
    assert first.retain_until is not None
    house.clock.move(days=10)
    again = house.do("restore_version", version=first.ref)
    assert again.retain_until is not None
    assert again.retain_until > first.retain_until
    house.close()
