"""How GraphQL answers. Needs no graphql-core, so that it can be set where that is not installed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphQLOptions:
    """How GraphQL answers.

    ``limits`` is a `mallcore.api.graphql.limits.Limits` (nothing: the usual ones), ``documents`` a
    `mallcore.api.graphql.documents.Store` of documents that clients name by ``documentId``; with ``trusted_only``
    nothing else is executed. Without ``introspection`` the schema is not shown. ``explorer`` serves a page to browsers,
    for development. Over a WebSocket, a client has ``init_seconds`` to say who it is; there are ``max_connections`` at
    most, each with ``max_subscriptions`` and with messages of up to ``max_message`` bytes.
    """

    limits: Any = None
    documents: Any = None
    trusted_only: bool = False
    introspection: bool = True
    explorer: bool = False
    max_body: int = 32 << 20
    max_connections: int = 1000
    max_subscriptions: int = 20
    max_message: int = 64 << 10
    init_seconds: float = 10.0
    heartbeat: float = 15.0
