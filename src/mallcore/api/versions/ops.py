"""What is done to plain data on the way from one version to the next: few small steps, each in two forms.

``run`` does it to a dict that may lack some keys; it is the reference. ``write`` does it to a `Code`, which knows that
every key is there, and becomes one function without loops and look-ups (see `programs`). Both say the same.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

_SIMPLE = (str, int, float, bool, type(None))


class Code:
    """A function in the making: which expression stands for which key, and what was said before."""

    def __init__(self, keys: Sequence[str]) -> None:
        self.exprs = {key: f"d[{key!r}]" for key in keys}
        self.lines: list[str] = []
        self.names: dict[str, Any] = {}

    def bind(self, value: Any) -> str:
        """A name that means the value."""
        name = f"v{len(self.names)}"
        self.names[name] = value
        return name

    def hold(self, expression: str) -> str:
        """A name for what the expression gives."""
        name = f"t{len(self.lines)}"
        self.lines.append(f"{name} = {expression}")
        return name

    def literal(self, keys: Sequence[str] | None = None) -> str:
        """A dict of all keys, or of these in this order."""
        wanted = self.exprs if keys is None else keys
        return "{" + ", ".join(f"{key!r}: {self.exprs[key]}" for key in wanted) + "}"

    def through(self, step: Callable[[dict[str, Any]], Any], keys: Sequence[str]) -> None:
        """Let a step do it to a dict; these keys it must have then, and no others."""
        whole = self.hold(self.literal())
        self.lines.append(f"{self.bind(step)}({whole})")
        self.lines.append(f"if len({whole}) != {len(keys)}: raise KeyError")
        self.exprs = {key: f"{whole}[{key!r}]" for key in keys}


class Op(ABC):
    """One step."""

    @abstractmethod
    def run(self, d: dict[str, Any]) -> None:
        """Do it to a dict, in place."""

    def write(self, code: Code) -> None:
        """Do it to code, where every key is there."""
        code.through(self.run, self.after(list(code.exprs)))

    def after(self, keys: list[str]) -> list[str]:
        """The keys there are when it was done."""
        return keys


@dataclass(frozen=True)
class Move(Op):
    """A value under another key."""

    source: str
    to: str

    def run(self, d: dict[str, Any]) -> None:
        if self.source in d:
            d[self.to] = d.pop(self.source)

    def write(self, code: Code) -> None:
        code.exprs[self.to] = code.exprs.pop(self.source)


@dataclass(frozen=True)
class Drop(Op):
    """A key that is not there any more."""

    key: str

    def run(self, d: dict[str, Any]) -> None:
        d.pop(self.key, None)

    def write(self, code: Code) -> None:
        code.exprs.pop(self.key, None)


@dataclass(frozen=True)
class Fill(Op):
    """A value where none was given, or, where ``null`` counts as none, where it is ``null``."""

    key: str
    value: Any
    for_null: bool = False

    def run(self, d: dict[str, Any]) -> None:
        if self.key not in d or (self.for_null and d[self.key] is None):
            d[self.key] = fresh(self.value)

    def write(self, code: Code) -> None:
        value = (
            code.bind(self.value) if isinstance(self.value, _SIMPLE) else f"{code.bind(fresh)}({code.bind(self.value)})"
        )
        if self.key not in code.exprs:
            code.exprs[self.key] = value
        elif self.for_null:
            there = code.hold(code.exprs[self.key])
            code.exprs[self.key] = f"({value} if {there} is None else {there})"


def fresh(value: Any) -> Any:
    """A default that nobody else holds."""
    if callable(value):
        return value()
    return value if isinstance(value, _SIMPLE) else deepcopy(value)


@dataclass(frozen=True)
class Derive(Op):
    """A value made of all the others."""

    key: str
    function: Callable[[dict[str, Any]], Any]

    def run(self, d: dict[str, Any]) -> None:
        d[self.key] = self.function(dict(d))

    def write(self, code: Code) -> None:
        code.exprs[self.key] = code.hold(f"{code.bind(self.function)}({code.literal()})")


@dataclass(frozen=True)
class Apply(Op):
    """A value made of the one that is there; ``null`` stays where both sides know it."""

    key: str
    function: Callable[[Any], Any]
    keeps_null: bool = False

    def run(self, d: dict[str, Any]) -> None:
        if self.key in d and not (self.keeps_null and d[self.key] is None):
            d[self.key] = self.function(d[self.key])

    def write(self, code: Code) -> None:
        there, function = code.exprs[self.key], code.bind(self.function)
        if self.keeps_null:
            held = code.hold(there)
            code.exprs[self.key] = f"(None if {held} is None else {function}({held}))"
        else:
            code.exprs[self.key] = f"{function}({there})"


@dataclass(frozen=True)
class Items(Op):
    """Each item of a list made another; the list may be ``null``."""

    key: str
    function: Callable[[Any], Any]

    def run(self, d: dict[str, Any]) -> None:
        if isinstance(d.get(self.key), list):
            d[self.key] = [self.function(one) for one in d[self.key]]

    def write(self, code: Code) -> None:
        held, function = code.hold(code.exprs[self.key]), code.bind(self.function)
        code.exprs[self.key] = f"([{function}(x) for x in {held}] if type({held}) is list else {held})"


@dataclass(frozen=True)
class Map(Op):
    """Other names of values, also in a list of them."""

    key: str
    values: Mapping[Any, Any]

    def run(self, d: dict[str, Any]) -> None:
        if self.key in d:
            d[self.key] = self.mapped(d[self.key])

    def write(self, code: Code) -> None:
        held, table, other = code.hold(code.exprs[self.key]), code.bind(self.values.get), code.bind(self.mapped)
        code.exprs[self.key] = f"({table}({held}, {held}) if type({held}) is str else {other}({held}))"

    def mapped(self, value: Any) -> Any:
        """The value under its other name."""
        if isinstance(value, list):
            return [self.mapped(one) for one in value]
        return self.values.get(value, value) if isinstance(value, (str, int)) else value


@dataclass(frozen=True)
class Split(Op):
    """Several values made of one."""

    key: str
    function: Callable[[Any], Sequence[Any]]
    to: tuple[str, ...]

    def run(self, d: dict[str, Any]) -> None:
        if self.key in d:
            d.update(zip(self.to, self.function(d.pop(self.key)), strict=True))

    def write(self, code: Code) -> None:
        held = code.hold(f"{code.bind(self.function)}({code.exprs.pop(self.key)})")
        code.lines.append(f"if len({held}) != {len(self.to)}: raise KeyError")
        code.exprs.update({key: f"{held}[{place}]" for place, key in enumerate(self.to)})


@dataclass(frozen=True)
class Join(Op):
    """One value made of several."""

    keys: tuple[str, ...]
    function: Callable[..., Any]
    to: str

    def run(self, d: dict[str, Any]) -> None:
        if any(key in d for key in self.keys):
            d[self.to] = self.function(*[d.pop(key, None) for key in self.keys])

    def write(self, code: Code) -> None:
        code.exprs[self.to] = f"{code.bind(self.function)}({', '.join(code.exprs.pop(key) for key in self.keys)})"


@dataclass(frozen=True)
class Pull(Op):
    """A value out of a nested object, which goes with its last value where ``last`` says so."""

    outer: str
    inner: str
    to: str
    last: bool

    def run(self, d: dict[str, Any]) -> None:
        if self.outer not in d:
            return
        outer = d.pop(self.outer) if self.last else d[self.outer]
        left = dict(outer) if isinstance(outer, dict) else {}
        if self.inner in left or outer is None:
            d[self.to] = left.pop(self.inner, None)
        if not self.last and outer is not None:
            d[self.outer] = left

    def after(self, keys: list[str]) -> list[str]:
        return [key for key in dict.fromkeys((*keys, self.to)) if not (self.last and key == self.outer)]


@dataclass(frozen=True)
class Push(Op):
    """A value into a nested object, which is made when it is not there; nothing makes none where it may be ``null``."""

    source: str
    outer: str
    inner: str
    optional: bool

    def run(self, d: dict[str, Any]) -> None:
        if self.source not in d:
            return
        value, outer = d.pop(self.source), d.get(self.outer)
        if outer is None and value is None and self.optional:
            d[self.outer] = None
        else:
            d[self.outer] = {**(outer or {}), self.inner: value}

    def after(self, keys: list[str]) -> list[str]:
        return [key for key in dict.fromkeys((*keys, self.outer)) if key != self.source]


@dataclass(frozen=True)
class Whole(Op):
    """What a change does by hand, to everything at once."""

    function: Callable[[dict[str, Any]], dict[str, Any]]
    keys: tuple[str, ...]

    def run(self, d: dict[str, Any]) -> None:
        made = self.function(dict(d))
        d.clear()
        d.update(made)

    def after(self, keys: list[str]) -> list[str]:
        return list(self.keys)
