"""One field, one call: its arguments go up to the newest version, the operation runs, its result comes down."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError
from pydantic_core import from_json, to_jsonable_python

from mallcore.api.versions import Face
from mallcore.kernel.context import Context
from mallcore.kernel.operations import invalid, refuse_unstorable, run

Json = dict[str, Any]


def called(face: Face, ctx: Context, given: Mapping[str, Any]) -> Any:
    """What an operation answers, as plain JSON data in the version's shape."""
    return shown(face, run(face.operation, ctx, taken_up(face, given)))


def taken_up(face: Face, given: Mapping[str, Any]) -> Mapping[str, Any]:
    """The arguments as the newest version takes them. What is wrong with them is said in the version's own words."""
    if face.untouched:
        return given
    refuse_unstorable(given)
    try:
        face.input.model_validate(given)
    except ValidationError as error:
        raise invalid(error) from None
    if face.up is None:
        return given
    kept = {name: value for name, value in given.items() if isinstance(value, bytes)}
    told = to_jsonable_python({name: value for name, value in given.items() if name not in kept})
    return {**face.up(told), **kept}


def shown(face: Face, result: Any) -> Any:
    """A result as plain JSON data in the version's shape; ``true`` where there is nothing to show."""
    if result is None:
        return True if face.operation.output_type is None and face.operation.hints["return"] is type(None) else None
    data = from_json(result.body) if hasattr(result, "body") else _dumped(face, result)
    return data if face.down is None else face.down(data)


def _dumped(face: Face, result: Any) -> Any:
    return face.operation.output.dump_python(result, mode="json")
