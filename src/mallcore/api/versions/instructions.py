"""What a change says of fields, in the past tense: each instruction knows the older declaration and conversions."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from mallcore.api.versions.members import (
    UNSET,
    Member,
    State,
    allows_none,
    literals,
    member,
    named,
    with_values,
    without_none,
)
from mallcore.api.versions.ops import Apply, Derive, Drop, Fill, Map, Move, Op

Key = Callable[[Member], str]
"""What a field is called in the data."""


class Place(Protocol):
    """Where an instruction is followed: a change, what it touches, and the state before."""

    by_hand: bool
    """Whether the change converts by hand: then instructions only tell the shape."""
    only_given: bool
    """Whether it is about parameters, which are given and never shown."""

    def wrong(self, reason: str) -> Exception:
        """The error that says what is wrong with the change here."""
        ...

    def fields(self, model: type[BaseModel]) -> dict[str, Member]:
        """The fields of another model in the newer state."""
        ...

    def variant(self, model: type[BaseModel] | str, fields: State) -> type[BaseModel]:
        """A model like the one (or a new one of that name), with these fields in the older state."""
        ...


def find(state: State, text: str, place: Place) -> str:
    """The name of the field that is called so."""
    if text in state:
        return text
    for name, one in state.items():
        if text in (one.key, one.shown):
            return name
    known = ", ".join(f"`{name}`" for name in state) or "none"
    raise place.wrong(f"there is no field `{text}` (name it as the newer version does; there are {known})")


def refuse_taken(state: State, text: str, place: Place) -> None:
    """Raise when the newer version has such a field."""
    if text in state or any(text == one.key for one in state.values()):
        raise place.wrong(f"the newer version has a field `{text}`, too: rename or remove that one in the same change")


@dataclass(frozen=True)
class Instruction(ABC):
    """One sentence of a change about fields. ``name`` is the newer version's."""

    name: str

    @abstractmethod
    def older(self, state: State, place: Place) -> dict[str, Member]:
        """The older version's fields."""

    def down(self, new: State, old: State, key: Key) -> list[Op]:
        """What takes data to the older version."""
        return []

    def up(self, new: State, old: State, key: Key) -> list[Op]:
        """What takes data to the newer version."""
        return []

    def renamed(self, new: State, old: State) -> Mapping[str, str]:
        """Fields that only have another name: the newer's to the older's."""
        return {}

    def mixed(self, new: State, old: State) -> tuple[set[str], set[str]]:
        """The newer's and the older's fields whose values are made of one another."""
        return set(), set()

    def loses(self, new: State, d: Mapping[str, Any]) -> set[str]:
        """Fields of these newer data that older data can't hold, so that they do not come back."""
        return set()

    def advice(self) -> Mapping[str, str]:
        """What to use instead of fields of the older version, by their names."""
        return {}


def replaced(state: State, name: str, *instead: Member) -> dict[str, Member]:
    """The fields with others in the place of one."""
    found: dict[str, Member] = {}
    for there, one in state.items():
        found.update({new.name: new for new in instead} if there == name else {there: one})
    return found


@dataclass(frozen=True)
class Renamed(Instruction):
    """It was called otherwise."""

    was: str

    def older(self, state: State, place: Place) -> dict[str, Member]:
        name = find(state, self.name, place)
        refuse_taken(state, self.was, place)
        return replaced(state, name, named(state[name], self.was))

    def renamed(self, new: State, old: State) -> Mapping[str, str]:
        return {of(new, self.name): of(old, self.was)}

    def down(self, new: State, old: State, key: Key) -> list[Op]:
        return [Move(key(new[of(new, self.name)]), key(old[of(old, self.was)]))]

    def up(self, new: State, old: State, key: Key) -> list[Op]:
        return [Move(key(old[of(old, self.was)]), key(new[of(new, self.name)]))]

    def advice(self) -> Mapping[str, str]:
        return {self.was: f"It is called `{self.name}` in newer versions."}


def of(state: State, text: str) -> str:
    """The name of a field that is there."""
    return text if text in state else next(name for name, one in state.items() if text in (one.key, one.shown))


@dataclass(frozen=True)
class Added(Instruction):
    """It did not exist. ``default`` is what older calls mean by not giving it."""

    default: Any = UNSET

    def older(self, state: State, place: Place) -> dict[str, Member]:
        name = find(state, self.name, place)
        if state[name].required and self.default is UNSET and not place.by_hand:
            raise place.wrong(f"`{self.name}` must be given in the newer version: say did_not_exist(default=…)")
        return {there: one for there, one in state.items() if there != name}

    def down(self, new: State, old: State, key: Key) -> list[Op]:
        return [Drop(key(new[of(new, self.name)]))]

    def up(self, new: State, old: State, key: Key) -> list[Op]:
        return [] if self.default is UNSET else [Fill(key(new[of(new, self.name)]), self.default)]

    def mixed(self, new: State, old: State) -> tuple[set[str], set[str]]:
        return {of(new, self.name)}, set()

    def loses(self, new: State, d: Mapping[str, Any]) -> set[str]:
        return {of(new, self.name)}


@dataclass(frozen=True)
class Removed(Instruction):
    """It existed. Newer data show ``default``, or what ``down`` makes of all the others."""

    kind: Any
    default: Any = UNSET
    make: Callable[[dict[str, Any]], Any] | None = None
    instead: str = ""

    def older(self, state: State, place: Place) -> dict[str, Member]:
        refuse_taken(state, self.name, place)
        made = member(self.name, self.kind, self.default)
        if not (place.by_hand or place.only_given or self.make or self.default is not UNSET or self._null):
            raise place.wrong(f"`{self.name}` can't be shown any more: say existed(…, default=…) or existed(…, down=…)")
        return {**state, made.name: made}

    @property
    def _null(self) -> bool:
        return allows_none(self.kind)

    def down(self, new: State, old: State, key: Key) -> list[Op]:
        name = key(old[of(old, self.name)])
        if self.make is not None:
            return [Derive(name, self.make)]
        if self.default is UNSET and not self._null:
            return []
        return [Fill(name, None if self.default is UNSET else self.default)]

    def up(self, new: State, old: State, key: Key) -> list[Op]:
        return [Drop(key(old[of(old, self.name)]))]

    def mixed(self, new: State, old: State) -> tuple[set[str], set[str]]:
        return set(), {of(old, self.name)}

    def advice(self) -> Mapping[str, str]:
        return {self.name: self.instead or "Newer versions do not have it."}


@dataclass(frozen=True)
class Retyped(Instruction):
    """It had another type."""

    kind: Any
    convert_up: Callable[[Any], Any] | None = None
    convert_down: Callable[[Any], Any] | None = None
    default: Any = UNSET

    def older(self, state: State, place: Place) -> dict[str, Member]:
        name = find(state, self.name, place)
        if self.convert_up is None and not place.by_hand:
            raise place.wrong(f"older values of `{self.name}` can't be read: say had_type(…, up=…)")
        if self.convert_down is None and not (place.by_hand or place.only_given):
            raise place.wrong(f"`{self.name}` can't be shown to older callers: say had_type(…, down=…)")
        before = state[name]
        parsed = FieldInfo.from_annotation(self.kind)
        told = parsed.description or before.info.description
        info = parsed if told is None else member(name, self.kind).as_(description=told).info
        made = Member(name, parsed.annotation, info, True).as_(**_alias(before), **self._default(before))
        return replaced(state, name, made)

    def _default(self, before: Member) -> dict[str, Any]:
        default = before.info.get_default(call_default_factory=False) if not before.required else UNSET
        if self.default is not UNSET:
            return {"default": self.default}
        if before.required:
            return {}
        if default is None:
            return {"default": None}
        return {"default": self.convert_down(default)} if self.convert_down is not None else {}

    def down(self, new: State, old: State, key: Key) -> list[Op]:
        return self._op(self.convert_down, new, old, key)

    def up(self, new: State, old: State, key: Key) -> list[Op]:
        return self._op(self.convert_up, new, old, key)

    def _op(self, convert: Callable[[Any], Any] | None, new: State, old: State, key: Key) -> list[Op]:
        name = of(new, self.name)
        both = allows_none(new[name].annotation) and allows_none(old[name].annotation)
        return [] if convert is None else [Apply(key(old[name]), convert, both)]

    def mixed(self, new: State, old: State) -> tuple[set[str], set[str]]:
        return {of(new, self.name)}, {of(new, self.name)}


def _alias(one: Member) -> dict[str, Any]:
    info = one.info
    return {
        "alias": info.alias,
        "validation_alias": info.validation_alias,
        "serialization_alias": info.serialization_alias,
        "alias_priority": info.alias_priority,
    }


@dataclass(frozen=True)
class WasOptional(Instruction):
    """It could be left out, or be ``null``, which meant ``default``."""

    default: Any = UNSET

    def older(self, state: State, place: Place) -> dict[str, Member]:
        name = find(state, self.name, place)
        if self.default is UNSET and not place.by_hand and not allows_none(state[name].annotation):
            raise place.wrong(f"`{self.name}` must be given in the newer version: say was_optional(default=…)")
        return replaced(state, name, state[name].as_(state[name].annotation | None, default=None))

    def up(self, new: State, old: State, key: Key) -> list[Op]:
        name = key(new[of(new, self.name)])
        return [Fill(name, None)] if self.default is UNSET else [Fill(name, self.default, True)]

    def mixed(self, new: State, old: State) -> tuple[set[str], set[str]]:
        return {of(new, self.name)}, {of(new, self.name)}


@dataclass(frozen=True)
class WasRequired(Instruction):
    """It had to be given and could not be ``null``; older callers are shown ``default`` for ``null``."""

    default: Any = UNSET

    def older(self, state: State, place: Place) -> dict[str, Member]:
        name = find(state, self.name, place)
        null = allows_none(state[name].annotation)
        if self.default is UNSET and null and not (place.by_hand or place.only_given):
            raise place.wrong(f"`{self.name}` may be null in the newer version: say was_required(default=…)")
        return replaced(state, name, state[name].as_(without_none(state[name].annotation), default=UNSET))

    def down(self, new: State, old: State, key: Key) -> list[Op]:
        name = of(new, self.name)
        if self.default is not UNSET:
            return [Fill(key(new[name]), self.default, True)]
        default = UNSET if new[name].required else new[name].info.get_default(call_default_factory=True)
        return [] if default in (UNSET, None) else [Fill(key(new[name]), default)]

    def mixed(self, new: State, old: State) -> tuple[set[str], set[str]]:
        return {of(new, self.name)}, {of(new, self.name)}

    def loses(self, new: State, d: Mapping[str, Any]) -> set[str]:
        name = of(new, self.name)
        return {name} if d.get(new[name].key) is None else set()


@dataclass(frozen=True)
class HadDefault(Instruction):
    """It had another default."""

    default: Any

    def older(self, state: State, place: Place) -> dict[str, Member]:
        name = find(state, self.name, place)
        return replaced(state, name, state[name].as_(default=self.default))

    def up(self, new: State, old: State, key: Key) -> list[Op]:
        return [Fill(key(new[of(new, self.name)]), self.default)]


@dataclass(frozen=True)
class HadValues(Instruction):
    """Its values had other names: the newer's to the older's."""

    values: Mapping[Any, Any] = field(hash=False)

    def older(self, state: State, place: Place) -> dict[str, Member]:
        name = find(state, self.name, place)
        known = literals(state[name].annotation)
        if known and (unknown := [one for one in self.values if one not in known]):
            raise place.wrong(f"`{self.name}` has no value {unknown[0]!r} in the newer version: it has {known}")
        one, default = state[name], state[name].info.default
        more = {"default": self.values[default]} if isinstance(default, str) and default in self.values else {}
        return replaced(state, name, one.as_(with_values(one.annotation, self.values), **more))

    def _back(self, new: State) -> dict[Any, Any]:
        """The newer's value for each of the older's; what the newer has under that name itself stays."""
        stay = {one for one in literals(new[of(new, self.name)].annotation) if one not in self.values}
        return {old: one for one, old in reversed(list(self.values.items())) if old not in stay}

    def down(self, new: State, old: State, key: Key) -> list[Op]:
        return [Map(key(new[of(new, self.name)]), dict(self.values))]

    def up(self, new: State, old: State, key: Key) -> list[Op]:
        return [Map(key(new[of(new, self.name)]), self._back(new))]

    def loses(self, new: State, d: Mapping[str, Any]) -> set[str]:
        name, back = of(new, self.name), self._back(new)
        given = d.get(new[name].key)
        some = given if isinstance(given, list) else [given]
        lost = any(back.get(self.values.get(one, one), self.values.get(one, one)) != one for one in some)
        return {name} if lost else set()
