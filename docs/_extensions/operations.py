"""Operations in the reference: a signature one can read, and what is known of each beside its docstring.

autodoc would print annotations as they stand (``Annotated[str, FieldInfo(…)]``). Here types are shown bare, and what
the annotations say of parameters, the permission, the errors and the REST face come behind the docstring.
"""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Iterator
from typing import Annotated, Any

from pydantic.fields import FieldInfo
from sphinx.application import Sphinx

from mallcore.kernel.operations import Operation


def setup(app: Sphinx) -> dict[str, bool]:
    """Let autodoc ask us."""
    app.connect("autodoc-process-signature", signature)
    app.connect("autodoc-process-docstring", docstring)
    return {"parallel_read_safe": True}


def signature(app: Sphinx, what: str, name: str, obj: Any, *_: Any) -> tuple[str, str] | None:
    """The signature of an operation, its types bare."""
    known = getattr(obj, "operation", None)
    if not isinstance(known, Operation):
        return None
    parts = [parameter(known, one) for one in list(inspect.signature(known.function).parameters.values())[1:]]
    returns = known.hints["return"]
    return f"({', '.join(['ctx', '*', *parts] if parts else ['ctx'])})", text(returns)


def parameter(known: Operation, one: inspect.Parameter) -> str:
    """One parameter with its type and default."""
    shown = f"{one.name}: {text(known.hints[one.name])}"
    return shown if one.default is inspect.Parameter.empty else f"{shown} = {one.default!r}"


def text(annotation: Any) -> str:
    """An annotation without what pydantic reads from it."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if annotation is None or annotation is type(None):
        return "None"
    if origin is Annotated:
        return "datetime.datetime" if arguments[0] is typing.Any else text(arguments[0])
    if origin in (types.UnionType, typing.Union):
        return " | ".join(map(text, arguments))
    if origin is typing.Literal:
        return f"Literal[{', '.join(map(repr, arguments))}]"
    if origin is not None:
        return f"{text(origin)}[{', '.join(map(text, arguments))}]"
    generic = getattr(annotation, "__pydantic_generic_metadata__", {"origin": None})
    if generic["origin"] is not None:
        return f"{text(generic['origin'])}[{', '.join(map(text, generic['args']))}]"
    if getattr(annotation, "__name__", "") == "AwareDatetime":
        return "datetime.datetime"
    if annotation is typing.Any:
        return "Any"
    module = annotation.__module__
    return annotation.__qualname__ if module == "builtins" else f"{module}.{annotation.__qualname__}"


def docstring(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Put what is known of an operation behind its docstring."""
    known = getattr(obj, "operation", None)
    if isinstance(known, Operation):
        lines += ["", *facts(known)]


def facts(known: Operation) -> Iterator[str]:
    """Field lists: parameters that are described, then permission, errors and REST."""
    for name in known.parameters:
        if described := description(known.hints[name]):
            yield f":param {name}: {described}"
    yield f":permission: ``{known.permission}``" if known.permission else ":permission: none; open to everybody"
    if known.errors:
        yield f":errors: {', '.join(sorted(f':py:exc:`~{one.__module__}.{one.__name__}`' for one in known.errors))}"
    if known.rest is not None:
        yield f":REST: ``{known.rest.method} {known.rest.path}``"


def description(annotation: Any) -> str:
    """What an annotation says of its parameter."""
    if typing.get_origin(annotation) is Annotated:
        for one in typing.get_args(annotation)[1:]:
            if isinstance(one, FieldInfo) and one.description:
                return one.description
    for inner in typing.get_args(annotation):
        if found := description(inner):
            return found
    return ""
