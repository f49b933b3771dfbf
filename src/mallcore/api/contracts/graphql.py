"""A second opinion on two versions: what graphql-core says of their GraphQL schemas. Needs the extra `graphql`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from mallcore.api.graphql import schema
from mallcore.api.versions import View


@dataclass(frozen=True, slots=True)
class GraphQLDifference:
    """One difference between two GraphQL schemas; ``kind`` is graphql-core's word for it."""

    level: Literal["breaking", "warning"]
    kind: str
    sentence: str


def graphql_differences(old: View, new: View) -> list[GraphQLDifference]:
    """What breaks those who query, or may, when one version's schema takes the other's place."""
    return sorted(_found(old, new), key=lambda one: (one.level, one.kind, one.sentence))


def _found(old: View, new: View) -> Iterator[GraphQLDifference]:
    before, after = schema(old), schema(new)
    from graphql.utilities import find_breaking_changes, find_dangerous_changes

    for one in find_breaking_changes(before, after):
        yield GraphQLDifference("breaking", one.type.name, one.description)
    for other in find_dangerous_changes(before, after):
        yield GraphQLDifference("warning", other.type.name, other.description)
