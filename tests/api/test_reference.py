"""Tables of the REST reference, made from the code: `python -m tests.api.test_reference` makes them anew."""

import inspect
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from mallcore import Mall, errors
from mallcore.api.rules.problems import status_of
from mallcore.api.table import routes_of
from mallcore.api.versions import View
from mallcore.errors import MallError

REFERENCE = Path(__file__).resolve().parent.parent.parent / "docs" / "reference"


def operations() -> list[str]:
    """Every operation with its method, path, status and permission."""
    rows = ["| request | operation | answers | permission |", "|---|---|---|---|"]
    with Mall.open("sqlite://") as mall:
        for route in routes_of(View(mall.catalogue)):
            one, rest = route.operation, route.rest
            answers = "events" if one.kind == "stream" else str(rest.status)
            permission = f"`{one.permission}`" if one.permission else "none"
            rows.append(f"| `{rest.method} {rest.path}` | `{one.name}` | {answers} | {permission} |")
    return rows


def codes() -> list[str]:
    """Every error with its code, status and class."""
    kinds = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, MallError)]
    rows = [f"| `{kind.code}` | {status_of(kind)} | `{kind.__name__}` |" for kind in kinds]
    return ["| code | status | class |", "|---|---|---|", *sorted(rows)]


MADE: list[tuple[str, str, Callable[[], list[str]]]] = [
    ("rest.md", "operations", operations),
    ("errors.md", "errors", codes),
]


def parts(page: str, name: str) -> tuple[str, str, str]:
    """What a page has before, between and after the marks of a table."""
    text = (REFERENCE / page).read_text(encoding="utf-8")
    before, between, after = re.split(rf"(?<=% begin: {name}\n)(.*?)(?=% end: {name}\n)", text, flags=re.DOTALL)
    return before, between, after


def expected(make: Callable[[], list[str]]) -> str:
    return "\n" + "\n".join(make()) + "\n\n"


@pytest.mark.parametrize(("page", "name", "make"), MADE)
def test_tables_say_what_the_code_says(page: str, name: str, make: Callable[[], list[str]]) -> None:
    """What is served and what can go wrong is in the reference, with its status."""
    assert parts(page, name)[1].splitlines() == expected(make).splitlines()


if __name__ == "__main__":
    for page, name, make in MADE:
        before, _, after = parts(page, name)
        (REFERENCE / page).write_text(before + expected(make) + after, encoding="utf-8")
