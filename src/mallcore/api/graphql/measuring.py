"""Measures documents: how deep, how wide and how dear an operation is with its fragments put in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLArgument,
    GraphQLField,
    GraphQLSchema,
    Node,
    OperationDefinitionNode,
    SelectionNode,
    SelectionSetNode,
    VariableNode,
    get_named_type,
    get_nullable_type,
    is_composite_type,
    is_list_type,
)

SLICES = ("first", "last", "limit")
INTROSPECTION = ("__schema", "__type")
LISTS_OF_TYPES = frozenset({"fields", "interfaces", "possibleTypes", "inputFields"})
Fragments = Mapping[str, FragmentDefinitionNode]


@dataclass(frozen=True, slots=True)
class Limits:
    """What a request may ask for. Counts are of the operation with its fragments put in, unless it says: as written."""

    document_bytes: int = 100_000
    tokens: int = 5_000
    depth: int = 15
    """Fields within fields; those of an introspection are counted apart."""
    fields: int = 1_500
    aliases: int = 100
    repeats: int = 50
    """How often one place of the answer may be named: validation compares each with each."""
    root_fields: int = 30
    cost: int = 20_000
    """An object costs 1, a scalar nothing, unless the field says otherwise; a list as many times as it is long."""
    page_size: int = 200
    usual_page_size: int = 50
    """What a page is taken to hold where the document doesn't say, and the schema has no default."""
    usual_list_size: int = 10
    """What a list without a page size is taken to hold."""
    introspection_depth: int = 3
    """Lists within lists of an introspection, as of fields of types of fields."""
    directives: int = 100
    """As written."""
    fragments: int = 100
    """Definitions and spreads, as written."""
    values: int = 10_000
    """Of the variables: values within lists and objects are counted."""
    seconds: float = 10.0
    """After which no further resolver is called."""


@dataclass(frozen=True, slots=True)
class Tally:
    """What a selection amounts to."""

    depth: int = 0
    fields: int = 0
    aliases: int = 0
    cost: int = 0
    introspection: int = 0
    width: int = 0
    page: tuple[int, Node] | None = None
    """The largest slice that is larger than a page may be, and where it is asked for."""

    def beside(self, other: Tally) -> Tally:
        """Both, in one selection."""
        return Tally(
            max(self.depth, other.depth),
            self.fields + other.fields,
            self.aliases + other.aliases,
            self.cost + other.cost,
            max(self.introspection, other.introspection),
            self.width + other.width,
            self.page or other.page,
        )


NOTHING = Tally()


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a selection stands: the type around it, below a slice or not, in an introspection or not, how deep."""

    kind: Any
    sliced: bool = False
    introspecting: bool = False
    level: int = 0


class Measure:
    """Measures the operations of one document."""

    def __init__(self, schema: GraphQLSchema, fragments: Fragments, limits: Limits) -> None:
        self._schema = schema
        self._fragments = fragments
        self._limits = limits
        self._variables: dict[str, Any] = {}
        self._known: dict[tuple[str, bool, bool], Tally] = {}

    def operation(self, operation: OperationDefinitionNode, variables: Mapping[str, Any]) -> Tally:
        """The whole of an operation, with variables as they were sent."""
        defaults = {
            one.variable.name.value: _whole(one.default_value, {}) for one in operation.variable_definitions or ()
        }
        self._variables = {**defaults, **variables}
        self._known.clear()
        return self._set(operation.selection_set, _Place(self._schema.get_root_type(operation.operation)))

    def _set(self, selection_set: SelectionSetNode, place: _Place) -> Tally:
        total = NOTHING
        for selection in selection_set.selections:
            total = total.beside(self._selection(selection, place))
        return total

    def _selection(self, selection: SelectionNode, place: _Place) -> Tally:
        if place.level > 4 * self._limits.depth:  # inline fragments and spreads that nest without a field between them
            return Tally(depth=place.level)
        if isinstance(selection, FieldNode):
            return self._field(selection, place)
        if isinstance(selection, FragmentSpreadNode):
            return self._spread(selection.name.value, place)
        return self._part(selection, place)

    def _spread(self, name: str, place: _Place) -> Tally:
        key = name, place.sliced, place.introspecting
        known = self._known.get(key)
        if known is None and name in self._fragments:
            self._known[key] = NOTHING  # what a cycle comes back to
            known = self._known[key] = self._part(self._fragments[name], place)
        return known or NOTHING

    def _part(self, part: Any, place: _Place) -> Tally:
        condition = part.type_condition
        kind = place.kind if condition is None else self._schema.get_type(condition.name.value)
        return self._set(part.selection_set, replace(place, kind=kind, level=place.level + 1))

    def _field(self, node: FieldNode, place: _Place) -> Tally:
        name = node.name.value
        field = self._schema.get_field(place.kind, name) if is_composite_type(place.kind) else None
        introspecting = place.introspecting or name in INTROSPECTION
        times, asked, sliced = self._times(node, field, place)
        below = NOTHING
        if node.selection_set is not None:
            kind = get_named_type(field.type) if field is not None else None
            below = self._set(node.selection_set, _Place(kind, sliced, introspecting, place.level + 1))
        return Tally(
            depth=1 + below.depth if not introspecting or below.depth > self._limits.depth else 0,
            fields=1 + below.fields,
            aliases=(node.alias is not None) + below.aliases,
            cost=0 if introspecting else _cost(node, field) * (times if _is_list(field) else 1) + times * below.cost,
            introspection=below.introspection + (introspecting and name in LISTS_OF_TYPES),
            width=1,
            page=asked or below.page,
        )

    def _times(
        self, node: FieldNode, field: GraphQLField | None, place: _Place
    ) -> tuple[int, tuple[int, Node] | None, bool]:
        """How often what is below a field is made; the slice, if it is too large; and whether there is a slice."""
        said = (field.extensions or {}).get("size") if field is not None else None
        if isinstance(said, int):  # whatever its arguments are called
            return max(said, 1), None, False
        slices = [one for one in node.arguments or () if one.name.value in SLICES]
        given = [(size, one) for one in slices if (size := _whole(one.value, self._variables)) is not None]
        if given:
            size, argument = max(given, key=lambda pair: pair[0])
            return max(size, 1), (size, argument) if size > self._limits.page_size else None, True
        if field is None:
            return 1, None, False
        if any(name in SLICES for name in field.args):
            return _default(field, self._limits.usual_page_size), None, True
        return (self._limits.usual_list_size if _is_list(field) and not place.sliced else 1), None, False

    def repeats(self, operation: OperationDefinitionNode, most: int) -> int:
        """How often one place of the answer is named by what is merged there, among the first ``most`` fields."""
        found, open_groups = 0, [[operation.selection_set]]
        while open_groups and most > 0:
            places: dict[str, list[SelectionSetNode | None]] = {}
            for field in self._merged(open_groups.pop()):
                places.setdefault((field.alias or field.name).value, []).append(field.selection_set)
            for sets in places.values():
                found, most = max(found, len(sets)), most - len(sets)
                open_groups.append([one for one in sets if one is not None])
        return found

    def _merged(self, open_sets: list[SelectionSetNode]) -> Iterator[FieldNode]:
        seen: set[str] = set()
        while open_sets:
            for selection in open_sets.pop().selections:
                if isinstance(selection, FieldNode):
                    yield selection
                elif not isinstance(selection, FragmentSpreadNode):
                    open_sets.append(selection.selection_set)  # type: ignore[attr-defined]
                elif (name := selection.name.value) in self._fragments and name not in seen:
                    seen.add(name)
                    open_sets.append(self._fragments[name].selection_set)


def written(document: DocumentNode) -> tuple[int, int]:
    """The directives, and the definitions and spreads of fragments, as they are written."""
    directives = fragments = 0
    for node in _nodes(document):
        directives += len(node.directives or ())
        fragments += isinstance(node, FragmentDefinitionNode | FragmentSpreadNode)
    return directives, fragments


def sizing(document: DocumentNode) -> set[str]:
    """The variables that say how long a page is."""
    given = (one for node in _nodes(document) for one in getattr(node, "arguments", None) or ())
    values = (one.value for one in given if one.name.value in SLICES)
    return {value.name.value for value in values if isinstance(value, VariableNode)}


def _nodes(document: DocumentNode) -> Iterator[Any]:
    """Definitions, selections and definitions of variables."""
    open_nodes: list[Any] = list(document.definitions)
    while open_nodes:
        node = open_nodes.pop()
        yield node
        open_nodes.extend(getattr(node, "variable_definitions", None) or ())
        selection_set = getattr(node, "selection_set", None)
        open_nodes.extend(selection_set.selections if selection_set is not None else ())


def _is_list(field: GraphQLField | None) -> bool:
    """Whether it is a list itself, and not a page that holds one."""
    return field is not None and is_list_type(get_nullable_type(field.type))


def _cost(node: FieldNode, field: GraphQLField | None) -> int:
    said = (field.extensions or {}).get("cost") if field is not None else None
    if isinstance(said, int):
        return said
    return 1 if node.selection_set is not None else 0


def _default(field: GraphQLField, usual: int) -> int:
    """How long a slice is that the document doesn't name."""
    said = [_said(one) for name, one in field.args.items() if name in SLICES]
    return max((size for size in said if size is not None), default=usual)


def _said(argument: GraphQLArgument) -> int | None:
    if argument.default is None:
        return number(argument.default_value)
    return number(argument.default.value) if argument.default.literal is None else _whole(argument.default.literal, {})


def _whole(value: Any, variables: Mapping[str, Any]) -> int | None:
    """The whole number that a value of the document stands for, if it is one."""
    if isinstance(value, VariableNode):
        return number(variables.get(value.name.value))
    return number(getattr(value, "value", None))


def number(value: Any) -> int | None:
    """The whole number that a scalar may take this for: ``50``, ``50.0`` and ``"50"`` ask for as much."""
    if isinstance(value, bool) or not isinstance(value, int | float | str) or len(str(value)) > 20:
        return None
    try:
        return int(float(value))
    except (ValueError, OverflowError):
        return None
