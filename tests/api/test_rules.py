"""The pure rules of the REST face."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mallcore import errors
from mallcore.api.rules import tus
from mallcore.api.rules.negotiation import BadTag, accepts, matches, names, request_id_of, revision_of
from mallcore.api.rules.problems import Refused, document, status_of
from mallcore.api.rules.routes import Routes, split

NODES = [
    ("GET", "/channels/{channel}/nodes/{node}", "show"),
    ("DELETE", "/channels/{channel}/nodes/{node}", "remove"),
    ("POST", "/channels/{channel}/nodes", "create"),
    ("POST", "/channels/{channel}/nodes/{node}/move", "move"),
    ("POST", "/channels/{channel}/nodes/{node}/restore", "restore"),
    ("GET", "/channels/{channel}", "channel"),
    ("GET", "/", "index"),
]
ROUTES = Routes(NODES)
slugs = st.text("abcmove.-_", min_size=1, max_size=6)


@given(channel=slugs, path=st.lists(slugs, min_size=1, max_size=6))
def test_a_path_of_slugs_finds_its_operation(channel: str, path: list[str]) -> None:
    """However many slugs lead to a node, and whatever they are called, the rest of the route decides."""
    node = "/".join(path)
    at = split(f"/channels/{channel}/nodes/{node}")
    assert ROUTES.match("GET", at) == ("show", {"channel": channel, "node": node})
    assert ROUTES.match("POST", [*at, "move"]) == ("move", {"channel": channel, "node": node})
    assert ROUTES.match("POST", [*at, "restore"]) == ("restore", {"channel": channel, "node": node})


@given(st.lists(st.text(max_size=4), max_size=12))
def test_any_path_is_matched_or_not(segments: list[str]) -> None:
    """No path makes the table fail; an empty segment is never a parameter."""
    for method in ("GET", "POST", "BREW"):
        found = ROUTES.match(method, segments)
        if found is not None:
            assert all("" not in value.split("/") for value in found[1].values())


def test_a_long_path_is_matched_in_time() -> None:
    """Thousands of segments are no way to keep the table busy."""
    assert ROUTES.match("POST", ["channels", "c", "nodes", *["move"] * 20_000, "x"]) is None
    found = ROUTES.match("POST", ["channels", "c", "nodes", *["move"] * 20_000])
    assert found is not None
    assert found[0] == "move"


def test_two_operations_at_one_place_are_refused() -> None:
    """A catalogue in which two operations answer the same request can't be served."""
    with pytest.raises(ValueError, match="GET /a"):
        Routes([("GET", "/a", 1), ("GET", "/a", 2)])


def test_methods_of_a_path() -> None:
    """The methods that mean something at a path are known, for 405 and OPTIONS."""
    assert ROUTES.methods(split("/channels/c/nodes/a/b")) == ["DELETE", "GET"]
    assert ROUTES.methods(split("/channels/c/nodes/a/move")) == ["DELETE", "GET", "POST"]
    assert ROUTES.methods(split("/channels/c/nodes")) == ["POST"]
    assert ROUTES.methods(split("/nope")) == []


@pytest.mark.parametrize(
    ("header", "json"),
    [
        ("application/json", True),
        ("*/*", True),
        ("application/*", True),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", True),
        ("APPLICATION/JSON; charset=utf-8", True),
        ("application/json;q=0.5, */*;q=0", True),
        ("*/*;q=0", False),
        ("application/json;q=0, */*", False),
        ("application/*;q=0, */*", False),
        ("text/*", False),
        ("application/json;q=high", False),
        ("", False),
    ],
)
def test_what_a_caller_accepts(header: str, json: bool) -> None:
    """The most specific range that covers JSON decides."""
    assert accepts(header, "application/json") is json


def test_events_are_asked_for_by_name() -> None:
    """A stream is given only to who names it: anything is not events."""
    assert names("text/event-stream", "text/event-stream")
    assert not names("*/*", "text/event-stream")
    assert not names("text/event-stream;q=0", "text/event-stream")


@pytest.mark.parametrize("header", ['"12"', "12", ' W/"12" ', '"12.abc..2"', 'W/"12.x"'])
def test_a_revision_is_expected(header: str) -> None:
    """A number and an entity tag of ours say the same."""
    assert revision_of(header) == 12


@pytest.mark.parametrize("header", ["", "abc", '"abc"', '"12', '"1","2"', "-1", "12.5", '"12abc"', "9" * 30])
def test_what_expects_no_revision_is_refused(header: str) -> None:
    """A precondition that is not understood must not be taken for none."""
    with pytest.raises(BadTag):
        revision_of(header)


def test_tags_are_compared_weakly() -> None:
    """A proxy may have made a tag weak; lists and `*` count."""
    assert matches('"x", W/"12.a"', '"12.a"')
    assert matches(" * ", '"12.a"')
    assert not matches('"12"', '"12.a"')
    assert not matches("", '"12.a"')


@given(st.text(max_size=120))
def test_a_request_id_is_harmless(text: str) -> None:
    """What is taken over from a caller fits in a header and in a log line."""
    found = request_id_of(text)
    assert found is None or (found == text and found.isascii() and found.isprintable() and 0 < len(found) <= 100)


def test_every_error_has_a_status() -> None:
    """A kind of error that is not named has the status of the nearest above it."""
    assert status_of(errors.InvalidReference) == status_of(errors.MalformedTaxonomy) == 422
    assert status_of(errors.UnknownNode) == 404
    assert status_of(errors.EditConflict) == 409
    assert status_of(errors.ChannelRemoved) == 410
    assert status_of(errors.RevisionNotReached) == status_of(errors.DatabaseBusy) == 503
    assert status_of(errors.SpoiledWork) == status_of(RuntimeError) == 500


def test_details_are_shown_but_never_in_the_way() -> None:
    """An error's details stand beside the members of RFC 9457, as JSON, and can't replace them."""
    error = errors.Conflict("no", status=200, code="ok", when={1, 2}, node=errors.TaxonomyProblem(3, "why"), who=object)
    shown = document(error, 409, "/x", "req_1")
    assert (shown["status"], shown["code"], shown["when"]) == (409, "conflict", [1, 2])
    assert shown["node"] == {"line": 3, "reason": "why"}
    assert isinstance(shown["who"], str)
    assert set(document(errors.SpoiledWork(secret=1), 500, "/x", "req_1")) >= {"title", "code"}
    assert "secret" not in document(errors.SpoiledWork(secret=1), 500, "/x", "req_1")


@pytest.mark.parametrize("header", ["filename ä", "filename ?", "filename /w==", "a YQ==,a YQ==", "a " + "A" * 16_000])
def test_metadata_of_tus_that_is_none_is_refused(header: str) -> None:
    """Whatever a client sends for Base64 is answered 400, not by a failure."""
    with pytest.raises(Refused) as caught:
        tus.metadata(header)
    assert caught.value.status == 400
