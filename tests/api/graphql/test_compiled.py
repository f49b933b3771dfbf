"""The compiled path answers what graphql-core's executor answers: the same bytes, the same errors."""

from __future__ import annotations

import json
import os
from typing import Any

from graphql import ExecutionResult, execute_sync
from hypothesis import given, settings
from hypothesis import strategies as st

from mallcore.api.graphql.compiled import execute
from tests.api.graphql.worlds import documents, worlds

LONG = os.environ.get("MALLCORE_PROOFS") == "1"


def told(result: ExecutionResult) -> tuple[str, list[Any]]:
    """All that a client sees of a result, in the order it sees it."""
    errors = [(one.message, one.path, one.locations) for one in result.errors or ()]
    return json.dumps(result.data, default=repr), errors


@settings(max_examples=4000 if LONG else 150)
@given(st.data())
def test_answers_are_those_of_the_executor(data: st.DataObject) -> None:
    """On any schema, data and document, mistakes in the data included, data and errors are equal, byte for byte."""
    world = data.draw(worlds())
    asked = data.draw(documents(world.schema))
    given = {"variable_values": asked.variables, "root_value": world.root()}
    theirs = execute_sync(world.schema, asked.document, **given)
    ours = execute(world.schema, asked.document, variables=asked.variables, root=world.root())
    assert told(ours) == told(theirs), asked.text
    again = execute(world.schema, asked.document, variables=asked.variables, root=world.root())
    assert told(again) == told(theirs), asked.text
