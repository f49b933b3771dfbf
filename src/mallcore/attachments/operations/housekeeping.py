"""Keeping house: versions expire, mirrors get what is new, stores are emptied, and what nothing refers to goes."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from mallcore.attachments.operations.collecting import collected
from mallcore.attachments.operations.dropping import expire_versions
from mallcore.attachments.operations.mirroring import empty, fill
from mallcore.attachments.operations.roles import DRAINED, MIRROR, roles
from mallcore.errors import MallError
from mallcore.kernel.context import Context

log = logging.getLogger("mallcore")
_AT_ONCE = 100_000


def keep_stores(ctx: Context, grace_seconds: float) -> None:
    """All of it, once. A store that can't be reached holds up nothing else; the next time goes on with it."""
    with ctx.apart() as own:
        stores = roles(own)
    _tried("expiring versions", expire_versions, ctx)
    for name, role in stores.items():
        if role == MIRROR:
            _tried(f"filling the mirror {name}", fill, ctx, name)
    if DRAINED in stores.values():
        _tried("emptying stores", empty, ctx)
    done = _tried("collecting", collected, ctx, grace_seconds, _AT_ONCE)
    if done is not None and done.undone:
        log.warning("the collector could not delete %s objects: %s", len(done.undone), done.undone[0].reason)


def _tried(what: str, step: Callable[..., Any], *given: Any) -> Any:
    try:
        return step(*given)
    except MallError as error:
        log.warning("%s waits for the next time: %s", what, error)
        return None
