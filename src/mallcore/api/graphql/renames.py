"""What a version calls what entities, edges and pages are declared by: those speak of the newest version."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from mallcore.api.graphql.connections import Paging
from mallcore.api.graphql.exposure import output_of
from mallcore.api.graphql.kinds import Members, alternatives, is_object, is_plain, kind_of
from mallcore.api.versions import Face, View


class Renames:
    """The names that a version has for members of the newest version's models."""

    def __init__(self, view: View, members: Members) -> None:
        self._view = view
        self._models: dict[str, Any] = {}
        for face in view.faces.values():
            if face.operation.kind != "stream" and face.rest is not None:
                for model in _models(_returned(face), self._models, members):
                    self._models.setdefault(model.__name__, model)

    def of(self, model: str) -> dict[str, str]:
        """Its names by those of the newest version; for a model of the newest version, by its name."""
        found = self._models.get(model)
        if not (isinstance(found, type) and issubclass(found, BaseModel)):
            return {}
        return {name: self._view.name_of(found, name) for name in found.model_fields}

    def page(self, face: Face) -> tuple[Any, Paging] | None:
        """What an operation's pages hold, and how they are asked for; nothing when it returns no page."""
        newest = kind_of(_returned(face)).core
        if not (isinstance(newest, type) and issubclass(newest, BaseModel) and set(newest.model_fields) == _PAGE):
            return None
        items, following = (self._view.name_of(newest, name) for name in ("items", "next"))
        limit, cursor = (face.names.get(name, name) for name in ("limit", "cursor"))
        shown = kind_of(output_of(face)).core
        held = kind_of(shown.model_fields[items].annotation).core.__args__[0]
        paged = {limit, cursor} <= set(face.input.model_fields)
        return held, Paging(limit, cursor if paged else None, items, following)


_PAGE = {"items", "next"}


def _returned(face: Face) -> Any:
    """What it returns, in the words of the newest version: where it was another type then, that one."""
    if face.results:
        return face.results[-1][1].kind
    operation = face.operation
    return operation.output_type if operation.output_type is not None else operation.hints["return"]


def _models(annotation: Any, known: dict[str, Any], members: Members) -> Iterator[Any]:
    """The models that an annotation names, and those below them."""
    core = kind_of(annotation).core
    if is_object(core):
        if known.get(core.__name__) is not core:
            yield core
            known.setdefault(core.__name__, core)
            for member in members.shown(core):
                if is_plain(member.kind.core):
                    continue
                yield from _models(member.kind.core, known, members)
        return
    for one in alternatives(core) or getattr(core, "__args__", ()):
        yield from _models(one, known, members)
