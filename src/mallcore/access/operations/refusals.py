"""Access tokens that are refused, put on record: one that is over, or was taken back, may be a stolen one."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from mallcore.errors import MallError, Unauthenticated
from mallcore.kernel.context import Context, Principal
from mallcore.kernel.events import AccessDenied
from mallcore.kernel.ports import Presented, Verifier
from mallcore.kernel.sparing import Sparing, neighbourhood

log = logging.getLogger("mallcore.access")


class RecordedRefusals:
    """A `Verifier` that asks another one, and puts on record what that refuses, as far as a flood leaves room for it.

    Whatever the token says of its bearer is not believed, and not kept.
    """

    def __init__(self, verifier: Verifier, begin: Callable[..., AbstractContextManager[Context]]) -> None:
        self._verifier = verifier
        self._begin = begin
        self._sparing = Sparing(20, 300)

    def takes(self, token: str) -> bool:
        """Whether the token looks like one of the other's."""
        return self._verifier.takes(token)

    def recall(self, presented: Presented) -> Any:
        """Who bears the token, if that is known without waiting."""
        return self._verifier.recall(presented)

    def verify(self, presented: Presented) -> Any:
        """Who bears the token."""
        try:
            return self._verifier.verify(presented)
        except Unauthenticated as error:
            self._record(presented, str(error.details.get("reason", error.code)))
            raise

    def _record(self, presented: Presented, reason: str) -> None:
        withheld = self._sparing.take(neighbourhood(presented.address))
        if withheld is None:
            return
        told = {name: one for name, one in {"withheld": withheld, "address": presented.address[:100]}.items() if one}
        event = AccessDenied(subject="access-token", principal="anonymous:*", reason=reason, details=told)
        try:
            with self._begin(Principal.system("access"), request_id=presented.request_id) as ctx:
                ctx.record(event)
        except MallError:
            log.exception("a refused access token could not be put on record")
