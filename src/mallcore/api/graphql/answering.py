"""GraphQL over HTTP, without a framework: one request in, one response out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from graphql import (
    DocumentNode,
    GraphQLSchema,
    NoSchemaIntrospectionCustomRule,
    OperationDefinitionNode,
    OperationType,
    get_operation_ast,
    specified_rules,
)
from pydantic_core import PydanticSerializationError, to_json

from mallcore.api.graphql import limits
from mallcore.api.graphql.asking import GRAPHQL, READS, Asked, answer_type, asked
from mallcore.api.graphql.documents import Documents, WrongDocument, wrong
from mallcore.api.graphql.execution import Begin, Session, executed, plain
from mallcore.api.graphql.explorer import PAGE, POLICY
from mallcore.api.graphql.failures import of_mall, shown
from mallcore.api.graphql.names import field_name
from mallcore.api.graphql.options import GraphQLOptions
from mallcore.api.graphql.schemas import schema_of
from mallcore.api.graphql.uses import used
from mallcore.api.http import Mall, Request, Response
from mallcore.api.rules.negotiation import JSON, names
from mallcore.api.rules.problems import Refused
from mallcore.api.versions import View
from mallcore.errors import InvalidInput

_NOT_STORED = ("cache-control", "no-store")


class Prepared:
    """A document that is valid, and the operation that was chosen in it."""

    __slots__ = ("document", "operation")

    def __init__(self, document: DocumentNode, operation: OperationDefinitionNode) -> None:
        self.document = document
        self.operation = operation


class GraphQL:
    """The GraphQL of a mall."""

    def __init__(self, mall: Mall, options: GraphQLOptions | None = None) -> None:
        self.mall = mall
        self.options = options or GraphQLOptions()
        self.limits = self.options.limits or limits.Limits()
        rules = [*specified_rules, *([] if self.options.introspection else [NoSchemaIntrospectionCustomRule])]
        self._documents = Documents(
            self.limits, trusted=self.options.documents, only=self.options.trusted_only, rules=rules
        )

    def answer(self, request: Request, view: View, begin: Begin) -> Response:
        """The response to a request for ``/graphql``. Bad credentials are for the caller to answer."""
        if self._is_for_people(request):
            kinds = [("content-type", "text/html; charset=utf-8"), _NOT_STORED, ("content-security-policy", POLICY)]
            return Response(200, kinds, PAGE)
        kind = JSON
        try:
            kind = answer_type(request)
            return self._answer(request, view, begin, kind)
        except Refused as refused:
            return _response(
                kind, refused.status, {"errors": [of_mall(refused.error, request.request_id)]}, refused.headers
            )
        except WrongDocument as found:
            told = [shown(one, request.request_id, before=True) for one in found.errors]
            return _response(kind, 400 if kind == GRAPHQL else 200, {"errors": told})

    def _answer(self, request: Request, view: View, begin: Begin, kind: str) -> Response:
        given = asked(request, self.options.max_body)
        schema = schema_of(view)
        uses: dict[str, list[str]] = {}
        session = Session(request, begin, lambda name: self.count(request, view, name, uses))
        try:
            session.context()  # who asks is known before anything of what is asked is looked at
            ready = self.prepared(given, schema)
            uses.update(used(schema, ready.document, ready.operation))
            self._refuse_place(request, ready.operation)
            deadline = limits.Deadline(self.limits.seconds)
            result = executed(schema, ready.document, given.name, given.variables, session, deadline)
            shown_result = plain(result, request.request_id)
        finally:
            session.close()
        wrong = kind == GRAPHQL and "data" not in shown_result
        return _response(kind, 400 if wrong else 200, shown_result)

    def _refuse_place(self, request: Request, operation: OperationDefinitionNode) -> None:
        if operation.operation == OperationType.SUBSCRIPTION:
            reason = "a subscription needs a WebSocket (graphql-transport-ws) at this address"
            raise Refused(400, InvalidInput(field="query", reason=reason))
        if request.method in READS and operation.operation != OperationType.QUERY:
            raise Refused(405, InvalidInput(field="method", reason="a mutation is sent by POST"), {"allow": "POST"})

    def count(self, request: Request, view: View, operation: str, uses: Mapping[str, Iterable[str]]) -> None:
        """Note who called what, in which version, with which of the members that are on their way out."""
        assert request.principal is not None
        self.mall.counter.count(request.principal, view.version, operation, uses.get(field_name(operation), ()))

    def prepared(self, given: Asked, schema: GraphQLSchema) -> Prepared:
        """The document that is asked for, within the limits and valid; `WrongDocument` for any other."""
        text = self._documents.text(given.query, given.document_id, given.extensions)
        document = self._documents.prepared(schema, text, given.variables, given.name)
        operation = get_operation_ast(document, given.name)
        if operation is None:
            raise WrongDocument(
                [wrong("name one of its operations" if given.name is None else "it has none of that name")]
            )
        return Prepared(document, operation)

    def _is_for_people(self, request: Request) -> bool:
        accept = request.headers.get("accept", "")
        asks = request.method in READS and not request.query
        return self.options.explorer and asks and names(accept, "text/html")


def _response(kind: str, status: int, told: Any, headers: dict[str, str] | None = None) -> Response:
    listed = [("content-type", f"{kind}; charset=utf-8"), _NOT_STORED, ("vary", "Accept")]
    return Response(status, [*listed, *(headers or {}).items()], _json(told))


def _json(told: Any) -> bytes:
    try:
        return to_json(told)
    except (PydanticSerializationError, UnicodeEncodeError):  # a caller's text may hold lone surrogates
        import json

        return json.dumps(told, ensure_ascii=False).encode("utf-8", "replace")
