"""The schema of one version of the API, made from its view of the catalogue and kept as long as that."""

from __future__ import annotations

import threading
from typing import Any

from graphql import (
    GraphQLArgument,
    GraphQLField,
    GraphQLID,
    GraphQLList,
    GraphQLNamedType,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLSchema,
    GraphQLString,
    print_schema,
    specified_scalar_types,
)

from mallcore.api.graphql import scalars
from mallcore.api.graphql.connections import Paging
from mallcore.api.graphql.edges import EDGES, ENTITIES, Edge, Entity
from mallcore.api.graphql.exposure import output_of, place_of
from mallcore.api.graphql.inputs import Inputs
from mallcore.api.graphql.kinds import Members
from mallcore.api.graphql.names import field_name, pascal, text_of
from mallcore.api.graphql.outputs import NODE, PAGE_INFO, Fields, Outputs
from mallcore.api.graphql.renames import Renames
from mallcore.api.graphql.resolving import Finder, Found, following, reading, watching, writing
from mallcore.api.versions import Face, View

_lock = threading.Lock()
_PLACE = "_graphql_schema"  # on the view: both know each other, and are forgotten together
_OWN = (NODE, PAGE_INFO, scalars.BASE64, scalars.DATE, scalars.DATE_TIME, scalars.DECIMAL, scalars.INT_OR_STRING,
        scalars.JSON, scalars.LONG)  # fmt: skip


def schema_of(view: View) -> GraphQLSchema:
    """The schema of a view; made when it is first asked for."""
    found: GraphQLSchema | None = view.__dict__.get(_PLACE)
    if found is None:
        with _lock:
            found = view.__dict__.get(_PLACE)
            if found is None:
                found = view.__dict__[_PLACE] = _Making(view).schema()
    return found


def sdl(view: View) -> str:
    """The schema of a view in GraphQL's schema definition language."""
    return print_schema(schema_of(view)) + "\n"


class _Making:
    """The making of one schema."""

    def __init__(self, view: View) -> None:
        taken: dict[str, GraphQLNamedType] = {one.name: one for one in (*specified_scalar_types.values(), *_OWN)}
        taken |= dict.fromkeys(("Query", "Mutation", "Subscription"), GraphQLString)
        self._faces: dict[str, Face] = dict(view.faces)
        self._version = view.version
        self._members = Members()
        self._renames = Renames(view, self._members)
        self._ids = _Ids(self._faces, self._renames, self._members)
        self._outputs = Outputs(taken, self._edges, self._ids, self._members)
        self._inputs = Inputs(taken, self._members)
        self._by_model: dict[str, list[Edge]] = {}
        for edge in EDGES:
            if edge.operation in self._faces:
                self._by_model.setdefault(edge.model, []).append(edge)

    def schema(self) -> GraphQLSchema:
        roots: dict[str, Fields] = {"query": {}, "mutation": {}, "subscription": {}}
        for name, face in sorted(self._faces.items()):
            place = place_of(face)
            if place is not None:
                self._outputs.deprecated.update(face.deprecated)
                self._inputs.deprecated.update(face.deprecated)
                roots[place][field_name(name)] = self._field(face, place)
        roots["query"] |= self._own()
        return GraphQLSchema(
            query=_root("Query", roots["query"], "What can be read."),
            mutation=_root("Mutation", roots["mutation"], "What can be changed: one after the other."),
            subscription=_root("Subscription", roots["subscription"], "What can be watched."),
            description=f"The mall, in version {self._version} of its API." if self._version else "The mall.",
        )

    def _field(self, face: Face, place: str) -> GraphQLField:
        owner = pascal(face.operation.name)
        kind, page = self._answer(face, owner, paged=place == "query")
        resolve = {"query": reading(face, page), "mutation": writing(face)}.get(place, watching(face))
        return GraphQLField(
            kind,
            args=self._inputs.arguments(face, owner, {}, page is not None and page.cursor is not None),
            resolve=resolve,
            description=text_of(face.operation.description),
            deprecation_reason=face.deprecated.get(""),
            extensions={"mall.face": face, **({} if page or isinstance(kind, GraphQLList) else {"size": 1})},
        )

    def _answer(self, face: Face, owner: str, paged: bool) -> tuple[Any, Paging | None]:
        """The type of what an operation answers, which may be null where it is refused, and how its pages are asked."""
        page = self._renames.page(face) if paged else None
        if page is None:
            found: Any = self._outputs.of(output_of(face), owner)
            return getattr(found, "of_type", found) if isinstance(found, GraphQLNonNull) else found, None
        item, paging = page
        if paging.cursor is None:
            return GraphQLList(self._outputs.of(item, owner)), paging
        return self._outputs.connection(item, owner), paging

    def _edges(self, name: str, model: Any, fields: Fields) -> None:
        """Add the edges of a model; a member that only holds what an edge leads to gives its name up to it."""
        edges = self._by_model.get(name)
        if edges is None:
            return
        members, names = {one.key for one in self._members.shown(model)}, self._renames.of(name)
        for edge in (one.renamed(names) for one in edges):
            if edge.sources <= members:
                if edge.field in fields:
                    fields[f"{edge.field}Id"] = fields.pop(edge.field)
                fields[edge.field] = self._edge(edge)

    def _edge(self, edge: Edge) -> GraphQLField:
        face = self._faces[edge.operation]
        owner = pascal(edge.operation)
        kind, page = self._answer(face, owner, paged=True)
        return GraphQLField(
            GraphQLList(kind) if edge.each else kind,
            args=self._inputs.arguments(face, owner, edge.given, page is not None and page.cursor is not None),
            resolve=following(edge, face, page),
            description=text_of(edge.description or face.operation.summary),
            extensions={"mall.edge": edge},
        )

    def _own(self) -> Fields:
        """The root fields that are no operation's."""
        known = self._ids.known(self._outputs)
        finder = Finder(known)
        id, version = GraphQLNonNull(GraphQLID), self._version
        found = {
            "apiVersion": GraphQLField(
                GraphQLNonNull(GraphQLString),
                resolve=lambda root, info: version,
                description="The version of the API that answers.",
            )
        }
        if known:
            found |= {
                "node": GraphQLField(NODE, {"id": GraphQLArgument(id)}, finder.one, description="An entity by its id."),
                "nodes": GraphQLField(
                    GraphQLNonNull(GraphQLList(NODE)),
                    {"ids": GraphQLArgument(GraphQLNonNull(GraphQLList(id)))},
                    finder.many,
                    description="Entities by their ids, in the same order.",
                ),
            }
        return found


class _Ids:
    """The entities of a schema: models whose operation it has."""

    def __init__(self, faces: dict[str, Face], renames: Renames, members: Members) -> None:
        self._faces = faces
        self._members = members
        self._renames = renames
        there = [one.renamed(renames.of(one.model)) for one in ENTITIES if one.operation in faces]
        self._entities = {one.model: one for one in there}
        self._models: dict[str, Any] = {}

    def of(self, model: Any) -> Entity | None:
        """The entity a model is, if it has what makes up its id."""
        entity = self._entities.get(model.__name__)
        if entity is None or not set(entity.shown) <= {one.key for one in self._members.shown(model)}:
            return None
        self._models[entity.model] = model
        return entity

    def add(self, model: Any, fields: Fields) -> None:
        """Give an entity without an id of its own its global one."""
        entity = self._entities.get(model.__name__)
        if entity is not None and self._models.get(entity.model) is model and "id" not in fields:
            found = GraphQLField(
                GraphQLNonNull(GraphQLID),
                resolve=lambda value, info: entity.id_of(value),
                description="Names it among everything in the mall.",
            )
            fields |= {"id": found, **{name: fields.pop(name) for name in list(fields)}}

    def known(self, outputs: Outputs) -> list[Found]:
        """The entities that the schema shows."""
        return [self._found(self._entities[name], outputs.object(model).name) for name, model in self._models.items()]

    def _found(self, entity: Entity, name: str) -> Found:
        face = self._faces[entity.operation]
        page = self._renames.page(face) if entity.among else None
        return Found(entity, face, name, page[1] if page is not None else None)


def _root(name: str, fields: Fields, description: str) -> GraphQLObjectType | None:
    return GraphQLObjectType(name, fields, description=description) if fields else None
