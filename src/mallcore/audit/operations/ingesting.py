"""Access logs from the edge: each line becomes a record, matched by its link's ``jti`` to who was given that link."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import Field
from sqlalchemy import select
from sqlalchemy.dialects import postgresql, sqlite

from mallcore.audit.model.shapes import BadLineInfo, Ingested
from mallcore.audit.model.tables import audit_line, audit_record
from mallcore.audit.operations.trail import ADD, finished, hashed
from mallcore.audit.rules.edges import Access, BadLine, Format, lines, read
from mallcore.kernel.context import Context
from mallcore.kernel.events import Event
from mallcore.kernel.ids import new_id
from mallcore.kernel.operations import Rest, operation

_T = TypeVar("_T")
_BATCH = 400
_SHOWN = 100
_UNPACKED = 1 << 30
EDGE = "audit.edge_access"
_SENT = ".redirected"


@dataclass(frozen=True, slots=True, kw_only=True)
class LogIngested(Event):
    """A log of an edge was taken in; ``after`` counts its lines."""

    name: ClassVar[str] = "audit.log_ingested"


@operation(permission="audit.manage", kind="command", rest=Rest("POST", "/audit/edge-logs", raw="data"))
def ingest(
    ctx: Context,
    *,
    data: bytes,
    format: Annotated[Format | None, Field(description="Told by the content when it is not given.")] = None,
) -> Ingested:
    """Put accesses at the edge on record: a CloudFront standard log or an S3 server access log, packed or not.

    A line is taken in once, however often it comes. Lines that are none of the format are left out and named.
    """
    counts: Counter[str] = Counter()
    problems: list[BadLineInfo] = []
    for batch in _batches(read(lines(data, _UNPACKED), format), _BATCH):
        bad = [one for one in batch if isinstance(one, BadLine)]
        problems += [BadLineInfo(line=one.number, reason=one.reason) for one in bad][: _SHOWN - len(problems)]
        accesses = {one.digest: one for one in batch if isinstance(one, Access)}
        new = _new(ctx, list(accesses))
        counts.update(lines=len(batch), bad=len(bad), known=len(batch) - len(bad) - len(new))
        counts.update(_add(ctx, [accesses[digest] for digest in accesses if digest in new]))
    names = ("lines", "known", "matched", "unmatched", "forged", "bad")
    found = {name: counts[name] for name in names}
    ctx.record(LogIngested(subject="audit", after=found))
    return Ingested(**found, problems=problems)


def _batches(items: Iterable[_T], size: int) -> Iterator[list[_T]]:
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch


def _new(ctx: Context, digests: list[str]) -> set[str]:
    """Those of the lines that nobody took in before."""
    if not digests:
        return set()
    dialect: Any = postgresql if ctx.backend.name == "postgres" else sqlite
    statement = dialect.insert(audit_line).values([{"digest": one} for one in sorted(digests)])
    return set(ctx.execute(statement.on_conflict_do_nothing().returning(audit_line.c.digest)).scalars())


def _add(ctx: Context, accesses: list[Access]) -> Counter[str]:
    given = _links(ctx, {one.jti for one in accesses if one.jti is not None})
    rows = [_row(ctx, one, given.get(one.jti or "")) for one in accesses]
    if rows:
        ctx.execute(ADD, rows)
    return Counter(row["after"]["link"] for row in rows)


def _links(ctx: Context, jtis: set[str]) -> dict[str, Any]:
    """For each link's id the record of who was sent to the edge with it; else the first, of who was given the link."""
    columns = audit_record.c
    names = ("jti", "id", "event", "principal", "subject", "unit_id", "channel_id", "form")
    query = select(*(columns[name] for name in names))
    among = ctx.backend.among(columns.jti, sorted(jtis))
    found: dict[str, Any] = {}
    for row in ctx.execute(query.where(among, columns.event != EDGE, columns.outcome == "ok").order_by(columns.id)):
        known = found.setdefault(row.jti, row)
        if row.event.endswith(_SENT) and not known.event.endswith(_SENT):
            found[row.jti] = row
    return found


def _row(ctx: Context, access: Access, link: Any) -> dict[str, Any]:
    how = "matched" if link is not None else "forged" if access.jti is not None else "unmatched"
    row: dict[str, Any] = {
        "id": new_id("aud"),
        "at": ctx.now(),
        "principal": "anonymous:*",
        "operation": ctx.operation,
        "event": EDGE,
        "outcome": "ok" if access.status < 400 else "denied",
        "subject": "edge",
        "unit_id": link.unit_id if link is not None else None,
        "channel_id": link.channel_id if link is not None else None,
        "revision": None,
        "before": None,
        "after": _told(access, how, link),
        "request_id": ctx.request_id,
        "jti": access.jti,
    }
    personal = {name: value for name, value in _personal(access).items() if value}
    if link is None:
        return finished(ctx, row, personal)
    row |= {"principal": link.principal, "subject": link.subject}
    return (finished if link.form is None else hashed)(ctx, row, personal)


def _told(access: Access, how: str, link: Any) -> dict[str, Any]:
    told = {
        "link": how,
        "at": access.at.isoformat(),
        "method": access.method,
        "path": access.path,
        "status": access.status,
        "bytes": access.sent,
        "edge_request": access.request,
    }
    return told if link is None else {**told, "record": link.id}


def _personal(access: Access) -> Mapping[str, str]:
    return {"address": access.address, "user_agent": access.agent}
