"""Joining a host's session: rows, trees in memory and events follow the host's outermost commit, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, event, text
from sqlalchemy.orm import Session

from mallcore import Mall, Principal, audit, hookimpl, structure
from mallcore.errors import Denied, DuplicateSlug, UnknownChannel
from mallcore.kernel.work import MemoryOnly

ME = Principal.system("host")
NOBODY = Principal.user("nobody")


class Ears:
    """A plug-in that remembers what was announced."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    @hookimpl
    def event_committed(self, event: Any) -> None:
        self.heard.append(event.name if event.name != "structure.revised" else f"revised to {event.revision}")


@dataclass
class House:
    """A host with an engine of its own, a mall on it, and a second mall that only ever sees what is committed."""

    engine: Engine
    mall: Mall
    other: Mall
    ears: Ears

    def seen(self) -> tuple[list[str], list[str], list[str]]:
        """The categories in the mall's memory, those another mall sees, and what was announced."""
        with self.other.begin(ME) as ctx:
            elsewhere = _slugs(ctx)
        return self._remembered(), elsewhere, self.ears.heard

    def _remembered(self) -> list[str]:
        while True:
            try:
                with self.mall.memory(ME) as ctx:
                    return _slugs(ctx)
            except MemoryOnly:  # the follower has just forgotten names; this looks them up, and reads no tree
                with self.mall.begin(ME) as ctx:
                    structure.get_channel(ctx, channel="books")

    def notes(self) -> list[str]:
        """The rows of the host's own table."""
        with self.engine.connect() as connection:
            return list(connection.execute(text("SELECT text FROM note ORDER BY text")).scalars())

    def refusals(self) -> list[str]:
        """The principals whose refusals are on record."""
        with self.other.begin(ME) as ctx:
            return [one.principal for one in audit.list_records(ctx, outcome="denied").items]


def _slugs(ctx: Any) -> list[str]:
    shown = structure.tree(ctx, channel="books").tree
    return [node.slug for node in shown.children_of(shown.channel_id)]


NOTHING: tuple[list[str], list[str], list[str]] = ([], [], [])


def after(*slugs: str) -> tuple[list[str], list[str], list[str]]:
    """What is seen once a revision for each slug is committed."""
    return list(slugs), list(slugs), [f"revised to {number}" for number in range(1, len(slugs) + 1)]


@pytest.fixture
def house(database_url: str) -> Iterator[House]:
    """A host's engine, set up as SQLAlchemy's manual advises, with an empty channel and a table of the host's."""
    engine = create_engine(database_url)
    if engine.dialect.name == "sqlite":
        _set_up(engine)
    ears = Ears()
    with Mall.open(engine, migrate="always", plugins=[ears]) as mall, Mall.open(engine, follow=False) as other:
        with mall.begin(ME) as ctx:
            structure.create_channel(ctx, slug="books", name="Books")
        with engine.begin() as connection:
            connection.execute(text("CREATE TABLE note (text VARCHAR(50))"))
        with mall.begin(ME) as ctx:
            structure.tree(ctx, channel="books")  # from here on it is in memory
        ears.heard.clear()
        yield House(engine, mall, other, ears)
    engine.dispose()


def _set_up(engine: Engine) -> None:
    @event.listens_for(engine, "connect")
    def connected(connection: Any, _: Any) -> None:
        connection.isolation_level = None
        connection.execute("PRAGMA journal_mode=WAL").close()

    @event.listens_for(engine, "begin")
    def begun(connection: Any) -> None:
        connection.exec_driver_sql("BEGIN")


def note(session: Session, words: str) -> None:
    """Something the host writes itself."""
    session.execute(text("INSERT INTO note VALUES (:words)"), {"words": words})


def add(house: House, session: Session, name: str) -> None:
    """A block of ours in the host's transaction."""
    with house.mall.begin(ME, session=session) as ctx:
        structure.create_category(ctx, channel="books", name=name)


def test_everything_comes_with_the_hosts_commit(house: House) -> None:
    """Nothing is seen by anybody before the host commits, everything at once after."""
    with Session(house.engine) as session:
        note(session, "first")
        add(house, session, "Crime")
        assert house.seen() == NOTHING
        session.commit()
        assert house.seen() == after("crime")
    assert house.notes() == ["first"]


def test_nothing_is_left_of_what_the_host_rolls_back(house: House) -> None:
    """A rollback of the host's undoes our block, though it had ended well."""
    with Session(house.engine) as session:
        note(session, "first")
        add(house, session, "Crime")
        session.rollback()
        assert house.seen() == NOTHING
    assert house.notes() == []


def test_a_session_closed_without_commit_is_a_rollback(house: House) -> None:
    """`Session.close` alone keeps nothing and announces nothing."""
    session = Session(house.engine)
    add(house, session, "Crime")
    session.close()
    assert house.seen() == NOTHING


def test_a_session_goes_on_after_its_commit(house: House) -> None:
    """One session has many transactions, and each decides for itself."""
    with Session(house.engine) as session:
        add(house, session, "Crime")
        session.commit()
        add(house, session, "Lost")
        session.rollback()
        add(house, session, "Poetry")
        session.commit()
    assert house.seen() == after("crime", "poetry")


def test_a_savepoint_of_the_hosts_around_us_is_rolled_back(house: House) -> None:
    """What we did in a host's SAVEPOINT goes with it, whatever the host commits afterwards."""
    with Session(house.engine) as session:
        note(session, "kept")
        savepoint = session.begin_nested()
        add(house, session, "Crime")
        savepoint.rollback()
        session.commit()
    assert house.seen() == NOTHING
    assert house.notes() == ["kept"]


def test_a_released_savepoint_waits_for_the_outermost_commit(house: House) -> None:
    """The commit of a SAVEPOINT is none: only the outermost one counts."""
    with Session(house.engine) as session:
        with session.begin_nested():
            add(house, session, "Crime")
        assert house.seen() == NOTHING
        session.commit()
    assert house.seen() == after("crime")


def test_a_released_savepoint_is_lost_with_the_outermost_rollback(house: House) -> None:
    """A SAVEPOINT that was released is undone by the transaction around it."""
    with Session(house.engine) as session:
        with session.begin_nested(), session.begin_nested():
            add(house, session, "Crime")
        session.rollback()
    assert house.seen() == NOTHING


def test_the_host_goes_on_when_our_block_raises(house: House) -> None:
    """An error in our block undoes the block, and the host's transaction can be committed."""
    with Session(house.engine) as session:
        note(session, "before")
        with pytest.raises(ZeroDivisionError), house.mall.begin(ME, session=session) as ctx:
            print(structure.create_category(ctx, channel="books", name="Crime").revision / 0)
        note(session, "after")
        session.commit()
    assert house.seen() == NOTHING
    assert house.notes() == ["after", "before"]


def test_a_refusal_in_our_block_leaves_earlier_blocks_alone(house: House) -> None:
    """A block that is refused takes nothing with it of the block before."""
    with Session(house.engine) as session:
        add(house, session, "Crime")
        with pytest.raises(DuplicateSlug):
            add(house, session, "Crime")
        add(house, session, "Poetry")
        session.commit()
    assert house.seen() == after("crime", "poetry")


def test_a_later_block_sees_what_an_earlier_one_did(house: House) -> None:
    """Two blocks in one host transaction: the second reads the first's uncommitted tree, and nobody else does."""
    with Session(house.engine) as session:
        add(house, session, "Crime")
        with house.mall.begin(ME, session=session) as ctx:
            assert _slugs(ctx) == ["crime"]
            structure.create_category(ctx, channel="books", name="Noir", parent="crime")
            assert structure.tree(ctx, channel="books").find("crime/noir").name == "Noir"
        assert house.seen() == NOTHING
        session.commit()
    assert house.seen() == (["crime"], ["crime"], ["revised to 1", "revised to 2"])


def test_a_rolled_back_savepoint_is_forgotten_by_later_blocks(house: House) -> None:
    """After a SAVEPOINT's rollback the next block sees the tree as it was before, and edits that."""
    with Session(house.engine) as session:
        add(house, session, "Crime")
        savepoint = session.begin_nested()
        add(house, session, "Lost")
        savepoint.rollback()
        with house.mall.begin(ME, session=session) as ctx:
            assert _slugs(ctx) == ["crime"]
        add(house, session, "Poetry")
        session.commit()
    assert house.seen() == after("crime", "poetry")
    with house.other.begin(ME) as ctx:
        assert structure.verify(ctx, channel="books").revisions == 2


def test_a_channel_of_a_rolled_back_transaction_is_unknown(house: House) -> None:
    """A channel created in a host's transaction is there for its later blocks, and nowhere after a rollback."""
    with Session(house.engine) as session:
        with house.mall.begin(ME, session=session) as ctx:
            structure.create_channel(ctx, slug="toys", name="Toys")
        with house.mall.begin(ME, session=session) as ctx:
            structure.create_category(ctx, channel="toys", name="Bears")
        session.rollback()
    for mall in (house.mall, house.other):
        with mall.begin(ME) as ctx, pytest.raises(UnknownChannel):
            structure.tree(ctx, channel="toys")
    assert house.ears.heard == []


def test_an_outer_transaction_of_a_connection_commits(house: House) -> None:
    """A session bound to a connection commits its part; it counts when the connection's transaction is committed."""
    with house.engine.connect() as connection, connection.begin():
        with Session(connection, join_transaction_mode="create_savepoint") as session:
            add(house, session, "Crime")
            session.commit()
        assert house.seen() == NOTHING
    assert house.seen() == after("crime")


def test_an_outer_transaction_of_a_connection_rolls_back(house: House) -> None:
    """As test suites do it: all that sessions committed is undone with the connection's transaction."""
    with house.engine.connect() as connection:
        outer = connection.begin()
        with Session(connection, join_transaction_mode="create_savepoint") as session:
            add(house, session, "Crime")
            session.commit()
            with house.mall.begin(ME, session=session) as ctx:
                assert _slugs(ctx) == ["crime"]
            session.commit()
        outer.rollback()
    assert house.seen() == NOTHING


def test_a_session_rolled_back_inside_an_outer_commit_keeps_nothing(house: House) -> None:
    """The session's own rollback decides, whatever the connection commits."""
    with house.engine.begin() as connection, Session(connection, join_transaction_mode="create_savepoint") as session:
        add(house, session, "Crime")
        session.rollback()
        add(house, session, "Poetry")
        session.commit()
    assert house.seen() == after("poetry")


def test_a_savepoint_of_an_outer_connection_is_rolled_back(house: House) -> None:
    """A SAVEPOINT set on the connection decides for the sessions inside it, and only for those."""
    with house.engine.begin() as connection:
        with Session(connection, join_transaction_mode="create_savepoint") as session:
            add(house, session, "Crime")
            session.commit()
        savepoint = connection.begin_nested()
        with Session(connection, join_transaction_mode="create_savepoint") as session:
            add(house, session, "Lost")
            session.commit()
        savepoint.rollback()
    assert house.seen() == after("crime")


def test_a_connection_goes_on_after_its_transaction(house: House) -> None:
    """One connection has many transactions; each is announced when the next begins, at the latest."""
    with house.engine.connect() as connection:
        for name, keep in (("Crime", True), ("Lost", False), ("Poetry", True)):
            outer = connection.begin()
            with Session(connection, join_transaction_mode="create_savepoint") as session:
                add(house, session, name)
                session.commit()
            if keep:
                outer.commit()
            else:
                outer.rollback()
    assert house.seen() == after("crime", "poetry")


def test_an_engine_of_the_hosts_is_never_closed(house: House) -> None:
    """Closing the mall leaves the host's engine and its sessions as they are."""
    with Session(house.engine) as session:
        note(session, "before")
        house.mall.close()
        note(session, "after")
        session.commit()
    assert house.notes() == ["after", "before"]


@pytest.mark.parametrize("ending", ["commit", "rollback", "close"])
def test_refusals_are_on_record_when_the_host_has_ended(house: House, ending: str) -> None:
    """A refusal in a joined session is recorded after the host's transaction, however that ends."""
    with Session(house.engine) as session:
        note(session, "something to lock the database with")
        with house.mall.begin(NOBODY, session=session) as ctx, pytest.raises(Denied):
            structure.create_category(ctx, channel="books", name="Crime")
        assert house.refusals() == []
        getattr(session, ending)()
    assert house.refusals() == ["user:nobody"]
    assert house.seen()[:2] == ([], [])


def test_refusals_in_a_rolled_back_savepoint_are_on_record(house: House) -> None:
    """A refusal inside a host's SAVEPOINT waits for the host's own end: until then the database is locked."""
    with Session(house.engine) as session:
        note(session, "kept")
        savepoint = session.begin_nested()
        with house.mall.begin(NOBODY, session=session) as ctx, pytest.raises(Denied):
            structure.create_category(ctx, channel="books", name="Crime")
        savepoint.rollback()
        session.commit()
    assert house.refusals() == ["user:nobody"]
    assert house.notes() == ["kept"]


def test_refusals_of_an_outer_connection_are_on_record_when_it_has_ended(house: House) -> None:
    """Also behind a connection's transaction that is rolled back, the refusal stays."""
    with house.engine.connect() as connection:
        outer = connection.begin()
        with Session(connection, join_transaction_mode="create_savepoint") as session:
            note(session, "something to lock the database with")
            with house.mall.begin(NOBODY, session=session) as ctx, pytest.raises(Denied):
                structure.create_category(ctx, channel="books", name="Crime")
            session.commit()
        outer.rollback()
    assert house.refusals() == ["user:nobody"]


@pytest.mark.parametrize("ending", ["commit", "rollback", "close"])
def test_a_plain_engine_needs_no_setting_up(database_url: str, ending: str) -> None:
    """On SQLite the driver begins late, and a SAVEPOINT alone would commit: a host's rollback counts all the same."""
    engine = create_engine(database_url)
    with Mall.open(engine, migrate="always") as mall:
        with mall.begin(ME) as ctx:
            structure.create_channel(ctx, slug="books", name="Books")
        with Session(engine) as session:
            with mall.begin(ME, session=session) as ctx:
                structure.create_category(ctx, channel="books", name="Crime")
            getattr(session, ending)()
    with Mall.open(engine, follow=False) as other, other.begin(ME) as ctx:
        assert len(structure.tree(ctx, channel="books")) == (1 if ending == "commit" else 0)
    engine.dispose()
