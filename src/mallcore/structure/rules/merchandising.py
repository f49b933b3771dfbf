"""Merchandising as data: what a node says about the products shown in it, and how that is inherited down the tree.

Sort, pin, boost, bury and hide are inherited: the nearest node that speaks of the same thing wins. `Member` makes an
automatic category and is the node's own. `Stop` ends inheritance of some kinds at a node.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Any, ClassVar, Literal, NamedTuple, get_args

from mallcore.errors import InvalidInput

Operator = Literal["eq", "ne", "lt", "le", "gt", "ge", "in", "contains", "exists"]
OPERATORS: tuple[str, ...] = get_args(Operator)
_MAX_TEXT = 1000
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")
_MAX_CONDITIONS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """One test of a product's field, such as ``price lt 1000``."""

    field: str
    op: Operator = "eq"
    value: Any = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "value", tuple(self.value) if isinstance(self.value, list) else self.value)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Timed:
    """In force from ``starts`` (inclusive) until ``ends`` (exclusive); without them always."""

    starts: datetime | None = None
    ends: datetime | None = None

    def in_force(self, now: datetime) -> bool:
        """Whether the rule counts at this time."""
        return (self.starts is None or self.starts <= now) and (self.ends is None or now < self.ends)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sort(_Timed):
    """Order products by a field."""

    kind: Literal["sort"] = "sort"
    by: str
    descending: bool = False
    inherited: ClassVar[bool] = True

    @property
    def key(self) -> Any:
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin(_Timed):
    """Put one product at a fixed place, counted from 1."""

    kind: Literal["pin"] = "pin"
    product: str
    place: int = 1
    inherited: ClassVar[bool] = True

    @property
    def key(self) -> Any:
        return self.product


@dataclass(frozen=True, slots=True, kw_only=True)
class _Matching(_Timed):
    where: tuple[Condition, ...]
    match: Literal["all", "any"] = "all"

    def __post_init__(self) -> None:
        object.__setattr__(self, "where", tuple(self.where))

    @property
    def key(self) -> Any:
        return (self.where, self.match)


@dataclass(frozen=True, slots=True, kw_only=True)
class Boost(_Matching):
    """Rank matching products higher, by this factor."""

    kind: Literal["boost"] = "boost"
    factor: float = 2.0
    inherited: ClassVar[bool] = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Bury(_Matching):
    """Show matching products last."""

    kind: Literal["bury"] = "bury"
    inherited: ClassVar[bool] = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Hide(_Matching):
    """Do not show matching products."""

    kind: Literal["hide"] = "hide"
    inherited: ClassVar[bool] = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Member(_Matching):
    """Products that match belong to this node by themselves (an automatic category)."""

    kind: Literal["member"] = "member"
    inherited: ClassVar[bool] = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop(_Timed):
    """Inherit nothing of these kinds from above."""

    kind: Literal["stop"] = "stop"
    kinds: tuple[Literal["sort", "pin", "boost", "bury", "hide"], ...]
    inherited: ClassVar[bool] = False

    @property
    def key(self) -> Any:
        return self.kinds


Rule = Sort | Pin | Boost | Bury | Hide | Member | Stop
RULES: dict[str, type[Any]] = {kind.__name__.lower(): kind for kind in get_args(Rule)}


class EffectiveRule(NamedTuple):
    """A rule in force at a node, and the node it comes from."""

    rule: Rule
    source: str


def effective(chain: Iterable[tuple[str, tuple[Rule, ...]]], now: datetime) -> tuple[EffectiveRule, ...]:
    """The rules in force at the last node of a chain of (node id, its rules) that begins at the root.

    >>> now = datetime(2026, 11, 1, tzinfo=UTC)
    >>> found = effective([("root", (Sort(by="price"),)), ("leaf", (Sort(by="name"),))], now)
    >>> [(one.rule.by, one.source) for one in found]
    [('name', 'leaf')]
    """
    known: dict[tuple[str, Any], EffectiveRule] = {}
    for node_id, rules in chain:
        known = {key: one for key, one in known.items() if one.rule.inherited}
        current = [rule for rule in rules if rule.in_force(now)]
        stopped = {kind for rule in current if isinstance(rule, Stop) for kind in rule.kinds}
        known = {key: one for key, one in known.items() if key[0] not in stopped}
        known.update({(rule.kind, rule.key): EffectiveRule(rule, node_id) for rule in current})
    return tuple(one for one in known.values() if not isinstance(one.rule, Stop))


def rule_to_json(rule: Rule) -> dict[str, Any]:
    """The rule as a JSON value, its defaults left out."""
    return {"kind": rule.kind, **dict(_changed_fields(rule))}


def _changed_fields(rule: Any) -> Iterator[tuple[str, Any]]:
    for one in fields(rule):
        value = getattr(rule, one.name)
        if one.name != "kind" and value != one.default:
            yield one.name, _plain(value)


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    if isinstance(value, Condition):
        return {"field": value.field, "op": value.op, "value": _plain(value.value)}
    return [_plain(inner) for inner in value] if isinstance(value, tuple) else value


def rule_from_json(data: Any) -> Rule:
    """The rule of a JSON value; `InvalidInput` when it is none."""
    try:
        values = dict(data)
        kind = RULES[values.pop("kind")]
        for name in ("starts", "ends"):
            if values.get(name) is not None:
                values[name] = _time(values[name])
        for name in ("kinds", "where"):
            if name in values:
                values[name] = tuple(values[name])
        if "where" in values:
            values["where"] = tuple(_condition(one) for one in values["where"])
        rule: Rule = kind(**values)
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidInput(field="rules", reason=f"{str(data)[:80]} is no merchandising rule ({error})") from None
    return checked_rule(rule)


def _time(value: Any) -> datetime:
    time = value if isinstance(value, datetime) else datetime.fromisoformat(value)
    if time.tzinfo is None:
        raise ValueError("a time needs its zone")
    return time.astimezone(UTC)


def _condition(data: Any) -> Condition:
    return data if isinstance(data, Condition) else Condition(**data)


def checked_rule(rule: Rule) -> Rule:
    """The rule, if its parts make sense."""
    for time in (rule.starts, rule.ends):
        if time is not None and time.tzinfo is None:
            raise InvalidInput(field="rules", reason=f"a time of a {rule.kind} rule has no zone")
    if rule.starts and rule.ends and rule.starts >= rule.ends:
        raise InvalidInput(field="rules", reason=f"a {rule.kind} rule ends before it starts")
    if isinstance(rule, Pin) and not 1 <= rule.place <= 10_000:
        raise InvalidInput(field="rules", reason="a pin's place is counted from 1 to 10000")
    if isinstance(rule, Boost) and not 0 < rule.factor <= 1000:
        raise InvalidInput(field="rules", reason="a boost's factor lies above 0 and up to 1000")
    _check_text(rule, getattr(rule, "by", None))
    _check_text(rule, getattr(rule, "product", None))
    if len(getattr(rule, "where", ())) > _MAX_CONDITIONS:
        raise InvalidInput(field="rules", reason=f"a {rule.kind} rule has more than {_MAX_CONDITIONS} conditions")
    for condition in getattr(rule, "where", ()):
        _check_condition(rule, condition)
    return rule


def _check_text(rule: Rule, value: Any) -> None:
    """Refuse what no database can hold, or nobody means."""
    if isinstance(value, str) and (len(value) > _MAX_TEXT or _UNSTORABLE.search(value)):
        raise InvalidInput(
            field="rules",
            reason=f"a text in a {rule.kind} rule has over {_MAX_TEXT} characters, a null byte or a lone surrogate",
        )
    if isinstance(value, (int, float)) and not abs(value) < 1 << 63:
        raise InvalidInput(field="rules", reason=f"a number in a {rule.kind} rule is not finite, or beyond 64 bits")


def _check_condition(rule: Rule, condition: Condition) -> None:
    _check_text(rule, condition.field)
    if condition.op not in OPERATORS:
        raise InvalidInput(field="rules", reason=f"a {rule.kind} rule compares by {condition.op!r}; known: {OPERATORS}")
    values = condition.value if isinstance(condition.value, tuple) else (condition.value,)
    if len(values) > 1000 or not all(value is None or isinstance(value, (str, int, float, bool)) for value in values):
        raise InvalidInput(
            field="rules", reason=f"a {rule.kind} rule compares with texts, numbers, or up to 1000 of them"
        )
    for value in values:
        _check_text(rule, value)
