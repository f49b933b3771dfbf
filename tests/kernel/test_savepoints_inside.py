"""SAVEPOINTs inside a unit of work: what they undo in the database is undone in memory, and never announced."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest
from sqlalchemy.orm import Session

from mallcore import Context, Mall, Principal, structure
from mallcore.errors import Conflict, DuplicateSlug

ME = Principal.system("test")


class _Undone(Exception):
    pass


@pytest.fixture
def mall(database_url: str) -> Iterator[Mall]:
    """A mall with one channel and one category."""
    with Mall.open(database_url, migrate="always") as opened:
        with opened.begin(ME) as ctx:
            structure.create_channel(ctx, slug="books", name="Books")
            structure.create_category(ctx, channel="books", name="Crime")
        yield opened


@contextmanager
def undone(ctx: Context) -> Iterator[None]:
    """What is done in the block is undone by the SAVEPOINT around it."""
    with suppress(_Undone), ctx.session.begin_nested():
        yield
        raise _Undone()


@contextmanager
def begun(mall: Mall, joined: bool) -> Iterator[Context]:
    """A unit of work, of the mall's own or in a host's session."""
    if not joined:
        with mall.begin(ME) as ctx:
            yield ctx
        return
    with Session(mall.engine) as host, host.begin(), mall.begin(ME, session=host) as ctx:
        yield ctx


def shown(mall: Mall) -> list[str]:
    """What readers see, once the history has proved to hold."""
    with mall.begin(ME) as ctx:
        structure.verify(ctx, channel="books")
        return [node.name for node in structure.tree(ctx, channel="books").nodes]


@pytest.mark.parametrize("joined", [False, True], ids=["own", "joined"])
@pytest.mark.parametrize("after", [False, True], ids=["nothing follows", "more follows"])
def test_what_a_savepoint_undoes_is_undone(mall: Mall, joined: bool, after: bool) -> None:
    """The revision inside it is gone, those around it stand, and the next one follows on them."""
    with begun(mall, joined) as ctx:
        structure.create_category(ctx, channel="books", name="Before")
        with undone(ctx):
            structure.rename(ctx, channel="books", node="crime", name="Murder")
        if after:
            structure.create_category(ctx, channel="books", name="After")
    assert shown(mall) == ["Crime", "Before", *(["After"] if after else [])]
    with mall.begin(ME) as ctx:
        structure.create_category(ctx, channel="books", name="Later")
    assert shown(mall)[-1] == "Later"


@pytest.mark.parametrize("joined", [False, True], ids=["own", "joined"])
def test_what_a_savepoint_keeps_stands(mall: Mall, joined: bool) -> None:
    """A SAVEPOINT that is released inside another that is rolled back goes with it; one beside it stays."""
    with begun(mall, joined) as ctx:
        structure.create_category(ctx, channel="books", name="Before")
        with ctx.session.begin_nested():
            structure.create_category(ctx, channel="books", name="Kept")
        with undone(ctx), ctx.session.begin_nested():
            structure.create_category(ctx, channel="books", name="Inner")
    assert shown(mall) == ["Crime", "Before", "Kept"]


def test_a_failed_write_within_a_savepoint_is_forgiven(mall: Mall) -> None:
    """What failed half-way is undone whole by the SAVEPOINT around it, so the unit of work may go on."""
    with mall.begin(ME) as ctx:
        structure.create_category(ctx, channel="books", name="Before")
        with pytest.raises(DuplicateSlug), ctx.session.begin_nested():
            structure.create_category(ctx, channel="books", name="Crime", slug="crime")
        structure.create_category(ctx, channel="books", name="After")
    assert shown(mall) == ["Crime", "Before", "After"]


def test_the_first_write_comes_before_a_savepoint(mall: Mall) -> None:
    """In a unit of work that only read, a SAVEPOINT stands in the way of writing: that is said, and nothing is lost."""
    with mall.begin(ME) as ctx:
        structure.get_channel(ctx, channel="books")
        with pytest.raises(Conflict), ctx.session.begin_nested():
            structure.create_category(ctx, channel="books", name="Crime too")
    assert shown(mall) == ["Crime"]
