"""A process that is killed while it uploads, collects or copies: what is committed is readable, and nothing is left.

Killed at every step: before and after each COMMIT, before, amid and after each object that is written, before and after
each that is deleted. Then one run of the collector, and the stores hold just what the committed versions need.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from mallcore import attachments
from tests.attachments.storehouse import Storehouse
from tests.proofs.workers import Workers

LONG = os.environ.get("MALLCORE_PROOFS") == "1"
FEW = (1, 2, 3, 5, 8)
HOURS = 2 * 3600
STORES = ["local", *(pytest.param(name, marks=pytest.mark.objects) for name in ("s3", "azure"))]


class Place:
    """A mall with two stores that other processes reach too."""

    def __init__(self, url: str, stores: dict[str, str]) -> None:
        self.url, self.stores = url, stores
        self.house = Storehouse(url, stores["main"], stores={"second": stores["second"]})
        self.turn = 0
        self.kept: dict[str, bytes] = {}
        self.died = 0

    def through(self, workers: Workers, action: str, kinds: tuple[str, ...], prepare: Any) -> None:
        """Kill a process at every point of an action, one after the other; what it does is prepared anew each time."""
        for kind in kinds:
            for number in range(1, 200) if LONG else FEW:
                if not self._killed(workers, action, f"{kind}:{number}", prepare):
                    break

    def _killed(self, workers: Workers, action: str, point: str, prepare: Any) -> bool:
        self.turn += 1
        given = prepare(self)
        ahead = self.house.clock.ahead.total_seconds()
        asked = {"url": self.url, "stores": self.stores, "action": action, "given": given, "ahead": ahead}
        died = workers[0].dies("storing", **asked, die=point)
        self.died += died
        self.check(f"{action} killed at {point}")
        return died

    def check(self, what: str) -> None:
        """All that is committed reads; one run of the collector, and there is nothing more in the stores."""
        before = self._readable(what)
        self.house.collect_later()
        after = self._readable(what)
        assert before == after
        for name in self.stores:
            there = self.house.contents(name)
            assert len(there) == len(set(there)), f"{what}: {name} holds a content twice"
            assert set(there) <= set(after.values()), f"{what}: {name} holds what no version needs"
        assert set(self.house.contents("main")) | set(self.house.contents("second")) == set(after.values())
        self.house.check()

    def _readable(self, what: str) -> dict[str, bytes]:
        """The contents of all versions that are committed, checked against what was uploaded."""
        found = {}
        for row in self.house.rows("mall_attachment_version"):
            if row.dropped_at is None:
                ref = f"{row.attachment_id}@{row.n}"
                found[ref] = self.house.read(ref)
        assert self.kept.items() <= found.items(), f"{what}: something that was committed is lost"
        return found


@pytest.fixture(params=STORES)
def place(request: pytest.FixtureRequest, database_url: str, tmp_path: Path) -> Iterator[Place]:
    """Two stores of each kind that more than one process can reach."""
    urls = {name: (tmp_path / name).as_uri() for name in ("main", "second")}
    if request.param != "local":
        server = request.getfixturevalue("seaweed_server" if request.param == "s3" else "azurite_server")
        urls = {name: server.url("attachments", f"p{uuid4().hex[:12]}") for name in urls}
    found = Place(database_url, urls)
    yield found
    found.house.close()


def _content(place: Place) -> str:
    """Of more than one piece, and another each time."""
    return f"turn {place.turn} ".ljust(1 << 20, "x")


def _uploading(place: Place) -> dict[str, Any]:
    return {"file": _content(place), "file_name": "a.bin", "owner": "channel:books", "slot": "file"}


def _again(place: Place) -> dict[str, Any]:
    """A content that is there already."""
    (ref, content) = next(iter(place.kept.items()))
    return {**_uploading(place), "file": content.decode(), "attachment": ref.partition("@")[0]}


def _dropped(place: Place) -> dict[str, Any]:
    """Contents that nothing refers to, and one that was staged too long ago."""
    for number in range(2):
        version = place.house.put(f"{place.turn}.{number}".encode(), label=None)
        place.house.do("drop_version", version=version.ref)
    place.house.stage(f"staged {place.turn}".encode())
    place.house.clock.move(hours=2)
    return {"dry_run": False, "grace_seconds": 0}


def _more(place: Place) -> None:
    version = place.house.put(f"more {place.turn}".encode() * 100_000)
    place.kept[version.ref] = f"more {place.turn}".encode() * 100_000


def _mirroring(place: Place) -> dict[str, Any]:
    _more(place)
    return {"store": "second"}


def _migrating(place: Place) -> dict[str, Any]:
    """To the store that is not written to."""
    _more(place)
    listed: list[attachments.StoreInfo] = place.house.do("list_stores")
    return {"to": next(one.name for one in listed if one.role != "written")}


def test_a_killed_upload_is_whole_or_collected(place: Place, workers: Workers) -> None:
    """Before its commit an upload leaves nothing but what one collection takes; after it, a version that reads."""
    place.kept = {place.house.put(b"there").ref: b"there"}
    place.through(workers, "upload_file", ("commit", "committed", "put", "half", "written"), _uploading)
    assert place.died >= 5
    place.through(workers, "upload_file", ("commit",), _again)


def test_a_killed_collector_is_finished_by_the_next(place: Place, workers: Workers) -> None:
    """Whatever a collector was killed at, the next one finishes it, and takes nothing that is needed."""
    place.kept = {place.house.put(b"there").ref: b"there"}
    place.through(workers, "collect", ("commit", "delete", "deleted"), _dropped)
    assert place.died >= 7


def test_a_killed_copy_is_made_again_or_collected(place: Place, workers: Workers) -> None:
    """A mirror that was killed amid a copy is completed by the next run, and has no object that is not told of."""
    place.kept = {place.house.put(b"there").ref: b"there"}
    place.through(workers, "mirror", ("commit", "put", "half", "written"), _mirroring)
    assert place.died >= 5
    assert place.house.do("mirror", store="second").undone == ()
    assert place.house.contents("second") == place.house.contents("main")


def test_a_killed_migration_goes_on_where_it_was(place: Place, workers: Workers) -> None:
    """Killed at any step of filling, switching and draining: everything reads, and the next run finishes."""
    place.kept = {place.house.put(b"there").ref: b"there"}
    kinds = ("commit", "written", "deleted") if not LONG else ("commit", "put", "half", "written", "delete", "deleted")
    place.through(workers, "migrate", kinds, _migrating)
    assert place.died >= 4
    for _ in range(2):
        given = _migrating(place)
        done = place.house.do("migrate", **given)
        assert (done.undone, done.left) == ((), 0)
        assert sorted(place.house.contents(given["to"])) == sorted(set(place.kept.values()))


def test_a_forked_child_uploads_and_collects(place: Place, workers: Workers) -> None:
    """A child of a process that used database and stores uses them too; neither hurts the other."""
    worker = workers[0]
    worker.tell("forking", url=place.url, stores=place.stores)
    refs = worker.hear()
    place.kept = {ref: content.encode() for content, ref in refs.items()}
    assert len(place.kept) == 4
    place.check("forking")
