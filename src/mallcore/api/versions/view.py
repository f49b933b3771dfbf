"""What a catalogue is in one version of the API: every face of the mall reads operations from a `View`."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from pydantic import BaseModel, TypeAdapter

from mallcore.api.versions.calls import Call, GoneCall, MovedCall, NewCall, OtherResult
from mallcore.api.versions.chain import Chain
from mallcore.api.versions.members import is_model, models_in
from mallcore.api.versions.plans import Plans
from mallcore.api.versions.programs import Convert as Convert
from mallcore.api.versions.shapes import Shapes
from mallcore.kernel.operations import Catalogue, Operation, Rest


@dataclass(frozen=True)
class Face:
    """One operation as one version shows it. What the version does not touch is the operation's own.

    What is asked of it is made when it is first asked for.
    """

    operation: Operation
    rest: Rest | None
    view: View
    results: tuple[tuple[int, OtherResult], ...] = ()
    """The types it returned from this version on, with where in the chain, newest first."""

    @functools.cached_property
    def touched_input(self) -> type[BaseModel] | None:
        """The parameters in this version, where it touches them."""
        found: type[BaseModel] = self.view.shape(self.operation.input)
        return None if found is self.operation.input else found

    @functools.cached_property
    def touched_output(self) -> TypeAdapter[Any] | None:
        """The result in this version, where it touches it."""
        kind = self.results[-1][1].kind if self.results else self._kind
        found = self.view.shape(kind)
        return None if found is self._kind else TypeAdapter(found)

    @property
    def _kind(self) -> Any:
        known = self.operation
        return known.output_type if known.output_type is not None else known.hints["return"]

    @functools.cached_property
    def up(self) -> Convert | None:
        """Takes the arguments (plain JSON data, no bytes) to the newest version; nothing: they are the same."""
        return self.view.up(self.operation.input)

    @functools.cached_property
    def down(self) -> Convert | None:
        """Takes the result (plain JSON data) from the newest version to this one; nothing: it is the same."""
        return self.view.lowered(self._kind, self.results)

    @functools.cached_property
    def names(self) -> Mapping[str, str]:
        """What this version calls parameters that have other names in the newest, by the newest's name."""
        given = self.operation.input
        called = {name: self.view.name_of(given, name) for name in given.model_fields}
        return {name: old for name, old in called.items() if old != name}

    @functools.cached_property
    def deprecated(self) -> Mapping[str, str]:
        """Fields (``parameter`` or ``Model.field``) of this version on their way out, with what to use instead."""
        found = dict(self.view.deprecated(self.operation.input, named=False))
        for kind in (self.operation.input, self.results[-1][1].kind if self.results else self._kind):
            found.update(self.view.deprecated(kind))
        return found

    @property
    def input(self) -> type[BaseModel]:
        """The parameters in this version; the very model of the operation when nothing is touched."""
        return self.touched_input or self.operation.input

    @property
    def output(self) -> TypeAdapter[Any]:
        """The result in this version."""
        return self.touched_output or self.operation.output

    @property
    def untouched(self) -> bool:
        """Whether the version changes nothing here, so that nothing is to be done."""
        return self.touched_input is None and self.up is None and self.down is None


class View:
    """A catalogue in one version of the API; immutable. Everything derived from it can be cached on it.

    Without changes it shows the newest version, which is what the operations and models themselves are.
    """

    def __init__(self, catalogue: Catalogue, version: str = "", known: Known | None = None, position: int = 0) -> None:
        self.catalogue = catalogue
        self.version = version
        self._known = known or Known(Chain(()))
        self._position = position
        self._end = self._known.chain.end

    @functools.cached_property
    def faces(self) -> Mapping[str, Face]:
        """The operations this version has, by the newest version's names."""
        found = {name: Face(one, one.rest, self) for name, one in self.catalogue.items()}
        for place in range(self._end - 1, self._position - 1, -1):
            for call in self._known.chain.changes[place].calls:
                self._told(found, place, call)
        renamed = {name: replace(one, rest=self._rest(one)) for name, one in found.items() if self._moved(one)}
        return dict(sorted({**found, **renamed}.items()))

    def _told(self, found: dict[str, Face], place: int, call: Call) -> None:
        if isinstance(call, GoneCall):
            found[call.operation] = Face(call.known, call.known.rest, self)
        elif call.operation not in found:
            return
        elif isinstance(call, NewCall):
            del found[call.operation]
        elif isinstance(call, MovedCall):
            one = found[call.operation]
            path, also = (self._as_newest(one.operation, text, place) for text in (call.path, call.also))
            rest = replace(one.rest or Rest(call.method, path), method=call.method, path=path, also=also)
            found[call.operation] = replace(one, rest=rest)
        elif isinstance(call, OtherResult):
            one = found[call.operation]
            told = replace(one.rest, status=200) if one.rest is not None and one.rest.status == 204 else one.rest
            found[call.operation] = replace(one, rest=told, results=(*one.results, (place, call)))

    def _as_newest(self, known: Operation, path: str, place: int) -> str:
        """An older path with the newest names in its braces."""
        given, name_of = known.input, self._known.shapes.name_of
        newest = {name_of(given, name, place): name for name in given.model_fields}
        for name in re.findall(r"{(\w+)}", path):
            if name not in newest:
                there = ", ".join(newest)
                raise self._known.chain.changes[place].wrong(
                    "was", f"{known.name} has no parameter `{{{name}}}` there: it has {there}"
                )
        return rename(path, newest)

    def _moved(self, face: Face) -> bool:
        """Whether the face has parameters that may be called otherwise here."""
        return face.rest is not None and face.operation.name in self._known.touched_operations

    def _rest(self, face: Face) -> Rest | None:
        """Where it is reached, with the names that parameters have here."""
        rest = face.rest
        if rest is None or not face.names:
            return rest
        named = {text: rename(text, face.names) for text in (rest.path, rest.also)}
        told = {which: face.names.get(getattr(rest, which) or "", getattr(rest, which)) for which in ("raw", "asked")}
        return replace(rest, path=named[rest.path], also=named[rest.also], **told)

    def shape(self, kind: Any) -> Any:
        """A type (a model, or any annotation) as this version has it; the same object when it is untouched."""
        return kind if self._position == self._end else self._known.shapes.shape(kind, self._position)

    def down(self, kind: Any) -> Convert | None:
        """What takes plain JSON data of this type from the newest version to this one; nothing: it is the same."""
        return None if self._position == self._end else self._known.plans.plan(kind, self._end, self._position)

    def up(self, kind: Any) -> Convert | None:
        """What takes plain JSON data of this type from this version to the newest; nothing: it is the same."""
        return None if self._position == self._end else self._known.plans.plan(kind, self._position, self._end)

    @property
    def shared(self) -> Known:
        """What all versions of the catalogue share: the row of changes, and what was made of it."""
        return self._known

    def lowered(self, kind: Any, results: tuple[tuple[int, OtherResult], ...]) -> Convert | None:
        """What takes a result down, through the types that it had."""
        parts, position = list[Convert | None](), self._end
        for place, other in results:
            parts += [self._known.plans.plan(kind, position, place + 1), other.convert_down]
            kind, position = other.kind, place
        parts.append(self._known.plans.plan(kind, position, self._position))
        steps = [one for one in parts if one is not None]
        return (
            (lambda d: functools.reduce(lambda so_far, step: step(so_far), steps, d))
            if len(steps) > 1
            else (steps[0] if steps else None)
        )

    def name_of(self, model: type[BaseModel], name: str) -> str:
        """What this version calls a field of the newest."""
        return name if self._position == self._end else self._known.shapes.name_of(model, name, self._position)

    def deprecated(self, kind: Any, named: bool = True) -> Mapping[str, str]:
        """Fields of a type (and of all it holds) that are on their way out in this version, with what to use instead.

        By ``Model.field``, or without the model's name.
        """
        found: dict[str, str] = {}
        for model in sorted(self._known.models(kind, nested=named), key=lambda one: one.__name__):
            before = f"{model.__name__}." if named else ""
            found.update({before + name: text for name, text in self._going(model)})
        return found

    def _going(self, model: type[BaseModel]) -> Iterator[tuple[str, str]]:
        chain = self._known.chain
        there = {one.key for one in chain.state(model, self._position).values()}
        subjects = chain.subjects(model)
        for place, change in enumerate(chain.changes):
            if subjects.isdisjoint(change.touches):
                continue
            said = change.deprecates if place < self._position or self._position == self._end else {}
            if place >= self._position:
                said = {name: text for one in change.fields for name, text in one.advice().items()}
            yield from ((name, text) for name, text in said.items() if name in there)


def rename(path: str, names: Mapping[str, str]) -> str:
    """A path with other names in its ``{braces}``."""
    return re.sub(r"{(\w+)}", lambda found: f"{{{names.get(found[1], found[1])}}}", path)


class Known:
    """What the views of one catalogue share: the chain, and what was made of it."""

    def __init__(self, chain: Chain) -> None:
        self.chain = chain
        self.shapes = Shapes(chain)
        self.plans = Plans(chain)
        self.touched_operations = {one for change in chain.changes for one in change.touches if isinstance(one, str)}

    def models(self, kind: Any, nested: bool) -> set[type[BaseModel]]:
        """The models of a type, with all they hold or without."""
        if not nested:
            return {kind} if is_model(kind) else set()
        return {model for one in models_in(kind) for model in self.chain.closure(one)} - self.chain.inputs.keys()
