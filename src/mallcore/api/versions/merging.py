"""Fields that were one, and one that was several."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, get_args, get_type_hints

from mallcore.api.versions.instructions import Instruction, Key, Place, find, of, refuse_taken, replaced
from mallcore.api.versions.members import UNSET, Member, State, member
from mallcore.api.versions.ops import Join, Op, Split


@dataclass(frozen=True)
class WereOne(Instruction):
    """Several fields were one: ``join`` makes it of them (for older callers), ``split`` them of it."""

    names: tuple[str, ...]
    kind: Any
    split: Callable[[Any], Any] | None
    join: Callable[..., Any] | None

    def older(self, state: State, place: Place) -> dict[str, Member]:
        mine = [find(state, name, place) for name in self.names]
        rest = {there: one for there, one in state.items() if there not in mine[1:]}
        refuse_taken({there: one for there, one in rest.items() if there != mine[0]}, self.name, place)
        _refuse_missing(self, place)
        optional = all(not state[name].required for name in mine)
        return replaced(
            rest, mine[0], member(self.name, _made_by(self.kind, self.join, place), None if optional else UNSET)
        )

    def down(self, new: State, old: State, key: Key) -> list[Op]:
        assert self.join is not None
        return [Join(tuple(key(new[of(new, one)]) for one in self.names), self.join, key(old[of(old, self.name)]))]

    def up(self, new: State, old: State, key: Key) -> list[Op]:
        assert self.split is not None
        return [Split(key(old[of(old, self.name)]), self.split, tuple(key(new[of(new, one)]) for one in self.names))]

    def mixed(self, new: State, old: State) -> tuple[set[str], set[str]]:
        return {of(new, one) for one in self.names}, {of(old, self.name)}

    def advice(self) -> Mapping[str, str]:
        return {self.name: f"Newer versions have {' and '.join(f'`{one}`' for one in self.names)} instead."}


@dataclass(frozen=True)
class WasSplit(Instruction):
    """It was several fields: ``split`` makes them of it (for older callers), ``join`` it of them."""

    names: tuple[str, ...]
    kinds: tuple[Any, ...]
    split: Callable[[Any], Any] | None
    join: Callable[..., Any] | None

    def older(self, state: State, place: Place) -> dict[str, Member]:
        name = find(state, self.name, place)
        for one in self.names:
            refuse_taken({there: it for there, it in state.items() if there != name}, one, place)
        _refuse_missing(self, place)
        kinds = self.kinds or get_args(_made_by(None, self.split, place))
        if len(kinds) != len(self.names):
            raise place.wrong(f"say what `{self.name}` was split into: was_split(…, types=({'…, ' * len(self.names)}))")
        default = UNSET if state[name].required else None
        return replaced(state, name, *(member(one, kind, default) for one, kind in zip(self.names, kinds, strict=True)))

    def down(self, new: State, old: State, key: Key) -> list[Op]:
        assert self.split is not None
        return [Split(key(new[of(new, self.name)]), self.split, tuple(key(old[of(old, one)]) for one in self.names))]

    def up(self, new: State, old: State, key: Key) -> list[Op]:
        assert self.join is not None
        return [Join(tuple(key(old[of(old, one)]) for one in self.names), self.join, key(new[of(new, self.name)]))]

    def mixed(self, new: State, old: State) -> tuple[set[str], set[str]]:
        return {of(new, self.name)}, {of(old, one) for one in self.names}

    def advice(self) -> Mapping[str, str]:
        return dict.fromkeys(self.names, f"Newer versions have `{self.name}` instead.")


def _refuse_missing(one: WereOne | WasSplit, place: Place) -> None:
    if (one.split is None or one.join is None) and not place.by_hand:
        raise place.wrong(f"say how `{one.name}` is made and taken apart: split=… and join=…")


def _made_by(kind: Any, function: Any, place: Place) -> Any:
    found = kind if kind is not None else get_type_hints(function).get("return") if function else None
    if found is None:
        raise place.wrong("say the older type, or annotate what the function returns")
    return found
