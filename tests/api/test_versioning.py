"""Versions of the API over HTTP: how one is asked for, what is said of it, and what becomes of one that ends."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mallcore import Mall, Principal, hookimpl
from mallcore.api import Dispatch, Options, Request, Response
from mallcore.api.versions import Change, Release, field
from mallcore.errors import InvalidChange
from mallcore.kernel.context import Credential
from tests.adapters.faces import authenticate
from tests.api.conftest import Asking

BIRTH = datetime(2020, 1, 1, tzinfo=UTC)
DEPRECATED = datetime(2026, 1, 1, tzinfo=UTC)
SUNSET = datetime(2027, 1, 1, tzinfo=UTC)
OFF = datetime(2026, 6, 1, tzinfo=UTC), datetime(2026, 6, 2, tzinfo=UTC)
OLD = Release("2020-01-01", stable=BIRTH, deprecated=DEPRECATED, sunset=SUNSET, brown_outs=(OFF,))
COMING = Release("2099-01-01")


class Ending:
    """A plug-in with a version that ends, and one that is a preview."""

    @hookimpl
    def releases_extra(self) -> list[Release]:
        return [OLD, COMING]


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 24, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    """The mall's clock."""
    return Clock()


@pytest.fixture
def dated(clock: Clock) -> Iterator[Asking]:
    """Ask a mall with a version that ends."""
    with Mall.open("sqlite://", plugins=[Ending()], clock=clock) as mall:
        yield Asking(Dispatch(mall, pinned))


def pinned(request: Request) -> Principal | None:
    """Who asks; a header of the test pins the version, as an API key does."""
    found, pin = authenticate(request), request.headers.get("pin")
    return found if pin is None or found is None else replace(found, credential=Credential("key_1", version=pin))


def read(response: Response) -> Any:
    assert response.status == 200, response.body
    return json.loads(response.body)


@pytest.mark.parametrize(
    ("path", "headers", "version"),
    [
        ("/channels", {}, "2026-11-01"),
        ("/latest/channels", {}, "2026-11-01"),
        ("/2026-08-01/channels", {}, "2026-08-01"),
        ("/channels", {"mall_version": "2026-05-01"}, "2026-05-01"),
        ("/channels", {"mall_version": "latest"}, "2026-11-01"),
        ("/2026-08-01/channels", {"mall_version": "2026-08-01"}, "2026-08-01"),
        ("/channels", {"pin": "2026-08-01"}, "2026-08-01"),
        ("/channels", {"pin": "2026-08-01", "mall_version": "2026-05-01"}, "2026-05-01"),
        ("/2026-05-01/channels", {"pin": "2026-08-01"}, "2026-05-01"),
        ("/2099-01-01/channels", {}, "2099-01-01"),
        ("/2026-05-01", {}, "2026-05-01"),
        ("/2026-05-01/openapi.json", {}, "2026-05-01"),
    ],
)
def test_the_version_that_answers_is_said(dated: Asking, path: str, headers: dict[str, str], version: str) -> None:
    """The path counts before the header, the header before the pin, the pin before the newest stable version."""
    response = dated("GET", path, **headers)
    assert (response.status, response.header("mall-version")) == (200, version)


@pytest.mark.parametrize(
    ("path", "headers", "status", "code"),
    [
        ("/2026-11-02/channels", {}, 404, "unknown-api-version"),
        ("/9999-99-99/channels", {}, 404, "unknown-api-version"),
        ("/channels", {"mall_version": "2001-01-01"}, 404, "unknown-api-version"),
        ("/channels", {"pin": "2001-01-01"}, 404, "unknown-api-version"),
        ("/channels", {"mall_version": "v2"}, 400, "invalid-input"),
        ("/channels", {"mall_version": ""}, 400, "invalid-input"),
        ("/channels", {"mall_version": "2026-11-01, 2026-05-01"}, 400, "invalid-input"),
        ("/2026-08-01/channels", {"mall_version": "2026-05-01"}, 400, "invalid-input"),
        ("/2026-8-1/channels", {}, 404, "unknown-operation"),
        ("/v2/channels", {}, 404, "unknown-operation"),
        ("/2026-08-01/2026-08-01/channels", {}, 404, "unknown-operation"),
    ],
)
def test_no_version_is_guessed(dated: Asking, path: str, headers: dict[str, str], status: int, code: str) -> None:
    """A version that is unknown, malformed or contradicted is refused, and never taken for another."""
    response = dated("GET", path, **headers)
    assert (response.status, json.loads(response.body)["code"]) == (status, code)


def test_the_versions_there_are_are_named(dated: Asking) -> None:
    """Who asks for an unknown version is told those there are."""
    assert json.loads(dated("GET", "/2001-01-01/channels").body)["known"].startswith("2099-01-01, 2026-11-01")


def test_a_body_is_read_in_any_spelling_of_the_version(dated: Asking) -> None:
    """Streams and uploads know the version in their path, too."""
    made = dated("POST", "/2026-08-01/channels", {"slug": "books", "name": "Books"})
    assert str(made.header("location")).startswith("/api/2026-08-01/channels/chn_")
    response = dated("POST", "/2026-08-01/attachments", b"hello", query="file_name=a.txt&owner=channel:books")
    assert response.status == 201, response.body


def test_a_deprecated_version_says_so(dated: Asking) -> None:
    """While it lives, each response says since when it is deprecated, when it ends, and where to read what to do."""
    response = dated("GET", "/2020-01-01/channels")
    assert response.status == 200
    assert response.header("deprecation") == "@1767225600"
    assert response.header("sunset") == "Fri, 01 Jan 2027 00:00:00 GMT"
    assert response.header("link") == (
        '</api/versions/2020-01-01/notes>; rel="deprecation", '
        '</api/versions/2020-01-01/notes>; rel="sunset", '
        '</api/2026-05-01/>; rel="successor-version"'
    )
    assert dated("GET", "/channels").header("deprecation") is None


def test_a_refusal_of_a_deprecated_version_says_so_too(dated: Asking) -> None:
    """Errors carry the same headers: they are what people read."""
    response = dated("GET", "/2020-01-01/channels/nowhere")
    assert (response.status, response.header("deprecation")) == (404, "@1767225600")


def test_a_version_is_gone_after_its_sunset(dated: Asking, clock: Clock) -> None:
    """410, with the successor and the notes; the others live on, and the default never falls back to it."""
    clock.now = SUNSET
    for response in (dated("GET", "/2020-01-01/channels"), dated("POST", "/2020-01-01/channels", {"slug": "a"})):
        problem = json.loads(response.body)
        assert (response.status, problem["code"]) == (410, "version-sunset")
        assert problem["successor"] == "2026-05-01"
        assert problem["notes"] == "/api/versions/2020-01-01/notes"
        assert response.header("sunset") == "Fri, 01 Jan 2027 00:00:00 GMT"
    assert dated("GET", "/channels", pin="2020-01-01").status == 410
    assert dated("GET", "/channels").status == 200


def test_what_may_be_done_depends_on_the_version_too(dated: Asking, clock: Clock) -> None:
    """OPTIONS says which version it is about, and refuses those that are not there, for REST and GraphQL."""
    for path in ("/channels", "/graphql"):
        assert dated("OPTIONS", f"/2026-05-01{path}").header("mall-version") == "2026-05-01"
        assert dated("OPTIONS", f"/2001-01-01{path}").status == 404
        assert dated("OPTIONS", f"/2020-01-01{path}").header("deprecation") == "@1767225600"
    clock.now = SUNSET
    assert [dated("OPTIONS", f"/2020-01-01{path}").status for path in ("/channels", "/graphql")] == [410, 410]


def test_a_brown_out_ends_by_itself(dated: Asking, clock: Clock) -> None:
    """Within its window the version is off, with a code of its own; before and after it answers."""
    clock.now = OFF[0] - timedelta(seconds=1)
    assert dated("GET", "/2020-01-01/channels").status == 200
    clock.now = OFF[0]
    response = dated("GET", "/2020-01-01/channels")
    assert (response.status, json.loads(response.body)["code"]) == (410, "version-brown-out")
    assert json.loads(response.body)["until"] == "2026-06-02T00:00:00+00:00"
    assert response.header("retry-after") is None
    clock.now = OFF[1]
    assert dated("GET", "/2020-01-01/channels").status == 200


def test_a_preview_is_never_the_default(dated: Asking, clock: Clock) -> None:
    """The newest stable version is the latest; a preview answers only who asks for it."""
    assert dated("GET", "/latest/channels").header("mall-version") == "2026-11-01"
    clock.now = datetime(2026, 9, 1, tzinfo=UTC)
    assert dated("GET", "/channels").header("mall-version") == "2026-08-01"


def test_a_host_chooses_the_default(dated: Asking) -> None:
    """A host may keep those who ask for no version at one of its choice."""
    ask = Asking(Dispatch(dated.dispatch.mall, authenticate, Options(version="2026-05-01")))
    assert ask("GET", "/channels").header("mall-version") == "2026-05-01"


def test_the_document_of_an_ending_version_says_so(dated: Asking) -> None:
    """Each operation is deprecated there, and has its last day; those of a version that lives on are not."""
    ending = read(dated("GET", "/2020-01-01/openapi.json"))["paths"]["/units"]["get"]
    assert (ending["deprecated"], ending["x-sunset"]) == (True, "2027-01-01")
    assert "deprecated" not in read(dated("GET", "/2026-11-01/openapi.json"))["paths"]["/units"]["get"]


def test_the_document_names_what_is_on_its_way_out(dated: Asking) -> None:
    """Fields and parameters that newer versions call otherwise are deprecated in the older one's document."""
    document = read(dated("GET", "/2026-05-01/openapi.json"))
    grant = document["components"]["schemas"]["Grant"]["properties"]["author"]
    assert (grant["deprecated"], "granted_by" in grant["description"]) == (True, True)
    (levels,) = [
        one for one in document["paths"]["/channels/{channel}/tree"]["get"]["parameters"] if one.get("name") == "levels"
    ]
    assert (levels["deprecated"], "depth" in levels["description"]) == (True, True)
    assert "'deprecated': True" not in str(read(dated("GET", "/2026-11-01/openapi.json"))["components"])


@pytest.mark.parametrize(
    ("accept", "content_type", "begins"),
    [
        ("text/markdown", "text/markdown; charset=utf-8", b"# "),
        ("application/atom+xml", "application/atom+xml; charset=utf-8", b"<?xml"),
        ("application/json", "application/json", b"{"),
        ("text/html, */*;q=0.1", "application/json", b"{"),
    ],
)
def test_the_notes_come_in_the_form_that_is_asked_for(
    dated: Asking, accept: str, content_type: str, begins: bytes
) -> None:
    """Where `Link` points to, people find Markdown, feed readers a feed, and programs JSON."""
    response = dated("GET", "/versions/2026-05-01/notes", accept=accept)
    assert (response.status, response.header("content-type")) == (200, content_type)
    assert response.body.startswith(begins)
    assert b"granted_by" in response.body
    again = dated("GET", "/versions/2026-05-01/notes", accept=accept, if_none_match=str(response.header("etag")))
    assert again.status == 304


def test_the_notes_of_a_version_that_is_gone_can_be_read(dated: Asking, clock: Clock) -> None:
    """They are needed most when it is too late."""
    clock.now = SUNSET
    problem = json.loads(dated("GET", "/2020-01-01/channels").body)
    assert dated("GET", problem["notes"].removeprefix("/api")).status == 200


class Misspelt:
    """A plug-in whose change names an operation that is not there."""

    @hookimpl
    def changes_extra(self) -> list[type[Change]]:
        class Wrong(Change):
            """Why."""

            version = "2026-11-01"
            touches = "structure.creat_channel"
            was = [field("name").was_named("title")]  # noqa: RUF012 - it is a declaration

        return [Wrong]


def test_a_change_of_nothing_is_found_on_opening() -> None:
    """A mall with a change that names what is not there does not open."""
    with pytest.raises(InvalidChange, match="creat_channel"):
        Mall.open("sqlite://", plugins=[Misspelt()])
