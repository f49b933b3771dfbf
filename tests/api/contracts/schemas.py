"""JSON schemas and what is valid under them, at random; and a schema as a tolerant reader takes it."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from jsonschema import Draft202012Validator, FormatChecker

Schema = dict[str, Any]
NAMES = ("Left", "Right")
FIELDS = ("a", "b", "c")
TEXTS = ("", "a", "b", "ab", "ba", "aab", "abba", "2026-01-01")
_NUMBERS = (-3, -1, 0, 1, 2, 3, 5, 8)
_DEEPEST = 4


def valid(instance: Any, schema: Schema, schemas: dict[str, Schema]) -> bool:
    """What the library for JSON schemas says."""
    whole = Draft202012Validator({**schema, "schemas": schemas}, format_checker=FormatChecker())
    return bool(whole.is_valid(instance))


@st.composite
def texts(draw: st.DrawFn) -> Schema:
    more: Schema = draw(
        st.sampled_from(
            [{}, {"maxLength": 2}, {"maxLength": 3}, {"minLength": 1}, {"minLength": 2, "maxLength": 4},
             {"pattern": "^a"}, {"pattern": "b"}, {"format": "date"}, {"enum": ["a", "b"]}, {"enum": ["b"]},
             {"const": "a"}]
        )
    )  # fmt: skip
    return {"type": "string", **more}


@st.composite
def numbers(draw: st.DrawFn) -> Schema:
    limits = {"minimum": (0, 1), "maximum": (2, 5), "exclusiveMinimum": (-1, 0), "multipleOf": (1, 2, 3)}
    chosen = draw(st.sets(st.sampled_from(sorted(limits)), max_size=2))
    more = {name: draw(st.sampled_from(limits[name])) for name in sorted(chosen)}
    return {"type": draw(st.sampled_from(["integer", "number"])), **more}


@st.composite
def objects(draw: st.DrawFn, inner: st.SearchStrategy[Schema]) -> Schema:
    fields = draw(st.dictionaries(st.sampled_from(FIELDS), inner, max_size=3))
    required = [name for name in sorted(fields) if draw(st.booleans())]
    more: Schema = draw(st.sampled_from([{}, {"additionalProperties": False}]))
    if draw(st.integers(0, 2)) == 0:
        more = {"additionalProperties": draw(inner)}
    return {"type": "object", "properties": fields, "required": required, **more}


@st.composite
def arrays(draw: st.DrawFn, inner: st.SearchStrategy[Schema]) -> Schema:
    more: Schema = draw(st.sampled_from([{}, {"maxItems": 1}, {"minItems": 1}, {"uniqueItems": True}]))
    if draw(st.integers(0, 4)) == 0:
        more = {"prefixItems": draw(st.lists(inner, min_size=1, max_size=2)), **more}
    return {"type": "array", "items": draw(inner), **more}


@st.composite
def tagged(draw: st.DrawFn, inner: st.SearchStrategy[Schema]) -> Schema:
    tags = draw(st.lists(st.sampled_from(["x", "y", "z"]), min_size=1, max_size=3, unique=True))
    kinds = [{"type": "object", "properties": {"tag": {"const": tag}, "a": draw(inner)}, "required": ["tag", "a"]}
             for tag in tags]  # fmt: skip
    return {"oneOf": kinds}


LEAVES = st.one_of(
    texts(),
    numbers(),
    st.sampled_from([{"type": "boolean"}, {"type": "null"}, {}, {"enum": [1, True, "a", None]}]),
    st.sampled_from([{"$ref": f"#/schemas/{name}"} for name in NAMES]),
)
SCHEMAS: st.SearchStrategy[Schema] = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        objects(inner),
        arrays(inner),
        tagged(inner),
        st.lists(inner, min_size=1, max_size=3).map(lambda some: {"anyOf": some}),
    ),
    max_leaves=6,
)


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Schema]:
    """Named schemas, which may refer to one another and to themselves."""
    return {name: draw(st.one_of(texts(), objects(LEAVES), arrays(LEAVES))) for name in NAMES}


@st.composite
def later(draw: st.DrawFn, schema: Schema, depth: int = 0) -> Schema:
    """The schema, after somebody worked on it."""
    if draw(st.integers(0, 9)) == 0 or depth > _DEEPEST:
        return draw(LEAVES)
    changed = dict(schema)
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            changed[key] = draw(later(schema[key], depth + 1))
    for key in ("anyOf", "oneOf", "prefixItems"):
        if key in schema:
            changed[key] = [draw(later(one, depth + 1)) for one in schema[key]]
    if "properties" in schema:
        changed = draw(_fields(changed, depth))
    if "type" in schema and draw(st.integers(0, 5)) == 0:
        changed |= draw(st.sampled_from([{"maxLength": 3}, {"minimum": 0}, {"maximum": 5}, {"maxItems": 2}]))
    return {"anyOf": [changed, {"type": "null"}]} if draw(st.integers(0, 9)) == 0 else changed


@st.composite
def _fields(draw: st.DrawFn, schema: Schema, depth: int) -> Schema:
    fields = {name: draw(later(one, depth + 1)) for name, one in schema["properties"].items()}
    if draw(st.integers(0, 3)) == 0:
        fields[draw(st.sampled_from(FIELDS))] = draw(LEAVES)
    if fields and draw(st.integers(0, 9)) == 0:
        del fields[draw(st.sampled_from(sorted(fields)))]
    required = [name for name in sorted(fields) if (name in schema["required"]) != (draw(st.integers(0, 9)) == 0)]
    changed = {**schema, "properties": fields, "required": required}
    if draw(st.integers(0, 5)) == 0:
        changed["additionalProperties"] = draw(st.one_of(LEAVES, st.booleans()))
    return changed


def instances(schema: Schema, schemas: dict[str, Schema], depth: int = 0) -> st.SearchStrategy[Any]:
    """What somebody sends who follows the schema: no field that it does not name."""
    if depth > _DEEPEST:
        return st.nothing()
    if "$ref" in schema:
        return st.deferred(lambda: instances(schemas[schema["$ref"].rpartition("/")[2]], schemas, depth + 1))
    for key in ("anyOf", "oneOf"):
        if key in schema:
            return st.one_of([instances(one, schemas, depth) for one in schema[key]])
    if "enum" in schema or "const" in schema:
        return st.sampled_from(schema.get("enum", [schema.get("const")])).filter(lambda one: valid(one, schema, {}))
    return _of_type(schema, schemas, depth)


def _of_type(schema: Schema, schemas: dict[str, Schema], depth: int) -> st.SearchStrategy[Any]:
    kind = schema.get("type")
    if kind == "object":
        return _records(schema, schemas, depth)
    if kind == "array":
        return _lists(schema, schemas, depth)
    some: list[Any] = [None, True, False, *_NUMBERS, 0.5, 2.5, *TEXTS, [], {}]
    fitting = [one for one in some if valid(one, schema, {})]
    return st.sampled_from(fitting) if fitting else st.nothing()


@st.composite
def _records(draw: st.DrawFn, schema: Schema, schemas: dict[str, Schema], depth: int) -> Any:
    fields = {
        name: instances(one, schemas, depth + 1)
        for name, one in sorted(schema.get("properties", {}).items())
        if name in schema.get("required", ()) or draw(st.booleans())
    }
    if isinstance(rest := schema.get("additionalProperties"), dict) and draw(st.booleans()):
        others = [name for name in (*FIELDS, "other") if name not in schema.get("properties", {})]
        fields[draw(st.sampled_from(others))] = instances(rest, schemas, depth + 1)
    return {name: draw(one) for name, one in fields.items()}


@st.composite
def _lists(draw: st.DrawFn, schema: Schema, schemas: dict[str, Schema], depth: int) -> Any:
    places = [*schema.get("prefixItems", ()), schema.get("items", {}), schema.get("items", {})]
    size = draw(st.integers(schema.get("minItems", 0), min(schema.get("maxItems", 3), len(places))))
    return [draw(instances(one, schemas, depth + 1)) for one in places[:size]]


def tolerant(schema: Any) -> Any:
    """The schema as a tolerant reader takes it: it passes over fields and values of a list that it does not know."""
    if isinstance(schema, list):
        return [tolerant(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    known = {key: value for key, value in schema.items() if not (key == "additionalProperties" and value is False)}
    if "oneOf" in known:  # shapes that only values tell apart are not told apart any more
        known["anyOf"] = known.pop("oneOf")
    values = known.pop("enum", [known.pop("const")] if "const" in known else None)
    if values is not None and "type" not in known:
        known["type"] = sorted({_kind(one) for one in values})
    return {key: {n: tolerant(s) for n, s in value.items()} if key == "properties" else tolerant(value)
            for key, value in known.items()}  # fmt: skip


def _kind(value: Any) -> str:
    names = ((type(None), "null"), (bool, "boolean"), (int, "integer"), (float, "number"), (str, "string"))
    return next(name for kind, name in names if isinstance(value, kind))
