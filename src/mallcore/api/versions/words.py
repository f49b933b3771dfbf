"""The words of a change: `field`, `fields` and `operation`, each followed by what was, in the past tense."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from mallcore.api.versions.calls import Call, GoneCall, MovedCall, NewCall, OtherResult
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
from mallcore.api.versions.members import UNSET
from mallcore.api.versions.merging import WasSplit, WereOne
from mallcore.api.versions.nesting import WasAt
from mallcore.errors import InvalidChange
from mallcore.kernel.operations import Operation

Function = Callable[..., Any]


class field:
    """A field of what the change touches, by the newer version's name; of a removed one, by the older's.

    >>> field("granted_by").was_named("author")
    Renamed(name='granted_by', was='author')
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def was_named(self, name: str) -> Instruction:
        """It was called otherwise."""
        return Renamed(self._name, name)

    def existed(
        self, kind: Any, *, default: Any = UNSET, down: Function | None = None, instead: str = ""
    ) -> Instruction:
        """It is gone. ``default`` (or what ``down`` makes of the newer data) is what older callers are shown.

        ``instead`` says what newer callers use.
        """
        return Removed(self._name, kind, default, down, instead)

    def did_not_exist(self, *, default: Any = UNSET) -> Instruction:
        """It is new. ``default`` is what older calls mean; needed if it must be given now."""
        return Added(self._name, default)

    def had_type(
        self, kind: Any, *, up: Function | None = None, down: Function | None = None, default: Any = UNSET
    ) -> Instruction:
        """It had another type: ``up`` reads the older value, ``down`` makes it of the newer."""
        return Retyped(self._name, kind, up, down, default)

    def was_optional(self, *, default: Any = UNSET) -> Instruction:
        """It could be left out or be ``null``, which meant ``default``."""
        return WasOptional(self._name, default)

    def was_required(self, *, default: Any = UNSET) -> Instruction:
        """It had to be given, and was never ``null``: ``default`` is shown instead of ``null``."""
        return WasRequired(self._name, default)

    def had_default(self, value: Any) -> Instruction:
        """It had another default."""
        return HadDefault(self._name, value)

    def had_values(self, values: Mapping[Any, Any]) -> Instruction:
        """Its values had other names: ``{"done": "carried_out"}`` says that ``done`` was ``carried_out``."""
        return HadValues(self._name, dict(values))

    def was_at(self, path: str) -> Instruction:
        """It stood elsewhere: ``field("price.amount").was_at("amount")``, or the other way round."""
        return WasAt(self._name, path)

    def was_split(self, *names: str, split: Function, join: Function, types: tuple[Any, ...] = ()) -> Instruction:
        """It was several fields. ``split`` makes their values of it, ``join`` makes it of theirs."""
        return WasSplit(self._name, names, types, split, join)


class fields:
    """Several fields of what the change touches."""

    def __init__(self, *names: str) -> None:
        self._names = names

    def were_one(self, name: str, kind: Any = None, *, split: Function, join: Function) -> Instruction:
        """They were one. ``join`` makes it of their values, ``split`` makes theirs of it."""
        return WereOne(name, self._names, kind, split, join)


class operation:
    """An operation, by its name."""

    def __init__(self, name: str) -> None:
        self._name = name

    def did_not_exist(self) -> Call:
        """It is new."""
        return NewCall(self._name)

    def existed(self, function: Any) -> Call:
        """It is gone; older callers still reach this function, which is an operation as it was."""
        known = function if isinstance(function, Operation) else getattr(function, "operation", None)
        if not isinstance(known, Operation) or known.name != self._name:
            reason = f"existed({function!r:.100}) is no operation of that name: give it as it was"
            raise InvalidChange(change=f"operation({self._name!r})", attribute="was", reason=reason)
        return GoneCall(self._name, known)

    def was_at(self, method: str, path: str, also: str = "") -> Call:
        """It was reached by this method and path, whose ``{names}`` are the older ones."""
        return MovedCall(self._name, method, path, also)

    def returned(self, kind: Any, *, down: Callable[[Any], Any]) -> Call:
        """It returned another type, which ``down`` makes of the newer result."""
        return OtherResult(self._name, kind, down)
