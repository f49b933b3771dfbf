"""What compiled functions call for values that their inline checks don't know: readers, leaves, sequences, types."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Mapping
from types import GeneratorType
from typing import Any

from graphql import GraphQLAbstractType, GraphQLSchema, Undefined, default_type_resolver

MISSING: Any = object()
SEQUENCES = frozenset({list, tuple, set, frozenset})  # reading one twice gives the same: the executor may have to
NOT_PLAIN = (BaseException, GeneratorType, type(None), type(Undefined))


class Doubt(BaseException):
    """A compiled function isn't certain of what the executor would answer.

    Not an `Exception`, so that no code of a schema swallows it on its way.
    """


class Reads:
    """The resolver of a field that is read under another name: ``GraphQLField(String, resolve=Reads("kept_name"))``.

    Like graphql-core's default it takes a key of a mapping or an attribute of an object, and null where there is none.
    """

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, source: Any, info: Any = None) -> Any:
        return source.get(self.name) if isinstance(source, Mapping) else getattr(source, self.name, None)

    def __repr__(self) -> str:
        return f"Reads({self.name!r})"


class Info:
    """Stands in for a resolve info where a schema asks for a type: a plan knows no path and no context."""

    __slots__ = ("_schema",)

    def __init__(self, schema: GraphQLSchema) -> None:
        self._schema = weakref.ref(schema)

    @property
    def schema(self) -> GraphQLSchema:
        found = self._schema()
        if found is None:
            raise Doubt
        return found

    @staticmethod
    def is_awaitable(value: Any) -> bool:
        return False

    def __getattr__(self, name: str) -> Any:
        raise Doubt


def learn(value: Any, known: set[type]) -> None:
    """Remember that values of this class are plain: no errors, not called, not awaited, not iterated over later."""
    kind = type(value)
    odd = callable(value) or hasattr(kind, "__await__") or hasattr(kind, "__aiter__")
    if odd or issubclass(kind, NOT_PLAIN) or value.__class__ is not kind:
        raise Doubt
    known.add(kind)


def sequence(value: Any) -> Iterable[Any]:
    """The value, if it is a list that can be read twice."""
    if type(value) not in SEQUENCES:
        raise Doubt
    return value  # type: ignore[no-any-return]


def strict(value: Any) -> Any:
    """The value, unless it is missing: what a schema's own resolver does then is unknown."""
    if value is MISSING:
        raise Doubt
    return value


def reader(value: Any, objects: set[type]) -> Callable[[str, Any], Any]:
    """How names are looked up in this value, as graphql-core's default resolver does it."""
    if type(value) in objects:
        return lambda name, default: getattr(value, name, default)
    kinds: set[type] = set()
    learn(value, kinds)
    if isinstance(value, Mapping):
        return value.get
    objects |= kinds
    return lambda name, default: getattr(value, name, default)


def leaf(coerce: Callable[[Any], Any], known: set[type]) -> Callable[[Any], Any]:
    """Completes values of a leaf type that aren't null; any error is the executor's to make."""

    def complete(value: Any) -> Any:
        if type(value) not in known:
            learn(value, known)
        try:
            coerced = coerce(value)
        except Exception:
            raise Doubt from None
        if coerced is None or coerced is Undefined:
            raise Doubt
        return coerced

    return complete


def typed_by(abstract: GraphQLAbstractType, info: Any) -> Callable[[Any], str]:
    """Finds the name of the object type that a value of an abstract type has."""
    resolve: Any = abstract.resolve_type or default_type_resolver
    known: set[type] = {dict}

    def name_of(value: Any) -> str:
        if type(value) not in known:
            learn(value, known)
        try:
            name = resolve(value, info, abstract)
        except Exception:
            raise Doubt from None
        if not isinstance(name, str):
            raise Doubt
        return name

    return name_of


def checked(is_type_of: Callable[[Any, Any], Any], info: Any) -> Callable[[Any], None]:
    """Asks an object type whether a value is of it."""

    def check(value: Any) -> None:
        try:
            asked = is_type_of(value, info)
        except Exception:
            raise Doubt from None
        if asked is not True:
            raise Doubt

    return check
