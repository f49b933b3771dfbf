"""The demo: on our own mall and a real taxonomy, on SQLite and PostgreSQL; and its last lines work as they stand."""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mallcore.adapters.cli.demo import __path__ as place
from tests.cli.serving import PATIENCE, running
from tests.cli.typing_in import Typed, type_in

STEPS = [
    "A mall", "Create and import", "Create", "Move", "Draft and preview", "Publish", "Diff", "Attach", "Snapshot",
    "Replace",
    "Campaign", "Rollback", "Read", "Versions", "API key", "GraphQL", "Verify", "Audit",
]  # fmt: skip


def steps_of(done: Any) -> dict[str, Any]:
    return {step["step"]: step for step in done["steps"]}


def test_it_needs_no_argument(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new folder, every step shown, explained and timed; the mall stays and holds."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    done = type_in("demo", "--no-serve")
    assert done.code == 0, done.err
    found = [title for title in STEPS if re.search(rf"^ *\d+  {title} .*(ms|µs| s)$", done.out, re.MULTILINE)]
    assert found == STEPS
    (folder,) = tmp_path.glob("mallcore-demo-*")
    assert str(folder) in done.out
    assert type_in("structure", "verify", "--mall", str(folder), "--json").json["revisions"] == 11
    assert type_in("doctor", "--mall", str(folder), "--json").json["ok"] is True


def test_every_command_it_shows_is_one(tmp_path: Path) -> None:
    """What stands behind a $ is understood by the command line (and where it only reads, it runs)."""
    done = type_in("demo", "--no-serve", "--dir", str(tmp_path / "mall"))
    shown = re.findall(r"^ +\$ mallcore (.*)$", done.out, re.MULTILINE)
    assert len(shown) == len(STEPS)
    for line in shown:
        words = shlex.split(line)
        reads = words[0] == "audit" or words[1] in ("show", "verify", "diff")
        again = type_in(*words, *([] if "--mall" in words else ["--mall", str(tmp_path / "mall")]))
        assert again.code == 0 if reads else again.code in (0, 1), (line, again.err)


def test_a_program_gets_the_steps_as_json(tmp_path: Path) -> None:
    """--json: one value, with each step's time and what it did."""
    done = type_in("demo", "--no-serve", "--dir", str(tmp_path / "mall"), "--json").json
    steps = steps_of(done)
    assert list(steps) == STEPS
    assert all(step["ms"] > 0 for step in done["steps"])
    assert steps["Create and import"]["nodes"] == 57
    assert steps["Rollback"]["restored"] == 19
    assert steps["Verify"]["revisions"] == 11
    assert (steps["Versions"]["2026-05-01"], steps["Versions"]["2026-11-01"]) == ("type", "kind")
    assert (steps["GraphQL"]["nodes"], steps["GraphQL"]["refused"]) == (7, 403)


@pytest.mark.slow
def test_it_plays_on_a_real_taxonomy(tmp_path: Path, shared: Path) -> None:
    """With --taxonomy the same tour goes over 10,595 categories, with nodes it found by itself."""
    file = shared / "data" / "taxonomy" / "shopify-2025-08.txt"
    done = type_in("demo", "--no-serve", "--dir", str(tmp_path / "mall"), "--taxonomy", str(file), "--json").json
    steps = steps_of(done)
    assert list(steps) == STEPS
    assert steps["Create and import"]["nodes"] == 10_595
    assert steps["Move"]["moved"] > 500
    assert steps["Rollback"]["restored"] > 1000


@pytest.mark.postgres
def test_it_plays_on_postgres(tmp_path: Path, postgres_url: str) -> None:
    """The same on PostgreSQL; a database that holds a mall already is left alone."""
    words = ["demo", "--no-serve", "--database", postgres_url, "--json"]
    assert list(steps_of(type_in(*words, "--dir", str(tmp_path / "a")).json)) == STEPS
    error = type_in(*words, "--dir", str(tmp_path / "b")).error
    assert error["code"] == "already-exists"
    assert not (tmp_path / "b" / "mall.toml").exists()


def test_it_overwrites_nothing(folder: Path) -> None:
    """A folder that holds a mall is refused with the way out, and left as it is."""
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    for words in (["--dir", str(folder)], ["--mall", str(folder)]):
        error = type_in("demo", "--no-serve", *words, "--json").error
        assert error["code"] == "already-exists"
        assert "--dir" in error["message"]
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_it_uses_no_mall_that_was_not_named(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """MALLCORE_MALL and MALLCORE_DATABASE are of one's own mall; the demo makes a new one."""
    monkeypatch.setenv("MALLCORE_MALL", str(folder))
    monkeypatch.setenv("MALLCORE_DATABASE", f"sqlite:///{tmp_path}/mine.db")
    done = type_in("demo", "--no-serve", "--dir", str(tmp_path / "new"), "--json").json
    assert done["mall"] == str(tmp_path / "new")
    assert not (tmp_path / "mine.db").exists()
    assert type_in("channels", "list", "--json").json["items"] == []


@pytest.mark.parametrize(
    ("content", "code"),
    [(None, "not-found"), ("1 - A\n1 - B\n", "malformed-taxonomy"), ("1 - A\n2 - A > B\n", "invalid-input")],
)
def test_a_taxonomy_it_cannot_play_on_is_refused(tmp_path: Path, content: str | None, code: str) -> None:
    """Missing, malformed, or too small for a story."""
    file = tmp_path / "taxonomy.txt"
    if content is not None:
        file.write_text(content)
    words = ["--dir", str(tmp_path / "mall"), "--taxonomy", str(file)]
    assert type_in("demo", "--no-serve", *words, "--json").error["code"] == code


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_its_last_lines_work_as_they_stand(tmp_path: Path) -> None:
    """It ends serving; the curl lines read, change, compare, and ask GraphQL with the key. Ctrl-C ends it well."""
    with running("demo", "--port", "0", "--dir", str(tmp_path / "mall")) as server:
        answers = []
        for line in server.said["try"]:
            done = subprocess.run(["sh", "-c", line], capture_output=True, check=True, timeout=PATIENCE)
            answers.append(json.loads(done.stdout))
        tree, changed, difference, shelves = answers
        assert "Winter Market" in [node["name"] for node in tree["nodes"]]
        assert (changed["name"], changed["revision"]) == ("Winter Wonders", tree["revision"] + 1)
        assert difference["text"] == '~ winter-market  "Winter Market" -> "Winter Wonders"'
        names = [node["name"] for node in shelves["data"]["structureGetChannel"]["tree"]["nodes"]]
        assert "Winter Wonders" in names
        assert server.get("/channels", "wrong").status_code == 401
        assert server.stop(signal.SIGINT) == 0
    assert os.path.exists(tmp_path / "mall" / "mall.toml")


def test_its_data_is_our_own_and_rich() -> None:
    """About sixty nodes, most with names in German and French, some with attributes and rules."""
    text = (Path(place[0]) / "mall.json").read_text()
    assert 50 <= text.count('"id"') <= 70
    assert text.count('"de"') > 40
    assert text.count('"rules"') >= 5
    assert text.count('"attributes"') >= 5


def test_a_terminal_sees_colours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Colours on a terminal, none in a pipe."""
    plain: Callable[[], Typed] = lambda: type_in("demo", "--no-serve", "--dir", str(tmp_path / "b"))  # noqa: E731
    assert "\x1b" not in plain().out
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "\x1b[" in type_in("demo", "--no-serve", "--dir", str(tmp_path / "a")).out
