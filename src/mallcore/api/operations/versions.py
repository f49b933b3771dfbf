"""The versions of the API: which there are, what differs between them, and what to do about it. Open to everybody."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from mallcore.api.contracts.keeping import Form, Kept
from mallcore.api.contracts.shapes import BrownOut, ContractDifference, MigrationNotes, VersionDifferences, VersionInfo
from mallcore.api.versions import Versions
from mallcore.errors import InvalidInput, MissingExtra, UnknownApiVersion
from mallcore.kernel.context import Context
from mallcore.kernel.operations import Rest, operation

Version = Annotated[str, Field(max_length=40, description="A version of the API: `2026-11-01`.")]
To = Annotated[str | None, Field(max_length=40, description="A later version. Nothing: the newest stable one.")]


@operation(permission=None, rest=Rest("GET", "/versions"))
def list_versions(ctx: Context) -> list[VersionInfo]:
    """The versions of the API, newest first: which are stable, which end when.

    >>> [one.name for one in list_versions(ctx) if one.latest]
    ['2026-11-01']
    """
    return [_info(ctx, name) for name in ctx.port(Versions).names]


@operation(permission=None, errors=(UnknownApiVersion,), rest=Rest("GET", "/versions/{version}/release"))
def get_version(ctx: Context, *, version: Version) -> VersionInfo:
    """One version of the API.

    >>> get_version(ctx, version="2026-05-01").successor
    '2026-08-01'
    """
    return _info(ctx, version)


def _info(ctx: Context, name: str) -> VersionInfo:
    versions, now = ctx.port(Versions), ctx.now()
    release = versions.find(name)
    return VersionInfo(
        name=name,
        state=release.state(now),
        latest=versions.latest(now) == name,
        stable_at=release.stable,
        deprecated_at=release.deprecated,
        sunset_at=release.sunset,
        brown_outs=[BrownOut(begins_at=begin, ends_at=end) for begin, end in release.brown_outs],
        successor=versions.successor(name, now),
        changes=sum(one.declared.version == name for one in versions.changes),
    )


@operation(permission=None, errors=(UnknownApiVersion, InvalidInput),
           rest=Rest("GET", "/versions/{version}/differences"))  # fmt: skip
def diff_versions(ctx: Context, *, version: Version, to: To = None) -> VersionDifferences:
    """What differs between two versions, judged by who is hurt: whoever sends as before, or reads as before.

    >>> diff_versions(ctx, version="2026-11-01", to="2026-11-01").differences
    []
    """
    until = _until(ctx, to)
    found = Kept(ctx).differences(version, until)
    levels = [one.level for one in found]
    return VersionDifferences(
        since=version,
        until=until,
        breaking=levels.count("breaking"),
        warnings=levels.count("warning"),
        additive=levels.count("additive"),
        differences=[ContractDifference.of(one) for one in found],
    )


@operation(permission=None, errors=(UnknownApiVersion, InvalidInput),
           rest=Rest("GET", "/versions/{version}/notes", forms=("text/markdown", "application/atom+xml")))  # fmt: skip
def notes(ctx: Context, *, version: Version, to: To = None) -> MigrationNotes:
    """Migration notes from a version to a later one: each change, why, who is concerned, data before and after.

    >>> notes(ctx, version="2026-11-01").notes
    []
    """
    ctx.port(Versions).find(version)
    return MigrationNotes.model_validate(Kept(ctx).notes(version, _until(ctx, to, version)).as_json())


def _until(ctx: Context, to: str | None, since: str = "") -> str:
    """The version that was named, or the newest stable one; whoever has a preview is told of nothing."""
    versions = ctx.port(Versions)
    return versions.find(to).name if to is not None else max(versions.latest(ctx.now()), since)


@dataclass(frozen=True, slots=True)
class SchemaFile:
    """The schema of a version as a file."""

    version: str
    content_type: str
    body: bytes


@operation(permission=None, errors=(UnknownApiVersion, MissingExtra), output=bytes,
           rest=Rest("GET", "/versions/{version}/schema"))  # fmt: skip
def schema(ctx: Context, *, version: Version, form: Form = "openapi") -> SchemaFile:
    """The schema of a version as a file: OpenAPI, GraphQL's definition language, or the contract that is guarded.

    >>> schema(ctx, version="2026-11-01", form="contract").content_type
    'application/json'
    """
    kind = "text/plain; charset=utf-8" if form == "graphql" else "application/json"
    return SchemaFile(version, kind, Kept(ctx).schema(version, form).encode())
