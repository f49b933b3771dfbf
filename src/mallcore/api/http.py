"""A request and a response without a framework, and what is asked of a mall. Adapters translate into these."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote

from mallcore.api.graphql.options import GraphQLOptions
from mallcore.api.rules.addresses import Header
from mallcore.kernel.context import Context, Principal
from mallcore.kernel.operations import Catalogue

if TYPE_CHECKING:
    from mallcore.api.bodies import Source
    from mallcore.api.counting import Counter
    from mallcore.api.deliveries import Chunks
    from mallcore.api.streams import EventStream
    from mallcore.api.versions import Versions

PLAIN = "/:~,@!$&'()*+;="


@dataclass(slots=True)
class Request:
    """One HTTP request, as far as the mall's API is concerned.

    ``path`` is what follows ``base`` (where the API is mounted), percent-decoded. Header names are in lower case.
    ``origin`` is the server's own view of the request: an ASGI scope or a WSGI environ.
    """

    method: str
    path: str
    query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    base: str = ""
    origin: Mapping[str, Any] = field(default_factory=dict, repr=False)
    principal: Principal | None = field(default=None, repr=False)
    """Who asks: set once it is known."""
    request_id: str = ""
    stream: Source | None = field(default=None, repr=False)
    """The body of a request for which `Dispatch.streams_body` is true, to be read while it comes."""

    raw_path: str = field(default="", repr=False)
    """The path as it was sent, from the server's root and not decoded, where the server tells."""

    version: str | None = None
    """The version of the API that is asked for by path or header, "" for none; nothing until that is looked for.

    Then ``base`` ends in a version that stood in the path, and ``root`` is ``base`` without it.
    """
    root: str = ""
    version_in_path: bool = False
    told: list[tuple[str, str]] = field(default_factory=list, repr=False)
    """Headers that its response will have, whatever comes of it."""
    rated: list[tuple[str, str]] = field(default_factory=list, repr=False)
    """Those of them that say how often its caller may ask."""
    address: str = field(default="", repr=False)
    """From where it comes, as far as the server or a trusted proxy tells."""

    @property
    def target(self) -> str:
        """Path (as `path`, but not decoded) and query."""
        base = quote(self.base, safe=PLAIN)
        told = self.raw_path and self.raw_path.startswith(base)
        path = self.raw_path[len(base) :] if told else quote(self.path, safe=PLAIN)
        return f"{path}?{self.query}" if self.query else path

    @property
    def instance(self) -> str:
        """The path as it was asked for, to be shown to the caller."""
        return quote((self.base + self.path)[:1000], safe=PLAIN)


@dataclass(slots=True)
class Response:
    """What to send back: bytes, a stream of events, or a content piece by piece (to be closed by whoever sends it)."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes = b""
    stream: EventStream | None = None
    chunks: Chunks | None = None

    def header(self, name: str) -> str | None:
        """The first header of this name."""
        return next((value for key, value in self.headers if key == name), None)


Authenticate = Callable[[Request], "Principal | None"]
"""Tells who asks: a `Principal`, nothing for anonymous callers, or raises `Unauthenticated` for bad credentials."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How the API answers.

    ``blocking`` says that ``authenticate`` may wait (for a database, a network), so that it must not be called on an
    event loop: then every request goes to a thread. ``max_upload`` limits bodies that are read while they come; on an
    event loop, ``max_uploads`` of them may come at once. A client that has kept the mall waiting for ``patience``
    seconds, less one for each ``slowest`` bytes it brought, is not waited for any longer. ``version`` of the API is for
    those who ask for none.

    ``proxies`` are address ranges of proxies that are believed when their header, ``forwarded``, says from where a
    request comes. Of one anonymous address, ``max_refusals`` are put on record in a minute; then it has to wait.
    """

    max_body: int = 32 << 20
    max_upload: int = 5 << 30
    max_uploads: int = 32
    patience: float = 60.0
    slowest: int = 1 << 10
    max_streams: int = 1000
    heartbeat: float = 15.0
    challenge: str = 'Bearer realm="mall"'
    proxies: tuple[str, ...] = ()
    forwarded: Header = "x-forwarded-for"
    max_refusals: int = 300
    version: str = "latest"
    blocking: bool = False
    graphql: GraphQLOptions = field(default_factory=GraphQLOptions)


def on_event_loop() -> bool:
    """Whether this is called on an event loop, which must not be blocked."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


class Mall(Protocol):
    """What the API needs of a mall."""

    @property
    def catalogue(self) -> Catalogue:
        """The operations there are now; another object after every change."""
        ...

    @property
    def versions(self) -> Versions:
        """The versions of the API."""
        ...

    @property
    def counter(self) -> Counter:
        """Counts who uses which version."""
        ...

    def now(self) -> datetime:
        """The time by the mall's clock, aware and in UTC."""
        ...

    def begin(
        self, principal: Principal, *, session: Any = None, request_id: str | None = None
    ) -> AbstractContextManager[Context]:
        """One unit of work."""
        ...

    def memory(self, principal: Principal, *, request_id: str | None = None) -> AbstractContextManager[Context]:
        """A Context that answers from memory, or raises `MemoryOnly`."""
        ...
