"""API keys: shown once, checked before they are looked up, rotated with an overlap, revoked everywhere at once."""

from __future__ import annotations

import contextlib
import logging
import os
import time
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given as drawn
from hypothesis import strategies as st
from sqlalchemy import event, select, text

from mallcore import Mall, Principal, access, audit
from mallcore.access.model.clients import api_key as rows
from mallcore.access.rules import api_keys as rules
from mallcore.api import Request
from mallcore.api.rates import Limiter
from mallcore.errors import (
    BadCredential,
    Conflict,
    Denied,
    InvalidInput,
    NothingToDo,
    StaleRevision,
    UnknownApiKey,
    UnknownClient,
)
from mallcore.kernel.context import Credential
from mallcore.kernel.ports import Presented, Verifiers

ME = Principal.system("test")


class Clock:
    """A clock that goes when it is told to."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 24, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def mall(database_url: str, clock: Clock) -> Iterator[Mall]:
    """A mall with a secret and a plan."""
    with Mall.open(
        database_url, migrate="always", clock=clock, secret="s" * 20, plans={"partner": "9/minute"}
    ) as opened:
        yield opened


def call(mall: Mall, operation: Any, by: Principal = ME, **given: Any) -> Any:
    with mall.begin(by) as ctx:
        return operation(ctx, **given)


def made(mall: Mall, **limits: Any) -> access.NewApiKey:
    """A key of a new client."""
    whose = call(mall, access.create_client, name="A partner").id
    found: access.NewApiKey = call(mall, access.create_api_key, client=whose, name="Stock", **limits)
    return found


def verify(mall: Mall, token: str | None, address: str = "") -> Principal:
    """Whose token it is, as a face of the mall asks."""
    assert token is not None
    verifier = mall.services.ports[Verifiers].of(token)
    found: Principal = verifier.verify(Presented(token, address))
    return found


def reasons(mall: Mall) -> list[str]:
    """Why keys were refused, newest first."""
    with mall.begin(ME) as ctx:
        found = audit.list_records(ctx, event="access.denied").items
    return [(one.after or {}).get("reason", "") for one in found]


@drawn(st.binary(min_size=32, max_size=32))
def test_a_key_is_read_as_it_was_written(random: bytes) -> None:
    """Whatever the random bytes, the text has one length, and gives back its id and secret."""
    text = rules.written("key_" + "0" * 32, random)
    parts = rules.parsed(text)
    assert parts is not None
    assert len(text) == 90
    assert parts.id == "key_" + "0" * 32


@drawn(st.integers(0, 89), st.sampled_from("0aZ_-é"))
def test_one_wrong_character_is_noticed(place: int, wrong: str) -> None:
    """A key that was copied wrongly is no key: the checksum says so before anything is looked up."""
    text = rules.written("key_" + "4" * 32, bytes(range(32)))
    spoilt = text[:place] + wrong + text[place + 1 :]
    assert (rules.parsed(spoilt) is not None) == (spoilt == text)


def test_a_key_tells_whose_it_is_and_what_it_narrows(mall: Mall) -> None:
    """Its bearer is its client, with the key's limits, its version and its plan."""
    key = made(mall, scopes=["structure.*"], plan="partner", addresses=["192.0.2.0/24"])
    found = verify(mall, key.secret, "192.0.2.9")
    assert found == Principal.client(key.client)
    assert found.credential == Credential(key.id, frozenset({"structure.*"}), plan="partner", client=key.client)


def test_the_secret_is_shown_once_and_kept_nowhere(mall: Mall, caplog: pytest.LogCaptureFixture) -> None:
    """Neither the database, nor the log, nor a repr, nor a list has it; an idempotent answer leaves it out."""
    caplog.set_level(logging.DEBUG)
    whose = call(mall, access.create_client, name="A partner").id
    given = {"client": whose, "name": "Stock", "idempotency_key": "once"}
    key, again = (call(mall, access.create_api_key, **given) for _ in range(2))
    rotated = call(mall, access.rotate_api_key, api_key=key.id, idempotency_key="twice")
    verify(mall, rotated.secret)
    assert (again.id, again.secret) == (key.id, None)
    with mall.engine.connect() as connection:
        names = connection.execute(text(_TABLES[mall.backend.name])).scalars().all()
        dump = "".join(repr(connection.execute(text(f"SELECT * FROM {name}")).all()) for name in names)
    listed = call(mall, access.list_api_keys)
    secrets = [rules.parsed(one.secret).secret for one in (key, rotated)]  # type: ignore[union-attr]
    for secret in secrets:
        assert secret not in dump + caplog.text + repr(key) + repr(rotated) + repr(listed)
    assert key.id in dump


_TABLES = {
    "sqlite": "SELECT name FROM sqlite_master WHERE type = 'table' AND name LIKE 'mall_%'",
    "postgres": "SELECT tablename FROM pg_tables WHERE tablename LIKE 'mall\\_%'",
}


def test_a_wrong_checksum_asks_no_database(mall: Mall) -> None:
    """What can't be a key is refused without a look; the refusal is on record."""
    key = made(mall)
    asked: list[str] = []
    event.listen(mall.engine, "before_cursor_execute", lambda *given: asked.append(given[2]))
    with pytest.raises(BadCredential):
        verify(mall, key.secret[:-1] + ("1" if key.secret[-1] != "1" else "2"))  # type: ignore[index]
    assert [one for one in asked if "mall_api_key.digest" in one] == []
    assert reasons(mall)[0] == "checksum"


def test_guessing_is_answered_from_memory(mall: Mall) -> None:
    """However many keys are tried that are none, and secrets of one that is, that asks no database."""
    key = made(mall)
    verify(mall, key.secret)
    asked: list[str] = []
    event.listen(mall.engine, "before_cursor_execute", lambda *given: asked.append(given[2]))
    for number in range(50):
        for id in (f"key_{number:032x}", key.id):
            with pytest.raises(BadCredential) as refused:
                verify(mall, rules.written(id, number.to_bytes(32)), f"192.0.2.{number}")
            assert refused.value.details == {"reason": rules.REASONS["unknown"]}
    # What was done before may be announced only now, so the keys may be read anew; never once for each guess.
    assert len([one for one in asked if "mall_api_key.digest" in one]) < 5


def test_a_known_key_is_recalled_without_the_database(mall: Mall) -> None:
    """The second use is answered from memory, as an event loop asks; a stranger's is not."""
    key = made(mall)
    verifier = mall.services.ports[Verifiers].of(key.secret)
    presented = Presented(key.secret or "")
    assert verifier.recall(presented) is None
    for _ in range(100):  # what was announced before may be heard only now, and is answered by forgetting
        found = verifier.verify(presented)
        if verifier.recall(presented) is found:
            break
        time.sleep(0.05)
    assert verifier.recall(presented) is found
    assert verifier.recall(Presented(rules.written(key.id, bytes(32)))) is None


def test_without_a_follower_nothing_is_remembered(database_url: str) -> None:
    """A process that does not hear of changes asks the database each time, and so sees every one."""
    with Mall.open(database_url, migrate="always", follow=False) as mall, Mall.open(database_url) as other:
        key = made(mall)
        assert verify(mall, key.secret).id == key.client
        call(other, access.revoke_api_key, api_key=key.id)
        with pytest.raises(BadCredential):
            verify(mall, key.secret)


@pytest.mark.parametrize("reason", ["revoked", "expired", "disabled", "address", "rotated", "pepper"])
def test_what_is_no_longer_good_is_refused_and_on_record(mall: Mall, clock: Clock, reason: str) -> None:
    """Each way in which a key ends counts at once, also for a process that has it in memory."""
    key = made(mall, addresses=["192.0.2.0/24", "2001:db8::/32"], expires_at=clock.now + timedelta(days=1))
    verify(mall, key.secret, "2001:db8::1")
    if reason == "revoked":
        call(mall, access.revoke_api_key, api_key=key.id)
    elif reason == "expired":
        clock.now += timedelta(days=1)
    elif reason == "disabled":
        call(mall, access.disable_client, client=key.client)
    elif reason == "rotated":
        call(mall, access.rotate_api_key, api_key=key.id, overlap_seconds=60)
        verify(mall, key.secret, "192.0.2.1")
        clock.now += timedelta(seconds=60)
    elif reason == "pepper":
        call(mall, access.revoke_key, purpose="credentials", number=1)
    with pytest.raises(BadCredential):
        verify(mall, key.secret, "192.0.2.1" if reason != "address" else "198.51.100.1")
    assert reasons(mall)[0] == {"pepper": "secret"}.get(reason, reason)
    with mall.begin(ME) as ctx:
        record = audit.list_records(ctx, event="access.denied", limit=1).items[0]
    assert record.subject == key.id
    assert (record.personal or {}).get("address") == ("198.51.100.1" if reason == "address" else "192.0.2.1")


def test_two_secrets_are_good_while_they_overlap(mall: Mall, clock: Clock) -> None:
    """A rotation leaves time to bring the new secret everywhere; a second one ends the oldest, and 0 ends all."""
    first = made(mall)
    second = call(mall, access.rotate_api_key, api_key=first.id)
    assert verify(mall, first.secret) == verify(mall, second.secret)
    third = call(mall, access.rotate_api_key, api_key=first.id)
    assert verify(mall, second.secret) == verify(mall, third.secret)
    with pytest.raises(BadCredential):
        verify(mall, first.secret)
    fourth = call(mall, access.rotate_api_key, api_key=first.id, overlap_seconds=0)
    verify(mall, fourth.secret)
    for ended in (second, third):
        with pytest.raises(BadCredential):
            verify(mall, ended.secret)


def test_the_end_of_a_key_reaches_other_processes(database_url: str) -> None:
    """What one process revokes, another that had it in memory refuses as soon as it hears of it."""
    with (
        Mall.open(database_url, migrate="always", poll_seconds=0.05) as mall,
        Mall.open(database_url, poll_seconds=0.05) as other,
    ):
        key = made(mall)
        verify(other, key.secret)
        call(mall, access.revoke_api_key, api_key=key.id)
        for _ in range(400):
            if other.services.ports[access.ApiKeys].recall(Presented(key.secret or "")) is None:
                break
            time.sleep(0.05)
        with pytest.raises(BadCredential):
            verify(other, key.secret)


def test_the_last_use_is_written_in_batches(mall: Mall, clock: Clock) -> None:
    """A use writes nothing; what was used is written together, and raises no version."""
    key = made(mall)
    verify(mall, key.secret)
    assert call(mall, access.get_api_key, api_key=key.id).last_used_at is None
    clock.now += timedelta(minutes=5)
    verify(mall, key.secret)
    mall.services.ports[access.ApiKeys].write_used()
    found = call(mall, access.get_api_key, api_key=key.id)
    assert (found.last_used_at, found.version) == (clock.now, 1)


def test_a_key_can_be_pinned_at_its_first_use(mall: Mall) -> None:
    """The version that is the latest when a key is first used is the one it keeps."""
    pinned, fixed = made(mall, api_version="first-use"), made(mall, api_version="2026-08-01")
    assert pinned.api_version == "first-use"
    latest = mall.versions.latest(mall.now())
    for _ in range(2):
        assert verify(mall, pinned.secret).credential.version == latest  # type: ignore[union-attr]
    assert call(mall, access.get_api_key, api_key=pinned.id).api_version == latest
    assert verify(mall, fixed.secret).credential.version == "2026-08-01"  # type: ignore[union-attr]


WRONG: dict[str, dict[str, Any]] = {
    "scopes": {"scopes": ["structure.raed"]},
    "addresses": {"addresses": ["10.0.0.1/8"]},
    "plan": {"plan": "gold"},
    "api_version": {"api_version": "1999-01-01"},
    "expires_at": {"expires_at": datetime(2020, 1, 1, tzinfo=UTC)},
}


@pytest.mark.parametrize("field", WRONG)
def test_a_limit_that_makes_no_sense_is_refused(mall: Mall, field: str) -> None:
    """A misspelt limit must not make a key that is good for more, or for nothing."""
    with pytest.raises(InvalidInput) as refused:
        made(mall, **WRONG[field])
    assert refused.value.details["field"] == field
    for empty in ("scopes", "units", "channels", "addresses"):
        with pytest.raises(InvalidInput):
            made(mall, **{empty: []})


def test_keys_are_changed_and_told_apart_by_version(mall: Mall) -> None:
    """A change counts at once, for whoever saw the newest; what is not given stays."""
    key = made(mall, scopes=["structure.read"])
    verify(mall, key.secret)
    changed = call(mall, access.update_api_key, api_key=key.id, scopes=["*"], expected_revision=1)
    assert (changed.scopes, changed.name, changed.version) == (["*"], "Stock", 2)
    assert verify(mall, key.secret).credential.scopes == frozenset({"*"})  # type: ignore[union-attr]
    with pytest.raises(StaleRevision):
        call(mall, access.update_api_key, api_key=key.id, name="Other", expected_revision=1)


def test_a_narrow_credential_makes_no_wider_one(mall: Mall) -> None:
    """Who was recognised by a key of some scopes gets hold of none of more, by making, widening or rotating one."""
    key = made(mall, scopes=["access.*"])
    wide = made(mall)
    call(mall, access.grant, principal=f"client:{key.client}", role="owner")
    bearer = verify(mall, key.secret)
    call(mall, access.create_api_key, bearer, client=key.client, name="Same", scopes=["access.read"])
    for operation, given in (
        (access.create_api_key, {"client": key.client, "name": "Wider"}),
        (access.create_api_key, {"client": key.client, "name": "Wider", "scopes": ["structure.read"]}),
        (access.update_api_key, {"api_key": key.id, "scopes": ["*"]}),
        (access.rotate_api_key, {"api_key": wide.id}),
    ):
        with pytest.raises(Denied):
            call(mall, operation, bearer, **given)


def test_a_narrow_credential_gives_nobody_more_than_it_has(mall: Mall) -> None:
    """Who was recognised by a key of some scopes grants no role of more, to anybody, and makes or widens none."""
    key = made(mall, scopes=["access.*"])
    call(mall, access.grant, principal=f"client:{key.client}", role="owner")
    call(mall, access.set_role, role="doorkeeper", permissions=["access.read"])
    call(mall, access.set_role, role="planner", permissions=["structure.draft"])
    bearer = verify(mall, key.secret)
    call(mall, access.grant, bearer, principal="user:ada", role="doorkeeper")
    for operation, given in (
        (access.grant, {"principal": "anonymous:*", "role": "owner"}),
        (access.grant, {"principal": "user:eve", "role": "planner"}),
        (access.set_role, {"role": "doorkeeper", "permissions": ["*"]}),
        (access.set_role, {"role": "another", "permissions": ["structure.edit"]}),
    ):
        with pytest.raises(Denied):
            call(mall, operation, bearer, **given)


def test_a_key_of_a_unit_manages_nothing(mall: Mall) -> None:
    """Access is a matter of the whole mall, so whoever is bound to a part of it can't widen itself."""
    key = made(mall, units=["main"])
    call(mall, access.grant, principal=f"client:{key.client}", role="owner")
    with pytest.raises(Denied):
        call(mall, access.create_api_key, verify(mall, key.secret), client=key.client, name="Wider")


def test_clients_are_made_changed_disabled_and_enabled(mall: Mall) -> None:
    """A client's life, with what may not be done to it twice."""
    made_client = call(mall, access.create_client, name="A partner", owner="user:ada", contact="ada@example.org")
    key = call(mall, access.create_api_key, client=made_client.principal, name="Stock")
    changed = call(mall, access.update_client, client=made_client.id, name="Another")
    assert (changed.name, changed.owner, changed.contact, changed.version) == (
        "Another", "user:ada", "ada@example.org", 2,
    )  # fmt: skip
    with pytest.raises(StaleRevision):
        call(mall, access.update_client, client=made_client.id, name="X", expected_revision=1)
    call(mall, access.disable_client, client=made_client.id)
    with pytest.raises(NothingToDo):
        call(mall, access.disable_client, client=made_client.id)
    with pytest.raises(Conflict):
        call(mall, access.create_api_key, client=made_client.id, name="Stock")
    call(mall, access.enable_client, client=made_client.id)
    with pytest.raises(NothingToDo):
        call(mall, access.enable_client, client=made_client.id)
    assert verify(mall, key.secret) == Principal.client(made_client.id)
    with pytest.raises(UnknownClient):
        call(mall, access.get_client, client="till")
    with mall.begin(ME) as ctx:
        told = "".join(repr(one) for one in audit.list_records(ctx).items)
    assert "ada@example.org" not in told


def test_a_whole_key_in_the_place_of_its_id_is_not_repeated(mall: Mall) -> None:
    """Who confuses a key with its id finds no secret in the error, or in what is logged of it."""
    key = made(mall)
    with pytest.raises(InvalidInput) as too_long:
        call(mall, access.get_api_key, api_key=key.secret)
    with pytest.raises(UnknownApiKey) as unknown:
        call(mall, access.get_api_key, api_key=str(key.secret)[:40])
    for refused in (too_long, unknown):
        assert str(key.secret)[8:30] not in repr(refused.value) + repr(refused.value.details)


def test_a_flood_of_wrong_keys_does_not_fill_the_log(mall: Mall) -> None:
    """Of one address some refusals are put on record; how many were not, the next record says."""
    for _ in range(60):
        with pytest.raises(BadCredential):
            verify(mall, "mk_live_nonsense", "2001:db8::1")
    with pytest.raises(BadCredential):
        verify(mall, "mk_live_nonsense", "192.0.2.1")
    with mall.begin(ME) as ctx:
        found = audit.list_records(ctx, event="access.denied", limit=200).items
    assert len(found) == 21
    assert (found[0].after or {})["withheld"] == 40


def test_keys_of_one_client_are_listed(mall: Mall) -> None:
    """A list can be narrowed to one client; keys that have ended stay in it."""
    one, other = made(mall), made(mall)
    call(mall, access.revoke_api_key, api_key=one.id)
    found = call(mall, access.list_api_keys, client=one.client).items
    assert [(key.id, key.state) for key in found] == [(one.id, "revoked")]
    assert len(call(mall, access.list_api_keys).items) == 2
    assert other.state == "active"
    with mall.begin(ME) as ctx:
        assert ctx.execute(select(rows.c.former)).scalars().all() == [None, None]


def test_the_first_and_the_last_of_many_are_found_one_by_one(mall: Mall, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mall with more keys than are kept in memory looks for each, and remembers which there are not."""
    monkeypatch.setattr("mallcore.access.operations.verifying._MOST", 1)
    keys = [made(mall) for _ in range(3)]
    assert [verify(mall, key.secret).id for key in keys] == [key.client for key in keys]
    asked: list[str] = []
    event.listen(mall.engine, "before_cursor_execute", lambda *given: asked.append(given[2]))
    for _ in range(30):
        with pytest.raises(BadCredential):
            verify(mall, rules.written("key_" + "7" * 32, bytes(32)))
    # What was announced before may be heard only now, and is answered by forgetting.
    assert len([one for one in asked if "mall_api_key.digest" in one and "WHERE" in one]) < 10


def test_a_principal_that_is_kept_ends_with_its_key(mall: Mall, clock: Clock) -> None:
    """Who keeps a principal, as an open stream does, is refused from the moment its key is not good any more."""
    ends: dict[str, Any] = {
        "revoked": lambda key: call(mall, access.revoke_api_key, api_key=key.id),
        "disabled": lambda key: call(mall, access.disable_client, client=key.client),
        "replaced": lambda key: call(mall, access.rotate_api_key, api_key=key.id, overlap_seconds=0),
        "narrowed": lambda key: call(mall, access.update_api_key, api_key=key.id, scopes=["access.read"]),
    }
    for end, ended in ends.items():
        key = made(mall)
        call(mall, access.grant, principal=f"client:{key.client}", role="owner")
        kept = verify(mall, key.secret)
        call(mall, access.update_api_key, api_key=key.id, name="Another")
        assert call(mall, access.list_roles, kept).items, end
        ended(key)
        with pytest.raises(Denied):
            call(mall, access.list_roles, kept)


def test_a_principal_that_is_kept_expires(mall: Mall, clock: Clock) -> None:
    """The end of a key's time ends whatever was begun with it; an overlap leaves the old secret its time, too."""
    key = made(mall, expires_at=clock.now + timedelta(hours=2))
    call(mall, access.grant, principal=f"client:{key.client}", role="owner")
    old = verify(mall, key.secret)
    new = verify(mall, call(mall, access.rotate_api_key, api_key=key.id, overlap_seconds=3600).secret)
    assert call(mall, access.list_roles, old).items
    for kept in (old, new):
        clock.now += timedelta(hours=1)
        with pytest.raises(Denied):
            call(mall, access.list_roles, kept)


def test_a_kept_principal_is_answered_from_memory(mall: Mall) -> None:
    """While nothing changes, that a key is still good is known without waiting."""
    key = made(mall)
    call(mall, access.grant, principal=f"client:{key.client}", role="owner")
    kept = verify(mall, key.secret)
    for _ in range(100):  # what was announced before may be heard only now, and is answered by forgetting
        call(mall, access.list_roles, kept)
        if kept.credential is not None and kept.credential.alive is not None and kept.credential.alive(False):
            break
        time.sleep(0.05)
    assert kept.credential is not None
    assert kept.credential.alive is not None
    assert kept.credential.alive(False)


def test_the_record_says_which_key_it_was(mall: Mall) -> None:
    """Of a client with several keys, the log tells them apart; in what was done, and in what was refused."""
    key = made(mall)
    call(mall, access.grant, principal=f"client:{key.client}", role="owner")
    call(mall, access.set_role, verify(mall, key.secret), role="clerk", permissions=["structure.read"])
    narrow = call(mall, access.create_api_key, client=key.client, name="Narrow", scopes=["structure.read"])
    with pytest.raises(Denied):
        call(mall, access.remove_role, verify(mall, narrow.secret), role="clerk")
    with mall.begin(ME) as ctx:
        done = audit.list_records(ctx, event="access.role_set").items[0]
        refused = audit.list_records(ctx, event="access.denied").items[0]
    assert [(one.after or {})["credential"] for one in (done, refused)] == [key.id, narrow.id]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are not forked here")
def test_a_forked_child_recognises_keys(database_url: str) -> None:
    """A server that forks after the first request: its children verify, count and write uses on their own."""
    with Mall.open(database_url, migrate="always", plans={"default": "5/day"}) as mall:
        key = made(mall)
        verify(mall, key.secret)
        limiter = mall.services.ports[Limiter]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of forks beside threads, which this is about
            child = os.fork()
        if child == 0:
            try:
                verifier = mall.services.ports[access.ApiKeys]
                who = verifier.verify(Presented(key.secret or ""))
                with contextlib.suppress(BadCredential):
                    verifier.verify(Presented("mk_live_nonsense"))
                passed = limiter.check(who, Request("GET", "/"))
                verifier.write_used()
                os._exit(0 if passed else 1)
            finally:
                os._exit(2)
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == 0
        assert reasons(mall)[0] == "checksum"
