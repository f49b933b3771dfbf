"""Verdicts: what checks find decides who gets a content; a check that is not done is no leave to serve."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from mallcore import Principal, access, attachments, audit, hookimpl
from mallcore.attachments import Facts, Finding, Slot
from mallcore.backends.clamav import ClamAV, Unanswered
from mallcore.errors import (
    ContentRefused,
    Denied,
    InvalidInput,
    InvalidSettings,
    LinkRefused,
    Quarantined,
    UnknownVersion,
)
from tests.attachments import clamd, pictures
from tests.attachments.storehouse import ME, Storehouse

CHECKED = Slot("checked", verdicts=("virus",))
DIGEST = "0" * 64


class Scanner:
    """A plug-in whose findings a test sets."""

    def __init__(self) -> None:
        self.findings: list[Finding] | None = []
        self.error: Exception | None = None
        self.seen: list[tuple[bytes, Facts, str]] = []

    @hookimpl
    def attachments_verdict_extra(self, content: BinaryIO, facts: Facts, slot: Slot) -> list[Finding] | None:
        content.seek(0)
        self.seen.append((content.read(), facts, slot.name))
        if self.error is not None:
            raise self.error
        return self.findings

    def finds(self, result: Any, check: str = "virus") -> None:
        self.findings = [Finding(check, result, "a scanner 1.0", "what it found")]


class Checking(Storehouse):
    """A mall with that scanner."""

    def __init__(self, database: str, *plugins: object) -> None:
        self.scanner = Scanner()
        super().__init__(database, "memory://", plugins=plugins or [self.scanner], slots=[CHECKED])

    def say(self, ref: str, result: str, check: str = "virus") -> attachments.Verdict:
        found: attachments.Verdict = self.do("record_verdict", version=ref, check=check, result=result, tool="by hand")
        return found

    def waiting(self) -> dict[str, str]:
        return {one.version: one.reason for one in self.do("list_quarantined").items}

    def events(self, name: str) -> list[Any]:
        with self.mall.begin(ME) as ctx:
            return list(audit.list_records(ctx, event=name, limit=100).items)


@pytest.fixture
def checking(database_url: str) -> Iterator[Checking]:
    found = Checking(database_url)
    yield found
    found.close()


def test_what_was_found_clean_is_served(checking: Checking) -> None:
    """The check is done while the content is staged, with the facts; its verdict stands in a row and on record."""
    checking.scanner.finds("clean")
    png = pictures.png()
    version = checking.put(png, slot="checked")
    assert checking.read(version.ref) == png
    assert checking.scanner.seen == [(png, Facts(len(png), "image/png", 2, 2, 1), "checked")]
    (verdict,) = checking.do("list_verdicts", version=version.ref)
    assert (verdict.check, verdict.result, verdict.tool, verdict.detail) == (
        "virus",
        "clean",
        "a scanner 1.0",
        "what it found",
    )
    assert [record.after["result"] for record in checking.events("attachments.verdict_recorded")] == ["clean"]
    assert checking.waiting() == {}


def test_what_was_found_bad_is_not_kept(checking: Checking) -> None:
    """No byte of it reaches the store; that it is bad is known from now on, and everything is on record."""
    checking.scanner.finds("bad")
    for slot in ("checked", "file"):
        with pytest.raises(ContentRefused, match="virus found it bad"):
            checking.put(b"evil", slot=slot)
    assert checking.keys() == []
    assert checking.rows("mall_blob") == checking.rows("mall_upload") == []
    assert len(checking.events("attachments.upload_refused")) == 2
    checking.scanner.finds("clean")
    with pytest.raises(ContentRefused):
        checking.put(b"evil", slot="file")


@pytest.mark.parametrize("findings", [None, [], [Finding("virus", "unsure", "x")], [Finding("faces", "clean", "x")]])
def test_what_was_not_found_clean_waits(checking: Checking, findings: list[Finding] | None) -> None:
    """No verdict, an unsure one, one of another check: the content is kept, and nobody gets it."""
    checking.scanner.findings = findings
    version = checking.put(b"who knows", slot="checked")
    refused_everywhere(checking, version.ref)
    assert list(checking.waiting()) == [version.ref]
    checking.say(version.ref, "clean")
    assert checking.read(version.ref) == b"who knows"
    assert checking.waiting() == {}


def refused_everywhere(checking: Checking, ref: str) -> None:
    """Reading, linking, delivering, deriving: none of it."""
    calls: list[tuple[str, dict[str, Any]]] = [
        ("open_version", {}),
        ("link", {}),
        ("deliver", {}),
        ("deliver", {"via": "proxy"}),
        ("deliver", {"via": "redirect"}),
        ("derivative", {"recipe": "small"}),
        ("open_derivative", {"recipe": "small"}),
    ]
    for name, more in calls:
        with pytest.raises(Quarantined):
            checking.do(name, version=ref, **more)


def test_who_was_refused_is_on_record(checking: Checking) -> None:
    """Trying to read what is in quarantine leaves a trace."""
    version = checking.put(b"who knows", slot="checked")
    with pytest.raises(Quarantined):
        checking.do("open_version", version=version.ref)
    (record,) = checking.events("access.denied")
    assert (record.outcome, record.after["reason"], record.after["version"]) == ("denied", "quarantined", version.ref)
    assert checking.events("attachments.read") == []


def test_a_check_that_breaks_finds_nothing(checking: Checking, caplog: pytest.LogCaptureFixture) -> None:
    """A bug in a scanner loses no upload and clears none."""
    checking.scanner.error = ZeroDivisionError()
    version = checking.put(b"who knows", slot="checked")
    assert "a check of uploaded content failed" in caplog.text
    assert list(checking.waiting()) == [version.ref]


def test_a_link_ends_when_content_is_found_bad(checking: Checking) -> None:
    """A later verdict counts for what is out already, and for every version with the same content."""
    checking.scanner.finds("clean")
    first, second = (checking.put(b"the same", slot=slot) for slot in ("checked", "file"))
    with checking.mall.begin(ME) as ctx:
        link = attachments.link(ctx, version=first.ref, to="anyone")
        attachments.open_link(ctx, token=link.token)
    checking.say(second.ref, "bad", check="police")
    for ref in (first.ref, second.ref):
        refused_everywhere(checking, ref)
    with checking.mall.begin(ME) as ctx, pytest.raises((LinkRefused, Quarantined)):
        attachments.open_link(ctx, token=link.token)
    assert checking.waiting() == dict.fromkeys(sorted((first.ref, second.ref)), "the check police found it bad")


def test_only_a_manager_clears_what_was_found_bad(checking: Checking) -> None:
    """No scan at another upload does; who manages attachments does, by name, and that is on record."""
    version = checking.put(b"disputed", slot="file")
    checking.say(version.ref, "bad")
    checking.scanner.finds("clean")
    with pytest.raises(ContentRefused):
        checking.put(b"disputed", slot="file")
    refused_everywhere(checking, version.ref)
    checking.say(version.ref, "unsure")
    checking.say(version.ref, "clean")
    assert checking.read(version.ref) == b"disputed"
    assert checking.put(b"disputed", slot="checked").digest == version.digest
    history = [(one.before or {}).get("result") for one in reversed(checking.events("attachments.verdict_recorded"))]
    assert history == [None, "bad", "unsure", "clean"]


def test_a_later_scan_may_find_bad_what_was_clean(checking: Checking) -> None:
    """Signatures get better: what is brought again is checked again, and what was there goes into quarantine."""
    checking.scanner.finds("clean")
    version = checking.put(b"sleeper", slot="checked")
    checking.scanner.finds("bad")
    with pytest.raises(ContentRefused):
        checking.put(b"sleeper", slot="file")
    refused_everywhere(checking, version.ref)


def test_a_content_can_be_judged_before_it_comes(checking: Checking) -> None:
    """By its digest and its unit: a list of what is known to be bad can be recorded beforehand."""
    version = checking.put(b"known", slot="file")
    with checking.mall.begin(ME) as ctx:
        unit = attachments.get_version(ctx, version=version.ref).unit_id
    for digest in (version.digest, DIGEST):
        said = checking.do("record_verdict", digest=digest, unit=unit, check="list", result="bad", tool="a list")
        assert (said.digest, said.unit_id) == (digest, unit)
    refused_everywhere(checking, version.ref)


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"version": "att_1@1", "digest": DIGEST},
        {"digest": DIGEST},
        {"version": "att_1@1", "check": "A b"},
        {"version": "att_1@1", "result": "good"},
        {"version": "att_1@1", "tool": ""},
        {"digest": "xyz", "unit": "main"},
    ],
)
def test_a_wrong_verdict_is_refused(checking: Checking, given: dict[str, Any]) -> None:
    """One content, one of three results, a name that slots can list."""
    with pytest.raises((InvalidInput, UnknownVersion)):
        checking.do("record_verdict", **{"check": "virus", "result": "clean", "tool": "x", **given})


def test_verdicts_are_for_those_who_manage(checking: Checking) -> None:
    """Who may upload may not clear what was uploaded; lists show what lies in one's reach."""
    version = checking.put(b"who knows", slot="checked")
    ada, eve = Principal.user("ada"), Principal.user("eve")
    with checking.mall.begin(ME) as ctx:
        access.set_role(ctx, role="uploader", permissions=["attachments.read", "attachments.write"])
        access.set_role(ctx, role="warden", permissions=["attachments.read", "attachments.manage"])
        access.grant(ctx, principal=ada.ref, role="uploader", scope="channel", channel="books")
        access.grant(ctx, principal=eve.ref, role="warden", scope="channel", channel="books")
    with checking.mall.begin(ada) as ctx, pytest.raises(Denied):
        attachments.record_verdict(ctx, version=version.ref, check="virus", result="clean", tool="x")
    with checking.mall.begin(ada) as ctx, pytest.raises(Denied):
        attachments.list_quarantined(ctx)
    with checking.mall.begin(eve) as ctx:
        assert [one.version for one in attachments.list_quarantined(ctx).items] == [version.ref]
        attachments.record_verdict(ctx, version=version.ref, check="virus", result="clean", tool="x")


def test_the_quarantine_is_listed_page_by_page(checking: Checking) -> None:
    """Each version once, in an order that stays."""
    refs = sorted(checking.put(b"%d" % n, slot="checked").ref for n in range(5))
    found: list[str] = []
    cursor = None
    while True:
        page = checking.do("list_quarantined", limit=2, cursor=cursor)
        found += [one.version for one in page.items]
        cursor = page.next
        if cursor is None:
            break
    assert found == refs


def test_a_finding_is_one_of_three() -> None:
    """A plug-in that says anything else has found nothing."""
    for check, result in (("virus", "good"), ("Virus!", "clean"), ("", "clean"), ("x" * 41, "clean")):
        with pytest.raises(ValueError, match="no finding"):
            Finding(check, result, "x")  # type: ignore[arg-type]


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    """Where something answers like clamd."""
    with clamd.answering(tmp_path) as found:
        yield found


def test_clamd_finds_what_it_knows(address: str, database_url: str) -> None:
    """An upload is streamed to it; what it finds is refused, what it does not find is served."""
    house = Checking(database_url, ClamAV(address))
    big = b"harmless " * 60_000
    assert house.read(house.put(big, slot="checked").ref) == big
    with pytest.raises(ContentRefused):
        house.put(b"before " + clamd.TEST_VIRUS, slot="file")
    results = {(row.result, row.detail) for row in house.rows("mall_attachment_verdict")}
    assert results == {("clean", None), ("bad", "Eicar-Signature")}
    assert all(row.tool.startswith("ClamAV") for row in house.rows("mall_attachment_verdict"))
    assert house.read(house.put(b"", slot="checked").ref) == b""
    house.close()


def test_what_is_too_large_for_clamd_is_unsure(address: str, database_url: str) -> None:
    """By its own limit or by ours: nobody has looked at all of it, so it waits."""
    house = Checking(database_url, ClamAV(address))
    ours = ClamAV(address, largest=10)
    version = house.put(bytes(clamd.LIMIT * 3), slot="checked")
    assert house.waiting() == {version.ref: "the check virus could not tell"}
    (finding,) = ours.attachments_verdict_extra(BytesIO(bytes(11)), Facts(11, "x/y"), CHECKED)
    assert finding.result == "unsure"
    house.close()


def test_a_clamd_that_is_down_clears_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The upload goes through, and waits; when it is checked by hand, it is served."""
    house = Checking(f"sqlite:///{tmp_path}/mall.db", ClamAV(f"unix://{tmp_path}/nobody.sock"))
    version = house.put(b"who knows", slot="checked")
    assert "gave no verdict" in caplog.text
    assert house.waiting() == {version.ref: "the check virus is not done"}
    house.say(version.ref, "clean")
    assert house.read(version.ref) == b"who knows"
    house.close()


ANSWERS: dict[str, bytes] = {
    "nothing": b"",
    "half of an answer": b"stream: OK",
    "an error": b"stream: Can't allocate memory ERROR\0",
    "rubbish": b"\xff\xfe\0",
    "another protocol": b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "no end": b"x" * 100_000,
    "an answer that only begins well": b"stream: OK and more\0",
}


@pytest.mark.parametrize("what", ANSWERS)
def test_an_answer_that_says_nothing_is_no_verdict(what: str) -> None:
    """Only what clamd says to the letter counts, whatever is at the other end."""
    server = clamd.Speaking(socket.AF_INET, ("127.0.0.1", 0))
    server.answer = lambda connection, _: connection.sendall(ANSWERS[what])
    checker = ClamAV(f"tcp://127.0.0.1:{server.name[1]}", seconds=5)
    try:
        with pytest.raises((Unanswered, OSError)):
            checker.scan(BytesIO(b"x"))
        assert checker.attachments_verdict_extra(BytesIO(b"x"), Facts(1, "x/y"), CHECKED) == []
    finally:
        server.stop()


def test_a_clamd_that_hangs_is_left() -> None:
    """The time limit is one for the whole scan: a peer that says a byte now and then does not get more."""

    def drip(connection: socket.socket, _: bytes) -> None:
        for sign in b"stream: OK and so on, and so on":
            connection.sendall(bytes([sign]))
            time.sleep(0.1)

    server = clamd.Speaking(socket.AF_INET, ("127.0.0.1", 0))
    server.answer = drip
    try:
        with pytest.raises(TimeoutError):
            ClamAV(f"tcp://127.0.0.1:{server.name[1]}", seconds=0.5).scan(BytesIO(b"x"))
    finally:
        server.stop()


@pytest.mark.parametrize(
    "wrong", ["", "127.0.0.1:3310", "tcp://", "tcp://x", "tcp://x:y", "tcp://x:99999", "http://x:1", "unix://x"]
)
def test_a_wrong_address_is_refused_at_once(wrong: str) -> None:
    """Nobody finds out at the first upload that nothing is ever checked."""
    with pytest.raises(InvalidSettings):
        ClamAV(wrong)


def test_slots_may_be_left_out_of_a_check(address: str) -> None:
    """Content of the slots that are not named is not sent anywhere."""
    checker = ClamAV(address, slots=["checked"])
    facts = Facts(1, "x/y")
    assert checker.attachments_verdict_extra(BytesIO(b"x"), facts, Slot("other")) == []
    assert len(checker.attachments_verdict_extra(BytesIO(b"x"), facts, CHECKED)) == 1
