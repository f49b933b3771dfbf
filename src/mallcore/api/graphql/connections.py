"""Pages of the mall as connections, and back: cursors for each item, though a page has only that of the next."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from mallcore.api.converting import renamed
from mallcore.api.graphql.names import camel
from mallcore.errors import InvalidInput, MallError

Json = dict[str, Any]
PAGING = {"limit": "first", "cursor": "after"}
"""What connections call the parameters of a page."""
_BEHIND = re.compile(r"([1-9][0-9]{0,2})~(.{0,500})", re.DOTALL)


class Paging:
    """How one operation's pages are asked for and read, with the names that a version has for it.

    What has no ``cursor`` is shown as a list.
    """

    def __init__(self, limit: str, cursor: str | None, items: str = "items", following: str = "next") -> None:
        self.limit = limit
        self.cursor = cursor
        self.items = items
        self.following = following

    def shown(self, page: Mapping[str, Any], after: str | None) -> Any:
        """A page as a connection, or as a list; ``after`` is the page's own cursor.

        An item's cursor is that of its page and how far in it stands: ``3~…``.
        """
        nodes, following = list(page[self.items]), page.get(self.following)
        if self.cursor is None:
            return nodes
        edges = [{"node": one, "cursor": f"{number}~{after or ''}"} for number, one in enumerate(nodes, 1)]
        if edges and following is not None:
            edges[-1]["cursor"] = following
        info = {
            "hasNextPage": following is not None,
            "hasPreviousPage": bool(after),
            "startCursor": edges[0]["cursor"] if edges else None,
            "endCursor": edges[-1]["cursor"] if edges else None,
        }
        return {"nodes": nodes, "edges": edges, "pageInfo": info}

    def call(self, ask: Callable[[Json], Any], given: Mapping[str, Any]) -> Any:
        """The connection for the arguments; where items are to be left out, their page is asked for first."""
        if self.cursor is None:
            return self.shown(ask(dict(given)), None)
        with self._named():
            return self._paged(ask, given, self.cursor)

    def _paged(self, ask: Callable[[Json], Any], given: Mapping[str, Any], name: str) -> Any:
        skip, cursor = behind(given.get(name))
        if skip:
            cursor = ask(self._skipping(given, skip, cursor)).get(self.following)
            if cursor is None:
                return self.shown({self.items: []}, None)
        return self.shown(ask({**given, name: cursor}), cursor)

    async def call_later(self, ask: Callable[[Json], Awaitable[Any]], given: Mapping[str, Any]) -> Any:
        """The same, where asking takes its time."""
        if self.cursor is None:
            return self.shown(await ask(dict(given)), None)
        with self._named():
            return await self._paged_later(ask, given, self.cursor)

    @contextmanager
    def _named(self) -> Iterator[None]:
        """Errors name what pages are asked by as connections do."""
        try:
            yield
        except MallError as error:
            names = {self.limit: PAGING["limit"], self.cursor or "": PAGING["cursor"]}
            told = renamed(error, {camel(name): shown for name, shown in names.items()})
            raise told from error.__cause__

    async def _paged_later(self, ask: Callable[[Json], Awaitable[Any]], given: Mapping[str, Any], name: str) -> Any:
        skip, cursor = behind(given.get(name))
        if skip:
            cursor = (await ask(self._skipping(given, skip, cursor))).get(self.following)
            if cursor is None:
                return self.shown({self.items: []}, None)
        return self.shown(await ask({**given, name: cursor}), cursor)

    def _skipping(self, given: Mapping[str, Any], skip: int, cursor: str | None) -> Json:
        if not 1 <= skip <= 200:
            raise InvalidInput(field="after", reason="it is not a cursor of this list; begin again without one")
        return {**given, self.limit: skip, self.cursor or "": cursor}


def behind(cursor: str | None) -> tuple[int, str | None]:
    """How many items to leave out, and the page's cursor after which they stand.

    >>> behind("3~abc"), behind("2~"), behind("abc"), behind(None)
    ((3, 'abc'), (2, None), (0, 'abc'), (0, None))
    """
    found = _BEHIND.fullmatch(cursor) if cursor is not None else None
    return (int(found[1]), found[2] or None) if found else (0, cursor)
