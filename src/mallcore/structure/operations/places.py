"""Places: what other packages may ask of the structure, through ports that they declare."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import select

from mallcore.errors import UnknownChannel, UnknownNode
from mallcore.kernel.context import Context
from mallcore.kernel.ports import Subject
from mallcore.structure.model.tables import OPEN, node
from mallcore.structure.model.tables import revision as revisions
from mallcore.structure.operations.scopes import number_at, unit_row
from mallcore.structure.operations.snapshots import get as snapshot_of
from mallcore.structure.operations.trees import head, known

_NODES = ("section", "category", "node")


class Places:
    """Finds the ids behind references, for grants and for owners of attachments; who may ask was decided before."""

    def unit(self, ctx: Context, reference: str) -> str:
        """A unit's id."""
        return str(unit_row(ctx, reference).id)

    def node(self, ctx: Context, channel: str, reference: str | None) -> tuple[str, str, str]:
        """A unit's, channel's and node's ids."""
        found = known(ctx, channel)
        node_id = found.id if reference is None else head(ctx, found.id).find(reference).id
        return found.unit_id, found.id, node_id

    def owner(self, ctx: Context, kind: str, reference: str, unit: str | None) -> tuple[str, str, str, str | None]:
        """An owner's kind and id in one spelling, and where it lies: things that are not ours lie in the unit named.

        Nodes are written ``channel/path`` or ``channel/id``; all their kinds become ``node:<channel id>/<node id>``.
        """
        if kind == "unit":
            found = str(unit_row(ctx, reference).id)
            return kind, found, found, None
        if kind == "channel":
            at = known(ctx, reference)
            return kind, at.id, at.unit_id, at.id
        if kind in _NODES:
            channel, sign, path = reference.partition("/")
            if not sign:
                raise UnknownNode(f"{reference!r} names no node: write channel/path or channel/id.", node=reference)
            unit_id, channel_id, node_id = self.node(ctx, channel, path)
            return "node", f"{channel_id}/{node_id}", unit_id, channel_id
        return kind, reference, str(unit_row(ctx, unit).id), None

    def lineage(self, ctx: Context, channel_id: str, node_id: str) -> tuple[str, ...]:
        """A node's id and those above it, as the channel is now; nothing when the node is gone."""
        tree = head(ctx, channel_id)
        return tuple(one.id for one in tree.lineage(node_id)) if node_id in tree else ()

    def below(self, ctx: Context, channels: Iterable[str], nodes: Iterable[str]) -> list[str]:
        """The ids, as owners, of those of the nodes that lie in the channels now, and of all below them."""
        among = ctx.backend.among
        there = select(node.c.channel_id, node.c.node_id).where(
            among(node.c.channel_id, list(channels)), among(node.c.node_id, list(nodes)), node.c.to_revision == OPEN
        )
        tops = [(head(ctx, row.channel_id), row.node_id) for row in ctx.execute(there).all()]
        return [f"{tree.channel_id}/{one.id}" for tree, top in tops if top in tree for _, one in tree.walk(top)]

    def time_of(self, ctx: Context, channel: str, revision: int) -> datetime:
        """When a channel got a revision; `UnknownChannel` for one of which the caller may see nothing, too."""
        found = known(ctx, channel)
        reach = ctx.reach("structure.read")
        inside = tuple(one for one in reach.nodes if one in head(ctx, found.id))
        if not reach.covers(Subject(found.unit_id, found.id, inside)):
            raise UnknownChannel(channel=channel[:200])
        number = number_at(ctx, found, revision)
        query = select(revisions.c.at).where(revisions.c.channel_id == found.id, revisions.c.number == number)
        at: datetime = ctx.execute(query).scalar_one()
        return at

    def require_snapshot(self, ctx: Context, name: str) -> None:
        """Raise `UnknownSnapshot` unless the caller may see one of this name."""
        snapshot_of(ctx, name)
