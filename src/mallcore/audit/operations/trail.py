"""Writing the log, as a listener to recorded events: one row in the event's transaction, with its leaf's hash."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import insert

from mallcore.audit.model.tables import audit_record
from mallcore.audit.operations.subjects import Subjects
from mallcore.audit.rules.leaves import FORM, PERSON, PERSONAL, leaf
from mallcore.audit.rules.tree import leaf_hash
from mallcore.kernel.context import Context
from mallcore.kernel.events import AccessDenied, Event
from mallcore.kernel.hooks import hookimpl
from mallcore.kernel.ids import new_id

ADD = insert(audit_record)


class Trail:
    """The plug-in that writes a record for every event, in the event's transaction."""

    @hookimpl
    def event_recorded(self, ctx: Context, event: Event) -> None:
        """Add the record."""
        denied = isinstance(event, AccessDenied)
        details = dict(event.details)
        if ctx.principal.credential is not None:  # which of a client's keys it was, say
            details["credential"] = ctx.principal.credential.id
        personal = {name: details.pop(name) for name in PERSONAL if name in details} if details else {}
        after = _after(event, details)
        row = {
            "id": new_id("aud"),
            "at": ctx.now(),
            "principal": (event.principal if isinstance(event, AccessDenied) else "") or ctx.principal.ref,
            "operation": (event.operation if isinstance(event, AccessDenied) else ctx.operation) or event.name,
            "event": event.name,
            "outcome": "denied" if denied else "ok",
            "subject": event.subject,
            "unit_id": event.unit_id,
            "channel_id": event.channel_id,
            "revision": event.revision,
            "before": None if event.before is None else dict(event.before),
            "after": after,
            "request_id": ctx.request_id,
            "jti": _jti(after) if after else None,
        }
        ctx.execute(ADD, finished(ctx, row, personal))


def finished(ctx: Context, row: dict[str, Any], personal: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The row without the persons it names, with their details sealed, and with the hash of its leaf."""
    for name in ("principal", "subject"):
        ref = row[name]
        is_named = ref.startswith(PERSON) and len(ref) > len(PERSON)
        row[name] = ctx.port(Subjects).pseudonym(ctx, ref) if is_named else ref[:200]
    return hashed(ctx, row, personal)


def hashed(ctx: Context, row: dict[str, Any], personal: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The same for a row whose principal and subject are pseudonyms already."""
    subjects = ctx.port(Subjects)
    row["before"] = None if row["before"] is None else subjects.hidden(ctx, row["before"])
    row["after"] = None if row["after"] is None else subjects.hidden(ctx, row["after"])
    row["sealed"] = _sealed(ctx, row, personal) if personal else None
    row["form"] = FORM
    row["leaf"] = leaf_hash(leaf(row))
    return row


def _sealed(ctx: Context, row: Mapping[str, Any], personal: Mapping[str, Any]) -> str:
    """Under the key of the person it is about; where that is nobody known, of the address itself."""
    subjects, whose = ctx.port(Subjects), row["principal"]
    if not whose.startswith(PERSON):
        whose = subjects.pseudonym(ctx, f"address:{personal.get('address') or whose}")
    return subjects.seal(ctx, whose, personal, row["id"])


def _after(event: Event, details: dict[str, Any]) -> dict[str, Any] | None:
    """What the event leaves behind, and what else it tells."""
    told = {"permission": event.permission} if isinstance(event, AccessDenied) else dict(event.after or {})
    told |= details
    for name in ("version", "reason"):
        value = getattr(event, name, None)
        if value and isinstance(value, str):
            told.setdefault(name, value)
    return told or (None if event.after is None else {})


def _jti(after: Mapping[str, Any]) -> str | None:
    found = after.get("jti")
    return found[:64] if isinstance(found, str) else None
