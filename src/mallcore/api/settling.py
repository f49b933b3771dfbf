"""Which version of the API a request is for, whether that version still answers, and what is said of its life."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from urllib.parse import quote

from mallcore.api.http import PLAIN, Mall, Request
from mallcore.api.rules import versioning
from mallcore.api.rules.problems import Refused
from mallcore.api.versions import Release
from mallcore.errors import InvalidInput, VersionBrownOut, VersionSunset

GRAPHQL = "/graphql"
_ENDING = ("deprecated", "brown-out", "sunset")


class Settling:
    """Settles the version of each request: by its path, then its header, then its caller's pin, then the default."""

    def __init__(self, mall: Mall, default: str) -> None:
        self._mall = mall
        self._default = default

    def read(self, request: Request) -> None:
        """Take the version out of the path; what stands before it is where that version is mounted."""
        if request.version is not None:
            return
        named = versioning.in_path(request.path)
        version = self._header(request, named)
        request.root, request.version = request.base, version
        if named is not None:
            request.path, request.version_in_path = named.path, True
            request.base = f"{request.base}/{named.version}"

    @staticmethod
    def _header(request: Request, named: versioning.InPath | None) -> str:
        """The version that path or header ask for; "" for none."""
        in_path = "" if named is None else named.version
        header = request.headers.get(versioning.HEADER)
        if header is None:
            return in_path
        version = versioning.in_header(header)
        if version is None:
            raise _wrong("write it as a date such as 2026-11-01, or latest")
        if in_path and version != in_path:
            raise _wrong(f"it contradicts the path, which names {in_path}")
        return version

    def release(self, request: Request, pin: str | None = None) -> Release:
        """The release that answers; raises `UnknownApiVersion`."""
        name = request.version or pin or self._default
        versions = self._mall.versions
        return versions.find(versions.latest(self._mall.now()) if name == versioning.LATEST else name)

    def admit(self, request: Request, release: Release) -> None:
        """Note on the request what its response says of the version; refuse what is gone, or off for now."""
        now = self._mall.now()
        state = self._mall.versions.state(release.name, now)
        request.told = [(versioning.HEADER, release.name)]
        if not request.version_in_path:
            request.told.append(("vary", "Mall-Version"))
        if release.deprecated is None and release.sunset is None:
            return
        request.told += self._life(request, release, now)
        if state in ("brown-out", "sunset"):
            raise Refused(410, self._gone(request, release, state, now))

    def _life(self, request: Request, release: Release, now: datetime) -> list[tuple[str, str]]:
        notes, successor = self._notes(request, release), self._mall.versions.successor(release.name, now)
        found: list[tuple[str, str]] = []
        links = []
        if release.deprecated is not None:
            found.append(("deprecation", versioning.deprecation(release.deprecated)))
            links.append(versioning.link(notes, "deprecation"))
        if release.sunset is not None:
            found.append(("sunset", versioning.sunset(release.sunset)))
            links.append(versioning.link(notes, "sunset"))
        if successor is not None:
            links.append(versioning.link(quote(f"{request.root}/{successor}/", safe=PLAIN), "successor-version"))
        return [*found, ("link", ", ".join(links))]

    @staticmethod
    def _notes(request: Request, release: Release) -> str:
        return quote(f"{request.root}/versions/{release.name}/notes", safe=PLAIN)

    def _gone(self, request: Request, release: Release, state: str, now: datetime) -> VersionSunset:
        told: dict[str, Any] = {
            "version": release.name,
            "sunset": release.sunset and release.sunset.date().isoformat(),
            "successor": self._mall.versions.successor(release.name, now) or self._mall.versions.latest(now),
            "notes": self._notes(request, release),
        }
        if state == "sunset":
            return VersionSunset(**told)
        until = next(end for begin, end in release.brown_outs if begin <= now < end)
        return VersionBrownOut(until=until.isoformat(), **told)


def is_graphql(path: str) -> bool:
    """Whether GraphQL answers at a path, be it in the path of a version."""
    named = versioning.in_path(path)
    return (path if named is None else named.path) == GRAPHQL


def _wrong(reason: str) -> Refused:
    return Refused(400, InvalidInput(field="Mall-Version", reason=reason))
