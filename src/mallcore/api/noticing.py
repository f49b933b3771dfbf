"""Telling hosts, once, that a version of the API is deprecated; and the plug-in of ours that writes it into the log."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from mallcore.api.model import Concerned, notice
from mallcore.api.operations.usage import breakage
from mallcore.api.versions import Release, Versions
from mallcore.kernel.context import Context
from mallcore.kernel.events import Event
from mallcore.kernel.hooks import hookimpl

log = logging.getLogger("mallcore.api")
_DAYS = 90


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionDeprecated(Event):
    """A version of the API is deprecated from now on."""

    name: ClassVar[str] = "api.version_deprecated"


class Notices:
    """The plug-in every mall has: it writes into the log who still uses a version that is deprecated now."""

    @hookimpl
    def version_deprecated(self, ctx: Context, release: Release, clients: Sequence[Concerned]) -> None:
        """Warn of each program; people are not named."""
        gone = f"gone on {release.sunset.date()}" if release.sunset is not None else "to be gone some day"
        for one in clients:
            log.warning(
                "%s uses version %s of the API, which is deprecated and %s: %d calls in %d days, %d operations differ",
                *(one.client, release.name, gone, one.calls, _DAYS, len(one.operations)),
            )


def tell(ctx: Context, release: Release) -> bool:
    """Tell of one version, unless that was done; what listeners write is committed with the note of it."""
    ctx.commanding = True
    row = {"version": release.name, "state": "deprecated", "at": ctx.now()}
    if not ctx.add_new(notice, row):
        return False
    concerned = breakage(ctx, version=release.name, days=_DAYS).clients
    ctx.record(VersionDeprecated(subject=release.name, details={"clients": [one.client for one in concerned][:100]}))
    ctx.hooks.version_deprecated(ctx=ctx, release=release, clients=concerned)
    return True


class Telling:
    """Knows what was told already, so that the database is asked once for each version that becomes deprecated."""

    def __init__(self) -> None:
        self._told: set[str] = set()

    def waiting(self, versions: Versions, now: datetime) -> list[Release]:
        """The versions that are deprecated now, and of which this process does not know that it was told."""
        releases = (versions.find(name) for name in versions.names if name not in self._told)
        return [one for one in releases if one.state(now) in ("deprecated", "brown-out")]

    def done(self, release: Release) -> None:
        """Remember that it was told, by whichever process."""
        self._told.add(release.name)
