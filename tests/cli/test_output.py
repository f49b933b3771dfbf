"""What commands say, and how they end: stdout for results, stderr for the rest, and no traceback."""

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mallcore.adapters import cli as door
from mallcore.adapters.cli.output import as_json, clean
from mallcore.adapters.cli.session import user
from tests.cli.conftest import PROGRAM
from tests.cli.typing_in import Typed, type_in

Cli = Callable[..., Typed]


def test_lists_have_items_and_where_they_go_on(books: Cli) -> None:
    """A list is an object with its items and the cursor of the next page."""
    first = books("structure", "log", "--limit", "2", "--json").json
    assert [one["number"] for one in first["items"]] == [3, 2]
    assert set(first["items"][0]) >= {"number", "author", "at", "message"}
    rest = books("structure", "log", "--limit", "2", "--cursor", first["next"], "--json").json
    assert [one["number"] for one in rest["items"]] == [1]
    assert rest["next"] is None


def test_all_pages_can_be_asked_for(books: Cli) -> None:
    """--all follows the cursors."""
    assert len(books("structure", "log", "--all", "--json").json["items"]) == 3
    shown = books("structure", "log", "--limit", "1")
    assert "--cursor" in shown.err
    assert len(shown.out.splitlines()) == 2


def test_the_author_is_who_types(books: Cli) -> None:
    """Revisions and audit records name the user of the machine."""
    for item in books("structure", "log", "--json").json["items"]:
        assert item["author"] == f"system:cli:{user()}"
    assert books("audit", "show", "--json").json["items"][0]["principal"] == f"system:cli:{user()}"


def test_a_user_without_a_name_still_has_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a container the user id may have no name."""

    def nobody() -> str:
        raise OSError("No username set in the environment")

    monkeypatch.setattr("getpass.getuser", nobody)
    assert user() not in ("", "root")
    monkeypatch.setattr("getpass.getuser", lambda: "a:b\x1b\n")
    assert user() == "a_b__"


def test_the_tree_is_nested(books: Cli) -> None:
    """`show --json` nests nodes under nodes[].children; for people it is drawn."""
    tree = books("structure", "show", "--json").json
    assert [one["slug"] for one in tree["nodes"][0]["children"]] == ["crime", "poetry"]
    lines = books("structure", "show").out.splitlines()
    assert lines[0].startswith("Books  (books, revision 3")
    assert [line.partition("  [")[0] for line in lines[1:]] == ["└── Fiction", "    ├── Crime", "    └── Poetry"]


def test_results_and_messages_do_not_mix(books: Cli) -> None:
    """With --json stdout holds one JSON value, and nothing else goes there."""
    for words in (
        ["channels", "show", "books"],
        ["structure", "diff", "1", "3"],
        ["structure", "node", "fiction"],
        ["structure", "verify"],
        ["structure", "revision", "1"],
        ["units", "list"],
        ["access", "roles"],
        ["doctor"],
    ):
        done = books(*words, "--json")
        json.loads(done.stdout)
        assert done.stderr == b""
        assert books(*words).stdout != b""


def test_json_may_be_asked_for_anywhere(books: Cli) -> None:
    """Before the command, within it, and behind it."""
    for words in (
        ["--json", "structure", "log"],
        ["structure", "--json", "log"],
        ["structure", "log", "--json"],
    ):
        assert books(*words).json["items"]


def test_a_refusal_has_code_and_details(books: Cli) -> None:
    """Exit code 1; for programs an object on stderr, for people a sentence."""
    error = books("structure", "rename", "fiction/crime", "Noir", "--expect", "1", "--json").error
    assert (error["code"], error["expected"], error["actual"]) == ("stale-revision", 1, 3)
    assert list(error)[:2] == ["code", "message"]
    done = books("structure", "rename", "fiction/crime", "Noir", "--expect", "1")
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith("error: Revision 1 was expected, but the head is 3")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["strukture"], "strukture"),
        (["structure", "lug"], "lug"),
        (["structure", "log", "--bogus"], "--bogus"),
        (["structure", "log", "--limit", "many"], "--limit"),
        (["structure", "move", "x"], "PARENT"),
        (["structure", "rollback"], "--to"),
        (["structure", "remove", "x", "--policy", "explode"], "--policy"),
        (["structure", "export", "--format", "xml"], "--format"),
        (["serve", "--port", "65536"], "--port"),
        (["structure", "log", "too", "much"], "too much"),
    ],
)
def test_what_is_not_understood_is_said(cli: Cli, words: list[str], said: str) -> None:
    """Exit code 2; the message names the word, and where to find help; for programs it is JSON too."""
    done = cli(*words)
    assert (done.code, done.out) == (2, "")
    assert said in done.err
    assert "--help" in done.err
    done = cli(*words, "--json")
    assert done.code == 2
    assert done.error["code"] == "usage"


@pytest.mark.parametrize("words", [[], ["structure"], ["structure", "draft"]])
def test_a_group_alone_shows_what_there_is(words: list[str]) -> None:
    """Without a command its help is shown, and the exit code is that of a misunderstanding."""
    done = type_in(*words)
    assert done.code == 2
    assert "Commands" in done.out
    assert type_in("--json", *words).error["code"] == "usage"


def test_the_version_is_told() -> None:
    """--version, for people and programs."""
    assert type_in("--version").out == "mallcore 0.1.0\n"
    for words in (["--version", "--json"], ["--json", "--version"]):
        assert type_in(*words).json == {"version": "0.1.0"}


def test_the_only_channel_need_not_be_named(books: Cli) -> None:
    """--channel may be left out where there is one; where there are more, the message asks for it."""
    assert books("structure", "show", "--json").json["slug"] == "books"
    assert books("channels", "create", "toys", "--name", "Toys").code == 0
    error = books("structure", "show", "--json").error
    assert (error["code"], error["field"]) == ("invalid-input", "channel")
    assert books("structure", "show", "--channel", "toys", "--json").json["slug"] == "toys"
    assert books("structure", "show", "--channel", "nope", "--json").error["code"] == "unknown-channel"


def test_without_a_channel_one_is_asked_to_make_one(cli: Cli) -> None:
    """An empty mall says what to do first."""
    assert "channels create" in cli("structure", "show").err


def test_nothing_shown_can_command_the_terminal(books: Cli) -> None:
    """A message is anybody's: control characters in it are made visible."""
    assert books("structure", "rename", "fiction", "F", "-m", "a\x1b[2J\x07b").code == 0
    shown = books("structure", "log").out
    assert "\x1b" not in shown
    assert "\x07" not in shown
    assert r"a\x1b[2J\x07b" in shown
    assert clean("Bücher\n") == "Bücher\n"


def test_markup_is_text(books: Cli) -> None:
    """Names that look like markup are shown as they are."""
    assert books("structure", "create", "[bold]Sale[/bold] :smile:").code == 0
    assert "[bold]Sale[/bold] :smile:" in books("structure", "show").out


def test_nothing_is_cut_or_wrapped_in_a_pipe(books: Cli) -> None:
    """Ids are whole and rows are lines where no terminal is."""
    name = "x" * 200
    assert books("channels", "create", "toys", "--name", name).code == 0
    lines = books("channels", "list").out.splitlines()
    assert len(lines) == 3
    assert name in lines[2]


def test_an_unforeseen_error_is_one_line(books: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bug is called one; the traceback is shown when it is asked for."""

    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("oh")

    monkeypatch.setattr("mallcore.adapters.cli.session.Cli.channel", broken)
    done = books("structure", "show")
    assert (done.code, done.err.count("\n")) == (1, 1)
    assert "ZeroDivisionError: oh. This is a bug" in done.err
    assert books("structure", "show", "--json").error["code"] == "internal"
    monkeypatch.setenv("MALLCORE_TRACEBACK", "1")
    assert "Traceback" in books("structure", "show").err


def test_an_interrupted_command_says_so_by_its_code(books: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C is exit code 130, without a traceback."""

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("mallcore.adapters.cli.session.Cli.channel", interrupted)
    done = books("structure", "show")
    assert (done.code, done.out, done.err) == (130, "", "")


def test_a_reader_who_leaves_is_no_error(books: Cli, folder: Path) -> None:
    """`mallcore … | head` ends quietly."""
    edits = json.dumps([{"op": "create", "name": f"Shelf {number} {'x' * 150}"} for number in range(2000)])
    assert books("structure", "edit", "-", stdin=edits.encode()).code == 0
    running = subprocess.Popen(
        [*PROGRAM, "--mall", str(folder), "structure", "show"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert running.stdout is not None
    assert running.stderr is not None
    running.stdout.readline()
    running.stdout.close()
    said = running.stderr.read()
    running.stderr.close()
    assert running.wait(60) == 141
    assert b"Traceback" not in said
    assert b"BrokenPipe" not in said


def test_the_command_line_without_its_extra_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where typer or rich is not installed, the message is the line that installs them."""
    for name in [name for name in sys.modules if name.startswith("mallcore.adapters.cli.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "typer", None)
    err = io.StringIO()
    monkeypatch.setattr(sys, "stderr", err)
    assert door.main(["channels", "list"]) == 1
    assert 'pip install "mallcore[cli]"' in err.getvalue()
    assert door.main(["channels", "list", "--json"]) == 1
    assert json.loads(err.getvalue().splitlines()[-1])["error"]["code"] == "missing-extra"


def test_the_door_imports_nothing_optional() -> None:
    """Importing the entry point costs no typer, no rich and no uvicorn."""
    program = "import sys, mallcore.adapters.cli; print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-I", "-c", program], capture_output=True, text=True, check=True)
    assert {"typer", "rich", "uvicorn"} & set(done.stdout.split()) == set()


def test_json_of_lists_and_values() -> None:
    """A bare list becomes a page; what JSON lacks becomes text."""
    assert json.loads(as_json([1])) == {"items": [1], "next": None}
    assert json.loads(as_json({"a": Path("x"), "b": {2}})) == {"a": "x", "b": [2]}


def test_the_program_runs_from_its_script(program: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    """The installed program does what the tests type, warnings counted as errors."""
    assert program("init", "--mall", "m").returncode == 0
    assert program("channels", "create", "books", "--name", "Bücher", "--mall", "m").returncode == 0
    done = program("channels", "list", "--json", "--mall", "m", env=os.environ | {"PYTHONIOENCODING": "ascii"})
    assert json.loads(done.stdout)["items"][0]["name"] == "Bücher"
    shown = program("channels", "list", "--mall", "m", env=os.environ | {"PYTHONIOENCODING": "ascii"})
    assert shown.returncode == 0, shown.stderr
