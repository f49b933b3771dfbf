"""CSV: a header, then one category a row, placed by ``parent_id`` or by ``path``."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import Any

from mallcore.structure.rules.formats.checking import Check, quoted
from mallcore.structure.rules.formats.entries import EMPTY, Entry
from mallcore.structure.rules.formats.jsontext import NotJson, load
from mallcore.structure.rules.formats.linking import Fields, assemble, parents_by_id, parents_by_path
from mallcore.structure.rules.formats.paths import split_path, tidy_path

COLUMNS = ("id", "external_id", "parent_id", "kind", "slug", "name", "path", "rules")
NAME, ATTRIBUTE = "name:", "attr:"

Cells = dict[str, str]  # column to text, without the blank ones


def read_csv(text: str, check: Check) -> tuple[Entry, ...]:
    """The entries of a table.

    >>> from mallcore.structure.rules.formats.entries import Limits
    >>> text = "id,parent_id,name,name:fr\\n1,,Home,Maison\\n2,1,Garden,"
    >>> [entry[:3] for entry in read_csv(text, Check(Limits()))]
    [('1', None, 'Home'), ('2', '1', 'Garden')]
    """
    rows = _rows(text, check)
    columns = _columns(*next(rows, (1, [])), check)
    table = [(line, _cells(columns, line, row, check)) for line, row in rows]
    lines = [line for line, _ in table]
    ids = [(_id(cells, "id", line, check), _id(cells, "external_id", line, check)) for line, cells in table]
    if _placed_by_path(columns):
        parents = _parents_by_path(table, lines, check)
    else:
        wanted = [_id(cells, "parent_id", line, check) for line, cells in table]
        parents = parents_by_id(ids, wanted, lines, check)
    fields = [_fields(cells, line, check) for line, cells in table]
    return assemble([external or own for own, external in ids], fields, parents, lines, check)


def header_of(text: str) -> tuple[str, list[str]]:
    """The separator and the columns of a table: a comma, a semicolon or a tab, whichever the first line has most of.

    >>> header_of("id;name\\n1;Home")
    (';', ['id', 'name'])
    """
    first = text.lstrip("\n").partition("\n")[0]
    separator = max(",;\t", key=first.count)
    return separator, [_column(cell) for cell in next(csv.reader([first], delimiter=separator), [])]


def is_header(columns: list[str]) -> bool:
    """Whether these are columns of a table of categories."""
    return "name" in columns or "path" in columns


def _column(cell: str) -> str:
    bare = cell.strip()
    return bare.lower() if bare.lower() in COLUMNS else bare


def _rows(text: str, check: Check) -> Iterator[tuple[int, list[str]]]:
    """The rows that hold something, the header first, each with the line it begins on."""
    begins = 1
    try:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=header_of(text)[0], strict=True)
        for number, row in enumerate(reader):
            check.count(number)
            if any(map(str.strip, row)):
                yield begins, row
            begins = reader.line_num + 1
    except csv.Error as error:
        check.fail(begins, f"the row is not CSV: {error}")


def _columns(line: int, header: list[str], check: Check) -> list[str]:
    columns = [_column(cell) for cell in header]
    for column in {column for column in columns if column and columns.count(column) > 1}:
        check.add(line, f"the column {quoted(column)} stands twice")
    for column in columns:
        _check_column(line, column, check)
    if not is_header(columns):
        check.fail(line, "the header has neither a column 'name' nor a column 'path'")
    if "parent_id" in columns and not {"id", "external_id"} & set(columns):
        check.fail(line, "the header has a column 'parent_id' but no column 'id' it could point to")
    check.settle()
    return columns


def _check_column(line: int, column: str, check: Check) -> None:
    if column.startswith(NAME):
        check.locale(line, column.removeprefix(NAME))
    elif column.startswith(ATTRIBUTE):
        check.name(line, column.removeprefix(ATTRIBUTE), "the attribute's name")
    elif column and column not in COLUMNS:
        check.add(line, f"the column {quoted(column)} is unknown: call it 'attr:…' to import it as an attribute")


def _placed_by_path(columns: list[str]) -> bool:
    return "path" in columns and "parent_id" not in columns


def _cells(columns: list[str], line: int, row: list[str], check: Check) -> Cells:
    if len(row) > len(columns) and any(map(str.strip, row[len(columns) :])):
        check.add(line, f"the row has {len(row)} cells, and the header has {len(columns)}")
    cells = {column: cell for column, cell in zip(columns, row, strict=False) if cell and not cell.isspace()}
    if "" in cells:
        check.add(line, f"the cell {quoted(cells.pop(''))} stands in a column without a name")
    return cells


def _parents_by_path(table: list[tuple[int, Cells]], lines: list[int], check: Check) -> list[int]:
    paths = [tidy_path(cells.get("path", ""), line, check) for line, cells in table]
    for (line, cells), path in zip(table, paths, strict=True):
        last = split_path(path)[-1]
        if cells.setdefault("name", last).strip() != last:
            check.add(line, f"the name {quoted(cells['name'])} is not the last of the path {quoted(path)}")
    return parents_by_path(paths, lines, check)


def _id(cells: Cells, column: str, line: int, check: Check) -> str:
    return check.id(line, cells[column], f"the {column}") if column in cells else ""


def _fields(cells: Cells, line: int, check: Check) -> Fields:
    return (
        check.name(line, cells.get("name") or split_path(cells.get("path", ""))[-1]),
        check.slug(line, cells["slug"]) if "slug" in cells else None,
        check.kind(line, cells["kind"].strip()) if "kind" in cells else None,
        _translations(cells, line, check) or EMPTY,
        _attributes(cells, line, check) or EMPTY,
        _rules(cells, line, check),
        line,
    )


def _translations(cells: Cells, line: int, check: Check) -> dict[str, str]:
    names = {column.removeprefix(NAME): cell for column, cell in cells.items() if column.startswith(NAME)}
    return {locale: check.name(line, name, f"the name in {quoted(locale)}") for locale, name in names.items()}


def _attributes(cells: Cells, line: int, check: Check) -> dict[str, object]:
    values = {column.removeprefix(ATTRIBUTE): cell for column, cell in cells.items() if column.startswith(ATTRIBUTE)}
    return {key: _value(cell, line, f"the attribute {quoted(key)}", check) for key, cell in values.items()}


def _value(cell: str, line: int, what: str, check: Check) -> Any:
    """The value of a cell: JSON, or else, as people write tables by hand, the text as it is."""
    if cell.strip() in ("NaN", "Infinity", "-Infinity"):  # Python reads these, JSON has no such numbers
        return cell
    try:
        value = load(cell)
    except NotJson as error:
        if cell.lstrip()[0] in '{["':
            check.add(line, f"{what} begins like JSON, but {error.reason}")
        value = cell
    check.value(line, value, what)
    return value


def _rules(cells: Cells, line: int, check: Check) -> tuple[Any, ...]:
    if "rules" not in cells:
        return ()
    try:
        rules = load(cells["rules"])
    except NotJson as error:
        check.add(line, f"the cell of rules can't be read: {error.reason}")
        return ()
    if type(rules) is not list:
        check.add(line, "the cell of rules is no list")
        return ()
    check.value(line, rules, "the cell of rules")
    return tuple(rules)
