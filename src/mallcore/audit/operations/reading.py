"""Reading the log: lists of records, and one of them; with the names of those whose keys are there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, Field
from sqlalchemy import select

from mallcore.audit.model.shapes import Record
from mallcore.audit.model.tables import audit_record
from mallcore.audit.operations.subjects import Subjects
from mallcore.audit.rules.leaves import is_person
from mallcore.errors import UnknownRecord
from mallcore.kernel.context import Context
from mallcore.kernel.operations import Rest, anywhere, operation
from mallcore.kernel.paging import Cursor, Limit, Page, decode, page
from mallcore.kernel.ports import Subject
from mallcore.kernel.reaching import seen

Text = Annotated[str | None, Field(max_length=200)]
RecordId = Annotated[str, Field(max_length=40, description="A record's id.")]
_SHOWN = [column for column in audit_record.c if column.name != "leaf"]


def of_record(ctx: Context, given: Mapping[str, Any]) -> Subject:
    """Subject of operations about one record: where what it tells of happened."""
    row = row_of(ctx, given["record"])
    return Subject(row["unit_id"], row["channel_id"])


def row_of(ctx: Context, record: str) -> Mapping[str, Any]:
    """The row of a record."""
    found = ctx.execute(select(*_SHOWN).where(audit_record.c.id == record)).one_or_none()
    if found is None:
        raise UnknownRecord(record=record)
    return dict(found._mapping)


def shown(row: Mapping[str, Any]) -> Record:
    """A row that was made readable, as a record."""
    return Record(index=row["log_index"], **{name: row[name] for name in Record.model_fields if name != "index"})


@operation(
    permission="audit.read", subject=of_record, errors=(UnknownRecord,), rest=Rest("GET", "/audit/records/{record}")
)
def get_record(ctx: Context, *, record: RecordId) -> Record:
    """One record.

    >>> get_record(ctx, record=list_records(ctx, limit=1).items[0].id).operation
    'structure.create_node'
    """
    return shown(ctx.port(Subjects).open(ctx, [row_of(ctx, record)])[0])


@operation(permission="audit.read", subject=anywhere, rest=Rest("GET", "/audit"))
def list_records(
    ctx: Context,
    *,
    principal: Text = None,
    operation: Text = None,
    event: Text = None,
    outcome: Literal["ok", "denied"] | None = None,
    subject: Text = None,
    channel: Annotated[Text, Field(description="A channel's id.")] = None,
    request_id: Text = None,
    jti: Annotated[Text, Field(description="The id of a signed link.")] = None,
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
    query = select(*_SHOWN).order_by(columns.id.desc()).limit(limit + 1)
    wanted = {
        "principal": principal, "operation": operation, "event": event, "outcome": outcome, "subject": subject,
        "channel_id": channel, "request_id": request_id, "jti": jti,
    }  # fmt: skip
    for name, value in wanted.items():
        if value is not None:
            query = query.where(columns[name].in_(_known_as(ctx, name, value)))
    if since is not None:
        query = query.where(columns.at >= since)
    if until is not None:
        query = query.where(columns.at < until)
    reach = ctx.reach("audit.read")
    if not reach.everywhere:
        query = query.where(seen(reach, columns.unit_id, columns.channel_id))
    if cursor is not None:
        query = query.where(columns.id < decode(cursor, str)[0])
    rows = ctx.port(Subjects).open(ctx, [dict(row._mapping) for row in ctx.execute(query)])
    return page(rows, limit, shown, lambda row: (row["id"],))


def _known_as(ctx: Context, name: str, value: str) -> list[str]:
    """What a value may stand as: a person under pseudonyms, and by name where old code wrote it."""
    if name in ("principal", "subject") and is_person(value):
        return [value, *ctx.port(Subjects).pseudonyms(ctx, value)]
    return [value]
