"""The contract of a version: all that its callers rely on, as plain data in one form, so that two can be compared.

Words (titles, descriptions) are no part of it, and neither is the order of anything: the same API gives the same
contract, byte for byte.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import TypeAdapter

from mallcore.api.openapi import errors_of
from mallcore.api.rules.differing.branches import REFERENCE, references
from mallcore.api.rules.negotiation import EVENTS, JSON
from mallcore.api.rules.openapi import TOLD
from mallcore.api.table import Route, routes_of
from mallcore.api.versions import View
from mallcore.kernel.events import Event
from mallcore.kernel.operations import Operation

Contract = dict[str, Any]
Which = Callable[[Operation | type[Event]], bool]
"""Picks the operations and kinds of events that a contract is about."""
Mode = Literal["validation", "serialization"]
HEAD = "head"
"""What the contract of a view calls itself that has no name."""

_WORDS = frozenset({"title", "description", "examples", "deprecated", "discriminator"})
_NAMED = frozenset({"properties", "$defs", "patternProperties"})
"""Keywords whose keys are names, not keywords."""
_PLAIN = frozenset({"default", "const", "enum"})
_SETS = frozenset({"required", "enum"})


@dataclass(frozen=True)
class EventShapes:
    """Port: the shapes of what messages tell of events, by the kind of event, as the newest version has them."""

    shapes: Mapping[type[Event], Any] = field(default_factory=dict)


def contract_of(view: View, shapes: EventShapes | None = None, which: Which | None = None) -> Contract:
    """The contract of one version of a catalogue: its operations with a REST face, its events, and their shapes.

    With ``which`` only the operations and events that it picks are in it.
    """
    routes = {one.operation.name: one for one in routes_of(view) if which is None or which(one.operation)}
    told = (shapes or EventShapes()).shapes.items()
    events = {kind.name: TypeAdapter(view.shape(shape)) for kind, shape in told if which is None or which(kind)}
    found, shared = TypeAdapter.json_schemas(list(_wanted(routes, events)), ref_template=REFERENCE + "{model}")
    known = {name: cleaned(one) for name, one in shared.get("$defs", {}).items()}
    schemas = {key: cleaned(one) for key, one in found.items()}
    operations = {name: _operation(route, schemas, known) for name, route in sorted(routes.items())}
    payloads = {name: schemas[f"event {name}", "serialization"] for name in sorted(events)}
    return {
        "version": view.version or HEAD,
        "operations": operations,
        "events": payloads,
        "schemas": _used(known, [operations, payloads]),
    }


def dumped(contract: Contract) -> str:
    """The contract as a file holds it: the same for the same contract, and read well by a tool that shows changes."""
    return json.dumps(contract, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def _wanted(routes: Mapping[str, Route], events: Mapping[str, TypeAdapter[Any]]) -> Iterator[tuple[str, Mode, Any]]:
    for name, route in sorted(routes.items()):
        yield name, "validation", TypeAdapter(route.face.input)
        yield name, "serialization", route.face.output if route.rest.asked is None else TypeAdapter(bytes)
    for name, kind in sorted(events.items()):
        yield f"event {name}", "serialization", kind


def _operation(route: Route, schemas: Mapping[Any, Any], known: Mapping[str, Any]) -> dict[str, Any]:
    name, rest = route.operation.name, route.face.rest or route.rest
    output = schemas[name, "serialization"]
    found = {
        "kind": route.operation.kind,
        "method": rest.method,
        "path": rest.path,
        "status": rest.status,
        "permission": route.operation.permission,
        "input": _given(route, _inlined(schemas[name, "validation"], known)),
        "output": None if output == {"type": "null"} else output,
        "errors": sorted({kind.code for kind in errors_of(route)}),
        "answers": _answers(route, output),
        "deprecated": dict(route.face.deprecated),
    }
    others = [*([rest.also] if rest.also else []), *([f"POST {rest.path}"] if rest.posted else [])]
    more = {"also": others, "accepts": sorted(rest.accepts), "body": rest.raw}
    return found | {part: one for part, one in more.items() if one}


def _given(route: Route, schema: dict[str, Any]) -> dict[str, Any]:
    """What a caller gives: not what the request tells by itself."""
    told = {route.rest.asked, *(TOLD if route.rest.raw is not None else ())}
    fields = {name: one for name, one in schema.get("properties", {}).items() if name not in told}
    required = [name for name in schema.get("required", ()) if name not in told]
    return {**schema, "properties": fields} | ({"required": required} if required else {})


def _answers(route: Route, output: Any) -> str:
    if route.operation.kind == "stream":
        return EVENTS
    return "*/*" if route.rest.asked is not None or output.get("format") == "binary" else JSON


def cleaned(schema: Any) -> Any:
    """A JSON schema without words, with what has no order sorted.

    >>> cleaned({"title": "A", "properties": {"title": {"title": "B", "type": "string"}}, "required": ["b", "a"]})
    {'properties': {'title': {'type': 'string'}}, 'required': ['a', 'b']}
    """
    if isinstance(schema, list):
        return [cleaned(one) for one in schema]
    if not isinstance(schema, Mapping):
        return schema
    return {
        key: _value(key, one) for key, one in schema.items() if key not in _WORDS and (key, one) != ("required", [])
    }


def _value(key: str, value: Any) -> Any:
    if key in _NAMED:
        return {name: cleaned(one) for name, one in value.items()}
    if key in _SETS and isinstance(value, list):
        return sorted(value, key=lambda one: json.dumps(one, sort_keys=True))
    return value if key in _PLAIN else cleaned(value)


def _inlined(schema: dict[str, Any], known: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of an operation are no shape that others share: they stand where they are used."""
    found: dict[str, Any] = known.get(schema.get("$ref", "").removeprefix(REFERENCE), schema)
    return found


def _used(known: Mapping[str, Any], documents: Any) -> dict[str, Any]:
    """The shapes that something refers to, by way of others, too."""
    found: dict[str, Any] = {}
    waiting = list(references(documents))
    while waiting:
        name = waiting.pop()
        if name not in found and name in known:
            found[name] = known[name]
            waiting += references(known[name])
    return dict(sorted(found.items()))
