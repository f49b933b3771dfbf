"""Plans: what is compiled of a selection, kept with the schema and made once for each set of conditions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from threading import Lock
from typing import Any

from cachetools import LRUCache
from graphql import DocumentNode, FieldNode, FragmentDefinitionNode, GraphQLOutputType, GraphQLSchema

from mallcore.api.graphql.compiled.selections import Collector, Fragments, Unplannable, walked
from mallcore.api.graphql.compiled.values import Doubt
from mallcore.api.graphql.compiled.writing import Function, Writer, is_worth_it

KEPT = 1000  # plans of a schema
VARIANTS = 64  # of a plan: sets of conditions
_ATTRIBUTE = "_mallcore_plans"


class Plan:
    """How one selection is completed: ``plan(value, variables)``, or `Doubt` where the executor must do it.

    ``variables`` are coerced ones: those that ``@skip`` and ``@include`` ask choose the function that is called.
    """

    def __init__(
        self, schema: GraphQLSchema, fragments: Fragments, kind: GraphQLOutputType, nodes: Sequence[FieldNode]
    ) -> None:
        self._used: dict[str, FragmentDefinitionNode] = {}
        self._conditions = tuple(sorted(set(walked(nodes, fragments, self._used))))
        self._of = kind, tuple(nodes)
        self._variants: LRUCache[tuple[bool, ...], Function | None] = LRUCache(VARIANTS)
        self._lock = Lock()
        self._only = _compiled(schema, self._used, {}, *self._of) if not self._conditions else None
        if self._only is None and not self._conditions:
            raise Unplannable

    def __call__(self, value: Any, variables: Mapping[str, Any], schema: GraphQLSchema) -> Any:
        function = self.function(schema, variables)
        if function is None:
            raise Doubt
        return function(value)

    def is_of(self, fragments: Fragments) -> bool:
        """Whether it was made with these fragments."""
        return all(fragments.get(name) is known for name, known in self._used.items())

    def function(self, schema: GraphQLSchema, variables: Mapping[str, Any]) -> Function | None:
        """The function for these variables; nothing where the executor must do it."""
        if not self._conditions:
            return self._only
        chosen = tuple(variables.get(name) for name in self._conditions)
        if not all(isinstance(one, bool) for one in chosen):
            return None
        with self._lock:
            if chosen not in self._variants:
                conditions = dict(zip(self._conditions, chosen, strict=True))
                self._variants[chosen] = _compiled(schema, self._used, conditions, *self._of)  # type: ignore[index]
            return self._variants[chosen]  # type: ignore[index]


def _compiled(
    schema: GraphQLSchema, fragments: Fragments, conditions: Any, kind: GraphQLOutputType, nodes: Sequence[FieldNode]
) -> Function | None:
    try:
        return Writer(Collector(schema, fragments, conditions)).function(kind, nodes)
    except (Unplannable, RecursionError, MemoryError, SyntaxError):  # compile() gives up on what is nested too deeply
        return None


class Plans:
    """The plans of one schema, the ones used last."""

    def __init__(self) -> None:
        self._kept: LRUCache[Any, tuple[Any, Plan | None]] = LRUCache(KEPT)
        self._lock = Lock()

    def find(
        self, schema: GraphQLSchema, fragments: Fragments, kind: GraphQLOutputType, nodes: Sequence[FieldNode]
    ) -> Plan | None:
        """The plan for these fields of this type; nothing where there is nothing to compile."""
        key = id(kind), tuple(map(id, nodes))
        with self._lock:
            kept = self._kept.get(key)
        if kept is not None and (kept[1] is None or kept[1].is_of(fragments)):
            return kept[1]
        made = _made(schema, fragments, kind, nodes)
        with self._lock:
            self._kept[key] = ((kind, tuple(nodes)), made)  # what the key's numbers are of lives as long as they do
        return made


def _made(
    schema: GraphQLSchema, fragments: Fragments, kind: GraphQLOutputType, nodes: Sequence[FieldNode]
) -> Plan | None:
    if not is_worth_it(kind):
        return None
    try:
        return Plan(schema, fragments, kind, nodes)
    except Unplannable:
        return None


def plans_of(schema: GraphQLSchema) -> Plans:
    """The plans of a schema: they live and die with it."""
    found: Plans | None = vars(schema).get(_ATTRIBUTE)
    return found if found is not None else vars(schema).setdefault(_ATTRIBUTE, Plans())


def plan(
    schema: GraphQLSchema, document: DocumentNode, kind: GraphQLOutputType, nodes: Sequence[FieldNode]
) -> Plan | None:
    """The plan for a field's selection (all its nodes in one answer) in a valid document; nothing if it has none."""
    fragments = {one.name.value: one for one in document.definitions if isinstance(one, FragmentDefinitionNode)}
    return plans_of(schema).find(schema, fragments, kind, nodes)
