"""What operations take as GraphQL types: arguments, input objects, and unions, of which one member is given."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from graphql import (
    GraphQLArgument,
    GraphQLInputField,
    GraphQLInputObjectType,
    GraphQLInputType,
    GraphQLList,
    GraphQLNamedType,
    GraphQLNonNull,
    Undefined,
)
from pydantic_core import PydanticSerializationError, to_jsonable_python

from mallcore.api.graphql.connections import PAGING
from mallcore.api.graphql.kinds import (
    LISTS,
    MISSING,
    Kind,
    Member,
    Members,
    alternatives,
    described,
    is_object,
    kind_of,
    literals,
    scalar_of,
)
from mallcore.api.graphql.names import camel, free, pascal, text_of
from mallcore.api.graphql.outputs import Enums
from mallcore.api.graphql.scalars import JSON
from mallcore.api.versions import Face

_PAGING_TEXTS = {
    "first": "How many items at most.",
    "after": "The `endCursor` of the page before, or an item's `cursor`; nothing for the first page.",
}


class Inputs:
    """The input types of a schema, by the models they make."""

    def __init__(self, taken: dict[str, GraphQLNamedType], members: Members) -> None:
        self.taken = taken
        self._members = members
        self.deprecated: dict[str, str] = {}
        """Reasons by `Model.field`, of all operations: fields are made after all of them are known."""
        self._enums = Enums(taken)
        self._objects: dict[Any, GraphQLInputObjectType] = {}
        self._literals: dict[Any, GraphQLNamedType] = {}

    def arguments(self, face: Face, owner: str, without: Mapping[str, Any], paged: bool) -> dict[str, GraphQLArgument]:
        """The arguments for an operation's parameters but those that are filled already."""
        filled = {face.names.get(name, name) for name in without}
        paging = {face.names.get(name, name): shown for name, shown in PAGING.items()} if paged else {}
        found: dict[str, GraphQLArgument] = {}
        for member in self._members.given(face.input):
            if member.name not in filled:
                name = paging.get(member.name, "")
                shown = member._replace(description=_PAGING_TEXTS.get(name, member.description))
                found[name or camel(member.name)] = self._argument(shown, owner, face.deprecated.get(member.name))
        return found

    def _argument(self, member: Member, owner: str, deprecated: str | None) -> GraphQLArgument:
        kind, default = self._given(member, owner)
        needed = isinstance(kind, GraphQLNonNull) and default is Undefined
        return GraphQLArgument(
            kind,
            default_value=default,
            description=text_of(member.description),
            deprecation_reason=None if needed else deprecated or member.deprecated,
            out_name=member.key,
        )

    def _given(self, member: Member, owner: str) -> tuple[GraphQLInputType, Any]:
        """The type of a member that is given, and its default; what has one that can't be shown may be left out."""
        bare = self._bare(member.kind, owner, member.name)
        if member.required:
            return (bare if member.kind.nullable else GraphQLNonNull(bare)), Undefined
        default = _default(member.default) if not isinstance(bare, GraphQLInputObjectType) else None
        if default is None:
            return bare, Undefined
        return (bare if member.kind.nullable else GraphQLNonNull(bare)), default

    def of(self, annotation: Any, owner: str, field: str) -> GraphQLInputType:
        """The type of an annotation."""
        kind = kind_of(annotation)
        found = self._bare(kind, owner, field)
        return found if kind.nullable else GraphQLNonNull(found)

    def _bare(self, kind: Kind, owner: str, field: str) -> Any:
        core = kind.core
        scalar = scalar_of(kind)
        if scalar is not None:
            return scalar
        if values := literals(core):
            key = (owner, field, values)
            return self._literals.get(key) or self._literals.setdefault(key, self._enums.of(values, owner, field))
        if is_object(core):
            return self._object(core, owner)
        if several := alternatives(core):
            return self._one_of(several, owner, field)
        if getattr(core, "__origin__", core) in LISTS:
            inside = getattr(core, "__args__", (Any,))[0]
            return GraphQLList(self.of(inside, owner, field))
        return JSON

    def _object(self, model: Any, owner: str) -> GraphQLInputObjectType:
        known = self._objects.get(model)
        if known is not None:
            return known
        bare = pascal(model.__name__.lstrip("_"))
        name = free([f"{bare}Input", f"{owner}{bare}Input"], self.taken)
        tags = {one.key: literals(one.kind.core)[0] for one in self._members.given(model) if _is_tag(one)}
        members = [one for one in self._members.given(model) if not _is_tag(one)]
        made = GraphQLInputObjectType(
            name,
            lambda: {camel(one.name): self._field(one, bare, model) for one in members},
            description=text_of(model.__doc__),
            out_type=lambda given: {**given, **tags},
        )
        self._objects[model] = self.taken[name] = made
        return made

    def _field(self, member: Member, owner: str, model: Any) -> GraphQLInputField:
        kind, default = self._given(member, owner)
        needed = isinstance(kind, GraphQLNonNull) and default is Undefined
        reason = member.deprecated or self.deprecated.get(f"{model.__name__}.{member.name}")
        return GraphQLInputField(
            kind,
            default_value=default,
            description=text_of(member.description or described(member.kind)),
            deprecation_reason=None if needed else reason,
            out_name=member.key,
        )

    def _one_of(self, several: tuple[Any, ...], owner: str, field: str) -> GraphQLInputType:
        models = tuple(kind_of(one).core for one in several)
        known = self._objects.get(models)
        if known is not None:
            return known
        single = pascal(field[:-1] if field.endswith("s") else field)
        name = free([f"{single}Input", f"{owner}{single}Input"], self.taken)
        made = GraphQLInputObjectType(
            name,
            {self._tag(one): GraphQLInputField(self._object(one, owner)) for one in models},
            description="Exactly one of these.",
            is_one_of=True,
            out_type=lambda given: next(iter(given.values())),
        )
        self._objects[models] = self.taken[name] = made
        return made

    def _tag(self, model: Any) -> str:
        """What a model is called among others: by the constant that tells it from them, or else by its name."""
        tags = [literals(one.kind.core)[0] for one in self._members.given(model) if _is_tag(one)]
        return camel(str(tags[0]) if tags else model.__name__[:1].lower() + model.__name__[1:])


def _is_tag(member: Member) -> bool:
    """Whether it only tells its model from others: a constant that may be left out."""
    return len(literals(member.kind.core)) == 1 and not member.required


def _default(value: Any) -> Any:
    """A default as it stands in JSON; nothing for what has no such form."""
    if value is MISSING or value is None or isinstance(value, bytes):
        return None
    try:
        return to_jsonable_python(value)
    except (PydanticSerializationError, ValueError):
        return None
