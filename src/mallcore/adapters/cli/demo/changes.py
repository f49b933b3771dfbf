"""The first half of the demo: how a structure changes. From an empty folder to a published draft."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mallcore import Mall, Principal, structure
from mallcore.adapters.cli.demo.plot import Plot, found, our_own
from mallcore.adapters.cli.demo.stage import Stage
from mallcore.adapters.cli.folder import address
from mallcore.adapters.cli.forms import counted, tree_lines
from mallcore.adapters.cli.progress import bars
from mallcore.structure import CreateNode, MoveNode, UpdateNode

CHANNEL = "harbour"
COLLEAGUE = Principal.system("colleague")


@dataclass
class Tour:
    """What the steps share."""

    mall: Mall
    me: Principal
    stage: Stage
    folder: str
    plot: Plot

    def head(self) -> structure.TreeView:
        """The tree as it is now."""
        with self.mall.begin(self.me) as ctx:
            return structure.tree(ctx, channel=CHANNEL)

    def path(self, node: str) -> str:
        """Where a node is now."""
        return self.head().path(node)


def opened(mall: Mall, stage: Stage, folder: str, seconds: float) -> None:
    """Show the mall that was just made."""
    told = "A folder becomes a mall: mall.toml holds its settings, a database everything else."
    with stage.step("A mall", told, f"mallcore --mall {folder} init") as step:
        step.seconds = seconds
        step.line(f"folder    {folder}")
        step.line(f"database  {address(mall)}")
        step.facts["database"] = address(mall)


def imported(mall: Mall, me: Principal, stage: Stage, folder: str, data: bytes, file: str) -> Tour:
    """Make a channel and fill it from a file."""
    told = """A channel is a storefront with a tree of its own. All categories of a file come in as one revision: the
    format is found out, and a newer edition of the same source later becomes real adds, moves and renames."""
    with stage.step("Create and import", told, f"mallcore structure import {file} --channel {CHANNEL}") as step:
        with step.timed(), mall.begin(me) as ctx:
            structure.create_channel(ctx, slug=CHANNEL, name="Harbour Street")
        with bars(stage.out), step.timed(), mall.begin(me) as ctx:
            done = structure.import_taxonomy(ctx, channel=CHANNEL, data=data)
        with mall.begin(me) as ctx:
            view = structure.tree(ctx, channel=CHANNEL)
        step.line(f"{done.entries:,} categories ({done.format}) in revision {done.revision}:")
        for guides, node in list(tree_lines(view.nodes))[:9]:
            step.line(f"  {guides}{node.name}")
        step.line("  …", "dim")
        step.facts |= {"revision": done.revision, "nodes": len(view), "format": done.format}
    plot = our_own(view) if done.format == "json" and _is_ours(view) else found(view)
    return Tour(mall, me, stage, folder, plot)


def _is_ours(view: structure.TreeView) -> bool:
    return {node.external_id for node in view.nodes} == {"bk", "hm", "gd", "ty", "pn", "st"}


def create(tour: Tour) -> None:
    """Add a category by hand."""
    plot = tour.plot
    told = """Whatever changes a channel is one revision: numbered, with its author and time, immutable. Here a
    category is added."""
    german = plot.newcomer_in_german
    command = f'mallcore structure create "{plot.newcomer}" --parent {plot.grows.path} --translation "de={german}"'
    with tour.stage.step("Create", told, command) as step:
        with step.timed(), tour.mall.begin(tour.me) as ctx:
            made = structure.create_category(
                ctx, channel=CHANNEL, name=plot.newcomer, parent=plot.grows.id, translations={"de": german}
            )
        step.line(f"revision {made.revision}: {made.path}", "green")
        step.facts["revision"] = made.revision


def move(tour: Tour) -> None:
    """Move a part of the tree."""
    moves, there = tour.plot.moves, tour.plot.destination
    told = f"""{moves.name} moves to {there.name}, with {moves.below:,} below it. Nodes know their parent only, so one
    row is written however much hangs below. A node can't be moved into itself: that is refused, and nothing
    changes."""
    with tour.stage.step("Move", told, f"mallcore structure move {moves.path} {there.path}") as step:
        with step.timed(), tour.mall.begin(tour.me) as ctx:
            moved = structure.move(ctx, channel=CHANNEL, node=moves.id, parent=there.id)
        step.line(f"revision {moved.revision}: {moves.path} -> {moved.path}", "cyan")
        step.facts |= {"revision": moved.revision, "moved": moves.below + 1}


def draft(tour: Tour) -> str:
    """Keep edits aside, and look at what they would do."""
    plot = tour.plot
    told = f"""A draft keeps edits aside. Nobody sees them: neither {plot.season!r} nor what moves into it. Meanwhile a
    colleague renames {plot.colleague.name!r} in the published tree. The preview is the difference to the
    head now."""
    with tour.stage.step("Draft and preview", told) as step:
        with step.timed(), tour.mall.begin(tour.me) as ctx:
            opened = structure.open_draft(ctx, channel=CHANNEL, name="Winter")
            edits: list[Any] = [
                CreateNode(name=plot.season, kind="section", index=0, translations={"de": "Wintermarkt"}),
                MoveNode(node=plot.gathered.id, parent="winter-market"),
                UpdateNode(node=plot.renamed.id, name=plot.new_name),
            ]
            structure.edit_draft(ctx, draft=opened.id, edits=edits)
        with tour.mall.begin(COLLEAGUE) as ctx:
            structure.rename(ctx, channel=CHANNEL, node=plot.colleague.id, name=plot.colleague_name)
        with step.timed(), tour.mall.begin(tour.me) as ctx:
            preview = structure.preview_draft(ctx, draft=opened.id)
        step.command = f"mallcore structure draft diff {opened.id}"
        step.difference(preview.difference.text)
        step.line(
            f"base: revision {opened.base}, head: revision {preview.onto}, clashes: {len(preview.clashes)}", "dim"
        )
        step.facts |= {"draft": opened.id, "onto": preview.onto}
    return opened.id


def publish(tour: Tour, draft: str) -> int:
    """Publish the draft onto a head that has moved on."""
    told = """Publishing is a three-way merge: what only one side changed is taken from it, so the colleague's work
    stays. If both had changed the same field, the clash would be reported, never overwritten."""
    with tour.stage.step("Publish", told, f"mallcore structure draft publish {draft}") as step:
        with step.timed(), tour.mall.begin(tour.me) as ctx:
            done = structure.publish_draft(ctx, draft=draft)
        now = tour.head().find(tour.plot.colleague.id).name
        step.line(f"revision {done.revision}: {counted(done.counts)}; and still {now!r}", "green")
        step.facts["revision"] = done.revision
    return done.revision
