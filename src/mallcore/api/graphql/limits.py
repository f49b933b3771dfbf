"""What a GraphQL document may ask for, decided before it is validated or run, in time linear in its length.

A fragment is measured once, however often it is spread, so documents that double with every fragment are measured as
quickly as plain ones. Nothing here trusts a document to be valid: unknown fields and cyclic fragments are passed over,
and left for validation to name.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from graphql import (
    DocumentNode,
    FragmentDefinitionNode,
    GraphQLError,
    GraphQLSchema,
    GraphQLSyntaxError,
    OperationDefinitionNode,
    parse,
)

from mallcore.api.graphql.measuring import Limits, Measure, Tally, written
from mallcore.errors import LimitExceeded

__all__ = ["Deadline", "Limits", "exceeded", "parsed", "refuse", "refuse_values"]

_TOO_MANY_TOKENS = "Document contains more than"


def exceeded(what: str, actual: object, limit: float, nodes: Any = None) -> GraphQLError:
    """The error of a limit: its code is that of `LimitExceeded`, which stands in ``original_error``."""
    cause = LimitExceeded(what=what, actual=actual, limit=limit)
    details = {"code": cause.code, "what": what, "actual": actual, "limit": limit}
    return GraphQLError(str(cause), nodes, original_error=cause, extensions=details)


def parsed(text: str, limits: Limits) -> DocumentNode:
    """The document; `GraphQLError` when it is none, or too long to be read."""
    size = len(text) if len(text) > limits.document_bytes else len(text.encode("utf-8", "surrogatepass"))
    if size > limits.document_bytes:
        raise exceeded("The document's size in bytes", size, limits.document_bytes)
    try:
        return parse(text, max_tokens=limits.tokens)
    except GraphQLSyntaxError as error:
        if _TOO_MANY_TOKENS not in error.message:
            raise
    raise exceeded("The document's number of tokens", f"more than {limits.tokens}", limits.tokens)


def refuse(
    document: DocumentNode,
    variables: Mapping[str, Any] | None,
    schema: GraphQLSchema,
    limits: Limits,
    operation_name: str | None = None,
) -> list[GraphQLError]:
    """The limits that a parsed document is beyond, before it is validated; nothing when it may go on.

    ``variables`` are as they were sent: those that say how long a list may be count in the cost.
    """
    found = [*refuse_values(variables, limits), *_written(*written(document), limits)]
    if found:
        return found
    operations = [one for one in document.definitions if isinstance(one, OperationDefinitionNode)]
    named = [one for one in operations if one.name is not None and one.name.value == operation_name]
    fragments = {one.name.value: one for one in document.definitions if isinstance(one, FragmentDefinitionNode)}
    measure = Measure(schema, fragments, limits)
    for operation in named or operations:
        found += _beyond(measure.operation(operation, variables or {}), operation, limits)
        found += _merged(measure.repeats(operation, limits.fields), operation, limits)
    return found


def refuse_values(variables: Mapping[str, Any] | None, limits: Limits) -> list[GraphQLError]:
    """Whether the variables hold too many values; as many are counted as may be there."""
    count, open_values = 0, list((variables or {}).values())
    while open_values and count <= limits.values:
        value = open_values.pop()
        count += 1
        if isinstance(value, dict):
            open_values.extend(value.values())
        elif isinstance(value, list):
            open_values.extend(value)
    if count <= limits.values:
        return []
    return [exceeded("The number of values in the variables", f"more than {limits.values}", limits.values)]


def _beyond(tally: Tally, operation: OperationDefinitionNode, limits: Limits) -> Iterator[GraphQLError]:
    asked = [
        ("The depth of the query", tally.depth, limits.depth),
        ("The number of fields", tally.fields, limits.fields),
        ("The number of aliases", tally.aliases, limits.aliases),
        ("The number of root fields", tally.width, limits.root_fields),
        ("The cost of the query", tally.cost, limits.cost),
        ("The depth of the introspection", tally.introspection, limits.introspection_depth),
    ]
    for what, actual, limit in asked:
        if actual > limit:
            yield exceeded(what, min(actual, 1 << 53), limit, operation)
    if tally.page is not None:
        size, node = tally.page
        yield exceeded("The number of items asked for", size, limits.page_size, node)


def _merged(repeats: int, operation: OperationDefinitionNode, limits: Limits) -> Iterator[GraphQLError]:
    if repeats > limits.repeats:
        yield exceeded("The number of times that one place is named", repeats, limits.repeats, operation)


def _written(directives: int, fragments: int, limits: Limits) -> Iterator[GraphQLError]:
    if directives > limits.directives:
        yield exceeded("The number of directives", directives, limits.directives)
    if fragments > limits.fragments:
        yield exceeded("The number of fragments and their spreads", fragments, limits.fragments)


class Deadline:
    """A moment after which a request is given up: ask `check` between two pieces of work."""

    __slots__ = ("_clock", "_end", "seconds")

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.seconds = seconds
        self._clock = clock
        self._end = clock() + seconds

    @property
    def left(self) -> float:
        """The seconds that are left; less than 0 when it is over."""
        return self._end - self._clock()

    @property
    def over(self) -> bool:
        """Whether it has passed."""
        return self._clock() > self._end

    def error(self) -> GraphQLError:
        """What a request is answered with when it has passed."""
        return exceeded("The time of the request in seconds", f"more than {self.seconds:g}", self.seconds)

    def check(self) -> None:
        """Raise `LimitExceeded` when it has passed."""
        if self.over:
            raise self.error().original_error or AssertionError
