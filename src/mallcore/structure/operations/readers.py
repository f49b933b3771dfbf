"""A bound reader: the hottest way to read a tree, for a host that serves the same one again and again."""

from __future__ import annotations

from mallcore.errors import RevisionNotReached, UnknownNode
from mallcore.kernel.context import Context
from mallcore.kernel.operations import operation
from mallcore.structure.model.shapes import ChannelRef, Depth, Locale, NodeRef
from mallcore.structure.operations.changes import Begin, Beginning
from mallcore.structure.operations.reading import TreeView, tree
from mallcore.structure.operations.scopes import of_node
from mallcore.structure.operations.trees import Trees, known


class TreeReader:
    """The JSON of a channel's head, for one principal; follows the head, and asks again for access when grants change.

    ``body`` costs a dictionary look-up and two comparisons while nothing changed. It may raise what `tree` raises:
    `Denied`, say, once a grant was revoked.
    """

    __slots__ = (
        "_arguments", "_begin", "_body", "_channel", "_follower", "_forgotten", "_generation", "_heads", "_policy",
        "_trees", "_view",
    )  # fmt: skip

    def __init__(self, ctx: Context, begin: Begin, channel_id: str, **arguments: object) -> None:
        trees = ctx.port(Trees)
        self._begin = begin
        self._channel = channel_id
        self._arguments = arguments
        self._trees = trees
        self._heads = trees.heads
        self._follower = trees.follower
        self._policy = ctx.services.policy
        self._generation = self._forgotten = -1
        self._view: TreeView
        self._body = b""
        self._renew()

    @property
    def body(self) -> bytes:
        """The tree as JSON in the form of `TreeShape`, as of the newest revision this process knows."""
        if (
            self._policy.generation == self._generation
            and self._heads.get(self._channel) is self._view.tree
            and self._trees.forgotten == self._forgotten
            and self._follower.running
        ):
            return self._body
        return self._renew()

    @property
    def view(self) -> TreeView:
        """The same as a `TreeView`, with its entity tag and revision."""
        self.body  # noqa: B018 - brings the view up to date
        return self._view

    def _renew(self) -> bytes:
        generation, forgotten = self._policy.generation, self._trees.forgotten
        with self._begin() as ctx:
            self._view = tree(ctx, channel=self._channel, **self._arguments)  # type: ignore[arg-type]
        self._body = self._view.body
        self._generation, self._forgotten = generation, forgotten
        return self._body


@operation(permission="structure.read", subject=of_node, errors=(UnknownNode, RevisionNotReached))
def tree_reader(
    ctx: Context, *, channel: ChannelRef, node: NodeRef | None = None, depth: Depth = None, locale: Locale = None
) -> TreeReader:
    """A reader that gives a channel's tree as bytes, again and again, at the price of a look-up. For Python only."""
    begin, principal = ctx.port(Beginning).begin, ctx.principal
    return TreeReader(ctx, lambda: begin(principal), known(ctx, channel).id, node=node, depth=depth, locale=locale)
