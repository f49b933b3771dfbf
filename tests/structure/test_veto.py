"""The veto on changes: what a plug-in is shown of a revision that is about to be made, and what its refusal undoes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mallcore import Context, Mall, Principal, hookimpl, structure
from mallcore.errors import Conflict, MallError

ME = Principal.system("test")
BAD: dict[str, Any] = {"colour": "mauve"}


class NoMauve(Conflict):
    """Nothing here is mauve."""

    code = "test-no-mauve"


class Taste:
    """A plug-in with an opinion; it remembers what it was shown."""

    def __init__(self) -> None:
        self.seen: list[structure.Change] = []

    @hookimpl
    def structure_check(self, ctx: Context, change: structure.Change) -> MallError | None:
        self.seen.append(change)
        structure.get_channel(ctx, channel=change.channel_id)  # it may read
        return NoMauve() if any(one.get("colour") == "mauve" for one in change.attributes) else None


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = datetime(2030, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


class Shop:
    """A mall with a plug-in that has taste."""

    def __init__(self, url: str) -> None:
        self.taste, self.clock = Taste(), Clock()
        self.mall = Mall.open(url, migrate="always", plugins=[self.taste], clock=self.clock)
        self.do(structure.create_channel, slug="books", name="Books")
        self.do(structure.create_category, channel="books", name="Crime", attributes={"colour": "red"})
        self.taste.seen.clear()

    def do(self, operation: Any, **given: Any) -> Any:
        """One operation in a unit of work of its own."""
        with self.mall.begin(ME) as ctx:
            return operation(ctx, **given)

    def state(self) -> tuple[int, str]:
        """Number and digest of the head."""
        found = self.do(structure.get_channel, channel="books")
        return found.revision, found.digest


@pytest.fixture
def shop(database_url: str) -> Iterator[Shop]:
    """A shop with one category."""
    found = Shop(database_url)
    yield found
    found.mall.close()


def publish(shop: Shop) -> None:
    """A draft of something mauve, published."""
    draft = shop.do(structure.open_draft, channel="books", name="Bold")
    shop.do(structure.edit_draft, draft=draft.id, edits=[{"op": "update", "node": "crime", "attributes": BAD}])
    shop.do(structure.publish_draft, draft=draft.id)


WAYS: dict[str, Callable[[Shop], Any]] = {
    "create": lambda shop: shop.do(structure.create_category, channel="books", name="New", attributes=BAD),
    "update": lambda shop: shop.do(structure.update_node, channel="books", node="crime", attributes=BAD),
    "several edits": lambda shop: shop.do(
        structure.edit,
        channel="books",
        edits=[{"op": "create", "name": "Fine"}, {"op": "update", "node": "crime", "attributes": BAD}],
    ),
    "publish": publish,
}


@pytest.mark.parametrize("way", WAYS)
def test_structure_check(shop: Shop, way: str) -> None:
    """However a revision is made, a veto refuses it whole, with the plug-in's own error."""
    before = shop.state()
    with pytest.raises(NoMauve):
        WAYS[way](shop)
    assert shop.state() == before
    shop.do(structure.verify, channel="books")
    shop.do(structure.update_node, channel="books", node="crime", attributes={"colour": "blue"})
    assert shop.state()[0] == before[0] + 1


def test_a_check_is_shown_what_is_new_or_changed(shop: Shop) -> None:
    """The attributes of nodes that change, the number of the revision to be, and where; nothing when none changes."""
    shop.do(structure.rename, channel="books", node="crime", name="Murder")
    shop.do(structure.create_category, channel="books", name="Poetry", attributes={"colour": "green"})
    shop.do(structure.update_node, channel="books", node="crime", attributes={"colour": "black", "n": 1})
    shop.do(structure.rollback, channel="books", to=1)
    shown = [(one.revision, [dict(each) for each in one.attributes]) for one in shop.taste.seen if one.attributes]
    assert shown == [(3, [{"colour": "green"}]), (4, [{"colour": "black", "n": 1}]), (5, [{"colour": "red"}])]
    known = shop.do(structure.get_channel, channel="books")
    assert {(one.unit_id, one.channel_id) for one in shop.taste.seen} == {(known.unit_id, known.id)}


def test_a_rollback_to_what_is_refused_now_is_refused(database_url: str) -> None:
    """What was allowed when it was made may be refused when somebody brings it back."""
    with Mall.open(database_url, migrate="always") as mall, mall.begin(ME) as ctx:
        structure.create_channel(ctx, slug="books", name="Books")
        structure.create_category(ctx, channel="books", name="Crime", attributes=BAD)
        structure.update_node(ctx, channel="books", node="crime", attributes={"colour": None})
    with Mall.open(database_url, plugins=[Taste()]) as strict:
        for operation, given in (
            (structure.rollback, {"to": 1}),
            (structure.undo, {"number": 2}),
        ):
            with strict.begin(ME) as ctx, pytest.raises(NoMauve):
                operation(ctx, channel="books", **given)
        with strict.begin(ME) as ctx:
            assert structure.get_channel(ctx, channel="books").revision == 2


def test_a_scheduled_publish_that_is_vetoed_has_failed(shop: Shop) -> None:
    """A campaign is held to the same; its schedule says why it was not carried out."""
    draft = shop.do(structure.open_draft, channel="books", name="Bold")
    shop.do(structure.edit_draft, draft=draft.id, edits=[{"op": "update", "node": "crime", "attributes": BAD}])
    shop.do(structure.schedule_draft, draft=draft.id, at=shop.clock.now + timedelta(days=1))
    shop.clock.now += timedelta(days=2)
    assert shop.mall.run_due() == 0
    (schedule,) = shop.do(structure.list_schedules, channel="books", state="failed").items
    assert schedule.error.startswith("test-no-mauve")
    assert shop.state()[0] == 1


def test_a_check_that_fails_stops_the_change(database_url: str) -> None:
    """A plug-in with a bug can't let through what it did not look at."""

    class Broken:
        @hookimpl
        def structure_check(self, ctx: Context, change: structure.Change) -> None:
            raise RuntimeError("a bug")

    with Mall.open(database_url, migrate="always", plugins=[Broken()]) as mall:
        with mall.begin(ME) as ctx:
            structure.create_channel(ctx, slug="books", name="Books")
        with pytest.raises(RuntimeError), mall.begin(ME) as ctx:
            structure.create_category(ctx, channel="books", name="Crime", attributes={"a": 1})
        with mall.begin(ME) as ctx:
            assert structure.get_channel(ctx, channel="books").revision == 0
