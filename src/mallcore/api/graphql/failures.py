"""Errors as GraphQL shows them: the same codes and details as problem documents, and nothing from the inside."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from graphql import GraphQLError

from mallcore.api.rules.problems import document, status_of
from mallcore.errors import InvalidDocument, InvalidInput, MallError

log = logging.getLogger("mallcore.api")


def shown(error: GraphQLError, request_id: str, *, before: bool = False) -> dict[str, Any]:
    """An error of a response. ``before`` says that it was found before anything was executed."""
    cause = _cause(error)
    if isinstance(cause, MallError):
        told = of_mall(cause, request_id)
        _log(cause, request_id)
    elif cause is not None or (error.path is not None and not error.extensions):
        log.error("request %s failed in GraphQL", request_id, exc_info=cause or error)
        told = of_mall(MallError(), request_id)
    else:
        kind = InvalidDocument if before else InvalidInput
        told = of_mall(kind(error.message), request_id)
        told["extensions"] |= {key: value for key, value in (error.extensions or {}).items() if key != "request_id"}
    if error.locations:
        told["locations"] = [{"line": one.line, "column": one.column} for one in error.locations]
    if error.path is not None:
        told["path"] = list(error.path)
    return told


def _cause(error: GraphQLError) -> BaseException | None:
    found: BaseException | None = error.original_error
    while isinstance(found, GraphQLError):
        if found.original_error is None:
            return None
        found = found.original_error
    return found


def _log(error: MallError, request_id: str) -> None:
    if status_of(type(error)) == 500:
        log.error("request %s failed in GraphQL: %r", request_id, error, exc_info=error)


def of_mall(error: MallError, request_id: str) -> dict[str, Any]:
    """A mall's error: message, and in ``extensions`` what a problem document says of it."""
    problem: Mapping[str, Any] = document(error, status_of(type(error)), "", request_id)
    left_out = ("detail", "instance")
    return {
        "message": problem["detail"],
        "extensions": {key: value for key, value in problem.items() if key not in left_out},
    }
