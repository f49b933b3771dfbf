"""What operations return as GraphQL types: objects, enums, unions, connections. One set of types per schema."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from graphql import (
    GraphQLBoolean,
    GraphQLEnumType,
    GraphQLEnumValue,
    GraphQLField,
    GraphQLID,
    GraphQLInterfaceType,
    GraphQLList,
    GraphQLNamedType,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLString,
    GraphQLUnionType,
)

from mallcore.api.graphql.compiled.values import Reads
from mallcore.api.graphql.kinds import (
    LISTS,
    Kind,
    Member,
    Members,
    alternatives,
    is_object,
    kind_of,
    literals,
    scalar_of,
)
from mallcore.api.graphql.names import camel, free, pascal, text_of, value_names
from mallcore.api.graphql.scalars import JSON
from mallcore.api.graphql.uses import MARK

Fields = dict[str, GraphQLField]


def plain(
    kind: GraphQLOutputType, key: str, description: str | None = None, deprecated: str | None = None, mark: str = ""
) -> GraphQLField:
    """A field that shows a member of its parent."""
    return GraphQLField(
        kind,
        resolve=Reads(key),
        description=text_of(description),
        deprecation_reason=deprecated,
        extensions={MARK: mark} if deprecated else {},
    )


NODE = GraphQLInterfaceType(
    "Node",
    {"id": GraphQLField(GraphQLNonNull(GraphQLID), description="Names it among everything in the mall.")},
    description="What can be asked for again by its id.",
    resolve_type=lambda value, info, kind: value["__typename"],
)

PAGE_INFO = GraphQLObjectType(
    "PageInfo",
    {
        "hasNextPage": plain(GraphQLNonNull(GraphQLBoolean), "hasNextPage", "Whether there is more behind this page."),
        "hasPreviousPage": plain(GraphQLNonNull(GraphQLBoolean), "hasPreviousPage", "Whether something is before it."),
        "startCursor": plain(GraphQLString, "startCursor"),
        "endCursor": plain(GraphQLString, "endCursor", "Give it as `after` for the next page."),
    },
    description="Where a page stands in the whole.",
)


class Enums:
    """The enums of a schema: one for each place that lists values, named after it."""

    def __init__(self, taken: dict[str, GraphQLNamedType]) -> None:
        self._taken = taken

    def of(self, values: tuple[Any, ...], owner: str, field: str) -> GraphQLNamedType:
        """The enum of a field's values; a string when they can't be an enum's."""
        names = value_names(values)
        if names is None:
            return GraphQLString
        name = free([f"{owner}{pascal(field)}", f"{owner}{pascal(field)}Value"], self._taken)
        made = GraphQLEnumType(name, {key: GraphQLEnumValue(one) for key, one in zip(names, values, strict=True)})
        self._taken[name] = made
        return made


class Outputs:
    """The object types of a schema, by the models they show."""

    def __init__(
        self, taken: dict[str, GraphQLNamedType], more: Callable[[str, Any, Fields], None], ids: Any, members: Members
    ) -> None:
        self.taken = taken
        self._members = members
        self.connections: dict[Any, GraphQLObjectType] = {}
        self._enums = Enums(taken)
        self._objects: dict[Any, GraphQLObjectType] = {}
        self._literals: dict[tuple[str, str], GraphQLNamedType] = {}
        self._more = more
        self._ids = ids
        self.deprecated: dict[str, str] = {}
        """Reasons by `Model.field`, of all operations: fields are made after all of them are known."""

    def of(self, annotation: Any, owner: str, field: str = "result") -> GraphQLOutputType:
        """The type of an annotation; ``owner`` and ``field`` name what has no name of its own."""
        return self.of_kind(kind_of(annotation), owner, field)

    def of_kind(self, kind: Kind, owner: str, field: str) -> GraphQLOutputType:
        """The type of an unwrapped annotation."""
        found = self._bare(kind, owner, field)
        return found if kind.nullable else GraphQLNonNull(found)

    def _bare(self, kind: Kind, owner: str, field: str) -> Any:
        core = kind.core
        scalar = scalar_of(kind)
        if scalar is not None:
            return scalar
        if values := literals(core):
            known = self._literals.get((owner, field))
            return known or self._literals.setdefault((owner, field), self._enums.of(values, owner, field))
        if is_object(core):
            return self.object(core, owner)
        if several := alternatives(core):
            return self._union(several, owner, field)
        origin = getattr(core, "__origin__", core)
        if origin in LISTS or (isinstance(origin, type) and hasattr(origin, "__getitem__") and core is not origin):
            inside = getattr(core, "__args__", (Any,))[0]
            return GraphQLList(self.of(inside, owner, field))
        return JSON

    def object(self, model: Any, owner: str = "") -> GraphQLObjectType:
        """The object type of a model."""
        known = self._objects.get(model)
        if known is not None:
            return known
        name = free([pascal(model.__name__.lstrip("_")), f"{owner}{pascal(model.__name__)}"], self.taken)
        made = GraphQLObjectType(
            name,
            lambda: self._fields(model, name),
            interfaces=[NODE] if self._ids.of(model) else [],
            description=text_of(model.__doc__),
        )
        self._objects[model] = self.taken[name] = made
        return made

    def _fields(self, model: Any, name: str) -> Fields:
        found: Fields = {}
        for member in self._members.shown(model):
            key = camel(member.name)
            kind = self.of_kind(member.kind, name, member.name)
            if member.name == "id" and getattr(kind, "of_type", None) is GraphQLString:
                kind = GraphQLNonNull(GraphQLID)
            mark = f"{model.__name__}.{member.name}"
            reason = member.deprecated or self.deprecated.get(mark)
            found[key] = plain(kind, member.key, member.description, reason, mark)
        self._ids.add(model, found)
        self._more(model.__name__, model, found)
        return found

    def _union(self, several: tuple[Any, ...], owner: str, field: str) -> GraphQLUnionType:
        name = f"{owner}{pascal(field)}"
        known = self.taken.get(name)
        if isinstance(known, GraphQLUnionType):
            return known
        models = [kind_of(one).core for one in several]
        kinds = [self.object(one, owner) for one in models]
        told = {kind.name: self._members.shown(model) for kind, model in zip(kinds, models, strict=True)}
        made = GraphQLUnionType(name, kinds, resolve_type=_fitting(told))
        self.taken[name] = made
        return made

    def connection(self, item: Any, owner: str) -> GraphQLObjectType:
        """The connection to items of a kind: `edges`, `nodes`, `pageInfo`."""
        known = self.connections.get(item)
        if known is None:
            known = self.connections[item] = _connection(self.of(item, owner), self.taken)
        return known


def _connection(item: GraphQLOutputType, taken: dict[str, GraphQLNamedType]) -> GraphQLObjectType:
    inner: Any = getattr(item, "of_type", item)
    name = getattr(inner, "name", "Items")
    edge = GraphQLObjectType(
        free([f"{name}Edge", f"{name}ConnectionEdge"], taken),
        {
            "node": plain(item, "node"),
            "cursor": plain(GraphQLNonNull(GraphQLString), "cursor", "Give it as `after` for what follows this one."),
        },
        description="One item, and where it stands.",
    )
    made = GraphQLObjectType(
        free([f"{name}Connection", f"{name}Page"], taken),
        {
            "edges": plain(GraphQLNonNull(GraphQLList(GraphQLNonNull(edge))), "edges"),
            "nodes": plain(GraphQLNonNull(GraphQLList(item)), "nodes", "The items alone."),
            "pageInfo": plain(GraphQLNonNull(PAGE_INFO), "pageInfo"),
        },
        description="Some items in order.",
    )
    taken[edge.name], taken[made.name] = edge, made
    return made


def _fitting(told: Mapping[str, list[Member]]) -> Callable[[Mapping[str, Any], Any, Any], str]:
    """What names the object type that has a value's members."""
    known = {name: {one.key for one in members} for name, members in told.items()}
    tags = {name: [(one.key, found) for one in members if len(found := literals(one.kind.core)) == 1]
            for name, members in told.items()}  # fmt: skip

    def name_of(value: Mapping[str, Any], info: Any, kind: Any) -> str:
        fits = [name for name in known if all(value.get(key) in values for key, values in tags[name])]
        shared = {name: len(known[name] & value.keys()) - len(value.keys() - known[name]) for name in fits}
        return max(shared, key=lambda name: shared[name], default=next(iter(known)))

    return name_of
