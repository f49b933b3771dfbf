"""Erasing a person: their key is destroyed, and what it sealed names nobody; every record and proof stays as it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from pydantic import Field
from sqlalchemy import func, or_, select, update

from mallcore.audit.model.shapes import Erased
from mallcore.audit.model.tables import audit_record, audit_subject
from mallcore.audit.operations.subjects import TOPIC, Subjects
from mallcore.audit.rules.leaves import PSEUDONYM
from mallcore.errors import InvalidInput
from mallcore.kernel.context import Context
from mallcore.kernel.events import Event
from mallcore.kernel.operations import Rest, operation

_Ref = Annotated[
    str, Field(max_length=300, description="`user:…`, or `address:…` for the address of somebody unknown.")
]


@dataclass(frozen=True, slots=True, kw_only=True)
class SubjectErased(Event):
    """A person's keys were destroyed; which pseudonyms those were, and not whose."""

    name: ClassVar[str] = "audit.subject_erased"


@operation(permission="audit.manage", kind="command", rest=Rest("POST", "/audit/erasures"))
def erase_subject(ctx: Context, *, principal: _Ref) -> Erased:
    """Destroy the key of a person: records show `user:(erased)` from then on, and all proofs still hold.

    Who comes back under the same name is somebody new to the log.

    >>> erase_subject(ctx, principal="user:nobody")
    Erased(subjects=0, records=0)
    """
    if not principal.startswith(("user:", "address:")):
        raise InvalidInput(field="principal", reason="write it as user:… or address:…")
    subjects = ctx.port(Subjects)
    found = subjects.pseudonyms(ctx, principal)
    if not found:
        return Erased(subjects=0, records=0)
    names = [one.removeprefix(PSEUDONYM) for one in found]
    gone = {"lookup": None, "wrapped": None, "ref": None, "erased_at": ctx.now()}
    ctx.execute(update(audit_subject).where(audit_subject.c.pseudonym.in_(names)).values(gone))
    about = or_(audit_record.c.principal.in_(found), audit_record.c.subject.in_(found))
    records = ctx.execute(select(func.count()).select_from(audit_record).where(about)).scalar_one()
    ctx.record(SubjectErased(subject="audit", after={"pseudonyms": names, "records": records}))
    ctx.backend.announce(ctx.connection, f"{TOPIC} *")
    _forget(ctx, subjects, principal)
    return Erased(subjects=len(names), records=records)


def _forget(ctx: Context, subjects: Subjects, principal: str) -> None:
    """For this transaction now, and for all others at its end: it may be rolled back, and then they know them still."""
    ctx.work.local.pop((TOPIC, principal), None)
    subjects.forget()
    ctx.work.on_commit(subjects.forget)
