"""Units of work: all or nothing, hot reads without a session, repeated calls, threads, asyncio, fork, and the end."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncSession

from mallcore import Mall, Principal, access, audit, structure
from mallcore.aio import AsyncMall
from mallcore.errors import (
    Denied,
    DuplicateSlug,
    IdempotencyMismatch,
    InvalidInput,
    SpoiledWork,
    StaleRevision,
    UnknownNode,
)
from mallcore.kernel.context import Context

ME = Principal.system("test")
ADA = Principal.user("ada")


@pytest.fixture
def mall(database_url: str) -> Iterator[Mall]:
    """A mall with one channel, `books`, that has one category, `crime`."""
    with Mall.open(database_url, migrate="always") as opened:
        with opened.begin(ME) as ctx:
            structure.create_channel(ctx, slug="books", name="Books")
            structure.create_category(ctx, channel="books", name="Crime")
        yield opened


def slugs(mall: Mall) -> list[str]:
    """The categories at the top of the channel."""
    with mall.begin(ME) as ctx:
        return [node.slug for node in structure.tree(ctx, channel="books").nodes]


def head(mall: Mall) -> int:
    """The channel's head."""
    with mall.begin(ME) as ctx:
        return structure.get_channel(ctx, channel="books").revision


# --- all or nothing


def test_what_is_done_apart_stays_and_is_seen_by_what_comes_next(mall: Mall) -> None:
    """A unit of work apart is committed at the end of its block, whatever becomes of the one that asked for it."""
    with pytest.raises(KeyError), mall.begin(ME) as ctx:  # noqa: PT012
        assert [one.slug for one in structure.list_units(ctx).items] == ["main"]
        with ctx.apart() as own:
            structure.create_unit(own, slug="apart", name="Apart")
        assert [one.slug for one in structure.list_units(ctx).items] == ["apart", "main"]
        structure.create_unit(ctx, slug="undone", name="Undone")
        raise KeyError
    with mall.begin(ME) as ctx:
        assert [one.slug for one in structure.list_units(ctx).items] == ["apart", "main"]


def test_what_fails_apart_is_undone_apart(mall: Mall) -> None:
    """An error in the block undoes what was done in it, and nothing else."""
    with mall.begin(ME) as ctx:
        with pytest.raises(KeyError), ctx.apart() as own:  # noqa: PT012
            structure.create_unit(own, slug="undone", name="Undone")
            raise KeyError
        structure.create_unit(ctx, slug="kept", name="Kept")
    with mall.begin(ME) as ctx:
        assert [one.slug for one in structure.list_units(ctx).items] == ["kept", "main"]


def fail_half_way(ctx: Context) -> None:
    """A command that is refused after it has begun to write: its idempotency key was claimed already."""
    with pytest.raises(DuplicateSlug):
        structure.create_category(ctx, channel="books", name="Crime", idempotency_key="half")


def test_an_exception_rolls_everything_back(mall: Mall) -> None:
    """What was done before an exception in the block is undone."""
    with pytest.raises(ZeroDivisionError), mall.begin(ME) as ctx:
        print(structure.create_category(ctx, channel="books", name="Lost").revision / 0)
    assert slugs(mall) == ["crime"]


def test_a_caught_refusal_leaves_the_unit_usable(mall: Mall) -> None:
    """A refusal before anything was written is an answer, no accident."""
    with mall.begin(ME) as ctx:
        structure.create_category(ctx, channel="books", name="Poetry")
        with pytest.raises(DuplicateSlug):
            structure.create_category(ctx, channel="books", name="Crime")
        with pytest.raises(UnknownNode):
            structure.move(ctx, channel="books", node="nowhere")
        with pytest.raises(InvalidInput):
            structure.rename(ctx, channel="books", node="crime", name="")
        structure.create_category(ctx, channel="books", name="Drama")
    assert slugs(mall) == ["crime", "poetry", "drama"]


def test_a_half_done_write_spoils_the_unit(mall: Mall) -> None:
    """After a write that failed half-way nothing can be done any more, and nothing is committed."""

    def go_on() -> None:
        with mall.begin(ME) as ctx:
            structure.create_category(ctx, channel="books", name="Lost")
            fail_half_way(ctx)
            with pytest.raises(SpoiledWork):
                structure.create_category(ctx, channel="books", name="Late")
            with pytest.raises(SpoiledWork):
                structure.tree(ctx, channel="books")

    with pytest.raises(SpoiledWork):
        go_on()
    assert slugs(mall) == ["crime"]
    with mall.begin(ME) as ctx:
        structure.create_category(ctx, channel="books", name="Poetry", idempotency_key="half")
    assert slugs(mall) == ["crime", "poetry"]


def test_a_block_that_leaves_with_its_own_error_keeps_it(mall: Mall) -> None:
    """A spoiled unit that ends with an exception raises that one, not `SpoiledWork`."""

    def fail() -> None:
        with mall.begin(ME) as ctx:
            fail_half_way(ctx)
            raise LookupError

    with pytest.raises(LookupError):
        fail()
    assert slugs(mall) == ["crime"]


def test_several_changes_are_one_transaction_and_several_revisions(mall: Mall) -> None:
    """Changes of one block are committed together, and each of them is a revision that later ones build on."""
    with mall.begin(ME) as ctx:
        structure.create_category(ctx, channel="books", name="Poetry")
        structure.create_category(ctx, channel="books", name="Haiku", parent="poetry")
        with Mall.open(mall.engine, follow=False) as other, other.begin(ME) as outside:
            assert structure.get_channel(outside, channel="books").revision == 1
    assert head(mall) == 3


# --- reading


class Counting:
    """Counts the statements and the connections of this thread while it is used."""

    def __init__(self, mall: Mall) -> None:
        self._engine = mall.engine
        self._thread = threading.get_ident()
        self.statements = 0
        self.connections = 0

    def __enter__(self) -> Counting:
        event.listen(self._engine, "before_cursor_execute", self._executed)
        event.listen(self._engine, "checkout", self._checked_out)
        return self

    def __exit__(self, *_: object) -> None:
        event.remove(self._engine, "before_cursor_execute", self._executed)
        event.remove(self._engine, "checkout", self._checked_out)

    def _executed(self, *_: object) -> None:
        self.statements += threading.get_ident() == self._thread

    def _checked_out(self, *_: object) -> None:
        self.connections += threading.get_ident() == self._thread


READS: dict[str, Callable[[Context], object]] = {
    "tree": lambda ctx: structure.tree(ctx, channel="books").body,
    "part": lambda ctx: structure.tree(ctx, channel="books", node="crime", depth=1, locale="fr").body,
    "node": lambda ctx: structure.get_node(ctx, channel="books", node="crime").body,
    "rules": lambda ctx: structure.effective_rules(ctx, channel="books", node="crime"),
    "satisfied": lambda ctx: structure.tree(ctx, channel="books", min_revision=1).body,
}


@pytest.mark.parametrize("read", READS.values(), ids=READS)
@pytest.mark.parametrize("principal", [ME, ADA], ids=["system", "visitor"])
def test_a_hot_read_opens_no_session(mall: Mall, principal: Principal, read: Callable[[Context], object]) -> None:
    """Once the head is in memory, reading it takes no statement and no connection: not even for its access check."""
    with mall.begin(ME) as ctx:
        access.grant(ctx, principal=ADA.ref, role="visitor", scope="channel", channel="books")
    for _ in range(1000):  # the follower looks once when it starts, and may make us look again
        with Counting(mall) as counted, mall.begin(principal) as ctx:
            read(ctx)
        if counted.statements == 0:
            break
    assert (counted.statements, counted.connections) == (0, 0)


def test_an_empty_block_opens_nothing(mall: Mall) -> None:
    """A block in which nothing is asked costs the database nothing."""
    with Counting(mall) as counted, mall.begin(ME):
        pass
    assert (counted.statements, counted.connections) == (0, 0)


def test_a_refused_call_of_wrong_input_opens_nothing(mall: Mall) -> None:
    """Input is checked before anything is asked of the database."""
    with Counting(mall) as counted, mall.begin(ME) as ctx:
        with pytest.raises(InvalidInput):
            structure.create_category(ctx, channel="books", name=7)  # type: ignore[arg-type]
        with pytest.raises(InvalidInput):
            structure.create_category(ctx, channel="books", name="Drama", colour="red")
    assert (counted.statements, counted.connections) == (0, 0)


# --- calls that are repeated


def add(mall: Mall, name: str, key: str, principal: Principal = ME) -> tuple[structure.Changed, bool]:
    """Create a category with a key; the answer, and whether it was answered before."""
    with mall.begin(principal) as ctx:
        done = structure.create_category(ctx, channel="books", name=name, idempotency_key=key)
        return done, ctx.replayed


def test_a_repeated_call_is_answered_and_done_once(mall: Mall) -> None:
    """The same call with its key gives the first answer again, also after the world has moved on."""
    first, replayed = add(mall, "Poetry", "k1")
    assert not replayed
    with mall.begin(ME) as ctx:
        structure.remove(ctx, channel="books", node="poetry")
    again, replayed = add(mall, "Poetry", "k1")
    assert (again, replayed) == (first, True)
    assert slugs(mall) == ["crime"]


def test_a_key_used_for_another_call_is_refused(mall: Mall) -> None:
    """A key stands for one request: other arguments or another operation are a mistake, not a repetition."""
    add(mall, "Poetry", "k1")
    with pytest.raises(IdempotencyMismatch) as refused:
        add(mall, "Drama", "k1")
    assert refused.value.key == "k1"
    with pytest.raises(IdempotencyMismatch), mall.begin(ME) as ctx:
        structure.remove(ctx, channel="books", node="poetry", idempotency_key="k1")
    assert slugs(mall) == ["crime", "poetry"]


def test_keys_of_different_principals_are_different_keys(mall: Mall) -> None:
    """Nobody gets the answer that somebody else's key was given."""
    add(mall, "Poetry", "k1")
    with mall.begin(ME) as ctx:
        access.grant(ctx, principal=ADA.ref, role="editor")
    assert add(mall, "Drama", "k1", ADA)[1] is False


def test_a_replay_needs_the_permission_still(mall: Mall) -> None:
    """A key gives no access: who lost the permission is refused, though the answer is there."""
    with mall.begin(ME) as ctx:
        grant = access.grant(ctx, principal=ADA.ref, role="editor").id
    add(mall, "Poetry", "k1", ADA)
    with mall.begin(ME) as ctx:
        access.revoke(ctx, grant=grant)
    with pytest.raises(Denied):
        add(mall, "Poetry", "k1", ADA)


def test_a_key_of_a_rolled_back_block_can_be_used_again(mall: Mall) -> None:
    """What was rolled back was never done, so its key is free, even for another call."""
    with pytest.raises(ZeroDivisionError), mall.begin(ME) as ctx:
        print(structure.create_category(ctx, channel="books", name="Lost", idempotency_key="k1").revision / 0)
    assert add(mall, "Poetry", "k1")[1] is False
    assert slugs(mall) == ["crime", "poetry"]


def test_every_kind_of_answer_can_be_replayed(mall: Mall) -> None:
    """The stored answer comes back as the very shape it was, whatever the operation gives."""
    for _ in range(2):
        with mall.begin(ME) as ctx:
            answers = [
                structure.create_unit(ctx, slug="north", name="North", idempotency_key="unit"),
                structure.create_channel(ctx, slug="toys", name="Toys", unit="north", idempotency_key="channel"),
                structure.import_taxonomy(ctx, channel="toys", data=b"1 - Bears\n", idempotency_key="import"),
                structure.open_draft(ctx, channel="toys", name="Spring", idempotency_key="draft"),
                structure.create_snapshot(ctx, name="spring", idempotency_key="snapshot"),
                access.grant(ctx, principal=ADA.ref, role="editor", idempotency_key="grant"),
                access.set_role(ctx, role="clerk", permissions=["structure.read"], idempotency_key="role"),
            ]
            if not ctx.replayed:
                first = answers
    assert ctx.replayed
    assert answers == first


def in_threads(*calls: Callable[[], Any]) -> list[Any]:
    """What the calls give, or raise, when they are made at the same time."""
    results: list[Any] = [None] * len(calls)
    start = threading.Barrier(len(calls))

    def run(place: int, call: Callable[[], Any]) -> None:
        start.wait()
        try:
            results[place] = call()
        except Exception as error:
            results[place] = error

    threads = [threading.Thread(target=run, args=(place, call)) for place, call in enumerate(calls)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def test_two_threads_with_one_key_do_it_once(mall: Mall) -> None:
    """Whoever comes second waits, and is given the first one's answer."""
    results = in_threads(*[lambda: add(mall, "Poetry", "k1")] * 4)
    assert [one for one in results if isinstance(one, Exception)] == []
    assert {done.id for done, _ in results} == {results[0][0].id}
    assert sorted(replayed for _, replayed in results) == [False, True, True, True]
    assert slugs(mall) == ["crime", "poetry"]


def test_of_two_who_expect_one_head_one_is_told(mall: Mall) -> None:
    """Of those who change the same revision at once exactly one succeeds; the others learn of the new head."""

    def change(name: str) -> Any:
        with mall.begin(ME) as ctx:
            return structure.rename(ctx, channel="books", node="crime", name=name, expected_revision=1)

    results = in_threads(*[lambda name=name: change(name) for name in ("A", "B", "C", "D")])  # type: ignore[misc]
    stale = [one for one in results if isinstance(one, StaleRevision)]
    assert len(stale) == 3
    assert {(one.expected, one.actual) for one in stale} == {(1, 2)}
    assert head(mall) == 2


def test_changes_without_expectation_are_all_kept(mall: Mall) -> None:
    """Eight threads add eight categories to one channel: none is lost, and the history verifies."""
    names = [f"Shelf {number}" for number in range(8)]
    results = in_threads(*[lambda n=n: add(mall, n, n) for n in names])  # type: ignore[misc]
    assert [one for one in results if isinstance(one, Exception)] == []
    assert sorted(slugs(mall)) == sorted(["crime", *(f"shelf-{number}" for number in range(8))])
    with mall.begin(ME) as ctx:
        assert structure.verify(ctx, channel="books").revisions == 9


COMMANDS: dict[str, Callable[[Context, int], object]] = {
    "create": lambda ctx, n: structure.create_category(ctx, channel="books", name="New", expected_revision=n),
    "update": lambda ctx, n: structure.rename(ctx, channel="books", node="crime", name="New", expected_revision=n),
    "move": lambda ctx, n: structure.move(ctx, channel="books", node="crime", index=0, expected_revision=n),
    "reorder": lambda ctx, n: structure.reorder(ctx, channel="books", children=[], expected_revision=n),
    "rules": lambda ctx, n: structure.set_rules(ctx, channel="books", rules=[], expected_revision=n),
    "remove": lambda ctx, n: structure.remove(ctx, channel="books", node="crime", expected_revision=n),
    "edit": lambda ctx, n: structure.edit(
        ctx,
        channel="books",
        edits=[{"op": "create", "name": "New"}],  # type: ignore[list-item]
        expected_revision=n,
    ),
    "import": lambda ctx, n: structure.import_taxonomy(ctx, channel="books", data=b"1 - Bears\n", expected_revision=n),
    "rollback": lambda ctx, n: structure.rollback(ctx, channel="books", to=0, expected_revision=n),
    "undo": lambda ctx, n: structure.undo(ctx, channel="books", number=1, expected_revision=n),
    "channel": lambda ctx, n: structure.update_channel(ctx, channel="books", name="New", expected_revision=n),
    "gone": lambda ctx, n: structure.remove_channel(ctx, channel="books", expected_revision=n),
    "unit": lambda ctx, n: structure.update_unit(ctx, unit="main", name="New", expected_revision=n),
    "role": lambda ctx, n: access.set_role(ctx, role="clerk", permissions=["structure.read"], expected_revision=n),
}


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_a_stale_expectation_is_refused(mall: Mall, command: Callable[[Context, int], object]) -> None:
    """Every change that takes an expected revision refuses one that is not the state, and changes nothing."""
    with mall.begin(ME) as ctx:
        before = len(audit.list_records(ctx).items)
        for wrong in (7, 2):
            with pytest.raises(StaleRevision) as refused:
                command(ctx, wrong)
            assert refused.value.expected == wrong
    with mall.begin(ME) as ctx:
        assert len(audit.list_records(ctx).items) == before
        command(ctx, refused.value.actual)


# --- asyncio


async def shown(amall: AsyncMall) -> list[str]:
    """The categories as asyncio sees them."""
    async with amall.begin(ME) as ctx:
        return [node.slug for node in (await ctx.run(structure.tree, channel="books")).nodes]


async def fail(amall: AsyncMall) -> None:
    """A block that raises after it has written."""
    async with amall.begin(ME) as ctx:
        await ctx.run(structure.create_category, channel="books", name="Lost")
        raise ZeroDivisionError


def test_asyncio_keeps_what_ends_well_and_nothing_else(mall: Mall, database_url: str) -> None:
    """`AsyncMall` commits a block that ends and rolls back one that raises; operations are the same functions."""

    async def story() -> None:
        async with AsyncMall.open(database_url) as amall:
            async with amall.begin(ME) as ctx:
                added = await ctx.run(structure.create_category, channel="books", name="Poetry")
                assert added.revision == 2
            with pytest.raises(ZeroDivisionError):
                await fail(amall)
            async with amall.begin(ME) as ctx:
                with pytest.raises(DuplicateSlug):
                    await ctx.run(structure.create_category, channel="books", name="Crime")
                await ctx.run(structure.create_category, channel="books", name="Drama")
            assert await shown(amall) == ["crime", "poetry", "drama"]

    asyncio.run(story())
    assert slugs(mall) == ["crime", "poetry", "drama"]


@pytest.mark.parametrize("ending", ["commit", "rollback", "close"])
def test_asyncio_joins_a_hosts_session(mall: Mall, database_url: str, ending: str) -> None:
    """In a host's ``AsyncSession`` the host decides, and a refusal is on record either way."""

    async def story() -> None:
        async with AsyncMall.open(database_url) as amall:
            async with AsyncSession(amall.engine) as session:
                async with amall.begin(ME, session=session) as ctx:
                    await ctx.run(structure.create_category, channel="books", name="Poetry")
                async with amall.begin(ADA, session=session) as ctx:
                    with pytest.raises(Denied):
                        await ctx.run(structure.tree, channel="books")
                await getattr(session, ending)()
            assert await shown(amall) == (["crime", "poetry"] if ending == "commit" else ["crime"])

    asyncio.run(story())
    with mall.begin(ME) as ctx:
        assert [one.principal for one in audit.list_records(ctx, outcome="denied").items] == [ADA.ref]


def test_asyncio_tasks_write_side_by_side(mall: Mall, database_url: str) -> None:
    """Tasks that write at once wait for each other in the database, and nothing is lost."""

    async def story() -> None:
        async with AsyncMall.open(database_url) as amall:

            async def write(name: str) -> None:
                async with amall.begin(ME) as ctx:
                    await ctx.run(structure.create_category, channel="books", name=name)

            await asyncio.gather(*(write(f"Shelf {number}") for number in range(4)))
            assert len(await shown(amall)) == 5

    asyncio.run(story())


def test_asyncio_lends_a_mall_and_leaves_it_open(mall: Mall) -> None:
    """An `AsyncMall` on an open mall shares its memory and does not close it."""

    async def story() -> None:
        async with AsyncMall(mall) as amall, amall.begin(ME) as ctx:
            await ctx.run(structure.create_category, channel="books", name="Poetry")

    asyncio.run(story())
    assert slugs(mall) == ["crime", "poetry"]


# --- the end, and another beginning


def test_closing_ends_what_runs_in_the_background(database_url: str) -> None:
    """`close` stops the follower and the scheduler, gives connections back, and may be called again."""
    running = set(threading.enumerate())
    mall = Mall.open(database_url, migrate="always")
    with mall.begin(ME) as ctx:
        structure.create_channel(ctx, slug="books", name="Books")
    assert slugs(mall) == []
    mall.start_scheduler(3600)
    assert {one.name for one in set(threading.enumerate()) - running} == {"mallcore-follower", "mallcore-scheduler"}
    mall.close()
    mall.close()
    assert set(threading.enumerate()) - running == set()
    assert mall.engine.pool.checkedout() == 0  # type: ignore[attr-defined]


def test_a_scratch_mall_is_gone_when_it_is_closed() -> None:
    """``sqlite://`` is a file nobody finds afterwards."""
    with Mall.open("sqlite://") as mall:
        path = Path(str(mall.engine.url.database))
        assert path.is_file()
    assert not path.parent.exists()


def connection_of(mall: Mall) -> int:
    """What tells one connection from another, in one process and across a fork."""
    with mall.engine.connect() as connection:
        if mall.engine.dialect.name == "sqlite":
            return id(connection.connection.driver_connection)
        return int(connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="fork: this system has none")
def test_a_forked_child_reads_and_writes(mall: Mall) -> None:
    """A process that forks with a mall in memory has two: each has connections of its own and follows the other."""
    assert slugs(mall) == ["crime"]
    parents = connection_of(mall)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # newer Pythons warn of threads; ours are meant
        child = os.fork()
    if child == 0:
        status = 1
        signal.alarm(60)  # a child that waits for a lock of its parent's fails, and does not hang
        try:
            assert slugs(mall) == ["crime"]
            with mall.begin(ME) as ctx:
                structure.create_category(ctx, channel="books", name="Poetry")
            if slugs(mall) == ["crime", "poetry"] and connection_of(mall) != parents:
                status = 0
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    with mall.begin(ME) as ctx:
        structure.create_category(ctx, channel="books", name="Drama")
    assert slugs(mall) == ["crime", "poetry", "drama"]
    with mall.begin(ME) as ctx:
        assert structure.verify(ctx, channel="books").revisions == 3
