"""The versions of the API from the command line: listed, checked against golden files, compared, noted, written."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from mallcore.api.contracts import OURS
from tests.cli.typing_in import type_in

PLUGIN = '''
"""A plug-in of a host, with an operation of its own."""

from mallcore import hookimpl
from mallcore.kernel.context import Context
from mallcore.kernel.operations import Rest, operation


@operation(permission=None, rest=Rest("GET", "/greetings"), name="greetings.greet")
def greet(ctx: Context, *, {parameter}: str = "world") -> str:
    """Greet somebody."""
    return "hello"


class Greetings:
    @hookimpl
    def operations_extra(self):
        return [greet]
'''


@pytest.fixture(autouse=True)
def _nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No mall is needed: all is typed in an empty folder."""
    monkeypatch.chdir(tmp_path)


def plugged(tmp_path: Path, parameter: str = "name") -> str:
    """A new plug-in in the folder, whose operation takes this parameter; returns what names it."""
    module = f"greetings_{parameter}_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{module}.py").write_text(PLUGIN.format(parameter=parameter), encoding="utf-8")
    return f"{module}:Greetings"


def test_versions_are_listed() -> None:
    """Each version with its state, the newest first."""
    found = type_in("api", "versions", "--json").json["items"]
    assert [one["name"] for one in found] == ["2026-11-01", "2026-08-01", "2026-05-01"]
    assert [one["latest"] for one in found].count(True) == 1
    assert "2026-08-01" in type_in("api", "versions").out


def test_a_host_guards_its_own_operations(tmp_path: Path) -> None:
    """Golden files are made, hold, and fail when a parameter is renamed: with exit code 1, and never overwritten."""
    folder, plugin = tmp_path / "golden", plugged(tmp_path)
    words = ("api", "check", "--golden", str(folder))
    missing = type_in(*words, "--plugin", plugin)
    assert (missing.code, "--write makes it" in missing.out) == (1, True)
    assert type_in(*words, "--plugin", plugin, "--write").code == 0
    assert list(json.loads((folder / "2026-11-01.json").read_text())["operations"]) == ["greetings.greet"]
    assert type_in(*words, "--plugin", plugin).code == 0
    other = plugged(tmp_path, "whom")
    for more in ((), ("--write",)):
        broken = type_in(*words, "--plugin", other, *more)
        assert broken.code == 1
        assert "[request-parameter-renamed]" in broken.out
        assert "declare a Change in the next version" in broken.out
    told = json.loads(type_in(*words, "--plugin", other, "--json").stdout)
    assert (told["ok"], told["versions"][0]["verdict"]) == (False, "breaking")


def test_our_own_files_are_checked_without_being_named() -> None:
    """Without a folder mallcore's own golden files are checked; nothing of them is written unasked."""
    before = {path.name: path.read_bytes() for path in OURS.glob("*.json")}
    found = json.loads(type_in("api", "check", "--json").stdout)
    assert [one["version"] for one in found["versions"]] == ["2026-11-01", "2026-08-01", "2026-05-01"]
    assert {path.name: path.read_bytes() for path in OURS.glob("*.json")} == before


@pytest.mark.parametrize("name", ["nothing_there:Plugin", "json:Nothing", ":", "json:", "no-such-plug-in"])
def test_a_plugin_that_is_not_there_is_named(name: str) -> None:
    """What can't be plugged in is an error that says so."""
    found = type_in("api", "versions", "--plugin", name, "--json").error
    assert found["code"] in ("invalid-input", "invalid-settings")
    assert "plug" in found["message"]


def test_a_damaged_golden_file_is_an_error(tmp_path: Path) -> None:
    """A file that is no contract is named."""
    folder = tmp_path / "golden"
    folder.mkdir()
    (folder / "2026-11-01.json").write_text("{", encoding="utf-8")
    found = type_in("api", "check", "--golden", str(folder), "--json")
    assert found.error["code"] == "invalid-input"
    assert "2026-11-01.json" in found.error["message"]


def test_versions_are_compared() -> None:
    """Differences are counted, and a version differs in nothing from itself."""
    same = type_in("api", "diff", "2026-11-01", "2026-11-01", "--json").json
    assert (same["breaking"], same["differences"]) == (0, [])
    found = type_in("api", "diff", "2026-05-01", "--json").json
    assert (found["since"], found["until"]) == ("2026-05-01", "2026-11-01")
    assert found["breaking"] == sum(one["level"] == "breaking" for one in found["differences"])
    assert type_in("api", "diff", "2026-05-01").code == 0


def test_notes_are_written_in_three_forms(tmp_path: Path) -> None:
    """Markdown unless something else is asked for; the feed is XML; --json is JSON; a file takes them whole."""
    markdown = type_in("api", "notes", "2026-05-01").out
    assert markdown.startswith("# From 2026-05-01 to 2026-11-01\n")
    feed = ElementTree.fromstring(type_in("api", "notes", "2026-05-01", "--format", "atom").stdout)
    assert feed.tag == "{http://www.w3.org/2005/Atom}feed"
    assert type_in("api", "notes", "2026-05-01", "--json").json["until"] == "2026-11-01"
    file = tmp_path / "notes.md"
    assert type_in("api", "notes", "2026-05-01", "--output", str(file)).code == 0
    assert file.read_text(encoding="utf-8") == markdown


@pytest.mark.parametrize(
    "words", [("notes", "1999-01-01"), ("diff", "x"), ("schema", "../x"), ("diff", "2026-05-01", "y")]
)
def test_an_unknown_version_is_an_error(words: tuple[str, ...]) -> None:
    """A version that is not there is told with those that are."""
    found = type_in("api", *words, "--json")
    assert (found.code, found.error["code"]) == (1, "unknown-api-version")
    assert "2026-11-01" in found.error["message"]


def test_notes_lead_forward() -> None:
    """From a newer version to an older one there are none."""
    assert type_in("api", "notes", "2026-11-01", "2026-05-01", "--json").error["code"] == "invalid-input"


def test_schemas_are_written() -> None:
    """OpenAPI, GraphQL's language and the contract, each of the version that is named, or the newest stable one."""
    assert type_in("api", "schema", "2026-05-01").json["info"]["version"] == "2026-05-01"
    assert type_in("api", "schema", "--format", "contract").json["version"] == "2026-11-01"
    assert "type Query" in type_in("api", "schema", "--format", "graphql").out


def test_usage_is_a_matter_of_a_mall(tmp_path: Path) -> None:
    """Who uses what is asked of a mall: without one that is an error."""
    assert type_in("api", "usage", "--json").error["code"] == "not-found"
