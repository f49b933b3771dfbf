"""Which members that are on their way out a document uses, so that those who use them can be told."""

from __future__ import annotations

from typing import Any

from graphql import (
    ArgumentNode,
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    GraphQLSchema,
    OperationDefinitionNode,
    TypeInfo,
    TypeInfoVisitor,
    Visitor,
    visit,
)

MARK = "mall.deprecated"
"""Where a field keeps the name under which its use is counted."""
_ATTRIBUTE = "_mallcore_uses"  # on the operation, which is kept as long as its document


def used(schema: GraphQLSchema, document: DocumentNode, operation: OperationDefinitionNode) -> dict[str, list[str]]:
    """What is used, by root field: its own parameters, and the fields of results below any of them.

    It is looked for once in each document, which is one of this schema's.
    """
    known: dict[str, list[str]] | None = vars(operation).get(_ATTRIBUTE)
    if known is None:
        known = vars(operation)[_ATTRIBUTE] = _used(schema, document, operation)
    return known


def _used(schema: GraphQLSchema, document: DocumentNode, operation: OperationDefinitionNode) -> dict[str, list[str]]:
    roots: dict[str, set[str]] = {}
    shared: set[str] = set()
    kind = schema.get_root_type(operation.operation)
    root = None if kind is None else kind.name
    for definition in document.definitions:
        if definition is operation or isinstance(definition, FragmentDefinitionNode):
            types = TypeInfo(schema)
            outer = definition is operation or definition.type_condition.name.value == root  # type: ignore[union-attr]
            visit(definition, TypeInfoVisitor(types, _Uses(types, roots, shared, outer)))
    return {name: sorted(found | shared) for name, found in roots.items()}


class _Uses(Visitor):
    def __init__(self, types: TypeInfo, roots: dict[str, set[str]], shared: set[str], outer: bool) -> None:
        super().__init__()
        self._types = types
        self._roots = roots
        self._shared = shared
        self._path: list[str] = [] if outer else [""]

    def enter_field(self, node: FieldNode, *_: Any) -> None:
        self._path.append(node.name.value)
        if len(self._path) == 1:
            self._roots.setdefault(node.name.value, set())
        field = self._types.get_field_def()
        mark = (field.extensions or {}).get(MARK) if field is not None else None
        if mark is not None:
            self._shared.add(mark)

    def leave_field(self, *_: Any) -> None:
        self._path.pop()

    def enter_argument(self, node: ArgumentNode, *_: Any) -> None:
        argument = self._types.get_argument()
        if len(self._path) == 1 and argument is not None and argument.deprecation_reason is not None:
            self._roots[self._path[0]].add(argument.out_name or node.name.value)
