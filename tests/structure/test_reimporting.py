"""Importing again: what is there already stays, what differs is moved, renamed, added or removed; matched by id."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from mallcore.structure.rules.apply import apply, evolve
from mallcore.structure.rules.edits import Create, Edit, Put
from mallcore.structure.rules.formats import Entry
from mallcore.structure.rules.importing import plan
from mallcore.structure.rules.nodes import Node
from mallcore.structure.rules.tree import Tree
from mallcore.testing import strategies as mall
from mallcore.testing.plain import broken_rules

EXTERNAL = tuple(f"e{i}" for i in range(7))


def planned(tree: Tree, entries: Sequence[Entry], keep_missing: bool = False) -> Put:
    return plan(tree, entries, lambda kind, key: f"new_{key}", keep_missing)


def imported(tree: Tree, entries: Sequence[Entry], keep_missing: bool = False) -> Tree:
    return apply(tree, [planned(tree, entries, keep_missing)])


@st.composite
def taxonomies(draw: st.DrawFn) -> list[Entry]:
    """Entries as a file would give them: parents first, ids once; siblings may have one name."""
    chosen = draw(st.permutations(EXTERNAL))[: draw(st.integers(0, len(EXTERNAL)))]
    entries: list[Entry] = []
    for place, key in enumerate(chosen):
        parent = draw(st.none() | st.sampled_from(chosen[:place])) if place else None
        slug = draw(st.none() | st.none() | mall.slugs)
        name = draw(st.sampled_from(["Toys", "Games", "Books"]) | mall.names)
        entries.append(Entry(key, parent, name, slug, line=place + 1))
    return entries


def by_source(tree: Tree) -> dict[str, tuple[str | None, str]]:
    """What a tree says of the source's nodes: the parent by the source's id, and the name."""
    nodes = [node for node in tree.nodes.values() if node.external_id is not None]
    return {node.external_id or "": (tree.nodes[node.parent_id or ""].external_id, node.name) for node in nodes}


@st.composite
def started(draw: st.DrawFn) -> Tree:
    """A tree with an earlier import, and then edits by hand."""
    tree = imported(mall.empty(), draw(taxonomies()))
    by_hand: list[Edit] = draw(mall.edit_lists(6))
    return mall.grown(tree, [edit for edit in by_hand if not (isinstance(edit, Create) and edit.node.external_id)])


@given(started(), taxonomies())
def test_an_import_makes_the_tree_say_what_the_source_says(tree: Tree, entries: list[Entry]) -> None:
    """Afterwards exactly the source's nodes carry its ids, each with the source's name, below the source's parent."""
    after = imported(tree, entries)
    assert broken_rules(after) == []
    assert by_source(after) == {entry.external_id: (entry.parent, entry.name) for entry in entries}


@given(started(), taxonomies())
def test_importing_the_same_again_changes_nothing(tree: Tree, entries: list[Entry]) -> None:
    """A taxonomy imported twice makes no second revision."""
    after = imported(tree, entries)
    assert evolve(after, [planned(after, entries)]).changes == {}


@given(started(), taxonomies())
def test_nodes_are_matched_by_the_sources_ids(tree: Tree, entries: list[Entry]) -> None:
    """A node the source still has keeps its own id, however it moved; new ones are new, missing ones go."""
    known = {node.external_id: node.id for node in tree.nodes.values() if node.external_id is not None}
    after = imported(tree, entries)
    for entry in entries:
        node_id = known.get(entry.external_id, f"new_{entry.external_id}")
        assert after.node(node_id).external_id == entry.external_id
    kept = {entry.external_id for entry in entries}
    assert all(node_id not in after for key, node_id in known.items() if key not in kept)


@given(started(), taxonomies())
def test_what_was_made_by_hand_stays(tree: Tree, entries: list[Entry]) -> None:
    """Nodes without a source's id survive any import, below their parent or the nearest above it that is left."""
    after = imported(tree, entries)
    for node in tree.nodes.values():
        if node.external_id is None and node.parent_id is not None:
            parent = node.parent_id
            while parent not in after:
                parent = tree.nodes[parent].parent_id or ""
            assert after.node(node.id).parent_id == parent
            assert after.node(node.id).name == node.name


@given(started(), taxonomies())
def test_what_is_missing_can_be_kept(tree: Tree, entries: list[Entry]) -> None:
    """With ``keep_missing`` nothing is removed."""
    assert planned(tree, entries, keep_missing=True).removed == ()


@given(taxonomies())
def test_siblings_come_in_the_order_of_the_source(entries: list[Entry]) -> None:
    """A first import has every family in the order of the file."""
    tree = imported(mall.empty(), entries)
    for parent in {entry.parent for entry in entries}:
        above = mall.ROOT if parent is None else f"new_{parent}"
        wanted = [f"new_{entry.external_id}" for entry in entries if entry.parent == parent]
        assert list(tree.child_ids(above)) == wanted


def test_a_node_by_hand_keeps_its_slug_and_place() -> None:
    """A node made by hand between imported ones stays there, and an imported one of the same name gets another slug."""
    first = imported(mall.empty(), [Entry("a", None, "A"), Entry("b", None, "B")])
    by_hand = apply(first, [Create(Node("mine", "category", mall.ROOT, 0, "toys", "Toys"), 1)])
    after = imported(by_hand, [Entry("a", None, "A"), Entry("b", None, "B"), Entry("c", None, "Toys")])
    assert [node.slug for node in after.children_of(mall.ROOT)] == ["a", "toys", "b", "toys-2"]


def test_long_names_alike_get_slugs_that_can_be_written_back() -> None:
    """A number behind a long slug makes a slug that an import of our own export accepts."""
    long = "x" * 91 + " y" * 20
    tree = imported(mall.empty(), [Entry("a", None, long), Entry("b", None, long)])
    slugs = [node.slug for node in tree.children_of(mall.ROOT)]
    again = [Entry(key, None, long, slug) for key, slug in zip("ab", slugs, strict=True)]
    assert evolve(tree, [planned(tree, again)]).changes == {}
    assert [node.slug for node in imported(mall.empty(), again).children_of(mall.ROOT)] == slugs
