"""Logs of edges: every access there is on record once, and known to whom its link was given."""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from typing import ClassVar

import pytest

from mallcore import Principal, audit
from mallcore.errors import InvalidInput, LimitExceeded
from mallcore.kernel.events import Event
from tests.audit.conftest import ADA, Log
from tests.audit.test_rules import CLOUDFRONT, S3

HEADER, LINE = CLOUDFRONT.rsplit("\n", 2)[0] + "\n", CLOUDFRONT.rsplit("\n", 2)[1]


def link(log: Log, jti: str) -> None:
    """Give Ada a link."""
    with log.mall.begin(ADA) as ctx:
        ctx.record(Event(subject="att_1@2", details={"jti": jti}))


@dataclass(frozen=True, slots=True, kw_only=True)
class Redirected(Event):
    """Somebody was sent to the edge."""

    name: ClassVar[str] = "test.redirected"


def test_who_was_sent_there_counts_before_who_made_the_link(log: Log) -> None:
    """An access is matched to the one who was sent to the edge, not to the maker of the link, nor to one refused."""
    with log.mall.begin(Principal.user("maker")) as ctx:
        ctx.record(Event(subject="att_1@2", details={"jti": "abc"}))
    for who in (ADA, Principal.user("later")):
        with log.mall.begin(who) as ctx:
            ctx.record(Redirected(subject="att_1@2", details={"jti": "abc"}))
    assert log.call(audit.ingest, data=CLOUDFRONT.encode()).matched == 1
    assert log.records(event="audit.edge_access")[0].principal == ADA.ref


def line(jti: str, request: str, status: int = 200, address: str = "192.0.2.10") -> str:
    """A line of CloudFront's."""
    changed = LINE.replace("x-mall-jti=abc", f"x-mall-jti={jti}" if jti else "-").replace("request-1==", request)
    return changed.replace("\t200\t", f"\t{status}\t").replace("192.0.2.10", address) + "\n"


def test_accesses_are_matched_by_their_links(log: Log) -> None:
    """A line whose link we gave is on record under who got it; one without a link, or with none of ours, says so."""
    link(log, "abc")
    text = HEADER + line("abc", "r1") + line("", "r2", 403) + line("forged", "r3", address="192.0.2.99")
    done = log.call(audit.ingest, data=gzip.compress(text.encode()))
    assert (done.lines, done.matched, done.unmatched, done.forged, done.bad, done.known) == (3, 1, 1, 1, 0, 0)
    forged, unmatched, matched = log.records(event="audit.edge_access")
    assert (matched.principal, matched.subject, matched.outcome, matched.jti) == (ADA.ref, "att_1@2", "ok", "abc")
    assert (matched.after["path"], matched.after["bytes"], matched.after["link"]) == ("/att/a.png", 1045, "matched")
    assert matched.after["record"] == log.records(jti="abc")[-1].id
    assert matched.personal == {"address": "192.0.2.10", "user_agent": "Mozilla/5.0 (X11)"}
    assert (unmatched.principal, unmatched.outcome, unmatched.after["link"]) == ("anonymous:*", "denied", "unmatched")
    assert (forged.jti, forged.after["link"], forged.personal["address"]) == ("forged", "forged", "192.0.2.99")
    assert log.call(audit.verify).waiting == 0
    log.call(audit.erase_subject, principal="address:192.0.2.99")
    log.call(audit.erase_subject, principal=ADA.ref)
    assert [one.personal is None for one in log.records(event="audit.edge_access")] == [True, False, True]


def test_a_line_is_taken_in_once(log: Log) -> None:
    """The same file, a longer one, or a file that has a line twice adds only what is new."""
    first, more = HEADER + line("", "r1") + line("", "r2"), HEADER + line("", "r2") + line("", "r3") + line("", "r3")
    assert log.call(audit.ingest, data=first.encode()).unmatched == 2
    again = log.call(audit.ingest, data=gzip.compress(first.encode()))
    assert (again.lines, again.known, again.unmatched) == (2, 2, 0)
    third = log.call(audit.ingest, data=more.encode())
    assert (third.known, third.unmatched) == (2, 1)
    assert len(log.records(event="audit.edge_access")) == 3


def test_bad_lines_are_left_out_and_named(log: Log) -> None:
    """Lines that are none of the format are counted and named by their number; the others are taken in."""
    text = HEADER + "nonsense\n" + line("", "r1") + "a\tb\n"
    done = log.call(audit.ingest, data=text.encode())
    assert (done.lines, done.bad, done.unmatched) == (3, 2, 1)
    assert [one.line for one in done.problems] == [3, 5]
    assert all(one.reason for one in done.problems)


def test_many_bad_lines_are_counted(log: Log) -> None:
    """All bad lines are counted, and the first hundred named."""
    done = log.call(audit.ingest, data=b"x\n" * 1000)
    assert (done.bad, len(done.problems)) == (1000, 100)


def test_logs_of_the_store_are_taken_in(log: Log) -> None:
    """S3's server access logs are matched as CloudFront's are."""
    link(log, "abc")
    assert log.call(audit.ingest, data=S3.encode(), format="s3").matched == 1
    assert log.records(event="audit.edge_access")[0].after["method"] == "GET"


def test_many_lines_are_taken_in(log: Log) -> None:
    """A log of many batches is on record line by line."""
    text = HEADER + "".join(line("", f"r{number}") for number in range(1000))
    assert log.call(audit.ingest, data=text.encode()).unmatched == 1000
    assert log.call(audit.verify).size == 1003


def test_what_is_no_log_is_refused(log: Log) -> None:
    """A packed file that is cut, an unknown format, or a line beyond the limit changes nothing."""
    with pytest.raises(InvalidInput):
        log.call(audit.ingest, data=gzip.compress(CLOUDFRONT.encode())[:-9])
    with pytest.raises(InvalidInput):
        log.call(audit.ingest, data=b"", format="apache")
    assert log.records(event="audit.edge_access") == []
    assert issubclass(LimitExceeded, InvalidInput)
