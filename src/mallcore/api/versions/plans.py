"""Plans: what converts plain data of a type between two positions, visiting only what holds something touched."""

from __future__ import annotations

import collections.abc as abc
from collections.abc import Callable, Sequence
from typing import Any, get_args, get_origin

from pydantic import RootModel

from mallcore.api.versions.chain import Chain, Model, Step, hashed
from mallcore.api.versions.choices import Branch, choice
from mallcore.api.versions.members import Member, State, allows_none, bare, branches, is_model, is_union, literals
from mallcore.api.versions.ops import Apply, Drop, Items, Op, Whole
from mallcore.api.versions.programs import Convert, program

LISTS = (list, set, frozenset, abc.Sequence, abc.MutableSequence, abc.Iterable, abc.Collection, abc.Set, abc.MutableSet)
DICTS = (dict, abc.Mapping, abc.MutableMapping)


class Plans:
    """The plans of one chain; each is made when it is first asked for, and kept."""

    def __init__(self, chain: Chain) -> None:
        self._chain = chain
        self._made: dict[tuple[Any, int, int], Convert | None] = {}
        self._making: dict[tuple[Any, int, int], Convert | None] = {}
        """What is not whole yet, since it may lead to what is still being made: only for who holds the lock."""
        self._depth = 0

    def plan(self, kind: Any, source: int, to: int) -> Convert | None:
        """What takes data of a type from one position to another; nothing when they are the same there."""
        marks = [mark for mark in self._chain.marks(kind) if min(source, to) <= mark < max(source, to)]
        if not marks:
            return None
        low, high = marks[0], marks[-1] + 1
        key = (hashed(kind), high, low) if source > to else (hashed(kind), low, high)
        if key in self._made:
            return self._made[key]
        with self._chain.lock:
            return self._made[key] if key in self._made else self._new(kind, key)

    def _new(self, kind: Any, key: tuple[Any, int, int]) -> Convert | None:
        """A plan that is not there yet. It is shown to other threads when all that it leads to is there."""
        if key in self._making:
            return self._making[key]
        self._depth += 1
        try:
            made = self._making[key] = self._model(*key) if is_model(kind) else self._other(kind, key[1], key[2])
            if self._depth == 1:
                self._made.update(self._making)
        finally:
            self._depth -= 1
            if not self._depth:
                self._making = {}
        return made

    def _other(self, kind: Any, source: int, to: int) -> Convert | None:
        plain = bare(kind)
        if is_model(plain):
            return self.plan(plain, source, to)
        if is_union(plain):
            return self._union(plain, source, to)
        origin, arguments = get_origin(plain), get_args(plain)
        if origin is tuple and not (len(arguments) == 2 and arguments[1] is ...):
            return _each_its_own([self.plan(one, source, to) for one in arguments])
        if origin in LISTS or origin is tuple:
            return _items(self.plan(arguments[0], source, to))
        if origin in DICTS:
            return _values(self.plan(arguments[1], source, to))
        return None

    def _union(self, kind: Any, source: int, to: int) -> Convert | None:
        leaves = [bare(one) for one in branches(kind)]
        models = [one for one in leaves if is_model(one)]
        arrays = (self.plan(one, source, to) for one in leaves if get_origin(one) in (*LISTS, tuple))
        dicts = [one for one in leaves if get_origin(one) in DICTS or one is dict]
        mapping = next((self.plan(one, source, to) for one in dicts), None)
        keep = (lambda d: d) if dicts else None
        found = [self._branch(one, source, to) for one in models]
        return choice(found, next((one for one in arrays if one is not None), None), mapping or keep)

    def _branch(self, model: Model, source: int, to: int) -> Branch:
        state, key = self._chain.state(model, source), key_of(model, source > to)
        return Branch(
            convert=self.plan(model, source, to),
            required=frozenset(key(one) for one in state.values() if one.required),
            known=frozenset(key(one) for one in state.values()),
            open=model.model_config.get("extra") == "allow",
            tags={key(one): found for one in state.values() if (found := literals(one.annotation))},
        )

    def _model(self, model: Model, source: int, to: int) -> Convert | None:
        if issubclass(model, RootModel):
            return self.plan(model.model_fields["root"].annotation, source, to)
        late = _Late()
        self._making[model, source, to] = late
        made = _Making(self, self._chain, model, source, to).made()
        late.convert = made or late.convert
        return made


class _Late:
    """A plan that a recursive model asks for while it is being made."""

    def __init__(self) -> None:
        self.convert: Convert = lambda d: d

    def __call__(self, d: Any) -> Any:
        return self.convert(d)


def key_of(model: Model, down: bool) -> Callable[[Member], str]:
    """How data name a field: by its alias where it is given, or where the model shows it so."""
    by_alias = model.model_config.get("serialize_by_alias", False)

    def key(one: Member) -> str:
        if not down or one.declared:
            return one.key
        return one.shown if by_alias else one.name

    return key


class _Making:
    """One model's plan in the making. ``_at`` says, for each field, at which position its value is so far."""

    def __init__(self, plans: Plans, chain: Chain, model: Model, source: int, to: int) -> None:
        self._plans, self._chain, self._model, self._to = plans, chain, model, to
        self._down = source > to
        self._key = key_of(model, self._down)
        self._first = chain.state(model, source)
        self._last = chain.state(model, to)
        self._at = dict.fromkeys(self._first, source)
        self._ops: list[Op] = []
        low, high = min(source, to), max(source, to)
        places = chain.events(model, low, high)
        self._places = places[::-1] if self._down else places

    def made(self) -> Convert | None:
        if not self._down:  # what a model computes is shown, and never given
            self._ops += [Drop(name) for name in self._model.model_computed_fields]
        for place in self._places:
            self._through(place)
        for name in self._last:
            self._sync(name, self._last, self._to)
        if not self._ops:
            return None
        before = [*map(self._key, self._first.values())]
        return program(self._ops, before, [*map(self._key, self._last.values())])

    def _through(self, place: int) -> None:
        change, steps = self._chain.changes[place], self._chain.steps(self._model, place)
        before, behind = (place + 1, place) if self._down else (place, place + 1)
        by_hand = change.down if self._down else change.up
        if by_hand is not None:
            self._by_hand(by_hand, before, behind)
        for step in steps if self._down else reversed(steps):
            if by_hand is None:
                self._follow(step, before)
            self._carry(step, behind)

    def _by_hand(self, function: Convert, before: int, behind: int) -> None:
        state = self._chain.state(self._model, before)
        for name in state:
            self._sync(name, state, before)
        keys = tuple(map(self._key, self._chain.state(self._model, behind).values()))
        self._ops.append(Whole(function, keys))

    def _follow(self, step: Step, before: int) -> None:
        new, old = step.instruction.mixed(step.new, step.old)
        for name in sorted(new if self._down else old):
            self._sync(name, step.new if self._down else step.old, before)
        convert = step.instruction.down if self._down else step.instruction.up
        self._ops += convert(step.new, step.old, self._key)

    def _carry(self, step: Step, behind: int) -> None:
        """Fields keep their positions under their other names; what is made anew is at the position behind."""
        renamed = step.instruction.renamed(step.new, step.old)
        mixed = step.instruction.mixed(step.new, step.old)[1 if self._down else 0]
        source = {old: new for new, old in renamed.items()} if self._down else renamed
        state: State = step.old if self._down else step.new
        self._at = {name: behind if name in mixed else self._at.get(source.get(name, name), behind) for name in state}

    def _sync(self, name: str, state: State, to: int) -> None:
        """Take the value of a field, with all it holds, to a position."""
        source, self._at[name] = self._at[name], to
        one = state[name]
        plain = bare(one.annotation)
        if get_origin(plain) is list and (item := self._plans.plan(get_args(plain)[0], source, to)) is not None:
            self._ops.append(Items(self._key(one), item))
        elif (convert := self._plans.plan(one.annotation, source, to)) is not None:
            self._ops.append(Apply(self._key(one), convert, allows_none(one.annotation)))


def _items(item: Convert | None) -> Convert | None:
    if item is None:
        return None
    return lambda value: [item(one) for one in value] if isinstance(value, list) else value


def _values(item: Convert | None) -> Convert | None:
    if item is None:
        return None
    return lambda value: {name: item(one) for name, one in value.items()} if isinstance(value, dict) else value


def _each_its_own(items: Sequence[Convert | None]) -> Convert | None:
    if all(one is None for one in items):
        return None

    def convert(value: Any) -> Any:
        if not isinstance(value, list) or len(value) != len(items):
            return value
        return [one if item is None else item(one) for item, one in zip(items, value, strict=True)]

    return convert
