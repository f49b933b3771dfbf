"""Golden files: what a check says of them, what it writes, and that mallcore's own are as they should be.

After a change that breaks nobody run `python -m tests.api.contracts.test_golden`: it writes them anew.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from mallcore import Mall, hookimpl
from mallcore.api.contracts import OURS, Report, check, golden, guard, of_host, ours
from mallcore.api.versions import Change, Release, Versions, field
from mallcore.errors import BrokenLaw, InvalidInput
from mallcore.kernel.context import Context
from mallcore.kernel.operations import Catalogue, Rest, operation
from tests.api.contracts.shop import NOW, RELEASES, VERSIONS, Order, catalogue, get_order, place_order, prices
from tests.api.versions.declaring import changed


def checked(folder: Path, seen: Catalogue | None = None, versions: Versions = VERSIONS, **more: Any) -> Report:
    """A check of the shop."""
    return check(versions, seen or catalogue(), folder, more.pop("now", NOW), **more)


def verdicts(report: Report) -> list[str]:
    return [one.verdict for one in report.versions]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Golden files of the shop."""
    made = tmp_path / "golden"
    checked(made, write=True)
    return made


def test_files_that_are_missing_are_made_once(tmp_path: Path) -> None:
    """Without golden files nothing is guarded: the check fails, writes them when told to, and is content then."""
    made = tmp_path / "deep" / "golden"
    before = checked(made)
    assert (before.ok, verdicts(before)) == (False, ["missing"] * 3)
    assert "--write makes it" in before.text
    assert not made.exists()
    written = checked(made, write=True)
    assert (written.ok, written.settled, [one.written for one in written.versions]) == (True, True, [True] * 3)
    assert sorted(path.name for path in made.iterdir()) == [f"{one.name}.json" for one in RELEASES]
    after = checked(made)
    assert (after.ok, after.settled, verdicts(after)) == (True, True, ["same"] * 3)


def test_what_is_only_new_needs_no_new_version(folder: Path) -> None:
    """An optional parameter is additive in every version: the file is to be updated, and is when told to."""

    @operation(permission="shop.read", rest=Rest("GET", "/orders/{order}"), name="shop.get_order")
    def more(ctx: Context, *, order: str, deep: bool = False) -> Order:
        raise NotImplementedError

    seen = catalogue(place_order, more, prices)
    report = checked(folder, seen)
    assert (report.ok, report.settled, verdicts(report)) == (True, False, ["additive"] * 3)
    assert "needs no new version: update the golden file with --write" in report.text
    assert checked(folder, seen, write=True).settled
    assert verdicts(checked(folder, seen)) == ["same"] * 3


def broken() -> Catalogue:
    """The shop after somebody renamed a parameter and said nothing."""

    @operation(permission="shop.read", rest=Rest("GET", "/orders/{number}"), name="shop.get_order")
    def other(ctx: Context, *, number: str) -> Order:
        raise NotImplementedError

    return catalogue(place_order, other, prices)


def test_what_breaks_fails_and_is_never_overwritten(folder: Path) -> None:
    """A breaking difference fails the check, says to declare a change, and stays a failure under --write."""
    report = checked(folder, broken())
    assert (report.ok, verdicts(report)) == (False, ["breaking"] * 3)
    assert "declare a Change in the next version" in report.text
    rules = {one.rule for one in report.versions[0].differences if one.level == "breaking"}
    assert rules == {"path-changed", "request-parameter-renamed"}
    before = (folder / "2026-05-01.json").read_bytes()
    assert not checked(folder, broken(), write=True).ok
    assert (folder / "2026-05-01.json").read_bytes() == before


def test_a_declared_change_keeps_older_versions_as_they_are(folder: Path) -> None:
    """With the change declared in a next version that is still a preview, what was released stays as it was."""
    seen = broken()

    class OrdersAreNumbered(Change):
        """Orders have numbers."""

        version = "2026-07-01"
        touches = "shop.get_order"
        was = (field("number").was_named("order"),)

    later = VERSIONS.extended([Release("2026-07-01", stable=NOW + timedelta(days=30))], [OrdersAreNumbered])
    report = checked(folder, seen, later)
    assert report.ok
    assert [(one.version, one.verdict) for one in report.versions] == [
        ("2026-07-01", "missing"),
        ("2026-05-01", "additive"),
        ("2026-03-01", "additive"),
        ("2026-01-01", "additive"),
    ]
    told = {(one.rule, one.new) for checked_one in report.versions for one in checked_one.differences}
    assert told == {("deprecated", "order")}


def test_a_preview_promises_nothing(folder: Path) -> None:
    """Before it is stable a version may break; afterwards it may not."""
    next_one = Release("2026-07-01", stable=datetime(2026, 7, 1, tzinfo=UTC))
    later = VERSIONS.extended([next_one])
    checked(folder, None, later, write=True)
    assert checked(folder, broken(), later).versions[0].fails is False
    assert checked(folder, broken(), later, now=datetime(2026, 7, 1, tzinfo=UTC)).versions[0].fails is True
    assert checked(folder, broken(), later, write=True).versions[0].written


def test_a_version_that_is_gone_is_missed(folder: Path) -> None:
    """A golden file without its version is a promise somebody dropped."""
    report = checked(folder, None, Versions(RELEASES[1:], [one for one in VERSIONS.changes if one.version != "x"]))
    gone = report.versions[-1]
    assert (report.ok, gone.version, gone.verdict, gone.state) == (False, "2026-01-01", "gone", None)


DAMAGED: dict[str, bytes] = {
    "cut off": b'{"operations": {',
    "no object": b"[]",
    "no contract": b'{"operations": [], "events": {}, "schemas": {}}',
    "operations that are none": b'{"operations": {"a": 1}, "events": {}, "schemas": {}}',
    "no text": b"\xff\xfe",
    "fields that are none": b'{"operations": {"shop.get_order": {"input": {"type": "object", "properties": 7}}}, '
    b'"events": {}, "schemas": {}}',
    "errors that are none": b'{"operations": {"shop.get_order": {"errors": 7}}, "events": {}, "schemas": {}}',
    "a tower": b"[" * 100_000,
    "empty": b"",
}


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_file_is_refused_by_name(folder: Path, content: bytes) -> None:
    """A file that is no contract fails the check with its name, and is not overwritten."""
    (folder / "2026-03-01.json").write_bytes(content)
    for write in (False, True):
        with pytest.raises(InvalidInput, match=r"2026-03-01\.json"):
            checked(folder, write=write)
    assert (folder / "2026-03-01.json").read_bytes() == content


def test_a_folder_that_can_not_be_written_is_refused(tmp_path: Path) -> None:
    """Where a file stands in the folder's place, nothing is written and the error says so."""
    (tmp_path / "golden").write_text("no folder")
    with pytest.raises(InvalidInput, match="can't be written"):
        checked(tmp_path / "golden", write=True)


def test_a_report_is_plain_data(folder: Path) -> None:
    """A report can be written as JSON, with each difference's place and advice."""
    found = json.loads(json.dumps(checked(folder, broken()).as_json()))
    assert (found["ok"], found["settled"]) == (False, False)
    first = found["versions"][0]["differences"][0]
    assert set(first) == {"level", "rule", "where", "old", "new", "advice", "sentence"}


def test_a_file_is_read_back(folder: Path) -> None:
    """What a golden file says can be asked for."""
    assert golden(folder, "2026-05-01")["version"] == "2026-05-01"
    with pytest.raises(InvalidInput, match=r"1999-01-01\.json can't be read"):
        golden(folder, "1999-01-01")


def of_mallcore(write: bool = False) -> Report:
    """A check of mallcore's own operations and events against its own golden files."""
    with Mall.open("sqlite://", follow=False) as mall:
        return guard(mall, OURS, which=ours, write=write)


def test_our_own_golden_files_are_as_they_should_be() -> None:
    """What the newest code shows of each released version is what its golden file holds, to the byte."""
    report = of_mallcore()
    assert report.settled, f"{report.text}\nRun `python -m tests.api.contracts.test_golden` if nothing breaks."


def test_a_host_guards_its_own_operations_only() -> None:
    """What is mallcore's own and what is a host's are told apart by where they were written."""
    with Mall.open("sqlite://", follow=False) as mall:
        assert all(ours(one) for one in mall.catalogue.values())
    assert all(of_host(one) for one in (get_order.operation, place_order.operation))  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("up", "example"), [(str, {"title": "a"}), (str, {"name": 7}), (lambda text: [text], {"name": "a"})]
)
def test_a_change_that_does_not_understand_its_own_examples_is_found(tmp_path: Path, up: Any, example: Any) -> None:
    """The error names the change; nothing is written."""

    class Wish(BaseModel):
        title: str

    renamed = changed(Wish, field("title").was_named("name"), version="2026-08-01", examples=[example])
    retyped = changed(Wish, field("title").had_type(str, up=up, down=str), version="2026-11-01")

    class Wishes:
        @hookimpl
        def changes_extra(self) -> list[type[Change]]:
            return [renamed, retyped]

    with (
        Mall.open("sqlite://", follow=False, plugins=[Wishes()]) as mall,
        pytest.raises(BrokenLaw, match="The change Tested breaks a law for Wish"),
    ):
        guard(mall, tmp_path, write=True)
    assert list(tmp_path.iterdir()) == []


if __name__ == "__main__":
    print(of_mallcore(write=True).text)
