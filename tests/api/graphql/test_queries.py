"""Reading and writing in GraphQL: operations, connections, entities, errors and refusals."""

from typing import Any

import pytest

from mallcore import Mall, Principal, access
from mallcore.api import Options
from mallcore.api.graphql import GraphQLOptions
from mallcore.api.graphql.limits import Limits
from tests.api.conftest import OWNER
from tests.api.graphql.conftest import Asking

ADA = Principal.user("ada")
PAGES = """
query($first: Int, $after: String) { structureLog(channel: "books", first: $first, after: $after) {
  edges { cursor node { number } } nodes { number }
  pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
} }
"""


def grown(graphql: Asking, names: str = "abcdefg") -> None:
    """A channel with a revision for each of these."""
    for name in names:
        graphql(
            'mutation($n: String!) { structureCreateNode(channel: "books", name: $n) { revision } }', {"n": name * 3}
        )


def test_an_operation_is_a_field(graphql: Asking) -> None:
    """A query's field takes the operation's parameters and shows its result, in camelCase."""
    found = graphql('{ structureGetChannel(channel: "books") { slug unitId createdAt settings removedAt } }')
    channel = found["structureGetChannel"]
    assert (channel["slug"], channel["settings"], channel["removedAt"]) == ("books", {}, None)
    assert channel["unitId"].startswith("unt_")
    assert channel["createdAt"].endswith("Z")


def test_a_page_is_a_connection(graphql: Asking) -> None:
    """Pages are walked by `after`, from the end of a page or from any item in it, and hold each item once."""
    grown(graphql)
    numbers = [one["number"] for one in graphql(PAGES, {"first": 200})["structureLog"]["nodes"]]
    assert len(numbers) >= 7
    seen: list[int] = []
    after = None
    while True:
        page = graphql(PAGES, {"first": 3, "after": after})["structureLog"]
        assert [edge["node"] for edge in page["edges"]] == page["nodes"]
        assert page["pageInfo"]["hasPreviousPage"] is (after is not None)
        seen += [one["number"] for one in page["nodes"]]
        after = page["pageInfo"]["endCursor"]
        if not page["pageInfo"]["hasNextPage"]:
            break
    assert seen == numbers
    assert graphql(PAGES, {"first": 3, "after": after})["structureLog"]["nodes"] == []


@pytest.mark.parametrize("size", [1, 3, 200])
def test_each_item_has_a_cursor(graphql: Asking, size: int) -> None:
    """What follows an item's cursor is what follows the item."""
    grown(graphql)
    edges = graphql(PAGES, {"first": size})["structureLog"]["edges"]
    numbers = [one["number"] for one in graphql(PAGES, {"first": 200})["structureLog"]["nodes"]]
    for place, edge in enumerate(edges[:8], 1):
        following = graphql(PAGES, {"first": 2, "after": edge["cursor"]})["structureLog"]["nodes"]
        assert [one["number"] for one in following] == numbers[place : place + 2]


@pytest.mark.parametrize("cursor", ["nonsense", "0~", "999~", "3~nonsense", "\0", "~"])
def test_a_cursor_of_nobody_is_refused(graphql: Asking, cursor: str) -> None:
    """A cursor that was never given is an error, and no page."""
    assert [one["code"] for one in graphql.refused(PAGES, {"first": 2, "after": cursor})] == ["invalid-input"]


def test_a_page_may_not_be_huge(graphql: Asking) -> None:
    """How much is asked for at once is limited before anything is asked of the database."""
    assert graphql.refused(PAGES, {"first": 100_000})[0]["code"] == "limit-exceeded"
    assert graphql.refused(PAGES, {"first": 0})[0]["code"] == "invalid-input"


ENTITIES = """
mutation {
  unit: structureCreateUnit(slug: "toys", name: "Toys") { id }
  channel: structureCreateChannel(slug: "toys", name: "Toys", unit: "toys") { id }
  draft: structureOpenDraft(channel: "toys", name: "Autumn") { id }
  node: structureCreateNode(channel: "toys", name: "Dolls", kind: SECTION) { id }
  snapshot: structureCreateSnapshot(name: "spring") { id }
  version: attachmentsUploadFile(file: "aGVsbG8=", fileName: "a.txt", owner: "channel:toys") { id attachment { id } }
  grant: accessGrant(principal: "user:ada", role: "editor") { id }
  role: accessSetRole(role: "lister", permissions: ["structure.read"]) { id }
}
"""


def test_entities_are_found_by_their_ids(graphql: Asking) -> None:
    """`node(id:)` gives back what said that it has this id, of whatever kind it is."""
    made = graphql(ENTITIES)
    log = graphql('{ structureLog(channel: "toys") { nodes { id } } auditListRecords(first: 1) { nodes { id } } }')
    ids = {name: one["id"] for name, one in made.items() if name != "node"}
    ids |= {"attachment": made["version"]["attachment"]["id"], "revision": log["structureLog"]["nodes"][0]["id"]}
    ids["record"] = log["auditListRecords"]["nodes"][0]["id"]
    found = graphql("query($ids: [ID!]!) { nodes(ids: $ids) { __typename id } }", {"ids": list(ids.values())})["nodes"]
    assert [one["id"] for one in found] == list(ids.values())
    assert [one["__typename"].lower() for one in found] == list(ids)
    one = graphql("query($id: ID!) { node(id: $id) { ... on Unit { slug channels { nodes { slug } } } } }",
                  {"id": ids["unit"]})  # fmt: skip
    assert one["node"] == {"slug": "toys", "channels": {"nodes": [{"slug": "toys"}]}}


@pytest.mark.parametrize(
    ("id", "code"),
    [
        ("", "invalid-input"), ("unt_1", "unknown-unit"), ("nothing:1", "invalid-input"),
        ("Snapshot:", "invalid-input"),
        ("Snapshot:x", "unknown-snapshot"), ("Revision:books", "invalid-input"), ("Revision:books:x", "invalid-input"),
        ("Role:nobody", "invalid-input"), ("a" * 100_000, "invalid-input"), ("chn_\0", "invalid-input"),
    ],
)  # fmt: skip
def test_an_id_of_nothing_is_refused(graphql: Asking, id: str, code: str) -> None:
    """An id that names nothing is an error at its place, with the code of what is missing."""
    told = graphql.told("query($id: ID!) { node(id: $id) { id } }", {"id": id})
    assert told["data"] == {"node": None}
    assert [(one["extensions"]["code"], one["path"]) for one in told["errors"]] == [(code, ["node"])]


def test_edges_lead_from_one_to_another(graphql: Asking) -> None:
    """From a unit to a channel, to its tree, revisions, drafts and files, and back."""
    graphql(ENTITIES)
    found = graphql("""{ structureGetUnit(unit: "toys") { channels(first: 2) { nodes {
        unit { slug } tree(depth: 1) { revision nodes { name } channel { slug } } node(node: "dolls") { path }
        revisions(first: 2) { nodes { number channel { slug } tree { nodes { slug } } } }
        drafts(first: 2) { nodes { name channelId channel { slug } preview { onto draft { name } } } }
        attachments(first: 2) { nodes { id live { fileName attachmentId } versions { nodes { n } } } }
    } } } structureGetSnapshot(snapshot: "spring") { revisions { number channel { slug } } } }""")
    (channel,) = found["structureGetUnit"]["channels"]["nodes"]
    assert channel["unit"] == {"slug": "toys"}
    assert channel["tree"] == {"revision": 1, "nodes": [{"name": "Dolls"}], "channel": {"slug": "toys"}}
    assert channel["node"] == {"path": "dolls"}
    (revision,) = channel["revisions"]["nodes"]
    assert revision == {"number": 1, "channel": {"slug": "toys"}, "tree": {"nodes": [{"slug": "dolls"}]}}
    assert channel["drafts"]["nodes"][0]["preview"] == {"onto": 1, "draft": {"name": "Autumn"}}
    (attachment,) = channel["attachments"]["nodes"]
    assert attachment["live"] == {"fileName": "a.txt", "attachmentId": attachment["id"]}
    heads = found["structureGetSnapshot"]["revisions"]
    assert {"number": 1, "channel": {"slug": "toys"}} in heads
    assert len(heads) == 2


def test_mutations_are_done_in_order_each_by_itself(graphql: Asking) -> None:
    """One that fails undoes nothing of those before it, and keeps none after it from being done."""
    told = graphql.told("""mutation {
        a: structureCreateUnit(slug: "a", name: "A") { slug channels { nodes { slug } } }
        b: structureCreateUnit(slug: "a", name: "B") { slug }
        c: structureCreateUnit(slug: "c", name: "C") { slug }
    }""")
    assert told["data"] == {"a": {"slug": "a", "channels": {"nodes": []}}, "b": None, "c": {"slug": "c"}}
    assert [(one["path"], one["extensions"]["code"]) for one in told["errors"]] == [(["b"], "already-exists")]
    units = graphql("{ structureListUnits { nodes { slug } } }")["structureListUnits"]["nodes"]
    assert {"slug": "a"} in units
    assert {"slug": "c"} in units


def test_what_a_mutation_shows_is_what_was_written(graphql: Asking) -> None:
    """Edges of a mutation's result are read after it, never from before."""
    edit = 'structureCreateNode(channel: "books", name: "%s", kind: SECTION) { revision }'
    told = graphql(f"mutation {{ a: {edit % 'One'} b: {edit % 'Two'} "
                   'c: structureUpdateChannel(channel: "books", name: "New") { name tree { revision } } }')  # fmt: skip
    assert told["c"]["tree"]["revision"] == told["b"]["revision"] + 1
    assert told["b"]["revision"] == told["a"]["revision"] + 1


def test_one_of_many_edits(graphql: Asking) -> None:
    """An edit is an object with one member, named after what it does; its enums and defaults are GraphQL's."""
    edits: list[Any] = [
        {"create": {"name": "Zoo", "kind": "SECTION", "rules": [{"pin": {"product": "p1", "place": 2}}]}},
        {"remove": {"node": "zoo", "policy": "CASCADE"}},
    ]
    text = 'mutation($e: [EditInput!]!) { structureEdit(channel: "books", edits: $e) { changed counts } }'
    found = graphql(text, {"e": edits})["structureEdit"]
    assert found["counts"]
    for wrong in ([{}], [{"create": {"name": "A"}, "remove": {"node": "zoo"}}], [{"create": None}], [{"nothing": {}}]):
        assert graphql.refused(text, {"e": wrong})[0]["code"] == "invalid-input"


def test_errors_have_the_codes_and_details_of_problem_documents(graphql: Asking) -> None:
    """`extensions` says what a problem document says: code, type, status, details, and the request's id."""
    (error,) = graphql.told('{ structureGetChannel(channel: "nothing") { id } }')["errors"]
    told = error["extensions"]
    assert error["message"].startswith("There is no channel")
    assert (told["code"], told["status"], told["channel"]) == ("unknown-channel", 404, "nothing")
    assert told["type"] == "urn:mallcore:error:unknown-channel"
    assert told["request_id"].startswith("req_")
    stale = graphql.refused('mutation { structureUpdateUnit(unit: "main", name: "X", expectedRevision: 99) { id } }')
    assert (stale[0]["code"], stale[0]["expected"]) == ("stale-revision", 99)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("{", "invalid-document"), ("", "invalid-document"), ("{ nothing }", "invalid-document"),
        ("query A { apiVersion } query B { apiVersion }", "invalid-document"),
        ("{ ...A } fragment A on Query { ...A }", "invalid-document"),
        ("query($x: Int!) { apiVersion @include(if: $x) }", "invalid-document"),
        ("{" * 200 + "}" * 200, "invalid-document"),
        ("{ " + " ".join(f"a{number}: apiVersion" for number in range(500)) + " }", "limit-exceeded"),
        ("{ structureListUnits { nodes { channels { nodes " + "{ unit { channels { nodes " * 20
         + "{ id }" + " } } }" * 20 + " } } } }", "limit-exceeded"),
        ("{ " + "apiVersion " * 6000 + " }", "limit-exceeded"),
        ("query($c: String!) { structureGetChannel(channel: $c) { id } }", "invalid-input"),
    ],
)  # fmt: skip
def test_documents_that_are_refused(graphql: Asking, text: str, code: str) -> None:
    """What is wrong, cyclic, deep, wide, aliased or long is refused before anything of it is executed."""
    told = graphql.told(text)
    assert "data" not in told
    assert {one["extensions"]["code"] for one in told["errors"]} == {code}


def test_refusals_go_on_record(graphql: Asking, mall: Mall) -> None:
    """Who may not is refused by code, as over REST, and each refusal is in the audit log with its operation."""
    asked = """{
        structureGetChannel(channel: "books") { id } accessListGrants { nodes { id } } accessMyPermissions { principal }
    }"""
    told = graphql.told(asked, by=ADA)
    assert told["data"] == {
        "structureGetChannel": None, "accessListGrants": None, "accessMyPermissions": {"principal": "user:ada"},
    }  # fmt: skip
    assert [one["extensions"]["code"] for one in told["errors"]] == ["denied", "denied"]
    nobody = graphql.told(asked, by=Principal.anonymous())
    assert {one["extensions"]["code"] for one in nobody["errors"]} == {"unauthenticated"}
    graphql.refused('mutation { structureCreateUnit(slug: "x", name: "X") { id } }', by=ADA)
    records = graphql("{ auditListRecords(outcome: DENIED) { nodes { principal operation } } }")
    found = [(one["principal"], one["operation"]) for one in records["auditListRecords"]["nodes"]]
    assert ("user:ada", "structure.create_unit") in found
    assert found.count(("user:ada", "structure.get_channel")) == found.count(("user:ada", "access.list_grants")) == 1
    assert ("anonymous:*", "structure.get_channel") in found


def test_what_may_be_seen_is_what_an_edge_shows(graphql: Asking, mall: Mall) -> None:
    """An edge asks for its own permission: who may see a channel may not see its drafts for that."""
    with mall.begin(OWNER) as ctx:
        access.grant(ctx, principal="user:ada", role="visitor", scope="channel", channel="books")
    told = graphql.told(
        '{ structureGetChannel(channel: "books") { slug unit { slug } drafts { nodes { id } } } }', by=ADA
    )
    assert told["data"]["structureGetChannel"] == {"slug": "books", "unit": None, "drafts": None}
    assert {one["path"][-1]: one["extensions"]["code"] for one in told["errors"]} == {
        "unit": "denied",
        "drafts": "denied",
    }


def test_nothing_from_the_inside_is_shown(graphql: Asking, monkeypatch: pytest.MonkeyPatch) -> None:
    """What goes wrong inside is logged under the request's id, and nothing else of it is told."""
    found = graphql.mall.catalogue["structure.list_units"]
    monkeypatch.setattr(type(found), "accept", lambda *_: 1 / 0)
    (error,) = graphql.told("{ structureListUnits { nodes { id } } }")["errors"]
    assert error["extensions"]["code"] == "mall-error"
    assert "division" not in str(error)
    assert error["extensions"]["request_id"] in error["message"]


def test_so_many_ids_are_found_at_once(graphql: Asking) -> None:
    """As many as a page holds at most."""
    text = "query($ids: [ID!]!) { nodes(ids: $ids) { id } }"
    assert graphql(text, {"ids": ["Role:owner"] * 200})["nodes"] == [{"id": "Role:owner"}] * 200
    assert graphql.refused(text, {"ids": ["Role:owner"] * 201})[0]["code"] == "limit-exceeded"


def test_a_request_has_its_time(mall: Mall) -> None:
    """What has not been begun when the time is over is not begun: the whole is refused."""
    hasty = Asking(mall, Options(graphql=GraphQLOptions(limits=Limits(seconds=-1.0))))
    told = hasty.told("{ structureListUnits { nodes { channels { nodes { tree { nodes { name } } } } } } }")
    assert "data" not in told
    assert told["errors"][0]["extensions"]["code"] == "limit-exceeded"
