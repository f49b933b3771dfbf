"""Stories of the structure: small things that once went wrong, or easily could, each told through the operations."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from mallcore import Mall, Principal, access, audit, hookimpl, structure
from mallcore.errors import ChannelRemoved, Denied, HistoryBroken, InvalidInput, LimitExceeded, MalformedTaxonomy
from mallcore.testing.machine_parts import Clock

ME = Principal.system("test")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def mall(database_url: str, clock: Clock) -> Iterator[Mall]:
    with Mall.open(database_url, migrate="always", clock=clock) as opened:
        with opened.begin(ME) as ctx:
            structure.create_channel(ctx, slug="books", name="Books")
        yield opened


@pytest.fixture
def other(mall: Mall, database_url: str, clock: Clock) -> Iterator[Mall]:
    """Another process's mall on the same database, which hears of nothing by itself."""
    with Mall.open(database_url, clock=clock, poll_seconds=3600) as opened:
        yield opened


def do(mall: Mall, operation: Any, **arguments: Any) -> Any:
    with mall.begin(ME) as ctx:
        return operation(ctx, **arguments)


def slugs(mall: Mall, channel: str = "books") -> list[str]:
    return [node.slug for node in do(mall, structure.tree, channel=channel).nodes]


def deaf(mall: Mall) -> Mall:
    """A mall that has the channel in memory, believes that it is told of changes, and is not."""
    do(mall, structure.tree, channel="books")
    mall.follower.stop()
    mall.follower.running = True
    return mall


def test_a_created_node_is_the_one_told_of(mall: Mall) -> None:
    """Creating answers with the new node, also when its siblings had to be numbered anew to make room."""
    for name in ("First", "Last"):
        do(mall, structure.create_category, channel="books", name=name)
    for number in range(45):
        made = do(mall, structure.create_category, channel="books", name=f"N{number}", index=1)
        assert made.name == f"N{number}"


def test_restoring_takes_only_what_went_together(mall: Mall) -> None:
    """What had been lifted out of a node before it went, and was removed later, does not come back with it."""
    top = do(mall, structure.create_category, channel="books", name="Top").id
    child = do(mall, structure.create_category, channel="books", name="Child", parent="top").id
    do(mall, structure.remove, channel="books", node=top, policy="reparent")
    do(mall, structure.remove, channel="books", node=child)
    do(mall, structure.restore, channel="books", node=top)
    assert [(node.slug, node.children) for node in do(mall, structure.tree, channel="books").nodes] == [("top", [])]


def test_a_stale_memory_never_swallows_a_change(mall: Mall, other: Mall) -> None:
    """What memory says is so already, but the database no longer does, is changed all the same."""
    node = do(mall, structure.create_category, channel="books", name="A").id
    deaf(other)
    do(mall, structure.rename, channel="books", node=node, name="B")
    assert do(other, structure.rename, channel="books", node=node, name="A").revision == 3
    assert do(mall, structure.get_node, channel="books", node=node, min_revision=3).node.name == "A"


def test_a_stale_memory_knows_no_fewer_revisions(mall: Mall, other: Mall) -> None:
    """A revision that another process made is found by its number at once."""
    deaf(other)
    do(mall, structure.create_category, channel="books", name="A")
    assert do(other, structure.tree, channel="books", at=1).revision == 1
    assert do(other, structure.get_revision, channel="books", number=1).number == 1


def test_a_channel_removed_and_restored_elsewhere(mall: Mall, other: Mall) -> None:
    """Removing and restoring go by the database, not by what memory believes."""
    deaf(other)
    do(mall, structure.remove_channel, channel="books")
    assert do(other, structure.restore_channel, channel="books").removed_at is None
    do(mall, structure.create_category, channel="books", name="A")
    with mall.begin(ME) as ctx:
        structure.remove_channel(ctx, channel="books")
        assert structure.restore_channel(ctx, channel="books").removed_at is None
        structure.create_category(ctx, channel="books", name="B")
    assert slugs(mall) == ["a", "b"]


def test_a_removal_that_was_rolled_back_never_was(mall: Mall) -> None:
    """A unit of work that removed a channel, looked at it and failed leaves the channel as it was."""
    with pytest.raises(ZeroDivisionError), mall.begin(ME) as ctx:  # noqa: PT012
        structure.remove_channel(ctx, channel="books")
        structure.get_channel(ctx, channel="books")
        structure.get_channel(ctx, channel="main:books")
        raise ZeroDivisionError
    do(mall, structure.create_category, channel="main:books", name="A")
    assert slugs(mall) == ["a"]


def test_nothing_can_be_prepared_in_a_removed_channel(mall: Mall) -> None:
    """Editing, drafting, scheduling and naming a removed channel are refused; giving a draft up is not."""
    draft = do(mall, structure.open_draft, channel="books", name="D").id
    do(mall, structure.create_category, channel="books", name="A")
    do(mall, structure.remove_channel, channel="books")
    new = structure.CreateNode(name="B")
    soon = datetime(2027, 1, 1, tzinfo=UTC)
    for operation, arguments in (
        (structure.create_node, {"channel": "books", "name": "B"}),
        (structure.edit, {"channel": "books", "edits": [new]}),
        (structure.rollback, {"channel": "books", "to": 0}),
        (structure.undo, {"channel": "books", "number": 1}),
        (structure.update_channel, {"channel": "books", "name": "B"}),
        (structure.import_taxonomy, {"channel": "books", "data": b"1 - A"}),
        (structure.open_draft, {"channel": "books", "name": "B"}),
        (structure.edit_draft, {"draft": draft, "edits": [new]}),
        (structure.publish_draft, {"draft": draft}),
        (structure.schedule_draft, {"draft": draft, "at": soon}),
        (structure.schedule_undo, {"channel": "books", "number": 1, "at": soon}),
        (structure.create_snapshot, {"name": "s", "channels": ["books"]}),
        (structure.remove_channel, {"channel": "books"}),
    ):
        with pytest.raises(ChannelRemoved):
            do(mall, operation, **arguments)
    assert do(mall, structure.discard_draft, draft=draft).state == "discarded"
    assert do(mall, structure.tree, channel="books", at=1).revision == 1


def test_a_preview_has_a_tag_of_its_own(mall: Mall) -> None:
    """The entity tag of a previewed tree is another for every version of the draft and every head it would go onto."""
    draft = do(mall, structure.open_draft, channel="books", name="D").id
    tags = [do(mall, structure.preview_tree, draft=draft).etag]
    for name in ("A", "B"):
        do(mall, structure.edit_draft, draft=draft, edits=[structure.CreateNode(name=name)])
        tags.append(do(mall, structure.preview_tree, draft=draft).etag)
    do(mall, structure.create_category, channel="books", name="C")
    tags.append(do(mall, structure.preview_tree, draft=draft).etag)
    tags.append(do(mall, structure.tree, channel="books").etag)
    assert len(set(tags)) == len(tags)


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE mall_node SET name = 'X' WHERE slug = 'a'",
        "UPDATE mall_node SET to_revision = 2 WHERE slug = 'a'",
        "DELETE FROM mall_node WHERE slug = 'b'",
        "UPDATE mall_revision SET message = 'X' WHERE number = 1",
        "UPDATE mall_revision SET edits = '[]' WHERE number = 2",
        "DELETE FROM mall_revision WHERE number = 1",
        "UPDATE mall_channel SET digest = 'X'",
    ],
)
def test_a_changed_past_does_not_verify(mall: Mall, damage: str) -> None:
    """Whoever changes rows behind the mall's back is found out, also by a process that has the tree in memory."""
    for name in ("A", "B", "C"):
        do(mall, structure.create_category, channel="books", name=name)
    assert do(mall, structure.verify, channel="books").revisions == 3
    with mall.engine.begin() as connection:
        connection.execute(text(damage))
    with pytest.raises(HistoryBroken):
        do(mall, structure.verify, channel="books")


@pytest.mark.parametrize(
    "value",
    ["a\x00b", "lone \ud800", float("nan"), float("inf"), 2**70, "x" * 30_000, {"deep": [[[]]]}],
    ids=["nul", "surrogate", "nan", "infinite", "big", "long", "deep"],
)
def test_a_rule_holds_nothing_that_no_database_can(mall: Mall, value: Any) -> None:
    """What can't be stored as JSON is refused in a rule by name, and nothing is written."""
    where = (structure.Condition(field="brand", value=value),)
    with pytest.raises(InvalidInput):
        do(mall, structure.set_rules, channel="books", rules=[structure.Hide(where=where)])
    if isinstance(value, str):
        with pytest.raises(InvalidInput):
            do(mall, structure.set_rules, channel="books", rules=[structure.Sort(by=value)])
    assert do(mall, structure.get_channel, channel="books").revision == 0


def nested(levels: int) -> Any:
    found: Any = 1
    for _ in range(levels):
        found = [found]
    return found


@pytest.mark.parametrize(
    "value", [nested(20), nested(100_000), "x" * 30_000, "\x00", "\ud800", float("nan"), 2**70, {1}]
)
def test_attributes_hold_only_what_json_can(mall: Mall, value: Any) -> None:
    """Attributes that are too deep, too long or no JSON are refused, on creating, changing, in batches and settings."""
    node = do(mall, structure.create_category, channel="books", name="A").id
    given: dict[str, Any] = {"attributes": {"x": value}}
    edits = [structure.CreateNode(name="B", **given)]
    for operation, arguments in (
        (structure.create_node, {"channel": "books", "name": "B", **given}),
        (structure.create_node, {"channel": "books", "name": "B", "idempotency_key": "k", **given}),
        (structure.update_node, {"channel": "books", "node": node, **given}),
        (structure.edit, {"channel": "books", "edits": edits}),
        (structure.update_channel, {"channel": "books", "settings": {"x": value}}),
        (structure.create_channel, {"slug": "music", "name": "Music", "settings": {"x": value}}),
    ):
        with pytest.raises((InvalidInput, LimitExceeded)):
            do(mall, operation, **arguments)
    assert do(mall, structure.get_channel, channel="books").revision == 1


def test_a_file_in_no_encoding_is_malformed_with_a_key_too(mall: Mall) -> None:
    """A file that is no text is refused as malformed, whether or not the call can be repeated."""
    for key in (None, "once"):
        with pytest.raises(MalformedTaxonomy):
            do(mall, structure.import_taxonomy, channel="books", data=b"1 - \xff\xfe\xfd", idempotency_key=key)
    with pytest.raises(MalformedTaxonomy):
        do(mall, structure.import_taxonomy, channel="books", data=b"\x80" * 100, idempotency_key="k")
    assert do(mall, structure.get_channel, channel="books").revision == 0


def test_numbers_are_kept_to_the_last_bit(mall: Mall, other: Mall) -> None:
    """Large, small and negative nothings come back from the database as they went in, and the history verifies."""
    numbers = [1e20, -8.161858759192323e33, 5e-324, -0.0, 1.0, 0.1 + 0.2, 2**63 - 1]
    for count in (1, 40):
        names = [f"{count}-{place}" for place in range(count)]
        edits = [structure.CreateNode(name=name, attributes={"x": numbers}) for name in names]
        made = do(mall, structure.edit, channel="books", edits=edits).revision
        read = do(other, structure.get_node, channel="books", node=names[-1], min_revision=made).node.attributes["x"]
        assert [repr(number) for number in read] == [repr(number) for number in numbers]
    do(other, structure.verify, channel="books")


def test_true_is_not_one(mall: Mall) -> None:
    """An attribute that changes from 1 to true has changed, though Python calls the two equal."""
    node = do(mall, structure.create_category, channel="books", name="A", attributes={"x": 1}).id
    assert do(mall, structure.update_node, channel="books", node=node, attributes={"x": True}).revision == 2
    assert do(mall, structure.get_node, channel="books", node=node).node.attributes["x"] is True


def test_an_order_in_a_draft_does_not_clash_with_a_removal(mall: Mall) -> None:
    """A draft that only set a node between others can be published after one of these was removed."""
    for name in ("A", "B"):
        do(mall, structure.create_category, channel="books", name=name)
    draft = do(mall, structure.open_draft, channel="books", name="D").id
    do(mall, structure.edit_draft, draft=draft, edits=[structure.ReorderChildren(children=["b", "a"])])
    do(mall, structure.edit_draft, draft=draft, edits=[structure.CreateNode(name="C", index=0)])
    do(mall, structure.remove, channel="books", node="a")
    do(mall, structure.publish_draft, draft=draft)
    assert sorted(slugs(mall)) == ["b", "c"]


def test_a_campaign_takes_back_all_it_made_and_nothing_else(mall: Mall, clock: Clock) -> None:
    """At its end what the campaign created is gone, also when others changed things meanwhile, which stay."""
    for name in ("A", "B"):
        do(mall, structure.create_category, channel="books", name=name)
    draft = do(mall, structure.open_draft, channel="books", name="Sale").id
    edits = [
        structure.CreateNode(name="Sale"),
        structure.UpdateNode(node="a", name="A!"),
        structure.RemoveNode(node="b"),
    ]
    do(mall, structure.edit_draft, draft=draft, edits=edits)
    start = clock() + timedelta(hours=1)
    do(mall, structure.schedule_draft, draft=draft, at=start, undo_at=start + timedelta(hours=1))
    assert mall.run_due() == 0
    clock.forward(3601)
    assert mall.run_due() == 1
    assert slugs(mall) == ["a", "sale"]
    do(mall, structure.create_category, channel="books", name="C")
    clock.forward(3601)
    assert mall.run_due() == 1
    assert sorted(slugs(mall)) == ["a", "b", "c"]
    assert do(mall, structure.get_node, channel="books", node="a").node.name == "A"
    assert mall.run_due() == 0


class Poison:
    """A plug-in that fails at one schedule, as a bug of somebody's would."""

    def __init__(self) -> None:
        self.at = ""

    @hookimpl
    def event_recorded(self, ctx: Any, event: Any) -> None:
        if event.subject == self.at and event.after["state"] == "done":
            raise RuntimeError("a bug")


def test_a_schedule_that_fails_holds_no_other_up(database_url: str, clock: Clock) -> None:
    """A schedule at which something breaks unexpectedly does not keep those behind it from being carried out."""
    poison = Poison()
    with Mall.open(database_url, migrate="always", clock=clock, plugins=[poison]) as mall:
        do(mall, structure.create_channel, slug="books", name="Books")
        made = []
        for name in ("A", "B"):
            draft = do(mall, structure.open_draft, channel="books", name=name).id
            do(mall, structure.edit_draft, draft=draft, edits=[structure.CreateNode(name=name)])
            made += do(mall, structure.schedule_draft, draft=draft, at=clock() + timedelta(seconds=len(made) + 1))
        poison.at = made[0].id
        clock.forward(60)
        mall.run_due()
        assert slugs(mall) == ["b"]


def test_a_schedule_of_someone_who_lost_the_right_is_refused_in_their_name(mall: Mall, clock: Clock) -> None:
    """When its time comes the author must still be allowed; the refusal is on record as theirs."""
    grant = do(mall, access.grant, principal="user:ada", role="editor")
    with mall.begin(Principal.user("ada")) as ctx:
        draft = structure.open_draft(ctx, channel="books", name="D").id
        structure.edit_draft(ctx, draft=draft, edits=[structure.CreateNode(name="A")])
        structure.schedule_draft(ctx, draft=draft, at=clock() + timedelta(seconds=5))
    do(mall, access.revoke, grant=grant.id)
    clock.forward(60)
    assert mall.run_due() == 0
    (schedule,) = do(mall, structure.list_schedules, channel="books").items
    assert (schedule.state, schedule.error.split(":")[0]) == ("failed", "denied")
    (record,) = do(mall, audit.list_records, outcome="denied").items
    assert record.principal == "user:ada"
    assert slugs(mall) == []


def test_a_snapshot_can_be_made_without_the_right_to_read_it(mall: Mall) -> None:
    """Who may make snapshots and nothing else makes them."""
    do(mall, access.set_role, role="snapper", permissions=["structure.snapshot"])
    do(mall, access.grant, principal="user:ada", role="snapper")
    with mall.begin(Principal.user("ada")) as ctx:
        assert list(structure.create_snapshot(ctx, name="s", channels=["books"]).heads.values()) == [0]
    assert do(mall, structure.get_snapshot, snapshot="s").author == "user:ada"


def test_a_snapshot_leaves_no_channel_out_in_silence(mall: Mall) -> None:
    """A snapshot of channels one of which was removed is refused, not made smaller."""
    do(mall, structure.create_channel, slug="music", name="Music")
    do(mall, structure.remove_channel, channel="music")
    with pytest.raises(ChannelRemoved):
        do(mall, structure.create_snapshot, name="s", channels=["books", "music"])
    assert len(do(mall, structure.create_snapshot, name="s").heads) == 1


@pytest.mark.parametrize("locale", ['"', "a\r\nb", "ü", "x" * 36, ""])
def test_a_locale_is_a_language_tag(mall: Mall, locale: str) -> None:
    """What is no language tag is refused: it becomes part of entity tags."""
    with pytest.raises(InvalidInput):
        do(mall, structure.tree, channel="books", locale=locale)


def test_the_top_of_a_granted_subtree_stays_where_it_is(mall: Mall) -> None:
    """A grant on a subtree reaches no further than that: its own top can't be moved, put elsewhere or removed."""
    for name in ("A", "B"):
        do(mall, structure.create_category, channel="books", name=name)
    do(mall, structure.create_category, channel="books", name="Below", parent="a")
    do(mall, access.grant, principal="user:ada", role="editor", scope="subtree", channel="books", node="a")
    ada = Principal.user("ada")
    for edit in (
        structure.MoveNode(node="a", parent="b"),
        structure.MoveNode(node="a", index=1),
        structure.RemoveNode(node="a", policy="cascade"),
        structure.RemoveNode(node="a", policy="reparent"),
        structure.MoveNode(node="a/below", parent="b"),
        structure.MoveNode(node="b", parent="a"),
        structure.ReorderChildren(children=["b", "a"]),
        structure.CreateNode(name="New"),
        structure.UpdateNode(node="b", name="New"),
    ):
        with pytest.raises(Denied), mall.begin(ada) as ctx:
            structure.edit(ctx, channel="books", edits=[edit])
    assert do(mall, structure.get_channel, channel="books").revision == 3
    with mall.begin(ada) as ctx:
        structure.edit(ctx, channel="books", edits=[structure.CreateNode(name="New", parent="a")])
        structure.edit(ctx, channel="books", edits=[structure.MoveNode(node="a/new", parent="a/below")])
        structure.edit(ctx, channel="books", edits=[structure.RemoveNode(node="a/below", policy="cascade")])
