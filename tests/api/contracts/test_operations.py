"""Versions, differences, notes and schemas as operations: open to everybody, over HTTP, and made once."""

from __future__ import annotations

import doctest
import inspect
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from mallcore import Mall, Principal, hookimpl
from mallcore.api import Dispatch, Request
from mallcore.api import operations as api
from mallcore.api.contracts import notes as made
from mallcore.api.versions import Release
from mallcore.errors import InvalidInput, UnknownApiVersion
from mallcore.kernel.work import MemoryOnly
from tests.api.contracts.shop import CHANGES, RELEASES, get_order, place_order, prices

NOBODY = Principal.anonymous()
NEXT = Release("2027-02-01", stable=datetime(2027, 2, 1, tzinfo=UTC))


class Shop:
    """The plug-in of a host: its operations, releases and changes."""

    @hookimpl
    def operations_extra(self) -> list[Any]:
        return [get_order, place_order, prices]

    @hookimpl
    def changes_extra(self) -> list[Any]:
        return list(CHANGES)

    @hookimpl
    def releases_extra(self) -> list[Release]:
        return [*(one for one in RELEASES if one.name != "2026-05-01"), NEXT]


@pytest.fixture
def mall() -> Iterator[Mall]:
    """A mall with a host's operations, late in 2026."""
    with Mall.open(
        "sqlite://", follow=False, plugins=[Shop()], clock=lambda: datetime(2026, 11, 24, tzinfo=UTC)
    ) as opened:
        yield opened


def test_everybody_may_know_the_versions(mall: Mall) -> None:
    """Without any grant: each version with its state, newest first; the latest is the newest that is stable."""
    with mall.begin(NOBODY) as ctx:
        found = api.list_versions(ctx)
        one = api.get_version(ctx, version="2026-05-01")
    assert [each.name for each in found] == sorted((each.name for each in found), reverse=True)
    assert (found[0].name, found[0].state) == ("2027-02-01", "preview")
    assert [each.name for each in found if each.latest] == ["2026-11-01"]
    assert (one.state, one.successor, one.changes >= 2) == ("stable", "2026-08-01", True)


def test_differences_and_notes_lead_to_the_newest_stable_version(mall: Mall) -> None:
    """Unless another is named; whoever uses the newest, or a preview, is told that nothing changed."""
    with mall.begin(NOBODY) as ctx:
        found = api.diff_versions(ctx, version="2026-01-01")
        assert found.until == "2026-11-01"
        assert found.breaking == sum(one.level == "breaking" for one in found.differences) > 0
        assert "shop.place_order input.buyer" in {one.where for one in found.differences}
        assert api.diff_versions(ctx, version="2026-01-01", to="2026-03-01").until == "2026-03-01"
        assert api.notes(ctx, version="2026-01-01").until == "2026-11-01"
        assert api.notes(ctx, version="2026-11-01").notes == []
        assert api.notes(ctx, version="2027-02-01").notes == []


def test_notes_are_those_of_the_declared_changes(mall: Mall) -> None:
    """What the operation answers is what the notes hold, as plain data."""
    with mall.begin(NOBODY) as ctx:
        found = api.notes(ctx, version="2026-03-01", to="2026-05-01")
    assert found.model_dump(mode="json") == json.loads(
        json.dumps(made(mall.versions, mall.catalogue, "2026-03-01", "2026-05-01").as_json())
    )
    assert [one.change for one in found.notes] == ["ProductsHaveNoSku", "CustomersAreNamed"]


@pytest.mark.parametrize("version", ["1999-01-01", "", "latest", "../x", "x" * 41])
def test_unknown_versions_are_refused(mall: Mall, version: str) -> None:
    """Each operation that names a version refuses one that is not there, and keeps nothing of it."""
    before = len(mall.catalogue.derived)
    for call in (api.get_version, api.diff_versions, api.notes, api.schema):
        with mall.begin(NOBODY) as ctx, pytest.raises((UnknownApiVersion, InvalidInput)):
            call(ctx, version=version)
    with mall.begin(NOBODY) as ctx, pytest.raises((UnknownApiVersion, InvalidInput)):
        api.diff_versions(ctx, version="2026-01-01", to=version or "x")
    assert len(mall.catalogue.derived) <= before + 3


def test_what_takes_long_is_made_once_and_not_on_an_event_loop(mall: Mall) -> None:
    """On an event loop the work is passed on; once it is done there, it is answered from memory."""
    with mall.memory(NOBODY) as ctx, pytest.raises(MemoryOnly):
        api.diff_versions(ctx, version="2026-01-01")
    with mall.begin(NOBODY) as ctx:
        found = api.diff_versions(ctx, version="2026-01-01")
    with mall.memory(NOBODY) as ctx:
        assert api.diff_versions(ctx, version="2026-01-01") == found
        assert api.list_versions(ctx)


def test_schemas_are_files_of_their_version(mall: Mall) -> None:
    """Each form is of the version that was asked for."""
    with mall.begin(NOBODY) as ctx:
        openapi = api.schema(ctx, version="2026-01-01")
        contract = api.schema(ctx, version="2026-01-01", form="contract")
        graphql = api.schema(ctx, version="2026-01-01", form="graphql")
    document = json.loads(openapi.body)
    assert (document["info"]["version"], "/purchases" in document["paths"]) == ("2026-01-01", True)
    assert json.loads(contract.body)["operations"]["shop.place_order"]["path"] == "/purchases"
    assert b"sku: String!" in graphql.body
    assert graphql.content_type.startswith("text/plain")


PATHS = {
    "/versions": "application/json",
    "/versions/2026-05-01/release": "application/json",
    "/versions/2026-05-01/differences": "application/json",
    "/versions/2026-05-01/notes": "application/json",
    "/versions/2026-05-01/schema?form=openapi": "application/json",
    "/versions/2026-05-01/schema?form=graphql": "text/plain; charset=utf-8",
}


def test_they_are_served_to_everybody(mall: Mall) -> None:
    """Over HTTP without a credential: with an entity tag, so that what is known is not sent again."""
    dispatch = Dispatch(mall, lambda request: None)
    for path, media_type in PATHS.items():
        where, _, query = path.partition("?")
        response = dispatch.run(Request("GET", where, query, {}, b"", "/api"))
        headers = dict(response.headers)
        assert (response.status, headers["content-type"]) == (200, media_type)
        again = dispatch.run(Request("GET", where, query, {"if-none-match": headers["etag"]}, b"", "/api"))
        assert again.status == 304


def test_the_examples_of_operations_run() -> None:
    """What a docstring shows is what happens."""
    said: list[str] = []
    runner = doctest.DocTestRunner(verbose=False)
    with Mall.open("sqlite://", follow=False) as mall, mall.begin(NOBODY) as ctx:
        for name in api.__all__:
            text, names = inspect.getdoc(getattr(api, name)) or "", {**vars(api), "ctx": ctx}
            runner.run(doctest.DocTestParser().get_doctest(text, names, name, None, None), out=said.append)
    assert not runner.failures, "".join(said)
    assert runner.tries > 4
