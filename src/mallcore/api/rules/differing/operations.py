"""Comparing two contracts, operation by operation and event by event."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from mallcore.api.rules.differing.catalogue import LEVELS, Difference, difference
from mallcore.api.rules.differing.schemas import Comparing

Contract = Mapping[str, Any]
Operation = Mapping[str, Any]


def differences(old: Contract, new: Contract) -> list[Difference]:
    """What a caller of the old contract meets in the new one: the worst first, then by place.

    >>> found = differences({"operations": {"shop.hire": {}}}, {"operations": {}})
    >>> [(one.level, one.rule, one.where) for one in found]
    [('breaking', 'operation-removed', 'shop.hire')]
    """
    found = [*_operations(old, new), *_events(old, new)]
    return sorted(found, key=lambda one: (LEVELS.index(one.level), one.where, one.rule, repr((one.old, one.new))))


def _operations(old: Contract, new: Contract) -> Iterator[Difference]:
    documents = Comparing(old.get("schemas", {}), new.get("schemas", {}))
    before, after = old.get("operations", {}), new.get("operations", {})
    for name in sorted(before.keys() | after.keys()):
        if name not in after:
            yield difference("operation-removed", name)
        elif name not in before:
            yield difference("operation-added", name)
        else:
            for judge in _JUDGES:
                yield from judge(name, before[name], after[name])
            yield from _shapes(documents, name, before[name], after[name])
            yield from _deprecations(documents, name, before[name], after[name])


def _events(old: Contract, new: Contract) -> Iterator[Difference]:
    documents = Comparing(old.get("schemas", {}), new.get("schemas", {}))
    before, after = old.get("events", {}), new.get("events", {})
    for name in sorted(before.keys() | after.keys()):
        if name not in after:
            yield difference("event-removed", name)
        elif name not in before:
            yield difference("event-added", name)
        else:
            yield from documents.schemas(before[name], after[name], f"{name} payload", "response")


def _shapes(documents: Comparing, name: str, old: Operation, new: Operation) -> Iterator[Difference]:
    before, after = (one.get("input") or {"type": "object", "additionalProperties": False} for one in (old, new))
    yield from documents.schemas(before, after, f"{name} input", "request")
    before, after = ({"type": "null"} if one.get("output") is None else one["output"] for one in (old, new))
    yield from documents.schemas(before, after, f"{name} output", "response")


def _deprecations(documents: Comparing, name: str, old: Operation, new: Operation) -> Iterator[Difference]:
    before, after = old.get("deprecated") or {}, new.get("deprecated") or {}
    yield from (difference("deprecated", name, new=one) for one in sorted(after.keys() - before.keys()))
    for one in sorted(before.keys() - after.keys()):
        model, _, field = one.rpartition(".")
        shape = documents.new.get(model, {}) if model else new.get("input") or {}
        if not one or field in shape.get("properties", {}):  # what is gone did not stay
            yield difference("deprecation-withdrawn", name, old=one)


_SIMPLE = {
    "kind": "kind-changed",
    "method": "method-changed",
    "path": "path-changed",
    "status": "status-changed",
    "body": "request-body-changed",
    "answers": "response-media-type-changed",
}


def _simple(name: str, old: Operation, new: Operation) -> Iterator[Difference]:
    for part, rule in _SIMPLE.items():
        if old.get(part) != new.get(part):
            yield difference(rule, name, old.get(part), new.get(part))


def _permissions(name: str, old: Operation, new: Operation) -> Iterator[Difference]:
    before, after = old.get("permission"), new.get("permission")
    if before != after:
        yield difference("permission-dropped" if after is None else "permission-changed", name, before, after)


def _listed(part: str, gone: str, more: str) -> Callable[[str, Operation, Operation], Iterator[Difference]]:
    """Judges a list of names: each that went, each that came."""

    def judge(name: str, old: Operation, new: Operation) -> Iterator[Difference]:
        before, after = set(old.get(part) or ()), set(new.get(part) or ())
        yield from (difference(gone, name, old=one) for one in sorted(before - after))
        yield from (difference(more, name, new=one) for one in sorted(after - before))

    return judge


_JUDGES = (
    _simple,
    _permissions,
    _listed("errors", "error-removed", "error-added"),
    _listed("accepts", "request-media-type-removed", "request-media-type-added"),
    _listed("also", "path-removed", "path-added"),
)
