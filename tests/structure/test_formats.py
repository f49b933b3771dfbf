"""Taxonomy files: what is read, what is refused and why, and that what we write is read back."""

import csv
import io
import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mallcore.errors import InvalidInput, MalformedTaxonomy, TaxonomyProblem
from mallcore.structure.rules.formats import FORMATS, Entry, Limits, Row, Taxonomy, detect, parse, render

SHOPIFY_TXT = """\
# Shopify Product Taxonomy - Categories: 2025-08
# Format: {GID} : {Ancestor name} > ... > {Category name}

gid://shopify/TaxonomyCategory/ap      : Animals & Pet Supplies
gid://shopify/TaxonomyCategory/ap-1    : Animals & Pet Supplies > Live Animals
gid://shopify/TaxonomyCategory/ap-2    : Animals & Pet Supplies > Men's, Women's : Both
"""
SHOPIFY_YML = """\
---
- id: ap
  full_name: Animals & Pet Supplies
- id: ap-1
  full_name: "Animals & Pet Supplies > Live \\u0041nimals"
- id: 'ap-2'
  full_name: 'Animals & Pet Supplies > Men''s, Women''s : Both'
"""
GOOGLE = """\
# Google_Product_Taxonomy_Version: 2021-09-21
1 - Animals & Pet Supplies
3237 - Animals & Pet Supplies > Live Animals
2 - Animals & Pet Supplies > Men's, Women's : Both
"""
PATHS = """\
Animals & Pet Supplies
Animals & Pet Supplies > Live Animals
Animals & Pet Supplies > Men's, Women's : Both
"""
CSV_BY_ID = """\
id,parent_id,name,slug,kind,name:fr,attr:size,attr:colour,rules
1,,Animals & Pet Supplies,animals,section,Animaux,12,red,
2,1,Live Animals,,,,"{""a"": [1, null]}",,"[{""kind"": ""sort""}]"
3,1,"Men's, Women's : Both",,category,,,,
"""
CSV_BY_PATH = """\
path;id
Animals & Pet Supplies;1
Animals & Pet Supplies > Live Animals;2
Animals & Pet Supplies > Men's, Women's : Both;3
"""
NESTED = """\
{"channel": "pets", "nodes": [
  {"id": "cat_1", "external_id": "ap", "name": "Animals & Pet Supplies", "kind": "section", "children": [
    {"id": "cat_2", "external_id": null, "name": "Live Animals", "translations": {"fr": "Animaux"}},
    {"id": "cat_3", "name": "Men's, Women's : Both", "attributes": {"size": 12}, "rules": [{"kind": "sort"}]}
  ]}
]}
"""
FLAT = """\
[{"id": 2, "parent_id": 1, "name": "Live Animals"},
 {"id": 1, "name": "Animals & Pet Supplies"},
 {"id": 3, "parent_id": 1, "name": "Men's, Women's : Both"}]
"""
SAMPLES = {
    "shopify-txt": SHOPIFY_TXT,
    "shopify-yml": SHOPIFY_YML,
    "google": GOOGLE,
    "paths": PATHS,
    "csv": CSV_BY_ID,
    "json": NESTED,
}
EVERY_SAMPLE = [*SAMPLES.items(), ("csv", CSV_BY_PATH), ("json", FLAT)]


def read(text: str, format: str | None = None, **limits: int) -> tuple[Entry, ...]:
    return parse(text.encode(), format, limits=Limits(**limits)).entries


def problems(data: str | bytes, format: str | None = None, **limits: int) -> list[TaxonomyProblem]:
    """What is wrong with the data, as the one error that must be raised says."""
    with pytest.raises(MalformedTaxonomy) as caught:
        parse(data.encode() if isinstance(data, str) else data, format, limits=Limits(**limits))
    return caught.value.problems


def the_problem(data: str | bytes, format: str | None = None, **limits: int) -> tuple[int, str]:
    (problem,) = problems(data, format, **limits)
    return problem


def paths_of(taxonomy: Taxonomy) -> dict[str, str]:
    """Full path by id, built from the parents alone; a parent must come before its children."""
    paths: dict[str, str] = {}
    for entry in taxonomy.entries:
        paths[entry.external_id] = f"{paths[entry.parent]} > {entry.name}" if entry.parent else entry.name
    return paths


# What is read


@pytest.mark.parametrize(("format", "text"), EVERY_SAMPLE)
def test_every_format_is_detected(format: str, text: str) -> None:
    """The format is told from the content, and a byte order mark or Windows line ends change nothing."""
    assert detect(text.encode()) == format
    plain = parse(text.encode())
    assert plain.format == format
    assert parse(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode()) == plain
    assert parse(text.encode(), format) == plain


@pytest.mark.parametrize(("format", "text"), EVERY_SAMPLE)
def test_every_format_gives_names_and_parents(format: str, text: str) -> None:
    """The same three categories come out of every format, the parent first."""
    names = list(paths_of(parse(text.encode())).values())
    assert sorted(names) == PATHS.splitlines()
    assert names[0] == "Animals & Pet Supplies"


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        (SHOPIFY_TXT, ["ap", "ap-1", "ap-2"]),
        (SHOPIFY_YML, ["ap", "ap-1", "ap-2"]),
        (GOOGLE, ["1", "3237", "2"]),
        (CSV_BY_ID, ["1", "2", "3"]),
        (CSV_BY_PATH, ["1", "2", "3"]),
        (NESTED, ["ap", "cat_2", "cat_3"]),
        (FLAT, ["1", "2", "3"]),
        (PATHS, [root := "animals-pet-supplies", f"{root}/live-animals", f"{root}/men-s-women-s-both"]),
    ],
)
def test_ids_are_the_sources(text: str, ids: list[str]) -> None:
    """An entry keeps its source's id; without one it gets the path of slugs."""
    assert [entry.external_id for entry in read(text)] == ids


def test_csv_carries_everything() -> None:
    """Slug, kind, translations, attributes and rules come from their columns; blank cells are absent values."""
    animals, live, both = read(CSV_BY_ID)
    assert animals[2:] == (
        "Animals & Pet Supplies",
        "animals",
        "section",
        {"fr": "Animaux"},
        {"size": 12, "colour": "red"},
        (),
        2,
    )
    assert live[2:] == ("Live Animals", None, None, {}, {"size": {"a": [1, None]}}, ({"kind": "sort"},), 3)
    assert both[2:] == ("Men's, Women's : Both", None, "category", {}, {}, (), 4)


def test_json_carries_everything() -> None:
    """Kind, translations, attributes and rules come as they are; lines mean nothing there."""
    animals, live, both = read(NESTED)
    assert (animals.kind, animals.line) == ("section", 0)
    assert live.translations == {"fr": "Animaux"}
    assert (both.attributes, both.rules) == ({"size": 12}, ({"kind": "sort"},))


def test_line_numbers_are_those_of_an_editor() -> None:
    """Comments, blank lines and cells of several lines count."""
    assert [entry.line for entry in read(SHOPIFY_TXT)] == [4, 5, 6]
    assert [entry.line for entry in read('id,name,attr:x\n\n1,A,"a\nb"\n2,B,\n')] == [3, 5]


def test_children_may_stand_before_their_parents() -> None:
    """Parents come first in the result, and siblings keep the order of the file."""
    entries = read("3 - A > C > D\n2 - A > C\n5 - B\n4 - A > B\n1 - A")
    assert [(entry.external_id, entry.parent) for entry in entries] == [
        ("5", None),
        ("1", None),
        ("2", "1"),
        ("3", "2"),
        ("4", "1"),
    ]


def test_a_greater_sign_within_a_name_separates_nothing() -> None:
    """Only the sign with a space on both sides separates."""
    assert [entry.name for entry in read("Cables\nCables > USB>HDMI\nCables > >1m", "paths")] == [
        "Cables",
        "USB>HDMI",
        ">1m",
    ]


def test_needless_space_is_no_part_of_a_name() -> None:
    """Spaces around names and separators are dropped, wherever they stand."""
    assert [entry.name for entry in read("  A \n A  >   B  C ", "paths")] == ["A", "B  C"]
    assert [entry.name for entry in read("id,name\n1,  A ")] == ["A"]


def test_a_number_sign_begins_a_comment_only_before_a_space() -> None:
    """`#1 Gifts` is a category."""
    assert [entry.name for entry in read("# Version 3\n#\n#1 Gifts\n#1 Gifts > Cups")] == ["#1 Gifts", "Cups"]


def test_names_with_a_dash_are_not_taken_for_ids() -> None:
    """A plain path may begin with a word and a dash; numbers before a dash are ids, even if a line is broken."""
    assert parse(b"Sci-Fi - New\nSci-Fi - New > Mars").format == "paths"
    assert parse(b"1 - New\n2 - New > Mars").format == "google"
    assert detect(b"1 - New\n2 - New > Mars\n3 -New > Moon") == "google"


def test_paths_with_ids_may_be_called_paths() -> None:
    """Our own export is called `paths` and has ids: read under that name it gives ids, not names with a number."""
    assert parse(GOOGLE.encode(), "paths") == parse(GOOGLE.encode())


def test_made_ids_tell_siblings_apart() -> None:
    """Names that leave the same slug, or none, get ids of their own, the same at every import."""
    first = [entry.external_id for entry in read("Code > C\nCode > C#\nCode\nCode > +++")]
    assert len(set(first)) == 4
    assert first == [entry.external_id for entry in read("Code > C\nCode > C#\nCode\nCode > +++")]
    assert first[1] == "code/c"


def test_made_ids_stay_short_and_printable() -> None:
    """However long the path, an id stays within what a tree can keep; letters of any script stay."""
    long = [" > ".join(["x" * 190] * depth) for depth in range(1, 5)]
    assert {len(entry.external_id) for entry in read("\n".join(long), "paths")} == {190, 200}
    assert len({entry.external_id for entry in read("\n".join(long), "paths")}) == 4
    assert [entry.external_id for entry in read("도서 > 시\n도서")] == ["도서", "도서/시"]


def test_made_ids_use_slugs_where_there_are_any() -> None:
    """The path of slugs follows the slugs a file gives, in tables and in JSON."""
    assert [entry.external_id for entry in read("path,slug\nBooks,b\nBooks > Poetry,")] == ["b", "b/poetry"]
    nested = '{"nodes": [{"name": "Books", "slug": "b", "children": [{"name": "Poetry"}]}]}'
    assert [entry.external_id for entry in read(nested)] == ["b", "b/poetry"]


def test_parents_are_named_by_own_id_or_external_id() -> None:
    """Exports name parents by the mall's id, other sources by theirs; where both exist the former wins."""
    table = "id,external_id,parent_id,name\ncat_1,ap,,A\ncat_2,ap-1,cat_1,B\ncat_3,ap-2,ap-1,C\n"
    assert [entry.parent for entry in read(table)] == [None, "ap", "ap-1"]


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_tables_are_separated_as_spreadsheets_do(separator: str) -> None:
    """A comma, a semicolon or a tab, whichever the header has."""
    assert [entry.name for entry in read(f"id{separator}Name\n1{separator}Books")] == ["Books"]


def test_cells_by_hand_are_text() -> None:
    """A cell that is no JSON is the text it shows; what begins like JSON must be JSON."""
    table = 'name,attr:a,attr:b,attr:c,attr:d\nA,red,12,"""12""",Infinity\n'
    assert read(table)[0].attributes == {"a": "red", "b": 12, "c": "12", "d": "Infinity"}
    assert the_problem('name,attr:a\nA,"{""b"""\n')[0] == 2


# YAML


def test_yaml_as_a_whole_parser_writes_it_is_read() -> None:
    """However another program folds, quotes and escapes the list, the same categories come out."""
    yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")
    names = [
        "Rosé",
        "Men's",
        '"Quoted"',
        "a: b",
        "#1",
        "- dash",
        "x" * 100 + " " + "y" * 90,
        "back\\slash",
        "null",
        "12",
        "~",
    ]
    names += [
        "word " * 30 + "end",
        "quote: " * 20 + "é",
        "& and *",
        "[list]",
        "yes",
        "'",
        '"',
        "trailing:",
        "100%",
        "? q",
    ]
    items = [{"id": f"id-{at}", "full_name": name} for at, name in enumerate(names)]
    for options in ({}, {"allow_unicode": True}, {"width": 20}, {"default_style": '"'}, {"default_style": "'"}):
        text = yaml.safe_dump(items, **options)
        assert [entry.name for entry in read(text, "shopify-yml", name=500)] == [name.strip() for name in names], (
            options
        )


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ("- id: a\n- id: b\n  full_name: B", 1, "no full_name"),
        ("- full_name: B", 1, "no id"),
        ("- id: a\n  full_name: 'A", 2, "quotation"),
        ('- id: a\n  full_name: "A" B', 2, "quotation"),
        ('- id: a\n  full_name: "\\q"', 2, "no escape"),
        ('- id: a\n  full_name: "\\UFFFFFFFF"', 2, "U+FFFFFFFF"),
        ("- id: &x a\n  full_name: A", 1, "put it in quotes"),
        ("- id: a\n  id: b\n  full_name: A", 2, "twice"),
        ("- id: a\n  full_name: A\nfull_name: B", 3, "neither"),
        ("- id: a\n  full_name: A\n  - b", 3, "neither"),
        ("- id: a\n  full_name: ~", 1, "empty name"),
        ("- id:\n  full_name: A", 1, "the id is empty"),
    ],
)
def test_yaml_beyond_the_list_is_refused(text: str, line: int, reason: str) -> None:
    """What is no flat list of id and full_name is named with its line, never guessed at."""
    found = the_problem(text, "shopify-yml")
    assert found[0] == line
    assert reason in found[1]


# What is refused


@pytest.mark.parametrize(
    ("data", "line", "reason"),
    [
        (b"", 0, "the file is empty"),
        (b"\xef\xbb\xbf \n\n", 0, "the file is empty"),
        (b"just some words\nwithout a sign", 0, "the format can't be told"),
        ("1 - A\n".encode("utf-16"), 1, "the file is UTF-16"),
        (b"\xfe\xff\x00A", 1, "the file is UTF-16"),
        ("1 - A\n".encode("utf-32"), 1, "the file is UTF-32"),
        (b"1 - A\n2 - B\x00", 2, "zero byte"),
        ("1 - A\n2 - Caf\xe9s".encode("latin-1"), 2, "the byte 0xE9 is not UTF-8"),
        (b"1 - A\r\n2 - B\r\n3 - \xff", 3, "the byte 0xFF is not UTF-8"),
        (b"1 - A\n1 - B", 2, "the id '1' stands on line 1 already"),
        (b"1 - A\n2 - A", 2, "the path 'A' stands on line 1 already"),
        (b"1 - A\n2 - A > B > C", 2, "the ancestor 'A > B' is missing"),
        (b"1 - A\n2 - A > \n", 2, "empty name"),
        (b"1 - A\n2 -  > A", 2, "empty name"),
        (b"1 - A\n2 - A > > B", 2, "empty name"),
        (b"1 - A\n2 - A >  > B", 2, "empty name"),
        (b"1 - A\n2 - A > B\tC", 2, "U+0009"),
        (b"1 - A\n2 - A > B\xc2\x9b31m", 2, "U+009B"),
        (b"1 - A\n2 - A > \x1b[31mRed", 2, "U+001B"),
        (b"1 - A\n2 - B\n3 B", 3, "not of the form"),
        (b"1 - A\n2 - B\n3 3 - C", 3, "holds a space"),
        (b"gid://shopify/TaxonomyCategory/ap : A\nap-1 - A > B", 2, "not of the form"),
        (b"name,parent_id\nA,", 1, "no column 'id'"),
        (b"id,name,naem:fr\n1,A,B", 1, "unknown"),
        (b"\n\nid,name,Name\n1,A,B", 3, "stands twice"),
        (b"id,name\n1,A\n2,B,C", 3, "3 cells"),
        (b"id,name,\n1,A,B", 2, "without a name"),
        (b'id,name\n1,A\n2,"B', 3, "not CSV"),
        (b'id,name\n1,"A"x', 2, "not CSV"),
        (b"id,name\n1,A\n2,", 3, "the name is empty"),
        (b"path\nA\nA > B > C", 3, "the ancestor 'A > B' is missing"),
        (b"path,name\nA,B", 2, "not the last"),
        (b"id,parent_id,name\n1,2,A\n2,1,B\n3,,C\n4,9,D", 5, "the parent '9' is missing"),
        (b"id,name,kind\n1,A,channel", 2, "section or category"),
        (b"id,name,slug\n1,A,Not A Slug", 2, "the slug"),
        (b"id,name,name:fr\n1,A,\x01", 2, "U+0001"),
        (b"id,name,name:f r\n1,A,B", 1, "language tag"),
        (b"id,name,rules\n1,A,[", 2, "rules"),
        (b"id,name,rules\n1,A,{}", 2, "no list"),
        (
            b'{"nodes": [\n{"id": "a", "name": "A"},\n{"id": "a", "name": "B"}]}',
            3,
            "nodes[1]: the id 'a' stands on nodes[0]",
        ),
        (b'{"nodes": [\n{"id": "a"}]}', 2, "the name is empty"),
        (b'{"nodes": [\n{"name": 5}]}', 2, "name is a number, and must be text"),
        (b'{"nodes": [\n{"name": "A", "id": true}]}', 2, "id is true or false, and must be text"),
        (
            b'{"nodes": [{"name": "A", "children":\n[{"name": "B", "children": {}}]}]}',
            2,
            "children[0]: children is an object",
        ),
        (b'{"nodes": [{"name": "A"},\n{"name": "B", "translations": {"fr": null}}]}', 2, "null, and must be text"),
        (b'{"nodes": [{"name": "A", "attributes": []}]}', 1, "attributes is a list, and must be an object"),
        (b'{"nodes": [{"name": "A", "attributes": {"a": NaN}}]}', 1, "not finite"),
        (b'{"nodes": [{"name": "A", "attributes": {"a": 1e999}}]}', 1, "not finite"),
        (b'{"nodes": [{"name": "A", "attributes": {"a": 9223372036854775808}}]}', 1, "beyond 64 bits"),
        (b'{"nodes": [{"name": "A", "attributes": {"a": ["\\u0000"]}}]}', 1, "U+0000"),
        (b'{"nodes": [{"name": "A", "rules": [{"\\ud800": 1}]}]}', 1, "rule 1 holds"),
        (b'{"nodes": [{"name": "\\ud800"}]}', 1, "U+D800"),
        (b'{"nodes": [{"name": "A"},\n{"name": "B", "name": "C"}]}', 2, "same key twice"),
        (b'{"nodes": [{"name": "A", "attributes": {"a": {"b": 1, "b": 2}}}]}', 1, "same key twice"),
        (b'{"nodes": [], "nodes": []}', 0, "same key twice"),
        (b'{"nodes": [{"name": "A"}, 5]}', 0, "item 1 is a number"),
        (b'{"nodes": []}', 0, "there is no category"),
        (b'{"nodes": 5}', 0, "neither a list"),
        (b'{"node": []}', 0, "neither a list"),
        (b'{"nodes": [\n{"name": }]}', 2, "not JSON"),
        (b'[{"id": 1, "name": "A", "parent_id": 1}]', 1, "its own ancestor"),
        (b'[{"id": "a", "name": "A", "parent_id": "b"}]', 1, "the parent 'b' is missing"),
        (b"[" + b"9" * 5000 + b"]", 0, "too many digits"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(data: bytes, line: int, reason: str) -> None:
    """Each thing that can be wrong in a file is reported by line and reason."""
    found = the_problem(data)
    assert found[0] == line
    assert reason in found[1]


@pytest.mark.parametrize("format", FORMATS)
def test_a_file_without_categories_is_refused(format: str) -> None:
    """An empty file is an accident, never an order to remove everything."""
    for data in (b"", b" ", b"# only a comment\n" if format != "csv" else b"id,name\n"):
        assert problems(data, format)


def test_an_unknown_format_is_refused() -> None:
    """The error lists the formats there are."""
    assert the_problem("A", "xml") == (0, f"there is no format 'xml': choose one of {', '.join(FORMATS)}")


def test_a_table_without_the_needed_columns_is_refused() -> None:
    """A table needs names or paths."""
    assert "neither a column 'name' nor a column 'path'" in problems("id,slug\n1,a", "csv")[-1].reason


def test_all_problems_are_told_at_once() -> None:
    """Problems of different kinds stand in one error, in the order of the lines."""
    found = problems("1 - A\n1 - B\n3 - A > \n4 - X > Y\n5 - A\n6 A")
    assert [each.line for each in found] == [2, 3, 4, 5, 6]


def test_twenty_problems_are_enough() -> None:
    """A file that is wrong throughout gives twenty problems, not ten thousand."""
    assert len(problems("\n".join(f"{number} - A > B{number} > C" for number in range(1000)))) == 20
    assert len(problems(b"\xff\n" * 1000)) == 20
    assert len(problems(json.dumps([{"name": ""}] * 1000))) == 20


def test_a_missing_ancestor_is_told_once() -> None:
    """A thousand children of one missing parent are one problem."""
    assert the_problem("\n".join(f"{number} - A > B{number}" for number in range(1000))) == (
        1,
        "the ancestor 'A' is missing",
    )


def test_loops_are_refused() -> None:
    """Categories that are each other's ancestors are named, and those below them."""
    found = problems("id,parent_id,name\n1,,A\n2,3,B\n3,2,C\n4,3,D")
    assert [(each.line, "ancestor" in each.reason) for each in found] == [(3, True), (4, True), (5, True)]


def test_sizes_are_limited() -> None:
    """Names, ids, levels, categories and bytes have limits, and a file beyond one of them is refused."""
    assert read("1 - " + "x" * 200)
    assert "201 characters, and the limit is 200" in the_problem("1 - A\n2 - " + "x" * 201)[1]
    assert "10,000,000 characters" in the_problem("1 - A\n2 - " + "x" * 10_000_000)[1]
    assert the_problem("1 - A\n" + "2" * 201 + " - B")[0] == 2
    deep = [f"{level} - " + " > ".join("x" * level) for level in range(1, 66)]
    assert len(read("\n".join(deep[:64]))) == 64
    assert the_problem("\n".join(deep)) == (65, "the category is on level 65, and the limit is 64")
    assert the_problem("1 - A\n2 - B\n3 - C", entries=2) == (0, "there are more than 2 categories")
    assert "the limit is 4" in the_problem("1 - A", bytes=4)[1]
    assert "more than 1 categories" in the_problem("\n" * 5000 + "1 - A", entries=1)[1]


@pytest.mark.parametrize("format", ["csv", "json"])
def test_sizes_are_limited_in_every_format(format: str) -> None:
    """Levels and numbers of categories are limited in tables and JSON as well."""
    flat = [{"id": str(level), "parent_id": str(level - 1) if level else "", "name": "x"} for level in range(65)]
    table = "id,parent_id,name\n" + "".join(f"{row['id']},{row['parent_id']},x\n" for row in flat)
    text = (
        table
        if format == "csv"
        else json.dumps([row if row["parent_id"] else {"id": "0", "name": "x"} for row in flat])
    )
    assert "level 65" in the_problem(text)[1]
    assert "more than 60" in the_problem(text, entries=60)[1]


@pytest.mark.parametrize(
    "text",
    [
        "[" * 1_000_000,
        '{"nodes": [' + '{"name": "A", "children": [' * 100_000,
        '{"nodes": [' + '{"name": "A", "children": [' * 65 + "]}" * 65 + "]}",
        '{"nodes": [{"name": "A", "attributes": {"a": ' + "[" * 100 + "]" * 100 + "}}]}",
        '{"nodes": [{"name": "A", "rules": [' + '{"a":' * 5000 + "1" + "}" * 5000 + "]}]}",
        'name,attr:x\nA,"' + "[" * 100_000 + '"',
    ],
)
def test_depth_bombs_are_refused(text: str) -> None:
    """However deep a text is nested, it is refused as malformed, and no stack overflows."""
    assert problems(text)


def test_numbers_and_places_in_messages_are_short() -> None:
    """A message quotes the beginning of what is wrong, however long that is."""
    assert all(len(each.reason) < 300 for each in problems("1 - A\n" + "x" * 1_000_000 + "\n2 - " + "y" * 1_000_000))


# Anything at all


def sound(taxonomy: Taxonomy) -> bool:
    """What every reader of entries may rely on."""
    seen: set[str | None] = {None}
    for entry in taxonomy.entries:
        assert entry.parent in seen
        assert entry.external_id not in seen
        seen.add(entry.external_id)
        assert entry.name == entry.name.strip() != ""
        assert len(entry.name) <= 200
        assert entry.external_id.isprintable()
        assert 0 < len(entry.external_id) <= 200
        entry.name.encode()
        json.dumps([dict(entry.attributes), entry.rules, dict(entry.translations)], allow_nan=False).encode()
    return len(taxonomy.entries) > 0


def is_sound_or_malformed(data: bytes, format: str | None) -> bool:
    try:
        taxonomy = parse(data, format)
    except MalformedTaxonomy as error:
        return listed(error)
    return sound(taxonomy)


def listed(error: MalformedTaxonomy) -> bool:
    """What everyone who shows the error may rely on."""
    assert 0 < len(error.problems) <= 20
    assert error.problems == sorted(error.problems, key=lambda problem: problem.line)
    str(error).encode()
    return all(reason for _, reason in error.problems)


@given(st.binary(max_size=300), st.sampled_from([None, *FORMATS]))
@example(b"\x1f\n'", "shopify-yml")
def test_any_bytes_are_sound_or_malformed(data: bytes, format: str | None) -> None:
    """Whatever the bytes, the answer is a sound taxonomy or one MalformedTaxonomy, never another exception."""
    assert is_sound_or_malformed(data, format)


FRAGMENTS = [
    *"\n\r\t \0\x1f\x85\u2028\u00a0'\"\\,;:>#-{}[]/1aé",
    " > ",
    " : ",
    " - ",
    "- id: ",
    "  full_name: ",
    "null",
    "children",
]


@given(st.lists(st.sampled_from(FRAGMENTS), max_size=40).map("".join), st.sampled_from([None, *FORMATS]))
def test_any_scraps_of_a_format_are_sound_or_malformed(text: str, format: str | None) -> None:
    """Signs that mean something in some format, in any order, break nothing."""
    assert is_sound_or_malformed(text.encode(), format)


@given(st.sampled_from(EVERY_SAMPLE), st.data())
def test_any_damage_to_a_good_file_is_sound_or_malformed(sample: tuple[str, str], data: st.DataObject) -> None:
    """A good file with something cut out and something put in is read soundly or refused."""
    format, text = sample
    start, end = sorted(data.draw(st.tuples(st.integers(0, len(text)), st.integers(0, len(text)))))
    scraps = data.draw(st.lists(st.sampled_from(FRAGMENTS), max_size=3).map("".join))
    damaged = text[:start] + scraps + text[end:]
    assert is_sound_or_malformed(damaged.encode(), data.draw(st.sampled_from([format, None])))


def json_values(keys: st.SearchStrategy[str], texts: st.SearchStrategy[str], *others: st.SearchStrategy[Any]) -> Any:
    scalars = st.none() | st.booleans() | st.integers(-(2**63) + 1, 2**63 - 1) | texts | st.one_of(*others)
    return st.recursive(
        scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3), max_leaves=8
    )


NODE_KEYS = st.sampled_from([*Entry._fields, "id", "nodes", "children", "parent_id", "fr"])


@given(json_values(NODE_KEYS, st.sampled_from(["a", "b", "", "\ud800", "section"]), st.floats()), st.booleans())
def test_any_json_is_sound_or_malformed(value: object, wrapped: bool) -> None:
    """JSON with the right keys and any values of any type is read soundly or refused."""
    text = json.dumps({"nodes": value} if wrapped else value, indent=1)
    assert is_sound_or_malformed(text.encode(), "json")


# What we write


CHARACTERS = st.characters(exclude_categories=["Cc", "Cs", "Co", "Cn"])
NAMES = st.text(CHARACTERS, min_size=1, max_size=12).map(str.strip).filter(bool)
IDS = st.text(CHARACTERS, min_size=1, max_size=8).map(str.strip).filter(lambda text: bool(text) and text.isprintable())
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
VALUES = json_values(TEXTS, TEXTS, st.floats(allow_nan=False, allow_infinity=False))
LOCALES = st.sampled_from(["fr", "de", "pt-BR", "zh-Hant-TW"])


@st.composite
def rows(draw: st.DrawFn, names: st.SearchStrategy[str] = NAMES, ids: st.SearchStrategy[str] = IDS) -> list[Row]:
    """A random tree as rows, depth-first, every other node with an external id."""
    size = draw(st.integers(1, 8))
    keys = draw(st.lists(ids, min_size=2 * size, max_size=2 * size, unique=True))
    found: list[Row] = []
    for at in range(size):
        depth = draw(st.integers(1, found[-1].depth + 1)) if found else 1
        above = next((row for row in reversed(found) if row.depth == depth - 1), None)
        name = draw(names)
        found.append(
            Row(
                depth,
                (*above.path, name) if above else (name,),
                keys[2 * at],
                draw(st.sampled_from([None, keys[2 * at + 1]])),
                above.id if above else "chn_1",
                draw(st.sampled_from(["section", "category"])),
                f"slug-{at}",
                name,
                draw(st.dictionaries(LOCALES, NAMES, max_size=2)),
                MappingProxyType(draw(st.dictionaries(NAMES, VALUES, max_size=2))),
                tuple(draw(st.lists(VALUES, max_size=2))),
            )
        )
    return found


def expected(found: list[Row]) -> list[tuple[object, ...]]:
    """The entries, without their lines, that the rows must come back as."""
    key = {row.id: row.external_id or row.id for row in found}
    return [
        (
            key[row.id],
            key.get(row.parent_id or ""),
            row.name,
            row.slug,
            row.kind,
            row.translations,
            row.attributes,
            row.rules,
        )
        for row in found
    ]


@pytest.mark.parametrize("format", ["json", "csv"])
@given(found=rows())
def test_what_is_written_is_read_back(format: str, found: list[Row]) -> None:
    """Everything in a tree survives an export as JSON or CSV and the import of it, whatever the names."""
    taxonomy = parse("".join(render(format, found, channel="books", revision=7)).encode())
    assert taxonomy.format == format
    assert [entry[:-1] for entry in taxonomy.entries] == expected(found)


@given(rows(ids=st.from_regex(r"[a-z0-9_-]{1,12}", fullmatch=True)))
def test_paths_are_read_back_or_refused(found: list[Row]) -> None:
    """Ids, names and parents survive an export of paths; names that would not are refused with the way out."""
    try:
        text = "".join(render("paths", found))
    except InvalidInput as error:
        refused = str(error)
        assert refused.endswith("export as json or csv, which keep everything.")
        return
    taxonomy = parse(text.encode(), "paths")
    assert taxonomy.format == "google"
    assert [entry[:3] for entry in taxonomy.entries] == [each[:3] for each in expected(found)]


@given(
    rows(
        names=st.text("abcdeé&',.:", min_size=1, max_size=8), ids=st.from_regex(r"[a-z]{2}-[0-9-]{1,9}", fullmatch=True)
    )
)
def test_usual_names_are_written_as_paths(found: list[Row]) -> None:
    """Names without a sign that separates are never refused, but for twins."""
    twins = len({row.path for row in found}) < len(found)
    if twins:
        with pytest.raises(InvalidInput, match="sibling of the same name"):
            list(render("paths", found))
    else:
        assert parse("".join(render("paths", found)).encode()).format == "google"


def a_row(*path: str, **changes: Any) -> Row:
    return Row(
        len(path), path, "cat_" + "".join(path), None, "cat_" + "".join(path[:-1]), "category", "s", path[-1]
    )._replace(**changes)


def test_json_is_one_node_a_line() -> None:
    """An export shows in a version control system what changed."""
    text = "".join(render("json", [a_row("A"), a_row("A", "B"), a_row("C")], channel="books", revision=3))
    assert text.count("\n") == 5
    document = json.loads(text)
    assert (document["channel"], document["revision"]) == ("books", 3)
    assert [node["name"] for node in document["nodes"]] == ["A", "C"]
    assert document["nodes"][0]["children"][0]["children"] == []


def test_an_empty_tree_is_written() -> None:
    """Without rows there is a header, or nothing."""
    assert json.loads("".join(render("json", [], channel="books"))) == {"channel": "books", "nodes": []}
    assert "".join(render("csv", [])) == "id,external_id,parent_id,kind,slug,name,path,rules\n"
    assert "".join(render("paths", [])) == ""


def test_a_subtree_is_a_file_of_its_own() -> None:
    """Rows that begin below the top are read back with their first as the top."""
    below = [a_row("A", "B"), a_row("A", "B", "C"), a_row("A", "D")]
    for format in ("json", "csv"):
        entries = parse("".join(render(format, below)).encode()).entries
        assert [entry.parent for entry in entries] == [None, "cat_AB", None]


def test_tables_hold_a_column_for_each_locale_and_attribute() -> None:
    """Columns are sorted; cells are JSON, and left as they are even where a spreadsheet would calculate."""
    table = "".join(
        render("csv", [a_row("=1+1", translations={"fr": "F", "de": "D"}, attributes={"b": [1], "a": "x"})])
    )
    (row,) = csv.DictReader(io.StringIO(table))
    assert list(row)[-4:] == ["name:de", "name:fr", "attr:a", "attr:b"]
    assert (row["name"], row["path"], row["attr:a"], row["attr:b"]) == ("=1+1", "=1+1", '"x"', "[1]")


def test_rows_out_of_order_are_a_mistake() -> None:
    """Nesting can't be written of rows that are not depth-first."""
    with pytest.raises(ValueError, match="depth-first"):
        list(render("json", [a_row("A"), a_row("A", "B", "C")]))


def test_json_is_written_as_the_rows_come() -> None:
    """A row is written before the next is asked for, so that a million fit."""
    asked: list[str] = []

    def coming() -> Any:
        for name in "AB":
            asked.append(name)
            yield a_row(name)

    pieces = render("json", coming())
    assert ('"name":"A"' in next(pieces) + next(pieces), asked) == (True, ["A"])


def test_deep_trees_are_written_without_recursion() -> None:
    """However deep the tree, writing it needs no stack."""
    deep = [a_row(*"x" * depth, id=f"cat_{depth}") for depth in range(1, 3000)]
    assert "".join(render("json", deep)).endswith("]}" * 2999 + "\n]}\n")


def test_an_unknown_format_is_not_written() -> None:
    """The error lists the formats there are."""
    with pytest.raises(InvalidInput, match="choose one of json, csv, paths"):
        render("xml", [])


# Real files


REAL = {"shopify-2024-07.yml": 10_281, "shopify-2025-03.yml": 10_595, "shopify-2025-08.txt": 10_595}


def real(shared: Path, name: str) -> bytes:
    path = shared / "data" / "taxonomy" / name
    if not path.is_file():
        pytest.skip(f"shared test data: no {path.name}")
    return path.read_bytes()


def by_hand(data: bytes) -> Mapping[str, str]:
    """Full name by id, as read with nothing but splits: a second opinion."""
    text = data.decode()
    if text.startswith("---"):
        lines = text.splitlines()[1:]
        return {
            key[len("- id: ") :]: name[len("  full_name: ") :]
            for key, name in zip(lines[::2], lines[1::2], strict=True)
        }
    pairs = [line.split(" : ") for line in text.splitlines() if line.startswith("gid://")]
    return {key.strip().split("/")[-1]: name for key, name in pairs}


@pytest.mark.parametrize("name", REAL)
def test_real_files_are_read_completely(shared: Path, name: str) -> None:
    """Every category of the published taxonomies is there, under its right parent."""
    data = real(shared, name)
    taxonomy = parse(data)
    assert len(taxonomy.entries) == REAL[name]
    assert paths_of(taxonomy) == by_hand(data)
    assert all(entry.parent == (entry.external_id.rpartition("-")[0] or None) for entry in taxonomy.entries)


@pytest.mark.parametrize("name", REAL)
def test_real_files_keep_their_order(shared: Path, name: str) -> None:
    """Entries come in the order of the file, whose parents all stand before their children."""
    data = real(shared, name)
    assert [entry.external_id for entry in parse(data).entries] == list(by_hand(data))


def test_a_real_file_with_one_bad_line_is_refused_whole(shared: Path) -> None:
    """Nothing of ten thousand lines is imported when one is wrong, and that one is named."""
    lines = real(shared, "shopify-2025-08.txt").split(b"\n")
    lines[5000] = lines[5000].replace(b" > ", b" > \x07", 1)
    assert [each.line for each in problems(b"\n".join(lines)) if "U+0007" in each.reason] == [5001]


@pytest.mark.parametrize("format", ["json", "csv", "paths"])
def test_a_real_taxonomy_survives_every_export(shared: Path, format: str) -> None:
    """The whole taxonomy, written and read again, has the same ids, names and parents."""
    taxonomy = parse(real(shared, "shopify-2025-08.txt"))
    paths: dict[str | None, tuple[str, ...]] = {None: ()}
    written: list[Row] = []
    for entry in sorted(taxonomy.entries, key=lambda entry: [int(part, 36) for part in entry.external_id.split("-")]):
        key = entry.external_id
        paths[key] = (*paths[entry.parent], entry.name)
        parent = f"cat_{entry.parent}" if entry.parent else None
        written.append(Row(len(paths[key]), paths[key], f"cat_{key}", key, parent, "category", key, entry.name))
    again = parse("".join(render(format, written)).encode())
    assert {entry[:3] for entry in again.entries} == {entry[:3] for entry in taxonomy.entries}
