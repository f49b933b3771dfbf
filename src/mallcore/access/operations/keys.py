"""The mall's keys: listing them (never their secrets), rotating with an overlap, revoking."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field
from sqlalchemy import select, update

from mallcore.access.model import KeyInfo
from mallcore.errors import Conflict, InvalidInput, NothingToDo, UnknownKey
from mallcore.kernel.context import Context
from mallcore.kernel.events import Event
from mallcore.kernel.keys import TOPIC, Keyring
from mallcore.kernel.keys import key as keys
from mallcore.kernel.operations import Rest, operation

Purpose = Literal["links", "subjects", "checkpoints", "credentials", "logins", "tokens"]
IdempotencyKey = Annotated[str | None, Field(min_length=1, max_length=200)]
OVERLAP = 7 * 24 * 3600
"""Seconds a key for links still verifies after the next one signs: as long as the longest link is good."""
OVERLAPS = {"links": OVERLAP, "logins": 30 * 24 * 3600, "tokens": 24 * 3600}
"""For keys that retire at all. Sessions made under one for logins are over with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRotated(Event):
    """A purpose got a new key; ``after`` has its number, and when the one before it stops to verify."""

    name: ClassVar[str] = "access.key_rotated"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRevoked(Event):
    """A key was revoked: what it signed is refused."""

    name: ClassVar[str] = "access.key_revoked"


@operation(permission="access.keys", rest=Rest("GET", "/signing-keys"))
def list_keys(ctx: Context, *, purpose: Purpose | None = None) -> list[KeyInfo]:
    """The mall's keys by purpose and number, without their secrets."""
    query = select(keys).order_by(keys.c.purpose, keys.c.number)
    rows = ctx.execute(query if purpose is None else query.where(keys.c.purpose == purpose)).all()
    newest = {row.purpose: row.number for row in rows if row.revoked_at is None}
    return [_shown(row, newest.get(row.purpose), ctx.now()) for row in rows]


@operation(permission="access.keys", kind="command", errors=(Conflict, InvalidInput),
           rest=Rest("POST", "/signing-keys/{purpose}", 201))  # fmt: skip
def rotate_key(
    ctx: Context,
    *,
    purpose: Purpose,
    overlap_seconds: Annotated[int | None, Field(ge=0, le=365 * 24 * 3600)] = None,
    idempotency_key: IdempotencyKey = None,
) -> KeyInfo:
    """Sign with a new key from now on. The old one verifies until the overlap ends; for links that is a week.

    For logins it is 30 days, at whose end the sessions made under the old key are over; for tokens
    one day. Keys for subjects and checkpoints have no overlap: what they sealed or signed has to be opened for ever.
    """
    if purpose not in OVERLAPS and overlap_seconds is not None:
        raise InvalidInput(field="overlap_seconds", reason=f"keys for {purpose} never retire, so leave it out")
    until = None
    if purpose in OVERLAPS:
        until = ctx.now() + timedelta(seconds=OVERLAPS[purpose] if overlap_seconds is None else overlap_seconds)
        _retire(ctx, purpose, until)
    return _added(ctx, purpose, until)


@operation(permission="access.keys", kind="command", errors=(InvalidInput, NothingToDo, UnknownKey),
           rest=Rest("DELETE", "/signing-keys/{purpose}/{number}"))  # fmt: skip
def revoke_key(
    ctx: Context,
    *,
    purpose: Purpose,
    number: Annotated[int, Field(ge=1, le=2**31 - 1)],
    idempotency_key: IdempotencyKey = None,
) -> KeyInfo:
    """Refuse from now on whatever this key has signed. If it is the one that signs, a new one takes its place."""
    if purpose == "subjects":
        raise InvalidInput(field="purpose", reason="what keys for subjects sealed would be lost: rotate, or erase")
    mine = (keys.c.purpose == purpose, keys.c.number == number)
    row = ctx.execute(select(keys).where(*mine)).one_or_none()
    if row is None:
        raise UnknownKey(purpose=purpose, key=number)
    if row.revoked_at is not None:
        raise NothingToDo("This key is revoked already.")
    ctx.execute(update(keys).where(*mine).values(revoked_at=ctx.now()))
    ctx.record(KeyRevoked(subject=f"{purpose}/{number}", before={"revoked": False}, after={"revoked": True}))
    if _newest(ctx, purpose) == number:
        _added(ctx, purpose, None)
    _changed(ctx)
    return _shown(ctx.execute(select(keys).where(*mine)).one(), None, ctx.now())


def _retire(ctx: Context, purpose: str, until: datetime) -> None:
    """Give the keys there are an end; one that ends before keeps its own."""
    open_ended = (keys.c.retires_at.is_(None)) | (keys.c.retires_at > until)
    ctx.execute(update(keys).where(keys.c.purpose == purpose, open_ended).values(retires_at=until))


def _added(ctx: Context, purpose: str, until: datetime | None) -> KeyInfo:
    number = _newest(ctx, purpose) + 1
    row = ctx.port(Keyring).row(purpose, number)
    if not ctx.add_new(keys, row):
        raise Conflict(f"The keys for {purpose} are being rotated by another process: look at them, then try again.")
    after = {"number": number, **({"overlap_until": until.isoformat()} if until is not None else {})}
    ctx.record(KeyRotated(subject=f"{purpose}/{number}", before={"number": number - 1}, after=after))
    _changed(ctx)
    return KeyInfo(purpose=purpose, number=number, state="signing", created_at=row["created_at"])


def _newest(ctx: Context, purpose: str) -> int:
    query = select(keys.c.number).where(keys.c.purpose == purpose).order_by(keys.c.number.desc()).limit(1)
    return ctx.execute(query).scalar_one_or_none() or 0


def _shown(row: Any, newest: int | None, now: datetime) -> KeyInfo:
    return KeyInfo(
        purpose=row.purpose,
        number=row.number,
        state=_state(row, newest, now),
        created_at=row.created_at,
        retires_at=row.retires_at,
        revoked_at=row.revoked_at,
    )


def _state(row: Any, newest: int | None, now: datetime) -> Literal["signing", "verifying", "retired", "revoked"]:
    if row.revoked_at is not None:
        return "revoked"
    if row.number == newest:
        return "signing"
    return "retired" if row.retires_at is not None and row.retires_at <= now else "verifying"


def _changed(ctx: Context) -> None:
    ctx.work.on_commit(ctx.port(Keyring).forget)
    ctx.backend.announce(ctx.connection, f"{TOPIC} *")
