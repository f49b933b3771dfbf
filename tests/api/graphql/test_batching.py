"""What a page asks of the database does not depend on how long the page is."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import event

from mallcore import Mall, Principal, access, attachments, structure
from mallcore.api import Options
from mallcore.api.graphql import GraphQLOptions
from mallcore.api.graphql.limits import Limits
from tests.api.conftest import OWNER
from tests.api.graphql.conftest import Asking

ADA = Principal.user("ada")
CHANNEL = """
  slug
  unit { name channels(first: 1) { nodes { slug } } }
  tree { nodes { name } }
  node(node: "fiction") { name breadcrumbs { name } channel { slug } }
  revisions(first: 2) { nodes { number message at channel { slug } detail { edits } } pageInfo { hasNextPage } }
  drafts(first: 3) { nodes { name createdAt channel { slug } preview { onto } } }
  schedules { nodes { id } }
  effectiveRules { revision }
  attachments(first: 2) { nodes {
    labels createdAt live { fileName meta attachment { id } } versions { nodes { n meta unit { slug } } }
  } }
"""
SHELVES = "query($first: Int!) { structureListChannels(first: $first) { nodes {" + CHANNEL + "} } }"
ALONE = "query($c: String!) { structureGetChannel(channel: $c) {" + CHANNEL + "} }"
PATIENT = Options(graphql=GraphQLOptions(limits=Limits(seconds=300)))


def stocked(mall: Mall, count: int) -> Mall:
    """A mall of so many units with a channel each, all alike."""
    for number in range(count):
        with mall.begin(OWNER) as ctx:
            unit = structure.create_unit(ctx, slug=f"unit{number:02}", name=f"Unit {number}").id
            channel = structure.create_channel(ctx, slug=f"shop{number:02}", name="Shop", unit=unit).id
            structure.create_node(ctx, channel=channel, name="Fiction", kind="section")
            structure.open_draft(ctx, channel=channel, name="Autumn")
        with mall.begin(OWNER) as ctx:
            attachments.upload_file(ctx, file=b"x", file_name="x.txt", owner=f"channel:{channel}", meta={"n": number})
    return mall


@pytest.fixture
def shops(mall: Mall) -> Mall:
    """A mall of 50 units with a channel each, all alike."""
    return stocked(mall, 50)


@contextmanager
def counted(mall: Mall) -> Iterator[list[str]]:
    """The statements that this thread sends to the database: what runs in the background is not the page's."""
    sent: list[str] = []
    here = threading.get_ident()

    def note(connection: Any, cursor: Any, statement: str, *more: Any) -> None:
        if threading.get_ident() == here:
            sent.append(statement)

    event.listen(mall.engine, "before_cursor_execute", note)
    try:
        yield sent
    finally:
        event.remove(mall.engine, "before_cursor_execute", note)


def asked(mall: Mall, first: int, by: Principal) -> tuple[int, list[dict[str, Any]]]:
    """How many statements a page takes, and what it shows."""
    graphql = Asking(mall, PATIENT)
    with counted(mall) as sent:
        found = graphql(SHELVES, {"first": first}, by)
    return len(sent), found["structureListChannels"]["nodes"]


@pytest.mark.parametrize("by", [OWNER, ADA], ids=["owner", "reader of units"])
def test_fifty_cost_no_more_statements_than_five(shops: Mall, by: Principal) -> None:
    """Edges of a page are loaded together: by whoever may do all, and by whoever is asked for each."""
    with shops.begin(OWNER) as ctx:
        for number in range(50):
            access.grant(ctx, principal="user:ada", role="owner", scope="unit", unit=f"unit{number:02}")
    asked(shops, 1, by)
    for number in range(50):  # names are remembered once they were looked up alone: so for all, or for none
        with shops.begin(by) as ctx:
            structure.get_channel(ctx, channel=f"unit{number:02}:shop{number:02}")
    with shops.begin(OWNER) as ctx:
        ids = [one.id for one in structure.list_channels(ctx, limit=200).items]
    for id in ids:
        with shops.begin(OWNER) as ctx:
            structure.get_channel(ctx, channel=id)
    _, five = asked(shops, 5, by)
    _, fifty = asked(shops, 50, by)
    assert (len(five), len(fifty)) == (5, 50)
    # What is remembered for a time (who may do what, say) may just have to be asked for again: so the least counts.
    few, many = (min(asked(shops, size, by)[0] for _ in range(3)) for size in (5, 50))
    assert many == few
    assert fifty[:5] == five


def test_what_is_loaded_together_is_what_is_loaded_alone(database_url: str) -> None:
    """The same answers, item by item, as when each is asked for by itself; on every database."""
    with Mall.open(database_url, migrate="always") as opened:
        graphql = Asking(stocked(opened, 6), PATIENT)
        together = graphql(SHELVES, {"first": 6})["structureListChannels"]["nodes"]
        assert len({one["slug"] for one in together}) == 6
        for one in together:
            alone = graphql(ALONE, {"c": one["slug"]})["structureGetChannel"]
            assert {name: one[name] for name in alone} == alone
            (attachment,) = alone["attachments"]["nodes"]
            assert attachment["versions"]["nodes"][0]["n"] == 1


def test_a_refused_edge_is_refused_alone(shops: Mall) -> None:
    """One item's edge that is refused, on record, takes nothing from the others."""
    with shops.begin(OWNER) as ctx:
        access.set_role(ctx, role="lister", permissions=["structure.read"])
        access.grant(ctx, principal="user:ada", role="lister", scope="mall")
        access.grant(ctx, principal="user:ada", role="owner", scope="channel", channel="shop01")
    graphql = Asking(shops)
    told = graphql.told("{ structureListChannels(first: 4) { nodes { slug drafts { nodes { name } } } } }", by=ADA)
    found = [one for one in told["data"]["structureListChannels"]["nodes"] if one["slug"].startswith("shop")]
    assert [one["drafts"] and one["drafts"]["nodes"][0]["name"] for one in found] == [None, "Autumn", None]
    assert [one["extensions"]["code"] for one in told["errors"]] == ["denied"] * 3
    records = graphql("{ auditListRecords(outcome: DENIED) { nodes { principal operation outcome } } }")
    assert [one["operation"] for one in records["auditListRecords"]["nodes"]] == ["structure.list_drafts"] * 3
