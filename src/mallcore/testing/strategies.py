"""Hypothesis strategies for the values of the structure: names, nodes, edits, trees.

Few ids and slugs, on purpose: collisions, loops and references to what is not there are what tests live on.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from mallcore.errors import MallError
from mallcore.structure.rules.apply import apply
from mallcore.structure.rules.edits import Create, Edit, Move, Remove, Rename, Reorder, SetAttributes, SetRules
from mallcore.structure.rules.merchandising import Boost, Bury, Condition, Hide, Member, Pin, Rule, Sort, Stop
from mallcore.structure.rules.nodes import Node, freeze
from mallcore.structure.rules.tree import Tree

ROOT = "chn_1"
IDS = tuple(f"cat_{number}" for number in range(8))
_LETTERS = st.characters(exclude_categories=["C", "Z"]) | st.sampled_from(" \"\\/&<>'ü玩🛒")

names = st.text(_LETTERS, min_size=1, max_size=12).map(str.strip).filter(bool)
slugs = st.sampled_from(["a", "b", "c", "d", "e-1", "f_2", "g.3"])
locales = st.sampled_from(["en", "fr", "pt-BR", "zh_Hans"])
translations = st.dictionaries(locales, names, max_size=2)
_scalars = st.none() | st.booleans() | st.integers(-(2**63) + 1, 2**63 - 1) | names
_values = st.recursive(
    _scalars | st.floats(allow_nan=False, allow_infinity=False, width=32),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(names, inner, max_size=2),
    max_leaves=4,
)
attributes = st.dictionaries(st.sampled_from(["colour", "size", "größe", "x"]), _values, max_size=2)
_NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)
times = st.integers(0, 365 * 86_400).map(lambda seconds: _NEW_YEAR + timedelta(seconds=seconds))
indexes = st.none() | st.integers(0, 5)
policies = st.sampled_from(["restrict", "reparent", "cascade"])
_KINDS = ("sort", "pin", "boost", "bury", "hide")


@st.composite
def _timed(draw: st.DrawFn, /, kind: Any, **parts: SearchStrategy[Any]) -> Rule:
    starts, ends = draw(st.none() | times), draw(st.none() | times)
    if starts and ends and starts >= ends:
        starts = None
    rule: Rule = kind(starts=starts, ends=ends, **{name: draw(part) for name, part in parts.items()})
    return rule


_where = st.lists(
    st.builds(
        Condition,
        field=st.sampled_from(["price", "brand"]),
        op=st.sampled_from(["eq", "lt", "in"]),
        value=st.integers(0, 9) | names | st.lists(st.integers(0, 3), max_size=2),
    ),
    max_size=2,
).map(tuple)
rules: SearchStrategy[Rule] = st.one_of(
    _timed(Sort, by=st.sampled_from(["price", "name"]), descending=st.booleans()),
    _timed(Pin, product=st.sampled_from(["p1", "p2"]), place=st.integers(1, 9)),
    _timed(Boost, where=_where, factor=st.floats(0.5, 9)),
    *(_timed(kind, where=_where, match=st.sampled_from(["all", "any"])) for kind in (Bury, Hide, Member)),
    _timed(Stop, kinds=st.lists(st.sampled_from(_KINDS), max_size=2, unique=True).map(tuple)),
)
rule_lists = st.lists(rules, max_size=3).map(tuple)


def root(channel_id: str = ROOT) -> Node:
    """The root of an empty tree."""
    return Node(channel_id, "channel", None, 0, "books", "Books")


def empty(channel_id: str = ROOT) -> Tree:
    """A tree with nothing but its root."""
    return Tree.of(channel_id, [root(channel_id)])


@st.composite
def nodes(draw: st.DrawFn, ids: Sequence[str] = IDS, channel_id: str = ROOT) -> Node:
    """A node that may or may not fit anywhere."""
    rich = draw(st.booleans())
    return Node(
        draw(st.sampled_from(ids)),
        draw(st.sampled_from(["category", "category", "section"])),
        draw(st.sampled_from([channel_id, channel_id, *ids])),
        draw(st.integers(-5, 5)),
        draw(slugs),
        draw(names),
        draw(st.none() | st.sampled_from(["e1", "e2"])),
        freeze(draw(translations)) if rich else freeze({}),
        freeze(draw(attributes)) if rich else freeze({}),
        draw(rule_lists) if rich else (),
    )


def edits(ids: Sequence[str] = IDS, channel_id: str = ROOT) -> SearchStrategy[Edit]:
    """One edit of any kind but `Put`; about half of them fit a tree of a few nodes."""
    anyone = st.sampled_from([*ids, channel_id])
    return st.one_of(
        st.builds(Create, nodes(ids, channel_id), indexes),
        st.builds(Create, nodes(ids, channel_id), indexes),
        st.builds(Rename, anyone, st.none() | names, st.none() | slugs, st.none() | translations.map(freeze)),
        st.builds(Move, anyone, anyone, indexes),
        st.builds(Reorder, anyone, st.lists(st.sampled_from(ids), max_size=3).map(tuple)),
        st.builds(SetAttributes, anyone, attributes.map(freeze), st.booleans()),
        st.builds(SetRules, anyone, rule_lists),
        st.builds(Remove, anyone, policies),
    )


def edit_lists(max_size: int = 12) -> SearchStrategy[list[Edit]]:
    """Edits one after another."""
    return st.lists(edits(), max_size=max_size)


def grown(tree: Tree, wanted: Iterable[Edit]) -> Tree:
    """The tree after those of the edits that fit, one by one."""
    for edit in wanted:
        try:
            tree = apply(tree, [edit])
        except MallError:
            continue
    return tree


def trees(max_edits: int = 14) -> SearchStrategy[Tree]:
    """A tree as random edits make it."""
    return edit_lists(max_edits).map(lambda wanted: grown(empty(), wanted))


__all__ = [
    "IDS",
    "ROOT",
    "attributes",
    "edit_lists",
    "edits",
    "empty",
    "grown",
    "indexes",
    "locales",
    "names",
    "nodes",
    "policies",
    "root",
    "rule_lists",
    "rules",
    "slugs",
    "times",
    "translations",
    "trees",
]
