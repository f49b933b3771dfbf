"""Many writers at once: no edit is lost, none waits for ever, and of those who want the same thing one gets it."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator

import pytest

from mallcore import Mall, Principal, structure
from tests.proofs.workers import Workers

ME = Principal.system("parent")
LONG = os.environ.get("MALLCORE_PROOFS") == "1"
EDITS = 200 if LONG else 12
PROCESSES, THREADS = 2, 4
ROUNDS = 20 if LONG else 3
CHANNELS = 80 if LONG else 12  # of each process; a page lists them all


@pytest.fixture
def mall(database_url: str) -> Iterator[Mall]:
    """A mall with nothing in it; the database's URL is the other processes' way in."""
    with Mall.open(database_url, migrate="always") as opened:
        yield opened


def _create(mall: Mall, *slugs: str) -> None:
    for slug in slugs:
        with mall.begin(ME) as ctx:
            structure.create_channel(ctx, slug=slug, name=slug.title())


@pytest.mark.parametrize("channels", [1, 8])
def test_no_edit_of_eight_writers_is_lost(mall: Mall, database_url: str, workers: Workers, channels: int) -> None:
    """Eight writers in two processes, on one channel or one each: every edit is a revision and in the tree."""
    slugs = [f"channel-{number}" for number in range(channels)]
    _create(mall, *slugs)
    share = max(1, channels // PROCESSES)
    given = [
        {"url": database_url, "worker": one, "threads": THREADS, "edits": EDITS,
         "channels": slugs if channels == 1 else slugs[one * share : (one + 1) * share]}
        for one in range(PROCESSES)
    ]  # fmt: skip
    answers = workers.at_once("writing", given)
    assert [answer["wrong"] for answer in answers] == [[]] * PROCESSES
    made = [tuple(one) for answer in answers for one in answer["made"]]
    assert len(made) == PROCESSES * THREADS * EDITS
    with Mall.open(database_url) as fresh, fresh.begin(ME) as ctx:
        for slug in slugs:
            mine = [(name, number) for channel, name, number in made if channel == slug]
            assert sorted(number for _, number in mine) == list(range(1, len(mine) + 1))
            assert {node.name for node in structure.tree(ctx, channel=slug).nodes} == {name for name, _ in mine}
            assert structure.verify(ctx, channel=slug).revisions == len(mine)
    with mall.begin(ME) as ctx:
        for slug in slugs:
            there = structure.get_channel(ctx, channel=slug, min_revision=len(made) // channels)
            assert there.revision == len(made) // channels


def test_one_of_many_publishes_a_draft(mall: Mall, database_url: str, workers: Workers) -> None:
    """Four processes publish the same draft at one moment: one makes the revision, the others hear it is closed."""
    _create(mall, "books")
    for turn in range(ROUNDS):
        with mall.begin(ME) as ctx:
            draft = structure.open_draft(ctx, channel="books", name="Draft").id
            edits = [{"op": "create", "name": f"Category {turn}"}]
            structure.edit_draft(ctx, draft=draft, edits=edits)  # type: ignore[arg-type]
        given = {"url": database_url, "operation": "publish_draft", "given": {"draft": draft}}
        answers = workers.at_once("calling", [given] * 4)
        assert Counter(answer.get("error", "done") for answer in answers) == {"done": 1, "draft-closed": 3}
        with mall.begin(ME) as ctx:
            assert structure.get_draft(ctx, draft=draft).revision == turn + 1
            assert structure.get_channel(ctx, channel="books", min_revision=turn + 1).revision == turn + 1
            assert structure.verify(ctx, channel="books").nodes == turn + 1


def test_one_of_many_creates_a_channel(mall: Mall, database_url: str, workers: Workers) -> None:
    """Four processes create a channel of the same slug at one moment: one does, the others get `AlreadyExists`."""
    for turn in range(ROUNDS):
        slug = f"channel-{turn}"
        given = {"url": database_url, "operation": "create_channel", "given": {"slug": slug, "name": "Channel"}}
        answers = workers.at_once("calling", [given] * 4)
        assert Counter(answer.get("error", "done") for answer in answers) == {"done": 1, "already-exists": 3}
        with mall.begin(ME) as ctx:
            structure.create_category(ctx, channel=slug, name="First")
            assert len(structure.list_channels(ctx).items) == turn + 1


def test_creating_channels_holds_up_nobody(mall: Mall, database_url: str, workers: Workers) -> None:
    """While two processes create channels, and with them partitions, others read and write, and nobody fails."""
    _create(mall, "busy")
    writing = {"url": database_url, "worker": 9, "channels": ["busy"], "threads": THREADS, "edits": EDITS}
    slugs = [[f"p{process}-{number}" for number in range(CHANNELS)] for process in range(2)]
    for number in range(2):
        workers[number].tell("creating", url=database_url, at=0, slugs=slugs[number])
    workers[2].tell("writing", at=0, **writing)
    seen = 0
    while seen < 2 * CHANNELS:
        with mall.begin(ME) as ctx:
            there = structure.list_channels(ctx, limit=200).items
            for channel in there[-3:]:
                assert structure.tree(ctx, channel=channel.id).revision in (0, 1, *range(THREADS * EDITS + 1))
            assert len(there) - 1 >= seen
            seen = len(there) - 1
    assert [workers[number].hear() for number in range(2)] == [[], []]
    written = workers[2].hear()
    assert (written["wrong"], len(written["made"])) == ([], THREADS * EDITS)
    with Mall.open(database_url) as fresh, fresh.begin(ME) as ctx:
        assert structure.verify(ctx, channel="busy").revisions == THREADS * EDITS
        for slug in (one for some in slugs for one in some):
            assert structure.verify(ctx, channel=slug).revisions == 1


def test_one_idempotency_key_is_one_revision(mall: Mall, database_url: str, workers: Workers) -> None:
    """Four processes send one request with the same key at one moment: one revision, and the same answer to all."""
    _create(mall, "books")
    for turn in range(ROUNDS):
        given = {"channel": "books", "name": f"Category {turn}", "idempotency_key": f"key-{turn}"}
        order = {"url": database_url, "operation": "create_node", "given": given}
        answers = workers.at_once("calling", [order] * 4)
        assert answers == [answers[0]] * 4
        assert answers[0]["answer"]["revision"] == turn + 1
        with mall.begin(ME) as ctx:
            assert structure.get_channel(ctx, channel="books", min_revision=turn + 1).revision == turn + 1


def test_moves_that_cross_make_no_loop(mall: Mall, database_url: str, workers: Workers) -> None:
    """Two processes move each of two categories under the other at one moment: one is refused, whoever comes second."""
    _create(mall, "books")
    with mall.begin(ME) as ctx:
        ids = [structure.create_category(ctx, channel="books", name=name).id for name in ("Left", "Right")]
    head = 2
    for _ in range(ROUNDS):
        given = [
            {"url": database_url, "operation": "move", "given": {"channel": "books", "node": a, "parent": b}}
            for a, b in (ids, ids[::-1])
        ]
        answers = workers.at_once("calling", given)
        assert Counter(answer.get("error", "done") for answer in answers) == {"done": 1, "would-create-loop": 1}
        with mall.begin(ME) as ctx:
            moved = answers[0] if "answer" in answers[0] else answers[1]
            back = structure.move(ctx, channel="books", node=moved["answer"]["id"])
            head += 2
            assert back.revision == head
            assert structure.verify(ctx, channel="books").nodes == 2
