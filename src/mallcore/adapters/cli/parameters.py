"""How a parameter of an operation is typed: its kind, told from its type, and the argument or option made of it."""

from __future__ import annotations

import inspect
import types
from collections.abc import Mapping
from enum import Enum
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import typer
from pydantic.fields import FieldInfo

SPELLINGS: Mapping[str, tuple[str, ...]] = {
    "attributes": ("--attribute",),
    "channels": ("--channel",),
    "events": ("--event",),
    "expected_revision": ("--expect",),
    "message": ("--message", "-m"),
    "settings": ("--setting",),
    "translations": ("--translation",),
}
METAVARS = {"file": "FILE", "int": "N", "pairs": "KEY=TEXT", "text": "TEXT", "texts": "TEXT", "values": "KEY=JSON"}
TYPED: Mapping[str, str] = {
    "attributes": "An attribute of your own, its value JSON or else text; null removes it. Repeat it for more.",
    "channels": "A channel's slug, id or unit:slug; repeat it for more. Without it: all.",
    "edits": "A JSON file with a list of edits, or - for standard input.",
    "expected_revision": "Refuse unless this is the head (of a draft or unit: its version).",
    "idempotency_key": "Repeating a command with its key answers, and changes nothing.",
    "rules": "A JSON file with a list of merchandising rules, or - for standard input.",
    "settings": "A setting of your own, its value JSON or else text; null removes it. Repeat it for more.",
    "settle": "Which side of a clash wins, as NODE_ID=ours or NODE_ID=theirs; * is all other nodes.",
    "slug": "The part of a path or address: a-z, 0-9 and single - _ . between them.",
    "translations": "A name in a language, as de=Krimi; repeat it. Those given replace all there were.",
    "unit": "The unit's slug or id; may be left out when there is one.",
}
"""What is said of a parameter instead of what its operation says: how it is typed."""
UNSAID: Mapping[str, str] = {
    "at": "When, with its zone: 2026-11-01T08:00:00Z.",
    "channel": "The channel's slug, id or unit:slug.",
    "children": "The children in their new order, by id or path.",
    "description": "What it is for.",
    "event": "What was recorded, such as structure.revised.",
    "file_name": "The name it is saved under. [default: that of the version]",
    "grant": "The grant's id.",
    "jti": "The link's id.",
    "kind": "Sections stand at the top, categories anywhere.",
    "locale": "A language tag, such as de or pt-BR.",
    "name": "What people read.",
    "node": "A node's id or path.",
    "number": "The revision's number.",
    "once": "Good for the first who comes only.",
    "operation": "What was called, such as structure.move.",
    "outcome": "How it ended.",
    "overlap_seconds": "How long the key before still verifies. [default: a week]",
    "permissions": "What the role allows, such as structure.edit; * is all, structure.* all of a domain.",
    "policy": "What becomes of its children.",
    "principal": "Who did it, such as user:ada.",
    "purpose": "What the keys are for.",
    "removed": "List those that were removed instead.",
    "request_id": "The request it was part of.",
    "result": "What the check found.",
    "role": "The role's name.",
    "scope": "How far the grant reaches. [default: told by what it names]",
    "seconds": "For how many seconds it is good.",
    "since": "From this time on, with its zone: 2026-11-01T08:00:00Z.",
    "state": "Only those in this state.",
    "subject": "The id of what it was done to.",
    "to": "The version's number.",
    "undo_at": "When to take it back, with its zone.",
    "until": "Before this time.",
}
"""What is said of a parameter whose operation says nothing."""
_ANNOTATIONS: Mapping[str, Any] = {
    "flag": bool,
    "int": int,
    "pairs": list[str],
    "texts": list[str],
    "values": list[str],
}


def bare(hint: Any) -> Any:
    """A type without what is said about it, and without ``None``; of several, text if that is among them.

    >>> bare(Annotated[int | None, "how many"]) is int
    True
    """
    if get_origin(hint) is Annotated:
        return bare(get_args(hint)[0])
    if get_origin(hint) in (Union, types.UnionType):
        kinds = [bare(one) for one in get_args(hint) if one is not type(None)]
        return kinds[0] if len(kinds) == 1 else str if str in kinds else object
    return hint


def kind_of(hint: Any) -> str:
    """How values of a type are typed.

    >>> [kind_of(hint) for hint in (bool, int | None, list[str], dict[str, str], dict[str, Any], list[dict[str, Any]])]
    ['flag', 'int', 'texts', 'pairs', 'values', 'file']
    """
    found = bare(hint)
    if get_origin(found) is dict:
        return "values" if get_args(found)[1] is Any else "pairs"
    if get_origin(found) is list:
        item = bare(get_args(found)[0])
        return "texts" if item is str or get_origin(item) is Literal else "file"
    if get_origin(found) is Literal:
        return "choice"
    return {bool: "flag", int: "int"}.get(found, "text")


def said_of(hint: Any) -> str:
    """The description of a parameter, wherever in its type it stands."""
    for part in get_args(hint) if get_origin(hint) in (Annotated, Union, types.UnionType) else ():
        text = part.description or "" if isinstance(part, FieldInfo) else said_of(part)
        if text:
            return text
    return ""


def typed(
    parameter: inspect.Parameter, hint: Any, *, place: bool, required: bool, decls: Any = None
) -> inspect.Parameter:
    """A parameter as typer takes it: by its place, or as an option."""
    name, kind = parameter.name, kind_of(hint)
    help = TYPED.get(name) or said_of(hint) or UNSAID.get(name, "")
    if name == "channel" and not place and parameter.default is inspect.Parameter.empty:
        help = "The channel's slug, id or unit:slug; may be left out when the mall has one."
    if isinstance(parameter.default, str) and parameter.default and "[default" not in help:
        help = f"{help} [default: {parameter.default}]".strip()
    annotation = _choice(name, hint) if kind == "choice" else _ANNOTATIONS.get(kind, str)
    if place:
        return _argument(name, annotation, help, "FILE" if kind == "file" else name.upper(), required)
    decls = decls or SPELLINGS.get(name) or (f"--{name.replace('_', '-')}",)
    if kind == "flag" and parameter.default is True:  # a flag turns it off
        return _parameter(name, bool, typer.Option(f"{decls[0]}/--no-{decls[0][2:]}", help=help or None), True)
    if kind == "flag":
        return flag(name, help, decls)
    default = parameter.default if isinstance(parameter.default, int) else None
    return option(name, annotation, help, decls, METAVARS.get(kind), required, default)


def _choice(name: str, hint: Any) -> Any:
    """The values of a Literal, as typer takes them."""
    functional: Any = Enum
    return functional(name, {one: one for one in get_args(bare(hint))}, type=str)


def _argument(name: str, annotation: Any, help: str, metavar: str, required: bool) -> inspect.Parameter:
    info = typer.Argument(metavar=metavar, help=help or None, show_default=False)
    return _parameter(name, annotation, info, inspect.Parameter.empty if required else None)


def option(
    name: str,
    annotation: Any,
    help: str,
    decls: tuple[str, ...],
    metavar: str | None = None,
    required: bool = False,
    default: Any = None,
) -> inspect.Parameter:
    """An option with a value."""
    info = typer.Option(*decls, help=help or None, metavar=metavar, show_default=default is not None)
    return _parameter(name, annotation, info, inspect.Parameter.empty if required else default)


def flag(name: str, help: str, decls: tuple[str, ...]) -> inspect.Parameter:
    """An option that is there or not."""
    return _parameter(name, bool, typer.Option(*decls, help=help or None, metavar=""), False)


def _parameter(name: str, kind: Any, info: Any, default: Any) -> inspect.Parameter:
    annotated: Any = Annotated
    annotation = annotated[kind | None if default is None else kind, info]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation, default=default)
