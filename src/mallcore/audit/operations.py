"""Writing the audit trail, as a listener to recorded events; and reading it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, Field
from sqlalchemy import insert, or_, select

from mallcore.audit.model import Record, audit_record
from mallcore.kernel.context import Context
from mallcore.kernel.events import AccessDenied, Event
from mallcore.kernel.hooks import hookimpl
from mallcore.kernel.ids import new_id
from mallcore.kernel.operations import Rest, anywhere, operation
from mallcore.kernel.paging import Cursor, Limit, Page, decode, page

_ADD = insert(audit_record)
_Text = Annotated[str | None, Field(max_length=200)]


class Trail:
    """The plug-in that writes a record for every event, in the event's transaction."""

    @hookimpl
    def event_recorded(self, ctx: Context, event: Event) -> None:
        """Add the record."""
        denied = isinstance(event, AccessDenied)
        row = {
            "id": new_id("aud"),
            "at": ctx.now(),
            "principal": (_refused(event) or ctx.principal.ref)[:200],
            "operation": (event.operation if isinstance(event, AccessDenied) else ctx.operation) or event.name,
            "event": event.name,
            "outcome": "denied" if denied else "ok",
            "subject": event.subject[:200],
            "unit_id": event.unit_id,
            "channel_id": event.channel_id,
            "revision": event.revision,
            "before": _plain(event.before),
            "after": {"permission": event.permission, **event.details}
            if isinstance(event, AccessDenied)
            else _plain(event.after),
            "request_id": ctx.request_id,
        }
        ctx.execute(_ADD, row)


def _refused(event: Event) -> str:
    return event.principal if isinstance(event, AccessDenied) else ""


def _plain(values: Mapping[str, Any] | None) -> dict[str, Any] | None:
    return None if values is None else dict(values)


@operation(permission="audit.read", subject=anywhere, rest=Rest("GET", "/audit"))
def list_records(
    ctx: Context,
    *,
    principal: _Text = None,
    operation: _Text = None,
    event: _Text = None,
    outcome: Literal["ok", "denied"] | None = None,
    subject: _Text = None,
    channel: Annotated[_Text, Field(description="A channel's id.")] = None,
    request_id: _Text = None,
    since: AwareDatetime | None = None,
    until: AwareDatetime | None = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[Record]:
    """The records the caller may see, newest first, narrowed by who, what, where, when and how it ended.

    >>> [(one.operation, one.revision) for one in list_records(ctx, limit=1).items]
    [('structure.create_node', 2)]
    """
    columns = audit_record.c
    query = select(audit_record).order_by(columns.id.desc()).limit(limit + 1)
    wanted = {
        "principal": principal, "operation": operation, "event": event, "outcome": outcome, "subject": subject,
        "channel_id": channel, "request_id": request_id,
    }  # fmt: skip
    for name, value in wanted.items():
        if value is not None:
            query = query.where(columns[name] == value)
    if since is not None:
        query = query.where(columns.at >= since)
    if until is not None:
        query = query.where(columns.at < until)
    reach = ctx.reach("audit.read")
    if not reach.everywhere:
        query = query.where(or_(columns.unit_id.in_(reach.units), columns.channel_id.in_(reach.channels)))
    if cursor is not None:
        query = query.where(columns.id < decode(cursor, str)[0])
    return page(ctx.execute(query).all(), limit, lambda row: Record(**row._mapping), lambda row: (row.id,))
