"""More that hosts do around our blocks: removals and grants undone, spoiled work, registries, all ways of joining."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.engine import make_url
from sqlalchemy.orm import Session, scoped_session, sessionmaker

from mallcore import Context, Mall, Principal, access, audit, hookimpl, structure
from mallcore.errors import Denied, DuplicateSlug, SpoiledWork

SYSTEM = Principal.system("test")


class Ears:
    """A plug-in that remembers what was announced."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    @hookimpl
    def event_committed(self, event: Any) -> None:
        self.heard.append(f"{event.name}:{event.revision}" if event.revision is not None else event.name)

    def take(self) -> list[str]:
        taken, self.heard = self.heard, []
        return taken


class House:
    """A host: its own engine, a mall on it, and what one can see from outside."""

    def __init__(self, engine: Engine) -> None:
        self.ears = Ears()
        self.engine = engine
        self.mall = Mall.open(engine, migrate="always", plugins=[self.ears], busy_seconds=0.5)
        with self.mall.begin(SYSTEM) as ctx:
            structure.create_channel(ctx, slug="books", name="Books")
        with engine.begin() as connection:
            connection.execute(text("CREATE TABLE host_row (n INTEGER)"))
        self.ears.take()
        assert self.slugs() == []

    def slugs(self) -> list[str]:
        """What the mall shows."""
        with self.mall.begin(SYSTEM) as ctx:
            return [node.slug for node in structure.tree(ctx, channel="books").nodes]

    def state(self) -> tuple[list[str], list[str], int]:
        """What the mall shows, what the database holds, and how many rows the host has."""
        with self.engine.connect() as connection:
            rows = connection.execute(text("SELECT slug FROM mall_node WHERE kind <> 'channel' ORDER BY slug"))
            stored = [row.slug for row in rows]
            count = connection.execute(text("SELECT count(*) FROM host_row")).scalar_one()
        with self.mall.begin(SYSTEM) as ctx:
            structure.verify(ctx, channel="books")
        return sorted(self.slugs()), stored, count

    def add(self, session: Session, name: str) -> None:
        with self.mall.begin(SYSTEM, session=session) as ctx:
            structure.create_category(ctx, channel="books", name=name)


def row(session: Session) -> None:
    session.execute(text("INSERT INTO host_row VALUES (1)"))


def opened(url: str) -> Engine:
    parsed = make_url(url)
    if parsed.drivername == "postgresql":
        parsed = parsed.set(drivername="postgresql+psycopg")
    return create_engine(parsed)


@pytest.fixture
def house(database_url: str) -> Iterator[House]:
    engine = opened(database_url)
    house = House(engine)
    yield house
    house.mall.close()
    engine.dispose()


NOTHING: tuple[list[str], list[str], int] = ([], [], 0)


def test_a_removal_rolled_back_is_forgotten(house: House) -> None:
    """A channel removed and looked at inside a transaction that is rolled back is as it was, in memory too."""
    with Session(house.engine) as session:
        with house.mall.begin(SYSTEM, session=session) as ctx:
            assert structure.remove_channel(ctx, channel="books").removed_at is not None
            assert [one.slug for one in structure.list_channels(ctx, removed=True).items] == ["books"]
            structure.get_channel(ctx, channel="main:books")
        session.rollback()
    with house.mall.begin(SYSTEM) as ctx:
        structure.create_category(ctx, channel="main:books", name="Crime")
    assert house.state()[0] == ["crime"]


def failing_half_way(ctx: Context) -> None:
    """An operation that fails after it had begun to write: its idempotency key was claimed."""
    structure.create_category(ctx, channel="books", name="Crime", idempotency_key="k")


def test_a_write_that_failed_half_way_spoils_the_block_only(house: House) -> None:
    """Whoever catches the failure of a half-done write can't commit it; the host's own rows are kept."""
    with house.mall.begin(SYSTEM) as ctx:
        structure.create_category(ctx, channel="books", name="Crime")
    house.ears.take()
    with Session(house.engine) as session:
        row(session)
        with pytest.raises(SpoiledWork), house.mall.begin(SYSTEM, session=session) as ctx:  # noqa: PT012
            structure.create_category(ctx, channel="books", name="Drama")
            with pytest.raises(DuplicateSlug):
                failing_half_way(ctx)
            with pytest.raises(SpoiledWork):
                structure.create_category(ctx, channel="books", name="Poetry")
        session.commit()
    assert house.state() == (["crime"], ["crime"], 1)
    assert house.ears.take() == []


@contextmanager
def bound(house: House, mode: str) -> Iterator[tuple[Any, Any, Session]]:
    """A connection with an outer transaction, as test suites have it, and a session bound to it."""
    with house.engine.connect() as connection:
        if house.engine.dialect.name == "sqlite":
            connection.exec_driver_sql("BEGIN")
        outer = connection.begin() if not connection.in_transaction() else connection.get_transaction()
        with Session(connection, join_transaction_mode=mode) as session:  # type: ignore[arg-type]
            yield connection, outer, session


MODES = pytest.mark.parametrize("mode", ["create_savepoint", "rollback_only", "conditional_savepoint"])


@MODES
def test_a_session_on_a_connection_waits_for_the_connections_commit(house: House, mode: str) -> None:
    """The session's own commit tells nothing and shows nobody anything; the outer transaction's does."""
    with bound(house, mode) as (_, outer, session):
        row(session)
        house.add(session, "Crime")
        session.commit()
        assert house.ears.take() == []
        outer.commit()
    assert house.ears.take() == ["structure.revised:1"]
    assert house.state() == (["crime"], ["crime"], 1)


@MODES
def test_a_session_on_a_connection_is_undone_with_the_connection(house: House, mode: str) -> None:
    """The outer transaction rolls back what the session committed: rows, memory, announcements."""
    with bound(house, mode) as (_, outer, session):
        house.add(session, "Crime")
        session.commit()
        outer.rollback()
    assert house.ears.take() == []
    assert house.state() == NOTHING


def test_a_scoped_session_is_as_good_as_its_session(house: House) -> None:
    """A registry of sessions, as Flask hosts have it, joins with the session it stands for."""
    registry = scoped_session(sessionmaker(house.engine))
    house.add(registry, "Crime")  # type: ignore[arg-type]
    assert house.ears.take() == []
    registry.commit()
    assert house.ears.take() == ["structure.revised:1"]
    house.add(registry, "Drama")  # type: ignore[arg-type]
    registry.remove()
    with Session(house.engine) as other:
        row(other)
        other.commit()
    assert house.state() == (["crime"], ["crime"], 1)
    assert house.ears.take() == []


def denials(house: House) -> list[str]:
    with house.mall.begin(SYSTEM) as ctx:
        return [record.principal for record in audit.list_records(ctx, outcome="denied").items]


def test_a_refusal_in_a_rolled_back_savepoint_is_on_record(house: House) -> None:
    """The host wrote, took a SAVEPOINT, was refused in it and rolled it back: recorded when the host is done."""
    with Session(house.engine) as session:
        row(session)
        eve = house.mall.begin(Principal.user("eve"), session=session)
        with pytest.raises(Denied), session.begin_nested(), eve as ctx:
            structure.create_category(ctx, channel="books", name="Crime")
        session.commit()
    assert denials(house) == ["user:eve"]


def test_grants_in_a_rolled_back_transaction_were_never_given(house: House) -> None:
    """A grant given in a host's transaction counts from its commit; one that was rolled back counts never."""
    ada = Principal.user("ada")
    for finish, allowed in (("rollback", False), ("commit", True)):
        with Session(house.engine) as session:
            with house.mall.begin(SYSTEM, session=session) as ctx:
                access.grant(ctx, principal="user:ada", role="owner")
            getattr(session, finish)()
        with house.mall.begin(ada) as ctx:
            assert bool(access.my_permissions(ctx).permissions) is allowed
