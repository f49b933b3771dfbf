"""The tree over HTTP on one worker, beside bare Starlette that answers the same number of bytes.

python -m benchmarks.load.http [--database sqlite|postgres|URL] [--quick] [--json]
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import NamedTuple

from benchmarks import data
from benchmarks.databases import Place, place
from benchmarks.load.client import Load, load, name
from benchmarks.load.servers import get, serving
from benchmarks.measuring import Finding, Times, report
from mallcore import Principal, structure

ME = Principal.system("benchmark")
# Vendure 3.7 on PostgreSQL, the same taxonomy, measured once for the design on another day: external figures.
VENDURE = {
    "whole tree, cached body": ("whole tree, flat", 1 / 1.28, "1 / its latency of 1.28 s, one client"),
    "three levels": ("three levels", 1 / 0.346, "1 / its latency of 346 ms, one client"),
    "one category, children and path": ("one category, children and breadcrumbs", 82.0, "82 requests/s, 8 clients"),
}


class Case(NamedTuple):
    """One request, and what bare Starlette answers to its like."""

    name: str
    path: str
    headers: dict[str, str]
    status: int
    bare: str


def measured(where: Place, quick: bool) -> Iterator[Finding]:
    url = where.url()
    file, source = data.main_taxonomy()
    with where.opened(url).begin(ME) as ctx:
        structure.create_channel(ctx, slug="books", name="Books")
        structure.import_taxonomy(ctx, channel="books", data=file)
        tree = structure.tree(ctx, channel="books").tree
    node = max(tree.child_ids(tree.child_ids(tree.channel_id)[0]), key=lambda one: len(tree.child_ids(one)))
    with serving("mall", url, "PORT") as port:
        cases = _cases(port, node)
        sizes = sorted({case.bare for case in cases} - {"/304"})
        with serving("starlette", "PORT", *(size.strip("/") for size in sizes)) as bare:
            rounds, seconds = (2, 1.0) if quick else (3, 3.0)
            for case in cases:
                yield _beside(case, where.name, port, bare, rounds, seconds, source)


def _cases(port: int, node: str) -> list[Case]:
    paths = {
        "whole tree, cached body": "/channels/books/tree",
        "three levels": "/channels/books/tree?depth=3",
        "one category, children and path": f"/channels/books/nodes/{node}",
    }
    cases = []
    for title, path in paths.items():
        status, headers, body = get(port, path)
        assert status == 200, body
        cases.append(Case(title, path, {}, 200, f"/{len(body)}"))
        if title.startswith("whole"):
            tagged = {"If-None-Match": headers["etag"]}
            assert get(port, path, If_None_Match=headers["etag"])[0] == 304
            cases.append(Case("whole tree, 304", path, tagged, 304, "/304"))
    return cases


def _beside(case: Case, database: str, port: int, bare: int, rounds: int, seconds: float, source: str) -> Finding:
    """In turns: both with eight connections and with one."""
    both = {"mallcore": (port, case.path, case.headers), "bare Starlette": (bare, case.bare, {})}
    runs: dict[tuple[str, int], list[Load]] = {(who, count): [] for who in both for count in (8, 1)}
    for number in range(rounds + 1):
        for who, (where, path, headers) in list(both.items())[:: (-1) ** number]:
            for count in (8, 1):
                took = load(where, path, headers, case.status, count, seconds if number else 1.0)
                if number:  # the first round only warms up
                    runs[who, count].append(took)
    finding = Finding(f"HTTP: {case.name}", database)
    for who in both:
        finding.times[f"{who}, p50 with 1 connection"] = Times(tuple(one.p50 for one in runs[who, 1]))
        rates = sorted(one.rate for one in runs[who, 8])
        finding.facts[f"{who}, requests/s with 8 connections"] = round(rates[len(rates) // 2])
        finding.facts[f"{who}, from and to"] = f"{rates[0]:.0f} to {rates[-1]:.0f}"
    finding.compare("mallcore, p50 with 1 connection", "bare Starlette, p50 with 1 connection", 2)
    ours = finding.facts["mallcore, requests/s with 8 connections"]
    finding.facts["share of bare Starlette's requests/s"] = round(
        ours / finding.facts["bare Starlette, requests/s with 8 connections"], 2
    )
    if case.name in VENDURE:
        what, theirs, how = VENDURE[case.name]
        finding.facts[f"against an external figure: Vendure, {what} ({how})"] = f"{ours / theirs:.0f} x"
    finding.notes = [source, f"body of {case.bare.strip('/')} bytes" if case.status == 200 else "no body", name()]
    return finding


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.load.http", description=__doc__)
    parser.add_argument("--database", action="append", help="sqlite, postgres, or a URL (default: postgres)")
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds")
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")
    given = parser.parse_args()

    def run() -> Iterator[Finding]:
        for database in given.database or ["postgres"]:
            with place(database) as found:
                yield from measured(found, given.quick)

    report(run(), given.json)


if __name__ == "__main__":
    main()
