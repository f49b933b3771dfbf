"""A request's path, query, body and headers as the arguments of an operation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic_core import from_json

from mallcore.api.http import Request
from mallcore.api.rules import queries
from mallcore.api.rules.negotiation import BadTag, is_json, revision_of
from mallcore.api.rules.problems import Refused
from mallcore.api.rules.repeats import RepeatedKey, refuse_repeated
from mallcore.api.table import Route
from mallcore.errors import InvalidInput
from mallcore.kernel.operations import Asked


def arguments(
    route: Route, path: dict[str, str], request: Request, brought: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """All that was given, under the operation's names; what is given twice must agree.

    ``brought`` is what was taken from the body already.
    """
    given: dict[str, Any] = {}
    if route.takes_body:
        _refuse_query(request)
        given = _body(request)
    elif request.query:
        given = queries.arguments(request.query, route.lists, route.documents)
    if route.rest.verbatim:
        given = {name: value for name, value in given.items() if name in route.fields}
    if route.rest.asked is not None:
        _add(given, route.rest.asked, Asked(request.method, request.headers, request.target))
    if brought is not None:
        for name, value in brought.items():
            _add(given, name, value)
    elif route.rest.raw is not None:
        _add(given, route.rest.raw, request.body)
    elif request.body and not route.takes_body:
        raise _wrong(400, "body", f"{request.method} takes its parameters from the query string, not from a body")
    for name, value in path.items():
        if "\0" in value:
            raise _wrong(400, name, "it holds a null byte")
        _add(given, name, value)
    _headers(route, request, given)
    return given


def _add(given: dict[str, Any], name: str, value: Any) -> None:
    if name in given:
        raise _wrong(422, name, "it is given by the request itself; leave it out here")
    given[name] = value


def _refuse_query(request: Request) -> None:
    """A parameter in the wrong place must not be lost silently."""
    if request.query:
        raise _wrong(400, "query", f"{request.method} takes its parameters from a JSON body, not from the query string")


def _body(request: Request) -> dict[str, Any]:
    content_type = request.headers.get("content-type")
    if content_type and not is_json(content_type):
        raise _wrong(415, "content-type", "send application/json")
    if not request.body:
        return {}
    try:
        found = from_json(request.body, allow_inf_nan=False)
        refuse_repeated(request.body)
    except RepeatedKey as error:
        raise _wrong(400, error.key[:200], "it is given twice") from None
    except ValueError as error:
        raise _wrong(400, "body", f"it is not JSON: {str(error)[:200]}") from None
    if not isinstance(found, dict):
        raise _wrong(400, "body", "it must be a JSON object")
    return found


def _headers(route: Route, request: Request, given: dict[str, Any]) -> None:
    """What headers say of an operation's parameters."""
    headers, fields, called = request.headers, route.fields, route.face.names
    writes = route.operation.kind == "command"
    if writes and (match := headers.get("if-match")) is not None:
        expected = _expected(match)
        if expected is not None:
            _merge(given, fields, called.get("expected_revision", "expected_revision"), expected, "If-Match")
    if writes and (key := headers.get("idempotency-key")) is not None:
        _merge(given, fields, called.get("idempotency_key", "idempotency_key"), key, "Idempotency-Key")
    least, name = headers.get("mall-min-revision"), called.get("min_revision", "min_revision")
    if least is not None and name in fields:
        given.setdefault(name, least)
    last = headers.get("last-event-id")
    if last and route.operation.kind == "stream":
        given[called.get("after", "after")] = (
            last  # a browser repeats the first URL when it comes back: what it has seen counts
        )


def _expected(header: str) -> int | None:
    try:
        return revision_of(header)
    except BadTag:
        raise _wrong(400, "If-Match", 'it must be a revision such as "12", or an ETag of this API') from None


def _merge(given: dict[str, Any], fields: frozenset[str], name: str, value: Any, header: str) -> None:
    """A condition that can't be honoured is refused, never ignored."""
    if name not in fields:
        raise _wrong(422, header, "this operation does not know it")
    if given.setdefault(name, value) != value:
        raise _wrong(422, header, f"it contradicts {name}")


def _wrong(status: int, name: str, reason: str) -> Refused:
    return Refused(status, InvalidInput(field=name, reason=reason))
