"""What one process changes, the others see: told by the bus, by polling while it is gone, at once where it is asked."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress

import pytest
from sqlalchemy import NullPool, create_engine, text

from mallcore import Mall, Principal, structure
from mallcore.errors import ChannelRemoved, RevisionNotReached, UnknownChannel
from tests.proofs.workers import Workers

ME = Principal.system("test")
PATIENCE = 20.0
NEVER = 3600.0  # how often a mall polls whose bus must do

Open = Callable[..., Mall]


@pytest.fixture
def opened(database_url: str) -> Iterator[Open]:
    """Opens malls on one database; each knows of the others only through it."""
    with ExitStack() as stack:
        yield lambda **settings: stack.enter_context(Mall.open(database_url, migrate="always", **settings))


def until(check: Callable[[], bool]) -> bool:
    """Whether this comes true before patience ends."""
    ends = time.monotonic() + PATIENCE
    while not check():
        if time.monotonic() > ends:
            return False
        time.sleep(0.01)
    return True


def create(mall: Mall, slug: str = "books", unit: str | None = None) -> str:
    """A new channel's id."""
    with mall.begin(ME) as ctx:
        return structure.create_channel(ctx, slug=slug, name=slug.title(), unit=unit).id


def add(mall: Mall, name: str, channel: str = "books") -> int:
    """The number of a new revision that adds a category."""
    with mall.begin(ME) as ctx:
        return structure.create_category(ctx, channel=channel, name=name).revision


def revision(mall: Mall, channel: str = "books", least: int | None = None) -> int:
    """The revision a reader sees."""
    with mall.begin(ME) as ctx:
        return structure.tree(ctx, channel=channel, min_revision=least).revision


def following(mall: Mall, channel: str = "books") -> None:
    """Have the mall keep the channel in memory and follow it."""
    revision(mall, channel)
    assert until(lambda: mall.follower.connected)


def test_a_change_is_seen_through_the_bus(opened: Open) -> None:
    """A mall that never polls sees what another commits, because the database's bus tells it."""
    writer, reader = opened(), opened(poll_seconds=NEVER)
    create(writer)
    following(reader)
    for number in range(1, 4):
        assert add(writer, f"Category {number}") == number
        assert until(lambda: revision(reader) == number)  # noqa: B023


@pytest.mark.postgres
def test_polling_takes_over_while_the_bus_is_gone(postgres_url: str) -> None:
    """While every LISTEN connection is cut, a reader still sees changes; when it is left in peace, the bus is back."""
    peace = threading.Event()

    def cut() -> None:
        engine = create_engine(postgres_url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
        find = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'"
        with engine.connect() as connection:
            while not peace.wait(0.05):
                connection.execute(text(f"{find} AND datname = current_database()"))

    saboteur = threading.Thread(target=cut)
    with Mall.open(postgres_url, migrate="always") as writer, Mall.open(postgres_url, poll_seconds=0.5) as reader:
        create(writer)
        following(reader)
        saboteur.start()
        try:
            assert until(lambda: not reader.follower.connected)
            for number in range(1, 4):
                add(writer, f"Category {number}")
                assert until(lambda: revision(reader) == number)  # noqa: B023
        finally:
            peace.set()
            saboteur.join(PATIENCE)
        assert until(lambda: reader.follower.connected)
        add(writer, "Category 4")
        assert until(lambda: revision(reader) == 4)


def test_a_reader_is_given_the_revision_it_asks_for(opened: Open) -> None:
    """With `min_revision` a read shows at least that revision, however far behind its memory is; or says it can't."""
    writer, reader = opened(), opened(poll_seconds=NEVER)
    create(writer)
    following(reader)
    for number in range(1, 20):
        made = add(writer, f"Category {number}")
        assert revision(reader, least=made) == made
    with pytest.raises(RevisionNotReached) as refused:
        revision(reader, least=20)
    assert (refused.value.details["wanted"], refused.value.details["actual"]) == (20, 19)


def test_a_write_is_judged_by_the_newest_revision(opened: Open) -> None:
    """A change that needs nothing by an old memory, and something by the database, is made and not dropped."""
    writer, behind = opened(), opened(follow=True, poll_seconds=NEVER)
    create(writer)
    with writer.begin(ME) as ctx:
        left, right = (structure.create_category(ctx, channel="books", name=name).id for name in ("Left", "Right"))
    following(behind)
    for number in range(3, 13, 2):
        with writer.begin(ME) as ctx:
            assert structure.move(ctx, channel="books", node=left, parent=right).revision == number
        with behind.begin(ME) as ctx:
            assert structure.move(ctx, channel="books", node=left).revision == number + 1
        assert revision(writer, least=number + 1) == number + 1


def test_a_channel_made_later_is_there(opened: Open) -> None:
    """A mall opened, and following, before a channel existed serves it as soon as it is committed."""
    writer, reader = opened(), opened(poll_seconds=NEVER)
    create(writer)
    following(reader)
    with pytest.raises(UnknownChannel):
        revision(reader, "music")
    channel = create(writer, "music")
    assert revision(reader, "music") == 0
    add(writer, "Jazz", "music")
    assert until(lambda: revision(reader, channel) == 1)


def test_a_removed_channel_is_closed_and_a_restored_one_open(opened: Open) -> None:
    """Once a channel is removed no other mall can change it; once it is restored, all can."""
    writer, other = opened(), opened(poll_seconds=NEVER)
    create(writer)
    add(writer, "Fiction")
    following(other)
    with writer.begin(ME) as ctx:
        structure.remove_channel(ctx, channel="books")
    with pytest.raises(ChannelRemoved):
        add(other, "Refused")
    with other.begin(ME) as ctx:
        assert structure.tree(ctx, channel="books", at=1).revision == 1
    with writer.begin(ME) as ctx:
        structure.restore_channel(ctx, channel="books")

    def accepted() -> bool:
        try:
            return add(other, "Accepted") == 2
        except ChannelRemoved:
            return False

    assert until(accepted)
    assert revision(writer, least=2) == 2


def test_a_slug_that_becomes_ambiguous_is_refused(opened: Open) -> None:
    """A slug that meant one channel means none once another unit has it too; unit and slug together still do."""
    writer, reader = opened(), opened(poll_seconds=NEVER)
    first = create(writer)
    following(reader)
    with writer.begin(ME) as ctx:
        structure.create_unit(ctx, slug="north", name="North")
    second = create(writer, unit="north")

    def ambiguous() -> bool:
        try:
            revision(reader)
        except UnknownChannel as error:
            return "main:books" in str(error) or "unit:books" in str(error)
        return False

    assert until(ambiguous)
    with reader.begin(ME) as ctx:
        assert structure.get_channel(ctx, channel="main:books").id == first
        assert structure.get_channel(ctx, channel="north:books").id == second


def test_a_long_transaction_teaches_no_old_names(opened: Open) -> None:
    """What a transaction sees that began before a slug became ambiguous is not remembered for those after it."""
    writer, reader = opened(), opened(poll_seconds=NEVER)
    create(writer)
    create(writer, "other")
    following(reader, "other")
    with reader.begin(ME) as ctx:
        structure.list_units(ctx)  # the transaction begins, and on SQLite sees this state until it ends
        with writer.begin(ME) as more:
            structure.create_unit(more, slug="north", name="North")
        create(writer, unit="north")
        add(writer, "Sign", "other")
        assert until(lambda: revision(reader, "other") == 1)  # so it has heard of the new channel, too
        with suppress(UnknownChannel):  # PostgreSQL shows what is committed
            structure.tree(ctx, channel="books")
    with pytest.raises(UnknownChannel):
        revision(reader, "books")


def test_a_stream_gives_every_revision_once_and_in_order(opened: Open, database_url: str, workers: Workers) -> None:
    """Two processes follow a channel that two malls change at once: each gets every revision once, in order."""
    one, two = opened(), opened()
    create(one)
    many = 40
    for number in range(2):
        workers[number].tell("streaming", url=database_url, channel="books", after=0, last=many)
    tasks = [
        threading.Thread(target=lambda mall=mall: [add(mall, f"Category {id(mall)} {n}") for n in range(many // 2)])
        for mall in (one, two)
    ]
    for task in tasks:
        task.start()
    for task in tasks:
        task.join()
    assert [workers[number].hear() for number in range(2)] == [list(range(1, many + 1))] * 2


def test_a_stream_resumes_where_it_stopped(opened: Open) -> None:
    """A stream begun after a revision gives the next ones first; one begun without a number only what comes."""
    writer, reader = opened(), opened(poll_seconds=NEVER)
    create(writer)
    for number in range(3):
        add(writer, f"Category {number}")
    with reader.begin(ME) as ctx:
        resumed, fresh = structure.watch(ctx, channel="books", after=1), structure.watch(ctx, channel="books")
    assert [one.number for one in resumed.next()] == [2, 3]
    assert fresh.next() == []
    assert until(lambda: reader.follower.connected)
    called = threading.Event()
    fresh.subscribe(called.set)
    add(writer, "Category 3")
    assert called.wait(PATIENCE)
    fresh.unsubscribe(called.set)
    assert [one.number for one in fresh.next(PATIENCE)] == [4]
    assert [one.number for one in resumed.next(PATIENCE)] == [4]
