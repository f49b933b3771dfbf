"""Keys and sessions: rotation with an overlap, revocation everywhere, and no secret where somebody could see it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from mallcore import Context, Mall, Principal, access, audit
from mallcore.errors import Denied, InvalidInput, NothingToDo, UnknownKey
from mallcore.kernel.keys import PURPOSES, Key

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
    with Mall.open(database_url, migrate="always", clock=clock) as opened:
        yield opened


def states(mall: Mall, purpose: str = "links") -> dict[int, str]:
    with mall.begin(ME) as ctx:
        return {one.number: one.state for one in access.list_keys(ctx, purpose=purpose)}  # type: ignore[arg-type]


def rotate(mall: Mall, **given: object) -> int:
    with mall.begin(ME) as ctx:
        return access.rotate_key(ctx, purpose="links", **given).number  # type: ignore[arg-type]


def test_a_mall_has_a_key_for_each_purpose(mall: Mall) -> None:
    """From the start there is one key that signs for each of them."""
    with mall.begin(ME) as ctx:
        found = access.list_keys(ctx)
    assert [(one.purpose, one.number, one.state) for one in found] == [(one, 1, "signing") for one in sorted(PURPOSES)]


def test_after_a_rotation_the_old_key_verifies_for_a_while(mall: Mall, clock: Clock) -> None:
    """The new key signs at once; the old one is found until the overlap ends, and not a second longer."""
    old = mall.keys.current("links")
    assert rotate(mall, overlap_seconds=3600) == 2
    assert mall.keys.current("links").number == 2
    assert mall.keys.current("links").secret != old.secret
    assert mall.keys.find("links", 1).secret == old.secret
    assert states(mall) == {1: "verifying", 2: "signing"}
    clock.now += timedelta(seconds=3600)
    with pytest.raises(UnknownKey):
        mall.keys.find("links", 1)
    assert states(mall) == {1: "retired", 2: "signing"}


def test_the_overlap_is_a_week_unless_given(mall: Mall, clock: Clock) -> None:
    """Left out, the overlap covers the longest link; a second rotation never prolongs the first key's time."""
    rotate(mall)
    clock.now += timedelta(days=1)
    rotate(mall)
    with mall.begin(ME) as ctx:
        ends = [one.retires_at for one in access.list_keys(ctx, purpose="links")]
    assert ends == [clock.now + timedelta(days=6), clock.now + timedelta(days=7), None]


def test_a_shorter_overlap_ends_older_keys_too(mall: Mall, clock: Clock) -> None:
    """No overlap at all: from now on only the new key verifies, whatever was promised to older ones."""
    rotate(mall)
    rotate(mall, overlap_seconds=0)
    assert states(mall) == {1: "retired", 2: "retired", 3: "signing"}


def test_a_revoked_key_is_refused_at_once(mall: Mall) -> None:
    """Revoking the key that signs makes another; the revoked one is never found again."""
    with mall.begin(ME) as ctx:
        shown = access.revoke_key(ctx, purpose="links", number=1)
    assert shown.state == "revoked"
    with pytest.raises(UnknownKey):
        mall.keys.find("links", 1)
    assert mall.keys.current("links").number == 2
    assert states(mall) == {1: "revoked", 2: "signing"}
    with pytest.raises(NothingToDo), mall.begin(ME) as ctx:
        access.revoke_key(ctx, purpose="links", number=1)
    with pytest.raises(UnknownKey), mall.begin(ME) as ctx:
        access.revoke_key(ctx, purpose="links", number=9)


def test_a_change_of_keys_is_heard_elsewhere(mall: Mall, database_url: str, clock: Clock) -> None:
    """Another process of the mall uses the new key, and refuses the revoked one."""
    with Mall.open(database_url, clock=clock, follow=False) as other:
        assert other.keys.current("links").number == 1
        rotate(mall)
        assert other.keys.current("links").number == 2
        with mall.begin(ME) as ctx:
            access.revoke_key(ctx, purpose="links", number=1)
        with pytest.raises(UnknownKey):
            other.keys.find("links", 1)


def test_what_is_rolled_back_changes_no_key(mall: Mall) -> None:
    """A rotation whose unit of work fails has not happened."""

    def fail(ctx: Context) -> None:
        access.rotate_key(ctx, purpose="links")
        raise RuntimeError

    with pytest.raises(RuntimeError), mall.begin(ME) as ctx:
        fail(ctx)
    assert states(mall) == {1: "signing"}
    assert mall.keys.current("links").number == 1


@pytest.mark.parametrize("purpose", ["subjects", "checkpoints"])
def test_keys_that_are_needed_for_ever_have_no_overlap(mall: Mall, purpose: str) -> None:
    """What a key for subjects or checkpoints made has to be opened for ever, so that it never retires."""
    with pytest.raises(InvalidInput), mall.begin(ME) as ctx:
        access.rotate_key(ctx, purpose=purpose, overlap_seconds=60)  # type: ignore[arg-type]
    with mall.begin(ME) as ctx:
        access.rotate_key(ctx, purpose=purpose)  # type: ignore[arg-type]
    assert mall.keys.find(purpose, 1).retires_at is None
    assert states(mall, purpose) == {1: "verifying", 2: "signing"}


def test_a_key_for_subjects_is_not_revoked(mall: Mall) -> None:
    """It would take with it what is sealed: that is refused, with the way out."""
    with pytest.raises(InvalidInput, match="rotate, or erase"), mall.begin(ME) as ctx:
        access.revoke_key(ctx, purpose="subjects", number=1)


def test_rotation_and_revocation_are_on_record(mall: Mall) -> None:
    """Both stand in the audit log with the numbers, and neither with a secret."""
    rotate(mall, overlap_seconds=60)
    with mall.begin(ME) as ctx:
        access.revoke_key(ctx, purpose="links", number=2)
        records = audit.list_records(ctx).items
    found = [(one.event, one.subject) for one in records if one.event.startswith("access.key")]
    assert sorted(found) == [
        ("access.key_revoked", "links/2"), ("access.key_rotated", "links/2"), ("access.key_rotated", "links/3")
    ]  # fmt: skip


def test_no_secret_is_shown(mall: Mall) -> None:
    """Neither what is listed, nor a repr, nor the audit log holds a key's secret."""
    rotate(mall)
    key: Key = mall.keys.current("links")
    with mall.begin(ME) as ctx:
        listed = repr(access.list_keys(ctx)) + repr(key) + repr(mall.keys) + repr(audit.list_records(ctx))
    with mall.engine.connect() as connection:
        stored = connection.execute(text("SELECT secret FROM mall_key")).scalars().all()
    assert key.secret.hex() not in listed
    assert repr(key.secret) not in listed
    assert [secret for secret in stored if secret in listed] == []


def test_only_who_may_manages_keys(mall: Mall) -> None:
    """Keys are nobody's business but of those who hold access.keys in the whole mall."""
    with mall.begin(ME) as ctx:
        access.grant(ctx, principal="user:ada", role="editor")
    for call in (access.list_keys, lambda ctx: access.rotate_key(ctx, purpose="links")):
        with pytest.raises(Denied), mall.begin(Principal.user("ada")) as ctx:
            call(ctx)


def test_each_end_of_sessions_raises_the_epoch(mall: Mall) -> None:
    """The epoch of one principal rises by one with every end, on record, and nobody else's does."""
    for epoch in (1, 2):
        with mall.begin(ME) as ctx:
            assert access.end_sessions(ctx, principal="user:ada").epoch == epoch
    with mall.begin(ME) as ctx:
        sessions = access.Sessions()
        assert [sessions.epoch(ctx, who) for who in ("user:ada", "user:eve")] == [2, 0]
        assert audit.list_records(ctx, event="access.sessions_ended").items[0].after == {"epoch": 2}
    with pytest.raises(InvalidInput), mall.begin(ME) as ctx:
        access.end_sessions(ctx, principal="nonsense")
