"""The living structure as its users tell it: campaigns, snapshots, the past, rules, languages, drafts, files."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mallcore import Mall, Principal, structure
from mallcore.errors import (
    AlreadyExists,
    DraftClosed,
    EditConflict,
    InvalidInput,
    NothingToDo,
    ScheduleClosed,
    UnknownRevision,
    UnknownSnapshot,
)

ME = Principal.system("test")
START = datetime(2030, 11, 1, tzinfo=UTC)
DAY = timedelta(days=1)
BOOKS = "books"


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now


class Shop:
    """A mall with one call a block."""

    def __init__(self, mall: Mall, clock: Clock) -> None:
        self.mall = mall
        self.clock = clock

    def do(self, operation: Any, **arguments: Any) -> Any:
        """Carry out one operation."""
        with self.mall.begin(ME) as ctx:
            return operation(ctx, **arguments)

    def add(self, *paths: str) -> None:
        """A category at each path, in a revision of its own."""
        for path in paths:
            parent, _, slug = path.rpartition("/")
            self.do(structure.create_category, channel=BOOKS, name=slug.title(), slug=slug, parent=parent or None)

    def draft(self, *edits: dict[str, Any], name: str = "Draft") -> str:
        """A draft with these edits."""
        made = self.do(structure.open_draft, channel=BOOKS, name=name)
        self.do(structure.edit_draft, draft=made.id, edits=list(edits))
        return str(made.id)

    def paths(self, at: Any = None, channel: str = BOOKS) -> list[str]:
        """All paths of a channel's tree in order."""
        shown = self.do(structure.tree, channel=channel, at=at).tree
        return [shown.path(node.id) for level, node in shown.walk() if level]

    def names(self, at: Any = None, locale: str | None = None) -> dict[str, str]:
        """The names at the top by slug."""
        return {node.slug: node.name for node in self.do(structure.tree, channel=BOOKS, at=at, locale=locale).nodes}

    def schedules(self, state: str) -> list[Any]:
        """The schedules in a state."""
        return list(self.do(structure.list_schedules, channel=BOOKS, state=state).items)


@pytest.fixture
def shop(database_url: str) -> Iterator[Shop]:
    """A shop with an empty channel, `books`, and a clock that stands."""
    clock = Clock()
    with Mall.open(database_url, migrate="always", clock=clock) as mall:
        made = Shop(mall, clock)
        made.do(structure.create_channel, slug=BOOKS, name="Books")
        yield made


def new(name: str, **more: Any) -> dict[str, Any]:
    return {"op": "create", "name": name, **more}


def named(node: str, name: str) -> dict[str, Any]:
    return {"op": "update", "node": node, "name": name}


# --- schedules and campaigns


def test_a_campaign_comes_and_goes_by_itself(shop: Shop) -> None:
    """A draft is published at its time and undone at another; what others changed meanwhile stays."""
    shop.add("crime")
    draft = shop.draft(new("Gifts"), named("crime", "Thrilling gifts"))
    shop.do(structure.schedule_draft, draft=draft, at=START + DAY, undo_at=START + 3 * DAY)
    assert shop.mall.run_due() == 0
    assert shop.paths() == ["crime"]
    shop.clock.now += DAY
    assert shop.mall.run_due() == 1
    assert shop.mall.run_due() == 0
    assert shop.names() == {"crime": "Thrilling gifts", "gifts": "Gifts"}
    shop.add("poetry")
    shop.clock.now += 2 * DAY
    assert shop.mall.run_due() == 1
    assert shop.names() == {"crime": "Crime", "poetry": "Poetry"}
    assert [(one.action, one.state, one.result) for one in shop.schedules("done")] == [
        ("publish", "done", 2),
        ("undo", "done", 4),
    ]


def test_due_schedules_run_in_the_order_of_their_times(shop: Shop) -> None:
    """What became due while nobody looked is carried out in order, each once."""
    for number, name in ((2, "Second"), (1, "First"), (3, "Third")):
        shop.do(structure.schedule_draft, draft=shop.draft(new(name)), at=START + number * DAY)
    shop.clock.now += 10 * DAY
    assert shop.mall.run_due() == 3
    assert [(one.at - START, one.result) for one in shop.schedules("done")] == [(DAY, 1), (2 * DAY, 2), (3 * DAY, 3)]
    assert sorted(shop.paths(1)) == ["first"]
    assert sorted(shop.paths(2)) == ["first", "second"]


def test_a_schedule_that_can_not_be_done_is_kept_as_failed(shop: Shop) -> None:
    """A publish that clashes is marked as failed with its reason, nothing of it is done, and others go on."""
    shop.add("crime")
    clashing = shop.draft(named("crime", "Mine"))
    shop.do(structure.rename, channel=BOOKS, node="crime", name="Theirs")
    shop.do(structure.schedule_draft, draft=clashing, at=START + DAY, undo_at=START + 2 * DAY)
    shop.do(structure.schedule_draft, draft=shop.draft(new("Gifts")), at=START + DAY)
    shop.clock.now += 3 * DAY
    assert shop.mall.run_due() == 1
    assert shop.names() == {"crime": "Theirs", "gifts": "Gifts"}
    publish, undo = shop.schedules("failed")
    assert publish.error.startswith("edit-conflict: ")
    assert undo.error.startswith("nothing-to-do: ")
    assert shop.do(structure.get_draft, draft=clashing).state == "open"
    assert shop.mall.run_due() == 0


def test_a_cancelled_schedule_is_not_carried_out(shop: Shop) -> None:
    """What was cancelled in time stays undone, and what is over can't be cancelled."""
    (schedule,) = shop.do(structure.schedule_draft, draft=shop.draft(new("Gifts")), at=START + DAY)
    shop.do(structure.cancel_schedule, schedule=schedule.id)
    shop.clock.now += 2 * DAY
    assert shop.mall.run_due() == 0
    assert shop.paths() == []
    with pytest.raises(ScheduleClosed, match="cancelled"):
        shop.do(structure.cancel_schedule, schedule=schedule.id)


def test_a_revision_is_undone_at_a_time(shop: Shop) -> None:
    """Any revision can be taken back later."""
    shop.add("crime", "poetry")
    shop.do(structure.schedule_undo, channel=BOOKS, number=1, at=START + DAY)
    shop.clock.now += DAY
    assert shop.mall.run_due() == 1
    assert shop.paths() == ["poetry"]


def test_a_campaign_ends_after_it_begins(shop: Shop) -> None:
    """A campaign that would be over before it began is refused."""
    with pytest.raises(InvalidInput, match="later"):
        shop.do(structure.schedule_draft, draft=shop.draft(new("Gifts")), at=START + DAY, undo_at=START + DAY)
    assert shop.schedules("waiting") == []


# --- the past


def test_a_snapshot_names_a_moment_of_many_channels(shop: Shop) -> None:
    """One name stands for the heads of several channels, for ever."""
    shop.do(structure.create_channel, slug="toys", name="Toys")
    shop.add("crime")
    shop.do(structure.create_category, channel="toys", name="Bears")
    made = shop.do(structure.create_snapshot, name="spring")
    assert sorted(made.heads.values()) == [1, 1]
    shop.do(structure.create_snapshot, name="books-only", channels=[BOOKS])
    shop.add("poetry")
    shop.do(structure.remove, channel="toys", node="bears")
    assert (shop.paths("spring"), shop.paths("spring", "toys")) == (["crime"], ["bears"])
    with pytest.raises(UnknownSnapshot):
        shop.paths("books-only", "toys")
    with pytest.raises(AlreadyExists):
        shop.do(structure.create_snapshot, name="spring")
    shop.do(structure.rollback, channel=BOOKS, to="spring")
    assert shop.paths() == ["crime"]


def test_the_past_is_read_by_number_time_and_name(shop: Shop) -> None:
    """``at`` takes a revision, a time or a snapshot, wherever something is read."""
    shop.add("crime")
    shop.clock.now += DAY
    shop.do(structure.rename, channel=BOOKS, node="crime", name="Thrillers")
    shop.do(structure.create_snapshot, name="renamed")
    shop.clock.now += DAY
    shop.add("poetry")
    for at in (1, "1", START + DAY / 2, (START + DAY / 2).isoformat()):
        assert shop.names(at) == {"crime": "Crime"}
        assert shop.do(structure.get_node, channel=BOOKS, node="crime", at=at).shape.name == "Crime"
        assert json.loads(shop.do(structure.export, channel=BOOKS, at=at).body)["nodes"][0]["name"] == "Crime"
    for at in (2, "renamed", START + DAY, START + 1.5 * DAY):
        assert shop.names(at) == {"crime": "Thrillers"}
    assert shop.names(START + 99 * DAY) == shop.names() == {"crime": "Thrillers", "poetry": "Poetry"}
    assert shop.names(0) == {}
    with pytest.raises(UnknownRevision, match="did not exist"):
        shop.names(START - DAY)
    shown = shop.do(structure.diff_revisions, channel=BOOKS, a=START + DAY / 2, b="renamed")
    assert (shown.a, shown.b, shown.counts) == (1, 2, {"renamed": 1})


def test_a_removed_subtree_comes_back_whole(shop: Shop) -> None:
    """Restoring brings what was removed together, under its parent, or to the top when that is gone too."""
    shop.add("fiction", "fiction/crime", "fiction/crime/noir", "fiction/love")
    ids = {node.slug: node.id for _, node in shop.do(structure.tree, channel=BOOKS).tree.walk()}
    shop.do(structure.remove, channel=BOOKS, node="fiction/crime", policy="cascade")
    assert shop.paths() == ["fiction", "fiction/love"]
    shop.do(structure.restore, channel=BOOKS, node=ids["crime"])
    assert sorted(shop.paths()) == ["fiction", "fiction/crime", "fiction/crime/noir", "fiction/love"]
    shop.do(structure.remove, channel=BOOKS, node="fiction/crime", policy="cascade")
    shop.do(structure.remove, channel=BOOKS, node="fiction", policy="reparent")
    shop.do(structure.restore, channel=BOOKS, node=ids["crime"])
    assert sorted(shop.paths()) == ["crime", "crime/noir", "love"]
    found = shop.do(structure.get_node, channel=BOOKS, node="crime/noir").shape
    assert found.id == ids["noir"]
    assert not shop.do(structure.restore, channel=BOOKS, node=ids["crime"]).changed


def test_an_undo_keeps_what_came_later(shop: Shop) -> None:
    """Undoing an old revision takes back that revision only; a clash with later changes is reported and settled."""
    shop.add("crime", "poetry")
    shop.do(structure.edit, channel=BOOKS, edits=[named("crime", "Thrillers"), named("poetry", "Verse")])
    shop.do(structure.rename, channel=BOOKS, node="poetry", name="Poems")
    shop.add("drama")
    with pytest.raises(EditConflict) as refused:
        shop.do(structure.undo, channel=BOOKS, number=3)
    (clash,) = refused.value.clashes
    assert (clash["field"], clash["base"], clash["ours"], clash["theirs"]) == ("name", "Verse", "Poetry", "Poems")
    shop.do(structure.undo, channel=BOOKS, number=3, settle={clash["node"]: "theirs"})
    assert shop.names() == {"crime": "Crime", "poetry": "Poems", "drama": "Drama"}
    shop.do(structure.undo, channel=BOOKS, number=6)
    assert shop.names() == {"crime": "Thrillers", "poetry": "Poems", "drama": "Drama"}


def test_a_subtree_is_rolled_back_alone(shop: Shop) -> None:
    """Rolling back a node and what is below it leaves the rest of the channel as it is."""
    shop.add("fiction", "fiction/crime", "travel")
    shop.do(structure.rename, channel=BOOKS, node="travel", name="Journeys")
    shop.do(structure.move, channel=BOOKS, node="fiction/crime", parent="travel")
    shop.add("fiction/love")
    shop.do(structure.rollback, channel=BOOKS, to=3, node="fiction")
    assert shop.paths() == ["fiction", "fiction/crime", "travel"]
    assert shop.names()["travel"] == "Journeys"


def test_settings_are_revisions_too(shop: Shop) -> None:
    """A channel's name, language, currency and settings have a history, and are rolled back with it."""
    shop.do(structure.update_channel, channel=BOOKS, name="Bücher", locale="de", settings={"theme": "dark", "rows": 3})
    changed = shop.do(structure.update_channel, channel=BOOKS, currency="CHF", settings={"rows": None, "new": [1]})
    assert (changed.revision, changed.currency, changed.settings) == (2, "CHF", {"theme": "dark", "new": [1]})
    assert shop.do(structure.diff_revisions, channel=BOOKS).counts == {"changed": 1}
    shop.do(structure.rollback, channel=BOOKS, to=1)
    found = shop.do(structure.get_channel, channel=BOOKS)
    assert (found.name, found.locale, found.currency) == ("Bücher", "de", "EUR")
    assert found.settings == {"theme": "dark", "rows": 3}
    shop.do(structure.rollback, channel=BOOKS, to=0)
    found = shop.do(structure.get_channel, channel=BOOKS)
    assert (found.name, found.locale, found.settings, found.revision) == ("Books", "en", {}, 4)
    assert [one.name for one in shop.do(structure.list_channels).items] == ["Books"]


# --- rules and languages


def test_rules_are_inherited_while_they_are_in_force(shop: Shop) -> None:
    """A node has its own rules and those from above, at a time; the nearest wins, and `stop` ends it."""
    shop.add("fiction", "fiction/crime")
    week = {"starts": START.isoformat(), "ends": (START + 7 * DAY).isoformat()}
    pin = {"kind": "pin", "product": "p1", "place": 1}
    shop.do(structure.set_rules, channel=BOOKS, rules=[{"kind": "sort", "by": "price"}])
    shop.do(structure.set_rules, channel=BOOKS, node="fiction", rules=[{**pin, **week}])
    shop.do(structure.set_rules, channel=BOOKS, node="fiction/crime", rules=[{"kind": "sort", "by": "name"}])

    def kinds(node: str | None, **more: Any) -> list[tuple[str, Any]]:
        found = shop.do(structure.effective_rules, channel=BOOKS, node=node, **more).rules
        return sorted((one.rule["kind"], one.rule.get("by") or one.rule.get("product")) for one in found)

    assert kinds(None) == [("sort", "price")]
    assert kinds("fiction") == [("pin", "p1"), ("sort", "price")]
    assert kinds("fiction/crime") == [("pin", "p1"), ("sort", "name")]
    assert (
        kinds("fiction/crime", time=START - DAY) == kinds("fiction/crime", time=START + 7 * DAY) == [("sort", "name")]
    )
    shop.clock.now += 8 * DAY
    assert kinds("fiction") == [("sort", "price")]
    shop.do(structure.set_rules, channel=BOOKS, node="fiction", rules=[{"kind": "stop", "kinds": ["sort"]}])
    assert kinds("fiction") == []
    assert kinds("fiction", at=3) == [("sort", "price")]
    shop.do(structure.rollback, channel=BOOKS, to=4)
    assert kinds("fiction/crime", time=START) == [("pin", "p1"), ("sort", "price")]


def test_names_are_shown_in_a_language(shop: Shop) -> None:
    """A name is shown in the locale, else in its language, else as it is; trees, nodes and the way to them alike."""
    shop.do(structure.create_category, channel=BOOKS, name="Toys", translations={"fr": "Jouets", "pt-BR": "Brinquedos"})
    shop.do(structure.create_category, channel=BOOKS, name="Bears", parent="toys", translations={"fr": "Ours"})
    for locale, name in (
        ("fr", "Jouets"),
        ("fr-CA", "Jouets"),
        ("pt-BR", "Brinquedos"),
        ("pt", "Toys"),
        (None, "Toys"),
    ):
        assert shop.names(locale=locale) == {"toys": name}
    found = shop.do(structure.get_node, channel=BOOKS, node="toys/bears", locale="fr").shape
    assert (found.name, [one.name for one in found.breadcrumbs]) == ("Ours", ["Jouets"])
    shop.do(structure.update_node, channel=BOOKS, node="toys", translations={})
    assert shop.names(locale="fr") == {"toys": "Toys"}
    assert shop.names(locale="fr", at=1) == {"toys": "Jouets"}


# --- drafts


def test_a_draft_is_seen_by_nobody_until_it_is_published(shop: Shop) -> None:
    """Edits in a draft are previewed, and become one revision that keeps what others did since."""
    shop.add("crime")
    draft = shop.draft(new("Gifts"), new("Cards", parent="gifts"), named("crime", "Thrillers"))
    shop.add("poetry")
    preview = shop.do(structure.preview_draft, draft=draft)
    assert (preview.onto, preview.clashes, preview.difference.counts) == (2, [], {"added": 2, "renamed": 1})
    shown = shop.do(structure.preview_tree, draft=draft)
    assert {node.slug for node in shown.nodes} == {"crime", "gifts", "poetry"}
    assert shop.paths() == ["crime", "poetry"]
    published = shop.do(structure.publish_draft, draft=draft)
    assert (published.revision, published.counts) == (3, {"added": 2, "removed": 0, "changed": 1})
    assert sorted(shop.paths()) == ["crime", "gifts", "gifts/cards", "poetry"]
    with pytest.raises(DraftClosed, match="published"):
        shop.do(structure.publish_draft, draft=draft)


@pytest.mark.parametrize(("side", "name"), [("ours", "Mine"), ("theirs", "Theirs")])
def test_clashes_of_a_draft_are_reported_and_settled(shop: Shop, side: str, name: str) -> None:
    """What both sides changed is reported node by node and overwritten only by who says so."""
    shop.add("crime", "poetry")
    draft = shop.draft(named("crime", "Mine"), named("poetry", "Verse"))
    shop.do(structure.rename, channel=BOOKS, node="crime", name="Theirs")
    (clash,) = shop.do(structure.preview_draft, draft=draft).clashes
    assert (clash.field, clash.base, clash.ours, clash.theirs) == ("name", "Crime", "Mine", "Theirs")
    with pytest.raises(EditConflict):
        shop.do(structure.publish_draft, draft=draft)
    assert shop.names() == {"crime": "Theirs", "poetry": "Poetry"}
    shop.do(structure.publish_draft, draft=draft, settle={clash.node: side})
    assert shop.names() == {"crime": name, "poetry": "Verse"}


def test_a_draft_that_is_given_up_is_closed(shop: Shop) -> None:
    """A discarded draft is kept and can't be edited or published; one that changes nothing can't be published."""
    draft = shop.draft(new("Gifts"))
    assert shop.do(structure.discard_draft, draft=draft).state == "discarded"
    for operation in (structure.publish_draft, structure.discard_draft):
        with pytest.raises(DraftClosed):
            shop.do(operation, draft=draft)
    empty = shop.do(structure.open_draft, channel=BOOKS, name="Empty").id
    with pytest.raises(NothingToDo):
        shop.do(structure.publish_draft, draft=empty)
    assert shop.do(structure.get_draft, draft=empty).state == "open"


# --- files


def test_a_dry_run_shows_and_changes_nothing(shop: Shop) -> None:
    """Trying an import tells what it would do, and what it then does is that."""
    shop.do(structure.import_taxonomy, channel=BOOKS, data=b"1 - Fiction\n2 - Fiction > Crime\n3 - Travel\n")
    newer = b"1 - Fiction\n2 - Fiction > Thrillers\n4 - Fiction > Love\n"
    tried = shop.do(structure.import_taxonomy, channel=BOOKS, data=newer, dry_run=True)
    assert (tried.dry_run, tried.revision, tried.counts) == (True, 1, {"added": 1, "removed": 1, "changed": 1})
    assert "Thrillers" in tried.text
    assert "Travel" in tried.text
    assert shop.paths() == ["fiction", "fiction/crime", "travel"]
    done = shop.do(structure.import_taxonomy, channel=BOOKS, data=newer)
    assert (done.revision, done.counts) == (2, tried.counts)
    assert shop.do(structure.diff_revisions, channel=BOOKS).text == tried.text
    kept = shop.do(structure.import_taxonomy, channel=BOOKS, data=b"1 - Fiction\n", keep_missing=True)
    assert (kept.revision, kept.changed) == (3, False)


@pytest.mark.parametrize("format", ["json", "csv", "paths"])
def test_an_export_is_read_again(shop: Shop, format: str) -> None:
    """What is exported gives the same channel when it is imported, and changes nothing where it came from."""
    shop.do(structure.create_section, channel=BOOKS, name="Fiction", external_id="f", translations={"fr": "Romans"})
    rule = {"kind": "sort", "by": "price"}
    shop.do(structure.create_category, channel=BOOKS, name="Sci-Fi, & more", parent="fiction", attributes={"a": [1]})
    shop.do(structure.set_rules, channel=BOOKS, node="fiction", rules=[rule])
    shop.add("travel", "travel/maps")
    file = shop.do(structure.export, channel=BOOKS, format=format)
    again = shop.do(structure.import_taxonomy, channel=BOOKS, data=file.body)
    assert (format, again.changed, again.counts) == (format, False, {"added": 0, "removed": 0, "changed": 0})
    shop.do(structure.create_channel, slug="copy", name="Copy")
    shop.do(structure.import_taxonomy, channel="copy", data=file.body)
    assert [path.split("/")[-1] for path in shop.paths(channel="copy")] == ["fiction", "sci-fi-more", "travel", "maps"]
    copied = shop.do(structure.export, channel="copy", format=format)
    if format == "json":
        first, second = (json.loads(one.body)["nodes"] for one in (file, copied))
        assert _essence(second) == _essence(first)
    else:
        assert shop.do(structure.import_taxonomy, channel="copy", data=copied.body).changed is False


def _essence(nodes: list[dict[str, Any]]) -> list[Any]:
    """What a file says of nodes, without the ids of this mall."""
    kept = ("name", "slug", "kind", "translations", "attributes", "rules")
    return [({key: one.get(key) for key in kept}, _essence(one.get("children", []))) for one in nodes]
