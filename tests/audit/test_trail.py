"""The audit trail: who did what, when, in which request, to what effect; in the transaction of what it tells of."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mallcore import Mall, Principal, access, audit, structure
from mallcore.errors import Denied, InvalidInput

ME = Principal.system("test")
ADA = Principal.user("ada")
START = datetime(2030, 1, 1, tzinfo=UTC)


class Clock:
    """A clock that goes on by a second whenever it is asked."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        self.now += timedelta(seconds=1)
        return self.now


@pytest.fixture
def mall(database_url: str) -> Iterator[Mall]:
    """A mall with one channel, `books`, that Ada may edit."""
    with Mall.open(database_url, migrate="always", clock=Clock()) as opened:
        with opened.begin(ME, request_id="setting-up") as ctx:
            structure.create_channel(ctx, slug="books", name="Books")
            access.grant(ctx, principal=ADA.ref, role="editor", scope="channel", channel="books")
        yield opened


def records(mall: Mall, **wanted: Any) -> list[Any]:
    """The records that are wanted, newest first."""
    with mall.begin(ME) as ctx:
        return audit.list_records(ctx, **{"limit": 200, **wanted}).items


def test_a_record_says_who_did_what(mall: Mall) -> None:
    """A change is recorded with its author, operation, subject, before, after, revision, time and request."""
    with mall.begin(ADA, request_id="r-1") as ctx:
        made = structure.create_category(ctx, channel="books", name="Crime", slug="crime")
    with mall.begin(ADA, request_id="r-2") as ctx:
        structure.rename(ctx, channel="books", node="crime", name="Crimes")
    with mall.begin(ADA, request_id="r-3") as ctx:
        structure.remove(ctx, channel="books", node="crime")
    removed, renamed, created = records(mall, principal=ADA.ref)
    channel = structure_id(mall)
    assert (created.operation, created.event, created.outcome) == ("structure.create_node", "structure.revised", "ok")
    assert (created.subject, created.channel_id, created.revision) == (made.id, channel, 1)
    assert (created.before, created.after[made.id]["name"], created.request_id) == (None, "Crime", "r-1")
    assert (renamed.before, renamed.after) == ({made.id: {"name": "Crime"}}, {made.id: {"name": "Crimes"}})
    assert (renamed.operation, renamed.revision, renamed.request_id) == ("structure.update_node", 2, "r-2")
    assert (removed.before[made.id]["slug"], removed.after, removed.revision) == ("crime", None, 3)
    assert START < created.at < renamed.at < removed.at


def structure_id(mall: Mall) -> str:
    """The channel's id."""
    with mall.begin(ME) as ctx:
        return structure.get_channel(ctx, channel="books").id


def test_records_share_the_fate_of_the_change(mall: Mall) -> None:
    """What is rolled back leaves no record of itself."""
    before = records(mall)
    with pytest.raises(ZeroDivisionError), mall.begin(ADA) as ctx:
        print(structure.create_category(ctx, channel="books", name="Lost").revision / 0)
    assert records(mall) == before


def test_a_record_can_be_read_in_its_own_transaction(mall: Mall) -> None:
    """Within the block the record is there already, and outside only after it."""
    with mall.begin(ME) as ctx:
        structure.create_category(ctx, channel="books", name="Crime")
        assert audit.list_records(ctx, limit=1).items[0].operation == "structure.create_node"
        assert records(mall, operation="structure.create_node") == []
    assert len(records(mall, operation="structure.create_node")) == 1


def test_a_refusal_is_recorded_though_nothing_else_is(mall: Mall) -> None:
    """A refused call stays on record when its block is rolled back, with what it asked for."""
    with pytest.raises(Denied), mall.begin(ADA, request_id="r-1") as ctx:
        structure.create_unit(ctx, slug="north", name="North")
    (refused,) = records(mall, outcome="denied")
    assert (refused.principal, refused.operation, refused.event) == (ADA.ref, "structure.create_unit", "access.denied")
    assert refused.after["permission"] == "structure.units"
    assert refused.request_id == "r-1"


def test_a_caught_refusal_is_recorded_with_the_rest(mall: Mall) -> None:
    """Who catches a refusal and goes on has both on record."""
    with mall.begin(ADA) as ctx:
        structure.create_category(ctx, channel="books", name="Crime")
        for _ in range(2):
            with pytest.raises(Denied):
                structure.remove_channel(ctx, channel="books")
        structure.create_category(ctx, channel="books", name="Poetry")
    assert sorted(one.outcome for one in records(mall, principal=ADA.ref)) == ["denied", "denied", "ok", "ok"]


def test_a_replayed_call_is_recorded_once(mall: Mall) -> None:
    """Repeating a call with its key changes nothing, so it records nothing."""
    for _ in range(3):
        with mall.begin(ADA) as ctx:
            structure.create_category(ctx, channel="books", name="Crime", idempotency_key="k")
    assert len(records(mall, operation="structure.create_node")) == 1


def test_nothing_to_do_records_nothing(mall: Mall) -> None:
    """A call that finds everything as it wants it makes no revision and no record."""
    with mall.begin(ADA) as ctx:
        structure.create_category(ctx, channel="books", name="Crime")
    before = records(mall)
    with mall.begin(ADA) as ctx:
        structure.rename(ctx, channel="books", node="crime", name="Crime")
        structure.move(ctx, channel="books", node="crime")
        structure.reorder(ctx, channel="books", children=["crime"])
    assert records(mall) == before


def test_a_big_change_is_recorded_in_numbers(mall: Mall) -> None:
    """The record of many nodes counts them; the revision holds them all."""
    data = "".join(f"{number} - Shelf {number}\n" for number in range(1, 51)).encode()
    with mall.begin(ADA) as ctx:
        structure.import_taxonomy(ctx, channel="books", data=data)
    (found,) = records(mall, operation="structure.import_taxonomy")
    assert (found.before, found.after) == (None, {"counts": {"added": 50, "removed": 0, "changed": 0}})


def test_every_kind_of_change_is_recorded(mall: Mall) -> None:
    """Units, channels, drafts, schedules, snapshots, roles and grants: each change has its record, with a subject."""
    with mall.begin(ME, request_id="everything") as ctx:
        structure.create_unit(ctx, slug="north", name="North")
        structure.update_unit(ctx, unit="north", name="Northern")
        structure.create_channel(ctx, slug="toys", name="Toys", unit="north")
        structure.update_channel(ctx, channel="toys", currency="USD")
        draft = structure.open_draft(ctx, channel="toys", name="Spring")
        structure.edit_draft(ctx, draft=draft.id, edits=[{"op": "create", "name": "Bears"}])  # type: ignore[list-item]
        (schedule,) = structure.schedule_draft(ctx, draft=draft.id, at=START + timedelta(days=9000))
        structure.cancel_schedule(ctx, schedule=schedule.id)
        structure.publish_draft(ctx, draft=draft.id)
        structure.discard_draft(ctx, draft=structure.open_draft(ctx, channel="toys", name="Summer").id)
        structure.create_snapshot(ctx, name="spring", channels=["toys"])
        structure.undo(ctx, channel="toys", number=2)
        structure.remove_channel(ctx, channel="toys")
        structure.restore_channel(ctx, channel="toys")
        access.set_role(ctx, role="clerk", permissions=["structure.read"])
        grant = access.grant(ctx, principal="user:eve", role="clerk")
        access.revoke(ctx, grant=grant.id)
        access.remove_role(ctx, role="clerk")
    found = records(mall, request_id="everything")
    assert {one.operation.split(".")[1] for one in found} == {
        *("create_unit", "update_unit", "create_channel", "update_channel", "open_draft", "edit_draft"),
        *("schedule_draft", "cancel_schedule", "publish_draft", "discard_draft", "create_snapshot", "undo"),
        *("remove_channel", "restore_channel", "set_role", "grant", "revoke", "remove_role"),
    }
    assert all(one.subject and one.principal == ME.ref and (one.before or one.after) for one in found)
    assert [one.id for one in found] == sorted((one.id for one in found), reverse=True)


def test_records_are_narrowed_down(mall: Mall) -> None:
    """Records are found by who, what, which event, where, how it ended, the request, and the time; and by all of it."""
    with mall.begin(ADA, request_id="r-1") as ctx:
        first = structure.create_category(ctx, channel="books", name="Crime")
        structure.create_category(ctx, channel="books", name="Poetry")
        with pytest.raises(Denied):
            structure.remove_channel(ctx, channel="books")
    created = records(mall, operation="structure.create_node")
    assert len(created) == 2
    assert [one.operation for one in records(mall, outcome="denied")] == ["structure.remove_channel"]
    assert [one.operation for one in records(mall, event="access.grant_given")] == ["access.grant"]
    assert records(mall, subject=first.id) == created[1:]
    assert len(records(mall, request_id="r-1")) == 3
    assert len(records(mall, principal=ADA.ref)) == 3
    assert {one.channel_id for one in records(mall, channel=structure_id(mall))} == {structure_id(mall)}
    assert records(mall, since=created[0].at, outcome="ok") == created[:1]
    assert created[0] not in records(mall, until=created[0].at)
    assert (
        records(mall, principal=ADA.ref, outcome="ok", request_id="r-1", operation="structure.create_node") == created
    )
    assert records(mall, principal="user:nobody") == records(mall, channel="books") == []
    with mall.begin(ME) as ctx:
        for wrong in ({"outcome": "maybe"}, {"since": "yesterday"}, {"since": datetime(2030, 1, 1)}, {"subject": "\0"}):  # noqa: DTZ001
            with pytest.raises(InvalidInput):
                audit.list_records(ctx, **wrong)


def test_pages_go_on_while_records_are_added(mall: Mall) -> None:
    """Reading page by page shows what was there when one began, whatever is added meanwhile."""
    for number in range(5):
        with mall.begin(ME) as ctx:
            structure.create_category(ctx, channel="books", name=f"Shelf {number}")
    whole = records(mall)
    shown: list[Any] = []
    cursor = None
    while True:
        with mall.begin(ME) as ctx:
            page = audit.list_records(ctx, limit=2, cursor=cursor)
            structure.create_category(ctx, channel="books", name=f"Another {len(shown)}")
        shown += page.items
        cursor = page.next
        if cursor is None:
            break
    assert shown == whole


@pytest.mark.parametrize("given", ["", "with space", "a" * 101, "new\nline", "<script>", "\0", "ä"])
def test_a_wrong_request_id_is_replaced(mall: Mall, given: str) -> None:
    """An id of a request that is none gets in no record; one of our own stands there."""
    with mall.begin(ME, request_id=given) as ctx:
        structure.create_category(ctx, channel="books", name="Crime")
    (found,) = records(mall, operation="structure.create_node")
    assert found.request_id.startswith("req_")


def test_blocks_have_requests_of_their_own(mall: Mall) -> None:
    """All that one block did has one request id, and no other block has it."""
    for name in ("A", "B"):
        with mall.begin(ME) as ctx:
            structure.create_category(ctx, channel="books", name=name)
            structure.rename(ctx, channel="books", node=name.lower(), name=name * 2)
    ids = [one.request_id for one in records(mall, principal=ME.ref) if one.request_id != "setting-up"]
    assert ids[0] == ids[1] != ids[2] == ids[3]
