"""The audit log: what a record costs, how fast records enter the tree and are verified, proofs, and edge logs.

python -m benchmarks.audit [--database sqlite|postgres|URL] [--quick] [--json]

`added cost on a rename` compares with a mall whose trail writes the record without pseudonym, leaf and place.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Callable, Iterator
from typing import Any

from sqlalchemy import text

from benchmarks.databases import Place, place
from benchmarks.measuring import Finding, Times, interleaved, report, timed
from mallcore import Mall, Principal, access, audit, structure
from mallcore.audit.model.tables import audit_record
from mallcore.audit.operations.trail import ADD
from mallcore.kernel.context import Context
from mallcore.kernel.events import AccessDenied, Event
from mallcore.kernel.hooks import hookimpl
from mallcore.kernel.ids import new_id
from mallcore.kernel.recording import record_now

ME = Principal.system("benchmark")
ADA = Principal.user("ada")


class Plain:
    """The trail without a log: the row, and nothing that makes it evident or forgettable."""

    @hookimpl
    def event_recorded(self, ctx: Context, event: Event) -> None:
        """Add the row."""
        row = {
            "id": new_id("aud"), "at": ctx.now(), "principal": ctx.principal.ref, "operation": ctx.operation,
            "event": event.name, "outcome": "denied" if isinstance(event, AccessDenied) else "ok",
            "subject": event.subject, "unit_id": event.unit_id, "channel_id": event.channel_id,
            "revision": event.revision, "before": event.before, "after": event.after, "request_id": ctx.request_id,
            "jti": None, "sealed": None, "form": None, "leaf": None,
        }  # fmt: skip
        ctx.execute(ADD, row)


def measured(where: Place, quick: bool) -> Iterator[Finding]:
    yield _renames(where, quick)
    yield _appends(where, quick)
    yield from _large(where, 10_000 if quick else 100_000)


def _renaming(where: Place, plain: bool) -> Callable[[], object]:
    mall = where.mall()
    if plain:
        (trail,) = [one for one in mall.plugins.get_plugins() if isinstance(one, audit.Trail)]
        mall.plugins.unregister(trail)
        mall.plugins.register(Plain())
    with mall.begin(ME) as ctx:
        structure.create_channel(ctx, slug="books", name="Books")
        node = structure.create_category(ctx, channel="books", name="Crime").id
        access.grant(ctx, principal=ADA.ref, role="owner")
    numbers = itertools.count()

    def rename() -> None:
        with mall.begin(ADA) as ctx:
            structure.rename(ctx, channel="books", node=node, name=f"Name {next(numbers)}")

    return rename


def _renames(where: Place, quick: bool) -> Finding:
    finding = Finding("audit log: added cost on a rename", where.name)
    cases = {"with the log": _renaming(where, False), "a plain row": _renaming(where, True)}
    finding.times = interleaved(cases, 200 if quick else 1500, warm=50)
    finding.compare("with the log", "a plain row")
    one, other = (finding.times[name].p50 for name in cases)
    finding.facts = {"added (µs)": round((one - other) * 1e6, 1)}
    return finding


def _filled(mall: Mall, count: int, per_commit: int = 1000) -> None:
    for start in range(0, count, per_commit):
        with mall.begin(ADA) as ctx:
            for number in range(start, min(start + per_commit, count)):
                ctx.record(_read(number))


def _read(number: int) -> Event:
    details = {"jti": f"{number:032x}", "store": "main", "bytes": 48_213, "version": "att_0192f0c1@3"}
    return Event(subject=f"att_{number:032x}", details=details)


def _appends(where: Place, quick: bool) -> Finding:
    finding = Finding("audit log: appending", where.name)
    mall, size = where.mall(), 512
    numbers = itertools.count()

    def one() -> None:
        with mall.begin(ADA) as ctx:
            record_now(ctx, _read(next(numbers)))

    def many() -> None:
        with mall.begin(ADA) as ctx:
            for _ in range(size):
                ctx.record(_read(next(numbers)))

    cases = {"one, committed before it is acted upon": one, f"{size} in one transaction": many}
    finding.times = interleaved(cases, 20 if quick else 100)
    single, batch = (finding.times[name].p50 for name in cases)
    finding.facts = {
        "records/s, one per commit": round(1 / single),
        f"records/s, {size} per commit": round(size / batch),
    }
    return finding


def _large(where: Place, count: int) -> Iterator[Finding]:
    mall = where.mall(checkpoints="memory://")
    _filled(mall, count)
    finding = Finding(f"audit log: {count:,} records", where.name)
    times: dict[str, float] = {}
    times["sequence"] = timed(lambda: _call(mall, audit.sequence))
    times["checkpoint, with tiles and leaves to the second store"] = timed(lambda: _call(mall, audit.checkpoint))
    times["verify the database"] = timed(lambda: _call(mall, audit.verify))
    with mall.begin(ME) as ctx:
        lines: list[bytes] = []
        times["export"] = timed(lambda: lines.extend(audit.export(ctx)))
        keys = [one.key for one in audit.verification_keys(ctx)]
    offline = [timed(lambda: audit.check_file(lines, keys=keys)) for _ in range(5)]
    finding.times = {name: Times((took,)) for name, took in times.items()}
    finding.times["verify the file offline"] = Times(tuple(offline))
    best = finding.times["verify the file offline"].p50
    finding.facts = {
        **{f"{name} (records/s)": round(count / took) for name, took in times.items()},
        "verify the file offline (records/s)": round(count / best),
        f"target: 100,000 verified offline in < 1 s ({best * 100_000 / count:.2f} s)":
            "met" if best * 100_000 / count < 1 else "MISSED",
        "bytes a record in the file": round(sum(map(len, lines)) / count),
        "bytes a record in the database": _bytes(mall, count),
    }  # fmt: skip
    yield finding
    yield _proofs(mall, where, count, keys)


def _bytes(mall: Mall, count: int) -> int | str:
    if mall.backend.name != "postgres":
        return "not measured"
    with mall.engine.connect() as connection:
        name = audit_record.name
        return round(int(connection.execute(text(f"SELECT pg_total_relation_size('{name}')")).scalar_one()) / count)


def _proofs(mall: Mall, where: Place, count: int, keys: list[str]) -> Finding:
    finding = Finding(f"audit log: proofs in {count:,} records", where.name)
    with mall.begin(ME) as ctx:
        record = audit.list_records(ctx, limit=1).items[0].id
    proof = _call(mall, audit.prove, record=record).model_dump()
    cases: dict[str, Callable[[], object]] = {
        "prove a record": lambda: _call(mall, audit.prove, record=record),
        "check the proof offline": lambda: audit.check_proof(proof, keys=keys),
    }
    finding.times = interleaved(cases, 50)
    finding.facts = {"hashes": len(proof["path"]), "bytes of hashes": 32 * len(proof["path"])}
    return finding


def _call(mall: Mall, operation: Any, **given: Any) -> Any:
    with mall.begin(ME) as ctx:
        return operation(ctx, **given)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.audit", description=__doc__)
    parser.add_argument("--database", action="append", help="sqlite, postgres, or a URL (default: sqlite and postgres)")
    parser.add_argument("--quick", action="store_true", help="a tenth of the records")
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")
    given = parser.parse_args()

    def run() -> Iterator[Finding]:
        for database in given.database or ["sqlite", "postgres"]:
            with place(database) as found:
                yield from measured(found, given.quick)

    report(run(), given.json)


if __name__ == "__main__":
    main()
