"""What the differ calls harmless is harmless: tried with data at random, judged by a library for JSON schemas."""

from __future__ import annotations

from typing import Any

from hypothesis import assume, event, given, settings
from hypothesis import strategies as st

from mallcore.api.rules.differing import Comparing, breaking
from tests.api.contracts.schemas import SCHEMAS, documents, instances, later, tolerant, valid


@st.composite
def histories(draw: st.DrawFn) -> tuple[Any, Any, Any, Any]:
    """A schema and its document, and both some time later."""
    schemas, schema = draw(documents()), draw(SCHEMAS)
    if draw(st.booleans()):
        return schema, schemas, draw(later(schema)), schemas
    return schema, schemas, draw(later(schema)), {name: draw(later(one)) for name, one in schemas.items()}


@given(histories(), st.data())
@settings(max_examples=80, deadline=None)
def test_old_requests_are_taken_where_nothing_is_breaking(history: Any, data: st.DataObject) -> None:
    """What was valid before is valid after, unless the differ names something that breaks."""
    old, old_schemas, new, new_schemas = history
    found = Comparing(old_schemas, new_schemas).schemas(old, new, "input", "request")
    event(f"breaking: {bool(breaking(found))}")
    assume(not breaking(found))
    request = data.draw(instances(old, old_schemas))
    assume(valid(request, old, old_schemas))
    assert valid(request, new, new_schemas), found


@given(histories(), st.data())
@settings(max_examples=80, deadline=None)
def test_new_responses_are_read_where_nothing_is_breaking(history: Any, data: st.DataObject) -> None:
    """A tolerant reader of the old schema reads what the new one allows, unless the differ says it breaks."""
    old, old_schemas, new, new_schemas = history
    found = Comparing(old_schemas, new_schemas).schemas(old, new, "output", "response")
    event(f"breaking: {bool(breaking(found))}")
    assume(not breaking(found))
    response = data.draw(instances(new, new_schemas))
    assume(valid(response, new, new_schemas))
    read = {name: tolerant(one) for name, one in old_schemas.items()}
    assert valid(response, tolerant(old), read), found


@given(histories())
@settings(max_examples=40, deadline=None)
def test_a_schema_does_not_differ_from_itself(history: Any) -> None:
    """The same schema twice differs in nothing, whatever it is."""
    schema, schemas, *_ = history
    copied = {name: dict(one) for name, one in schemas.items()}
    for direction in ("request", "response"):
        assert Comparing(schemas, copied).schemas(schema, dict(schema), "x", direction) == []
