"""Comparing two JSON schemas in one direction: what a request may bring, or what a response may hold.

A difference is judged by who is hurt: whoever sends what was taken before, or whoever reads as before. A reader is
taken to be tolerant of fields it does not know, and of nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from mallcore.api.rules.differing.branches import (
    ANY,
    ODD,
    TOLD,
    alike,
    branches,
    by_type,
    name_of,
    references,
    resolved,
    spelt,
)
from mallcore.api.rules.differing.catalogue import Difference, breaking, difference
from mallcore.api.rules.differing.limits import KNOWN, limits

Direction = Literal["request", "response"]
Schema = Mapping[str, Any]
Found = list[Difference]

_CONSTRAINTS = frozenset({"type", "enum", "items", "prefixItems", "properties", "required", "additionalProperties"})


class Comparing:
    """Two documents of named schemas, being compared. Each pair of names is compared once: where it is met first."""

    def __init__(self, old: Mapping[str, Schema], new: Mapping[str, Schema]) -> None:
        self.old = old
        self.new = new
        self._alike = alike(old, new)

    def schemas(self, old: Any, new: Any, where: str, direction: Direction) -> Found:
        """What differs between two schemas."""
        return _Walk(self, direction, set()).compared(old, new, where)

    def same(self, old: Any, new: Any) -> bool:
        """Whether two schemas are alike with all that they refer to."""
        return spelt(old) == spelt(new) and self._alike.issuperset(references(old))


class _Walk:
    """One walk over two schemas in one direction."""

    def __init__(self, documents: Comparing, direction: Direction, met: set[tuple[str | None, str | None]]) -> None:
        self.documents = documents
        self.direction: Direction = direction
        self.met = met
        self.under_way: list[tuple[str, str]] = []
        """What is being compared, from the outside in: shapes without a name may hold themselves, too."""

    def compared(self, old: Any, new: Any, where: str) -> Found:
        """What differs between two schemas."""
        if self.documents.same(old, new):
            return []
        names, texts = (_name(old), _name(new)), (spelt(old), spelt(new))
        if names in self.met or texts in self.under_way:
            return []
        if None not in names:
            self.met.add(names)
        self.under_way.append(texts)
        sides = by_type(branches(old, self.documents.old)), by_type(branches(new, self.documents.new))
        found = self._unions(*sides, where)
        self.under_way.pop()
        return found

    def told(self, rule: str, where: str, old: Any = None, new: Any = None, advice: str = "") -> Difference:
        """A difference by the direction's rule."""
        return difference(f"{self.direction}-{rule}", where, old, new, advice)

    # --- unions

    def _unions(self, old: list[dict[str, Any]], new: list[dict[str, Any]], where: str) -> Found:
        if (opened := self._anything(old, new, where)) is not None:
            return opened
        found = self._nulls(old, new, where)
        old, new = ([one for one in side if one["type"] != "null"] for side in (old, new))
        if len(old) == len(new) == 1:
            return found + self._pair(old[0], new[0], where)
        return found + self._matched(old, new, where)

    def _anything(self, old: list[dict[str, Any]], new: list[dict[str, Any]], where: str) -> Found | None:
        """Where one side takes anything: all that is left to say. Nothing, when neither does."""
        before, after = (any(one["type"] == ANY for one in side) for side in (old, new))
        if before and after:
            return []
        if not before and not after:
            return None
        return [self.told("type-widened" if after else "type-narrowed", where, _kinds(old), _kinds(new))]

    def _nulls(self, old: list[dict[str, Any]], new: list[dict[str, Any]], where: str) -> Found:
        before, after = (any(one["type"] == "null" for one in side) for side in (old, new))
        return [] if before == after else [self.told("null-accepted" if after else "null-refused", where)]

    def _matched(self, old: list[dict[str, Any]], new: list[dict[str, Any]], where: str) -> Found:
        """Every shape that may be given must be one that is taken."""
        sending = self.direction == "request"
        given, taken = (old, new) if sending else (new, old)
        found: Found = []
        used: set[int] = set()
        for one in given:
            number, differing = self._alone(one, given, taken, where) or self._nearest(one, taken, where)
            if number is None:
                rule = ("branch" if one["type"] in _kinds(taken) else "type", "removed" if sending else "added")
                found.append(self._branch(rule, where, old, new))
            else:
                used.add(number)
                found += differing
        rest = [one for number, one in enumerate(taken) if number not in used]
        others = sorted({"branch" if one["type"] in _kinds(given) else "type" for one in rest})
        return found + [self._branch((kind, "added" if sending else "removed"), where, old, new) for kind in others]

    def _alone(
        self, one: dict[str, Any], given: list[dict[str, Any]], taken: list[dict[str, Any]], where: str
    ) -> tuple[int, Found] | None:
        """The shape on the other side when both are the only ones of their type; with what differs."""
        if [_kinds(side).count(one["type"]) for side in (given, taken)] != [1, 1]:
            return None
        number = _kinds(taken).index(one["type"])
        pair = (one, taken[number]) if self.direction == "request" else (taken[number], one)
        return number, self._pair(*pair, where)

    def _branch(
        self, rule: tuple[str, str], where: str, old: list[dict[str, Any]], new: list[dict[str, Any]]
    ) -> Difference:
        kind, change = rule
        if kind == "type":
            change = "widened" if change == "added" else "narrowed"
        return self.told(f"{kind}-{change}", where, _shown(old), _shown(new))

    def _nearest(self, one: dict[str, Any], taken: list[dict[str, Any]], where: str) -> tuple[int | None, Found]:
        """The shape on the other side that takes this one, or the one of its kind; with what differs."""
        best: tuple[int, _Walk, Found] | None = None
        for number, other in enumerate(taken):
            if _told_apart(one, other):
                continue
            trial = _Walk(self.documents, self.direction, set(self.met))
            trial.under_way = list(self.under_way)
            pair = (one, other) if self.direction == "request" else (other, one)
            differing = trial._pair(*pair, where)
            if best is None or _weight(differing) < _weight(best[2]):
                best = number, trial, differing
            if not differing:
                break
        if best is None or (breaking(best[2]) and not _of_one_kind(one, taken[best[0]])):
            return None, []
        self.met |= best[1].met
        return best[0], best[2]

    # --- simple schemas

    def _pair(self, old: dict[str, Any], new: dict[str, Any], where: str) -> Found:
        if self.documents.same(old, new):
            return []
        before, after = old["type"], new["type"]
        if ODD in (before, after):
            return [self.told("schema-changed", where, _plain(old), _plain(new))]
        if before != after and {before, after} != {"integer", "number"}:
            return [self.told("type-changed", where, before, after)]
        found = []
        if before != after:
            found.append(self.told("type-widened" if after == "number" else "type-narrowed", where, before, after))
        found += self._values(old, new, where)
        found += [self.told(rule, where, *values) for rule, *values in limits(old, new)]
        found += self._others(old, new, where)
        return found + {"object": self._objects, "array": self._arrays}.get(after, _nothing)(old, new, where)

    def _values(self, old: dict[str, Any], new: dict[str, Any], where: str) -> Found:
        if "enum" not in old and "enum" not in new:
            return []
        if "enum" not in old or "enum" not in new:
            rule = "enum-closed" if "enum" in new else "enum-opened"
            return [self.told(rule, where, old.get("enum"), new.get("enum"))]
        before, after = ({spelt(value): value for value in one["enum"]} for one in (old, new))
        gone, more = [before[key] for key in before if key not in after], [after[k] for k in after if k not in before]
        removed = [self.told("enum-value-removed", where, old=value) for value in gone]
        return removed + [self.told("enum-value-added", where, new=value) for value in more]

    def _others(self, old: dict[str, Any], new: dict[str, Any], where: str) -> Found:
        """What the rules know nothing of: it must be the same."""
        names = sorted((old.keys() | new.keys()) - _CONSTRAINTS - TOLD - KNOWN)
        before, after = ({name: one[name] for name in names if name in one} for one in (old, new))
        return [] if self.documents.same(before, after) else [self.told("schema-changed", where, before, after)]

    def _arrays(self, old: dict[str, Any], new: dict[str, Any], where: str) -> Found:
        before, after = old.get("prefixItems", []), new.get("prefixItems", [])
        found: Found = []
        for number in range(max(len(before), len(after))):
            left = before[number] if number < len(before) else old.get("items", {})
            right = after[number] if number < len(after) else new.get("items", {})
            found += self.compared(left, right, f"{where}[{number}]")
        return found + self.compared(old.get("items", {}), new.get("items", {}), f"{where}[]")

    # --- objects

    def _objects(self, old: dict[str, Any], new: dict[str, Any], where: str) -> Found:
        before, after = _fields(old), _fields(new)
        renamed = self._renamed(before, after)
        found: Found = []
        for name in sorted(before.keys() | after.keys()):
            place = f"{where}.{name}"
            if name in renamed:
                found.append(self.told(f"{self._word}-renamed", place, name, renamed[name]))
            elif name in before and name in after:
                found += self._field(old, new, name, place)
            elif name in before:
                found.append(self.told(f"{self._word}-removed", place))
            elif name not in renamed.values():
                found += self._added(old, new, name, place)
        return found + self._additional(old, new, where)

    @property
    def _word(self) -> str:
        return "parameter" if self.direction == "request" else "field"

    def _renamed(self, before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, str]:
        """A field that went and one that came are the same one when nothing else could be: by their shape."""
        gone, more = ([name for name in one if name not in two] for one, two in ((before, after), (after, before)))
        fits = {name: [other for other in more if self.documents.same(before[name], after[other])] for name in gone}
        taken = [other for some in fits.values() for other in some]
        return {name: some[0] for name, some in fits.items() if len(some) == 1 and taken.count(some[0]) == 1}

    def _field(self, old: dict[str, Any], new: dict[str, Any], name: str, place: str) -> Found:
        before, after = (_fields(one)[name] for one in (old, new))
        needed_before, needed_after = (name in one.get("required", ()) for one in (old, new))
        found = self.compared(before, after, place)
        if needed_before != needed_after:
            words = ("parameter-now-required", "parameter-now-optional")
            if self.direction == "response":
                words = ("field-now-present", "field-now-optional")
            found.append(self.told(words[needed_before], place))
        elif self.direction == "request" and not needed_after:
            found += self._defaults(before, after, place)
        return found

    def _defaults(self, before: Any, after: Any, place: str) -> Found:
        left_out = [resolved(one, some) for one, some in ((before, self.documents.old), (after, self.documents.new))]
        old, new = ({"default": one["default"]} if "default" in one else {} for one in left_out)
        if spelt(old) == spelt(new):
            return []
        return [self.told("default-changed", place, old.get("default"), new.get("default"))]

    def _added(self, old: dict[str, Any], new: dict[str, Any], name: str, place: str) -> Found:
        found: Found = []
        if isinstance(rest := old.get("additionalProperties"), Mapping):  # it may have been there already, unnamed
            found = self.compared(rest, _fields(new)[name], place)
        required = self.direction == "request" and name in new.get("required", ())
        return [*found, self.told(f"{self._word}-added" + ("-required" if required else ""), place)]

    def _additional(self, old: dict[str, Any], new: dict[str, Any], where: str) -> Found:
        before, after = (one.get("additionalProperties", True) for one in (old, new))
        before, after = (True if one == {} else one for one in (before, after))
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            return self.compared(before, after, where + "{}")
        wider = after is True or before is False
        if before == after or (wider and self.direction == "response" and not isinstance(before, Mapping)):
            return []  # a reader passes over fields it does not know
        return [self.told("additional-loosened" if wider else "additional-tightened", where, before, after)]


def _nothing(old: dict[str, Any], new: dict[str, Any], where: str) -> Found:
    return []


def _name(schema: Any) -> str | None:
    """The name that a schema is no more than."""
    return name_of(schema) if isinstance(schema, Mapping) and schema.keys() <= TOLD | {"$ref"} else None


def _fields(schema: Schema) -> dict[str, Any]:
    """The fields of an object; one that is required and has no shape may be anything."""
    return {**{name: {} for name in schema.get("required", ())}, **schema.get("properties", {})}


def _weight(found: Found) -> tuple[int, int]:
    return len(breaking(found)), len(found)


def _of_one_kind(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether two shapes that do not fit are still the same thing, changed: by the values that tell shapes apart."""
    return one["type"] == other["type"] == "object" and _tags(one) == _tags(other) != {}


def _told_apart(one: Schema, other: Schema) -> bool:
    """Whether two shapes of a union are meant to differ: a field says so that is constant in both."""
    mine, theirs = _tags(one), _tags(other)
    return any(mine[name] != theirs[name] for name in mine.keys() & theirs.keys())


def _tags(one: Schema) -> dict[str, str]:
    fields = {name: field for name, field in one.get("properties", {}).items() if isinstance(field, Mapping)}
    return {name: spelt(field["const"]) for name, field in fields.items() if "const" in field}


def _kinds(side: list[dict[str, Any]]) -> list[str]:
    return [one["type"] for one in side]


def _shown(side: list[dict[str, Any]]) -> list[Any]:
    """The shapes of a union, in short: a type, or what tells one object from another."""
    return [next(iter(_tags(one).values())).strip('"') if _tags(one) else one["type"] for one in side]


def _plain(one: dict[str, Any]) -> Any:
    return one.get("whole", one)
