"""Releases: the dated versions of the API, how long each lives, and what changed between them."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel

from mallcore.api.versions.calls import GoneCall
from mallcore.api.versions.chain import Chain
from mallcore.api.versions.changes import Change, Declared, is_version
from mallcore.api.versions.members import is_model
from mallcore.api.versions.view import Known, View
from mallcore.errors import InvalidRelease, UnknownApiVersion
from mallcore.kernel.operations import Catalogue

State = Literal["preview", "stable", "deprecated", "brown-out", "sunset"]


@dataclass(frozen=True, slots=True)
class Release:
    """One dated version. Before ``stable`` it is a preview; times that are not given do not come.

    A version is deprecated before it is shut down, and browns out in between: `InvalidRelease` says what is out of
    order.
    """

    name: str
    stable: datetime | None = None
    deprecated: datetime | None = None
    sunset: datetime | None = None
    brown_outs: tuple[tuple[datetime, datetime], ...] = ()
    preview: datetime | None = None
    """From when on it may be tried; nothing: from the start."""

    def __post_init__(self) -> None:
        for reason in _out_of_order(self):
            raise InvalidRelease(release=self.name, reason=reason)

    def state(self, now: datetime) -> State:
        """What it is at this time."""
        if self.sunset is not None and now >= self.sunset:
            return "sunset"
        if any(begin <= now < end for begin, end in self.brown_outs):
            return "brown-out"
        if self.deprecated is not None and now >= self.deprecated:
            return "deprecated"
        return "stable" if self.stable is not None and now >= self.stable else "preview"


def _out_of_order(one: Release) -> Iterator[str]:
    """What is wrong with the dates of a release."""
    if not is_version(one.name):
        yield "a version is named by a date: YYYY-MM-DD"
    windows = [moment for window in one.brown_outs for moment in window]
    named = {"preview": one.preview, "stable": one.stable, "deprecated": one.deprecated, "sunset": one.sunset}
    given = [(name, moment) for name, moment in named.items() if moment is not None]
    if naive := [moment for moment in (*windows, *(moment for _, moment in given)) if moment.tzinfo is None]:
        yield f"{naive[0]} has no time zone: give one"
        return
    for (early, first), (late, second) in itertools.pairwise(given):
        if first > second:
            yield f"it is {late} before it is {early}"
    if one.sunset is not None and one.deprecated is None:
        yield "it ends without having been deprecated: say from when on it is"
    if windows != sorted(set(windows)):
        yield "its brown-outs overlap, or end before they begin"
    if windows and (one.deprecated is None or windows[0] < one.deprecated):
        yield "it browns out before it is deprecated"
    if windows and one.sunset is not None and windows[-1] > one.sunset:
        yield "it browns out after its end"


class Versions:
    """The versions of one mall's API; immutable. What changed is followed once, and errors in it are found here.

    >>> from datetime import UTC, datetime
    >>> versions = Versions([Release("2026-05-01", stable=datetime(2026, 5, 1, tzinfo=UTC)), Release("2026-11-01")])
    >>> versions.names, versions.latest(datetime(2026, 6, 1, tzinfo=UTC))
    (('2026-11-01', '2026-05-01'), '2026-05-01')
    """

    def __init__(self, releases: Iterable[Release], changes: Iterable[type[Change]] = ()) -> None:
        self._releases: dict[str, Release] = {}
        for one in sorted(releases, key=lambda one: one.name):
            if one.name in self._releases and self._releases[one.name] != one:
                raise InvalidRelease(release=one.name, reason="it is declared twice, with other dates")
            self._releases[one.name] = one
        self._changes = tuple(dict.fromkeys(changes))
        self._declared = sorted((one.declared for one in self._changes), key=lambda one: one.version)
        for change in self._declared:
            if change.version not in self._releases:
                known = ", ".join(self._releases) or "none"
                raise change.wrong("version", f"there is no release {change.version}: declare it (there are {known})")
        _follow(Chain(self._declared))

    @property
    def names(self) -> tuple[str, ...]:
        """All of them, newest first."""
        return tuple(reversed(self._releases))

    @property
    def releases(self) -> tuple[Release, ...]:
        """All of them with their dates, newest first."""
        return tuple(self._releases[name] for name in self.names)

    @property
    def changes(self) -> tuple[type[Change], ...]:
        """The changes between them, oldest first."""
        return tuple(sorted(self._changes, key=lambda one: one.declared.version))

    def extended(self, releases: Iterable[Release] = (), changes: Iterable[type[Change]] = ()) -> Versions:
        """These and more: what a host or a plug-in adds."""
        return Versions((*self._releases.values(), *releases), (*self._changes, *changes))

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

    def successor(self, name: str, now: datetime | None = None) -> str | None:
        """The version after this one; with a time, the first after it that is not gone by then."""
        newer = [one for one in self._releases if one > name and not (now and self.state(one, now) == "sunset")]
        return newer[0] if newer else None

    def between(self, older: str, newer: str) -> tuple[type[Change], ...]:
        """The changes that lead from one version to another, oldest first."""
        return tuple(one for one in self.changes if older < one.declared.version <= newer)

    def view(self, catalogue: Catalogue, name: str) -> View:
        """The catalogue as this version shows it; it is kept on the catalogue, and goes with it."""
        if (self, name) not in catalogue.derived:
            self.find(name)
            place = sum(one.version <= name for one in self._declared)
            catalogue.derived.setdefault((self, name), View(catalogue, name, self.known(catalogue), place))
        found: View = catalogue.derived[self, name]
        return found

    def known(self, catalogue: Catalogue) -> Known:
        """What all views of a catalogue share."""
        if (self, "chain") not in catalogue.derived:
            made = Known(_follow(Chain(self._declared, _inputs(self._declared, catalogue))))
            catalogue.derived.setdefault((self, "chain"), made)
        found: Known = catalogue.derived[self, "chain"]
        return found


def _follow(chain: Chain) -> Chain:
    """Follow every change of a model or operation that is known, so that what is wrong is found now."""
    for change in chain.changes:
        for subject in change.touches:
            if is_model(subject):
                _look(chain, subject)  # type: ignore[arg-type]
    for model in chain.inputs:
        _look(chain, model)
    return chain


def _look(chain: Chain, model: type[BaseModel]) -> None:
    """Follow what changes say of a model, and of all that it may hold."""
    for one in chain.closure(model):
        chain.state(one, 0)


def _inputs(changes: Iterable[Declared], catalogue: Catalogue) -> Mapping[type[BaseModel], str]:
    """The parameters of the operations that changes touch. Of packages that are not there at all, nothing is asked."""
    packages = {name.partition(".")[0] for name in catalogue}
    gone: dict[str, Any] = {
        call.operation: call.known for change in changes for call in change.calls if isinstance(call, GoneCall)
    }
    found: dict[type[BaseModel], str] = {}
    for change in changes:
        named = {one for one in change.touches if isinstance(one, str)}
        for name in sorted({*named, *(call.operation for call in change.calls)}):
            known = catalogue.get(name) or gone.get(name)
            if known is None and name.partition(".")[0] in packages:
                raise change.wrong("touches", f"there is no operation {name!r}: name it as the newest version does")
            if known is not None and name in named:
                found[known.input] = name
    return found
