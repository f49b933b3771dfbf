"""Whom attachments belong to, and where access decisions look for it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, and_, false, select

from mallcore.attachments.model.tables import attachment, upload
from mallcore.attachments.rules.refs import owner_parts, parsed
from mallcore.errors import NotFound, UnknownAttachment, UnknownUnit, UnknownUpload
from mallcore.kernel.context import Context
from mallcore.kernel.ports import Reach, Subject
from mallcore.kernel.reaching import seen

Given = Mapping[str, Any]


class Owner(NamedTuple):
    """An owner found: its kind, its id in one spelling, and the unit (and channel, and nodes) it lies in."""

    kind: str
    id: str
    unit_id: str
    channel_id: str | None = None
    nodes: tuple[str, ...] = ()

    @property
    def ref(self) -> str:
        """``kind:id``."""
        return f"{self.kind}:{self.id}"

    @property
    def subject(self) -> Subject:
        """What access decisions see."""
        return Subject(self.unit_id, self.channel_id, self.nodes)


class Owners:
    """Port: finds what typed references name; the packages that own those things fulfil it."""

    def owner(self, ctx: Context, kind: str, reference: str, unit: str | None) -> tuple[str, str, str, str | None]:
        """An owner's kind and id in one spelling, its unit's and its channel's id."""
        raise UnknownUnit(unit=unit)

    def lineage(self, ctx: Context, channel_id: str, node_id: str) -> tuple[str, ...]:
        """A node's id and those above it, as the channel is now; nothing when the node is gone."""
        return ()

    def below(self, ctx: Context, channels: Iterable[str], nodes: Iterable[str]) -> list[str]:
        """The ids, as owners, of those of the nodes that lie in the channels now, and of all below them."""
        return []


def owner_of(ctx: Context, reference: str, unit: str | None = None) -> Owner:
    """The owner behind a typed reference."""
    owners = ctx.port(Owners)
    kind, text = owner_parts(reference)
    return located(ctx, *owners.owner(ctx, kind, text, unit))


def located(ctx: Context, kind: str, id: str, unit_id: str, channel_id: str | None) -> Owner:
    """An owner whose place is known already."""
    nodes: tuple[str, ...] = ()
    if kind == "node" and channel_id is not None:
        nodes = ctx.port(Owners).lineage(ctx, channel_id, id.rpartition("/")[2])
    return Owner(kind, id, unit_id, channel_id, nodes)


def owned_by(ctx: Context, reference: str, unit: str | None, reach: Reach) -> ColumnElement[bool]:
    """Condition: attachments of the owner. Whoever does not see everything is not told that there is no such owner."""
    try:
        found = owner_of(ctx, reference, unit)
    except NotFound as error:
        if reach.everywhere or (isinstance(error, UnknownUnit) and error.details["unit"] is None):
            raise
        return false()
    columns = attachment.c
    return and_(columns.owner_kind == found.kind, columns.owner_id == found.id, columns.unit_id == found.unit_id)


def within(ctx: Context, reach: Reach) -> ColumnElement[bool]:
    """Condition: attachments within reach, as of the places where their owners are now."""
    columns = attachment.c
    if not reach.nodes:
        return seen(reach, columns.unit_id, columns.channel_id)
    channels = ctx.execute(select(columns.channel_id).where(columns.owner_kind == "node").distinct()).scalars().all()
    below = ctx.port(Owners).below(ctx, channels, reach.nodes)
    inside = and_(columns.owner_kind == "node", ctx.backend.among(columns.owner_id, below))
    return seen(reach, columns.unit_id, columns.channel_id, inside)


def of_owner(ctx: Context, given: Given) -> Subject:
    """Subject: the owner that a call names."""
    return owner_of(ctx, given["owner"], given.get("unit")).subject


def of_row(row: Any) -> Callable[[Context], Subject]:
    """Subject of a row that names its owner."""
    return lambda ctx: located(ctx, row.owner_kind, row.owner_id, row.unit_id, row.channel_id).subject


def of_attachment(ctx: Context, given: Given) -> Subject:
    """Subject: the owner of the attachment that a call names, by its id or by one of its versions."""
    reference = given.get("attachment") or given["version"]
    return of_row(attachment_row(ctx, parsed(reference).attachment))(ctx)


def of_upload(ctx: Context, given: Given) -> Subject:
    """Subject: the owner for whom an upload was begun."""
    row = ctx.execute(select(upload).where(upload.c.id == given["upload"])).one_or_none()
    if row is None:
        raise UnknownUpload(upload=given["upload"])
    return of_row(row)(ctx)


def attachment_row(ctx: Context, id: str, *, locked: bool = False) -> Any:
    """The row of an attachment; `UnknownAttachment` when there is none."""
    query = select(attachment).where(attachment.c.id == id)
    row = ctx.execute(query.with_for_update() if locked else query).one_or_none()
    if row is None:
        raise UnknownAttachment(attachment=id)
    return row
