"""The bytes of a tree are what json.dumps makes of its nodes; names are found by locale; rules are inherited."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from mallcore.structure.rules.merchandising import EffectiveRule, Rule, Stop, effective, rule_from_json, rule_to_json
from mallcore.structure.rules.nodes import MAX_DEPTH, Node
from mallcore.structure.rules.rendering import cached_tree_json, tree_json
from mallcore.structure.rules.tree import NEVER, Tree
from mallcore.testing import strategies as mall


def plainly(tree: Tree, start: str, depth: int | None, locale: str | None) -> dict[str, Any]:
    def shown(node_id: str, levels: int | None) -> dict[str, Any]:
        node = tree.node(node_id)
        below = tree.child_ids(node_id) if levels is None or levels > 1 else ()
        return {
            **{name: getattr(node, name) for name in ("id", "kind", "slug")},
            "name": node.name_in(locale),
            "external_id": node.external_id,
            "children": [shown(child, None if levels is None else levels - 1) for child in below],
        }

    top = tree.child_ids(start) if start == tree.channel_id else (start,)
    return {
        "channel": tree.channel_id,
        "slug": tree.root.slug,
        "name": tree.root.name_in(locale),
        "locale": locale or "en",
        "currency": "EUR",
        "revision": tree.revision,
        "digest": tree.digest,
        "nodes": [shown(node_id, depth) for node_id in top],
    }


@given(mall.trees(20), st.none() | st.integers(1, 4), st.none() | mall.locales, st.data())
def test_bytes_are_the_plain_json(tree: Tree, depth: int | None, locale: str | None, data: st.DataObject) -> None:
    """From any node, to any depth, in any language: the same text as json.dumps makes, and once made it is kept."""
    tree = tree.as_revision(7, "ab" * 32, NEVER)
    start = data.draw(st.sampled_from(sorted(tree.nodes)))
    assert cached_tree_json(tree, start, depth, locale) is None
    made = tree_json(tree, start, depth, locale)
    expected = plainly(tree, start, depth, locale)
    assert made.decode() == json.dumps(expected, ensure_ascii=False, separators=(",", ":"))
    assert cached_tree_json(tree, start, depth, locale) is made


def test_the_deepest_tree_is_rendered() -> None:
    """A chain of nodes as deep as a tree may be is written and read back."""
    chain = [Node(f"n{i}", "category", f"n{i - 1}" if i else mall.ROOT, 0, "s", "N") for i in range(MAX_DEPTH)]
    tree = Tree.of(mall.ROOT, [mall.root(), *chain])
    assert json.loads(tree_json(tree, mall.ROOT, None, None)) == plainly(tree, mall.ROOT, None, None)


def test_a_name_falls_back_from_region_to_language_to_default() -> None:
    """The name in a locale is the exact one, else its language's, else the default."""
    node = Node(
        "n", "category", None, 0, "s", "Toys", None, {"fr": "Jouets", "fr-CA": "Bébelles", "pt-BR": "Brinquedos"}
    )
    found = {locale: node.name_in(locale) for locale in ("fr-CA", "fr-FR", "fr_BE", "pt", "de", None)}
    assert found == {
        **{"fr-CA": "Bébelles", "fr-FR": "Jouets", "fr_BE": "Jouets"},
        **{"pt": "Toys", "de": "Toys", None: "Toys"},
    }


@given(mall.rules)
def test_rules_survive_being_written_down(rule: Rule) -> None:
    """A merchandising rule is the same after it was JSON text."""
    assert rule_from_json(json.loads(json.dumps(rule_to_json(rule)))) == rule


chains = st.lists(mall.rule_lists, min_size=1, max_size=4).map(
    lambda c: [(f"n{i}", rules) for i, rules in enumerate(c)]
)


@given(chains, mall.times)
def test_the_nearest_rule_in_force_wins(chain: list[tuple[str, tuple[Rule, ...]]], now: Any) -> None:
    """For each thing rules speak of, the last one in force on the way down counts, unless a stop lies between."""
    found = {(one.rule.kind, one.rule.key): one for one in effective(chain, now)}
    assert len(found) == len(effective(chain, now))
    last = len(chain) - 1
    wanted: dict[Any, EffectiveRule] = {}
    for place, (node_id, rules) in enumerate(chain):
        current = [rule for rule in rules if rule.in_force(now)]
        stopped = {kind for rule in current if isinstance(rule, Stop) for kind in rule.kinds}
        wanted = {key: one for key, one in wanted.items() if key[0] not in stopped}
        for rule in current:
            if not isinstance(rule, Stop) and (rule.kind != "member" or place == last):
                wanted[rule.kind, rule.key] = EffectiveRule(rule, node_id)
    assert found == wanted


@given(chains, mall.times)
def test_no_rule_counts_outside_its_time(chain: list[tuple[str, tuple[Rule, ...]]], now: Any) -> None:
    """A rule that has not begun, or has ended, is never in force; its end is exclusive."""
    for one in effective(chain, now):
        assert one.rule.starts is None or one.rule.starts <= now
        assert one.rule.ends is None or now < one.rule.ends
