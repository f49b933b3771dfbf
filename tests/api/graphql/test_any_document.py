"""Any document that the schema allows is answered, or refused with a code: never with an error from the inside."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mallcore import Mall
from mallcore.api import Options
from mallcore.api.graphql import GraphQLOptions, schema
from mallcore.api.graphql.limits import Limits
from mallcore.api.releases import OURS
from tests.api.graphql.conftest import Asking

hypothesis_graphql = pytest.importorskip("hypothesis_graphql")
pytestmark = pytest.mark.slow

WIDE = Options(graphql=GraphQLOptions(limits=Limits(cost=1 << 40, fields=1 << 20, depth=60, tokens=50_000, seconds=60)))
INSIDE = {"mall-error", "spoiled-work", "missing-extra"}


def scalars() -> dict[str, st.SearchStrategy[Any]]:
    """Values of our own scalars: good ones and others."""
    nodes = hypothesis_graphql.nodes
    texts = st.sampled_from(["2026-01-01", "2026-01-01T00:00:00Z", "aGVsbG8=", "1.5", "books", "", "\\0"]).map(
        nodes.String
    )
    numbers = st.integers(-5, 1 << 62).map(nodes.Int)
    return {
        "DateTime": texts, "Date": texts, "Base64": texts, "Decimal": texts, "JSON": texts, "Long": numbers,
        "IntOrString": texts | numbers,
    }  # fmt: skip


@pytest.mark.parametrize("version", sorted(OURS.names))
@pytest.mark.parametrize("kind", ["queries", "mutations"])
def test_nothing_fails_inside(kind: str, version: str, mall: Mall) -> None:
    """Documents at random, in every version: their errors are ours, with codes, and about what was asked."""
    graphql = Asking(mall, WIDE)
    graphql.version = f"/{version}"
    made = schema(mall.versions.view(mall.catalogue, version))
    root = made.query_type if kind == "queries" else made.mutation_type
    assert root is not None
    fields = st.sampled_from(sorted(root.fields))

    @settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.data())
    def ask(data: st.DataObject) -> None:
        strategy = getattr(hypothesis_graphql, kind)
        text = data.draw(strategy(made, fields=[data.draw(fields)], custom_scalars=scalars()))
        told = graphql.told(text)
        assert {one["extensions"]["code"] for one in told.get("errors", ())} & INSIDE == set()

    ask()
