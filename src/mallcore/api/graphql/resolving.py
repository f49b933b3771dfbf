"""Resolvers: a root field runs its operation, an edge is loaded together with its like, an id finds its entity."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, NamedTuple, Protocol

from mallcore.api.graphql.connections import Json, Paging
from mallcore.api.graphql.edges import Edge, Entity
from mallcore.api.versions import Face
from mallcore.errors import InvalidInput, LimitExceeded

Resolver = Callable[..., Any]
_LONGEST_ID = 7000
_MOST_IDS = 200


class Session(Protocol):
    """What resolvers need of the request they work for: it is graphql-core's context value."""

    def read(self, face: Face, given: Mapping[str, Any]) -> Any:
        """Run a query in the unit of work of this request."""
        ...

    def write(self, face: Face, given: Mapping[str, Any]) -> Any:
        """Run an operation in a unit of work of its own."""
        ...

    def load(self, face: Face, given: Mapping[str, Any]) -> Awaitable[Any]:
        """Run a query together with all others that are asked for now."""
        ...

    def watch(self, face: Face, given: Mapping[str, Any]) -> None:
        """Note what is to be watched."""
        ...


def reading(face: Face, page: Paging | None) -> Resolver:
    """The resolver of a query."""

    def resolve(root: Any, info: Any, **given: Any) -> Any:
        session: Session = info.context
        if page is not None:
            return page.call(lambda asked: session.read(face, asked), given)
        return session.read(face, given)

    return resolve


def writing(face: Face) -> Resolver:
    """The resolver of a mutation."""

    def resolve(root: Any, info: Any, **given: Any) -> Any:
        return info.context.write(face, given)

    return resolve


START: Any = object()
"""The root value of a subscription that is to begin; later it is what has happened."""


def watching(face: Face) -> Resolver:
    """The resolver of a subscription's field: at first it notes what to watch, then it shows each item."""

    def resolve(root: Any, info: Any, **given: Any) -> Any:
        if root is not START:
            return root
        info.context.watch(face, given)
        return None

    return resolve


def following(edge: Edge, face: Face, page: Paging | None) -> Resolver:
    """The resolver of an edge."""

    async def resolve(parent: Mapping[str, Any], info: Any, **given: Any) -> Any:
        session: Session = info.context
        calls = [{**given, **_named(face, one)} for one in edge.calls(parent)]
        if edge.each:
            return [await one for one in [asyncio.ensure_future(session.load(face, call)) for call in calls]]
        if not calls:
            return None
        if page is not None:
            return await page.call_later(lambda asked: session.load(face, asked), calls[0])
        return await session.load(face, calls[0])

    return resolve


def _named(face: Face, given: Mapping[str, Any]) -> Json:
    """Arguments of the newest version under this version's names."""
    return {face.names.get(name, name): value for name, value in given.items()}


class Found(NamedTuple):
    """An entity as a schema shows it: how it is asked for, what its type is called, how its lists are read."""

    entity: Entity
    face: Face
    type: str
    page: Paging | None


class Finder:
    """Finds entities by their global ids."""

    def __init__(self, known: Iterable[Found]) -> None:
        self._known = list(known)

    def one(self, root: Any, info: Any, id: str) -> Any:
        """The resolver of ``node(id:)``."""
        return self._loaded(info.context, id)

    def many(self, root: Any, info: Any, ids: list[str]) -> Any:
        """The resolver of ``nodes(ids:)``."""
        if len(ids) > _MOST_IDS:
            raise LimitExceeded(what="The number of ids", actual=len(ids), limit=_MOST_IDS)
        return [self._loaded(info.context, one) for one in ids]

    async def _loaded(self, session: Session, id: str) -> Json:
        for known in self._known:
            key = known.entity.key_of(id[:_LONGEST_ID])
            if key is not None:
                found = await (_listed(session, known, id) if known.page else _asked(session, known, key))
                if found is not None:
                    return {**found, "__typename": known.type}
        raise InvalidInput(field="id", reason="it is not the id of anything here")


async def _asked(session: Session, known: Found, key: Json) -> Json | None:
    given = {name: text.format_map(key) for name, text in known.entity.given.items()}
    found: Json = await session.load(known.face, _named(known.face, given))
    return found


async def _listed(session: Session, known: Found, id: str) -> Json | None:
    page, cursor = known.page, None
    assert page is not None
    assert page.cursor is not None
    while True:
        told = await session.load(known.face, {page.limit: 200, page.cursor: cursor})
        found: Json | None = next((one for one in told[page.items] if known.entity.id_of(one) == id), None)
        cursor = told[page.following]
        if found is not None or cursor is None:
            return found
