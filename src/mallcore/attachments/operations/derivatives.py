"""Derivatives: what recipes make of a version, made once for all processes, and kept like any content.

A row per source and recipe says how far it is. Who inserts it, or finds its lease run out, makes the derivative; the
others wait for a while. Nothing of this is done inside a unit of work's transaction.
"""

from __future__ import annotations

import logging
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Annotated, Any, BinaryIO, cast

from pydantic import Field
from sqlalchemy import and_, delete, exists, or_, select, update

from mallcore.attachments.hooks import Derive
from mallcore.attachments.model.shapes import At, Derivative, Version, VersionRef
from mallcore.attachments.model.tables import blob
from mallcore.attachments.model.tables import derivative as derivatives
from mallcore.attachments.operations.attaching import claimed_by
from mallcore.attachments.operations.happened import ContentRead, DerivativeMade
from mallcore.attachments.operations.owners import Owner, of_attachment
from mallcore.attachments.operations.policies import Slots
from mallcore.attachments.operations.quarantine import refuse_on_record
from mallcore.attachments.operations.reading import found_version, opened, opened_blob
from mallcore.attachments.operations.staging import DERIVE, Intended, keep, spooled
from mallcore.attachments.rules.recipes import LONGEST, Recipe
from mallcore.attachments.rules.refs import parsed
from mallcore.attachments.rules.slots import Facts, Slot
from mallcore.errors import (
    CannotDerive,
    ContentErased,
    ContentRefused,
    DerivativePending,
    InvalidInput,
    InvalidReference,
    LimitExceeded,
    MissingExtra,
    Quarantined,
    StageFirst,
    StoreUnavailable,
    Unavailable,
    UnknownAttachment,
    UnknownLabel,
    UnknownSlot,
    UnknownVersion,
)
from mallcore.kernel.context import Context
from mallcore.kernel.operations import Rest, operation
from mallcore.kernel.recording import record_now

log = logging.getLogger("mallcore")
LEASE = timedelta(minutes=2)  # longer than anybody makes a picture for
AGAIN = timedelta(minutes=10)  # when what failed is tried once more
PATIENCE = 10.0  # seconds for which the others wait
_LOOK = 0.05
_LARGEST = 64 << 20
_IN_MEMORY = 1 << 20

RecipeText = Annotated[
    str,
    Field(min_length=1, max_length=LONGEST, description="A preset's name, or such as `w=200,h=200,fit=cover`."),
]
_ERRORS = (CannotDerive, ContentErased, DerivativePending, InvalidInput, InvalidReference, MissingExtra, Quarantined,
           StageFirst, StoreUnavailable, UnknownAttachment, UnknownLabel, UnknownSlot, UnknownVersion)  # fmt: skip


@operation(permission="attachments.read", subject=of_attachment, errors=_ERRORS,
           rest=Rest("POST", "/versions/{version}/derivatives"))  # fmt: skip
def derivative(ctx: Context, *, version: VersionRef, recipe: RecipeText, at: At = None) -> Derivative:
    """What a recipe makes of a version: made now if it was not, whoever asks first; the same bytes for ever after.

    The slot says which recipes there are. Its ``derivative`` is what links and public URLs are asked for it by.
    `DerivativePending` when somebody else is still at it, `CannotDerive` when nothing can be made; that is remembered,
    and tried again later. Not within a unit of work that writes (`StageFirst`).
    """
    found = found_version(ctx, parsed(version), at)
    refuse_on_record(ctx, found)
    asked = ctx.port(Slots)[found.slot].recipe(recipe)
    row = _ready(ctx, found, asked)
    return _shape(found, asked, row if row is not None else _made(ctx, found, asked))


@operation(permission="attachments.read", subject=of_attachment, errors=_ERRORS)
def open_derivative(ctx: Context, *, version: VersionRef, recipe: RecipeText, at: At = None) -> BinaryIO:
    """The bytes of a derivative, made if it was not; the caller closes the stream. That it is read goes on record."""
    made = derivative(ctx, version=version, recipe=recipe, at=at)
    found = found_version(ctx, parsed(made.version))
    read = ContentRead(
        subject=found.attachment,
        unit_id=found.unit_id,
        channel_id=found.channel_id,
        version=found.ref,
        details={"recipe": made.recipe, "digest": made.digest},
    )
    record_now(ctx, read)
    return opened_blob(ctx, found.unit_id, made.digest)


def _shape(found: Version, recipe: Recipe, row: Any) -> Derivative:
    return Derivative(
        version=found.ref,
        recipe=recipe.text,
        derivative=recipe.digest,
        digest=row.digest,
        size=row.size,
        content_type=row.content_type,
    )


def _mine(found: Version, recipe: Recipe) -> tuple[Any, ...]:
    columns = derivatives.c
    return (columns.unit_id == found.unit_id, columns.source_digest == found.digest,
            columns.recipe_digest == recipe.digest)  # fmt: skip


def _ready(ctx: Context, found: Version, recipe: Recipe) -> Any | None:
    """The row of a derivative that is made and still there."""
    return ctx.execute(select(derivatives).where(*_mine(found, recipe), _there())).one_or_none()


def _there() -> Any:
    kept = exists().where(
        blob.c.unit_id == derivatives.c.unit_id, blob.c.digest == derivatives.c.digest, blob.c.state == "ready"
    )
    return and_(derivatives.c.state == "ready", kept)


def _made(ctx: Context, found: Version, recipe: Recipe) -> Any:
    """The row of the derivative, once we or somebody else have made it."""
    if ctx.work.writing or ctx.commanding:
        raise StageFirst()
    maker = _maker(ctx, found, recipe)
    ctx.work.let_go()  # drawing takes its time: no transaction waits for it
    until = time.monotonic() + PATIENCE
    while not _taken(ctx, found, recipe):
        row = _look(ctx, found, recipe)
        if row is not None:
            return row
        if time.monotonic() > until:
            raise DerivativePending(version=found.ref, recipe=recipe.text, seconds=5)
        time.sleep(_LOOK)
    with _remembered(ctx, found, recipe):
        _make(ctx, found, recipe, maker)
    row = _ready(ctx, found, recipe)
    if row is None:  # the source was collected meanwhile, and took this along
        raise UnknownVersion(attachment=found.attachment, version=found.n)
    return row


def _maker(ctx: Context, found: Version, recipe: Recipe) -> Derive:
    maker: Derive | None = ctx.hooks.attachments_derivative_backend(detected_type=found.detected_type)
    if maker is None:
        reason = f"no plug-in makes pictures of {found.detected_type}"
        raise CannotDerive(version=found.ref, recipe=recipe.text, reason=reason)
    return maker


def _taken(ctx: Context, found: Version, recipe: Recipe) -> bool:
    """Whether making it is up to us: it is new, or failed a while ago, or whoever was at it has gone, or it is lost."""
    columns, now = derivatives.c, ctx.now()
    row = {
        "unit_id": found.unit_id,
        "source_digest": found.digest,
        "recipe_digest": recipe.digest,
        "recipe": recipe.to_json(),
        "state": "making",
        "lease_until": now + LEASE,
        "created_at": now,
    }
    free = or_(
        and_(columns.state.in_(("making", "failed")), columns.lease_until <= now),
        and_(columns.state == "ready", ~_there()),
    )
    with ctx.apart() as own:
        if own.add_new(derivatives, row):
            return True
        taken = update(derivatives).where(*_mine(found, recipe), free)
        return own.execute(taken.values(state="making", lease_until=now + LEASE, error=None)).rowcount == 1


def _look(ctx: Context, found: Version, recipe: Recipe) -> Any | None:
    """The row when it is ready; None while somebody is at it; `CannotDerive` when it failed."""
    ctx.work.let_go()  # what is read next is new
    row = ctx.execute(select(derivatives).where(*_mine(found, recipe))).one_or_none()
    if row is not None and row.state == "failed":
        raise CannotDerive(version=found.ref, recipe=recipe.text, reason=row.error)
    return _ready(ctx, found, recipe)


@contextmanager
def _remembered(ctx: Context, found: Version, recipe: Recipe) -> Iterator[None]:
    """A failure is kept for a while, so that a broken picture is not drawn at every request."""
    try:
        yield
    except Unavailable:  # it says nothing of the source: the next who asks may try
        with ctx.apart() as own:
            own.execute(delete(derivatives).where(*_mine(found, recipe), derivatives.c.state == "making"))
        raise
    except (CannotDerive, ContentRefused, LimitExceeded, MissingExtra) as error:
        reason = str(error.details.get("reason") or error)[:500]
        _failed(ctx, found, recipe, reason)
        if isinstance(error, MissingExtra):
            raise
        raise CannotDerive(version=found.ref, recipe=recipe.text, reason=reason) from error
    except Exception:
        _failed(ctx, found, recipe, "whoever makes it broke down")
        raise


def _failed(ctx: Context, found: Version, recipe: Recipe, reason: str) -> None:
    values = {"state": "failed", "error": reason, "lease_until": ctx.now() + AGAIN}
    with ctx.apart() as own:
        own.execute(update(derivatives).where(*_mine(found, recipe), derivatives.c.state == "making").values(**values))


def _make(ctx: Context, found: Version, recipe: Recipe, maker: Derive) -> None:
    """Draw it, keep it like any content, and only then say that it is there."""
    policy = Slot(found.slot, (recipe.content_type,), _LARGEST)
    kind, _, id = found.owner.partition(":")
    owner = Owner(kind, id, found.unit_id, found.channel_id)
    intended = Intended(DERIVE, owner, policy, f"{recipe.digest[:16]}.{recipe.format}", None, None)
    with _drawn(ctx, found, recipe, maker) as out, spooled(out, policy) as content:
        staged = keep(ctx, intended, content)
    with ctx.apart() as own:
        claimed_by(own, staged.id)
        values = {"digest": staged.digest, "size": staged.size, "content_type": staged.detected_type}
        ready = update(derivatives).where(*_mine(found, recipe))
        own.execute(ready.values(**values, state="ready", error=None, lease_until=None))
        own.record(
            DerivativeMade(
                subject=found.attachment,
                unit_id=found.unit_id,
                channel_id=found.channel_id,
                version=found.ref,
                details={"recipe": recipe.text, "digest": staged.digest, "size": staged.size},
            )
        )


@contextmanager
def _drawn(ctx: Context, found: Version, recipe: Recipe, maker: Derive) -> Iterator[BinaryIO]:
    """What the maker draws, from a copy of the source that it can go back and forth in."""
    with tempfile.TemporaryFile() as source, tempfile.TemporaryFile() as out:
        with opened(ctx, found) as stream:
            shutil.copyfileobj(stream, source)
        ctx.work.let_go()
        source.seek(0)
        facts = Facts(found.size, found.detected_type, found.width, found.height)
        maker.make(cast(BinaryIO, source), facts, recipe, cast(BinaryIO, out))
        out.seek(0)
        yield cast(BinaryIO, out)
