"""Releases and their dates, versions and their names, and operations that came, went and moved."""

from __future__ import annotations

import gc
import weakref
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import BaseModel

from mallcore.api.versions import Release, Versions, field, operation
from mallcore.errors import InvalidChange, InvalidRelease, UnknownApiVersion
from mallcore.kernel.operations import Catalogue, Operation, Rest
from mallcore.kernel.operations import operation as declared
from tests.api.versions.declaring import OLDEST, changed, oldest, versions

DAY = timedelta(days=1)
START = datetime(2026, 1, 1, tzinfo=UTC)


def on(day: int) -> datetime:
    return START + day * DAY


WHOLE = Release("2026-01-01", preview=on(-30), stable=on(0), deprecated=on(100), sunset=on(200),
                brown_outs=((on(150), on(151)), (on(160), on(162))))  # fmt: skip


@pytest.mark.parametrize(
    ("day", "state"),
    [(-1, "preview"), (0, "stable"), (99, "stable"), (100, "deprecated"), (150, "brown-out"), (151, "deprecated"),
     (161, "brown-out"), (199, "deprecated"), (200, "sunset"), (9999, "sunset")],
)  # fmt: skip
def test_a_version_lives_by_its_dates(day: int, state: str) -> None:
    """preview, stable, deprecated with brown-outs in between, sunset."""
    assert Versions([WHOLE]).state("2026-01-01", on(day)) == state


@pytest.mark.parametrize(
    ("dates", "reason"),
    [
        ({"sunset": on(2)}, "without having been deprecated"),
        ({"stable": on(3), "deprecated": on(2)}, "deprecated before it is stable"),
        ({"deprecated": on(3), "sunset": on(2)}, "sunset before it is deprecated"),
        ({"deprecated": on(3), "brown_outs": ((on(1), on(2)),)}, "before it is deprecated"),
        ({"deprecated": on(0), "brown_outs": ((on(2), on(1)),)}, "end before they begin"),
        ({"deprecated": on(0), "brown_outs": ((on(1), on(3)), (on(2), on(4)))}, "overlap"),
        ({"deprecated": on(0), "sunset": on(2), "brown_outs": ((on(1), on(3)),)}, "after its end"),
        ({"stable": datetime(2026, 1, 1)}, "no time zone"),  # noqa: DTZ001 - it is what is refused
        ({"name": "v1"}, "YYYY-MM-DD"),
    ],
)
def test_dates_out_of_order_are_refused(dates: dict[str, Any], reason: str) -> None:
    """The error names the release and what is wrong with it."""
    with pytest.raises(InvalidRelease) as caught:
        Release(**{"name": "2026-01-01", **dates})
    assert reason in str(caught.value)


def test_names_latest_and_successors() -> None:
    """Newest first; the latest is the newest that is stable; each but the newest has a successor."""
    known = Versions([
        Release("2026-08-01", stable=on(50)),
        Release("2026-05-01", stable=on(0)),
        Release("2026-11-01", stable=on(90)),
    ])  # fmt: skip
    assert known.names == ("2026-11-01", "2026-08-01", "2026-05-01")
    assert [known.latest(on(day)) for day in (-1, 1, 60, 91)] == [
        "2026-11-01", "2026-05-01", "2026-08-01", "2026-11-01"]  # fmt: skip
    assert [known.successor(name) for name in known.names] == [None, "2026-11-01", "2026-08-01"]


def test_nobody_is_sent_to_a_version_that_is_gone() -> None:
    """The successor is the next version that still answers."""
    ends = {"deprecated": on(1), "sunset": on(2)}
    known = Versions([Release("2026-05-01"), Release("2026-08-01", stable=on(0), **ends), Release("2026-11-01")])
    assert [known.successor("2026-05-01", on(day)) for day in (1, 2)] == ["2026-08-01", "2026-11-01"]


@pytest.mark.parametrize("name", ["2025-01-01", "", "latest", "2026-13-01", "v1", "2026-05-01 ", "x" * 500, "\x00"])
def test_an_unknown_version_is_a_typed_error(name: str) -> None:
    """Unknown and malformed alike; the error names those there are, and no more of what was sent than fits."""
    with pytest.raises(UnknownApiVersion) as caught:
        versions().find(name)
    assert OLDEST in str(caught.value)
    assert len(str(caught.value)) < 200


class Thing(BaseModel):
    name: str


def test_a_change_without_a_release_is_an_error() -> None:
    """The error names the change, its version, and the releases there are."""
    change = changed(Thing, field("name").was_named("title"), version="2026-09-09")
    with pytest.raises(InvalidChange, match=r"there is no release 2026-09-09"):
        Versions([Release("2026-08-01")], [change])
    assert Versions([Release("2026-08-01")]).extended([Release("2026-09-09")], [change]).changes == (change,)


def test_a_release_is_declared_once() -> None:
    """A plug-in may name a release that is there, but not give it other dates."""
    first = Versions([Release("2026-08-01", stable=on(0))])
    assert first.extended([Release("2026-08-01", stable=on(0))]).names == ("2026-08-01",)
    with pytest.raises(InvalidRelease, match="declared twice"):
        first.extended([Release("2026-08-01", stable=on(1))])


@declared(permission=None, name="shop.show", rest=Rest("GET", "/things/{thing}"))
def show(ctx: Any, *, thing: str, at: int | None = None) -> Thing:
    """Show a thing."""
    return Thing(name=thing)


@declared(permission=None, name="shop.list", rest=Rest("GET", "/things"))
def list_things(ctx: Any) -> dict[str, Thing]:
    """List things."""
    return {}


@declared(permission=None, name="shop.find", rest=Rest("GET", "/find/{thing}"))
def find(ctx: Any, *, thing: str) -> Thing:
    """Find a thing, as it was done before."""
    return Thing(name=thing)


OPERATIONS: list[Operation] = [show.operation, list_things.operation]  # type: ignore[attr-defined]


def test_an_operation_that_did_not_exist_is_not_shown() -> None:
    """An older version has no face of it."""
    view = oldest(changed((), operation("shop.list").did_not_exist()), operations=OPERATIONS)
    assert list(view.faces) == ["shop.show"]


def test_an_operation_that_is_gone_is_still_reached() -> None:
    """Older callers reach the function as it was; the newest version does not know it."""
    gone = changed((), operation("shop.find").existed(find), version="2026-08-01")
    before = changed(Thing, field("name").was_named("title"), version="2026-05-01")
    known = versions(gone, before)
    catalogue = Catalogue(OPERATIONS)
    assert "shop.find" not in known.view(catalogue, "2026-08-01").faces
    face = known.view(catalogue, OLDEST).faces["shop.find"]
    assert face.down is not None
    assert face.down({"name": "x"}) == {"title": "x"}


def test_an_operation_was_reached_elsewhere() -> None:
    """By another path, with the names that parameters had; a path that is not told follows its parameters."""
    moved = changed((), operation("shop.list").was_at("POST", "/all"), version="2026-08-01")
    named = changed(show, field("thing").was_named("id"), version="2026-05-01")
    faces = oldest(moved, named, operations=OPERATIONS).faces
    assert (faces["shop.list"].rest, faces["shop.show"].rest) == (Rest("POST", "/all"), Rest("GET", "/things/{id}"))
    assert faces["shop.list"].input is OPERATIONS[1].input


def test_an_operation_returned_something_else() -> None:
    """The newer result is taken to the place of the change, made the older one, and taken on from there."""
    listed = changed(
        (), operation("shop.list").returned(list[Thing], down=lambda d: list(d.values())), version="2026-08-01"
    )
    late = changed(Thing, field("name").was_named("title"))
    early = changed(Thing, field("title").was_named("label"), version="2026-05-01")
    face = oldest(early, listed, late, operations=OPERATIONS).faces["shop.list"]
    assert face.down is not None
    assert face.down({"a": {"name": "x"}}) == [{"label": "x"}]
    assert face.output.json_schema()["type"] == "array"


def test_an_operation_that_is_not_there_is_an_error() -> None:
    """A misspelt operation is found, unless none of its package is there at all."""
    change = changed("shop.shwo", field("thing").was_named("id"))
    with pytest.raises(InvalidChange, match=r"no operation 'shop\.shwo'"):
        oldest(change, operations=OPERATIONS)
    assert list(oldest(change).faces) == []


def test_a_path_with_unknown_names_is_an_error() -> None:
    """Whatever stands in braces must be a parameter of the older version."""
    with pytest.raises(InvalidChange, match=r"`\{id\}`"):
        dict(oldest(changed((), operation("shop.show").was_at("GET", "/t/{id}")), operations=OPERATIONS).faces)


def test_a_view_goes_with_its_catalogue() -> None:
    """One view for one catalogue and version, and nothing of it is left when the catalogue is gone."""
    known = versions(changed(Thing, field("name").was_named("title")))
    catalogue = Catalogue(OPERATIONS)
    view = known.view(catalogue, OLDEST)
    assert known.view(catalogue, OLDEST) is view
    assert known.view(Catalogue(OPERATIONS), OLDEST) is not view
    watched = weakref.ref(view)
    del view, catalogue
    gc.collect()
    assert watched() is None


def test_what_is_deprecated() -> None:
    """A field on its way out is told from the version on that says so, and what to use instead; older names, too."""
    soon = changed(Thing, version="2026-08-01", deprecates={"name": "Use `title`."})
    known = versions(soon)
    catalogue = Catalogue(OPERATIONS)
    assert known.view(catalogue, "2026-08-01").faces["shop.show"].deprecated == {"Thing.name": "Use `title`."}
    assert known.view(catalogue, OLDEST).faces["shop.show"].deprecated == {}
    named = versions(changed(Thing, field("name").was_named("title")))
    assert "`name`" in named.view(catalogue, OLDEST).faces["shop.list"].deprecated["Thing.title"]


def test_the_newest_version_is_the_mall_itself() -> None:
    """Nothing is touched in the newest version: the very models, no plans."""
    known = versions(changed(Thing, field("name").was_named("title")))
    for face in known.view(Catalogue(OPERATIONS), known.names[0]).faces.values():
        assert face.untouched
        assert (face.input, face.rest) == (face.operation.input, face.operation.rest)
