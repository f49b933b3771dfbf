"""A process that is killed while it changes something: the state is what it was before or what it is after."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import NullPool, create_engine, text

from mallcore import Mall, Principal, audit, structure
from tests.proofs.workers import Workers

ME = Principal.system("worker")  # as the one that dies: an idempotency key is its caller's
LONG = os.environ.get("MALLCORE_PROOFS") == "1"
ENTRIES = 2500 if not LONG else 10_000
STATEMENTS = range(1, 40) if LONG else (2, 5)
CHANGED = ("channel", "revision", "node", "draft", "schedule", "audit_record", "idempotency")
TABLES = tuple(f"mall_{name}" for name in CHANGED)


def _taxonomy(turn: int) -> str:
    """Categories in Google's form; every turn renames them all."""
    return "".join(f"{number} - Category {number} of {turn}\n" for number in range(1, ENTRIES + 1))


class Place:
    """The database under test, looked at from the parent; every check is through a mall that remembers nothing."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.turn = 0
        self.mall = Mall.open(url, migrate="always", follow=False, busy_seconds=20)
        with self.mall.begin(ME) as ctx:
            structure.create_channel(ctx, slug="books", name="Books")
            structure.create_category(ctx, channel="books", name="Fiction")
            structure.create_channel(ctx, slug="other", name="Other")

    def rows(self) -> dict[str, list[tuple[Any, ...]]]:
        """All there is, read without mallcore."""
        with create_engine(self.url, poolclass=NullPool).connect() as connection:
            return {name: _sorted(connection.execute(text(f"SELECT * FROM {name}"))) for name in TABLES}

    def check(self) -> None:
        """What holds in any state: the history verifies, and the audit trail and the revisions agree."""
        with Mall.open(self.url, follow=False) as mall, mall.begin(ME) as ctx:
            channel = structure.get_channel(ctx, channel="books")
            verified = structure.verify(ctx, channel="books")
            assert verified.revisions == channel.revision
            assert [one.revision for one in _records(ctx, channel.id)] == list(range(channel.revision, 0, -1))
            for draft in structure.list_drafts(ctx, channel="books", limit=200).items:
                assert (draft.state == "published") == (draft.revision is not None)

    def write(self) -> None:
        """A change by another process, which finds no lock left by the one that died."""
        with self.mall.begin(ME) as ctx:
            for channel in ("books", "other"):
                structure.update_channel(ctx, channel=channel, settings={"turn": self.turn})

    def head(self) -> int:
        """The number of the newest revision."""
        with self.mall.begin(ME) as ctx:
            return structure.get_channel(ctx, channel="books").revision


def _sorted(rows: Any) -> list[tuple[Any, ...]]:
    return sorted((tuple(row) for row in rows), key=repr)


def _records(ctx: Any, channel: str) -> Iterator[Any]:
    cursor = None
    while True:
        page = audit.list_records(ctx, channel=channel, event="structure.revised", limit=200, cursor=cursor)
        yield from page.items
        cursor = page.next
        if cursor is None:
            return


def _importing(place: Place) -> tuple[str, dict[str, Any]]:
    return "import_taxonomy", {"channel": "books", "data": _taxonomy(place.turn)}


def _draft(place: Place) -> str:
    """A draft that changes three nodes in ways of this turn."""
    with place.mall.begin(ME) as ctx:
        draft = structure.open_draft(ctx, channel="books", name=f"Draft {place.turn}")
        edits = [
            {"op": "update", "node": "fiction", "name": f"Fiction {place.turn}"},
            *({"op": "create", "name": f"New {place.turn}.{one}", "parent": "fiction"} for one in range(2)),
        ]
        structure.edit_draft(ctx, draft=draft.id, edits=edits)  # type: ignore[arg-type]
        return draft.id


def _publishing(place: Place) -> tuple[str, dict[str, Any]]:
    return "publish_draft", {"draft": _draft(place), "idempotency_key": f"publish-{place.turn}"}


def _rolling_back(place: Place) -> tuple[str, dict[str, Any]]:
    with place.mall.begin(ME) as ctx:
        structure.rename(ctx, channel="books", node="fiction", name=f"To be rolled back {place.turn}")
    return "rollback", {"channel": "books", "to": 1}


def _scheduled(place: Place) -> tuple[str, dict[str, Any]]:
    draft = _draft(place)
    with place.mall.begin(ME) as ctx:
        structure.schedule_draft(ctx, draft=draft, at=datetime.now(UTC) - timedelta(seconds=1))
    return "run_due", {}


Prepare = Callable[[Place], tuple[str, dict[str, Any]]]


def _crash(place: Place, workers: Workers, prepare: Prepare, point: str) -> bool:
    """Kill a process at a point of a change, and see that the change is whole or not there; whether it died."""
    place.turn += 1
    action, given = prepare(place)
    before, head = place.rows(), place.head()
    died = workers[0].dies("changing", url=place.url, action=action, given=given, die=point)
    after = place.rows()
    place.check()
    if died and point != "committed":
        assert after == before, f"{action} killed at {point}: something of it is left"
        assert place.head() == head
    else:
        assert place.head() == head + 1, f"{action} at {point}: the change is not there"
        assert all(len(after[name]) > len(before[name]) for name in ("mall_revision", "mall_audit_record"))
    place.write()
    return died


@pytest.fixture
def place(database_url: str) -> Iterator[Place]:
    """A mall in which processes are killed."""
    made = Place(database_url)
    yield made
    made.mall.close()


def _through(place: Place, workers: Workers, prepare: Prepare, more: tuple[str, ...] = ()) -> None:
    for point in ("commit", "committed", *more):
        assert _crash(place, workers, prepare, point), f"the process outlived {point}"
    for number in STATEMENTS:
        if not _crash(place, workers, prepare, f"statement:{number}"):
            assert number > 5, "the change took hardly a statement: the points miss it"
            break


def test_a_killed_import_is_whole_or_not_there(place: Place, workers: Workers) -> None:
    """An import whose process is killed, between statements or amid its rows, leaves nothing; a committed one all."""
    _through(place, workers, _importing, ("part:1",))


def test_a_killed_publish_is_whole_or_not_there(place: Place, workers: Workers) -> None:
    """A draft whose publishing is killed is open and unpublished, or published with its revision: never half."""
    _through(place, workers, _publishing)


def test_a_killed_rollback_is_whole_or_not_there(place: Place, workers: Workers) -> None:
    """A rollback whose process is killed leaves the head where it was, or is done."""
    _through(place, workers, _rolling_back)


def test_a_killed_scheduled_publish_is_whole_or_not_there(place: Place, workers: Workers) -> None:
    """A schedule whose process is killed waits as before, or is done together with what it had to do."""

    def prepare(place: Place) -> tuple[str, dict[str, Any]]:
        place.mall.run_due()  # what an earlier crash left waiting
        return _scheduled(place)

    _through(place, workers, prepare)


def test_a_schedule_that_crashed_is_done_once_by_many(place: Place, workers: Workers) -> None:
    """After a crash in a scheduled publish, four processes look for it at one moment, and exactly one does it."""
    for point in ("statement:4", "commit", "committed"):
        place.turn += 1
        head = place.head()
        action, given = _scheduled(place)
        assert workers[0].dies("changing", url=place.url, action=action, given=given, die=point)
        done = workers.at_once("running_due", [{"url": place.url}] * 4)
        assert sum(done) == (0 if point == "committed" else 1)
        assert place.head() == head + 1
        place.check()
        with place.mall.begin(ME) as ctx:
            newest = structure.list_schedules(ctx, channel="books", limit=200).items[-1]
            assert (newest.state, newest.result) == ("done", head + 1)
        assert place.mall.run_due() == 0


def test_a_repeated_request_after_a_crash_is_done_once(place: Place, workers: Workers) -> None:
    """Who repeats a request with its idempotency key, not knowing whether the first was done, gets one revision."""
    for point in ("commit", "committed"):
        place.turn += 1
        head = place.head()
        action, given = _publishing(place)
        assert workers[0].dies("changing", url=place.url, action=action, given=given, die=point)
        with place.mall.begin(ME) as ctx:
            assert structure.publish_draft(ctx, **given).revision == head + 1
            assert ctx.replayed == (point == "committed")
        assert place.head() == head + 1
        place.check()
