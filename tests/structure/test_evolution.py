"""A real taxonomy that evolves: three releases as three revisions, compared, read at each, and rolled back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from mallcore import Mall, Principal, structure
from mallcore.structure.rules.formats import parse

RELEASES = ("shopify-2024-07.yml", "shopify-2025-03.yml", "shopify-2025-08.txt")
ME = Principal.system("test")


@pytest.fixture
def grown(database_url: str, shared: Path) -> Iterator[Mall]:
    """A mall whose channel took over all three releases."""
    with Mall.open(database_url, migrate="always") as mall:
        with mall.begin(ME) as ctx:
            structure.create_channel(ctx, slug="goods", name="Goods")
        for release in RELEASES:
            with mall.begin(ME) as ctx:
                data = (shared / "data" / "taxonomy" / release).read_bytes()
                structure.import_taxonomy(ctx, channel="goods", data=data, message=release)
        yield mall


def _paths(mall: Mall, at: int | None) -> dict[str, str]:
    """Full names by the source's ids, as one revision shows them."""
    with mall.begin(ME) as ctx:
        shown = structure.tree(ctx, channel="goods", at=at).tree
    nodes = (node for _, node in shown.walk() if node.external_id)
    return {node.external_id or "": " > ".join(one.name for one in shown.lineage(node.id)[1:]) for node in nodes}


def _source(shared: Path, release: str) -> dict[str, str]:
    entries = parse((shared / "data" / "taxonomy" / release).read_bytes()).entries
    full: dict[str, str] = {}
    for entry in entries:
        full[entry.external_id] = f"{full[entry.parent]} > {entry.name}" if entry.parent else entry.name
    return full


def test_each_release_is_a_revision_that_can_be_read_for_ever(grown: Mall, shared: Path) -> None:
    """Three imports are three revisions, and each reads back as its file says."""
    with grown.begin(ME) as ctx:
        assert [one.message for one in structure.log(ctx, channel="goods").items] == list(reversed(RELEASES))
    for number, release in enumerate(RELEASES, 1):
        assert _paths(grown, number) == _source(shared, release)


def test_the_difference_between_releases_is_what_really_changed(grown: Mall, shared: Path) -> None:
    """A newer release shows as adds, removals and renames matched by the source's ids."""
    old, new = _source(shared, RELEASES[0]), _source(shared, RELEASES[1])
    with grown.begin(ME) as ctx:
        shown = structure.diff_revisions(ctx, channel="goods", a=1, b=2)
    assert shown.counts["added"] == len(new.keys() - old.keys())
    assert shown.counts["removed"] == len(old.keys() - new.keys())
    leaf = {key: value.rsplit(" > ", 1)[-1] for key, value in {**old, **new}.items()}
    renamed = [key for key in old.keys() & new.keys() if old[key].rsplit(" > ", 1)[-1] != leaf[key]]
    assert shown.counts["renamed"] == len(renamed)


def test_a_release_can_be_rolled_back(grown: Mall, shared: Path) -> None:
    """Rolling back to the first release gives its very nodes again, and the history still verifies."""
    with grown.begin(ME) as ctx:
        first = json.loads(structure.tree(ctx, channel="goods", at=1).body)["nodes"]
        structure.rollback(ctx, channel="goods", to=1)
    with grown.begin(ME) as ctx:
        assert json.loads(structure.tree(ctx, channel="goods").body)["nodes"] == first
        assert structure.verify(ctx, channel="goods").revisions == 4
