"""Pins: what a revision or a snapshot shows stays for ever, so that it can be fetched again, byte for byte."""

from __future__ import annotations

from typing import Any

from sqlalchemy import String, and_, bindparam, cast, literal, or_, select
from sqlalchemy.dialects import postgresql, sqlite

from mallcore.attachments.model.tables import attachment, label, pin, version
from mallcore.attachments.operations.owners import located
from mallcore.attachments.rules.refs import references_in, version_ref
from mallcore.errors import ContentErased, MallError, UnknownVersion
from mallcore.kernel.context import Context
from mallcore.kernel.events import Event
from mallcore.kernel.hooks import hookimpl

READ = "attachments.read"


class Pins:
    """The plug-in by which nodes may refer to versions, and snapshots hold what was live."""

    @hookimpl
    def structure_check(self, ctx: Context, change: Any) -> MallError | None:
        """Refuse references to what is not there, was erased, is another unit's, or is hidden from the author."""
        wanted = references_in(change.attributes)
        if not wanted:
            return None
        new = wanted - _pinned(ctx, f"channel:{change.channel_id}")
        refusals = (_refusal(ctx, change.unit_id, *one) for one in sorted(new))
        return next((one for one in refusals if one is not None), None)

    @hookimpl
    def event_recorded(self, ctx: Context, event: Event) -> None:
        """Pin what a revision refers to, and what a snapshot shows."""
        if event.name == "structure.revised":
            _pin_revision(ctx, event)
        elif event.name == "structure.snapshot_made":
            _pin_snapshot(ctx, event)


def _pinned(ctx: Context, holder: str) -> set[tuple[str, int]]:
    """What the channel has shown before: whoever may edit it may show it again, by a rollback say."""
    rows = ctx.execute(select(pin.c.attachment_id, pin.c.n).where(pin.c.holder == holder))
    return {(row.attachment_id, row.n) for row in rows}


def _refusal(ctx: Context, unit_id: str, id: str, n: int) -> MallError | None:
    query = (
        select(attachment, version.c.dropped_at)
        .join(version, version.c.attachment_id == attachment.c.id)
        .where(attachment.c.id == id, version.c.n == n)
    )
    # The anchor is held until this transaction ends: nobody drops the version between this look and the pin.
    row = ctx.execute(query.with_for_update(read=True, of=attachment)).one_or_none()
    if row is None or row.unit_id != unit_id:
        return UnknownVersion(attachment=id, version=n)
    owner = located(ctx, row.owner_kind, row.owner_id, row.unit_id, row.channel_id)
    if not ctx.may(READ, owner.subject):
        return UnknownVersion(attachment=id, version=n)
    if row.dropped_at is not None:
        return ContentErased(version=version_ref(id, n), at=row.dropped_at.isoformat())
    return None


def _pin_revision(ctx: Context, event: Event) -> None:
    wanted = references_in(getattr(event, "attributes", ()))
    for id, n in sorted(wanted):
        row = {"attachment_id": id, "n": n, "holder": f"channel:{event.channel_id}", "label": ""}
        ctx.add_new(pin, row | {"revision": event.revision})


def _pin_snapshot(ctx: Context, event: Event) -> None:
    """One statement: where every label of the channel's attachments stands; those of no channel are the unit's."""
    of_unit = and_(attachment.c.channel_id.is_(None), attachment.c.unit_id == bindparam("unit"))
    told = f"attachments.snapshot {event.subject} {event.unit_id}"
    shown = attachment.c.channel_id == bindparam("channel")
    if told not in ctx.work.local:
        ctx.work.local[told] = True
        shown = or_(shown, of_unit)
    holder = cast(literal(f"snapshot:{event.subject}"), String)
    columns = (label.c.attachment_id, label.c.n, holder, label.c.name, literal(event.revision))
    query = select(*columns).join(attachment, attachment.c.id == label.c.attachment_id)
    query = query.where(shown, attachment.c.removed_at.is_(None))
    dialect: Any = postgresql if ctx.backend.name == "postgres" else sqlite
    names = ["attachment_id", "n", "holder", "label", "revision"]
    statement = dialect.insert(pin).from_select(names, query).on_conflict_do_nothing()
    ctx.execute(statement, {"unit": event.unit_id, "channel": event.channel_id})
