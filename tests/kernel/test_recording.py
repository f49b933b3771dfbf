"""Deny closed: a decision is committed before it is acted upon, or the caller is told that nothing may be."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from mallcore import Mall, Principal, audit, structure
from mallcore.errors import StageFirst, Unavailable
from mallcore.kernel.events import Event
from mallcore.kernel.recording import record_now
from mallcore.kernel.work import MemoryOnly, OwnWork

ME = Principal.system("test")


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowed(Event):
    """Somebody may have something."""

    name: ClassVar[str] = "test.allowed"


@pytest.fixture
def mall(database_url: str) -> Iterator[Mall]:
    """A mall with one channel, which gives up soon on a locked database."""
    with Mall.open(database_url, migrate="always", busy_seconds=0.3) as opened:
        with opened.begin(ME) as ctx:
            structure.create_channel(ctx, slug="books", name="Books")
        yield opened


def recorded(mall: Mall) -> list[str]:
    """The subjects of what was allowed."""
    with mall.begin(ME) as ctx:
        return [one.subject for one in audit.list_records(ctx, event=Allowed.name).items]


def test_a_decision_is_committed_when_the_call_returns(mall: Mall) -> None:
    """Others see the record before the caller's block ends, and it stays when that is rolled back."""
    work = OwnWork(mall.services.source)
    ctx = mall.context(ME, work)
    structure.get_channel(ctx, channel="books")
    record_now(ctx, Allowed(subject="a"), Allowed(subject="b"))
    assert recorded(mall) == ["b", "a"]
    work.rollback()
    assert recorded(mall) == ["b", "a"]


def test_a_writer_is_told_or_does_not_wait_for_itself(mall: Mall) -> None:
    """Where only one can write, a unit of work that writes is told at once; elsewhere the record is committed."""
    with mall.begin(ME) as ctx:
        structure.create_category(ctx, channel="books", name="Crime")
        if mall.backend.serial_writes:
            with pytest.raises(StageFirst):
                record_now(ctx, Allowed(subject="a"))
        else:
            record_now(ctx, Allowed(subject="a"))
    assert recorded(mall) == ([] if mall.backend.serial_writes else ["a"])


def test_a_hosts_session_does_not_carry_the_record(mall: Mall) -> None:
    """In a host's session the record is committed apart, and outlives the host's rollback."""
    with Session(mall.engine) as session:
        with mall.begin(ME, session=session) as ctx:
            structure.get_channel(ctx, channel="books")
            record_now(ctx, Allowed(subject="a"))
        session.rollback()
    assert recorded(mall) == ["a"]


def test_where_the_log_cannot_be_written_nothing_may_be_served(mall: Mall) -> None:
    """A log whose table is gone, or locked for too long, raises `Unavailable`, which says so."""
    with mall.begin(ME) as ctx:
        structure.get_channel(ctx, channel="books")
    with mall.engine.begin() as connection:
        connection.execute(text("ALTER TABLE mall_audit_record RENAME TO elsewhere"))
    with pytest.raises(Unavailable, match="audit log can't be written"), mall.begin(ME) as ctx:
        record_now(ctx, Allowed(subject="a"))
    with mall.engine.begin() as connection:
        connection.execute(text("ALTER TABLE elsewhere RENAME TO mall_audit_record"))
    if mall.backend.serial_writes:
        with mall.begin(ME) as other:
            structure.create_category(other, channel="books", name="Crime")
            with pytest.raises(Unavailable, match="audit log can't be written"), mall.begin(ME) as ctx:
                record_now(ctx, Allowed(subject="a"))
    assert recorded(mall) == []


def test_what_must_not_wait_does_not_record(mall: Mall) -> None:
    """A call that is answered from memory never waits for the log: it is asked again where it may."""
    with pytest.raises(MemoryOnly), mall.memory(ME) as ctx:
        record_now(ctx, Allowed(subject="a"))
