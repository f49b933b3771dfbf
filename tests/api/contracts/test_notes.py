"""Migration notes: made of declared changes, with payloads that the converters made; in three forms."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from itertools import combinations, pairwise
from typing import Any
from xml.etree import ElementTree

import pytest
from pydantic import TypeAdapter

from mallcore import Mall
from mallcore.api.contracts import MEDIA_TYPES, Notes, breaking, contract_of, differences, notes, rendered
from mallcore.api.rules.noting import Concerned, Example, Note
from mallcore.api.versions import Change, Release, Versions, field
from mallcore.errors import InvalidChange, InvalidInput, UnknownApiVersion
from tests.api.contracts.shop import RELEASES, VERSIONS, Line, catalogue

ATOM = "{http://www.w3.org/2005/Atom}"


def made(since: str = "2026-01-01", until: str | None = None) -> Notes:
    return notes(VERSIONS, catalogue(), since, until)


def test_notes_tell_every_change_between_two_versions() -> None:
    """The changes behind the first version and up to the second, the oldest first; without a second, to the newest."""
    assert [one.change for one in made().notes] == [
        "PricesKnowTheirCurrency", "PricesAreListed", "ProductsHaveNoSku", "CustomersAreNamed"
    ]  # fmt: skip
    assert [one.version for one in made("2026-03-01").notes] == ["2026-05-01"] * 2
    assert [one.version for one in made(until="2026-03-01").notes] == ["2026-03-01"] * 2
    assert made("2026-05-01").notes == ()


def test_a_note_says_what_why_and_who_is_concerned() -> None:
    """Title and text are the declaration's; operations are named by how they were reached and how they are."""
    note = made().notes[3]
    assert (note.title, note.text) == ("Customers are named", "Who orders is the `customer`.")
    assert note.fields == (
        "`buyer` is called `customer`.",
        "The operation `shop.place_order` moved from `POST /purchases`.",
    )
    (one,) = note.operations
    assert (one.operation, one.parts, one.before, one.after) == (
        "shop.place_order", ("parameters", "path"), "POST /purchases", "POST /orders"
    )  # fmt: skip
    assert one.graphql == "mutation shopPlaceOrder"


def test_a_shape_concerns_every_operation_that_holds_it() -> None:
    """A change of a nested shape names the operations that show or take it, however deep it lies."""
    concerned = {one.operation: one.parts for one in made().notes[0].operations}
    assert concerned == {
        "shop.get_order": ("result",),
        "shop.place_order": ("parameters", "result"),
        "shop.prices": ("result",),
    }


def test_payloads_are_what_the_converters_make() -> None:
    """Before is the example as it was written, after is what every change of the version made of it."""
    (example,) = made().notes[3].examples
    assert example.before == {"buyer": "ada", "lines": [{"sku": "book", "price": {"amount": "9.50"}}]}
    assert example.after == {"customer": "ada", "lines": [{"product": "book", "price": {"amount": "9.50"}}]}
    (example,) = made().notes[0].examples
    assert (example.before, example.after) == ({"amount": "9.50"}, {"amount": "9.50", "currency": "EUR"})


def test_notes_are_the_same_every_time() -> None:
    """Twice the same notes, byte for byte, in each form."""
    for form in MEDIA_TYPES:
        assert rendered(made(), form) == rendered(made(), form)


def test_an_example_that_fails_is_the_changes_mistake() -> None:
    """A converter that raises gives an error that names the change."""

    class LinesWereDivided(Change):
        """Lines were divided."""

        version = "2026-05-01"
        touches = Line
        was = (field("product").had_type(int, up=lambda old: 1 // 0, down=lambda new: 0),)
        examples = ({"product": 1, "price": {"amount": "1"}},)

    with pytest.raises(InvalidChange, match=r"LinesWereDivided.*ZeroDivisionError"):
        notes(Versions(RELEASES, [LinesWereDivided]), catalogue(), "2026-01-01")


WRONG: dict[str, tuple[str, str | None, type[Exception]]] = {
    "unknown": ("1999-01-01", None, UnknownApiVersion),
    "unknown end": ("2026-01-01", "2027-01-01", UnknownApiVersion),
    "backwards": ("2026-05-01", "2026-01-01", InvalidInput),
    "no version": ("../../etc", None, UnknownApiVersion),
    "empty": ("", None, UnknownApiVersion),
}


@pytest.mark.parametrize("case", WRONG)
def test_notes_lead_from_a_known_version_to_a_later_one(case: str) -> None:
    """Unknown versions, and the way back, are refused."""
    since, until, error = WRONG[case]
    with pytest.raises(error):
        made(since, until)


def test_whoever_is_broken_is_told() -> None:
    """Between any two of mallcore's versions, each operation that differs in something breaking is in the notes."""
    with Mall.open("sqlite://", follow=False) as mall:
        names = mall.versions.names[::-1]
        for older, newer in combinations(names, 2):
            contracts = [contract_of(mall.versions.view(mall.catalogue, name)) for name in (older, newer)]
            broken = {one.where.partition(" ")[0] for one in breaking(differences(*contracts))}
            told = notes(mall.versions, mall.catalogue, older, newer)
            assert broken <= {one.operation for note in told.notes for one in note.operations}
            assert all(note.operations for note in told.notes if note.fields)


def test_examples_of_our_own_changes_are_payloads_of_both_versions() -> None:
    """Each example is shown; its fields are those of the version before, and after it those of the change's version."""
    with Mall.open("sqlite://", follow=False) as mall:
        names = mall.versions.names[::-1]
        for older, newer in pairwise(names):
            views = [mall.versions.view(mall.catalogue, name) for name in (older, newer)]
            for change in mall.versions.between(older, newer):
                told = next(one for one in notes(mall.versions, mall.catalogue, older, newer).notes
                            if one.change == change.__name__)  # fmt: skip
                assert len(told.examples) == len(change.declared.examples)
                for example in told.examples:
                    kind = model_of(mall, change, example.subject)
                    assert fields(views[0].shape(kind)) >= set(example.before)
                    assert fields(views[1].shape(kind)) >= set(example.after)


def model_of(mall: Mall, change: Any, subject: str) -> Any:
    """The shape, or the parameters, that an example is of."""
    if subject in mall.catalogue:
        return mall.catalogue[subject].input
    return next(one for one in change.declared.touches if not isinstance(one, str) and one.__name__ == subject)


def fields(kind: Any) -> set[str]:
    """What a payload of a kind may have; of one that names none, anything goes."""
    return set(TypeAdapter(kind).json_schema(mode="serialization")["properties"])


# --- forms

NASTY = "`a` <script>alert(1)</script> & ]]> \x00\x0b | ``b``\n```\n# not a heading"


def nasty() -> Notes:
    """Notes whose every text tries to be something else."""
    concerned = Concerned(operation="a|b`c", parts=("result",), before="GET /<x>", after=None, graphql="query a")
    example = Example("``", {"<b>": "```\n</pre>&"}, {"\u2028": "\x00"})
    note = Note("2026-05-01", "X<Y", NASTY, NASTY, ("S",), (NASTY,), (concerned,), (example,))
    return Notes("2026-01-01", "2026-05-01", (note,))


def test_markdown_holds_no_html_but_in_code() -> None:
    """What a docstring says is shown, not run: tags are text, and examples can't leave their blocks."""
    text = rendered(nasty(), "markdown")
    outside = re.sub(r"^```json$.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)
    outside = re.sub(r"(`+)(?!`).+?(?<!`)\1(?!`)", "", outside)
    assert "<" not in outside
    assert len(re.findall(r"^```json$", text, re.MULTILINE)) == 2


def test_markdown_reads_well() -> None:
    """Versions and changes are headings, in order; nothing to tell is told, too."""
    text = rendered(made(), "markdown")
    assert re.findall(r"^#+ .*", text, re.MULTILINE) == [
        "# From 2026-01-01 to 2026-05-01",
        "## 2026-03-01",
        "### Prices know their currency",
        "### Prices are listed",
        "## 2026-05-01",
        "### Products have no sku",
        "### Customers are named",
    ]
    assert "&lt;b&gt;shops&lt;/b&gt; &amp; customers" in text
    assert "| `shop.prices` | the operation itself | - | `GET /prices` |" in text
    assert "Nothing that breaks anybody changed." in rendered(made("2026-05-01"), "markdown")


@pytest.mark.parametrize("told", [made, nasty])
def test_a_feed_is_atom(told: Any) -> None:
    """Whatever the notes say, the feed is well-formed, with all that RFC 4287 asks of a feed and its entries."""
    feed = ElementTree.fromstring(rendered(told(), "atom", "https://mall.example/api/versions/2026-01-01/notes"))
    entries = feed.findall(f"{ATOM}entry")
    assert len(entries) == len(told().notes)
    for one in (feed, *entries):
        for name in ("id", "title", "updated"):
            (part,) = one.findall(f"{ATOM}{name}")
            assert part.text
        datetime.fromisoformat(one.findtext(f"{ATOM}updated", "").replace("Z", "+00:00"))
    assert feed.findtext(f"{ATOM}author/{ATOM}name") == "mallcore"
    assert len({one.findtext(f"{ATOM}id") for one in entries}) == len(entries)


def test_a_feed_tells_the_newest_first_and_shows_no_tags() -> None:
    """Entries come newest first; their HTML is made here, and what a text has of tags is text."""
    feed = ElementTree.fromstring(rendered(made(), "atom"))
    assert feed.findtext(f"{ATOM}entry/{ATOM}title") == "Customers are named"
    content = ElementTree.fromstring(rendered(nasty(), "atom")).findtext(f"{ATOM}entry/{ATOM}content", "")
    assert "<script>" not in content
    assert "&lt;script&gt;" in content


def test_json_holds_everything() -> None:
    """The JSON form is all that the notes hold."""
    found = json.loads(rendered(made(), "json"))
    assert (found["since"], found["until"]) == ("2026-01-01", "2026-05-01")
    assert found["notes"][3]["examples"][0]["after"]["customer"] == "ada"
    assert found == json.loads(json.dumps(made().as_json()))


def test_a_preview_has_notes_too() -> None:
    """Whoever wants to try the next version can read what will change."""
    later = VERSIONS.extended([Release("2026-07-01", stable=datetime(2030, 1, 1, tzinfo=UTC))])
    assert notes(later, catalogue(), "2026-03-01").until == "2026-07-01"
