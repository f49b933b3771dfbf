"""Quarantine: what checks have found in a content stands in rows, and decides whether anybody gets it."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import BinaryIO

from sqlalchemy import select, update

from mallcore.attachments.hooks import Finding
from mallcore.attachments.model.shapes import Version
from mallcore.attachments.model.tables import verdict
from mallcore.attachments.operations.contents import refuse_unservable
from mallcore.attachments.operations.happened import UploadRefused, VerdictRecorded
from mallcore.attachments.operations.owners import Owner
from mallcore.attachments.rules.slots import Facts, Slot
from mallcore.errors import ContentRefused, InvalidInput, Quarantined
from mallcore.kernel.context import Context
from mallcore.kernel.events import AccessDenied

log = logging.getLogger("mallcore")


def scanned(ctx: Context, content: BinaryIO, facts: Facts, slot: Slot) -> list[Finding]:
    """What the plug-ins' checks find in a content. It takes its time: outside any transaction.

    A check that breaks has found nothing: the upload goes on, and the content waits in quarantine where its slot asks
    for that check.
    """
    try:
        found = ctx.hooks.attachments_verdict_extra(content=content, facts=facts, slot=slot)
    except Exception:  # a plug-in's bug must not keep an upload from being checked by somebody else later
        log.exception("a check of uploaded content failed")
        return []
    return [finding for findings in found if findings for finding in findings]


def found_at_upload(ctx: Context, unit_id: str, digest: str, findings: Iterable[Finding]) -> None:
    """Keep what was found, in a transaction of its own: what is found bad is known, though it is refused."""
    findings = list(findings)
    if not findings:
        return
    with ctx.apart() as own:
        for finding in findings:
            # A scan does not clear what was found bad: somebody who manages attachments does, by name.
            if finding.result == "bad" or results(own, unit_id, digest).get(finding.check) != "bad":
                keep_verdict(own, unit_id, digest, finding)


@contextmanager
def refusals_on_record(ctx: Context, owner: Owner, slot: Slot) -> Iterator[None]:
    """What is refused within the block is remembered for the audit log, whatever becomes of the unit of work."""
    try:
        yield
    except InvalidInput as error:  # names, meta data, sizes, digests, types
        ctx.work.denials.append(
            UploadRefused(
                subject=owner.ref,
                unit_id=owner.unit_id,
                channel_id=owner.channel_id,
                operation=ctx.operation,
                permission="attachments.write",
                principal=ctx.principal.ref,
                reason=error.code,
                details={"slot": slot.name, "why": str(error)[:300]},
            )
        )
        raise


def refuse_bad(ctx: Context, unit_id: str, digest: str, slot: Slot) -> None:
    """Raise `ContentRefused` for content that was ever found bad, and not cleared since."""
    bad = sorted(check for check, result in results(ctx, unit_id, digest).items() if result == "bad")
    if bad:
        raise ContentRefused(slot=slot.name, reason=f"the check {bad[0]} found it bad")


def results(ctx: Context, unit_id: str, digest: str) -> dict[str, str]:
    """What checks have found in a unit's content, by check."""
    query = select(verdict.c.check, verdict.c.result).where(verdict.c.unit_id == unit_id, verdict.c.digest == digest)
    return {row.check: row.result for row in ctx.execute(query)}


def keep_verdict(ctx: Context, unit_id: str, digest: str, finding: Finding) -> None:
    """The verdict of a check, in place of what it found before; on record."""
    key = {"unit_id": unit_id, "digest": digest, "check": finding.check}
    said = {"result": finding.result, "tool": finding.tool[:200], "detail": finding.detail[:500] or None}
    mine = [verdict.c[name] == value for name, value in key.items()]
    before = ctx.execute(select(verdict.c.result).where(*mine).with_for_update()).scalar_one_or_none()
    if before is None and not ctx.add_new(verdict, {**key, **said, "at": ctx.now()}):
        before = ctx.execute(select(verdict.c.result).where(*mine)).scalar_one()
    if before is not None:
        ctx.execute(update(verdict).where(*mine).values(**said, at=ctx.now()))
    ctx.record(
        VerdictRecorded(
            subject=f"sha256:{digest}",
            unit_id=unit_id,
            before=None if before is None else {"result": before},
            after={"result": finding.result},
            details={"check": finding.check, "tool": finding.tool[:200], "detail": finding.detail[:500]},
        )
    )


def refuse_on_record(ctx: Context, version: Version) -> None:
    """Raise `Quarantined` or `ContentErased` where nobody gets the content; who was refused is remembered."""
    try:
        refuse_unservable(ctx, version)
    except Quarantined as error:
        ctx.work.denials.append(
            AccessDenied(
                subject=version.attachment,
                unit_id=version.unit_id,
                channel_id=version.channel_id,
                operation=ctx.operation,
                permission="attachments.read",
                principal=ctx.principal.ref,
                reason=error.code,
                details={"version": version.ref},
            )
        )
        raise
