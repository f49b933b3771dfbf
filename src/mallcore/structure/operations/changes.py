"""The change stream: every revision of a channel after a given one, as a page, or as they come."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Annotated

from pydantic import Field
from sqlalchemy import select

from mallcore.kernel.context import Context
from mallcore.kernel.operations import Rest, operation
from mallcore.kernel.paging import Limit, Page
from mallcore.structure.model.shapes import ChannelRef, Revision
from mallcore.structure.model.tables import revision as revision_table
from mallcore.structure.operations.history import HISTORY, revision_shape
from mallcore.structure.operations.scopes import of_channel
from mallcore.structure.operations.trees import Trees, head, known

After = Annotated[int, Field(ge=0, lt=1 << 63, description="Show revisions after this one.")]
_BATCH = 100
Begin = Callable[[], AbstractContextManager[Context]]


class Beginning:
    """Port: begins units of work for a principal, for what outlives the call that asked (a stream)."""

    def __init__(self, begin: Callable[..., AbstractContextManager[Context]]) -> None:
        self.begin = begin


@operation(permission=HISTORY, subject=of_channel, rest=Rest("GET", "/channels/{channel}/changes"))
def list_changes(ctx: Context, *, channel: ChannelRef, after: After = 0, limit: Limit = 50) -> Page[Revision]:
    """The revisions after a given one, oldest first: what somebody missed. Continue after the last number shown.

    >>> [one.number for one in list_changes(ctx, channel="books", after=1).items]
    [2]
    """
    found = known(ctx, channel)
    rows = ctx.execute(
        select(*(column for column in revision_table.c if column.name != "edits"))
        .where(revision_table.c.channel_id == found.id, revision_table.c.number > after)
        .order_by(revision_table.c.number)
        .limit(limit)
    )
    return Page(items=[revision_shape(row) for row in rows])


class ChangeStream:
    """Revisions of one channel as they are committed, in any process. Each is given once, in order, none left out."""

    def __init__(self, begin: Begin, trees: Trees, channel: str, after: int) -> None:
        self.channel = channel
        self.after = after
        self._begin = begin
        self._trees = trees

    def next(self, timeout: float = 0.0) -> list[Revision]:
        """Revisions not given yet, at most 100; waits up to ``timeout`` seconds for the first. Checks access anew."""
        deadline = time.monotonic() + timeout
        while True:
            with self._begin() as ctx:
                found = list_changes(ctx, channel=self.channel, after=self.after, limit=_BATCH).items
            if found:
                self.after = found[-1].number
                return found
            left = deadline - time.monotonic()
            if left <= 0:
                return []
            self._trees.wait(self.channel, self.after, left)

    def subscribe(self, callback: Callable[[], None]) -> None:
        """Call this, from some thread, when there may be something to fetch."""
        self._trees.watch(self.channel, callback)

    def unsubscribe(self, callback: Callable[[], None]) -> None:
        """Call it no more."""
        self._trees.unwatch(self.channel, callback)


@operation(permission=HISTORY, kind="stream", subject=of_channel, output=Revision,
           rest=Rest("GET", "/channels/{channel}/changes"))  # fmt: skip
def watch(
    ctx: Context,
    *,
    channel: ChannelRef,
    after: Annotated[
        int | None, Field(ge=0, lt=1 << 63, description="Begin after this revision; nothing: with the next one.")
    ] = None,
) -> ChangeStream:
    """Follow a channel: each new revision as it is committed. Over HTTP as server-sent events, resumed by their ids.

    >>> [one.number for one in watch(ctx, channel="books", after=0).next()]
    [1, 2]
    """
    found = known(ctx, channel)
    tree = head(ctx, found.id)
    begin, principal = ctx.port(Beginning).begin, ctx.principal
    return ChangeStream(lambda: begin(principal), ctx.port(Trees), found.id, tree.revision if after is None else after)
