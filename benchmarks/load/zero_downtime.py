"""Zero downtime: two server processes are read without pause while the structure is edited.

python -m benchmarks.load.zero_downtime [--database sqlite|postgres|URL] [--seconds 60] [--rate N] [--json] [--plot PNG]

Each revision renames two nodes together and throws a ball from one to the other, so that half a change would show. An
answer is wrong if it is no 200, shows half a change, or is older than one that the same client got before. Staleness is
the time from a commit to the first answer of each server that shows it, or a later one; clients and the editor read
CLOCK_MONOTONIC. ``--rate 0`` edits without pause; any other number is edits a second.
"""

from __future__ import annotations

import argparse
import bisect
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.databases import Place, place
from benchmarks.load.servers import HOST, serving
from benchmarks.measuring import Finding, Times, report
from mallcore import Mall, Principal, structure

ME = Principal.system("editor")
SERVERS = 2
READERS = 2  # a server
_PATH = "/channels/books/tree"


class Seen(NamedTuple):
    """What one client saw: when each revision was first answered, how many answers there were, and what was wrong."""

    server: int
    first: list[tuple[int, int]]
    reads: int
    wrong: list[str]


class Reader(threading.Thread):
    """Reads one server until told to stop."""

    def __init__(self, server: int, port: int, begin: int, stop: threading.Event) -> None:
        super().__init__(daemon=True)
        self._port = port
        self._begin = begin
        self._stopped = stop
        self.seen = Seen(server, [], 0, [])

    def run(self) -> None:
        connection = HTTPConnection(HOST, self._port, timeout=60)
        reads, newest = 0, -1
        while not self._stopped.is_set():
            reads += 1
            try:
                connection.request("GET", _PATH)
                response = connection.getresponse()
                status, body = response.status, response.read()
            except (OSError, HTTPException) as error:
                self.seen.wrong.append(f"no answer: {error!r}")
                connection.close()
                continue
            at = time.monotonic_ns()
            try:
                revision = self._look(status, body, newest)
            except (ValueError, KeyError) as error:
                self.seen.wrong.append(f"no tree: {error!r}")
                continue
            if revision > newest:
                self.seen.first.append((revision, at))
                newest = revision
        connection.close()
        self.seen = self.seen._replace(reads=reads)

    def _look(self, status: int, body: bytes, newest: int) -> int:
        if status != 200:
            self.seen.wrong.append(f"{status}: {body[:200]!r}")
            return newest
        tree = json.loads(body)
        revision: int = tree["revision"]
        names = {node["slug"]: node["name"].split()[-1] for node in tree["nodes"]}
        balls = [child["slug"] for node in tree["nodes"] for child in node["children"]]
        if names["left"] != names["right"] and revision > self._begin:
            self.seen.wrong.append(f"half a change at {revision}: {names}")
        if balls != ["ball"]:
            self.seen.wrong.append(f"the ball is there {len(balls)} times at {revision}")
        if revision < newest:
            self.seen.wrong.append(f"back from {newest} to {revision}")
        return revision


def read(begin: int, ports: list[int]) -> None:
    """The clients' process: reads until its input ends, then tells what was seen."""
    stop = threading.Event()
    readers = [Reader(number, port, begin, stop) for number, port in enumerate(ports) for _ in range(READERS)]
    since = time.monotonic()
    for reader in readers:
        reader.start()
    print("ready", flush=True)
    sys.stdin.read()
    stop.set()
    for reader in readers:
        reader.join(60)
    print(json.dumps([time.monotonic() - since, [reader.seen for reader in readers]]))


def edit(mall: Mall, seconds: float, rate: float) -> list[tuple[int, int]]:
    """One revision after the other; each with the time its commit began."""
    commits: list[tuple[int, int]] = []
    begin = time.monotonic()
    while (elapsed := time.monotonic() - begin) < seconds:
        if rate and len(commits) > elapsed * rate:
            time.sleep(len(commits) / rate - elapsed)
        with mall.begin(ME) as ctx:
            revision = structure.edit(ctx, channel="books", edits=_edits(len(commits))).revision
            at = time.monotonic_ns()
        commits.append((revision, at))
    return commits


def _edits(number: int) -> Any:
    there = ("left", "right")
    edits: list[dict[str, Any]] = [{"op": "update", "node": side, "name": f"{side} {number}"} for side in there]
    return [*edits, {"op": "move", "node": f"{there[number % 2]}/ball", "parent": there[1 - number % 2]}]


def measured(where: Place, seconds: float, rate: float) -> tuple[Finding, list[tuple[float, float]]]:
    """The report, and for the plot: when each revision was committed, and how long each server took to show it."""
    url = where.url()
    mall = where.opened(url)
    with mall.begin(ME) as ctx:
        structure.create_channel(ctx, slug="books", name="Books")
        for name in ("Left", "Right", "Box"):
            structure.create_category(ctx, channel="books", name=name)
        begin = structure.create_category(ctx, channel="books", name="Ball", parent="left").revision
    with serving("mall", url, "PORT") as one, serving("mall", url, "PORT") as other:
        command = [sys.executable, "-m", "benchmarks.load.zero_downtime", "--read", f"{begin},{one},{other}"]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as clients:
            assert clients.stdout is not None
            clients.stdout.readline()
            commits = edit(mall, seconds, rate)
            time.sleep(3)
            reading, told = json.loads(clients.communicate()[0])
            seen = [Seen(*one) for one in told]
    if not all(one.reads for one in seen):
        raise RuntimeError("a client read nothing")
    points = [point for server in range(SERVERS) for point in _staleness(commits, seen, server)]
    finding = Finding(f"zero downtime, {f'{rate:g} edits/s' if rate else 'edits without pause'}", where.name)
    finding.times["commit to first answer that shows it"] = Times(tuple(took for _, took in points))
    wrong = [what for one in seen for what in one.wrong]
    length = (commits[-1][1] - commits[0][1]) / 1e9
    finding.facts = {
        "seconds": round(length, 1),
        "edits": len(commits),
        "edits/s": round(len(commits) / length, 1),
        "reads": sum(one.reads for one in seen),
        "reads/s": round(sum(one.reads for one in seen) / reading),
        "failed, half-changed or out of order": len(wrong),
        "staleness p50 (ms)": round(finding.times["commit to first answer that shows it"].p50 * 1e3, 1),
        "staleness p99 (ms)": round(finding.times["commit to first answer that shows it"].at(0.99) * 1e3, 1),
        "staleness, largest (ms)": round(max(took for _, took in points) * 1e3, 1),
    }
    finding.notes = [f"{SERVERS} server processes, {READERS} clients each", *wrong[:5]]
    return finding, points


def _staleness(commits: list[tuple[int, int]], seen: list[Seen], server: int) -> Iterator[tuple[float, float]]:
    """For each revision: seconds since the first commit, and seconds until this server first showed it or a later."""
    firsts = sorted(pair for one in seen if one.server == server for pair in one.first)
    revisions = [revision for revision, _ in firsts]
    soonest = list(_running_minimum([at for _, at in firsts]))
    for revision, at in commits:
        yield (at - commits[0][1]) / 1e9, (soonest[bisect.bisect_left(revisions, revision)] - at) / 1e9


def _running_minimum(times: list[int]) -> list[int]:
    """For each place, the least of what stands there or later."""
    found: list[int] = []
    for at in reversed(times):
        found.append(min(at, found[-1]) if found else at)
    return found[::-1]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.load.zero_downtime", description=__doc__)
    parser.add_argument("--database", action="append", help="sqlite, postgres, or a URL (default: sqlite and postgres)")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--rate", type=float, action="append", help="edits a second, 0 without pause (default: 0, 20)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")
    parser.add_argument("--plot", type=Path, help="a PNG to draw the staleness into")
    parser.add_argument("--read", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.read:
        begin, *ports = map(int, given.read.split(","))
        return read(begin, ports)
    drawn: list[tuple[Finding, list[tuple[float, float]]]] = []

    def run() -> Iterator[Finding]:
        for database in given.database or ["sqlite", "postgres"]:
            for rate in given.rate or [0.0, 20.0]:
                with place(database) as found:
                    drawn.append(measured(found, given.seconds, rate))
                yield drawn[-1][0]

    report(run(), given.json)
    if given.plot:
        from benchmarks.plots.draw import staleness

        staleness(
            [(f"{finding.database}, {finding.row.split(', ')[1]}", points) for finding, points in drawn], given.plot
        )
    return None


if __name__ == "__main__":
    main()
