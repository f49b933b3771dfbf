"""Each version of the API in GraphQL: its own names, and the same connections, edges and ids."""

from typing import Any

import pytest
from pydantic import BaseModel, RootModel

from mallcore import Context, Mall, hookimpl
from mallcore.api.releases import OURS
from mallcore.api.versions import Change, field
from mallcore.api.versions import operation as saying
from mallcore.kernel.operations import Rest, operation
from mallcore.kernel.paging import Cursor, Limit, Page
from tests.api.graphql.conftest import Asking
from tests.api.versions.declaring import changed

OLD, MIDDLE, NEW = "2026-05-01", "2026-08-01", "2026-11-01"


@pytest.fixture(params=sorted(OURS.names))
def versioned(request: pytest.FixtureRequest, mall: Mall) -> Asking:
    """The bookshop, asked in one version."""
    asking = Asking(mall)
    asking.version = f"/{request.param}"
    return asking


def test_pages_and_edges_are_the_same_in_all(versioned: Asking) -> None:
    """What a version calls the members of a page or of an entity changes nothing of how one walks."""
    versioned('mutation { accessGrant(principal: "user:ada", role: "editor") { id } }')
    pages = """query($a: String) { structureLog(channel: "books", first: 1, after: $a) {
        edges { cursor node { id number } } pageInfo { hasNextPage endCursor }
    } }"""
    first = versioned(pages)["structureLog"]
    second = versioned(pages, {"a": first["edges"][0]["cursor"]})["structureLog"]
    assert second["edges"][0]["node"]["number"] == first["edges"][0]["node"]["number"] - 1
    shown = versioned("""{
        structureListUnits(first: 2) { nodes { channels(first: 2) { nodes { slug node(node: "fiction") {
            path attachments(first: 2) { nodes { id } } effectiveRules { rules { source } }
        } } } } }
        accessListGrants { nodes { id } } accessListRoles(first: 1) { nodes { id } }
    }""")
    (channel,) = shown["structureListUnits"]["nodes"][0]["channels"]["nodes"]
    assert channel["node"] == {"path": "fiction", "attachments": {"nodes": []}, "effectiveRules": {"rules": []}}
    ids = [shown[name]["nodes"][0]["id"] for name in ("accessListGrants", "accessListRoles")]
    ids.append(first["edges"][0]["node"]["id"])
    found = versioned("query($ids: [ID!]!) { nodes(ids: $ids) { __typename id } }", {"ids": ids})["nodes"]
    assert [(one["__typename"], one["id"]) for one in found] == list(
        zip(("Grant", "Role", "Revision"), ids, strict=True)
    )


@pytest.mark.parametrize(
    ("version", "text", "told"),
    [
        (OLD, 'mutation { accessGrant(principal: "user:ada", role: "editor") { author } }', {"author": "system:tests"}),
        (NEW, 'mutation { accessGrant(principal: "user:ada", role: "editor") { grantedBy } }',
         {"grantedBy": "system:tests"}),
        (OLD, '{ structureTree(channel: "books", levels: 1) { nodes { type children { slug } } } }',
         {"nodes": [{"type": "section", "children": []}]}),
        (MIDDLE, '{ structureTree(channel: "books", depth: 1) { nodes { kind children { slug } } } }',
         {"nodes": [{"kind": "section", "children": []}]}),
        (MIDDLE, 'mutation { structureMove(channel: "books", node: "fiction", to: null) { path } }',
         {"path": "fiction"}),
    ],
)  # fmt: skip
def test_each_version_has_its_names(mall: Mall, version: str, text: str, told: object) -> None:
    """Arguments go up and results come down: through the changes that REST goes through."""
    graphql = Asking(mall)
    graphql.version = f"/{version}"
    assert list(graphql(text).values()) == [told]


def test_errors_speak_the_version_of_their_caller(mall: Mall) -> None:
    """What is wrong with a parameter is said under the name it has there."""
    graphql = Asking(mall)
    graphql.version = f"/{OLD}"
    assert graphql.refused('{ structureTree(channel: "books", levels: 0) { slug } }')[0]["field"] == "levels"
    assert graphql.refused('{ structureTree(channel: "books", levels: 1, minRevision: -1) { slug } }')[0]["field"] == (
        "minRevision"
    )
    for argument in ("first: 0", 'after: "nonsense"', 'after: "2~nonsense"'):
        for text in ("{ structureListChannels(%s) { nodes { slug } } }",
                     "{ structureListUnits { nodes { channels(%s) { nodes { slug } } } } }"):  # fmt: skip
            assert graphql.refused(text % argument)[0]["field"] == argument.partition(":")[0]
    assert graphql.refused('{ structureTree(channel: "books", depth: 1) { slug } }')[0]["code"] == "invalid-document"


class Wish(BaseModel):
    title: str


class Done(BaseModel):
    done: bool


@operation(permission=None, name="wishes.list", rest=Rest("GET", "/wishes"))
def wishes(ctx: Context, *, limit: Limit = 50, cursor: Cursor | None = None) -> Page[Wish]:
    """List wishes."""
    return Page[Wish](items=[Wish(title="a")])


@operation(permission=None, name="wishes.forget", kind="command", rest=Rest("DELETE", "/wishes", 204))
def forget(ctx: Context) -> None:
    """Forget all."""


class Bag(RootModel[dict[str, Wish]]):
    """Wishes by name."""


class Chain(RootModel[list["Chain"]]):
    """Holds itself."""


@operation(permission=None, name="wishes.pack", kind="command", rest=Rest("PUT", "/wishes/bag"))
def pack(ctx: Context, *, bag: Bag, chain: Chain | None = None) -> list[Bag]:
    """Pack wishes."""
    return [bag]


class Wishes:
    @hookimpl
    def operations_extra(self) -> list[Any]:
        return [wishes, forget, pack]

    @hookimpl
    def changes_extra(self) -> list[type[Change]]:
        renamed = changed(Wish, field("title").was_named("name"))
        pages = saying("wishes.list").returned(list[Wish], down=lambda page: page["items"])
        nothing = saying("wishes.forget").returned(Done, down=lambda _: {"done": True})
        return [renamed, changed((), pages, nothing)]


def test_what_returned_something_else_is_what_it_was() -> None:
    """A list that became a page, and an object that became nothing, are that in the older version; in REST, too."""
    with Mall.open("sqlite://", plugins=[Wishes()]) as mall:
        graphql = Asking(mall)
        assert graphql("{ wishesList { nodes { title } } }") == {"wishesList": {"nodes": [{"title": "a"}]}}
        assert graphql("mutation { wishesForget }") == {"wishesForget": True}
        assert graphql.send("DELETE", path="/wishes").status == 204
        graphql.version = "/2026-08-01"
        assert graphql("{ wishesList { name } }") == {"wishesList": [{"name": "a"}]}
        assert graphql("mutation { wishesForget { done } }") == {"wishesForget": {"done": True}}
        told = graphql.send("DELETE", path="/2026-08-01/wishes")
        assert (told.status, told.body) == (200, b'{"done":true}')


def test_a_model_that_only_names_what_it_holds_is_that() -> None:
    """Lists and maps under a name are lists and maps in every version; what holds itself is JSON."""
    with Mall.open("sqlite://", plugins=[Wishes()]) as mall:
        graphql = Asking(mall)
        for graphql.version, name in (("", "title"), ("/2026-08-01", "name")):
            text = 'mutation { wishesPack(bag: {a: {NAME: "b"}}, chain: [[], [[]]]) }'.replace("NAME", name)
            assert graphql(text) == {"wishesPack": [{"a": {name: "b"}}]}
