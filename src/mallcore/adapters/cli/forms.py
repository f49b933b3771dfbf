"""How results look to people: cards, tables, sentences, differences."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel
from rich.table import Table
from rich.text import Text

from mallcore.adapters.cli.output import Output, clean, plain

Show = Callable[[Output, Any], None]
_COLOURS = {"+": "green", "-": "red", ">": "cyan", "~": "yellow"}


def shown(value: Any) -> str:
    """One value in a cell."""
    if value is None or value == {} or value == []:
        return "-"
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(sep=" ", timespec="seconds").replace("+00:00", "Z")
    if isinstance(value, Mapping):
        return ", ".join(
            f"{key}={one if isinstance(one, str) else json.dumps(plain(one))}" for key, one in value.items()
        )
    if isinstance(value, list | tuple):
        return ", ".join(map(shown, value))
    return str(value)


def card(out: Output, value: Any) -> None:
    """One thing, field by field; empty fields are left out."""
    fields = {name: getattr(value, name) for name in type(value).model_fields}
    filled = {name: shown(one) for name, one in fields.items() if one is not None and one != {} and one != []}
    grid = Table.grid(padding=(0, 2))
    for name, text in filled.items():
        grid.add_row(Text(name.replace("_", " "), "dim"), Text(clean(text), overflow="fold"))
    out.draw(grid)


def table(*columns: str) -> Show:
    """A page as rows of these fields, and where it goes on."""

    def show(out: Output, page: Any) -> None:
        items = page if isinstance(page, list) else page.items
        if items:
            rows(out, columns, ([getattr(one, name) for name in columns] for one in items))
        following(out, items, getattr(page, "next", None))

    return show


def following(out: Output, items: list[Any], cursor: str | None) -> None:
    """Say that there is nothing, or where it goes on."""
    if not items:
        out.note("There are none.")
    if cursor is not None:
        out.note(f"There are more: --all, or --cursor {cursor}")


def rows(out: Output, columns: Iterable[str], values: Iterable[Iterable[Any]]) -> None:
    """Rows under headings."""
    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for name in columns:
        made.add_column(name.replace("_", " "), overflow="fold")
    for row in values:
        made.add_row(*(Text(clean(shown(one))) for one in row))
    out.draw(made)


def counted(counts: Mapping[str, int]) -> str:
    """How much of what, without what is none.

    >>> counted({"added": 2, "removed": 0, "changed": 1}), counted({})
    ('2 added, 1 changed', 'no change')
    """
    return ", ".join(f"{number:,} {kind}" for kind, number in counts.items() if number) or "no change"


def applied(out: Output, value: Any) -> None:
    """What a change did."""
    if value.changed:
        out.say(f"Revision {value.revision}: {counted(value.counts)}.")
    else:
        out.say(f"Nothing to change: the head stays at revision {value.revision}.")


def changed(out: Output, value: Any) -> None:
    """A node after a change."""
    out.say(f'Revision {value.revision}: {value.path}  "{value.name}"  {value.id}')


def node(out: Output, answer: Any) -> None:
    """A node, the way to it and its children."""
    view = answer.shape
    out.say(" > ".join([*(crumb.name for crumb in view.breadcrumbs), view.name]), "bold")
    card(out, view.model_copy(update={"breadcrumbs": [], "children": [child.slug for child in view.children]}))


def imported(out: Output, value: Any) -> None:
    """What an import did, or would do."""
    if value.dry_run:
        difference_text(out, value.text)
        out.say(
            f"{value.entries:,} categories ({value.format}) would give: {counted(value.counts)}. Nothing was changed."
        )
    else:
        out.say(f"Revision {value.revision}: {value.entries:,} categories ({value.format}), {counted(value.counts)}.")


def difference(out: Output, value: Any) -> None:
    """Two states, node by node."""
    difference_text(out, value.text)
    out.note(f"revision {value.a} to {value.b}: {counted(value.counts)}")


def difference_text(out: Output, text: str) -> None:
    """The lines of a difference, in colours."""
    for line in text.splitlines():
        out.say(line, _COLOURS.get(line[:1], ""))


def preview(out: Output, value: Any) -> None:
    """What publishing would do now, or what stands in its way."""
    for clash in value.clashes:
        out.say(f"! {clash.node} {clash.field}: {clash.reason}", "bold red")
        out.say(f"    was {shown(clash.base)} | ours {shown(clash.ours)} | theirs {shown(clash.theirs)}")
    difference_text(out, value.difference.text)
    if value.clashes:
        out.note(
            f"{len(value.clashes)} clashes with revision {value.onto}: settle each with --settle NODE_ID=ours or theirs"
        )
    else:
        out.note(f"onto revision {value.onto}: {counted(value.difference.counts)}")


def drafted(out: Output, value: Any) -> None:
    """A draft after a change."""
    out.say(f'{value.id}  "{value.name}" on revision {value.base}: {value.edits} edits, {value.state}')


def verified(out: Output, value: Any) -> None:
    """A history that holds."""
    out.say(f"The history holds: {value.revisions} revisions, {value.nodes:,} nodes, digest {value.digest[:16]}…")


def revision(out: Output, value: Any) -> None:
    """A revision and its edits as they were given."""
    card(out, value.model_copy(update={"edits": []}))
    for edit in value.edits:
        out.say(json.dumps(plain(edit), ensure_ascii=False))


def rules(out: Output, value: Any) -> None:
    """The merchandising rules in force, and where each comes from."""
    if not value.rules:
        out.note("No rule is in force here.")
        return
    found = [
        (one.rule["kind"], {key: part for key, part in one.rule.items() if key != "kind"}, one.source)
        for one in value.rules
    ]
    rows(out, ("kind", "rule", "from"), found)


def schedules(out: Output, value: Any) -> None:
    """Schedules, one or many."""
    many = [value] if isinstance(value, BaseModel) and not hasattr(value, "items") else value
    table("id", "action", "at", "state", "draft", "revision", "result", "error")(out, many)


def tree_lines(nodes: Iterable[Any], guides: str = "") -> Iterable[tuple[str, Any]]:
    """The nodes of a tree, each with what is drawn before it; without recursion, for a tree may be deep."""
    waiting = [(guides, iter(siblings := list(nodes)), len(siblings))]
    while waiting:
        before, level, left = waiting.pop()
        one = next(level, None)
        if one is None:
            continue
        waiting.append((before, level, left - 1))
        yield before + ("└── " if left == 1 else "├── "), one
        if one.children:
            waiting.append((before + ("    " if left == 1 else "│   "), iter(one.children), len(one.children)))
