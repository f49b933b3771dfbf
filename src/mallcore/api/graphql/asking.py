"""What a request over HTTP asks: its parameters, wherever they stand, and the media type of the answer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from mallcore.api.http import Request
from mallcore.api.rules.negotiation import JSON, accepts, media_type, names
from mallcore.api.rules.problems import Refused
from mallcore.api.rules.repeats import RepeatedKey, once
from mallcore.errors import InvalidInput, LimitExceeded

GRAPHQL = "application/graphql-response+json"
READS = ("GET", "HEAD")
_MOST_PARAMETERS = 20


@dataclass(frozen=True, slots=True)
class Asked:
    """One request's parameters."""

    query: str | None = None
    name: str | None = None
    variables: dict[str, Any] | None = None
    extensions: Mapping[str, Any] = field(default_factory=dict)
    document_id: str | None = None


def answer_type(request: Request) -> str:
    """The media type of the answer: the one made for GraphQL for whoever names it, else JSON."""
    accept = request.headers.get("accept")
    if accept is None:
        return JSON
    if names(accept, GRAPHQL):
        return GRAPHQL
    if accepts(accept, JSON):
        return JSON
    raise Refused(406, InvalidInput(field="accept", reason=f"this answers {GRAPHQL} and {JSON}"))


def asked(request: Request, max_body: int) -> Asked:
    """The parameters in a request's query string (GET) or body (POST)."""
    if request.method in READS:
        return checked(_in_query(request.query))
    if request.method != "POST":
        raise Refused(
            405, InvalidInput(field="method", reason="send GET or POST"), {"allow": "GET, HEAD, OPTIONS, POST"}
        )
    if len(request.body) > max_body:
        raise Refused(413, LimitExceeded(what="the request's body", actual=len(request.body), limit=max_body))
    return checked(_in_body(request))


def _in_query(query: str) -> dict[str, Any]:
    try:
        pairs = parse_qsl(query, keep_blank_values=True, max_num_fields=_MOST_PARAMETERS, errors="strict")
    except ValueError:
        raise _wrong("query", "the query string can't be read") from None
    found: dict[str, Any] = _unrepeated(pairs)
    for name in ("variables", "extensions"):
        if found.get(name):
            found[name] = parsed(found[name], name)
    return {name: value for name, value in found.items() if value != ""}


def _in_body(request: Request) -> dict[str, Any]:
    content_type = request.headers.get("content-type", "")
    charset = content_type.lower().partition("charset=")[2].strip('" ')
    if media_type(content_type) != JSON or charset not in ("", "utf-8", "utf8"):
        raise Refused(415, InvalidInput(field="content-type", reason="send application/json in UTF-8"))
    try:
        text = request.body.decode("utf-8")
    except UnicodeDecodeError:
        raise _wrong("body", "it is not UTF-8") from None
    found = parsed(text, "body")
    if isinstance(found, list):
        raise _wrong("body", "requests are not taken in batches: send one")
    if not isinstance(found, dict):
        raise _wrong("body", "it must be a JSON object")
    return found


def parsed(text: str, name: str) -> Any:
    """JSON in which no key stands twice: which of them counts would be anybody's guess."""
    try:
        return json.loads(text, object_pairs_hook=once, parse_constant=_no_constant)
    except RecursionError:
        raise _wrong(name, "it is nested too deeply") from None
    except RepeatedKey as error:
        raise _wrong(error.key[:100], "it is given twice") from None
    except ValueError as error:
        raise _wrong(name, f"it is not JSON: {str(error)[:200]}") from None


def _unrepeated(pairs: list[tuple[str, str]]) -> dict[str, Any]:
    try:
        return once(pairs)
    except RepeatedKey as error:
        raise _wrong(error.key[:100], "it is given twice") from None


def _no_constant(text: str) -> Any:
    raise ValueError(f"{text} is no JSON number")


def checked(given: Mapping[str, Any]) -> Asked:
    """The parameters, each of its type."""
    for name, kind in (
        ("query", str),
        ("operationName", str),
        ("documentId", str),
        ("variables", dict),
        ("extensions", dict),
    ):
        if given.get(name) is not None and not isinstance(given[name], kind):
            raise _wrong(name, "it must be a string" if kind is str else "it must be a map")
    if given.get("query") is None and given.get("documentId") is None:
        raise _wrong("query", "send a document")
    return Asked(
        given.get("query"),
        given.get("operationName"),
        given.get("variables"),
        given.get("extensions") or {},
        given.get("documentId"),
    )


def _wrong(name: str, reason: str) -> Refused:
    return Refused(400, InvalidInput(field=name, reason=reason))
