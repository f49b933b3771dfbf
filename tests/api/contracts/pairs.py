"""The smallest pair of contracts for each rule of the differ."""

from __future__ import annotations

from typing import Any

Pair = tuple[dict[str, Any], dict[str, Any]]
TEXT: dict[str, Any] = {"type": "string"}
NUMBER: dict[str, Any] = {"type": "integer"}
NULL: dict[str, Any] = {"type": "null"}
HIRE: dict[str, Any] = {
    "kind": "query", "method": "GET", "path": "/hire", "status": 200, "permission": "shop.hire", "errors": ["gone"],
    "answers": "application/json",
}  # fmt: skip


def contract(operation: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """A contract of one operation."""
    return {"operations": {} if operation is None else {"shop.hire": operation}, "schemas": {}, "events": {}, **more}


def whole(**changed: Any) -> Pair:
    """The operation, and how it is after."""
    return contract(HIRE), contract({**HIRE, **changed})


def back(pair: Pair) -> Pair:
    """The other way round."""
    return pair[1], pair[0]


def record(properties: dict[str, Any], *required: str, **more: Any) -> dict[str, Any]:
    """An object."""
    return {"type": "object", "properties": properties, "required": list(required), **more}


def shape(name: str, **properties: Any) -> dict[str, Any]:
    """An object of a union."""
    return record({"op": {"const": name, "type": "string"}, **properties}, "op")


def either(*schemas: dict[str, Any]) -> dict[str, Any]:
    return {"anyOf": list(schemas)}


# Of data, whichever way it goes: what was, what is.
SHAPES: dict[str, Pair] = {
    "type-widened": (NUMBER, {"type": "number"}),
    "type-changed": (NUMBER, TEXT),
    "null-accepted": (TEXT, either(TEXT, NULL)),
    "enum-value-added": ({"enum": ["a"]}, {"enum": ["a", "b"]}),
    "enum-opened": ({"enum": ["a"], "type": "string"}, TEXT),
    "limit-loosened": ({"type": "string", "maxLength": 1}, {"type": "string", "maxLength": 2}),
    "pattern-loosened": ({"type": "string", "pattern": "a"}, TEXT),
    "pattern-changed": ({"type": "string", "pattern": "a"}, {"type": "string", "pattern": "b"}),
    "format-loosened": ({"type": "string", "format": "date"}, TEXT),
    "format-changed": ({"type": "string", "format": "date"}, {"type": "string", "format": "date-time"}),
    "additional-loosened": (record({}, additionalProperties=TEXT), record({})),
    "branch-added": (either(shape("a")), either(shape("a"), shape("b"))),
    "schema-changed": (record({}), record({}, patternProperties={"a": TEXT})),
}
OPPOSITE = {
    "type-widened": "type-narrowed",
    "null-accepted": "null-refused",
    "enum-value-added": "enum-value-removed",
    "enum-opened": "enum-closed",
    "limit-loosened": "limit-tightened",
    "pattern-loosened": "pattern-tightened",
    "format-loosened": "format-tightened",
    "additional-loosened": "additional-tightened",
    "branch-added": "branch-removed",
}
SHAPES |= {OPPOSITE[name]: back(pair) for name, pair in list(SHAPES.items()) if name in OPPOSITE}

REQUESTS: dict[str, Pair] = {
    **SHAPES,
    "parameter-removed": (record({"a": TEXT}), record({})),
    "parameter-renamed": (record({"a": TEXT}), record({"b": TEXT})),
    "parameter-added-required": (record({}), record({"a": TEXT}, "a")),
    "parameter-added": (record({}), record({"a": TEXT})),
    "parameter-now-required": (record({"a": TEXT}), record({"a": TEXT}, "a")),
    "parameter-now-optional": (record({"a": TEXT}, "a"), record({"a": TEXT})),
    "default-changed": (record({"a": {**TEXT, "default": "x"}}), record({"a": {**TEXT, "default": "y"}})),
}
RESPONSES: dict[str, Pair] = {
    **SHAPES,
    "field-removed": (record({"a": TEXT}), record({})),
    "field-renamed": (record({"a": TEXT}), record({"b": TEXT})),
    "field-added": (record({}), record({"a": TEXT})),
    "field-now-optional": (record({"a": TEXT}, "a"), record({"a": TEXT})),
    "field-now-present": (record({"a": TEXT}), record({"a": TEXT}, "a")),
}
OPERATIONS: dict[str, Pair] = {
    "operation-removed": (contract(HIRE), contract()),
    "operation-added": (contract(), contract(HIRE)),
    "kind-changed": whole(kind="command"),
    "method-changed": whole(method="POST"),
    "path-changed": whole(path="/hires"),
    "path-added": whole(also=["/hire/{name}"]),
    "path-removed": back(whole(also=["/hire/{name}"])),
    "status-changed": whole(status=201),
    "permission-changed": whole(permission="shop.other"),
    "permission-dropped": whole(permission=None),
    "error-added": whole(errors=["gone", "late"]),
    "error-removed": whole(errors=[]),
    "request-body-changed": whole(body="file"),
    "request-media-type-added": whole(accepts=["text/csv"]),
    "request-media-type-removed": back(whole(accepts=["text/csv"])),
    "response-media-type-changed": whole(answers="text/csv"),
    "deprecated": whole(deprecated={"": "take shop.rent"}),
    "deprecation-withdrawn": back(whole(deprecated={"": "take shop.rent"})),
    "event-added": (contract(), contract(events={"shop.hired": TEXT})),
    "event-removed": (contract(events={"shop.hired": TEXT}), contract()),
}
PAIRS: dict[str, Pair] = {
    **OPERATIONS,
    **{f"request-{name}": whole(input=new) for name, (_, new) in REQUESTS.items()},
}
for _direction, _part, _pairs in (("request", "input", REQUESTS), ("response", "output", RESPONSES)):
    PAIRS |= {
        f"{_direction}-{name}": (contract({**HIRE, _part: old}), contract({**HIRE, _part: new}))
        for name, (old, new) in _pairs.items()
    }
