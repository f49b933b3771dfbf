"""Links: whom they open for, how often and how long; each refusal has its reason, and stands on record first."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import insert, text, update

from mallcore import Context, Mall, Principal, access, attachments, audit, structure
from mallcore.attachments.model.tables import verdict
from mallcore.attachments.model.tables import version as versions
from mallcore.attachments.rules import tokens
from mallcore.errors import (
    ContentErased,
    Denied,
    InvalidInput,
    LinkRefused,
    Quarantined,
    StageFirst,
    Unauthenticated,
    Unavailable,
    UnknownAttachment,
)

ME = Principal.system("test")
ADA = Principal.user("ada", session="s1")
EVE = Principal.user("eve", session="s9")
NOBODY = Principal.anonymous()
PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 64


class Clock:
    """A clock that goes when it is told to."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 24, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def pass_by(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@dataclass
class World:
    """A mall with one private file in two versions."""

    mall: Mall
    clock: Clock
    attachment: str

    def link(self, by: Principal = ME, **given: Any) -> attachments.Link:
        with self.mall.begin(by) as ctx:
            return attachments.link(ctx, **{"version": f"{self.attachment}@1", **given})

    def open(self, token: str, by: Principal = NOBODY, **given: Any) -> attachments.Opened:
        with self.mall.begin(by) as ctx:
            return attachments.open_link(ctx, token=token, **given)

    def refused(self, token: str, by: Principal = NOBODY, **given: Any) -> str:
        """The reason of a refusal, which must be on record with it."""
        before = len(self.records("attachments.link_refused"))
        with pytest.raises(LinkRefused) as caught:
            self.open(token, by, **given)
        records = self.records("attachments.link_refused")
        assert len(records) == before + 1
        assert records[0].outcome == "denied"
        reason = str(caught.value.details["reason"])
        assert records[0].after["reason"] == reason
        assert len(token) < 20 or token not in repr(records)
        return reason

    def records(self, event: str) -> list[Any]:
        with self.mall.begin(ME) as ctx:
            return list(audit.list_records(ctx, event=event).items)

    def key(self, number: int = 1) -> bytes:
        return self.mall.keys.find("links", number).derive("links")

    def signed(self, number: int = 1, **given: Any) -> str:
        """A token with claims of one's own, under the mall's true key."""
        now = int(self.clock.now.timestamp())
        said = tokens.Claims("get", "content", f"{self.attachment}@1", "ab" * 16, now, now + 300)
        return tokens.signed(said._replace(**given), number, self.key(number))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def world(database_url: str, clock: Clock) -> Iterator[World]:
    with Mall.open(database_url, migrate="always", clock=clock, objects="memory://", busy_seconds=2.0) as mall:
        with mall.begin(ME) as ctx:
            structure.create_channel(ctx, slug="books", name="Books")
            access.set_role(
                ctx, role="linker", permissions=["attachments.read", "attachments.link", "attachments.write"]
            )
            access.grant(ctx, principal="user:ada", role="linker", scope="channel", channel="books")
        with mall.begin(ME) as ctx:
            made = attachments.upload_file(ctx, file=b"one", file_name="a.txt", owner="channel:books", slot="file")
        with mall.begin(ME) as ctx:
            attachments.upload_file(
                ctx, file=b"two", file_name="b.txt", owner="channel:books", slot="file", attachment=made.attachment
            )
        yield World(mall, clock, made.attachment)


def test_a_link_opens_to_what_it_was_made_for(world: World) -> None:
    """Whoever has a link for anyone gets that version, in that way, until that time."""
    made = world.link(to="anyone", seconds=60, disposition="inline")
    assert made.url == f"/links/{made.token}"
    assert made.expires == world.clock.now + timedelta(seconds=60)
    found = world.open(made.token)
    assert (found.version.ref, found.file_name, found.size) == (f"{world.attachment}@1", "a.txt", 3)
    assert found.disposition == "attachment"
    assert (found.jti, found.once) == (made.jti, False)


def test_a_label_is_resolved_when_the_link_is_made(world: World) -> None:
    """A link made for a label keeps the version that the label named then."""
    made = world.link(version=f"{world.attachment}@live", to="anyone")
    assert made.version == f"{world.attachment}@2"
    with world.mall.begin(ME) as ctx:
        attachments.set_label(ctx, attachment=world.attachment, label="live", to=1)
    assert world.open(made.token).version.n == 2


def test_a_link_is_for_its_maker_unless_said_otherwise(world: World) -> None:
    """Bound to a principal, all of its sessions open it, and nobody else's."""
    made = world.link(by=ADA)
    assert world.open(made.token, ADA).version.n == 1
    assert world.open(made.token, Principal.user("ada", session="s2")).version.n == 1
    for other in (EVE, NOBODY, Principal.client("ada"), Principal.user("ada2")):
        assert world.refused(made.token, other) == "foreign"


def test_a_link_can_be_for_another_principal(world: World) -> None:
    """Who may make links makes one for somebody else, who needs no permission to open it."""
    made = world.link(by=ADA, to="user:eve")
    assert world.open(made.token, EVE).version.n == 1
    assert world.refused(made.token, ADA) == "foreign"


def test_a_link_can_be_for_one_session(world: World) -> None:
    """Bound to a session, another sign-in of the same person does not open it."""
    made = world.link(by=ADA, to="session")
    assert world.open(made.token, ADA).version.n == 1
    assert world.refused(made.token, Principal.user("ada", session="s2")) == "foreign"
    assert world.refused(made.token, Principal.user("ada")) == "foreign"
    with pytest.raises(InvalidInput, match="no session"):
        world.link(by=Principal.user("ada"), to="session")


def test_the_end_of_sessions_ends_links(world: World) -> None:
    """When a principal's sessions are ended, links for it and for its sessions are refused; new ones open."""
    bound = [world.link(by=ADA), world.link(by=ADA, to="session"), world.link(to="user:ada")]
    free = world.link(by=ADA, to="anyone")
    others = world.link(to="user:eve")
    with world.mall.begin(ME) as ctx:
        access.end_sessions(ctx, principal="user:ada")
    assert {world.refused(one.token, ADA) for one in bound} == {"ended"}
    assert world.open(free.token).version.n == 1
    assert world.open(others.token, EVE).version.n == 1
    assert world.open(world.link(by=ADA).token, ADA).version.n == 1


def test_a_revoked_link_is_refused(world: World) -> None:
    """A link is revoked by its jti, before or after it was used, and stays so; revoking twice is harmless."""
    made, used = world.link(to="anyone"), world.link(to="anyone", once=True)
    world.open(used.token)
    for one in (made, used, made):
        with world.mall.begin(ADA) as ctx:
            attachments.revoke_link(ctx, link=one.token)
    assert world.refused(made.token) == "revoked"
    assert world.refused(used.token) == "revoked"
    assert len(world.records("attachments.link_revoked")) == 3
    with pytest.raises(Denied), world.mall.begin(EVE) as ctx:
        attachments.revoke_link(ctx, link=made.token)


def test_a_link_good_once_opens_once(world: World) -> None:
    """The second use is refused, by whomever."""
    made = world.link(to="anyone", once=True)
    assert world.open(made.token).once
    assert world.refused(made.token) == "used"
    assert world.refused(made.token, ADA) == "used"


def test_of_many_at_once_one_opens_a_link_good_once(world: World) -> None:
    """Sixteen tries at the same time: one gets it, fifteen are refused."""
    made = world.link(to="anyone", once=True)

    def attempt(_: int) -> str:
        try:
            world.open(made.token)
        except LinkRefused as error:
            return str(error.details["reason"])
        return "opened"

    with ThreadPoolExecutor(8) as pool:
        found = sorted(pool.map(attempt, range(16)))
    assert found == ["opened"] + ["used"] * 15


TRY = """
import sys
from mallcore import Mall, Principal, attachments
from mallcore.errors import LinkRefused
with Mall.open(sys.argv[1], objects="memory://", follow=False) as mall:
    print("ready", flush=True)
    token = sys.stdin.readline().strip()
    try:
        with mall.begin(Principal.anonymous()) as ctx:
            attachments.open_link(ctx, token=token)
        print("opened")
    except LinkRefused as refused:
        print(refused.reason)
"""


def test_of_many_processes_one_opens_a_link_good_once(world: World, database_url: str) -> None:
    """Four processes try at the same time: one gets it."""
    world.clock.now = datetime.now(UTC)
    token = world.link(to="anyone", once=True).token
    command = [sys.executable, "-c", TRY, database_url]
    pipe: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    tries = [subprocess.Popen(command, **pipe) for _ in range(4)]
    for one in tries:
        assert one.stdout is not None
        assert one.stdout.readline() == "ready\n"
    for one in tries:
        assert one.stdin is not None
        one.stdin.write(token + "\n")
        one.stdin.flush()
    assert sorted(one.communicate()[0].strip() for one in tries) == ["opened", "used", "used", "used"]


def test_another_process_knows_of_uses_and_ends(world: World, database_url: str) -> None:
    """What was used, revoked, or ended in one process is refused in another."""
    once, revoked, bound = world.link(to="anyone", once=True), world.link(to="anyone"), world.link(by=ADA)
    with Mall.open(database_url, clock=world.clock, objects="memory://", follow=False) as mall:
        other = World(mall, world.clock, world.attachment)
        other.open(once.token)
        with mall.begin(ME) as ctx:
            attachments.revoke_link(ctx, link=revoked.token)
            access.end_sessions(ctx, principal="user:ada")
    assert [world.refused(one.token, ADA) for one in (once, revoked, bound)] == ["used", "revoked", "ended"]


@pytest.mark.parametrize(
    ("spoilt", "reason"),
    [
        (lambda token: token[:-1], "forged"),
        (lambda token: token[:-1] + ("A" if token[-1] != "A" else "B"), "forged"),
        (lambda token: ".".join(reversed(token.split("."))), "forged"),
        (lambda token: token.replace(".", "%2E"), "forged"),
        (lambda token: token.replace(".", "%252E"), "forged"),
        (lambda token: token[: len(token) // 2], "forged"),
        (lambda token: token + token, "forged"),
        (lambda token: token + "?x=1", "forged"),
        (lambda token: token.upper(), "forged"),
        (lambda token: "", "forged"),
        (lambda token: "ü" * 100, "forged"),
        (lambda token: token.replace("m1.1.", "m1.7.", 1), "unknown-key"),
        (lambda token: token + "A" * 3000, "too-long"),
        (lambda token: "A" * 1_000_000, "too-long"),
    ],
)
def test_a_spoilt_token_is_refused(world: World, spoilt: Any, reason: str) -> None:
    """Forged, cut, re-ordered, encoded twice, doubled, over-long, under an unknown key: refused, on record."""
    assert world.refused(spoilt(world.link(to="anyone").token)) == reason


def test_a_token_of_another_mall_is_refused(world: World, clock: Clock) -> None:
    """Keys are a mall's own: what another one signed is forged here."""
    with Mall.open("sqlite://", clock=clock, objects="memory://") as other:
        key = other.keys.current("links").derive("links")
        now = int(clock.now.timestamp())
        said = tokens.Claims("get", "content", f"{world.attachment}@1", "ab" * 16, now, now + 300)
        assert world.refused(tokens.signed(said, 1, key)) == "forged"


def test_time_counts_with_a_minute_of_leeway(world: World) -> None:
    """Expired and future tokens are refused, a minute more or less is forgiven."""
    made = world.link(to="anyone", seconds=60)
    world.clock.pass_by(119)
    assert world.open(made.token)
    world.clock.pass_by(1)
    assert world.refused(made.token) == "expired"
    now = int(world.clock.now.timestamp())
    assert world.refused(world.signed(not_before=now + 61, expires=now + 400)) == "not-yet-valid"
    assert world.open(world.signed(not_before=now + 60, expires=now + 400))


def test_purpose_and_method_count(world: World) -> None:
    """A link for one purpose opens for no other, and a ticket to upload is no link to read."""
    made = world.link(to="anyone", purpose="invoice")
    assert world.refused(made.token) == "wrong-purpose"
    assert world.open(made.token, purpose="invoice")
    assert world.refused(world.signed(method="put")) == "wrong-method"


def test_what_is_gone_is_refused(world: World) -> None:
    """A true token for what there is not opens nothing."""
    for gone in (f"{world.attachment}@9", "att_" + "0" * 32 + "@1", "nonsense"):
        assert world.refused(world.signed(version=gone)) == "gone"
    assert world.refused(world.signed(recipe="cd" * 32)) == "gone"


def test_keys_rotate_under_living_links(world: World) -> None:
    """After a rotation old links open until the overlap ends; new ones are signed with the new key."""
    old = world.link(to="anyone", seconds=7200)
    with world.mall.begin(ME) as ctx:
        access.rotate_key(ctx, purpose="links", overlap_seconds=3600)
    new = world.link(to="anyone", seconds=7200)
    assert (old.token[:5], new.token[:5]) == ("m1.1.", "m1.2.")
    assert world.open(old.token).version == world.open(new.token).version
    world.clock.pass_by(3600)
    assert world.refused(old.token) == "unknown-key"
    assert world.open(new.token)
    with world.mall.begin(ME) as ctx:
        access.revoke_key(ctx, purpose="links", number=2)
    assert world.refused(new.token) == "unknown-key"


def test_quarantined_content_is_not_linked_and_not_opened(world: World) -> None:
    """What a check found bad is withheld, from links made before, too; and that is on record."""
    made = world.link(to="anyone")
    with world.mall.begin(ME) as ctx:
        found = attachments.get_version(ctx, version=made.version)
    row = {"unit_id": found.unit_id, "digest": found.digest, "check": "virus", "result": "bad", "tool": "t"}
    with world.mall.engine.begin() as connection:
        connection.execute(insert(verdict), {**row, "at": world.clock.now})
    for call in (lambda: world.open(made.token), lambda: world.link(to="anyone")):
        with pytest.raises(Quarantined):
            call()
    assert world.records("attachments.link_refused")[0].after["reason"] == "quarantined"


def test_required_checks_come_first(database_url: str, clock: Clock) -> None:
    """Content of a slot that asks for a check is served when the check has found it clean, and not before."""
    slot = attachments.Slot("scanned", verdicts=("virus",))
    with Mall.open(database_url, migrate="always", clock=clock, objects="memory://", slots=[slot]) as mall:
        with mall.begin(ME) as ctx:
            structure.create_channel(ctx, slug="books", name="Books")
        with mall.begin(ME) as ctx:
            made = attachments.upload_file(ctx, file=b"x", file_name="a", owner="channel:books", slot="scanned")
        world = World(mall, clock, made.attachment)
        token = world.signed()
        with pytest.raises(Quarantined, match="not done"):
            world.open(token)
        row = {"unit_id": made.unit_id, "digest": made.digest, "check": "virus", "result": "clean", "tool": "t"}
        with mall.engine.begin() as connection:
            connection.execute(insert(verdict), {**row, "at": clock.now})
        assert world.open(token).version.n == 1


def test_dropped_content_is_not_opened(world: World) -> None:
    """What was erased is gone for links, too, and the refusal is on record."""
    made = world.link(to="anyone")
    with world.mall.engine.begin() as connection:
        mine = (versions.c.attachment_id == world.attachment, versions.c.n == 1)
        connection.execute(update(versions).where(*mine).values(dropped_at=world.clock.now))
    with pytest.raises(ContentErased):
        world.open(made.token)
    assert world.records("attachments.link_refused")[0].after["reason"] == "content-erased"


def test_making_a_link_needs_permission_to_link_and_to_read(world: World) -> None:
    """Who may link but not read makes no links; who may neither learns nothing of what there is."""
    with world.mall.begin(ME) as ctx:
        access.set_role(ctx, role="blind", permissions=["attachments.link"])
        access.grant(ctx, principal="user:eve", role="blind")
    with pytest.raises(Denied):
        world.link(by=EVE)
    with pytest.raises(UnknownAttachment):
        world.link(version="att_" + "0" * 32 + "@1")
    for version in (f"{world.attachment}@1", "att_" + "0" * 32 + "@1"):
        with pytest.raises(Denied):
            world.link(by=Principal.user("stranger"), version=version)


@pytest.mark.parametrize(
    "given",
    [{"seconds": 0}, {"seconds": 604_801}, {"to": "x"}, {"to": ""}, {"to": "nobody at all"}, {"purpose": "A b"},
     {"disposition": "open"}, {"derivative": "small"}, {"derivative": "ab" * 32}, {"file_name": "a" * 300},
     {"version": "nonsense"}],
)  # fmt: skip
def test_a_wrong_wish_is_named(world: World, given: dict[str, Any]) -> None:
    """Whatever can't be signed is refused with the name of what is wrong."""
    with pytest.raises(InvalidInput):
        world.link(**given)


def test_allowed_and_refused_are_on_record(world: World) -> None:
    """Making, opening and refusing have their records, with the jti by which they are found together."""
    made = world.link(by=ADA, to="anyone", purpose="invoice", once=True)
    world.open(made.token, EVE, purpose="invoice")
    world.refused(made.token, purpose="invoice")
    events = ("attachments.link_made", "attachments.link_opened", "attachments.link_refused")
    records = [world.records(event)[0] for event in events]
    assert {one.after["jti"] for one in records} == {made.jti}
    assert [one.principal for one in records] == ["user:ada", "user:eve", "anonymous:*"]
    assert [one.operation for one in records] == ["attachments.link"] + ["attachments.open_link"] * 2
    assert records[0].after["once"] is True


def test_the_record_is_there_before_the_answer(world: World) -> None:
    """A caller who rolls back has still been given what he has, and it stands on record."""
    made = world.link(to="anyone")

    def fail(ctx: Context) -> None:
        attachments.open_link(ctx, token=made.token)
        attachments.link(ctx, version=f"{world.attachment}@2")
        raise RuntimeError

    with pytest.raises(RuntimeError), world.mall.begin(ME) as ctx:
        fail(ctx)
    assert len(world.records("attachments.link_opened")) == 1
    assert len(world.records("attachments.link_made")) == 2


def test_without_a_log_nothing_opens(world: World) -> None:
    """Where the log can't be written no link is made, opened, or used up."""
    made = world.link(to="anyone", once=True)
    with world.mall.engine.begin() as connection:
        connection.execute(text("ALTER TABLE mall_audit_record RENAME TO elsewhere"))
    for call in (lambda: world.open(made.token), lambda: world.link(), lambda: world.open("junk")):
        with pytest.raises(Unavailable):
            call()
    with world.mall.engine.begin() as connection:
        connection.execute(text("ALTER TABLE elsewhere RENAME TO mall_audit_record"))
    assert world.open(made.token).version.n == 1


def test_a_writer_is_told_to_open_links_first(world: World) -> None:
    """On a database with one writer, a unit of work that writes can't record apart: it is told so."""
    made = world.link(to="anyone")
    if not world.mall.backend.serial_writes:
        pytest.skip("this database has many writers")
    with world.mall.begin(ME) as ctx:
        structure.create_category(ctx, channel="books", name="Crime")
        with pytest.raises(StageFirst):
            attachments.open_link(ctx, token=made.token)


def test_no_secret_is_shown(world: World) -> None:
    """A link's repr, its record and its errors hold neither token nor URL."""
    made = world.link(by=ADA, to="session")
    shown = repr(made) + str(made) + repr(ADA) + repr(world.records("attachments.link_made"))
    assert made.token not in shown
    assert "'s1'" not in shown
    with pytest.raises(LinkRefused) as caught:
        world.open(made.token, EVE)
    assert made.token not in f"{caught.value!r} {caught.value} {caught.value.details}"


def test_what_has_expired_is_forgotten(world: World) -> None:
    """Housekeeping drops uses and revocations of links that are refused as expired anyway."""
    made, revoked = world.link(to="anyone", once=True), world.link(to="anyone", seconds=604_800)
    world.open(made.token)
    with world.mall.begin(ME) as ctx:
        attachments.revoke_link(ctx, link=revoked.token)

    def kept() -> int:
        with world.mall.engine.connect() as connection:
            return int(connection.execute(text("SELECT count(*) FROM mall_link_use")).scalar_one())

    world.mall.keep_house()
    assert kept() == 2
    world.clock.pass_by(1000)
    world.mall.keep_house()
    assert kept() == 1
    assert world.refused(revoked.token) == "revoked"
    assert world.refused(made.token) == "expired"
    world.clock.pass_by(604_800)
    assert world.refused(revoked.token) == "expired"
    world.mall.keep_house()
    assert kept() == 0


def test_a_link_begins_with_the_address_of_the_mall(database_url: str, clock: Clock) -> None:
    """The setting content_url stands before every link."""
    with Mall.open(
        database_url, migrate="always", clock=clock, objects="memory://", content_url="https://c.test/m/"
    ) as mall:
        with mall.begin(ME) as ctx:
            structure.create_channel(ctx, slug="books", name="Books")
        with mall.begin(ME) as ctx:
            made = attachments.upload_file(ctx, file=b"x", file_name="a", owner="channel:books", slot="file")
        url = World(mall, clock, made.attachment).link().url
    assert url.startswith("https://c.test/m/links/m1.1.")
    assert tokens.token_in(url.removeprefix("https://c.test/m")) in url


def test_a_refused_read_is_on_record_under_what_was_asked_for(world: World) -> None:
    """Whoever is refused, even nobody in particular: the log of the attachment shows it."""
    for who in (NOBODY, Principal.user("stranger")):
        with pytest.raises((Denied, Unauthenticated)), world.mall.begin(who) as ctx:
            attachments.get_version(ctx, version=f"{world.attachment}@1")
    with world.mall.begin(ME) as ctx:
        found = audit.list_records(ctx, subject=world.attachment, outcome="denied").items
    assert {one.principal for one in found} == {"anonymous:*", "user:stranger"}
