"""Between a version and the newest: arguments up, results down, and errors in the words of the caller's version.

Where a version touches nothing of an operation, nothing is done here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import BaseModel, PydanticUserError, ValidationError
from pydantic_core import from_json, to_json

from mallcore.api.rules.paths import known_part
from mallcore.api.versions import Face
from mallcore.errors import InvalidInput, MallError
from mallcore.errors.roots import default_message
from mallcore.kernel.context import Context
from mallcore.kernel.operations import invalid, refuse_unstorable, run


def ran(face: Face, ctx: Context, given: Mapping[str, Any]) -> Any:
    """What the operation answers to arguments of the caller's version; what is wrong with them is told in its words."""
    newest = raised(face, given)
    try:
        return run(face.operation, ctx, newest)
    except MallError as error:
        told = in_words_of(face, error)
        if told is error:
            raise
        raise told from error


def raised(face: Face, given: Mapping[str, Any]) -> Mapping[str, Any]:
    """The arguments as the newest version takes them; `InvalidInput` for what the caller's version does not take."""
    if face.untouched or (face.touched_input is None and face.up is None):
        return given
    refuse_unstorable(given)
    try:
        checked = face.input.model_validate(given)
    except ValidationError as error:
        raise invalid(error) from None
    return _taken_up(face, checked)


def _taken_up(face: Face, checked: BaseModel) -> dict[str, Any]:
    """What was given, and nothing that was left out: defaults are the newest version's affair, unless a change says."""
    rest = face.rest
    bodies = {name for name in (rest.raw, rest.asked) if name in checked.model_fields_set} if rest else set[str]()
    sent = checked.model_dump(mode="json", by_alias=True, exclude_unset=True, exclude=bodies)
    newest = {old: name for name, old in face.names.items()}
    as_it_is = {newest.get(name, name): getattr(checked, name) for name in bodies}
    return {**(sent if face.up is None else _up(face.up, sent)), **as_it_is}


def _up(up: Callable[[Any], Any], sent: dict[str, Any]) -> dict[str, Any]:
    """The arguments, taken up; what a change can't read, though its older type let it in, is the caller's mistake."""
    try:
        taken: dict[str, Any] = up(sent)
    except (ArithmeticError, LookupError, TypeError, ValueError) as error:
        said = f": {error}" if isinstance(error, ValueError) else ""  # all others speak of code, not of what was sent
        raise InvalidInput(field="input", reason=f"it can't be read in this version{said}"[:300]) from error
    return taken


def lowered(face: Face, result: Any) -> bytes:
    """The result as JSON, as the caller's version has it."""
    if face.down is None:
        return whole(face, result)
    return to_json(face.down(plain(face, result)))


def plain(face: Face, result: Any) -> Any:
    """The result as plain JSON data, as the newest version has it."""
    body = getattr(result, "body", None)
    return face.operation.output.dump_python(result, mode="json") if body is None else from_json(body)


def whole(face: Face, result: Any) -> bytes:
    """The result as the newest version writes it; some bring the bytes, made once."""
    if hasattr(result, "body"):
        body: bytes = result.body
        return body
    return face.operation.output.dump_json(result)


def item(face: Face) -> Callable[[Any], bytes]:
    """What writes one item of a stream as the caller's version has it."""
    return lambda one: lowered(face, one)


def in_words_of(face: Face, error: MallError) -> MallError:
    """The error, naming parameters as the caller's version does, and nothing in them that is not there."""
    if face.touched_input is None or "field" not in error.details:
        return error
    try:
        schema = face.touched_input.model_json_schema()
    except PydanticUserError:  # what is no JSON at all has no schema
        return renamed(error, face.names)
    return _told(error, lambda path: known_part(_renamed(face.names, path), schema))


def renamed(error: MallError, names: Mapping[str, str]) -> MallError:
    """The error, naming parameters otherwise; the very error where it names none of these."""
    return _told(error, lambda path: _renamed(names, path))


def _told(error: MallError, called: Callable[[str], str]) -> MallError:
    field = error.details.get("field")
    if not isinstance(field, str):
        return error
    problems = [{**one, "field": called(one["field"])} for one in error.details.get("problems", ())]
    details = {**error.details, "field": called(field), **({"problems": problems} if problems else {})}
    if details == error.details:
        return error
    own = str(error) if str(error) != default_message(type(error), error.details) else None
    return type(error)(own, **details)


def _renamed(names: Mapping[str, str], path: str) -> str:
    first, dot, rest = path.partition(".")
    return names.get(first, first) + dot + rest
