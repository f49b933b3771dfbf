"""What is served: a version's content or a derivative of it, and whether it may be."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import select

from mallcore.attachments.model.shapes import Version
from mallcore.attachments.model.tables import blob, derivative, verdict
from mallcore.attachments.operations.policies import Slots
from mallcore.attachments.rules.serving import Disposition, served_disposition
from mallcore.attachments.rules.slots import Slot, quarantine
from mallcore.errors import ContentErased, InvalidInput, Quarantined, UnknownSlot
from mallcore.kernel.context import Context


class Content(NamedTuple):
    """Bytes of a unit, and the version in whose name they are served."""

    version: Version
    recipe: str
    digest: str
    size: int
    content_type: str


def content_of(ctx: Context, version: Version, recipe: str | None = None) -> Content:
    """The version's own content, or the derivative that was made of it with a recipe."""
    if not recipe:
        return Content(version, "", version.digest, version.size, version.detected_type)
    mine = (derivative.c.unit_id == version.unit_id, derivative.c.source_digest == version.digest)
    kept = (blob.c.unit_id == derivative.c.unit_id) & (blob.c.digest == derivative.c.digest) & (blob.c.state == "ready")
    query = select(derivative).join(blob, kept).where(*mine, derivative.c.recipe_digest == recipe)
    row = ctx.execute(query.where(derivative.c.state == "ready")).one_or_none()
    if row is None:
        raise InvalidInput(field="derivative", reason="it has not been made: make it first")
    return Content(version, recipe, row.digest, row.size, row.content_type)


def is_public(ctx: Context, version: Version) -> bool:
    """Whether everybody who knows where it lies may have it: the policy of its slot says so."""
    slot = _slot(ctx, version)
    return slot is not None and slot.public


def shown_as(ctx: Context, content: Content, asked: Disposition) -> Disposition:
    """Whether the content is shown or saved: shown only where its slot and its type allow it."""
    slot = _slot(ctx, content.version)
    return served_disposition(content.content_type, asked) if slot is not None and slot.inline else "attachment"


def refuse_unservable(ctx: Context, version: Version) -> None:
    """Raise `ContentErased` or `Quarantined` when nobody gets this content, whatever they may."""
    if version.dropped_at is not None:
        raise ContentErased(version=version.ref, at=version.dropped_at.isoformat())
    mine = (verdict.c.unit_id == version.unit_id, verdict.c.digest == version.digest)
    found = {row.check: row.result for row in ctx.execute(select(verdict).where(*mine))}
    reason = quarantine(required(ctx, version), found)
    if reason is not None:
        raise Quarantined(version=version.ref, reason=reason)


def required(ctx: Context, version: Version) -> tuple[str, ...]:
    """The checks that have to find content of this slot clean before it is served."""
    slot = _slot(ctx, version)
    return () if slot is None else slot.verdicts


def _slot(ctx: Context, version: Version) -> Slot | None:
    """The policy of the version's slot; nothing when this mall has none of that name any more."""
    try:
        return ctx.port(Slots)[version.slot]
    except UnknownSlot:
        return None
