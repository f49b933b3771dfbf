"""Persons in the log: sealed, found by name, shown by name; and forgotten when their key is destroyed."""

from __future__ import annotations

import re
from typing import Any

import pytest
from sqlalchemy import text

from mallcore import Mall, Principal, access, audit, structure
from mallcore.audit.rules.leaves import ERASED
from mallcore.errors import Denied, InvalidInput
from mallcore.kernel.events import Event
from mallcore.kernel.work import OwnWork
from tests.audit.conftest import ADA, ME, Log

EVE = Principal.user("eve")
NAMES = re.compile(r"(?<![0-9A-Za-z+/=])(ada|eve)(?![0-9A-Za-z+/=])")
"""The names as words: among hexadecimal and base64 digits these letters stand by chance."""


def stored(log: Log) -> str:
    """Everything the log's tables hold, as text."""
    found: list[Any] = []
    with log.mall.engine.connect() as connection:
        for table in ("mall_audit_record", "mall_audit_subject"):
            found += connection.execute(text(f"SELECT * FROM {table}")).all()
    return str(found)


def test_no_name_stands_in_the_clear(log: Log) -> None:
    """Names of users are in no record's row, whether they acted, were refused, or were acted upon; programs' are."""
    log.act()
    with pytest.raises(Denied), log.mall.begin(EVE) as ctx:
        structure.create_unit(ctx, slug="north", name="North")
    log.call(access.grant, principal="client:till", role="visitor")
    told = stored(log)
    assert not NAMES.search(told)
    assert "client:till" in told
    assert "system:test" in told


def test_records_are_found_and_shown_by_name(log: Log) -> None:
    """Whoever may read the log finds a person's records by name, and reads names wherever they stand."""
    log.act(2)
    with pytest.raises(Denied), log.mall.begin(EVE) as ctx:
        structure.create_unit(ctx, slug="north", name="North")
    assert [one.principal for one in log.records(principal=ADA.ref)] == [ADA.ref] * 2
    (refused,) = log.records(principal=EVE.ref)
    assert (refused.outcome, refused.principal) == ("denied", EVE.ref)
    (granted,) = log.records(event="access.grant_given")
    assert granted.after["principal"] == ADA.ref
    assert log.records(principal="user:nobody") == []
    with log.mall.begin(ME) as ctx:
        ctx.record(Event(subject="user:eve", after={"user:eve": ["user:ada", "user:"]}))
    (told,) = log.records(subject="user:eve")
    assert told.after == {"user:eve": ["user:ada", "user:"]}


def test_one_person_has_one_pseudonym(log: Log) -> None:
    """All of a person's records bear one pseudonym, in this process and in others."""
    log.act(2)
    with Mall.open(log.mall.engine, follow=False) as other, other.begin(ADA) as ctx:
        structure.create_category(ctx, channel="books", name="Elsewhere")
    assert len(pseudonyms(log)) == 1
    assert len(log.records(principal=ADA.ref)) == 3


def pseudonyms(log: Log) -> set[str]:
    """The pseudonyms that acted."""
    query = text("SELECT DISTINCT principal FROM mall_audit_record WHERE principal LIKE 'user:%'")
    with log.mall.engine.connect() as connection:
        return set(connection.execute(query).scalars())


def test_a_first_meeting_that_is_rolled_back_leaves_nothing(log: Log) -> None:
    """A person met in a transaction that is rolled back is met for the first time again."""
    work = OwnWork(log.mall.services.source)
    access.grant(log.mall.context(ME, work), principal=EVE.ref, role="editor", scope="channel", channel="books")
    work.rollback()
    log.call(access.grant, principal=EVE.ref, role="editor", scope="channel", channel="books")
    log.act(2, EVE)
    assert len(log.records(principal=EVE.ref)) == 2


def test_personal_details_are_sealed(log: Log) -> None:
    """An address and a user agent are kept for those who may read the log, and in no other way."""
    with log.mall.begin(ADA) as ctx:
        ctx.record(Event(subject="x", details={"address": "192.0.2.7", "user_agent": "Browser/9", "store": "main"}))
    with log.mall.begin(Principal.anonymous()) as ctx:
        ctx.record(Event(subject="y", details={"address": "192.0.2.8"}))
    assert "192.0.2" not in stored(log)
    assert "Browser" not in stored(log)
    (one,), (other,) = log.records(subject="x"), log.records(subject="y")
    assert (one.after, one.personal) == ({"store": "main"}, {"address": "192.0.2.7", "user_agent": "Browser/9"})
    assert other.personal == {"address": "192.0.2.8"}
    log.call(audit.erase_subject, principal=ADA.ref)
    log.call(audit.erase_subject, principal="address:192.0.2.8")
    assert [log.records(subject=name)[0].personal for name in ("x", "y")] == [None, None]


def test_an_erased_person_is_nobody_and_all_proofs_hold(log: Log) -> None:
    """After an erasure nobody finds the person's records by name or reads it in them; proofs made before still hold."""
    log.act(3)
    record = log.records(principal=ADA.ref)[0]
    proof, file = log.call(audit.prove, record=record.id), log.file()
    done = log.call(audit.erase_subject, principal=ADA.ref)
    assert (done.subjects, done.records) == (1, 3)
    assert log.records(principal=ADA.ref) == []
    assert log.call(audit.get_record, record=record.id).principal == ERASED
    assert log.records(event="access.grant_given")[0].after["principal"] == ERASED
    assert log.call(audit.verify).size == 6
    assert audit.check_proof(proof.model_dump(), keys=log.vkeys()).size == 5
    assert audit.check_file(file, keys=log.vkeys()).size == 5
    assert log.call(audit.prove, record=record.id).leaf == proof.leaf
    (told,) = log.records(event="audit.subject_erased")
    assert told.after["records"] == 3
    assert not NAMES.search(str(told))
    assert log.call(audit.erase_subject, principal=ADA.ref).subjects == 0


def test_who_comes_back_is_somebody_new(log: Log) -> None:
    """A person who acts again after an erasure is known from then on, and what was before stays nobody's."""
    log.act(2)
    log.call(audit.erase_subject, principal=ADA.ref)
    log.act(1)
    assert len(log.records(principal=ADA.ref)) == 1
    assert sorted(one.principal for one in log.records(event="structure.revised")) == [ERASED, ERASED, ADA.ref]


def test_an_erasure_that_is_rolled_back_erased_nobody(log: Log) -> None:
    """Within the block they are gone, and after its rollback they are not."""
    log.act(1)
    work = OwnWork(log.mall.services.source)
    ctx = log.mall.context(ME, work)
    audit.erase_subject(ctx, principal=ADA.ref)
    assert audit.list_records(ctx, principal=ADA.ref).items == []
    work.rollback()
    assert len(log.records(principal=ADA.ref)) == 1
    log.act(1)
    assert len(log.records(principal=ADA.ref)) == 2


def test_other_processes_hear_of_an_erasure(log: Log) -> None:
    """A mall that knew the person from memory hears of the erasure, and knows them no more."""
    log.act(1)
    with Mall.open(log.mall.engine) as other:
        with other.begin(ME) as ctx:
            structure.tree(ctx, channel="books")
            record = audit.list_records(ctx, principal=ADA.ref).items[0]
        log.call(audit.erase_subject, principal=ADA.ref)
        while True:  # without end when it never hears: the run's own limit would tell
            with other.begin(ME) as ctx:
                if audit.get_record(ctx, record=record.id).principal == ERASED:
                    break


@pytest.mark.parametrize("who", ["ada", "system:test", "", "client:x"])
def test_only_persons_are_erased(log: Log, who: str) -> None:
    """Programs and the host itself have no key of their own to destroy."""
    with pytest.raises(InvalidInput):
        log.call(audit.erase_subject, principal=who)


def test_a_changed_key_names_nobody(log: Log) -> None:
    """Whoever puts another person's key in a person's place makes them nobody, and not the other."""
    log.act(1)
    log.act(1, ME)
    log.call(access.grant, principal=EVE.ref, role="visitor")
    with log.mall.engine.begin() as connection:
        rows = connection.execute(text("SELECT pseudonym, wrapped, ref FROM mall_audit_subject")).all()
        swap = text("UPDATE mall_audit_subject SET wrapped = :wrapped, ref = :ref WHERE pseudonym = :pseudonym")
        for row, other in zip(rows, reversed(rows), strict=True):
            connection.execute(swap, {"pseudonym": row.pseudonym, "wrapped": other.wrapped, "ref": other.ref})
    with Mall.open(log.mall.engine, follow=False) as fresh, fresh.begin(ME) as ctx:
        assert audit.list_records(ctx, principal=ADA.ref).items[0].principal == ERASED
