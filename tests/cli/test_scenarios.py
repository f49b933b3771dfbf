"""The command line tells the same stories as every other face."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mallcore import Mall
from mallcore.adapters.cli.face import Face as Command
from mallcore.adapters.cli.faces import FACES
from mallcore.adapters.cli.parameters import SPELLINGS
from tests.adapters.faces import Face, Json, Refusal, Spoken, followed
from tests.adapters.scenarios import SCENARIOS
from tests.cli.typing_in import Typed, type_in

COMMANDS: dict[str, Command] = {command.operation.name: command for command in reversed(FACES)}
OWN = {
    "structure.tree": "structure show",
    "structure.export": "structure export",
    "structure.import_taxonomy": "structure import",
    "attachments.upload_file": "attachments put",
    "attachments.collect": "attachments collect",
}
FINAL = ("attachments.drop_version", "attachments.erase")
SPELT = {**SPELLINGS, "file_name": ("--name",)}


class CliFace(Spoken):
    """The mall as somebody at a terminal sees it, in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def call(self, operation: str, arguments: Json) -> Any:
        path, places = OWN.get(operation, ""), ""
        if not path:
            path, places = COMMANDS[operation].path, COMMANDS[operation].places
        stdin = arguments.pop("data", arguments.pop("file", b""))
        words = ["-"] if operation in ("structure.import_taxonomy", "attachments.upload_file") else []
        if "edits" in arguments:
            stdin, arguments["edits"] = json.dumps(arguments["edits"]).encode(), "-"
        if operation == "structure.move":
            arguments["parent"] = arguments["parent"] or "/"
        counted = operation == "attachments.collect" and arguments.pop("dry_run")  # which is what it does by itself
        if operation in FINAL or (operation == "attachments.collect" and not counted):
            words.append("--yes")
        words += [str(arguments.pop(name)) for name in places.split()]
        for name, value in arguments.items():
            words += option(name, value)
        shown = [] if operation == "structure.export" else ["--json"]
        done = type_in("--mall", str(self.folder), *path.split(), *words, *shown, stdin=stdin)
        if done.code:
            raise refusal(done)
        return done.stdout if operation == "structure.export" else json.loads(done.stdout)

    def content(self, version: str, start: int = 0, end: int | None = None) -> bytes:
        done = type_in("--mall", str(self.folder), "attachments", "get", version, "--output", "-", "--json")
        if done.code:
            raise refusal(done)
        return done.stdout[start:end]

    def follow(self, link: Json) -> bytes:
        with Mall.open(folder=self.folder) as mall:  # links are opened over HTTP, not by commands
            return followed(mall, link)


def option(name: str, value: Any) -> list[str]:
    """A parameter as it is typed."""
    spelt = SPELT.get(name, ("--" + name.replace("_", "-"),))[0]
    if isinstance(value, bool):
        return [spelt] if value else []
    if name == "meta":
        return [spelt, json.dumps(value)]
    if isinstance(value, dict):
        return [word for key, one in value.items() for word in (spelt, f"{key}={one}")]
    return [spelt, str(value)]


def refusal(done: Typed) -> Refusal:
    error = done.error
    assert done.code == 1, done.err
    return Refusal(error["code"], error)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_the_story_is_the_same(scenario: Callable[[Face], None], folder: Path) -> None:
    """What is told through Python and HTTP is told the same by commands."""
    scenario(CliFace(folder))
