"""GraphQL over HTTP, without a framework: one request in, one response out."""

from __future__ import annotations

from collections.abc import Iterable
from threading import Lock
from typing import Any
from weakref import WeakKeyDictionary

from cachetools import LRUCache
from graphql import (
    DocumentNode,
    GraphQLError,
    GraphQLSchema,
    NoSchemaIntrospectionCustomRule,
    OperationDefinitionNode,
    OperationType,
    get_operation_ast,
    specified_rules,
    validate,
)
from pydantic_core import PydanticSerializationError, to_json

from mallcore.api.graphql import limits
from mallcore.api.graphql.asking import GRAPHQL, READS, Asked, answer_type, asked
from mallcore.api.graphql.execution import Begin, Session, executed, plain
from mallcore.api.graphql.explorer import PAGE
from mallcore.api.graphql.failures import of_mall, shown
from mallcore.api.graphql.options import GraphQLOptions
from mallcore.api.graphql.schema import schema_of
from mallcore.api.http import Mall, Request, Response
from mallcore.api.rules.negotiation import JSON, names
from mallcore.api.rules.problems import Refused
from mallcore.api.versions import View
from mallcore.errors import InvalidDocument, InvalidInput

_KEPT = 1000  # documents of a schema that need not be parsed and validated again
_NOT_STORED = ("cache-control", "no-store")


class RequestErrors(Exception):
    """A request that is wrong before anything of it is executed."""

    def __init__(self, errors: Iterable[GraphQLError]) -> None:
        super().__init__()
        self.errors = list(errors)


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
        self._rules = [*specified_rules, *([] if self.options.introspection else [NoSchemaIntrospectionCustomRule])]
        self._valid: WeakKeyDictionary[GraphQLSchema, LRUCache[str, DocumentNode]] = WeakKeyDictionary()
        self._lock = Lock()

    def answer(self, request: Request, view: View, begin: Begin) -> Response:
        """The response to a request for ``/graphql``. Bad credentials are for the caller to answer."""
        if self._is_for_people(request):
            return Response(200, [("content-type", "text/html; charset=utf-8"), _NOT_STORED], PAGE)
        kind = JSON
        try:
            kind = answer_type(request)
            return self._answer(request, view, begin, kind)
        except Refused as refused:
            return _response(
                kind, refused.status, {"errors": [of_mall(refused.error, request.request_id)]}, refused.headers
            )
        except RequestErrors as wrong:
            told = [shown(one, request.request_id, before=True) for one in wrong.errors]
            return _response(kind, 400 if kind == GRAPHQL else 200, {"errors": told})

    def _answer(self, request: Request, view: View, begin: Begin, kind: str) -> Response:
        given = asked(request, self.options.max_body)
        session = Session(request, begin)
        try:
            session.context()  # who asks is known before anything of what is asked is looked at
            schema = schema_of(view)
            ready = self.prepared(given, schema)
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

    def prepared(self, given: Asked, schema: GraphQLSchema) -> Prepared:
        """The document that is asked for, within the limits and valid; `RequestErrors` for any other."""
        text = self._text(given)
        document = self._document(text, given, schema)
        operation = get_operation_ast(document, given.name)
        if operation is None:
            reason = "it has no operation of that name" if given.name else "it has several operations: name one"
            raise RequestErrors([_wrong(reason)])
        return Prepared(document, operation)

    def _text(self, given: Asked) -> str:
        store = self.options.documents
        if given.document_id is not None:
            found = None if store is None else store.find(given.document_id)
            if found is None:
                raise RequestErrors([_wrong("no document with this documentId is known")])
            return str(found)
        if self.options.trusted_only:
            raise RequestErrors([_wrong("only documents that are known are executed: send a documentId")])
        return given.query or ""

    def _document(self, text: str, given: Asked, schema: GraphQLSchema) -> DocumentNode:
        known = self._known(schema)
        with self._lock:
            found = known.get(text)
        document = found or self._parsed(text)
        # What variables ask for counts in the cost: so this is done each time, and it is quick.
        if wrong := limits.refuse(document, given.variables, schema, self.limits, given.name):
            raise RequestErrors(wrong)
        if found is None:
            if wrong := validate(schema, document, self._rules):
                raise RequestErrors(wrong)
            with self._lock:
                known[text] = document
        return document

    def _parsed(self, text: str) -> DocumentNode:
        try:
            return limits.parsed(text, self.limits)
        except GraphQLError as error:
            raise RequestErrors([error]) from None
        except RecursionError:
            raise RequestErrors([_wrong("it is nested too deeply")]) from None

    def _known(self, schema: GraphQLSchema) -> LRUCache[str, DocumentNode]:
        with self._lock:
            found = self._valid.get(schema)
            if found is None:
                found = self._valid[schema] = LRUCache(_KEPT)
            return found

    def _is_for_people(self, request: Request) -> bool:
        accept = request.headers.get("accept", "")
        asks = request.method in READS and not request.query
        return self.options.explorer and asks and names(accept, "text/html")


def _wrong(reason: str) -> GraphQLError:
    return GraphQLError(f"The GraphQL document is wrong: {reason}.", original_error=InvalidDocument(reason=reason))


def _response(kind: str, status: int, told: Any, headers: dict[str, str] | None = None) -> Response:
    listed = [("content-type", f"{kind}; charset=utf-8"), _NOT_STORED, ("vary", "Accept")]
    return Response(status, [*listed, *(headers or {}).items()], _json(told))


def _json(told: Any) -> bytes:
    try:
        return to_json(told)
    except (PydanticSerializationError, UnicodeEncodeError):  # a caller's text may hold lone surrogates
        import json

        return json.dumps(told, ensure_ascii=False).encode("utf-8", "replace")
