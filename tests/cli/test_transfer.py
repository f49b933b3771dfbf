"""Taxonomies in and out of a mall, by files and pipes; what is wrong with one is said line by line."""

import json
import os
import pty
import select
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import PROGRAM
from tests.cli.typing_in import Typed

Cli = Callable[..., Typed]
TAXONOMY = "1 - Books\n2 - Books > Crime\n3 - Books > Poetry\n"


@pytest.fixture
def shop(cli: Cli) -> Cli:
    """A mall with one empty channel."""
    assert cli("channels", "create", "shop", "--name", "Shop").code == 0
    return cli


@pytest.fixture
def taxonomy(tmp_path: Path) -> str:
    file = tmp_path / "taxonomy.txt"
    file.write_text(TAXONOMY)
    return str(file)


def revision(cli: Cli) -> int:
    found: int = cli("structure", "show", "--json").json["revision"]
    return found


def test_a_file_becomes_a_revision(shop: Cli, taxonomy: str) -> None:
    """Tried first, then imported, then imported again without any change of nodes."""
    tried = shop("structure", "import", taxonomy, "--dry-run")
    assert tried.out.splitlines()[0] == '+ books  "Books"'
    assert "Nothing was changed" in tried.out
    assert revision(shop) == 0
    assert shop("structure", "import", taxonomy, "-m", "First").out == "Revision 1: 3 categories (google), 3 added.\n"
    assert shop("structure", "log", "--json").json["items"][0]["message"] == "First"
    done = shop("structure", "import", "-", "--json", stdin=TAXONOMY.replace("Crime", "Noir").encode()).json
    assert (done["revision"], done["counts"]) == (2, {"added": 0, "removed": 0, "changed": 1})


def test_what_a_file_lacks_goes_unless_kept(shop: Cli, taxonomy: str) -> None:
    """--keep-missing removes nothing."""
    shop("structure", "import", taxonomy)
    less = b"1 - Books\n"
    assert shop("structure", "import", "-", "--keep-missing", "--json", stdin=less).json["counts"]["removed"] == 0
    assert shop("structure", "import", "-", "--json", stdin=less).json["counts"]["removed"] == 2


def test_a_stale_import_is_refused(shop: Cli, taxonomy: str) -> None:
    """--expect guards an import like any other change."""
    assert shop("structure", "import", taxonomy, "--expect", "7", "--json").error["code"] == "stale-revision"
    assert revision(shop) == 0


def test_a_malformed_file_names_its_lines(shop: Cli) -> None:
    """All problems with line and reason, exit code 1, and nothing imported."""
    bad = "1 - Books\n1 - Toys\n3 - Games > Chess\n"
    done = shop("structure", "import", "-", stdin=bad.encode())
    assert done.code == 1
    assert "nothing was imported" in done.err
    assert "line 2" in done.err
    assert "line 3" in done.err
    error = shop("structure", "import", "-", "--json", stdin=bad.encode()).error
    assert error["code"] == "malformed-taxonomy"
    assert [problem["line"] for problem in error["problems"]] == [2, 3]
    assert all(problem["reason"] for problem in error["problems"])
    assert revision(shop) == 0


@pytest.mark.parametrize("content", [b"", b"\x00\x01", "1 - Bücher\n".encode("latin-1"), b"1 - A\x07\n", b"{}", b"["])
def test_what_is_no_taxonomy_is_refused(shop: Cli, content: bytes) -> None:
    """Wrong encoding, control characters, emptiness, half a document."""
    assert shop("structure", "import", "-", "--json", stdin=content).error["code"] == "malformed-taxonomy"
    assert revision(shop) == 0


def test_a_format_can_be_named(shop: Cli, taxonomy: str) -> None:
    """A format there is not is refused with those there are."""
    assert shop("structure", "import", taxonomy, "--format", "google", "--json").json["format"] == "google"
    assert "google" in shop("structure", "import", taxonomy, "--format", "xml").err


def test_a_file_that_cannot_be_read_is_named(shop: Cli, tmp_path: Path) -> None:
    """Missing, a folder, not readable: each its own message, no traceback, exit code 1."""
    missing, folder = str(tmp_path / "missing.txt"), str(tmp_path)
    assert shop("structure", "import", missing, "--json").error["code"] == "not-found"
    assert "is a folder" in shop("structure", "import", folder).err
    assert "can't be read" in shop("structure", "import", "x" * 300).err
    for done in (shop("structure", "import", missing), shop("structure", "edit", folder)):
        assert (done.code, done.err.count("\n")) == (1, 1)


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may read everything")
def test_a_file_without_permission_is_named(shop: Cli, taxonomy: str) -> None:
    """The reason is the system's."""
    os.chmod(taxonomy, 0)
    assert "Permission denied" in shop("structure", "import", taxonomy).err


def test_a_file_too_large_is_refused_before_it_is_read(shop: Cli, tmp_path: Path) -> None:
    """A size beyond the limit is refused by the size alone."""
    file = tmp_path / "large.txt"
    with file.open("wb") as opened:
        opened.truncate(300 << 20)
    assert shop("structure", "import", str(file), "--json").error["code"] == "limit-exceeded"


@pytest.mark.parametrize("format", ["json", "csv", "paths"])
def test_an_export_is_imported_again(shop: Cli, taxonomy: str, format: str, tmp_path: Path) -> None:
    """What one channel gives, another takes: the same names at the same places."""
    shop("structure", "import", taxonomy)
    file = tmp_path / f"out.{format}"
    done = shop("structure", "export", "--format", format, "--output", str(file), "--json").json
    assert (done["nodes"], done["bytes"], done["revision"]) == (3, file.stat().st_size, 1)
    assert shop("structure", "export", "--format", format).stdout == file.read_bytes()
    shop("channels", "create", "copy", "--name", "Copy")
    assert shop("structure", "import", str(file), "--channel", "copy").code == 0
    first, second = (shop("structure", "show", "--channel", name).out.splitlines() for name in ("shop", "copy"))
    assert [line.split("  sec_")[0].split("  cat_")[0] for line in first[1:]] == [
        line.split("  sec_")[0].split("  cat_")[0] for line in second[1:]
    ]


def test_everything_of_a_node_survives_json(shop: Cli) -> None:
    """Translations, attributes and rules of the demo's own mall go out and come in."""
    from mallcore.adapters.cli.demo import __path__ as place

    shop("structure", "import", str(Path(place[0]) / "mall.json"))
    out = shop("structure", "export").stdout
    shop("channels", "create", "copy", "--name", "Copy")
    assert shop("structure", "import", "-", "--channel", "copy", stdin=out).code == 0
    for node in ("books", "garden/seeds-bulbs", "pantry/hampers"):
        one, other = (shop("structure", "node", node, "--channel", name, "--json").json for name in ("shop", "copy"))
        for field in ("name", "translations", "attributes", "rules", "kind", "external_id"):
            assert one[field] == other[field]


def test_an_old_revision_is_exported(shop: Cli, taxonomy: str) -> None:
    """--at takes a number, a time or a snapshot."""
    shop("structure", "import", taxonomy)
    assert json.loads(shop("structure", "export", "--at", "0").out)["nodes"] == []
    assert shop("structure", "export", "--at", "9", "--json").error["code"] == "unknown-revision"


def test_an_export_that_fails_leaves_what_was_there(shop: Cli, tmp_path: Path) -> None:
    """A file is replaced at the end or not at all, and what stands in the way is named."""
    shop("structure", "import", "-", stdin=b"a - A\nb - A > B\n")
    shop("structure", "create", "C > D")
    file = tmp_path / "kept.txt"
    file.write_text("kept")
    assert (
        shop("structure", "export", "--format", "paths", "--output", str(file), "--json").error["code"]
        == "invalid-input"
    )
    assert [one.name for one in tmp_path.iterdir() if one.is_file()] == ["kept.txt"]
    assert file.read_text() == "kept"
    for place in (tmp_path, tmp_path / "no" / "folder.json"):
        assert "can't be written" in shop("structure", "export", "--output", str(place)).err


@pytest.mark.slow
def test_the_real_taxonomy_is_imported(shop: Cli, shared: Path) -> None:
    """Ten thousand categories, and a newer edition as real adds, moves and renames."""
    older, newer = (str(shared / "data" / "taxonomy" / name) for name in ("shopify-2025-03.yml", "shopify-2025-08.txt"))
    first = shop("structure", "import", older, "--json").json
    assert (first["format"], first["entries"]) == ("shopify-yml", first["counts"]["added"])
    second = shop("structure", "import", newer, "--json").json
    assert second["format"] == "shopify-txt"
    assert second["counts"]["added"] < 3000
    assert shop("structure", "verify", "--json").json["nodes"] == 10_595


def test_progress_is_drawn_on_a_terminal_only(shop: Cli, folder: Path, tmp_path: Path) -> None:
    """Bars for reading, parsing and writing go to a terminal on stderr; the result on stdout stays clean."""
    file = tmp_path / "large.txt"
    file.write_text("".join(f"{number} - Shelf {number}\n" for number in range(1, 5001)))
    ours, theirs = pty.openpty()
    words = ["--mall", str(folder), "structure", "import", str(file), "--json"]
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "100"}
    running = subprocess.Popen([*PROGRAM, *words], stdout=subprocess.PIPE, stderr=theirs, env=environment)
    os.close(theirs)
    drawn = b""
    while running.poll() is None or select.select([ours], [], [], 0.2)[0]:
        try:
            drawn += os.read(ours, 65536) if select.select([ours], [], [], 0.2)[0] else b""
        except OSError:
            break
    os.close(ours)
    assert running.stdout is not None
    with running, running.stdout:
        assert json.loads(running.stdout.read())["entries"] == 5000
    for stage in (b"reading", b"parsing", b"comparing", b"writing"):
        assert stage in drawn
    assert b"writing" not in shop("structure", "import", str(file)).stderr


def test_an_import_that_is_interrupted_changes_nothing(shop: Cli, folder: Path, tmp_path: Path) -> None:
    """Ctrl-C in the middle of a file: exit code 130, no traceback, and the head where it was."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    words = ["--mall", str(folder), "structure", "import", str(pipe)]
    process = subprocess.Popen([*PROGRAM, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    with process:
        with pipe.open("w") as file:  # opens when the command does
            file.write(TAXONOMY * 10_000)  # more than a pipe holds: when it is written, it is being read
            file.flush()
            process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=90)
    assert (process.returncode, out, err) == (130, "", "")
    assert revision(shop) == 0
