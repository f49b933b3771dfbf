"""What an annotation says: its members, whether it may be null, and the scalar it is, if it is one."""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Iterator, Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import (
    Annotated,
    Any,
    BinaryIO,
    Literal,
    NamedTuple,
    Union,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)
from uuid import UUID

from graphql import GraphQLBoolean, GraphQLFloat, GraphQLID, GraphQLInt, GraphQLScalarType, GraphQLString
from pydantic import AwareDatetime, BaseModel, FutureDatetime, NaiveDatetime, PastDatetime, RootModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from mallcore.api.graphql.scalars import BASE64, DATE, DATE_TIME, DECIMAL, INT_OR_STRING, JSON, LONG

_MOMENTS = (AwareDatetime, FutureDatetime, NaiveDatetime, PastDatetime)
_LARGEST = (1 << 31) - 1
LISTS = (list, tuple, set, frozenset)
MISSING: Any = PydanticUndefined


class Kind(NamedTuple):
    """An annotation without what surrounds it."""

    core: Any
    nullable: bool = False
    metadata: tuple[Any, ...] = ()


class Member(NamedTuple):
    """One member of an object: a field of a model, a dataclass or a TypedDict."""

    name: str
    key: str
    kind: Kind
    default: Any = MISSING
    description: str | None = None
    deprecated: str | None = None

    @property
    def required(self) -> bool:
        """Whether it must be given."""
        return self.default is MISSING


def kind_of(annotation: Any, metadata: tuple[Any, ...] = ()) -> Kind:
    """An annotation, unwrapped."""
    if type(annotation) is type:  # a plain class, as most are: there is nothing around it
        return Kind(annotation, False, metadata)
    nullable = False
    while True:
        origin = get_origin(annotation)
        if origin is Annotated:
            annotation, *more = get_args(annotation)
            metadata = (*metadata, *more)
        elif hasattr(annotation, "__value__"):
            annotation = annotation.__value__
        elif origin in (Union, types.UnionType) and type(None) in get_args(annotation):
            rest = [one for one in get_args(annotation) if one is not type(None)]
            annotation, nullable = Union[tuple(rest)], True  # noqa: UP007 - made of what is known only now
        elif isinstance(annotation, type) and issubclass(annotation, RootModel):  # a name for what it holds
            held = annotation.model_fields["root"].annotation
            annotation = Any if _names(held, annotation) else held
        else:
            return Kind(annotation, nullable, metadata)


def _names(annotation: Any, model: Any) -> bool:
    """Whether an annotation names a model: what holds itself under a name has no end in GraphQL."""
    return annotation is model or any(_names(one, model) for one in get_args(annotation))


def described(kind: Kind) -> str | None:
    """What a `Field` in the metadata says of it."""
    found = (one.description for one in kind.metadata if isinstance(one, FieldInfo) and one.description)
    return next(found, None)


def is_object(core: Any) -> bool:
    """Whether it has members of its own."""
    return (
        isinstance(core, type)
        and not is_plain(core)
        and (issubclass(core, BaseModel) or dataclasses.is_dataclass(core) or is_typeddict(core))
    )


def is_plain(core: Any) -> bool:
    """Whether it is a class that has a scalar, so that nothing more is to be found in it."""
    return type(core) is type and core in _SCALARS


def alternatives(core: Any) -> tuple[Any, ...]:
    """The members of a union; nothing for all else."""
    return get_args(core) if get_origin(core) in (Union, types.UnionType) else ()


def literals(core: Any) -> tuple[Any, ...]:
    """The values of a Literal or an Enum, as they stand in JSON; nothing for all else."""
    if get_origin(core) is Literal:
        return get_args(core)
    if isinstance(core, type) and hasattr(core, "__members__"):
        return tuple(one.value for one in core.__members__.values())
    return ()


def scalar_of(kind: Kind) -> GraphQLScalarType | None:
    """The scalar for an annotation; nothing for objects, unions of them, lists and enums."""
    core = kind.core
    if is_plain(core):
        return _SCALARS[core] or _whole(kind.metadata)
    if core is None or core is type(None):
        return GraphQLBoolean
    if values := literals(core):
        return None if all(isinstance(one, str) for one in values) else _of_values(values)
    if several := alternatives(core):
        return _of_several(several)
    if core is BinaryIO or core is bytes:
        return BASE64
    if core in _MOMENTS:
        return DATE_TIME
    if core is Any or core is object or get_origin(core) in (dict, Mapping) or core is dict:
        return JSON
    if isinstance(core, type) and get_origin(core) is None and not is_object(core) and core not in LISTS:
        return _of_class(core, kind.metadata)
    return None


_SCALARS: dict[type, GraphQLScalarType | None] = {
    bool: GraphQLBoolean, int: None, float: GraphQLFloat, str: GraphQLString, datetime: DATE_TIME, date: DATE,
    Decimal: DECIMAL, UUID: GraphQLID, bytes: BASE64,
}  # fmt: skip
"""The scalars of classes, each before those it is a kind of; which one an int has depends on its bounds."""


def _of_class(core: type, metadata: tuple[Any, ...]) -> GraphQLScalarType:
    kind = next((one for one in _SCALARS if issubclass(core, one)), None)
    return JSON if kind is None else _SCALARS[kind] or _whole(metadata)


def _of_values(values: tuple[Any, ...]) -> GraphQLScalarType:
    return LONG if all(isinstance(one, int) for one in values) else JSON


def _of_several(several: tuple[Any, ...]) -> GraphQLScalarType | None:
    kinds = [kind_of(one) for one in several]
    if any(one.core in (bytes, BinaryIO) for one in kinds):
        return BASE64
    if all(is_object(one.core) for one in kinds):
        return None
    found = {scalar_of(one) for one in kinds}
    if found <= {GraphQLInt, LONG, GraphQLString, DATE_TIME, None} and found & {GraphQLInt, LONG}:
        return INT_OR_STRING
    return GraphQLString if found <= {GraphQLString, DATE_TIME, None} and GraphQLString in found else JSON


def _whole(metadata: tuple[Any, ...]) -> GraphQLScalarType:
    """GraphQL's Int has 32 bits: only what is known to fit may be one."""
    if not metadata:
        return LONG
    bounds = list(_bounds(metadata))
    least = max((one.ge for one in bounds if hasattr(one, "ge")), default=None)
    most = min((one.le for one in bounds if hasattr(one, "le")), default=None)
    fits = least is not None and most is not None and least >= -_LARGEST and most <= _LARGEST
    return GraphQLInt if fits else LONG


def _bounds(metadata: tuple[Any, ...]) -> Iterator[Any]:
    for one in metadata:
        if isinstance(one, FieldInfo):
            yield from one.metadata
        else:
            yield one


class Members:
    """The members of objects, each looked for once; made for one schema, and forgotten with it."""

    def __init__(self) -> None:
        self._given: dict[Any, list[Member]] = {}
        self._shown: dict[Any, list[Member]] = {}

    def given(self, core: Any) -> list[Member]:
        """As they are given to it."""
        found = self._given.get(core)
        if found is None:
            found = self._given[core] = members_of(core, given=True)
        return found

    def shown(self, core: Any) -> list[Member]:
        """As it shows them."""
        found = self._shown.get(core)
        if found is None:
            found = self._shown[core] = members_of(core, given=False)
        return found


def members_of(core: Any, *, given: bool) -> list[Member]:
    """The members of an object, as they are given to it, or as it shows them."""
    if issubclass(core, BaseModel):
        return [*_of_model(core, given), *([] if given else _computed(core))]
    if dataclasses.is_dataclass(core):
        hints = get_type_hints(core, include_extras=True)
        return [Member(one.name, one.name, kind_of(hints[one.name]), _default(one)) for one in dataclasses.fields(core)]
    hints, needed = get_type_hints(core, include_extras=True), getattr(core, "__required_keys__", ())
    return [Member(name, name, kind_of(hint), MISSING if name in needed else None) for name, hint in hints.items()]


def _of_model(core: type[BaseModel], given: bool) -> Iterator[Member]:
    for name, field in core.model_fields.items():
        alias = field.validation_alias if given else field.serialization_alias
        default = field.default if field.default_factory is None else None
        kind = kind_of(field.annotation, tuple(field.metadata))
        deprecated = field.deprecated if isinstance(field.deprecated, str) else None
        yield Member(
            name, alias if isinstance(alias, str) else name, kind, default, _description(field, kind), deprecated
        )


def _description(field: FieldInfo, kind: Kind) -> str | None:
    return field.description or (described(kind) if kind.metadata else None)


def _computed(core: type[BaseModel]) -> Iterator[Member]:
    for name, field in core.model_computed_fields.items():
        yield Member(name, field.alias or name, kind_of(field.return_type), MISSING, field.description)


def _default(field: dataclasses.Field[Any]) -> Any:
    if field.default is not dataclasses.MISSING:
        return field.default
    return MISSING if field.default_factory is dataclasses.MISSING else None
