"""Golden files: the contract of each released version, kept in the repository and compared with what there is now."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from mallcore.api import releases
from mallcore.api.contracts.contract import Contract, EventShapes, Which, contract_of, dumped
from mallcore.api.http import Mall
from mallcore.api.rules.differing import Difference, breaking, differences
from mallcore.api.versions import State, Versions
from mallcore.api.versions.laws import refuse_strange_examples, sides
from mallcore.errors import InvalidInput
from mallcore.kernel.context import Principal
from mallcore.kernel.events import Event
from mallcore.kernel.operations import Catalogue, Operation

OURS = Path(releases.__file__).with_name("golden")
"""The golden files of mallcore's own versions."""
_LARGEST = 64 << 20

Verdict = Literal["same", "additive", "breaking", "missing", "gone"]


@dataclass(frozen=True, slots=True)
class Checked:
    """One version and its golden file. ``written``: the file holds the contract as it is now."""

    version: str
    state: State | None
    verdict: Verdict
    differences: list[Difference] = field(default_factory=list)
    written: bool = False

    @property
    def fails(self) -> bool:
        """Whether somebody was promised something else. A preview promises nothing yet, what was shut down no more."""
        return self.verdict in ("breaking", "missing", "gone") and self.state not in ("preview", "sunset")

    @property
    def settled(self) -> bool:
        """Whether there is nothing to do: the file is as it should be."""
        return self.written or self.verdict == "same"

    @property
    def advice(self) -> str:
        """What is to be done."""
        if self.settled:
            return ""
        if self.fails or self.verdict == "gone":
            return _ADVICE[self.verdict].format(version=self.version)
        return _ADVICE["additive"]

    def as_json(self) -> dict[str, Any]:
        """What was found, as plain data."""
        told = {name: getattr(self, name) for name in ("version", "state", "verdict", "written", "fails", "advice")}
        return told | {"differences": [one.as_json() for one in self.differences]}


_ADVICE: Mapping[Verdict, str] = {
    "additive": "This needs no new version: update the golden file with --write.",
    "breaking": "This needs a new version: declare a Change in the next version, so that {version} stays as it is.",
    "missing": "There is no golden file: --write makes it.",
    "gone": "There is no such version: bring its release back, or drop its golden file once nobody calls it.",
}


@dataclass(frozen=True, slots=True)
class Report:
    """What a check of all versions found, the newest version first."""

    folder: Path
    versions: list[Checked]

    @property
    def ok(self) -> bool:
        """Whether nobody who was promised something is broken."""
        return not any(one.fails and not one.written for one in self.versions)

    @property
    def settled(self) -> bool:
        """Whether every golden file is as it should be."""
        return all(one.settled for one in self.versions)

    @property
    def text(self) -> str:
        """The report for people."""
        return "\n".join(line for one in self.versions for line in _lines(one))

    def as_json(self) -> dict[str, Any]:
        """The report as plain data."""
        return {"ok": self.ok, "settled": self.settled, "versions": [one.as_json() for one in self.versions]}


def _lines(one: Checked) -> Iterator[str]:
    verdict = f"{one.verdict}, written" if one.written else one.verdict
    yield f"{one.version} ({one.state or 'unknown'}): {verdict}"
    for found in one.differences:
        yield f"  {found.level}: {found.where}: {found.sentence} [{found.rule}]"
    if one.advice:
        yield f"  {one.advice}"


def ours(one: Operation | type[Event]) -> bool:
    """Whether an operation, or a kind of event, is mallcore's own."""
    written = one.function if isinstance(one, Operation) else one
    return written.__module__.partition(".")[0] == "mallcore"


def of_host(one: Operation | type[Event]) -> bool:
    """Whether an operation, or a kind of event, is a host's or a plug-in's."""
    return not ours(one)


def guard(mall: Mall, folder: str | Path, *, which: Which | None = of_host, write: bool = False) -> Report:
    """Check the golden files of a mall: of the operations its host and plug-ins add, unless others are picked.

    Before that, the examples of all changes are tried: `BrokenLaw` names a change that does not understand its own.

    >>> from mallcore import Mall
    >>> with Mall.open("sqlite://") as mall:
    ...     guard(mall, "no-such-folder").ok
    False
    """
    for change in mall.versions.changes:
        refuse_strange_examples(change, list(sides(mall.versions, mall.catalogue, change)))
    with mall.begin(Principal.system("api")) as ctx:
        shapes = ctx.services.ports.get(EventShapes)
    return check(mall.versions, mall.catalogue, Path(folder), mall.now(), shapes=shapes, which=which, write=write)


def check(
    versions: Versions,
    catalogue: Catalogue,
    folder: Path,
    now: datetime,
    *,
    shapes: EventShapes | None = None,
    which: Which | None = None,
    write: bool = False,
) -> Report:
    """Compare what the newest code shows of every version with the version's golden file.

    ``write`` makes files that are missing and brings up to date those that differ in nothing that breaks; a file that
    somebody relies on is never overwritten: to break a promise on purpose, remove it first.
    """
    found = []
    for name in versions.names:
        contract = contract_of(versions.view(catalogue, name), shapes, which)
        found.append(_checked(folder / f"{name}.json", contract, versions.state(name, now), write))
    known = {f"{name}.json" for name in versions.names}
    strays = sorted(path.stem for path in folder.glob("*.json") if path.name not in known)
    return Report(folder, [*found, *(Checked(name, None, "gone") for name in reversed(strays))])


def _checked(path: Path, contract: Contract, state: State, write: bool) -> Checked:
    text = dumped(contract)
    if not path.exists():
        found: list[Difference] = []
        verdict: Verdict = "missing"
    elif (old := _read(path)) == text:
        return Checked(contract["version"], state, "same")
    else:
        found = _compared(path, _parsed(path, old), contract)
        verdict = "breaking" if breaking(found) else "additive"
    checked = Checked(contract["version"], state, verdict, found)
    if write and (verdict != "breaking" or not checked.fails):
        _store(path, text)
        return Checked(contract["version"], state, verdict, found, written=True)
    return checked


def golden(folder: Path, version: str) -> Contract:
    """What the golden file of a version says."""
    path = folder / f"{version}.json"
    return _parsed(path, _read(path))


def _read(path: Path) -> str:
    try:
        if path.stat().st_size > _LARGEST:
            raise InvalidInput(field="golden", reason=f"{path.name} is larger than any contract")
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(field="golden", reason=f"{path.name} can't be read ({error})"[:300]) from None


def _parsed(path: Path, text: str) -> Contract:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    parts = ("operations", "events", "schemas")
    if not isinstance(found, dict) or not all(_is_map(found.get(part)) for part in parts):
        raise _no_contract(path)
    return found


def _compared(path: Path, old: Contract, new: Contract) -> list[Difference]:
    try:
        return differences(old, new)
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError):  # somebody edited it by hand
        raise _no_contract(path) from None


def _no_contract(path: Path) -> InvalidInput:
    reason = f"{path.name} is no contract: restore it from the repository, or remove it"
    return InvalidInput(field="golden", reason=reason)


def _is_map(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(one, dict) for one in value.values())


def _store(path: Path, text: str) -> None:
    """Write the file whole or not at all."""
    name = ""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as stream:
            stream.write(text)
        Path(name).chmod(0o644)
        os.replace(name, path)
    except OSError as error:
        if name:
            Path(name).unlink(missing_ok=True)
        raise InvalidInput(field="golden", reason=f"{path.name} can't be written ({error})"[:300]) from None
