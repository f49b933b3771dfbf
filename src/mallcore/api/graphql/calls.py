"""One field, one call: its arguments go up to the newest version, the operation runs, its result comes down."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mallcore.api.converting import plain, ran, renamed
from mallcore.api.graphql.names import camel
from mallcore.api.versions import Face
from mallcore.errors import MallError
from mallcore.kernel.context import Context


def answered(face: Face, ctx: Context, given: Mapping[str, Any]) -> Any:
    """What an operation answers; errors name parameters as the arguments of its field."""
    try:
        return ran(face, ctx, given)
    except MallError as error:
        told = renamed(error, {name: camel(name) for name in face.input.model_fields})
        if told is error:
            raise
        raise told from error


def called(face: Face, ctx: Context, given: Mapping[str, Any]) -> Any:
    """What an operation answers, as plain JSON data in the version's shape."""
    return shown(face, answered(face, ctx, given))


def shown(face: Face, result: Any) -> Any:
    """A result as plain JSON data in the version's shape; ``true`` where an operation never has anything to show."""
    operation = face.operation
    if result is None and face.down is None:
        nothing = operation.output_type is None and operation.hints["return"] is type(None)
        return True if nothing else None
    data = plain(face, result)
    return data if face.down is None else face.down(data)
