"""Operations over a connection that stays: results, one after the other, and what a subscription has to tell."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from graphql import GraphQLSchema, OperationType

from mallcore.api.graphql import limits
from mallcore.api.graphql.answering import GraphQL, Prepared
from mallcore.api.graphql.asking import Asked, checked
from mallcore.api.graphql.calls import answered
from mallcore.api.graphql.calls import shown as shown_item
from mallcore.api.graphql.documents import WrongDocument
from mallcore.api.graphql.execution import Begin, Session, executed, plain
from mallcore.api.graphql.failures import of_mall, shown
from mallcore.api.graphql.resolving import START
from mallcore.api.graphql.schemas import schema_of
from mallcore.api.graphql.uses import used
from mallcore.api.http import Request
from mallcore.api.rules.problems import Refused
from mallcore.api.streams import Changes
from mallcore.api.versions import Face, View
from mallcore.errors import MallError

log = logging.getLogger("mallcore.api")
Json = dict[str, Any]


class Refusal(Exception):
    """An operation that was not begun, and the errors that say why."""

    def __init__(self, errors: list[Json]) -> None:
        super().__init__()
        self.errors = errors


class Watch:
    """A subscription under way. `fetch` may wait for the database: call it in a thread, whenever it is told to."""

    def __init__(self, execute: Callable[[Any], Json], face: Face, changes: Changes) -> None:
        self._execute = execute
        self._face = face
        self._changes = changes
        self._wakers: list[Callable[[], None]] = []

    def subscribe(self, wake: Callable[[], None]) -> None:
        """Call ``wake``, from some thread, when there may be something to fetch."""
        self._wakers.append(wake)
        self._changes.subscribe(wake)

    def fetch(self) -> list[Json]:
        """The results of what has happened; raises `MallError` when it can't go on."""
        return [self._execute(shown_item(self._face, one)) for one in self._changes.next()]

    def close(self) -> None:
        """Hear no more. Harmless when done before."""
        wakers, self._wakers = self._wakers, []
        for wake in wakers:
            self._changes.unsubscribe(wake)


def begun(graphql: GraphQL, payload: Mapping[str, Any], request: Request, view: View, begin: Begin) -> Json | Watch:
    """The result of a query or a mutation, or a subscription that is under way; `Refusal` for what is wrong."""
    id = request.request_id
    try:
        begin(request)  # not entered: who asks is known, and let in, before anything of what is asked is looked at
        given, schema = checked(payload), schema_of(view)
        ready = graphql.prepared(given, schema)
        if ready.operation.operation == OperationType.SUBSCRIPTION:
            watch, name = _watched(graphql, ready, given, schema, request, begin)
            graphql.count(request, view, name, used(schema, ready.document, ready.operation))
            return watch
        uses = used(schema, ready.document, ready.operation)
        session = Session(request, begin, lambda name: graphql.count(request, view, name, uses))
        result = _run(graphql, ready, given, schema, session, None)
    except Refused as refused:
        raise Refusal([of_mall(refused.error, id)]) from None
    except WrongDocument as wrong:
        raise Refusal([shown(one, id, before=True) for one in wrong.errors]) from None
    except MallError as error:
        raise Refusal([of_mall(error, id)]) from None
    if "data" not in result:
        raise Refusal(result["errors"])
    return result


def _run(graphql: GraphQL, ready: Prepared, given: Asked, schema: GraphQLSchema, session: Session, root: Any) -> Json:
    deadline = limits.Deadline(graphql.limits.seconds)
    try:
        result = executed(schema, ready.document, given.name, given.variables, session, deadline, root)
        return plain(result, session.request.request_id)
    finally:
        session.close()


def _watched(
    graphql: GraphQL, ready: Prepared, given: Asked, schema: GraphQLSchema, request: Request, begin: Begin
) -> tuple[Watch, str]:
    start = Session(request, begin)
    result = _run(graphql, ready, given, schema, start, START)
    if not start.watched:
        raise Refusal(result.get("errors") or [of_mall(MallError(), request.request_id)])
    face, arguments = start.watched[0]
    with begin(request) as ctx:
        changes = answered(face, ctx, arguments)

    def execute(item: Any) -> Json:
        return _run(graphql, ready, given, schema, Session(request, begin), item)

    return Watch(execute, face, changes), face.operation.name


def unexpected(error: Exception, request: Request) -> list[Json]:
    """What is told of an error that ended an operation: of our own all, of any other nothing but where it is logged."""
    if isinstance(error, MallError):
        return [of_mall(error, request.request_id)]
    log.error("request %s failed in GraphQL", request.request_id, exc_info=error)
    return [of_mall(MallError(), request.request_id)]
