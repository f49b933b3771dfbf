"""graphql-core's executor, that completes by a compiled function what can be completed so."""

from __future__ import annotations

from typing import Any

from graphql import (
    DocumentNode,
    ExecutionResult,
    Executor,
    GraphQLOutputType,
    GraphQLSchema,
    default_field_resolver,
    default_type_resolver,
)

from mallcore.api.graphql.compiled.plans import plans_of
from mallcore.api.graphql.compiled.values import Doubt
from mallcore.api.graphql.compiled.writing import Function
from mallcore.api.graphql.limits import Deadline


class Late(BaseException):
    """The deadline has passed. Not an `Exception`, so that the executor makes no field's error of it and goes on."""


class CompilingExecutor(Executor[Any]):
    """Give it to graphql-core as ``executor_class``; with middleware or resolvers of the caller's it compiles nothing.

    ``deadline`` is asked before each field that the executor resolves: `Late` ends the whole then.
    """

    deadline: Deadline | None = None

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._functions: dict[tuple[int, int], tuple[Any, Function | None]] = {}
        self._compiles = (
            self.middleware_manager is None
            and self.field_resolver is default_field_resolver
            and self.type_resolver is default_type_resolver
        )

    def build_per_event_executor(self, payload: Any) -> Executor[Any]:
        executor = super().build_per_event_executor(payload)
        executor._functions = {}  # type: ignore[attr-defined]
        return executor

    def execute_field(
        self, parent_type: Any, source: Any, field_details_list: Any, path: Any, position_context: Any
    ) -> Any:
        if self.deadline is not None and self.deadline.over:
            raise Late
        return super().execute_field(parent_type, source, field_details_list, path, position_context)

    def complete_value(
        self,
        return_type: GraphQLOutputType,
        field_details_list: Any,
        info: Any,
        path: Any,
        result: Any,
        position_context: Any,
    ) -> Any:
        if result is not None and self._compiles:
            key = id(field_details_list), id(return_type)
            found = self._functions.get(key)
            if found is None:  # the list is kept, so that its number isn't another's
                found = self._functions[key] = field_details_list, self._function(return_type, field_details_list)
            if found[1] is not None:
                try:
                    return found[1](result)
                except (Doubt, Exception):
                    pass  # whatever it was, the executor meets it again below, and makes the errors
        return super().complete_value(return_type, field_details_list, info, path, result, position_context)

    def _function(self, kind: GraphQLOutputType, details: Any) -> Function | None:
        if any(one.defer_usage is not None or one.fragment_variable_values for one in details):
            return None
        nodes = [one.node for one in details]
        found = plans_of(self.schema).find(self.schema, self.fragment_definitions, kind, nodes)
        return None if found is None else found.function(self.schema, self.variable_values.coerced)


def execute(
    schema: GraphQLSchema,
    document: DocumentNode,
    *,
    root: Any = None,
    context: Any = None,
    variables: dict[str, Any] | None = None,
    operation_name: str | None = None,
    deadline: Deadline | None = None,
) -> ExecutionResult:
    """What `graphql.execute_sync` answers to a valid document, in less time; an error alone past the deadline."""
    never: dict[str, Any] = {"is_awaitable": _never, "is_async_iterable": _never}
    built: Any = CompilingExecutor.build(schema, document, root, context, variables, operation_name, **never)
    if isinstance(built, list):
        return ExecutionResult(None, built)
    built.deadline = deadline
    try:
        return built.execute_operation()  # type: ignore[no-any-return]
    except Late:
        return ExecutionResult(None, [deadline.error()] if deadline is not None else [])


def _never(value: Any) -> Any:
    return False
