"""The trees a process keeps in memory, and how they follow the database by reading only the rows that changed.

A head in memory answers without a database session. It moves on when this process commits, when the bus tells of
another's commit, or when a poll finds one.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime
from typing import Any, NamedTuple

from cachetools import LRUCache
from sqlalchemy import Select, and_, or_, select

from mallcore.errors import ChannelRemoved, RevisionNotReached, UnknownChannel
from mallcore.kernel.bus import Follower
from mallcore.kernel.context import Context
from mallcore.kernel.ids import is_id
from mallcore.kernel.ports import Subject
from mallcore.structure.model.tables import channel, node, revision, unit
from mallcore.structure.rules.merchandising import rule_from_json
from mallcore.structure.rules.nodes import EMPTY, Node, freeze
from mallcore.structure.rules.tree import Tree
from mallcore.structure.rules.workbench import patched

TOPIC = "structure"
_OLD_NODES = 2_000_000  # how many nodes of old revisions stay in memory, counted without what they share


class Known(NamedTuple):
    """What never changes of a channel, and whether it was removed."""

    id: str
    unit_id: str
    slug: str
    unit: str
    removed: bool


class Trees:
    """The process's memory of channels and their heads. One per mall."""

    def __init__(self, follower: Follower) -> None:
        self.heads: dict[str, Tree] = {}
        self._by_id: dict[str, Known] = {}
        self._by_name: dict[str, Known] = {}
        self._old: LRUCache[tuple[str, int], Tree] = LRUCache(_OLD_NODES, getsizeof=lambda tree: len(tree) + 1)
        self._watching: dict[str, list[Callable[[], None]]] = {}
        self._seen: set[tuple[str, str, bool]] = set()
        self.forgotten = 0
        """Rises whenever a channel comes, goes or comes back; whoever keeps one compares it."""
        self._lock = threading.RLock()
        self._moved = threading.Condition()
        self.follower = follower

    def forget_parent(self) -> None:
        """In a forked child: whoever held a lock, or watched, stayed with the parent."""
        self._lock, self._moved, self._watching = threading.RLock(), threading.Condition(), {}

    def known(self, ctx: Context, reference: str) -> Known:
        """The channel behind an id, a slug or ``unit:slug``; `UnknownChannel` when there is none, or several."""
        found = self._by_id.get(reference) or self._by_name.get(reference)
        if found is not None and self.follower.running:
            return found
        return self.look_up(ctx, reference)

    def look_up(self, ctx: Context, reference: str) -> Known:
        """The same, as the database has it now."""
        # An older transaction may not see what made us forget: it must not teach us the same again.
        since = -1 if ctx.work.begun else self.forgotten
        rows = ctx.execute(_channels().where(_named(reference)).limit(100)).all()
        several = len(rows) > 1
        if several:
            # A tenant's short names must not depend on another's: of several, the one the caller may see is meant.
            reach = ctx.reach("structure.read")
            rows = [row for row in rows if reach.covers(Subject(row.unit_id, row.id))] or rows
        if len(rows) > 1:
            raise UnknownChannel(
                f"Several units have a channel {reference!r}: name it as unit:{reference}.", channel=reference
            )
        if not rows:
            raise UnknownChannel(channel=reference[:200])
        row = rows[0]
        found = Known(row.id, row.unit_id, row.slug, row.unit, row.removed_at is not None)
        if row.id not in ctx.work.local and not ctx.work.private:
            self._remember(found, found.id if several else reference, since)
        return found

    def _remember(self, found: Known, name: str, since: int) -> None:
        """Keep a channel that is committed, unless something was forgotten since it was looked up."""
        with self._lock:
            if since != self.forgotten:
                return
            self._by_id[found.id] = found
            # A bare slug names one channel only until another unit takes it: then `forget_names` is called.
            self._by_name[name] = found

    def forget_names(self, channel_id: str, slug: str) -> None:
        """Look a channel up anew: it came, went or came back; another of its slug may be ambiguous now."""
        with self._lock:
            known = [name for name, found in self._by_name.items() if found.id == channel_id or name == slug]
            for name in known:
                del self._by_name[name]
            self._by_id.pop(channel_id, None)
            self.forgotten += 1

    def notice(self, channels: set[tuple[str, str, bool]]) -> None:
        """Forget the names of channels that came, went or came back since last time, or since they were looked up."""
        with self._lock:
            known = {(found.id, found.slug, found.removed) for found in self._by_id.values()}
            changed, self._seen = (channels ^ self._seen) | (known - channels), channels
        for channel_id, slug, _ in changed:
            self.forget_names(channel_id, slug)

    def advance(self, tree: Tree) -> None:
        """Take a committed tree as the head, unless a later one is known."""
        with self._lock:
            current = self.heads.get(tree.channel_id)
            if current is not None and current.revision >= tree.revision:
                return
            self.heads[tree.channel_id] = tree
            watching = list(self._watching.get(tree.channel_id, ()))
        with self._moved:
            self._moved.notify_all()
        for callback in watching:
            callback()

    def watch(self, channel_id: str, callback: Callable[[], None]) -> None:
        """Call this whenever the channel's head in memory moved on."""
        with self._lock:
            self._watching.setdefault(channel_id, []).append(callback)

    def unwatch(self, channel_id: str, callback: Callable[[], None]) -> None:
        """Call it no more."""
        with self._lock:
            callbacks = self._watching.get(channel_id, [])
            if callback in callbacks:
                callbacks.remove(callback)

    def keep(self, tree: Tree) -> None:
        """Keep an old revision for the next who asks."""
        with self._lock:
            if len(tree) + 1 <= _OLD_NODES:
                self._old[tree.channel_id, tree.revision] = tree

    def kept(self, channel_id: str, number: int) -> Tree | None:
        """A revision, if it is in memory."""
        head = self.heads.get(channel_id)
        if head is not None and head.revision == number:
            return head
        with self._lock:
            found: Tree | None = self._old.get((channel_id, number))
            return found

    def wait(self, channel_id: str, beyond: int, seconds: float) -> bool:
        """Whether the head in memory got beyond a revision within this time."""
        with self._moved:
            return self._moved.wait_for(lambda: self._revision(channel_id) > beyond, seconds)

    def _revision(self, channel_id: str) -> int:
        tree = self.heads.get(channel_id)
        return -1 if tree is None else tree.revision


def known(ctx: Context, reference: str) -> Known:
    """The channel behind a reference."""
    return ctx.port(Trees).known(ctx, reference)


def head(ctx: Context, channel_id: str, min_revision: int | None = None) -> Tree:
    """The channel's newest tree that this unit of work can see; from memory when it can."""
    trees = ctx.port(Trees)
    local = ctx.work.local
    if channel_id in local:
        return local[channel_id] or _local(ctx, channel_id)
    tree = trees.heads.get(channel_id)
    if tree is None or not trees.follower.running or ctx.work.private:
        trees.follower.start()
        tree = caught_up(ctx, channel_id)
    if min_revision is not None and tree.revision < min_revision:
        tree = caught_up(ctx, channel_id)
        if tree.revision < min_revision:
            raise RevisionNotReached(wanted=min_revision, actual=tree.revision)
    return tree


def _local(ctx: Context, channel_id: str) -> Tree:
    """The tree as a host's half-rolled-back transaction sees it."""
    row = ctx.execute(
        select(channel.c.head, channel.c.digest, channel.c.revised_at).where(channel.c.id == channel_id)
    ).one_or_none()
    if row is None:
        raise UnknownChannel(channel=channel_id)
    tree = _load(ctx, channel_id, row.head, row.digest, row.revised_at)
    ctx.work.local[channel_id] = tree
    return tree


def caught_up(ctx: Context, channel_id: str, locked: bool = False) -> Tree:
    """The head as the database has it now, kept in memory; ``locked`` holds the channel until the transaction ends."""
    query = select(channel.c.head, channel.c.digest, channel.c.revised_at).where(channel.c.id == channel_id)
    row = ctx.execute(query.with_for_update() if locked else query).one_or_none()
    if row is None:
        raise UnknownChannel(channel=channel_id)
    trees = ctx.port(Trees)
    tree = trees.heads.get(channel_id)
    if tree is not None and tree.revision >= row.head:
        return tree
    if tree is None:
        tree = _load(ctx, channel_id, row.head, row.digest, row.revised_at)
    else:
        tree = _follow(ctx, tree, row.head, row.digest, row.revised_at)
    # What this transaction wrote itself may never be committed: nobody else may see it.
    if channel_id not in ctx.work.local and not ctx.work.private:
        trees.advance(tree)
    return tree


def _load(ctx: Context, channel_id: str, number: int, digest: str, at: datetime) -> Tree:
    rows = ctx.execute(alive(channel_id, number)).all()
    return Tree.of(channel_id, map(node_of, rows), number, digest, at)


def _follow(ctx: Context, tree: Tree, number: int, digest: str, at: datetime) -> Tree:
    """The tree at a later revision, from the rows that began or ended since."""
    rows = ctx.execute(changed_rows(tree.channel_id, tree.revision, number)).all()
    present = [node_of(row) for row in rows if row.from_revision <= number < row.to_revision]
    ended = {row.node_id for row in rows} - {one.id for one in present}
    return patched(tree, present, ended).as_revision(number, digest, at)


def at_revision(ctx: Context, channel_id: str, number: int) -> Tree:
    """The tree of a revision that exists, from memory when it is there."""
    trees = ctx.port(Trees)
    local = ctx.work.local.get(channel_id)
    found = local if local is not None and local.revision == number else trees.kept(channel_id, number)
    if found is None:
        query = select(revision.c.digest, revision.c.at).where(
            revision.c.channel_id == channel_id, revision.c.number == number
        )
        row = ctx.execute(query).one()
        found = _load(ctx, channel_id, number, row.digest, row.at)
        if channel_id not in ctx.work.local and not ctx.work.private:
            trees.keep(found)
    return found


def stored_at(ctx: Context, channel_id: str, number: int) -> Tree:
    """The tree as the rows have it, whatever memory says; its digest is the channel's own while this is the head."""
    mine = (revision.c.channel_id == channel_id, revision.c.number == number)
    query = select(revision.c.digest, revision.c.at, channel.c.head, channel.c.digest.label("newest"))
    row = ctx.execute(query.join(channel, channel.c.id == revision.c.channel_id).where(*mine)).one()
    return _load(ctx, channel_id, number, row.newest if row.head == number else row.digest, row.at)


def refuse_removed(ctx: Context, found: Known) -> None:
    """Raise `ChannelRemoved` for a channel that is, by the database's word: memory may not know yet it is back."""
    if found.removed and ctx.port(Trees).look_up(ctx, found.id).removed:
        raise ChannelRemoved(channel=found.slug)


def alive(channel_id: str, number: int) -> Select[*tuple[Any, ...]]:
    """The rows of the nodes there were in a revision."""
    return select(*COLUMNS).where(
        node.c.channel_id == channel_id, node.c.from_revision <= number, node.c.to_revision > number
    )


def changed_rows(channel_id: str, after: int, until: int) -> Select[*tuple[Any, ...]]:
    """The rows that began or ended after one revision and up to another."""
    return select(*COLUMNS, node.c.from_revision, node.c.to_revision).where(
        node.c.channel_id == channel_id,
        or_(
            and_(node.c.from_revision > after, node.c.from_revision <= until),
            and_(node.c.to_revision > after, node.c.to_revision <= until),
        ),
    )


COLUMNS = (
    node.c.node_id,
    node.c.kind,
    node.c.parent_id,
    node.c.position,
    node.c.slug,
    node.c.name,
    node.c.external_id,
    node.c.translations,
    node.c.attributes,
    node.c.rules,
)


def node_of(row: Any) -> Node:
    """The node of a row that begins with `COLUMNS`."""
    id, kind, parent_id, position, slug, name, external_id, translations, attributes, rules = row[:10]
    return Node(
        id,
        kind,
        parent_id,
        position,
        slug,
        name,
        external_id,
        freeze(translations) if translations else EMPTY,
        freeze(attributes) if attributes else EMPTY,
        tuple(map(rule_from_json, rules)) if rules else (),
    )


def _channels() -> Select[*tuple[Any, ...]]:
    return select(
        channel.c.id, channel.c.unit_id, channel.c.slug, unit.c.slug.label("unit"), channel.c.removed_at
    ).join(unit, unit.c.id == channel.c.unit_id)


def _named(reference: str) -> Any:
    if is_id(reference, "chn"):
        return channel.c.id == reference
    unit_slug, colon, slug = reference.partition(":")
    if colon:
        return and_(unit.c.slug == unit_slug, channel.c.slug == slug)
    return channel.c.slug == reference


def heard(ctx: Context, what: str) -> None:
    """Another process announced ``channel:revision`` (or ``channel:*slug``: it came, went or came back)."""
    channel_id, _, number = what.partition(":")
    trees = ctx.port(Trees)
    if number.startswith("*"):
        trees.forget_names(channel_id, number[1:])
    elif (tree := trees.heads.get(channel_id)) is not None and tree.revision < int(number):
        caught_up(ctx, channel_id)


def look(ctx: Context) -> None:
    """See for ourselves which heads moved on, and whether channels came or went."""
    trees = ctx.port(Trees)
    rows = ctx.execute(select(channel.c.id, channel.c.slug, channel.c.head, channel.c.removed_at)).all()
    trees.notice({(row.id, row.slug, row.removed_at is not None) for row in rows})
    for row in rows:
        tree = trees.heads.get(row.id)
        if tree is not None and tree.revision < row.head:
            caught_up(ctx, row.id)
