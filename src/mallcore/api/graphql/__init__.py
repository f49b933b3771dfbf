"""The mall as GraphQL, on graphql-core: import its modules only where the extra `graphql` is installed.

`face` makes the GraphQL of a mall, which answers requests; `schema` and `sdl` show the schema of one version.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mallcore.api.graphql.options import GraphQLOptions
from mallcore.errors import MissingExtra

if TYPE_CHECKING:
    from mallcore.api.graphql.answering import GraphQL
    from mallcore.api.http import Mall
    from mallcore.api.versions import View

__all__ = ["GraphQLOptions", "face", "schema", "sdl"]


def face(mall: Mall, options: GraphQLOptions | None = None) -> GraphQL:
    """The GraphQL of a mall; `MissingExtra` where graphql-core is not installed."""
    try:
        from mallcore.api.graphql.answering import GraphQL
    except ModuleNotFoundError as error:
        raise _missing(error) from None
    return GraphQL(mall, options)


def schema(view: View) -> Any:
    """The `graphql.GraphQLSchema` of a view, made once."""
    try:
        from mallcore.api.graphql.schemas import schema_of
    except ModuleNotFoundError as error:
        raise _missing(error) from None
    return schema_of(view)


def sdl(view: View) -> str:
    """The schema of a view in GraphQL's schema definition language."""
    try:
        from mallcore.api.graphql.schemas import sdl as printed
    except ModuleNotFoundError as error:
        raise _missing(error) from None
    return printed(view)


def _missing(error: ModuleNotFoundError) -> Exception:
    return MissingExtra(what="GraphQL", extra="graphql") if (error.name or "").startswith("graphql") else error
