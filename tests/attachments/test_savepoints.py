"""Files and SAVEPOINTs: whatever is rolled back, nothing committed is lost, and one collection leaves no orphan.

The two tests that well-known attachment libraries fail come first; benchmarks/rivals.py plays them with those.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import Column, Integer, MetaData, String, Table, delete, insert, select
from sqlalchemy.orm import Session

from mallcore import attachments
from mallcore.errors import StageFirst
from tests.attachments.storehouse import ME, Storehouse

HOST = MetaData()
picture = Table("host_picture", HOST, Column("id", Integer, primary_key=True), Column("version", String(80)))


@pytest.fixture
def house(database_url: str, objects_url: str) -> Iterator[Storehouse]:
    """A mall on each database and each kind of store, with a table of the host's beside."""
    found = Storehouse(database_url, objects_url)
    HOST.create_all(found.mall.engine)
    yield found
    found.close()


def _undone(session: Session, within: Callable[[], object]) -> None:
    """Do something in a SAVEPOINT that is rolled back."""
    nested = session.begin_nested()
    within()
    nested.rollback()


def _attached(house: Storehouse, session: Session, staged: attachments.Staged, to: str | None = None) -> str:
    """Attach within the host's transaction; the host keeps the reference in a row of its own."""
    with house.mall.begin(ME, session=session) as ctx:
        made = attachments.attach(ctx, staged=staged, attachment=to)
    session.execute(insert(picture).values(version=made.ref))
    return made.ref


def test_1_an_unrelated_savepoint_fails_and_the_outer_transaction_commits(house: Storehouse) -> None:
    """A row with a file is flushed; an unrelated SAVEPOINT fails; the outer commits: the file is there."""
    staged = house.stage(b"first")
    with Session(house.mall.engine) as session, session.begin():
        ref = _attached(house, session, staged)
        _undone(session, lambda: session.execute(insert(picture).values(version="unrelated")))
    assert house.read(ref) == b"first"
    house.collect_later()
    house.check(contents={ref: b"first"})


def test_2_a_released_savepoint_replaces_the_file_and_the_outer_rolls_back(house: Storehouse) -> None:
    """The file is replaced inside a released SAVEPOINT; the outer rolls back: the old one is there, the new one not."""
    old = house.put(b"old")
    staged = house.stage(b"new")
    with Session(house.mall.engine) as session:
        session.begin()
        with session.begin_nested():
            _attached(house, session, staged, old.attachment)
        session.rollback()
    assert house.read(f"{old.attachment}@live") == b"old"
    house.collect_later()
    assert house.contents() == [b"old"]
    house.check(old)


@pytest.mark.parametrize("inner", ["released", "rolled back"])
@pytest.mark.parametrize("outer", ["committed", "rolled back"])
def test_whatever_becomes_of_the_transactions_no_file_is_lost_and_none_is_left(
    house: Storehouse, inner: str, outer: str
) -> None:
    """One file in the outer transaction, one in a SAVEPOINT two levels deep, in all four fates."""
    first, second = house.stage(b"outer"), house.stage(b"inner")
    refs = {}
    with Session(house.mall.engine) as session:
        session.begin()
        refs[b"outer"] = _attached(house, session, first)
        middle = session.begin_nested()
        nested = session.begin_nested()
        refs[b"inner"] = _attached(house, session, second)
        nested.commit()
        (middle.commit if inner == "released" else middle.rollback)()
        (session.commit if outer == "committed" else session.rollback)()
    kept = [] if outer == "rolled back" else [b"outer"] + [b"inner"] * (inner == "released")
    house.collect_later()
    assert house.contents() == sorted(kept)
    house.check(contents={refs[content]: content for content in kept})


def test_the_same_file_in_a_savepoint_that_fails_and_outside(house: Storehouse) -> None:
    """Two uploads of one content share it: the rollback of one leaves the other whole."""
    one, two = house.stage(b"shared"), house.stage(b"shared")
    with Session(house.mall.engine) as session, session.begin():
        ref = _attached(house, session, one)
        _undone(session, lambda: _attached(house, session, two))
    house.collect_later()
    assert house.contents() == [b"shared"]
    house.check(contents={ref: b"shared"})


def test_what_was_rolled_back_can_be_attached_again(house: Storehouse) -> None:
    """Staged content outlives the rollback of what attached it, and is attached by the next transaction."""
    staged = house.stage(b"again")
    for commits in (False, True):
        with Session(house.mall.engine) as session:
            session.begin()
            ref = _attached(house, session, staged)
            (session.commit if commits else session.rollback)()
    house.collect_later()
    house.check(contents={ref: b"again"})


def test_a_bulk_delete_of_host_rows_takes_no_file(house: Storehouse) -> None:
    """Rows of the host go by one statement that no session hears of: the versions, which never change, stay."""
    staged = [house.stage(name) for name in (b"one", b"two")]
    with Session(house.mall.engine) as session, session.begin():
        refs = [_attached(house, session, one) for one in staged]
    with Session(house.mall.engine) as session, session.begin():
        session.execute(delete(picture))
    assert [house.read(ref) for ref in refs] == [b"one", b"two"]
    house.collect_later()
    house.check(contents=dict(zip(refs, (b"one", b"two"), strict=True)))


def test_versions_deleted_past_the_mall_leave_no_orphan(house: Storehouse) -> None:
    """Even rows of versions that go by plain SQL leave nothing behind: the collector works from rows, not events."""
    kept = house.put(b"kept")
    gone = [house.put(name) for name in (b"one", b"two")]
    with house.sql() as connection:
        for name in ("label_move", "label", "version"):
            table = attachments_table(name)
            connection.execute(delete(table).where(table.c.attachment_id.in_([one.attachment for one in gone])))
    assert house.collect(0).blobs == 2
    assert house.contents() == [b"kept"]
    house.check(kept)


def attachments_table(name: str) -> Table:
    """A table of attachments, by its short name."""
    from mallcore.kernel.tables import metadata

    return metadata.tables[f"mall_attachment_{name}"]


def test_own_units_of_work_that_fail_leave_no_orphan(house: Storehouse) -> None:
    """Uploads whose unit of work fails after them: nothing is there but what waits to be collected."""

    def failing() -> None:
        with house.mall.begin(ME) as ctx:
            attachments.upload_file(ctx, file=b"lost", file_name="a.bin", owner="channel:books")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        failing()
    assert house.contents() == [b"lost"]
    assert house.collect(0).blobs == 0  # its lease has not ended: it may still be attached
    house.collect_later()
    assert house.contents() == []
    assert house.rows("mall_blob") == house.rows("mall_replica") == []


def test_staging_after_the_host_has_written_through_us_is_refused(house: Storehouse) -> None:
    """In a host's transaction that wrote through the mall, staging would wait for that transaction: refused at once."""
    staged = house.stage(b"first")
    with Session(house.mall.engine) as session, session.begin():
        _attached(house, session, staged)
        with pytest.raises(StageFirst), house.mall.begin(ME, session=session) as ctx:
            attachments.stage(ctx, file=b"first", file_name="a.bin", owner="channel:books")
    with Session(house.mall.engine) as session:
        assert len(session.execute(select(picture)).all()) == 1
