"""All changes in one row, oldest first, and what models were at each place of it.

Position ``p`` is the state before change ``p``: 0 is the oldest version, ``end`` the newest. A change takes what it
touches from its own position to the next. A version is a position, and a model that no change touches behind it is
the newest version's own.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from pydantic import BaseModel, create_model

from mallcore.api.versions.changes import Declared, Subject, newer_names
from mallcore.api.versions.instructions import Instruction
from mallcore.api.versions.members import Member, State, models_in, state_of

Model = type[BaseModel]


class Step(NamedTuple):
    """One instruction, and the fields before and behind it."""

    instruction: Instruction
    new: State
    old: State


class Chain:
    """The changes of one catalogue's API in order. What is found out is remembered: it never changes."""

    def __init__(self, changes: Iterable[Declared], inputs: Mapping[Model, str] | None = None) -> None:
        self.changes: Sequence[Declared] = tuple(changes)
        self.end = len(self.changes)
        self.inputs = dict(inputs or {})
        """The models of operations' parameters, with the operations' names."""
        self.lock = threading.RLock()
        self._variants: dict[Model, tuple[Model | None, int]] = {}
        self._events: dict[Model, tuple[int, ...]] = {}
        self._steps: dict[tuple[Model, int], list[Step]] = {}
        self._closures: dict[Model, frozenset[Model]] = {}
        self._marks: dict[Any, tuple[int, ...]] = {}

    def subjects(self, model: Model) -> set[Subject]:
        """What a change may touch to touch this model: it, what it inherits from, and the operation it belongs to."""
        found: set[Subject] = {one for one in model.__mro__ if one in _touchable(one)}
        if model in self.inputs:
            found.add(self.inputs[model])
        origin = self._variants.get(model, (None, 0))[0]
        return found if origin is None else found | self.subjects(origin)

    def events(self, model: Model, low: int = 0, high: int | None = None) -> tuple[int, ...]:
        """The places of the changes that touch the model itself."""
        found = self._events.get(model)
        if found is None:
            subjects, last = self.subjects(model), self.start(model)
            numbered = ((place, one) for place, one in enumerate(self.changes[:last]) if one.fields or one.by_hand)
            found = self._events[model] = tuple(
                place for place, one in numbered if not subjects.isdisjoint(one.touches)
            )
        return found[bisect_left(found, low) : None if high is None else bisect_left(found, high)]

    def start(self, model: Model) -> int:
        """The position at which the model is as its class says: the newest, but for what a change made."""
        return self._variants.get(model, (None, self.end))[1]

    def state(self, model: Model, position: int) -> State:
        """The fields of a model at a position."""
        behind = self.events(model, position)
        return self._following(model, behind[0]) if behind else state_of(model)

    def _following(self, model: Model, place: int) -> State:
        steps = self.steps(model, place)
        return steps[-1].old if steps else self.state(model, place + 1)

    def steps(self, model: Model, place: int) -> list[Step]:
        """What one change says of a model's fields, instruction by instruction, from the newer side."""
        found = self._steps.get((model, place))
        if found is None:
            with self.lock:
                found = self._steps[model, place] = list(self._follow(model, place))
        return found

    def _follow(self, model: Model, place: int) -> Iterator[Step]:
        change = self.changes[place]
        state = self.state(model, place + 1)
        for instruction in change.fields:
            if model in self._variants and not all(_has(state, name) for name in newer_names(instruction)):
                continue  # what a newer change moved elsewhere is not here to be changed
            old = instruction.older(state, _Here(self, model, place, change))
            yield Step(instruction, state, old)
            state = old

    def variant(self, model: Model | str, fields: State, place: int) -> Model:
        """A model that is only in versions up to this place."""
        made = made_model(model, {name: (one.annotation, one) for name, one in fields.items()})
        self._variants[made] = (None if isinstance(model, str) else model, place)
        return made

    def closure(self, model: Model) -> frozenset[Model]:
        """The model and all that values of it may hold, in any version."""
        found = self._closures.get(model)
        if found is None:
            seen, waiting = {model}, [model]
            while waiting:
                new = set(self._direct(waiting.pop())) - seen
                seen |= new
                waiting += new
            found = self._closures[model] = frozenset(seen)
        return found

    def _direct(self, model: Model) -> Iterator[Model]:
        for position in (*self.events(model), self.end):
            for one in self.state(model, position).values():
                yield from models_in(one.annotation)

    def marks(self, kind: Any) -> tuple[int, ...]:
        """The places of all changes that touch anything in values of a type."""
        key = hashed(kind)
        found = self._marks.get(key)
        if found is None:
            models = {model for one in models_in(kind) for model in self.closure(one)}
            found = self._marks[key] = tuple(sorted({place for model in models for place in self.events(model)}))
        return found

    def settled(self, kind: Any, position: int) -> int:
        """The last position at which values of the type are the same as here."""
        marks = self.marks(kind)
        behind = bisect_left(marks, position)
        return marks[behind] if behind < len(marks) else self.end


def made_model(model: Model | str, fields: Mapping[str, tuple[Any, Member]], **more: Any) -> Model:
    """A model with these fields; named, described and configured like the one."""
    like: dict[str, Any] = (
        {} if isinstance(model, str) else {"__config__": model.model_config, "__doc__": model.__doc__}
    )
    module = __name__ if isinstance(model, str) else model.__module__
    name = model if isinstance(model, str) else model.__name__
    declared: dict[str, Any] = {name: (kind, one.as_().info) for name, (kind, one) in fields.items()}
    made: Model = create_model(name, __module__=module, **like, **more, **declared)
    return made


def hashed(kind: Any) -> Any:
    """Something a type can be remembered by."""
    try:
        hash(kind)
    except TypeError:
        return repr(kind)
    return kind


def _has(state: State, text: str) -> bool:
    return text in state or any(text in (one.key, one.shown) for one in state.values())


def _touchable(one: type) -> tuple[type, ...]:
    return (one,) if issubclass(one, BaseModel) and one is not BaseModel else ()


class _Here:
    """Where an instruction is followed."""

    def __init__(self, chain: Chain, model: Model, place: int, change: Declared) -> None:
        self._chain, self._model, self._place, self._change = chain, model, place, change
        self.by_hand = change.by_hand
        self.only_given = model in chain.inputs

    def wrong(self, reason: str) -> Exception:
        return self._change.wrong("was", f"{self._model.__name__}: {reason}")

    def fields(self, model: Model) -> dict[str, Member]:
        return dict(self._chain.state(model, self._place + 1))

    def variant(self, model: Model | str, fields: State) -> Model:
        return self._chain.variant(model, fields, self._place)
