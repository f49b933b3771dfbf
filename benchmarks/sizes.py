"""What a channel costs as it grows, from a hundred nodes to a million: import, memory, rename, move and reads.

python -m benchmarks.sizes [--database sqlite|postgres|URL] [--sizes 100,1000,…] [--quick] [--json]
"""

from __future__ import annotations

import argparse
import itertools
import subprocess
import sys
from collections.abc import Callable
from time import perf_counter
from typing import Any

from benchmarks import data
from benchmarks.databases import Place, place
from benchmarks.measuring import Case, Finding, Times, interleaved, report, set_aside
from mallcore import Mall, Principal, structure

ME = Principal.system("benchmark")
SIZES = (100, 1_000, 10_000, 100_000, 1_000_000)
CHANNEL = "large"
_CHUNK = 100_000  # nodes imported in one revision
_TOP = 5_000  # nodes below one node at the top of a made-up tree
_LARGE = 100_000  # from here on, what reads all nodes is measured less often


class Grown:
    """A channel of a size, in a database of its own."""

    def __init__(self, where: Place, size: int) -> None:
        self.size = size
        self.url = where.url()
        self.where = where
        self.mall = where.opened(self.url)
        with self.mall.begin(ME) as ctx:
            structure.create_channel(ctx, slug=CHANNEL, name="Large")
        self.imported = [self._chunk(begin) for begin in range(0, size, _CHUNK)]
        with self.mall.begin(ME) as ctx:
            self.tree = structure.tree(ctx, channel=CHANNEL).tree
        assert len(self.tree) == size
        self._names = itertools.count()

    def _chunk(self, begin: int) -> float:
        """Seconds of importing the next nodes as one revision."""
        file = data.synthetic(min(_CHUNK, self.size - begin), begin // _TOP)
        set_aside()
        start = perf_counter()
        with self.mall.begin(ME) as ctx:
            structure.import_taxonomy(ctx, channel=CHANNEL, data=file, keep_missing=True)
        return perf_counter() - start

    def rename(self) -> Case:
        """Renames one node deep in the tree, and another one each time."""
        leaves = itertools.cycle([one for one in self._ids() if not self.tree.child_ids(one)][:500])

        def rename() -> None:
            with self.mall.begin(ME) as ctx:
                structure.rename(ctx, channel=CHANNEL, node=next(leaves), name=f"Name {next(self._names)}")

        return rename

    def move(self) -> Case:
        """Moves one node with its children to and fro."""
        ids = self._ids()
        inner = (one for one in ids if self.tree.node(one).parent_id != self.tree.channel_id)
        node = max(itertools.islice(inner, 12), key=lambda one: len(self.tree.child_ids(one)))
        home = self.tree.node(node).parent_id or ""
        mine = {one.id for _, one in self.tree.walk(node)}
        away = next(one for one in reversed(ids) if one not in mine and not self.tree.child_ids(one))
        places = itertools.cycle([away, home])

        def move() -> None:
            with self.mall.begin(ME) as ctx:
                structure.move(ctx, channel=CHANNEL, node=node, parent=next(places))

        return move

    def hot(self, depth: int | None) -> Case:
        """Reads the head's JSON, as a server does."""

        def read() -> bytes:
            with self.mall.begin(ME) as ctx:
                return structure.tree(ctx, channel=CHANNEL, depth=depth).body

        return read

    def old(self, rounds: int) -> Case:
        """Reads the JSON of an old revision that the process has not seen, another one each time."""
        reader = self.where.opened(self.url)
        revisions = iter(range(len(self.imported), len(self.imported) + rounds))

        def read() -> bytes:
            with reader.begin(ME) as ctx:
                return structure.tree(ctx, channel=CHANNEL, at=next(revisions)).body

        return read

    def _ids(self) -> list[str]:
        return [node.id for _, node in self.tree.walk()][1:]


def memory(url: str) -> dict[str, float]:
    """What loading the head takes, in a process of its own: seconds, and bytes of resident memory."""
    command = (sys.executable, "-m", "benchmarks.sizes", "--load", url)
    printed = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    names = ("seconds", "bytes", "bytes_trimmed")
    return dict(zip(names, map(float, printed.split()), strict=True))


def load(url: str) -> None:
    """The other side of `memory`."""
    import ctypes
    import gc

    import psutil

    def resident() -> int:
        gc.collect()
        return int(psutil.Process().memory_info().rss)

    with Mall.open(url, follow=False) as mall:
        with mall.begin(ME) as ctx:
            structure.list_channels(ctx)
        before = resident()
        begin = perf_counter()
        with mall.begin(ME) as ctx:
            view = structure.tree(ctx, channel=CHANNEL)
        took = perf_counter() - begin
        after = resident()
        ctypes.CDLL(None).malloc_trim(0)  # what the rows took on the way, and the C library keeps for later
        print(took, after - before, resident() - before)
        assert view.tree.nodes


def measured(where: Place, sizes: list[int], quick: bool) -> list[Finding]:
    """One finding a row, with a case for each size."""
    grown = [Grown(where, size) for size in sizes]
    rows: list[tuple[str, Callable[[Grown], Case], int, int]] = [
        ("rename of one node", Grown.rename, 300, 300),
        ("move of one node with its children", Grown.move, 200, 200),
        ("hot read, three levels", lambda one: one.hot(3), 50, 50),
        ("hot read, whole tree", lambda one: one.hot(None), 50, 5),
    ]
    findings = [_imports(where, grown), _memory(where, grown)]
    for row, case, often, seldom in rows:
        finding = Finding(row, where.name)
        finding.times = _turns({one: case(one) for one in grown}, quick, often, seldom)
        findings.append(finding)
    findings.append(_old(where, grown, quick))
    small, large = f"{10_000:,} nodes", f"{1_000_000:,} nodes"
    for finding in findings[2:]:
        if small in finding.times and large in finding.times:
            finding.compare(large, small, 3 if finding.row.startswith("rename") else None)
    return findings


def _turns(cases: dict[Grown, Case], quick: bool, often: int, seldom: int) -> dict[str, Times]:
    """Taken in turns; what takes long on a large tree is done less often there, after the others."""
    times: dict[str, Times] = {}
    share = 5 if quick else 1
    groups = [cases] if often == seldom else [
        {one: case for one, case in cases.items() if (one.size > _LARGE) is large} for large in (False, True)
    ]  # fmt: skip
    for number, group in enumerate(groups):
        rounds = max((often, seldom)[number] // share, 3)
        named = {f"{one.size:,} nodes": case for one, case in group.items()}
        times.update(interleaved(named, rounds, warm=1) if named else {})
    return times


def _imports(where: Place, grown: list[Grown]) -> Finding:
    finding = Finding("import, a node", where.name)
    for one in grown:
        each = [took / min(_CHUNK, one.size) for took in one.imported]
        finding.times[f"{one.size:,} nodes"] = Times(tuple(each))
    finding.notes.append(f"{_CHUNK:,} nodes a revision, keep_missing=True; a sample is one revision")
    return finding


def _memory(where: Place, grown: list[Grown]) -> Finding:
    finding = Finding("load of the head, a node", where.name)
    for one in grown:
        found = memory(one.url)
        finding.times[f"{one.size:,} nodes"] = Times((found["seconds"] / one.size,))
        finding.facts[f"bytes of resident memory a node, {one.size:,} nodes"] = round(found["bytes"] / one.size)
        finding.facts[f"the same after malloc_trim, {one.size:,} nodes"] = round(found["bytes_trimmed"] / one.size)
    finding.notes.append("RSS before and after loading the head in a process of its own; small trees say little")
    return finding


def _old(where: Place, grown: list[Grown], quick: bool) -> Finding:
    """Cold reads of old revisions: the renames before have made enough of them."""
    finding = Finding("old revision, cold", where.name)
    for one in grown:
        rounds = 3 if quick or one.size > _LARGE else 10
        name = f"{one.size:,} nodes"
        finding.times.update(interleaved({name: one.old(rounds + 1)}, rounds, settle=True))
    return finding


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sizes", description=__doc__)
    parser.add_argument("--database", action="append", help="sqlite, postgres, or a URL (default: sqlite and postgres)")
    parser.add_argument("--sizes", default=",".join(map(str, SIZES)), help="how many nodes, with commas")
    parser.add_argument("--quick", action="store_true", help="a fifth of the rounds")
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")
    parser.add_argument("--load", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.load:
        return load(given.load)

    def run() -> Any:
        for database in given.database or ["sqlite", "postgres"]:
            with place(database) as found:
                yield from measured(found, [int(size) for size in given.sizes.split(",")], given.quick)

    report(run(), given.json)
    return None


if __name__ == "__main__":
    main()
