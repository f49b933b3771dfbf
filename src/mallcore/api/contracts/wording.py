"""What a change says of a field or an operation, as a sentence for those who call."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from mallcore.api.rules.noting import code
from mallcore.api.versions.calls import Call, GoneCall, MovedCall, NewCall
from mallcore.api.versions.changes import Subject
from mallcore.api.versions.instructions import (
    Added,
    HadDefault,
    HadValues,
    Instruction,
    Removed,
    Renamed,
    Retyped,
    WasOptional,
    WasRequired,
)
from mallcore.api.versions.merging import WasSplit, WereOne
from mallcore.api.versions.nesting import WasAt


def called(subject: Subject) -> str:
    """What a change touches, as callers know it: a shape, or an operation."""
    return subject if isinstance(subject, str) else subject.__name__


def sentence(one: Instruction | Call) -> str:
    """One sentence of a change, told the other way round: from what was to what is.

    >>> sentence(Renamed("granted_by", "author"))
    '`author` is called `granted_by`.'
    """
    return next((say(one) for kind, say in _SENTENCES.items() if isinstance(one, kind)), f"{_name(one)} is different.")


def _name(one: Any) -> str:
    return code(one.operation if isinstance(one, Call) else one.name)


def _removed(one: Removed) -> str:
    return f"{code(one.name)} is gone." + (f" {one.instead}" if one.instead else "")


def _values(one: HadValues) -> str:
    pairs = (f"{code(str(old))} is {code(str(new))}" for new, old in one.values.items())
    return f"Values of {code(one.name)} have other names: {', '.join(pairs)}."


def _split(one: WasSplit) -> str:
    return f"{', '.join(map(code, one.names))} are one: {code(one.name)}."


def _one(one: WereOne) -> str:
    return f"{code(one.name)} is several: {', '.join(map(code, one.names))}."


_SENTENCES: Mapping[type, Callable[[Any], str]] = {
    Renamed: lambda one: f"{code(one.was)} is called {code(one.name)}.",
    Added: lambda one: f"{code(one.name)} is new.",
    Removed: _removed,
    Retyped: lambda one: f"{code(one.name)} has another type.",
    WasOptional: lambda one: f"{code(one.name)} must be given, and is always there.",
    WasRequired: lambda one: f"{code(one.name)} may be left out, and may be missing or null.",
    HadDefault: lambda one: f"{code(one.name)} means something else when it is left out.",
    HadValues: _values,
    WasAt: lambda one: f"{code(one.was)} stands at {code(one.name)}.",
    WasSplit: _split,
    WereOne: _one,
    NewCall: lambda one: f"The operation {code(one.operation)} is new.",
    GoneCall: lambda one: f"The operation {code(one.operation)} is gone.",
    MovedCall: lambda one: f"The operation {code(one.operation)} moved from {code(f'{one.method} {one.path}')}.",
}
