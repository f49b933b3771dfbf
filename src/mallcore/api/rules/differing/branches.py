"""JSON schemas taken apart, so that two can be compared: references followed, unions flattened, values by type."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

Schema = Mapping[str, Any]
REFERENCE = "#/schemas/"
ANY = "any"
ODD = "odd"
"""The type of a schema that constrains without saying what: it can be compared only as a whole."""

TOLD = frozenset(
    {"title", "description", "default", "examples", "deprecated", "discriminator", "readOnly", "writeOnly", "$comment"}
)
"""What says something about a schema and constrains nothing."""

_UNIONS = ("anyOf", "oneOf")


def resolved(schema: Any, schemas: Mapping[str, Schema]) -> dict[str, Any]:
    """A schema with its reference followed; what stands beside the reference counts, too.

    >>> resolved({"$ref": "#/schemas/Name", "default": ""}, {"Name": {"type": "string"}})
    {'type': 'string', 'default': ''}
    """
    if isinstance(schema, bool):
        return {} if schema else {"enum": []}
    found = dict(schema)
    passed: set[str] = set()
    while isinstance(name := name_of(found), str) and name not in passed:
        passed.add(name)
        del found["$ref"]
        found = {**schemas.get(name, {"$missing": name}), **found}
    return found


def name_of(schema: Any) -> str | None:
    """The name that a schema refers to."""
    reference = schema.get("$ref") if isinstance(schema, Mapping) else None
    return reference.removeprefix(REFERENCE) if isinstance(reference, str) else None


def branches(schema: Any, schemas: Mapping[str, Schema], depth: int = 0) -> list[dict[str, Any]]:
    """The simple schemas of which one must hold: each has one type, and no union at its top.

    >>> branches({"anyOf": [{"enum": ["a", 1]}, {"type": ["string", "null"]}]}, {})
    [{'enum': ['a'], 'type': 'string'}, {'enum': [1], 'type': 'integer'}, {'type': 'string'}, {'type': 'null'}]
    """
    found = plain(resolved(schema, schemas))
    unions = [name for name in _UNIONS if name in found]
    if len(unions) == 1 and depth < 50:
        return list(_united(found, unions[0], schemas, depth))
    return list(_typed(found))


def plain(schema: Schema) -> dict[str, Any]:
    """A schema without what constrains nothing; ``const`` is an ``enum`` of one."""
    found = {key: value for key, value in schema.items() if key not in TOLD}
    if "const" in found:
        found["enum"] = [found.pop("const")]
    return found


def _united(found: dict[str, Any], union: str, schemas: Mapping[str, Schema], depth: int) -> Iterator[dict[str, Any]]:
    beside = {key: value for key, value in found.items() if key != union}
    for branch in found[union]:
        for one in branches(branch, schemas, depth + 1):
            clashing = any(beside[key] != one[key] for key in one.keys() & beside.keys())
            if beside and (clashing or one["type"] in (ANY, ODD)):
                yield {"type": ODD, "branch": one, "beside": beside}
            else:
                yield {**beside, **one}


def _typed(found: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if not found:
        yield {"type": ANY}
    elif "enum" in found:
        yield from _by_type(found)
    elif isinstance(found.get("type"), list):
        yield from ({**found, "type": kind} for kind in found["type"])
    elif not isinstance(found.get("type"), str) or "allOf" in found or "oneOf" in found:
        yield {"type": ODD, "whole": found}
    else:
        yield found


def _by_type(found: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """An enumeration, type by type; a value that the type forbids is none."""
    allowed = found.get("type")
    kinds = None if allowed is None else set(allowed if isinstance(allowed, list) else [allowed])
    values: dict[str, list[Any]] = {}
    for value in found["enum"]:
        kind = type_of(value)
        if kinds is not None and kind == "integer" and kind not in kinds:
            kind = "number"
        if kinds is None or kind in kinds:
            values.setdefault(kind, []).append(value)
    for kind, some in values.items():
        yield {**found, "type": kind, "enum": some} if kind != "null" else {"type": "null"}


def type_of(value: Any) -> str:
    """The JSON type of a value.

    >>> [type_of(one) for one in (None, True, 1, 1.5, "a", [], {})]
    ['null', 'boolean', 'integer', 'number', 'string', 'array', 'object']
    """
    kinds = ((bool, "boolean"), (int, "integer"), (float, "number"), (str, "string"), (list, "array"))
    return "null" if value is None else next((kind for cls, kind in kinds if isinstance(value, cls)), "object")


def spelt(value: Any) -> str:
    """A value as text that equals another's only when the values are the same: 1 is not true."""
    return json.dumps(value, sort_keys=True)


def alike(old: Mapping[str, Schema], new: Mapping[str, Schema]) -> frozenset[str]:
    """The names that mean the same in both documents, with all that they refer to."""
    same = {name for name in old.keys() & new.keys() if spelt(old[name]) == spelt(new[name])}
    uses = {name: set(references(old[name])) for name in same}
    while gone := {name for name in same if not uses[name] <= same}:
        same -= gone
    return frozenset(same)


def references(schema: Any) -> Iterator[str]:
    """Every name that a schema refers to, at any depth."""
    waiting: list[Any] = [schema]
    while waiting:
        one = waiting.pop()
        if isinstance(one, Mapping):
            name = name_of(one)
            if name is not None:
                yield name
            waiting += one.values()
        elif isinstance(one, list):
            waiting += one


def by_type(found: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Branches with the enumerations of a type put together, so that values can be counted over all of them."""
    merged: list[dict[str, Any]] = []
    for one in found:
        others = {key: value for key, value in one.items() if key != "enum"}
        beside = next(
            (m for m in merged if "enum" in m and {k: v for k, v in m.items() if k != "enum"} == others), None
        )
        if "enum" in one and beside is not None:
            beside["enum"] = [*beside["enum"], *(v for v in one["enum"] if v not in beside["enum"])]
        elif one not in merged:
            merged.append(dict(one))
    return merged
