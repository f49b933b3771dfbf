"""What the tests of the command line share: commands typed in this process, and in another one."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.typing_in import Typed, type_in

PROGRAM = [sys.executable, "-W", "error", "-m", "mallcore.adapters.cli"]


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting of whoever runs the tests reaches them."""
    for name in [name for name in os.environ if name.startswith("MALLCORE_") and "TEST" not in name]:
        if name not in ("MALLCORE_SHARED", "MALLCORE_PROOFS"):
            monkeypatch.delenv(name)
    for name in ("COLUMNS", "FORCE_COLOR", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of a new mall."""
    made = tmp_path / "mall"
    assert type_in("init", "--mall", str(made)).code == 0
    return made


@pytest.fixture
def cli(folder: Path) -> Callable[..., Typed]:
    """Type a command for the mall in `folder`, in this process."""

    def run(*words: str, stdin: bytes = b"") -> Typed:
        return type_in("--mall", str(folder), *words, stdin=stdin)

    return run


@pytest.fixture
def books(cli: Callable[..., Typed]) -> Callable[..., Typed]:
    """The same, of a mall with one channel: a section and two categories, revision 3."""
    for words in (
        ("channels", "create", "books", "--name", "Books"),
        ("structure", "create", "Fiction", "--kind", "section"),
        ("structure", "create", "Crime", "--parent", "fiction"),
        ("structure", "create", "Poetry", "--parent", "fiction"),
    ):
        assert cli(*words).code == 0
    return cli


@pytest.fixture
def program(tmp_path: Path) -> Callable[..., "subprocess.CompletedProcess[str]"]:
    """Type a command in a process of its own, in an empty folder."""
    home = tmp_path / "elsewhere"
    home.mkdir()

    def run(*words: str, **more: object) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [*PROGRAM, *words], cwd=home, capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL, **more
        )  # type: ignore[call-overload,no-any-return]

    return run
