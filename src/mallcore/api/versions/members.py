"""Fields of a model as some version has them, and what annotations say: the values that instructions change."""

from __future__ import annotations

import enum
import keyword
import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, Field
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

UNSET: Any = PydanticUndefined
"""Nothing was given; ``None`` is a value."""

_KEPT = ("title", "description", "examples", "exclude", "discriminator", "deprecated", "json_schema_extra", "frozen",
         "validate_default", "repr", "union_mode", "default", "default_factory", "alias", "alias_priority",
         "validation_alias", "serialization_alias")  # fmt: skip


@dataclass(frozen=True)
class Member:
    """One field: its annotation in terms of the newest version's models, and the rest of its declaration."""

    name: str
    annotation: Any
    info: FieldInfo
    declared: bool = False
    """Whether a change declared it otherwise than the newest version does."""

    @property
    def key(self) -> str:
        """What it is called where it is given."""
        alias = self.info.validation_alias if isinstance(self.info.validation_alias, str) else self.info.alias
        return alias or self.name

    @property
    def shown(self) -> str:
        """What it is called where it is shown by its alias."""
        return self.info.serialization_alias or self.info.alias or self.name

    @property
    def required(self) -> bool:
        """Whether it must be given."""
        return self.info.is_required()

    def as_(self, annotation: Any = UNSET, **declared: Any) -> Member:
        """The same, declared otherwise."""
        kind = self.annotation if annotation is UNSET else annotation
        return replace(self, annotation=kind, info=remade(self.info, **declared), declared=True)


State = Mapping[str, Member]
"""The fields of a model in one state, by name, in order."""


def state_of(model: type[BaseModel]) -> dict[str, Member]:
    """The fields of a model as it is."""
    return {name: Member(name, info.annotation, info) for name, info in model.model_fields.items()}


def member(text: str, annotation: Any, default: Any = UNSET) -> Member:
    """A field that the newest version does not have."""
    parsed = FieldInfo.from_annotation(annotation)
    given = {} if default is UNSET else {"default": default}
    return named(Member(text, parsed.annotation, parsed, True), text).as_(**given)


def named(one: Member, text: str) -> Member:
    """The same field under another name, which need be no Python name."""
    name = text if _fits(text) else "".join(c if c.isalnum() else "_" for c in text).strip("_") + "_"
    alias = None if name == text else text
    info = remade(
        one.info, alias=alias, validation_alias=alias, serialization_alias=alias, alias_priority=None, title=None
    )
    return replace(one, name=name, info=info, declared=True)


def _fits(text: str) -> bool:
    return text.isidentifier() and not keyword.iskeyword(text) and text[0] != "_" and not hasattr(BaseModel, text)


def remade(info: FieldInfo, **changed: Any) -> FieldInfo:
    """A declaration of a field, changed; ``default=UNSET`` makes it required."""
    kept = {name: getattr(info, name, None) for name in _KEPT}
    kept.update(changed)
    if "default" in changed:
        kept["default_factory"] = None
    kept["default"] = ... if kept["default"] is UNSET and kept["default_factory"] is None else kept["default"]
    if kept["default_factory"] is not None:
        del kept["default"]
    given: dict[str, Any] = {name: value for name, value in kept.items() if value is not None or name == "default"}
    made: FieldInfo = Field(**given)
    made.metadata = [*info.metadata, *made.metadata]
    return made


def bare(annotation: Any) -> Any:
    """An annotation without what `Annotated` says of it."""
    while True:
        if get_origin(annotation) is Annotated:
            annotation = get_args(annotation)[0]
        elif hasattr(annotation, "__value__"):  # ``type X = …``
            annotation = annotation.__value__
        else:
            return annotation


def is_union(annotation: Any) -> bool:
    """Whether it is ``A | B``."""
    return get_origin(annotation) in (Union, types.UnionType)


def branches(annotation: Any) -> list[Any]:
    """What a value may be: the branches of a union (of unions), or the one type."""
    plain = bare(annotation)
    return [leaf for one in get_args(plain) for leaf in branches(one)] if is_union(plain) else [annotation]


def allows_none(annotation: Any) -> bool:
    """Whether ``None`` is a value of it."""
    return any(bare(one) in (None, type(None), Any) for one in branches(annotation))


def without_none(annotation: Any) -> Any:
    """The annotation, and ``None`` no value of it."""
    if get_origin(annotation) is Annotated:
        first, *more = get_args(annotation)
        return Annotated[(without_none(first), *more)]
    if not is_union(annotation):
        return annotation
    left = tuple(without_none(one) for one in get_args(annotation) if one is not type(None))
    return Union[left]  # noqa: UP007 - made of what there is


def models_in(annotation: Any, seen: tuple[Any, ...] = ()) -> Iterator[type[BaseModel]]:
    """The models that an annotation names, nested ones of generic containers included."""
    if is_model(annotation):
        yield annotation
        return
    if hasattr(annotation, "__value__"):  # an alias may name itself
        if any(annotation is one for one in seen):
            return
        seen = (*seen, annotation)
    plain = bare(annotation)
    for one in (plain,) if is_model(plain) else get_args(plain):
        yield from models_in(one, seen)


def is_model(kind: Any) -> bool:
    """Whether it is a pydantic model."""
    return isinstance(kind, type) and issubclass(kind, BaseModel) and get_origin(kind) is None


def literals(annotation: Any) -> list[Any]:
    """The values that an annotation lists, as JSON has them."""
    plain = bare(annotation)
    if get_origin(plain) is Literal:
        return [one.value if isinstance(one, enum.Enum) else one for one in get_args(plain)]
    if isinstance(plain, type) and issubclass(plain, enum.Enum):
        return [one.value for one in plain]
    return [value for one in get_args(plain) for value in literals(one)]


def with_values(annotation: Any, renamed: Mapping[Any, Any]) -> Any:
    """The annotation with other values in its lists of values."""
    plain = bare(annotation)
    if get_origin(plain) is Literal or (isinstance(plain, type) and issubclass(plain, enum.Enum)):
        values = tuple(dict.fromkeys(renamed.get(one, one) for one in literals(plain)))
        return Literal[values]
    return rebuilt(annotation, lambda one: with_values(one, renamed))


def rebuilt(annotation: Any, each: Any) -> Any:
    """The annotation with other arguments; the same object when they are the same."""
    plain = annotation.__value__ if hasattr(annotation, "__value__") else annotation
    origin, arguments = get_origin(plain), get_args(plain)
    if origin is Annotated:
        first, *more = arguments
        made = each(first)
        return annotation if made is first else Annotated[(made, *more)]
    if not arguments or origin in (None, Literal):
        return annotation
    made_ones = tuple(one if one is ... or isinstance(one, list) else each(one) for one in arguments)
    if all(a is b for a, b in zip(made_ones, arguments, strict=True)):
        return annotation
    return Union[made_ones] if is_union(plain) else origin[made_ones]  # noqa: UP007 - made of what there is
