"""Verdicts: what scanners say later than an upload, and what waits in quarantine."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field
from sqlalchemy import ColumnElement, and_, exists, or_, select, tuple_

from mallcore.attachments.hooks import CHECK, Finding, Result
from mallcore.attachments.model.shapes import IdempotencyKey, Sha256, UnitRef, Verdict, VersionRef, Waiting
from mallcore.attachments.model.tables import attachment as attachments
from mallcore.attachments.model.tables import verdict
from mallcore.attachments.model.tables import version as versions
from mallcore.attachments.operations.owners import Given, of_attachment, owner_of, within
from mallcore.attachments.operations.policies import Slots
from mallcore.attachments.operations.quarantine import keep_verdict
from mallcore.attachments.operations.reading import found_version
from mallcore.attachments.rules.refs import parsed, version_ref
from mallcore.attachments.rules.slots import quarantine
from mallcore.errors import InvalidInput, InvalidReference, UnknownAttachment, UnknownLabel, UnknownUnit, UnknownVersion
from mallcore.kernel.context import Context
from mallcore.kernel.operations import Rest, anywhere, operation
from mallcore.kernel.paging import Cursor, Limit, Page, decode, page
from mallcore.kernel.ports import Subject

Check = Annotated[str, Field(pattern=f"^{CHECK.pattern}$", description="The check's name, as slots list it: `virus`.")]
Tool = Annotated[str, Field(min_length=1, max_length=200, description="What found it, with its version.")]


def _of_content(ctx: Context, given: Given) -> Subject:
    if given.get("version") is not None:
        return of_attachment(ctx, given)
    return Subject(_unit(ctx, given.get("unit")))


def _unit(ctx: Context, unit: str | None) -> str:
    if unit is None:
        raise InvalidInput(field="unit", reason="content that is named by its digest needs its unit, too")
    return owner_of(ctx, f"unit:{unit}").unit_id


@operation(permission="attachments.manage", kind="command", subject=_of_content,
           errors=(InvalidInput, InvalidReference, UnknownAttachment, UnknownLabel, UnknownUnit, UnknownVersion),
           rest=Rest("POST", "/verdicts", 201))  # fmt: skip
def record_verdict(
    ctx: Context,
    *,
    check: Check,
    result: Result,
    tool: Tool,
    version: VersionRef | None = None,
    digest: Sha256 = None,
    unit: UnitRef = None,
    detail: Annotated[str, Field(max_length=500, description="What was found, such as a virus's name.")] = "",
    idempotency_key: IdempotencyKey = None,
) -> Verdict:
    """Say what a check found in a content, named by a version of it, or by its SHA-256 (``digest``) and its unit.

    It counts for all versions with this content, and for those to come. ``bad``: nobody gets it from now on, whatever
    its slot asks for. ``clean``: that check no longer keeps it in quarantine, even if it found it bad before.
    """
    if (version is None) == (digest is None):
        raise InvalidInput(field="version", reason="name the content by a version or by its digest, one of them")
    if version is not None:
        found = found_version(ctx, parsed(version))
        unit_id, digest = found.unit_id, found.digest
    else:
        unit_id = _unit(ctx, unit)
    keep_verdict(ctx, unit_id, str(digest), Finding(check, result, tool, detail))
    mine = (verdict.c.unit_id == unit_id, verdict.c.digest == digest, verdict.c.check == check)
    return _verdict(ctx.execute(select(verdict).where(*mine)).one())


@operation(permission="attachments.read", subject=of_attachment,
           errors=(InvalidReference, UnknownAttachment, UnknownLabel, UnknownVersion),
           rest=Rest("GET", "/versions/{version}/verdicts"))  # fmt: skip
def list_verdicts(ctx: Context, *, version: VersionRef) -> list[Verdict]:
    """What checks have found in a version's content, by their names."""
    found = found_version(ctx, parsed(version))
    mine = (verdict.c.unit_id == found.unit_id, verdict.c.digest == found.digest)
    return [_verdict(row) for row in ctx.execute(select(verdict).where(*mine).order_by(verdict.c.check))]


def _verdict(row: Any) -> Verdict:
    names = ("unit_id", "digest", "check", "result", "tool", "at")
    return Verdict(detail=row.detail or "", **{name: getattr(row, name) for name in names})


@operation(permission="attachments.manage", subject=anywhere, rest=Rest("GET", "/quarantine"))
def list_quarantined(ctx: Context, *, limit: Limit = 50, cursor: Cursor = None) -> Page[Waiting]:
    """The versions that nobody gets, and why: a check found them bad, or one that their slot asks for is not done."""
    query = (
        select(versions, attachments.c.slot, attachments.c.owner_kind, attachments.c.owner_id)
        .join(attachments, attachments.c.id == versions.c.attachment_id)
        .where(versions.c.dropped_at.is_(None), _quarantined(ctx))
        .order_by(versions.c.attachment_id, versions.c.n)
        .limit(limit + 1)
    )
    reach = ctx.reach("attachments.manage")
    if not reach.everywhere:
        query = query.where(within(ctx, reach))
    if cursor is not None:
        query = query.where(tuple_(versions.c.attachment_id, versions.c.n) > tuple_(*decode(cursor, str, int)))
    rows = ctx.execute(query).all()
    known = _results(ctx, rows)
    return page(rows, limit, lambda row: _waiting(ctx, row, known), lambda row: (row.attachment_id, row.n))


def _quarantined(ctx: Context) -> ColumnElement[bool]:
    """Condition: found bad by any check, or not found clean by one that the slot asks for."""
    same = (verdict.c.unit_id == versions.c.unit_id, verdict.c.digest == versions.c.digest)
    missing = [
        and_(attachments.c.slot == slot.name, ~exists().where(*same, verdict.c.check == check, _is("clean")))
        for slot in ctx.port(Slots).values()
        for check in slot.verdicts
    ]
    return or_(exists().where(*same, _is("bad")), *missing)


def _is(result: str) -> ColumnElement[bool]:
    return verdict.c.result == result


def _results(ctx: Context, rows: Any) -> dict[str, dict[str, str]]:
    """What checks have found in the contents of some versions."""
    digests = ctx.backend.among(verdict.c.digest, sorted({row.digest for row in rows}))
    known: dict[str, dict[str, str]] = {}
    for one in ctx.execute(select(verdict).where(digests)):
        known.setdefault(f"{one.unit_id}/{one.digest}", {})[one.check] = one.result
    return known


def _waiting(ctx: Context, row: Any, known: dict[str, dict[str, str]]) -> Waiting:
    slots = ctx.port(Slots)
    required = slots[row.slot].verdicts if row.slot in set(slots) else ()
    return Waiting(
        version=version_ref(row.attachment_id, row.n),
        owner=f"{row.owner_kind}:{row.owner_id}",
        slot=row.slot,
        unit_id=row.unit_id,
        digest=row.digest,
        file_name=row.file_name,
        reason=quarantine(required, known.get(f"{row.unit_id}/{row.digest}", {})) or "",
    )
