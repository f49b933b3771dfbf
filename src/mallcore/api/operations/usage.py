"""Who uses which version of the API, and who would break when one is shut down."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Annotated, Any

from pydantic import Field
from sqlalchemy import Select, func, select, tuple_

from mallcore.api.model import Breakage, Concerned, Usage
from mallcore.api.model import usage as counted
from mallcore.api.versions import Face, Versions, View
from mallcore.errors import InvalidInput, UnknownApiVersion
from mallcore.kernel.context import Context
from mallcore.kernel.operations import Catalogue, Rest, operation
from mallcore.kernel.paging import Cursor, Limit, Page, decode, page

Days = Annotated[int, Field(ge=1, le=3650, description="How many days to look back, today included.")]
Client = Annotated[str | None, Field(max_length=200, description="`client:…`, `user:*` or `anonymous:*`.")]
Version = Annotated[str | None, Field(max_length=40, description="A version of the API: `2026-11-01`.")]
_KEY = (counted.c.client, counted.c.version, counted.c.operation, counted.c.field)


@operation(permission="api.usage", errors=(InvalidInput,), rest=Rest("GET", "/usage"))
def usage(
    ctx: Context,
    *,
    days: Days = 30,
    client: Client = None,
    version: Version = None,
    operation: Annotated[str | None, Field(max_length=200)] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[Usage]:
    """How often each client called each operation in each version, and used what is deprecated there.

    Programs are told apart; people are counted together. Processes write what they counted about every ten seconds.
    """
    query = _counts(ctx, days).order_by(*_KEY).limit(limit + 1)
    for column, value in zip(_KEY, (client, version, operation), strict=False):
        if value is not None:
            query = query.where(column == value)
    if cursor is not None:
        query = query.where(tuple_(*_KEY) > tuple_(*decode(cursor, str, str, str, str)))
    versions, now = ctx.port(Versions), ctx.now()

    def shown(row: Any) -> Usage:
        state = versions.state(row.version, now) if row.version in versions.names else "removed"
        return Usage(**{**row._mapping, "field": row.field or None, "state": state})

    return page(ctx.execute(query).all(), limit, shown, lambda row: row[:4])


@operation(permission="api.usage", errors=(UnknownApiVersion,), rest=Rest("GET", "/versions/{version}/breakage"))
def breakage(
    ctx: Context,
    *,
    version: Annotated[str, Field(max_length=40, description="The version that would be shut down.")],
    days: Days = 30,
) -> Breakage:
    """Who would break if this version were shut down today: its clients, and which of the operations they call differ.

    A client that calls nothing that differs could go on with the newest version as it is.
    """
    versions = ctx.port(Versions)
    release = versions.find(version)
    different = set(_different(versions.view(ctx.port(Catalogue), version)))
    rows = ctx.execute(_counts(ctx, days).where(counted.c.version == version, counted.c.field == "").order_by(*_KEY))
    return Breakage(
        version=version,
        state=release.state(ctx.now()),
        sunset=release.sunset,
        successor=versions.successor(version, ctx.now()),
        clients=list(_concerned(version, rows.all(), different)),
    )


def _counts(ctx: Context, days: int) -> Select[*tuple[Any, ...]]:
    since = ctx.now().date() - timedelta(days=days - 1)
    totals = func.sum(counted.c.count).label("count"), func.max(counted.c.last_at, type_=counted.c.last_at.type)
    return select(*_KEY, totals[0], totals[1].label("last_at")).where(counted.c.day >= since).group_by(*_KEY)


def _different(view: View) -> Iterable[str]:
    """The operations that this version shows otherwise than the newest does."""
    return (name for name, face in view.faces.items() if not _same(face))


def _same(face: Face) -> bool:
    return face.untouched and face.rest == face.operation.rest


def _concerned(version: str, rows: Iterable[Any], different: set[str]) -> Iterable[Concerned]:
    by_client: dict[str, list[Any]] = {}
    for row in rows:
        by_client.setdefault(row.client, []).append(row)
    for client, calls in by_client.items():
        yield Concerned(
            client=client,
            version=version,
            operations=[row.operation for row in calls if row.operation in different],
            calls=sum(int(row.count) for row in calls),
            last_at=max(row.last_at for row in calls),
        )
