"""JSON: categories nested under ``nodes[].children``, or a flat list with ``parent_id``."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Any

from mallcore.structure.rules.formats.checking import Check, Lines, RepeatedKey, quoted
from mallcore.structure.rules.formats.entries import EMPTY, Entry
from mallcore.structure.rules.formats.jsontext import NotJson, load, node_lines
from mallcore.structure.rules.formats.linking import Fields, assemble, parents_by_id


class Nodes(Lines):
    """Places problems in JSON: a place is a node's number in the order of the text, from 1; 0 is the whole file."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.found: list[tuple[int, int]] = []  # of each node: the number of the node around it, its index there

    @cached_property
    def _lines(self) -> list[int]:
        return [0, *node_lines(self.text)]

    def line(self, place: int) -> int:
        """The line on which the node opens."""
        return self._lines[place] if place < len(self._lines) else 0

    def prefix(self, place: int) -> str:
        """The way to the node."""
        return f"{self.spot(place)}: " if place else ""

    def spot(self, place: int) -> str:
        """The way to the node, such as ``nodes[3].children[0]``."""
        steps: list[str] = []
        while place:
            place, index = self.found[place - 1]
            steps.append(f"{'children' if place else 'nodes'}[{index}]")
        return ".".join(reversed(steps))


def read_json(text: str, check: Check) -> tuple[Entry, ...]:
    """The entries of a JSON document.

    >>> from mallcore.structure.rules.formats.entries import Limits
    >>> text = '{"nodes": [{"id": "a", "name": "Home", "children": [{"id": "b", "name": "Garden"}]}]}'
    >>> [entry[:3] for entry in read_json(text, Check(Limits()))]
    [('a', None, 'Home'), ('b', 'a', 'Garden')]
    """
    nodes = _top(text, check)
    check.places = places = Nodes(text)
    fields: list[Fields] = []
    ids: list[tuple[str, str]] = []
    wanted: list[str] = []
    for place, node in enumerate(_walk(nodes, places, check), 1):
        own, external = _id(node, "id", place, check), _id(node, "external_id", place, check)
        ids.append((own, external))
        wanted.append("" if places.found[-1][0] else _id(node, "parent_id", place, check))
        fields.append(_fields(node, place, check))
    numbers = range(1, len(fields) + 1)
    named = parents_by_id(ids, wanted, numbers, check)
    parents = [around - 1 if around else parent for (around, _), parent in zip(places.found, named, strict=True)]
    return assemble([external or own for own, external in ids], fields, parents, numbers, check)


def _top(text: str, check: Check) -> list[Any]:
    try:
        document = load(text)
    except NotJson as error:
        check.fail(error.line, error.reason)
    if isinstance(document, RepeatedKey):
        check.fail(0, "the document has the same key twice")
    nodes = document.get("nodes") if isinstance(document, dict) else document
    if not isinstance(nodes, list):
        check.fail(0, "the document is neither a list of categories nor an object with a list 'nodes'")
    return nodes


def _walk(nodes: list[Any], places: Nodes, check: Check) -> Iterator[dict[str, Any]]:
    """Every node, each before its children, in the order of the text; ``places`` learns where it stands."""
    open_lists = [(0, enumerate(nodes))]
    while open_lists:
        around, items = open_lists[-1]
        for index, node in items:
            if not isinstance(node, dict):
                check.add(around, f"item {index} is {_a(node)}, and must be an object")
                continue
            places.found.append((around, index))
            number = len(places.found)
            _refuse_beyond(len(open_lists), number, node, check)
            yield node
            if children := _typed(node, "children", list, number, check):
                open_lists.append((number, enumerate(children)))
                break
        else:
            open_lists.pop()


def _refuse_beyond(level: int, number: int, node: dict[str, Any], check: Check) -> None:
    check.count(number)
    if level > check.limits.depth:
        check.fail(number, f"the category is on level {level}, and the limit is {check.limits.depth}")
    if isinstance(node, RepeatedKey):
        check.fail(number, "the object has the same key twice")


def _fields(node: dict[str, Any], place: int, check: Check) -> Fields:
    name = _typed(node, "name", str, place, check)
    slug = _typed(node, "slug", str, place, check)
    kind = _typed(node, "kind", str, place, check)
    wrong = name is None and node.get("name") is not None  # and reported as such
    return (
        "" if wrong else check.name(place, name or ""),
        None if slug is None else check.slug(place, slug),
        None if kind is None else check.kind(place, kind),
        _translations(node, place, check),
        _attributes(node, place, check),
        _rules(node, place, check),
        0,
    )


def _translations(node: dict[str, Any], place: int, check: Check) -> Any:
    given = _typed(node, "translations", dict, place, check)
    if not given:
        return EMPTY
    return {check.locale(place, locale): _translation(given, locale, place, check) for locale in given}


def _translation(given: dict[str, Any], locale: str, place: int, check: Check) -> str:
    if isinstance(name := given[locale], str):
        return check.name(place, name, f"the name in {quoted(locale)}")
    check.add(place, f"the name in {quoted(locale)} is {_a(name)}, and must be text")
    return ""


def _attributes(node: dict[str, Any], place: int, check: Check) -> Any:
    given = _typed(node, "attributes", dict, place, check)
    if not given:
        return EMPTY
    for key, value in given.items():
        check.name(place, key, "the attribute's name")
        check.value(place, value, f"the attribute {quoted(key)}")
    return given


def _rules(node: dict[str, Any], place: int, check: Check) -> tuple[Any, ...]:
    given = _typed(node, "rules", list, place, check) or ()
    for number, rule in enumerate(given, 1):
        check.value(place, rule, f"rule {number}")
    return tuple(given)


def _id(node: dict[str, Any], key: str, place: int, check: Check) -> str:
    """The id as text; files of other systems often have whole numbers there."""
    value = node.get(key)
    if value is None:
        return ""
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if isinstance(value, str):
        return check.id(place, value, f"the {key}")
    check.add(place, f"{key} is {_a(value)}, and must be text")
    return ""


def _typed(node: dict[str, Any], key: str, kind: type, place: int, check: Check) -> Any:
    """The value of a key when it has the right type; None when it is absent, null or wrong."""
    value = node.get(key)
    if value is None or type(value) is kind:
        return value
    check.add(place, f"{key} is {_a(value)}, and must be {_NAMES[kind]}")
    return None


_NAMES: dict[type, str] = {
    str: "text",
    list: "a list",
    dict: "an object",
    bool: "true or false",
    RepeatedKey: "an object with the same key twice",
}


def _a(value: object) -> str:
    return "null" if value is None else _NAMES.get(type(value), "a number")
