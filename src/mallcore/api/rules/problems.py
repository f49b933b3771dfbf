"""Errors as RFC 9457 problem documents: which status, which type, and what of an error may be shown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mallcore import errors
from mallcore.errors import MallError

MEDIA_TYPE = "application/problem+json"
TYPE = "urn:mallcore:error:"
LONGEST_DETAIL = 2000
INTERNAL = "Something went wrong inside the mall. It was logged under the request id {request_id}."

STATUSES: dict[type[MallError], int] = {
    errors.InvalidInput: 422,
    errors.NotFound: 404,
    errors.RangeNotSatisfiable: 416,
    errors.WrongOffset: 409,
    errors.Conflict: 409,
    errors.ChannelRemoved: 410,
    errors.ContentErased: 410,
    errors.VersionSunset: 410,
    errors.Denied: 403,
    errors.Unauthenticated: 401,
    errors.TooManyRequests: 429,
    errors.Unavailable: 503,
    errors.MissingExtra: 501,
    MallError: 500,
}
"""The status of each kind of error; a kind that is not named has that of the nearest one above it."""

_RESERVED = {"type", "title", "status", "detail", "instance", "code", "request_id"}


class Refused(Exception):
    """An error that this face found, or that has another status here than usual."""

    def __init__(self, status: int, error: MallError, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(str(error))
        self.status = status
        self.error = error
        self.headers = dict(headers or {})


def status_of(kind: type[BaseException]) -> int:
    """The status for a kind of error.

    >>> status_of(errors.DuplicateSlug), status_of(errors.ChannelRemoved), status_of(ValueError)
    (409, 410, 500)
    """
    return next((STATUSES[one] for one in kind.__mro__ if one in STATUSES), 500)


def title_of(kind: type[MallError]) -> str:
    """A few words that are the same for every problem of a kind.

    >>> title_of(errors.StaleRevision)
    'Stale revision'
    """
    return kind.code.replace("-", " ").capitalize()


def document(error: MallError, status: int, instance: str, request_id: str) -> dict[str, Any]:
    """The problem document of an error. What went wrong inside (5xx but 503) is logged, never shown."""
    kind = type(error)
    hidden = status == 500
    shown = {} if hidden else {key: _plain(value) for key, value in error.details.items() if key not in _RESERVED}
    return {
        "type": TYPE + kind.code,
        "title": title_of(kind),
        "status": status,
        "detail": INTERNAL.format(request_id=request_id) if hidden else str(error)[:LONGEST_DETAIL],
        "instance": instance,
        "code": kind.code,
        "request_id": request_id,
        **shown,
    }


def _plain(value: Any) -> Any:
    """A detail as a JSON value; of other objects only their text is shown."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        return value[:LONGEST_DETAIL]
    if isinstance(value, Mapping):
        return {str(key)[:LONGEST_DETAIL]: _plain(one) for key, one in value.items()}
    if hasattr(value, "_asdict"):
        return _plain(value._asdict())
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(one) for one in value]
    return str(value)[:LONGEST_DETAIL]
