"""The OpenAPI document of one version: what pydantic knows of each operation, handed to the rules that lay it out."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from pydantic import TypeAdapter

from mallcore.api.rules.openapi import UNLIMITED, Described, Life, laid_out
from mallcore.api.rules.problems import status_of
from mallcore.api.rules.tus_paths import paths
from mallcore.api.table import Route, routes_of
from mallcore.api.versions import View
from mallcore.errors import (
    Denied,
    IdempotencyMismatch,
    InvalidInput,
    InvalidReference,
    MallError,
    StaleRevision,
    Unauthenticated,
    UnknownChannel,
    UnknownNode,
    UnknownSlot,
    UnknownUnit,
)
from mallcore.kernel.operations import Catalogue

_REFERENCE = "#/components/schemas/{model}"
_NAMED: dict[str, tuple[type[MallError], ...]] = {
    "channel": (UnknownChannel,),
    "channels": (UnknownChannel,),
    "owner": (InvalidReference, UnknownChannel, UnknownNode),
    "slot": (UnknownSlot,),
    "unit": (UnknownUnit,),
}
"""What whoever names one of these may be told."""


def openapi(view: View | Catalogue, base: str = "", namespace: str = "", life: Life = UNLIMITED) -> dict[str, Any]:
    """The OpenAPI 3.1 document of one version of a catalogue (the newest, unless it is a view), mounted at ``base``.

    ``namespace`` is put before the name of each component, so that the document can be merged into another.
    """
    seen = View(view) if isinstance(view, Catalogue) else view
    routes = list(routes_of(seen))
    wanted: dict[tuple[str, Any], TypeAdapter[Any]] = {}
    for route in routes:
        wanted[route.operation.name, "validation"] = TypeAdapter(route.face.input)
        wanted[route.operation.name, "serialization"] = _output(route)
    reference = _REFERENCE.replace("{", namespace + "{")
    schemas, shared = TypeAdapter.json_schemas([(*key, kind) for key, kind in wanted.items()], ref_template=reference)
    components: dict[str, Any] = dict(shared.get("$defs", {}))
    given = {name: _given(schemas[name, "validation"], components) for name, kind in wanted if kind == "validation"}
    _mark(routes, given, components)
    described = [_described(route, given[route.operation.name], schemas) for route in routes]
    others = [paths] if "attachments.begin_upload" in seen.faces else []
    number = seen.version or version("mallcore")
    return laid_out(described, components, base or "/", number, namespace, others, life)


def _output(route: Route) -> TypeAdapter[Any]:
    """What an operation returns; one that says itself how it is answered sends bytes."""
    return route.face.output if route.rest.asked is None else TypeAdapter(bytes)


def _given(schema: dict[str, Any], components: dict[str, Any]) -> dict[str, Any]:
    """The schema of an operation's parameters, which is no component: no two operations share it."""
    found: dict[str, Any] = components.pop(schema.get("$ref", "").rpartition("/")[2].rpartition(".")[2], schema)
    return found


def _mark(routes: list[Route], given: dict[str, Any], components: dict[str, Any]) -> None:
    """Say of fields and parameters that are on their way out that they are, and what to use instead."""
    going = {name: text for route in routes for name, text in route.face.deprecated.items() if "." in name}
    for name, schema in components.items() if going else ():
        _mark_fields(schema, going, f"{schema.get('title', name)}.")
    for route in routes:
        _mark_fields(given[route.operation.name], route.face.deprecated, "")


def _mark_fields(schema: dict[str, Any], going: Mapping[str, str], before: str) -> None:
    for name, field in schema.get("properties", {}).items():
        text = going.get(before + name)
        if text is not None:
            field["deprecated"] = True
            field["description"] = f"{field.get('description', '')} Deprecated: {text}".strip()


def _described(route: Route, schema: dict[str, Any], schemas: Any) -> Described:
    operation, usual = route.operation, route.face.rest
    first = usual is None or (route.rest.path, route.rest.method) == (usual.path, usual.method)
    return Described(
        name=operation.name if first else f"{operation.name}.also",
        kind=operation.kind,
        method=route.rest.method,
        path=route.rest.path,
        status=route.rest.status,
        raw=route.rest.raw,
        accepts=route.rest.accepts,
        asked=route.rest.asked,
        permission=operation.permission,
        description=operation.description,
        fields=schema.get("properties", {}),
        required=frozenset(schema.get("required", ())),
        lists=route.lists,
        documents=route.documents,
        output=schemas[operation.name, "serialization"],
        errors=tuple((status_of(kind), kind.code) for kind in errors_of(route)),
        location=route.location is not None,
        forms=route.rest.forms,
    )


def errors_of(route: Route) -> list[type[MallError]]:
    """What an operation may answer: what it declares, and what the pipeline before it may."""
    fields = route.fields
    found: list[type[MallError]] = list(route.operation.errors)
    for name in sorted(fields & _NAMED.keys()):
        found += _NAMED[name]
    if fields:
        found.append(InvalidInput)
    if route.operation.permission is not None:
        found += [Unauthenticated, Denied]
    if "idempotency_key" in fields:
        found.append(IdempotencyMismatch)
    if "expected_revision" in fields:
        found.append(StaleRevision)
    return found
