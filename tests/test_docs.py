"""Every code block of README.md and docs/ runs, or says why not.

The blocks of one file run in order, in one namespace and one empty folder. What runs:

- ```` ```python ```` blocks, by `exec`. A ```` ```text output ```` block right behind one is what it prints, where
  `...` stands for anything; or write `assert` where the reader should believe something;
- ```` ```console ```` and ```` ```bash ```` blocks whose first line begins with `$ mallcore`. A line that begins with
  `$` is a command and must succeed; lines below it are its output, where `...` stands for anything. No such lines: the
  output is not compared.

A block with the info string `python no-run: reason` (or `console no-run: reason`) is a declared exception. A page with
the line `<!-- needs: postgres -->` runs on a new PostgreSQL database, whose URL is in `MALLCORE_DATABASE`.
"""

import contextlib
import doctest
import io
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
FENCE = re.compile(r"^(?P<ticks>`{3,})(?P<info>[^`\n]*)\n(?P<code>.*?)^(?P=ticks)\s*$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!https?:|#)(?P<path>[^)#]+)")
NEEDS_POSTGRES = "<!-- needs: postgres -->"
COMPARED = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block: where it begins, what it is, and why it does not run (or None)."""

    path: Path
    line: int
    language: str
    code: str
    excuse: str | None
    shows: bool  # whether it is what the block before it prints

    @property
    def runs(self) -> bool:
        command = self.language in ("console", "bash") and self.code.startswith("$ mallcore")
        return self.excuse is None and (self.language == "python" or command)

    def __str__(self) -> str:
        return f"{self.path.relative_to(REPOSITORY)}:{self.line}"


def blocks(path: Path) -> Iterator[Block]:
    text = path.read_text(encoding="utf-8")
    for found in FENCE.finditer(text):
        language, _, rest = found["info"].strip().partition(" ")
        excuse = rest.removeprefix("no-run:").strip() if rest.startswith("no-run") else None
        shows = (language, rest) == ("text", "output")
        yield Block(path, text.count("\n", 0, found.start()) + 1, language, found["code"], excuse, shows)


def pages() -> list[Path]:
    found = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").rglob("*.md"))]
    return [path for path in found if path.is_file() and "_build" not in path.parts]


def run_python(block: Block, namespace: dict[str, Any]) -> str:
    """Run the block; returns what it printed."""
    padding = "\n" * block.line  # so that tracebacks name the line in the page
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(compile(padding + block.code, str(block.path), "exec"), namespace)
    return printed.getvalue()


def compare(block: Block, expected: str, printed: str) -> None:
    """Fail unless what was printed is what the page shows."""
    matches = doctest.OutputChecker().check_output(expected, printed, COMPARED)
    assert matches, f"{block}:\nexpected:\n{expected}\ngot:\n{printed}"


def run_console(block: Block) -> None:
    scripts = str(Path(sys.executable).parent)
    environment = os.environ | {
        "PATH": scripts + os.pathsep + os.environ.get("PATH", ""),
        "NO_COLOR": "1",
        "COLUMNS": "120",
    }
    for part in re.split(r"^\$ ", block.code, flags=re.MULTILINE)[1:]:
        command, expected = re.match(r"((?:.*\\\n)*.*)\n?((?s:.*))", part).groups()  # type: ignore[union-attr]
        done = subprocess.run(
            command, shell=True, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, f"{block}: $ {command}\n{done.stdout}{done.stderr}"
        if expected.strip():
            compare(block, expected, done.stdout)


PAGES = pages()
BLOCKS = [block for page in PAGES for block in blocks(page)]
RUNNING = [page for page in PAGES if any(block.runs for block in blocks(page))]
EXCUSED = [block for block in BLOCKS if block.excuse is not None]
ON_POSTGRES = [page for page in RUNNING if NEEDS_POSTGRES in page.read_text(encoding="utf-8").splitlines()]


def name(page: Path) -> str:
    return str(page.relative_to(REPOSITORY))


def run_page(page: Path) -> None:
    namespace: dict[str, Any] = {"__name__": "__main__"}
    printed = ""
    for block in blocks(page):
        if block.shows:
            compare(block, block.code, printed)
        elif block.runs and block.language == "python":
            printed = run_python(block, namespace)
        elif block.runs:
            run_console(block)


@pytest.mark.parametrize("page", [page for page in RUNNING if page not in ON_POSTGRES], ids=name)
def test_the_blocks_of_a_page_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a page shows works, typed in from top to bottom."""
    monkeypatch.chdir(tmp_path)
    run_page(page)


@pytest.mark.postgres
@pytest.mark.parametrize("page", ON_POSTGRES, ids=name)
def test_the_blocks_of_a_page_run_on_postgres(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, postgres_url: str
) -> None:
    """What a page about PostgreSQL shows works on a real server."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MALLCORE_DATABASE", postgres_url)
    run_page(page)


def test_output_stands_behind_what_prints_it() -> None:
    """No output is shown that nothing is compared with."""
    pairs = zip([None, *BLOCKS], BLOCKS, strict=False)
    strays = [
        str(block)
        for before, block in pairs
        if block.shows and not (before and before.path == block.path and before.language == "python" and before.runs)
    ]
    assert strays == []


def test_the_links_of_the_readme_lead_somewhere() -> None:
    """Files that README.md and CHANGELOG.md point to exist (Sphinx checks those in docs/)."""
    texts = [path.read_text(encoding="utf-8") for path in (REPOSITORY / "README.md", REPOSITORY / "CHANGELOG.md")]
    paths = [found["path"] for text in texts for found in LINK.finditer(text)]
    assert [path for path in paths if not (REPOSITORY / path).exists()] == []


@pytest.mark.parametrize("block", EXCUSED, ids=str)
def test_an_exception_gives_its_reason(block: Block) -> None:
    """A block that is not run says why; the summary of the run lists them."""
    assert block.excuse, f"{block}: write `no-run: reason`"
    pytest.skip(f"{block} is declared not to run: {block.excuse}")


def test_python_blocks_are_spelt_python() -> None:
    """No block escapes by another spelling of its language, or by an info string nobody reads."""
    strays = [str(block) for block in BLOCKS if block.language.lower() in {"py", "python3", "pycon", "sh", "shell"}]
    assert strays == []


def test_every_decision_is_short_and_numbered_once() -> None:
    """Decisions are numbered without a gap, titled by their outcome, and at most 40 lines long."""
    files = sorted((REPOSITORY / "docs" / "decisions").glob("0*.md"))
    assert [path.name[:4] for path in files] == [f"{number:04}" for number in range(1, len(files) + 1)]
    for path in files:
        lines = path.read_text(encoding="utf-8").splitlines()
        assert lines[0].startswith(f"# {path.name[:4]} "), path
        assert len(lines) <= 40, path
