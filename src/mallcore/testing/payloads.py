"""Payloads: plain JSON data that are valid in a type, made by Hypothesis from the type's JSON schema."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError
from pydantic_core import from_json, to_json

Schema = dict[str, Any]
_DEEPEST = 3
_TEXT = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), max_size=12)
_FORMATS: dict[str, st.SearchStrategy[str]] = {
    "date-time": st.datetimes(timezones=st.timezones()).map(lambda one: one.isoformat().partition("[")[0]),
    "date": st.dates().map(str),
    "time": st.times().map(str),
    "uuid": st.uuids().map(str),
    "duration": st.integers(0, 10**6).map(lambda seconds: f"PT{seconds}S"),
    "uri": st.just("https://example.com/a"),
    "email": st.just("someone@example.com"),
}
_ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-100, 100) | _TEXT,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(_TEXT, inner, max_size=2),
    max_leaves=4,
)


def payloads(kind: Any) -> st.SearchStrategy[Any]:
    """Plain JSON data that the type takes, as a caller sends them: what has a default may be left out.

    >>> payloads(list[bool]).filter(len).example()  # doctest: +SKIP
    [True]
    """
    adapter = TypeAdapter[Any](kind)
    schema = adapter.json_schema()
    return _Making(schema).of(schema, 0).filter(lambda data: _valid(adapter, data))


def shown(kind: Any) -> st.SearchStrategy[Any]:
    """The same, as the mall shows them: whole, and written in the type's own way."""
    adapter = TypeAdapter[Any](kind)
    return payloads(kind).map(lambda data: from_json(adapter.dump_json(adapter.validate_json(to_json(data)))))


def _valid(adapter: TypeAdapter[Any], data: Any) -> bool:
    try:
        adapter.validate_json(to_json(data))
    except ValidationError:
        return False
    return True


class _Making:
    """Strategies for the parts of one schema."""

    def __init__(self, whole: Schema) -> None:
        self._definitions: Schema = whole.get("$defs", {})

    def of(self, schema: Schema, depth: int) -> st.SearchStrategy[Any]:
        """What makes data of a part; the deeper, the less."""
        if "$ref" in schema:
            known = self._definitions[schema["$ref"].rpartition("/")[2]]
            return st.deferred(lambda: self.of(known, depth))
        if "const" in schema:
            return st.just(schema["const"])
        if "enum" in schema:
            return st.sampled_from(schema["enum"])
        several = schema.get("anyOf") or schema.get("oneOf")
        if several:
            return self._one_of(several, depth)
        if "allOf" in schema:
            return self.of(schema["allOf"][0], depth)
        make = getattr(self, f"_{schema.get('type', 'anything')}")
        made: st.SearchStrategy[Any] = make(schema, depth)
        return made

    def _one_of(self, several: list[Schema], depth: int) -> st.SearchStrategy[Any]:
        flat = [one for one in several if depth < _DEEPEST or "$ref" not in one] or several
        return st.one_of([self.of(one, depth) for one in flat])

    def _anything(self, schema: Schema, depth: int) -> st.SearchStrategy[Any]:
        return _ANYTHING

    def _null(self, schema: Schema, depth: int) -> st.SearchStrategy[Any]:
        return st.none()

    def _boolean(self, schema: Schema, depth: int) -> st.SearchStrategy[Any]:
        return st.booleans()

    def _integer(self, schema: Schema, depth: int) -> st.SearchStrategy[Any]:
        low, high = _bounds(schema, 1)
        return st.integers(low if low is not None else -(2**31), high if high is not None else 2**31)

    def _number(self, schema: Schema, depth: int) -> st.SearchStrategy[Any]:
        low, high = _bounds(schema, 0)
        return st.floats(low, high, allow_nan=False, allow_infinity=False, width=32 if low is high is None else 64)

    def _string(self, schema: Schema, depth: int) -> st.SearchStrategy[Any]:
        if schema.get("format") in _FORMATS:
            return _FORMATS[schema["format"]]
        least, most = schema.get("minLength", 0), schema.get("maxLength")
        if "pattern" in schema:
            made = st.from_regex(schema["pattern"])
            return made.filter(lambda text: least <= len(text) <= (most or len(text)))
        return st.text(_TEXT_LETTERS, min_size=least, max_size=min(most or least + 12, least + 12))

    def _array(self, schema: Schema, depth: int) -> st.SearchStrategy[Any]:
        least = schema.get("minItems", 0)
        if "prefixItems" in schema:
            return st.tuples(*(self.of(one, depth + 1) for one in schema["prefixItems"])).map(list)
        most = max(least, 0 if depth > _DEEPEST else 2)
        return st.lists(self.of(schema.get("items", {}), depth + 1), min_size=least, max_size=most)

    def _object(self, schema: Schema, depth: int) -> st.SearchStrategy[Any]:
        if "properties" not in schema:
            inner = schema.get("additionalProperties", True)
            values = self.of(inner if isinstance(inner, dict) else {}, depth + 1)
            return st.dictionaries(_TEXT, values, max_size=2)
        needed = set(schema.get("required", ()))
        made = {name: self.of(one, depth + 1) for name, one in schema["properties"].items()}
        must = {name: one for name, one in made.items() if name in needed}
        may = {} if depth > _DEEPEST else {name: one for name, one in made.items() if name not in needed}
        return st.fixed_dictionaries(must, optional=may)


_TEXT_LETTERS = st.characters(codec="utf-8", exclude_categories=("Cc", "Cs"))


def _bounds(schema: Schema, step: int) -> tuple[Any, Any]:
    low = schema.get("minimum", schema["exclusiveMinimum"] + step if "exclusiveMinimum" in schema else None)
    high = schema.get("maximum", schema["exclusiveMaximum"] - step if "exclusiveMaximum" in schema else None)
    return low, high


__all__ = ["payloads", "shown"]
