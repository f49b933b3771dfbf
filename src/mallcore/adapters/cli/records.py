"""How audit records look to people: who did what to what, and what changed by it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mallcore.adapters.cli.forms import following, rows, shown
from mallcore.adapters.cli.output import Output


def records(out: Output, page: Any) -> None:
    """Audit records, each with what it changed."""
    columns = ("at", "principal", "operation", "outcome", "revision", "subject", "change")
    values = [[*(getattr(one, name) for name in columns[:-1]), _change(one)] for one in page.items]
    if values:
        rows(out, columns, values)
    following(out, page.items, page.next)


def _change(record: Any) -> str:
    """Before and after, field by field: ``name Crime -> Crime & Thrillers``."""
    before, after = _by_field(record.before), _by_field(record.after)
    return ", ".join(
        f"{name} {shown(before[name])} -> {shown(after.get(name))}"
        if name in before
        else f"{name} {shown(after[name])}"
        for name in dict.fromkeys((*after, *before))
        if name != "position"
    )


def _by_field(values: Mapping[str, Any] | None) -> dict[str, Any]:
    """The fields of what a record holds; where it holds them by node, with the node's id unless there is one only."""
    found: dict[str, Any] = {}
    for key, one in (values or {}).items():
        nested = isinstance(one, Mapping) and "_" in key
        found |= (
            {name if len(values or ()) == 1 else f"{key}.{name}": part for name, part in one.items()}
            if nested
            else {key: one}
        )
    return found
