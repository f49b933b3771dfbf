"""How soon a change is visible in another process: told by the database's bus, and by polling alone.

python -m benchmarks.visibility [--database sqlite|postgres|URL] [--quick] [--json]

The other process follows the channel and notes when a read from its memory first answers with a revision; both sides
read CLOCK_MONOTONIC, which one host's processes share. Time runs from just before COMMIT, so the commit is part of it.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

from benchmarks import data
from benchmarks.databases import Place, place
from benchmarks.measuring import Finding, Times, report
from mallcore import Mall, Principal, structure
from mallcore.backends.postgres import Postgres
from mallcore.backends.sqlite import Sqlite
from mallcore.kernel.hooks import hookimpl
from mallcore.kernel.ports import DatabaseBackend

ME = Principal.system("benchmark")
CHANNEL = "books"


class Deaf:
    """A plug-in that takes the bus away: what follows has to poll."""

    @hookimpl
    def database_backend(self, engine: Any, busy_seconds: float) -> DatabaseBackend:
        kind: Any = Postgres if engine.dialect.name == "postgresql" else Sqlite
        return type("Deaf", (kind,), {"listen": _no_bus})(busy_seconds)  # type: ignore[no-any-return]


def _no_bus(*_: Any) -> None:
    raise ConnectionError("the bus is gone")


def follow(url: str, deaf: bool) -> None:
    """The other process: says when it is ready, and at the end of its input tells what it saw when."""
    seen: list[tuple[int, int]] = []
    with Mall.open(url, plugins=[Deaf()] if deaf else []) as mall:
        with mall.begin(ME) as ctx:
            stream = structure.watch(ctx, channel=CHANNEL)

        def moved() -> None:
            with mall.begin(ME) as ctx:  # answered from memory: no session is opened
                revision = structure.tree(ctx, channel=CHANNEL).revision
            seen.append((revision, time.monotonic_ns()))

        stream.subscribe(moved)
        ends = time.monotonic() + (2 if deaf else 30)
        while not mall.follower.connected and time.monotonic() < ends:
            time.sleep(0.01)
        print(mall.follower.connected, flush=True)
        sys.stdin.read()
    print(json.dumps(seen))


def measured(where: Place, quick: bool) -> Iterator[Finding]:
    url = where.url()
    mall = where.opened(url)
    file, source = data.main_taxonomy()
    with mall.begin(ME) as ctx:
        structure.create_channel(ctx, slug=CHANNEL, name="Books")
        structure.import_taxonomy(ctx, channel=CHANNEL, data=file)
    for deaf, limit in ((False, 0.25), (True, 1.5)):
        finding = Finding(f"visible in another process, {'poll only' if deaf else 'bus'}", where.name)
        name = "commit to first read from memory"
        finding.times[name] = _seen(mall, url, deaf, 100 if quick else 500)
        p99 = finding.times[name].at(0.99)
        finding.facts = {
            "p50 (ms)": round(finding.times[name].p50 * 1e3, 2),
            "p99 (ms)": round(p99 * 1e3, 2),
            "largest (ms)": round(max(finding.times[name].samples) * 1e3, 2),
            f"target p99 < {limit * 1e3:g} ms": "met" if p99 < limit else "MISSED",
        }
        finding.notes = [source, "one rename every 20 to 100 ms"]
        yield finding


def _seen(mall: Mall, url: str, deaf: bool, edits: int) -> Times:
    command = [sys.executable, "-m", "benchmarks.visibility", "--follow", url, *(["--deaf"] if deaf else [])]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        connected = other.stdout.readline().strip()
        if connected != str(not deaf):
            raise RuntimeError(f"the other process has a bus: {connected}, wanted: {not deaf}")
        committed = _edits(mall, edits)
        time.sleep(2.5)
        seen: list[tuple[int, int]] = json.loads(other.communicate()[0])
    return Times(tuple(_first(seen, revision) - at for revision, at in committed))


def _first(seen: list[tuple[int, int]], revision: int) -> float:
    return min(at for number, at in seen if number >= revision) / 1e9


def _edits(mall: Mall, count: int) -> list[tuple[int, float]]:
    """Renames at irregular times; each revision, and when its commit began."""
    committed: list[tuple[int, float]] = []
    pause = random.Random(2)
    with mall.begin(ME) as ctx:
        tree = structure.tree(ctx, channel=CHANNEL).tree
    nodes = [node.id for _, node in tree.walk()][1:]
    for number in range(count):
        with mall.begin(ME) as ctx:
            node = nodes[number % len(nodes)]
            made = structure.rename(ctx, channel=CHANNEL, node=node, name=f"Seen {time.monotonic_ns()}")
            at = time.monotonic_ns() / 1e9
        committed.append((made.revision, at))
        time.sleep(pause.uniform(0.02, 0.1))
    return committed


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.visibility", description=__doc__)
    parser.add_argument("--database", action="append", help="sqlite, postgres, or a URL (default: sqlite and postgres)")
    parser.add_argument("--quick", action="store_true", help="a fifth of the edits")
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")
    parser.add_argument("--follow", help=argparse.SUPPRESS)
    parser.add_argument("--deaf", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.follow:
        return follow(given.follow, given.deaf)

    def run() -> Iterator[Finding]:
        for database in given.database or ["sqlite", "postgres"]:
            with place(database) as found:
                yield from measured(found, given.quick)

    report(run(), given.json)
    return None


if __name__ == "__main__":
    main()
