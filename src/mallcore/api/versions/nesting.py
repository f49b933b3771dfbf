"""Fields that stood elsewhere: in a nested object, or outside of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from mallcore.api.versions.instructions import Instruction, Key, Place, find, of, refuse_taken
from mallcore.api.versions.members import (
    UNSET,
    Member,
    State,
    allows_none,
    bare,
    is_model,
    member,
    models_in,
    named,
    without_none,
)
from mallcore.api.versions.ops import Move, Op, Pull, Push

_DEEP = "give `field`, or `object.field` for one level of nesting"


def parts(path: str) -> tuple[str, str]:
    """The object and the field in it; the object is empty for a field of the model itself."""
    outer, _, inner = path.rpartition(".")
    return outer, inner


@dataclass(frozen=True)
class WasAt(Instruction):
    """It stood elsewhere. What a nested object holds no more in the older version, it does not have there at all."""

    was: str

    def older(self, state: State, place: Place) -> dict[str, Member]:
        if "." in parts(self.name)[0] or "." in parts(self.was)[0]:
            raise place.wrong(f"`{self.name}` or `{self.was}` lies too deep: {_DEEP}")
        outer, inner = parts(self.name)
        found, moved = _taken(dict(state), outer, inner, place)
        return _put(found, *parts(self.was), moved, place)

    def _middle(self) -> str:
        """What it is called between the two places."""
        outer, inner = parts(self.name)
        return f"{outer}.{inner}" if outer and parts(self.was)[0] else parts(self.was)[1] if outer else inner

    def down(self, new: State, old: State, key: Key) -> list[Op]:
        (outer, inner), (to_outer, to) = parts(self.name), parts(self.was)
        middle = self._middle()
        ops: list[Op] = []
        if outer:
            ops.append(Pull(key(new[of(new, outer)]), inner, middle, _gone(outer, old)))
        if to_outer:
            ops.append(Push(middle, to_outer, to, _nullable(old, to_outer)))
        elif not outer:
            ops.append(Move(middle, to))
        return ops

    def up(self, new: State, old: State, key: Key) -> list[Op]:
        (outer, inner), (from_outer, there) = parts(self.name), parts(self.was)
        middle = self._middle()
        ops: list[Op] = []
        if from_outer:
            ops.append(Pull(from_outer, there, middle, _gone(from_outer, new)))
        if outer:
            ops.append(Push(middle, key(new[of(new, outer)]), inner, _nullable(new, outer)))
        elif not from_outer:
            ops.append(Move(there, middle))
        return ops

    def mixed(self, new: State, old: State) -> tuple[set[str], set[str]]:
        both = (self.name, self.was)
        return {one for path in both for one in _touched(path, new)}, {
            one for path in both for one in _touched(path, old)
        }

    def loses(self, new: State, d: Mapping[str, Any]) -> set[str]:
        outer, _ = parts(self.name)
        return {of(new, outer)} if outer and _nullable(new, outer) else set()

    def advice(self) -> Mapping[str, str]:
        return {self.was: f"It is `{self.name}` in newer versions."}


def _touched(path: str, state: State) -> set[str]:
    outer, inner = parts(path)
    name = outer or inner
    return {of(state, name)} if any(name in (there, one.key) for there, one in state.items()) else set()


def _gone(outer: str, state: State) -> bool:
    """Whether the other side has no such object: then it goes with its last field."""
    return not any(outer in (name, one.key) and list(models_in(one.annotation)) for name, one in state.items())


def _nullable(state: State, outer: str) -> bool:
    return any(outer in (name, one.key) and allows_none(one.annotation) for name, one in state.items())


def _taken(state: dict[str, Member], outer: str, inner: str, place: Place) -> tuple[dict[str, Member], Member]:
    """The fields without the one, and the one."""
    if not outer:
        name = find(state, inner, place)
        return {there: one for there, one in state.items() if there != name}, state[name]
    name = find(state, outer, place)
    model = _model(state[name], place)
    fields = place.fields(model)
    moved = fields.pop(find(fields, inner, place))
    if allows_none(state[name].annotation) and not allows_none(moved.annotation):
        moved = moved.as_(moved.annotation | None, default=UNSET if state[name].required else None)
    if not fields:
        del state[name]
    else:
        state[name] = _with(state[name], place.variant(model, fields))
    return state, moved


def _put(state: dict[str, Member], outer: str, inner: str, moved: Member, place: Place) -> dict[str, Member]:
    if not outer:
        refuse_taken(state, inner, place)
        made = named(moved, inner)
        return {**state, made.name: made}
    made = named(moved, inner)
    there = state.get(outer)
    if there is None:
        model = place.variant(outer.title().replace("_", ""), {made.name: made})
        return {**state, outer: member(outer, model, UNSET if made.required else None)}
    model = _model(there, place)
    fields = place.fields(model)
    refuse_taken(fields, inner, place)
    return {**state, outer: _with(there, place.variant(model, {**fields, made.name: made}))}


def _model(one: Member, place: Place) -> type[BaseModel]:
    found = bare(without_none(one.annotation))
    if not is_model(found):
        raise place.wrong(f"`{one.name}` is no nested object: {_DEEP}")
    model: type[BaseModel] = found
    return model


def _with(one: Member, model: type[BaseModel]) -> Member:
    return one.as_(model | None if allows_none(one.annotation) else model)
