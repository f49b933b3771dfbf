"""Which fields a selection asks for on an object of a given type, and which of them are plain data."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from graphql import (
    BooleanValueNode,
    DirectiveNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLField,
    GraphQLObjectType,
    GraphQLSchema,
    InlineFragmentNode,
    SelectionNode,
    SelectionSetNode,
    VariableNode,
    is_abstract_type,
)

from mallcore.api.graphql.compiled.values import Reads

Fragments = Mapping[str, FragmentDefinitionNode]
Conditions = Mapping[str, bool]
CONDITIONS = ("skip", "include")
REFUSED = ("defer", "stream")


class Unplannable(Exception):
    """This selection can't be compiled."""


def walked(nodes: Iterable[FieldNode], fragments: Fragments, used: dict[str, FragmentDefinitionNode]) -> Iterator[str]:
    """The variables that decide what is selected anywhere below these fields; ``used`` is filled with the fragments."""
    open_sets: list[SelectionSetNode | None] = [node.selection_set for node in nodes]
    while open_sets:
        selection_set = open_sets.pop()
        for selection in selection_set.selections if selection_set is not None else ():
            yield from _variables(selection)
            if not isinstance(selection, FragmentSpreadNode):
                open_sets.append(selection.selection_set)  # type: ignore[attr-defined]
            elif (name := selection.name.value) not in used:
                used[name] = _fragment(name, fragments)
                open_sets.append(used[name].selection_set)


def _fragment(name: str, fragments: Fragments) -> FragmentDefinitionNode:
    found = fragments.get(name)
    if found is None or found.variable_definitions:
        raise Unplannable
    return found


def _variables(selection: SelectionNode) -> Iterator[str]:
    for directive in selection.directives or ():
        if directive.name.value in REFUSED:
            raise Unplannable
        if directive.name.value in CONDITIONS and isinstance(value := _condition(directive), VariableNode):
            yield value.name.value


def _condition(directive: DirectiveNode) -> VariableNode | BooleanValueNode:
    for argument in directive.arguments or ():
        if argument.name.value == "if" and isinstance(argument.value, VariableNode | BooleanValueNode):
            return argument.value
    raise Unplannable


class Collector:
    """Collects the fields of selections as section 6.3.2 of the specification says, for known conditions."""

    def __init__(self, schema: GraphQLSchema, fragments: Fragments, conditions: Conditions) -> None:
        self.schema = schema
        self._fragments = fragments
        self._conditions = conditions

    def fields(self, kind: GraphQLObjectType, nodes: Sequence[FieldNode]) -> dict[str, list[FieldNode]]:
        """The fields below these ones, by the key they have in the answer, in the order of the answer."""
        found: dict[str, list[FieldNode]] = {}
        seen: set[str] = set()
        for node in nodes:
            if node.selection_set is not None:
                self._visit(kind, node.selection_set, found, seen)
        return found

    def _visit(
        self,
        kind: GraphQLObjectType,
        selection_set: SelectionSetNode,
        found: dict[str, list[FieldNode]],
        seen: set[str],
    ) -> None:
        for selection in selection_set.selections:
            if not self._included(selection):
                continue
            if isinstance(selection, FieldNode):
                key = selection.alias.value if selection.alias else selection.name.value
                found.setdefault(key, []).append(selection)
                continue
            inner = self._matching(kind, selection, seen)
            if inner is not None:
                self._visit(kind, inner, found, seen)

    def _matching(self, kind: GraphQLObjectType, selection: SelectionNode, seen: set[str]) -> SelectionSetNode | None:
        part: InlineFragmentNode | FragmentDefinitionNode
        if isinstance(selection, FragmentSpreadNode):
            part = self._fragments[selection.name.value]
            if selection.name.value in seen or not self._is(kind, part):
                return None
            seen.add(selection.name.value)
            return part.selection_set
        assert isinstance(selection, InlineFragmentNode)
        return selection.selection_set if self._is(kind, selection) else None

    def _is(self, kind: GraphQLObjectType, part: InlineFragmentNode | FragmentDefinitionNode) -> bool:
        if part.type_condition is None:
            return True
        named = self.schema.get_type(part.type_condition.name.value)
        return named is kind or (is_abstract_type(named) and self.schema.is_sub_type(named, kind))

    def _included(self, selection: SelectionNode) -> bool:
        for directive in selection.directives or ():
            if directive.name.value in CONDITIONS:
                value = _condition(directive)
                asked = self._conditions[value.name.value] if isinstance(value, VariableNode) else value.value
                if asked is (directive.name.value == "skip"):
                    return False
        return True


def source_of(name: str, field: GraphQLField) -> tuple[str, bool] | None:
    """Under which name a field's value is found, and whether a resolver of its own would have been asked.

    None when the field isn't plain data: it has arguments, or a resolver that doesn't say what it reads.
    """
    if field.args:
        return None
    if field.resolve is None:
        return name, False
    if isinstance(field.resolve, Reads):
        return field.resolve.name, False
    said = (field.extensions or {}).get("data")
    return (said, True) if isinstance(said, str) else None
