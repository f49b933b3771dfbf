"""Markdown tables of reports, for RESULTS.md.

python -m benchmarks.tables REPORT.json…     # what a benchmark printed with --json
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.measuring import shown


def tables(report: dict[str, Any]) -> Iterator[str]:
    """One run: where it was made, then a table for each row."""
    where = report["machine"]
    yield f"### `{where['command']}`\n"
    load = f"load {where['load_before']:.1f} at the start, {where['load_after']:.1f} at the end"
    yield f"{where['when']}, mallcore at {where['commit']}; {load}.\n"
    for finding in report["findings"]:
        yield from _finding(finding)


def _finding(finding: dict[str, Any]) -> Iterator[str]:
    yield f"**{finding['row']}**, {finding['database']}\n"
    yield "| | p50 | p10 | p90 | n |"
    yield "|---|--:|--:|--:|--:|"
    for name, took in finding["seconds"].items():
        yield f"| {name} | {shown(took['p50'])} | {shown(took['p10'])} | {shown(took['p90'])} | {took['n']} |"
    yield ""
    for one in finding["ratios"]:
        target = "" if one["met"] is None else f"; target ≤ {one['target']:g}: {'met' if one['met'] else '**missed**'}"
        spread = f"(single rounds {one['p10']:.2f} to {one['p90']:.2f})"
        yield f"- {one['ratio']:.2f} x {spread}: {one['ours']} / {one['theirs']}{target}"
    yield from (f"- {name}: {value}" for name, value in finding["facts"].items())
    yield from (f"- {note}" for note in finding["notes"])
    yield ""


def main() -> None:
    for path in sys.argv[1:]:
        print("\n".join(tables(json.loads(Path(path).read_text(encoding="utf-8")))))


if __name__ == "__main__":
    main()
