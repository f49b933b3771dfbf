"""Which nodes the demo plays with: named for our own mall, found for any other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from mallcore import structure
from mallcore.errors import InvalidInput

_LARGEST_MOVE = 1000


@dataclass(frozen=True)
class Actor:
    """A node as the story needs it."""

    id: str
    path: str
    name: str
    below: int
    """How many nodes are below it."""


@dataclass(frozen=True)
class Plot:
    """Who plays which part."""

    grows: Actor
    newcomer: str
    newcomer_in_german: str
    moves: Actor
    destination: Actor
    season: str
    gathered: Actor
    renamed: Actor
    new_name: str
    colleague: Actor
    colleague_name: str
    on_sale: Actor
    lost: Actor


def our_own(view: structure.TreeView) -> Plot:
    """The plot of the mall that comes with the demo."""
    cast = {one.path: one for one in actors(view)}
    return Plot(
        grows=cast["books/fiction/crime"],
        newcomer="Cold Cases",
        newcomer_in_german="Ungelöste Fälle",
        moves=cast["home/kitchen/tea-coffee"],
        destination=cast["pantry"],
        season="Winter Market",
        gathered=cast["home/lighting/candles"],
        renamed=cast["pantry/hampers"],
        new_name="Gift Hampers",
        colleague=cast["home/textiles/blankets"],
        colleague_name="Blankets & Throws",
        on_sale=cast["toys"],
        lost=cast["books"],
    )


def found(view: structure.TreeView) -> Plot:
    """A plot in any tree: a large part to move, leaves to rename, a top to lose. Refuses a tree too small for one."""
    cast = list(actors(view))
    tops = [one for one in cast if "/" not in one.path]
    moves = _to_move(cast)
    leaves = [one for one in cast if one.below == 0 and "/" in one.path and not _within(one, moves)]
    others = [one for one in tops if moves is not None and not _within(moves, one) and not _has(cast, one, moves)]
    if moves is None or not others or len(leaves) < 3:
        raise InvalidInput(
            "This taxonomy is too small for the demo: it needs two tops and a few levels.", field="--taxonomy"
        )
    gathered, renamed, colleague = leaves[0], leaves[len(leaves) // 2], leaves[-1]
    lost = max(tops, key=lambda one: one.below)
    return Plot(
        grows=max((one for one in cast if one.path.count("/") == 1), key=lambda one: one.below),
        newcomer="New Arrivals",
        newcomer_in_german="Neuheiten",
        moves=moves,
        destination=others[0],
        season="Winter Market",
        gathered=gathered,
        renamed=renamed,
        new_name=f"{renamed.name[:150]} (Gift Ideas)",
        colleague=colleague,
        colleague_name=f"{colleague.name[:150]} & More",
        on_sale=next((one for one in tops if one is not lost), tops[0]),
        lost=lost,
    )


def _to_move(cast: list[Actor]) -> Actor | None:
    """The largest part below a top that still is no whole department."""
    parts = [one for one in cast if one.path.count("/") == 1 and 0 < one.below <= _LARGEST_MOVE]
    return max(parts, key=lambda one: one.below, default=None)


def _within(one: Actor, other: Actor | None) -> bool:
    return other is not None and one.path.startswith(other.path + "/")


def _has(cast: list[Actor], top: Actor, moved: Actor) -> bool:
    """Whether there is a child with the moved node's slug already."""
    wanted = f"{top.path}/{moved.path.rpartition('/')[2]}"
    return any(one.path == wanted for one in cast)


def actors(view: structure.TreeView) -> Iterator[Actor]:
    """All nodes of a tree, each before what is below it."""
    waiting: list[tuple[Any, str]] = [(one, one.slug) for one in reversed(view.nodes)]
    while waiting:
        one, path = waiting.pop()
        yield Actor(one.id, path, one.name, size(one) - 1)
        waiting += [(child, f"{path}/{child.slug}") for child in reversed(one.children)]


def size(one: Any) -> int:
    """How many nodes there are from this one down."""
    waiting, number = [one], 0
    while waiting:
        node = waiting.pop()
        number += 1
        waiting += node.children
    return number
