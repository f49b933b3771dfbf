"""The second half of the demo: what a structure remembers. Comparing, naming, undoing, proving."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

from mallcore import Principal, audit, structure
from mallcore.adapters.cli.databases import working
from mallcore.adapters.cli.demo.changes import CHANNEL, Tour
from mallcore.adapters.cli.demo.stage import duration
from mallcore.adapters.cli.forms import counted
from mallcore.errors import Denied
from mallcore.structure import SetNodeRules, Sort, UpdateNode

SNAPSHOT = "before-the-sale"
_SOON, _LATER, _PATIENCE = 0.8, 1.6, 60.0  # seconds


def compare(tour: Tour, published: int) -> None:
    """Compare two revisions."""
    told = "Any two revisions can be compared, node by node: as text, as values, as JSON."
    with tour.stage.step("Diff", told, f"mallcore structure diff 1 {published}") as step:
        with step.timed(), tour.mall.begin(tour.me) as ctx:
            found = structure.diff_revisions(ctx, channel=CHANNEL, a=1, b=published)
        step.difference(found.text)
        step.facts["counts"] = found.counts


def snapshot(tour: Tour) -> None:
    """Name this moment."""
    told = """A snapshot names this moment of one channel or all. From now on its name reads like a revision, for
    ever."""
    with tour.stage.step("Snapshot", told, f"mallcore structure snapshot create {SNAPSHOT}") as step:
        with step.timed(), tour.mall.begin(tour.me) as ctx:
            made = structure.create_snapshot(ctx, name=SNAPSHOT, message="As it was before the sale")
        step.line(f"{made.name}: revision {next(iter(made.heads.values()))}", "green")
        step.facts["snapshot"] = made.name


def campaign(tour: Tour) -> None:
    """Publish at a time and take back at another."""
    on_sale = tour.plot.on_sale
    told = """A campaign is a draft that is published at one time and undone at another. The times are kept in the
    database. Of all processes that look, exactly one acts; one that is killed leaves the schedule waiting.
    Here a sale is over within a second."""
    with tour.stage.step("Campaign", told) as step:
        with step.timed(), tour.mall.begin(tour.me) as ctx:
            sale = structure.open_draft(ctx, channel=CHANNEL, name="Sale").id
            rules: list[Any] = [Sort(by="discount", descending=True)]
            name = f"{on_sale.name[:150]}, 20 % off"
            edits: list[Any] = [UpdateNode(node=on_sale.id, name=name), SetNodeRules(node=on_sale.id, rules=rules)]
            structure.edit_draft(ctx, draft=sale, edits=edits)
            now = datetime.now(UTC)
            at, undo_at = now + timedelta(seconds=_SOON), now + timedelta(seconds=_LATER)
            structure.schedule_draft(ctx, draft=sale, at=at, undo_at=undo_at)
        times = f"--at {at:%Y-%m-%dT%H:%M:%SZ} --undo-at {undo_at:%Y-%m-%dT%H:%M:%SZ}"
        step.command = f"mallcore structure draft schedule {sale} {times}"
        for what in ("published", "undone"):
            _wait_for_one(tour)
            with tour.mall.begin(tour.me) as ctx:
                last = structure.log(ctx, channel=CHANNEL, limit=1).items[0]
            step.line(f"revision {last.number}, {what} by the scheduler: {tour.head().find(on_sale.id).name}", "yellow")
        step.facts["revision"] = last.number


def _wait_for_one(tour: Tour) -> None:
    """Wait until a schedule was due and done."""
    patience = time.monotonic() + _PATIENCE
    with working(tour.stage.out, "waiting for the time to come"):
        while tour.mall.run_due() == 0 and time.monotonic() < patience:
            time.sleep(0.05)


def roll_back(tour: Tour, look: Callable[[], str]) -> None:
    """Make a grave mistake, and take it back."""
    lost = tour.plot.lost
    told = f"""Somebody removes {lost.name!r} with all below it. A rollback makes the channel equal to the snapshot
    again: as a new revision, for history is never rewritten. The mistake stays on record, the nodes return
    with their ids."""
    with tour.stage.step("Rollback", told, f"mallcore structure rollback --to {SNAPSHOT}") as step:
        with tour.mall.begin(tour.me) as ctx:
            gone = structure.remove(ctx, channel=CHANNEL, node=lost.id, policy="cascade", message="Oops")
        step.line(f"revision {gone.revision}: {counted(gone.counts)}", "red")
        with step.timed(), tour.mall.begin(tour.me) as ctx:
            back = structure.rollback(ctx, channel=CHANNEL, to=SNAPSHOT)
        step.line(f"revision {back.revision}: {counted(back.counts)}", "green")
        step.line(look(), "green")
        step.facts |= {"revision": back.revision, "restored": back.counts["added"]}


def read(tour: Tour) -> None:
    """Read the head, hot, and the past."""
    told = """Readers never wait for writers. The head is kept in memory; its JSON is made once per revision and
    language, and then handed out. What can be read now can be read as it was at a revision, a time, or a
    snapshot."""
    with tour.stage.step("Read", told, f"mallcore structure show --at {SNAPSHOT} --locale de") as step:
        with tour.mall.begin(tour.me) as ctx:
            body, times = b"", list[float]()
            for _ in range(50):
                began = time.perf_counter()
                body = structure.tree(ctx, channel=CHANNEL, locale="de").body
                times.append(time.perf_counter() - began)
            with step.timed():
                before = structure.tree(ctx, channel=CHANNEL, at=1)
            there = structure.get_node(ctx, channel=CHANNEL, node=tour.plot.lost.id, locale="de").shape
        hot = sorted(times[1:])[len(times) // 2]
        step.line(f"whole tree: {len(body):,} bytes of JSON, first {duration(times[0])}, then {duration(hot)}")
        step.line(f"as of revision 1: {len(before):,} nodes; now: {len(tour.head()):,}")
        if there.name != tour.plot.lost.name:
            step.line(f"in German: {there.name} > {', '.join(child.name for child in there.children[:4])}")
        step.facts |= {"bytes": len(body), "hot_us": round(hot * 1e6, 1)}


def verify(tour: Tour) -> None:
    """Prove the history."""
    told = """Every revision's digest covers its edits and the digest before it. Verifying follows the chain, replays
    all edits, and compares the outcome with the rows: a change made behind the mall's back is found."""
    with tour.stage.step("Verify", told, "mallcore structure verify") as step:
        with step.timed(), tour.mall.begin(tour.me) as ctx:
            held = structure.verify(ctx, channel=CHANNEL)
        step.line(f"{held.revisions} revisions hold, up to digest {held.digest[:16]}…", "green")
        step.facts["revisions"] = held.revisions


def audited(tour: Tour) -> None:
    """Show who did what, and who was refused."""
    told = """Each change wrote its audit record in its own transaction. Refusals are on record too: the key's, and
    here that of a visitor, who was granted nothing and tries to rename a category."""
    with tour.stage.step("Audit", told, "mallcore audit show --limit 8") as step:
        with suppress(Denied), tour.mall.begin(Principal.user("visitor")) as ctx:
            structure.rename(ctx, channel=CHANNEL, node=tour.plot.lost.id, name="Mine")
        with step.timed(), tour.mall.begin(tour.me) as ctx:
            found = audit.list_records(ctx, limit=8).items
        for one in found:
            number = f"revision {one.revision}" if one.revision is not None else ""
            line = f"{one.at:%H:%M:%S}  {one.outcome:<6}  {_short(one.principal):<22}  {one.operation:<26}  {number}"
            step.line(line.rstrip(), "red" if one.outcome == "denied" else "")
        step.facts["records"] = len(found)


def _short(principal: str | None) -> str:
    name = principal or ""
    return name if len(name) <= 22 else f"{name[:21]}…"
