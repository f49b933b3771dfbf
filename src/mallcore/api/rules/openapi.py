"""How an OpenAPI 3.1 document is laid out; from plain descriptions, so that every face that needs it can make one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from mallcore.api.rules.negotiation import EVENTS, JSON
from mallcore.api.rules.problems import MEDIA_TYPE
from mallcore.api.rules.routes import SEVERAL, split

FORM = "multipart/form-data"
TOLD = ("method", "content_type")  # by the request itself, to operations that read a body
Schema = Mapping[str, Any]
Others = Callable[[Callable[[str, str], dict[str, Any]]], dict[str, Any]]
"""Lays out paths, given what makes a reference to a component of a kind and a name."""


@dataclass(frozen=True, slots=True)
class Life:
    """What a version's document says of its end: whether it is on its way out, and the day it is gone."""

    deprecated: bool = False
    sunset: str | None = None


UNLIMITED = Life()


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """All that the document says of one operation. ``fields`` are JSON schemas by parameter name."""

    name: str
    kind: str
    method: str
    path: str
    status: int
    raw: str | None
    accepts: tuple[str, ...]
    asked: str | None
    permission: str | None
    description: str
    fields: Mapping[str, Schema]
    required: frozenset[str]
    lists: frozenset[str]
    documents: frozenset[str]
    output: Schema
    errors: tuple[tuple[int, str], ...]
    location: bool
    forms: tuple[str, ...] = ()

    @property
    def in_path(self) -> list[str]:
        """The parameters that stand in the path."""
        return [part[1:-1] for part in split(self.path) if part.startswith("{")]

    @property
    def in_query(self) -> bool:
        """Whether the other parameters stand in the query string."""
        return self.raw is not None or self.method in ("GET", "DELETE")

    @property
    def others(self) -> dict[str, Schema]:
        """The parameters that stand in the query string, or in the body."""
        return {
            name: schema for name, schema in self.fields.items() if name not in {*self.in_path, self.raw, self.asked}
        }


def laid_out(
    described: Iterable[Described],
    schemas: dict[str, Any],
    base: str,
    version: str,
    namespace: str = "",
    others: Iterable[Others] = (),
    life: Life = UNLIMITED,
) -> dict[str, Any]:
    """The whole document; ``others`` are the paths of routes that are no operations."""
    within = _Within(namespace, life)
    paths: dict[str, dict[str, Any]] = {}
    tags: set[str] = set()
    for one in described:
        item = paths.setdefault(one.path, {})
        method = one.method.lower()
        made = within.operation(one)
        item[method] = _both(item[method], made, one.kind) if method in item else made
        tags.update(made["tags"])
    for find in others:
        for path, item in find(within.ref).items():
            paths[path] = item
            tags.update(tag for one in item.values() if isinstance(one, dict) for tag in one["tags"])
    return {
        "openapi": "3.1.0",
        "info": {"title": "mallcore", "version": version, "description": _ABOUT},
        "servers": [{"url": base}],
        "tags": [{"name": tag} for tag in sorted(tags)],
        "paths": paths,
        "components": within.components(schemas),
    }


class _Within:
    """Parts of a document whose components have a namespace before their names."""

    def __init__(self, namespace: str, life: Life) -> None:
        self._namespace = namespace
        self._life = life

    def ref(self, kind: str, name: str) -> dict[str, Any]:
        return {"$ref": f"#/components/{kind}/{self._namespace}{name}"}

    def components(self, schemas: dict[str, Any]) -> dict[str, Any]:
        problem = {"schema": self.ref("schemas", "Problem")}
        parts: dict[str, dict[str, Any]] = {
            "schemas": {**schemas, "Problem": _PROBLEM},
            "parameters": _HEADERS,
            "headers": _ANSWERED,
            "responses": {
                "Problem": {"description": "Any other problem", "content": {MEDIA_TYPE: problem}},
                "NotModified": {
                    "description": "What you have is current",
                    "headers": {"ETag": self.ref("headers", "ETag")},
                },
            },
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        }
        return {
            kind: {self._namespace + name: part for name, part in sorted(found.items())}
            for kind, found in parts.items()
        }

    def operation(self, one: Described) -> dict[str, Any]:
        summary, _, more = one.description.partition("\n")
        made = {
            "operationId": one.name,
            "tags": [one.name.split(".")[0]],
            "summary": summary.split(". ")[0].rstrip("."),
            "description": f"{summary}\n{more}\n\n{_permission(one)}".replace("\n\n\n", "\n\n"),
            "parameters": [*self._parameters(one), *self._headers(one)],
            "responses": self._responses(one),
            "security": [] if one.permission is None else [{f"{self._namespace}bearer": []}],
            **({"deprecated": True} if self._life.deprecated else {}),
            **({"x-sunset": self._life.sunset} if self._life.sunset else {}),
        }
        body = self._body(one)
        return made if body is None else {**made, "requestBody": body}

    def _parameters(self, one: Described) -> list[dict[str, Any]]:
        listed = [_in_path(name, one.fields[name]) for name in one.in_path]
        return listed + ([_in_query(name, one) for name in one.others] if one.in_query else [])

    def _headers(self, one: Described) -> list[dict[str, Any]]:
        wanted = ["RequestId"]
        if one.kind == "command":
            wanted += ["IfMatch"] if "expected_revision" in one.fields else []
            wanted += ["IdempotencyKey"] if "idempotency_key" in one.fields else []
        elif one.kind == "query":
            wanted += ["IfNoneMatch", *(["MinRevision"] if "min_revision" in one.fields else [])]
            wanted += ["Range", "IfRange"] if one.asked else []
        else:
            wanted += ["LastEventId"]
        return [self.ref("parameters", name) for name in wanted]

    def _body(self, one: Described) -> dict[str, Any] | None:
        if one.raw is not None:
            about = one.fields[one.raw].get("description", "")
            content = {media: {"schema": _form(one) if media == FORM else _BYTES} for media in one.accepts or ("*/*",)}
            return {"required": True, "description": about, "content": content}
        if one.in_query or not one.others:
            return None
        required = sorted(one.required - set(one.in_path))
        schema = {"type": "object", "properties": one.others, "additionalProperties": False}
        return {
            "required": bool(required),
            "content": {JSON: {"schema": {**schema, "required": required} if required else schema}},
        }

    def _responses(self, one: Described) -> dict[str, Any]:
        made: dict[str, Any] = {str(one.status): self._success(one)}
        if one.kind == "query":
            made["304"] = self.ref("responses", "NotModified")
        if one.asked is not None:
            made["206"] = {"description": "The part that Range asks for", "content": {"*/*": {"schema": _BYTES}}}
            made["302"] = {"description": "Where the content is to be fetched: `Location`"}
        problem = {MEDIA_TYPE: {"schema": self.ref("schemas", "Problem")}}
        for status in sorted({status for status, _ in one.errors}):
            codes = sorted({f"`{code}`" for found, code in one.errors if found == status})
            made[str(status)] = {"description": ", ".join(codes), "content": problem}
        if one.asked is not None:
            made["416"] = {"description": "`range-not-satisfiable`: no such part", "content": problem}
        if one.accepts:
            made["413"] = {"description": "`limit-exceeded`: the body is larger than is taken", "content": problem}
            made["415"] = {"description": "`invalid-input`: the body has another type", "content": problem}
        if "expected_revision" in one.fields:
            made["412"] = {"description": "`stale-revision`: If-Match names another revision", "content": problem}
        return {**made, "default": self.ref("responses", "Problem")}

    def _success(self, one: Described) -> dict[str, Any]:
        headers = ["RequestId", "MallRevision"]
        if one.kind == "query":
            headers.append("ETag")
        if one.kind == "command" and "idempotency_key" in one.fields:
            headers.append("IdempotencyReplayed")
        if one.location:
            headers.append("Location")
        shown = {_ANSWERED_AS[name]: self.ref("headers", name) for name in headers}
        content = {} if one.status == 204 else {"content": _content(one)}
        return {"description": "Success", "headers": shown, **content}


def _content(one: Described) -> dict[str, Any]:
    if one.kind == "stream":
        return {EVENTS: {"schema": {"type": "string", "description": _EVENTS_ABOUT}}}
    if one.output.get("format") == "binary" or one.asked is not None:
        return {"*/*": {"schema": _BYTES}}
    return {JSON: {"schema": one.output}, **{form: {"schema": {"type": "string"}} for form in one.forms}}


def _form(one: Described) -> dict[str, Any]:
    """A form that brings the file and, instead of the query string, the other parameters."""
    fields = {name: schema for name, schema in one.others.items() if name != "idempotency_key"}
    # What the file's part says of itself need not be said again.
    needed = sorted((one.required & set(fields)) - {"file_name"})
    properties = {**fields, "file": _BYTES}  # the last, for some are read while they come
    return {"type": "object", "properties": properties, "required": [*needed, "file"], "additionalProperties": False}


def _in_path(name: str, schema: Schema) -> dict[str, Any]:
    about = schema.get("description", "")
    if name in SEVERAL:
        about = f"{about} Slashes may be written as they are or as %2F.".strip()
    return {"name": name, "in": "path", "required": True, "schema": schema, **_about(schema, about)}


def _in_query(name: str, one: Described) -> dict[str, Any]:
    schema = one.fields[name]
    required = name in one.required and FORM not in one.accepts  # a form may bring it instead
    found: dict[str, Any] = {"name": name, "in": "query", "required": required}
    found.update(_about(schema))
    if name in one.documents:
        return {**found, "content": {JSON: {"schema": schema}}}
    return {**found, "schema": schema}


def _about(schema: Schema, text: str = "") -> dict[str, Any]:
    """What is said of a parameter beside its schema."""
    shown = text or schema.get("description", "")
    return {**({"description": shown} if shown else {}), **({"deprecated": True} if schema.get("deprecated") else {})}


def _permission(one: Described) -> str:
    return "Open to everybody." if one.permission is None else f"Needs the permission `{one.permission}`."


def _both(there: dict[str, Any], made: dict[str, Any], kind: str) -> dict[str, Any]:
    """One path and method with two operations: JSON, and events for those who accept them."""
    plain, stream = (there, made) if kind == "stream" else (made, there)
    content = {**_first(plain)["content"], **_first(stream)["content"]}
    known = [(one.get("name"), one.get("$ref")) for one in plain["parameters"]]
    more = [one for one in stream["parameters"] if (one.get("name"), one.get("$ref")) not in known]
    return {
        **plain,
        "description": f"{plain['description']}\n\nWith `Accept: {EVENTS}`: {stream['description']}",
        "parameters": plain["parameters"] + more,
        "responses": {**plain["responses"], "200": {**_first(plain), "content": content}},
    }


def _first(operation: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = operation["responses"]["200"]
    return found


_ABOUT = (
    "Every change is one revision. Send `If-Match` with the revision you saw to change nothing unseen, "
    "`Idempotency-Key` to repeat a call safely, and `Mall-Min-Revision` to read what you wrote. Errors are RFC 9457 "
    "problem documents; their `code` is stable."
)
_EVENTS_ABOUT = "Server-sent events named `revision`; `id` is the revision's number, `data` the revision as JSON."
_BYTES = {"type": "string", "format": "binary"}
_TEXT = {"type": "string"}
_PROBLEM = {
    "type": "object",
    "title": "Problem",
    "description": "What went wrong (RFC 9457). Members that are not listed depend on the code.",
    "required": ["type", "title", "status", "detail", "instance", "code", "request_id"],
    "properties": {
        "type": {"type": "string", "format": "uri"},
        "title": _TEXT,
        "status": {"type": "integer"},
        "detail": _TEXT,
        "instance": _TEXT,
        "code": {"type": "string", "description": "Stable: decide by this."},
        "request_id": _TEXT,
    },
}


def _header(name: str, about: str) -> dict[str, Any]:
    return {"name": name, "in": "header", "schema": _TEXT, "description": about}


_HEADERS = {
    "RequestId": _header("X-Request-Id", "Your name for this request, up to 100 letters, digits and . _ : / + = @ -"),
    "IfMatch": _header("If-Match", "The revision (or version) you saw, or the ETag you got: refuse anything newer."),
    "IdempotencyKey": _header("Idempotency-Key", "Repeating a call with its key answers, and changes nothing."),
    "IfNoneMatch": _header("If-None-Match", "The ETag you have: 304 when it is current."),
    "Range": _header("Range", "One range of bytes; several are answered with the whole, very many refused."),
    "IfRange": _header("If-Range", "The ETag (or the date) for which Range counts."),
    "MinRevision": _header("Mall-Min-Revision", "Answer from this revision or a later one: read your writes."),
    "LastEventId": _header("Last-Event-ID", "Go on after this revision; browsers send it by themselves."),
}
_ANSWERED = {
    "RequestId": {"schema": _TEXT, "description": "The request's id, yours or a new one."},
    "MallRevision": {"schema": {"type": "integer"}, "description": "The revision shown or made, where there is one."},
    "ETag": {"schema": _TEXT, "description": "Names this content; begins with the revision, where there is one."},
    "IdempotencyReplayed": {"schema": _TEXT, "description": "`true` when the call had been made before."},
    "Location": {"schema": _TEXT, "description": "Where what was made can be read."},
}
_ANSWERED_AS = {
    "RequestId": "X-Request-Id",
    "MallRevision": "Mall-Revision",
    "ETag": "ETag",
    "IdempotencyReplayed": "Idempotency-Replayed",
    "Location": "Location",
}
