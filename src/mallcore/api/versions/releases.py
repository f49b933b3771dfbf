"""Releases: the dated versions of the API, and how long each lives."""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from mallcore.api.versions.view import View
from mallcore.errors import UnknownApiVersion
from mallcore.kernel.operations import Catalogue

State = Literal["preview", "stable", "deprecated", "brown-out", "sunset"]


@dataclass(frozen=True, slots=True)
class Release:
    """One dated version. Before ``stable`` it is a preview; times that are not given do not come."""

    name: str
    stable: datetime | None = None
    deprecated: datetime | None = None
    sunset: datetime | None = None
    brown_outs: tuple[tuple[datetime, datetime], ...] = ()

    def state(self, now: datetime) -> State:
        """What it is at this time."""
        if self.sunset is not None and now >= self.sunset:
            return "sunset"
        if any(begin <= now < end for begin, end in self.brown_outs):
            return "brown-out"
        if self.deprecated is not None and now >= self.deprecated:
            return "deprecated"
        return "stable" if self.stable is not None and now >= self.stable else "preview"


class Versions:
    """The versions of one mall's API; immutable."""

    def __init__(self, releases: Iterable[Release]) -> None:
        self._releases: Mapping[str, Release] = {one.name: one for one in sorted(releases, key=lambda one: one.name)}
        self._views: weakref.WeakKeyDictionary[Catalogue, dict[str, View]] = weakref.WeakKeyDictionary()

    @property
    def names(self) -> tuple[str, ...]:
        """All of them, newest first."""
        return tuple(reversed(self._releases))

    def find(self, name: str) -> Release:
        """One of them; `UnknownApiVersion` names those there are."""
        found = self._releases.get(name)
        if found is None:
            raise UnknownApiVersion(version=name[:40], known=", ".join(self.names))
        return found

    def state(self, name: str, now: datetime) -> State:
        """What a version is at this time."""
        return self.find(name).state(now)

    def latest(self, now: datetime) -> str:
        """The newest that is stable; before there is one, the newest."""
        stable = (name for name in self.names if self.state(name, now) == "stable")
        return next(stable, self.names[0])

    def successor(self, name: str) -> str | None:
        """The version after this one."""
        newer = [one for one in self._releases if one > name]
        return newer[0] if newer else None

    def view(self, catalogue: Catalogue, name: str) -> View:
        """The catalogue as this version shows it."""
        views = self._views.setdefault(catalogue, {})
        if name not in views:
            views[name] = View(catalogue, self.find(name).name)
        return views[name]
