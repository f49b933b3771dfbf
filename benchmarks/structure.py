"""The structure rows of the design's table: hot reads, edits, old revisions, imports and rollback.

python -m benchmarks.structure [--database sqlite|postgres|URL] [--rows hot,edit,old,import,rollback] [--quick] [--json]
"""

from __future__ import annotations

import argparse
import itertools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import Any

from sqlalchemy import event

from benchmarks import continuum, data, peers
from benchmarks.databases import Place, place
from benchmarks.measuring import Case, Finding, Times, interleaved, report, set_aside
from mallcore import Mall, Principal, access, structure

ME = Principal.system("benchmark")
READER = Principal.user("reader")
SUBTREE = 511


class Scene:
    """A mall with one channel that holds the main taxonomy, and the same nodes in a plain adjacency list beside it."""

    def __init__(self, where: Place, quick: bool) -> None:
        self.where = where
        self.quick = quick
        self.data, self.source = data.main_taxonomy()
        self.url = where.url()
        self.mall = where.opened(self.url)
        with self.mall.begin(ME) as ctx:
            self.channel = structure.create_channel(ctx, slug="books", name="Books").id
            structure.import_taxonomy(ctx, channel=self.channel, data=self.data)
        self.view = self.head()
        self.rows = peers.category_rows(self.view)
        peers.prepare(self.mall.engine)
        peers.fill(self.mall.engine, self.rows)

    def head(self, **more: Any) -> structure.TreeView:
        """The tree as it is now."""
        with self.mall.begin(ME) as ctx:
            return structure.tree(ctx, channel=self.channel, **more)

    def rounds(self, full: int) -> int:
        """How often to measure: a fifth of the full number is quick, and never less than five."""
        return max(full // 5, 5) if self.quick else full

    def subtree(self) -> tuple[str, int, list[str]]:
        """The node with about 511 nodes (itself included), their number, and two parents to move it between."""
        tree = self.view.tree
        sizes: dict[str, int] = {}
        for _, node in reversed(list(tree.walk())):
            sizes[node.id] = 1 + sum(sizes[child] for child in tree.child_ids(node.id))
        inner = (one for one, size in sizes.items() if size > 50 and tree.node(one).kind == "category")
        best = min(inner, key=lambda one: abs(sizes[one] - SUBTREE))
        mine = {line.id for _, line in tree.walk(best)}
        home = tree.node(best).parent_id or ""
        away = next(child for child in tree.child_ids(self.channel) if child not in mine and child != home)
        return best, sizes[best], [away, home]


def hot(scene: Scene) -> Iterator[Finding]:
    """Reading the whole tree at the head, again and again."""
    with scene.mall.begin(ME) as ctx:
        access.grant(ctx, principal=READER.ref, role="visitor", scope="mall")
    cached = {("books", None, None): scene.head().body}
    view = scene.head()
    with scene.mall.begin(READER) as ctx:
        reader = structure.tree_reader(ctx, channel="books")

    def look_up() -> bytes:
        return cached["books", None, None]

    def operation(principal: Principal) -> Case:
        def read() -> bytes:
            with scene.mall.memory(principal) as ctx:
                return structure.tree(ctx, channel="books").body

        return read

    cases: dict[str, Case] = {
        "dict look-up returning bytes": look_up,
        "TreeView.body, view in hand": lambda: view.body,
        "tree_reader().body, user with a grant": lambda: reader.body,
        "memory() + structure.tree().body, system": operation(ME),
        "memory() + structure.tree().body, user with a grant": operation(READER),
    }
    finding = Finding("hot tree read", scene.where.name)
    with scene.mall.begin(READER) as ctx:
        structure.tree(ctx, channel="books")
    with queries(scene.mall) as seen:
        finding.times = interleaved(cases, scene.rounds(200), inner=200, warm=3)
    for name in list(cases)[1:]:
        finding.compare(name, "dict look-up returning bytes", 3)
    finding.facts = {
        "bytes": len(view.body),
        "database statements by all these reads": len(seen),
    }
    finding.notes = [" ".join(statement.split()) for statement in seen]
    yield finding


@contextmanager
def queries(mall: Mall) -> Iterator[list[str]]:
    """The statements that were run meanwhile by other threads than the one that follows the database."""
    seen: list[str] = []

    def note(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        if threading.current_thread().name != "mallcore-follower":
            seen.append(statement)

    event.listen(mall.engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        event.remove(mall.engine, "before_cursor_execute", note)


def edit(scene: Scene) -> Iterator[Finding]:
    """One rename, and one move of a large subtree, as a revision with audit."""
    node, size, parents = scene.subtree()
    engine = scene.mall.engine
    names, places = itertools.count(), itertools.cycle(parents)
    plain_places, their_places = itertools.cycle(parents), itertools.cycle(parents)

    def rename() -> None:
        with scene.mall.begin(ME) as ctx:
            structure.rename(ctx, channel="books", node=node, name=f"Name {next(names)}")

    def move() -> None:
        with scene.mall.begin(ME) as ctx:
            structure.move(ctx, channel="books", node=node, parent=next(places))

    ours = "mallcore: revision and audit"
    plain = "SQLAlchemy ORM adjacency list, no history"
    renames: dict[str, Case] = {ours: rename, plain: lambda: peers.rename(engine, node, f"Name {next(names)}")}
    moves: dict[str, Case] = {ours: move, plain: lambda: peers.move(engine, node, next(plain_places))}
    notes = [f"subtree of {size} nodes"]
    theirs = f"SQLAlchemy-Continuum {continuum_version()}"
    other = _continuum(scene)
    if other is not None:
        renames[theirs] = lambda: other.rename(node, f"Name {next(names)}")
        moves[theirs] = lambda: other.move(node, next(their_places))
        notes.append("Continuum: a database of its own on the same server, same SQLite settings, in its own process")
    for row, cases in (("rename", renames), (f"move of a {size}-node subtree", moves)):
        finding = Finding(row, scene.where.name, interleaved(cases, scene.rounds(500), warm=10), notes=notes)
        finding.compare(ours, plain, 2)
        if other is not None:
            finding.compare(ours, theirs, 1)
        yield finding
    if other is not None:
        other.close()


def continuum_version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("SQLAlchemy-Continuum")
    except PackageNotFoundError:
        return "(absent)"


def _continuum(scene: Scene) -> continuum.Continuum | None:
    if not continuum.available():
        return None
    return continuum.Continuum(_with_driver(scene.where.url()), scene.rows)


def _with_driver(url: str) -> str:
    return url.replace("postgresql://", "postgresql+psycopg://")


def old(scene: Scene) -> Iterator[Finding]:
    """The whole tree at an old revision, as JSON: the first time, and again."""
    rounds = scene.rounds(40)
    tops = scene.view.tree.child_ids(scene.channel)
    first = scene.head().revision
    for number in range(rounds + 3):
        with scene.mall.begin(ME) as ctx:
            structure.rename(ctx, channel="books", node=tops[number % len(tops)], name=f"Section {number}")
    reader = scene.where.opened(scene.url)  # a process that has seen none of the old revisions
    with reader.begin(ME) as ctx:
        structure.tree(ctx, channel="books")
    revisions = itertools.cycle(range(first, first + rounds + 1))

    def read(at: int) -> bytes:
        with reader.begin(ME) as ctx:
            return structure.tree(ctx, channel="books", at=at).body

    kept = first + rounds + 1
    read(kept)
    cases: dict[str, Case] = {
        "mallcore, old revision, cold": lambda: read(next(revisions)),
        "adjacency list: all objects to JSON": lambda: peers.whole_tree(scene.mall.engine),
    }
    other = _continuum(scene)
    if other is not None:
        other.rename(tops[0], "Later")
        cases["SQLAlchemy-Continuum as of an old transaction"] = lambda: other.tree_as_of(1)
    finding = Finding("tree as of an old revision", scene.where.name, interleaved(cases, rounds, settle=True))
    finding.compare("mallcore, old revision, cold", "adjacency list: all objects to JSON", 1.2)
    if other is not None:
        finding.compare("mallcore, old revision, cold", "SQLAlchemy-Continuum as of an old transaction")
        finding.facts["Continuum, load of the tree (s)"] = round(other.loaded, 2)
        other.close()
    yield finding

    def hot_read() -> bytes:
        with reader.begin(ME) as ctx:
            return structure.tree(ctx, channel="books").body

    hot_read()
    warm: dict[str, Case] = {"mallcore, old revision, warm": lambda: read(kept), "mallcore, head, hot": hot_read}
    finding = Finding("tree as of an old revision, again", scene.where.name, interleaved(warm, scene.rounds(200), 50))
    finding.compare("mallcore, old revision, warm", "mallcore, head, hot", 1.2)
    yield finding


def imports(scene: Scene) -> Iterator[Finding]:
    """The whole taxonomy into an empty channel, as one revision."""
    engine = scene.mall.engine
    numbers = itertools.count()
    ours, same, plain = (
        "mallcore: import as one revision",
        "Core bulk insert, table of our columns and indexes",
        "Core bulk insert, adjacency list",
    )

    def imported() -> float:
        channel = new_channel(scene.mall, f"import-{next(numbers)}")
        return seconds(scene.mall, lambda ctx: structure.import_taxonomy(ctx, channel=channel, data=scene.data))

    def bare() -> float:
        rows = peers.full_rows(scene.rows, f"chn_{next(numbers)}")
        return took(lambda: peers.fill_same_columns(engine, rows))

    def adjacency() -> float:
        peers.empty(engine)
        return took(lambda: peers.fill(engine, scene.rows))

    finding = Finding("import as one revision", scene.where.name)
    finding.times = interleaved({ours: imported, same: bare, plain: adjacency}, scene.rounds(15), settle=True)
    finding.compare(ours, same, 3)
    finding.compare(ours, plain)
    finding.notes = [scene.source, "the import reads and checks the file too; the bare inserts get rows ready made"]
    yield finding


def new_channel(mall: Mall, slug: str) -> str:
    with mall.begin(ME) as ctx:
        return structure.create_channel(ctx, slug=slug, name=slug).id


def took(work: Callable[[], object]) -> float:
    begin = perf_counter()
    work()
    return perf_counter() - begin


def seconds(mall: Mall, work: Callable[[Any], object]) -> float:
    """How long one unit of work took, with its commit."""
    set_aside()
    begin = perf_counter()
    with mall.begin(ME) as ctx:
        work(ctx)
    return perf_counter() - begin


def rollback(scene: Scene) -> Iterator[Finding]:
    """Undoing a change of every node; and real taxonomies, one after the other."""
    changed = data.renamed(scene.data, "anew")
    samples: dict[str, list[float]] = {name: [] for name in ("import", "re-import, every node renamed", "rollback")}
    counts: dict[str, int] = {}
    for number in range(scene.rounds(10)):
        channel = new_channel(scene.mall, f"rollback-{number}")

        def bring(ctx: Any, file: bytes, channel: str = channel) -> object:
            return structure.import_taxonomy(ctx, channel=channel, data=file)

        def back(ctx: Any, channel: str = channel) -> None:
            counts.update(structure.rollback(ctx, channel=channel, to=1).counts)

        samples["import"].append(seconds(scene.mall, lambda ctx: bring(ctx, scene.data)))
        samples["re-import, every node renamed"].append(seconds(scene.mall, lambda ctx: bring(ctx, changed)))
        samples["rollback"].append(seconds(scene.mall, back))
    finding = Finding("rollback of a 10,000-node change", scene.where.name)
    finding.times = {name: Times(tuple(taken)) for name, taken in samples.items()}
    finding.compare("rollback", "import", 2)
    finding.compare("re-import, every node renamed", "import")
    finding.facts = {"nodes rolled back": counts}
    yield finding
    yield evolution(scene)


def evolution(scene: Scene) -> Finding:
    """The taxonomies of 2024-07, 2025-03 and 2025-08 as three revisions of one channel, and back."""
    finding = Finding("real evolution, three taxonomies", scene.where.name)
    files = {name: found for name in data.TAXONOMIES if (found := data.taxonomy(name)) is not None}
    if len(files) < len(data.TAXONOMIES):
        finding.notes.append("skipped: the taxonomies of 2024-07, 2025-03 and 2025-08 are not all there")
        return finding
    samples: dict[str, list[float]] = {}
    for number in range(scene.rounds(10)):
        channel = new_channel(scene.mall, f"evolution-{number}")
        for name, file in files.items():

            def bring(ctx: Any, name: str = name, file: bytes = file, channel: str = channel) -> None:
                finding.facts[name] = structure.import_taxonomy(ctx, channel=channel, data=file).counts

            samples.setdefault(name, []).append(seconds(scene.mall, bring))

        def back(ctx: Any, channel: str = channel) -> None:
            finding.facts["rollback to 2024-07"] = structure.rollback(ctx, channel=channel, to=1).counts

        samples.setdefault("rollback to 2024-07", []).append(seconds(scene.mall, back))
    finding.times = {name: Times(tuple(taken)) for name, taken in samples.items()}
    return finding


ROWS: dict[str, Callable[[Scene], Iterator[Finding]]] = {
    "hot": hot,
    "edit": edit,
    "old": old,
    "import": imports,
    "rollback": rollback,
}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.structure", description=__doc__)
    parser.add_argument("--database", action="append", help="sqlite, postgres, or a URL (default: sqlite and postgres)")
    parser.add_argument("--rows", default=",".join(ROWS), help="which rows, with commas (default: all)")
    parser.add_argument("--quick", action="store_true", help="a fifth of the rounds")
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")
    given = parser.parse_args()
    unknown = set(given.rows.split(",")) - set(ROWS)
    if unknown:
        parser.error(f"unknown rows {sorted(unknown)}: choose from {', '.join(ROWS)}")
    return given


def main() -> None:
    given = arguments()

    def run() -> Iterator[Finding]:
        for database in given.database or ["sqlite", "postgres"]:
            for name in given.rows.split(","):
                with place(database) as found:
                    yield from ROWS[name](Scene(found, given.quick))

    report(run(), given.json)


if __name__ == "__main__":
    main()
