"""Ranges, conditions and safe headers: what HTTP asks for, and what a browser must never be led to run."""

from __future__ import annotations

from base64 import b64encode
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mallcore.attachments.rules import conditional, ranges, serving
from mallcore.attachments.rules.conditional import Current
from mallcore.attachments.rules.ranges import Span
from mallcore.errors import RangeNotSatisfiable

SINCE = datetime(2026, 11, 24, 12, 0, 0, 700, UTC)
NOW = Current(conditional.etag_of("ab" * 32), SINCE)
DATE = conditional.http_date(SINCE)
EARLIER, LATER = (conditional.http_date(SINCE + timedelta(seconds=s)) for s in (-1, 1))


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, None), ("bytes=0-99", Span(0, 100)), ("bytes=100-", Span(100, 1000)), ("bytes=-100", Span(900, 1000)),
        ("bytes=0-0", Span(0, 1)), ("bytes=999-", Span(999, 1000)), ("bytes=900-5000", Span(900, 1000)),
        ("bytes=-5000", Span(0, 1000)), ("Bytes = 0-1", Span(0, 2)), ("bytes= 0-1 ", Span(0, 2)),
        ("bytes=5-4", None), ("bytes=", None), ("bytes=-", None), ("bytes=a-b", None), ("bytes=0-1,5-6", None),
        ("items=0-1", None), ("bytes=0-1;x", None), ("bytes=\u0660-\u0661", None), ("bytes=0x1-2", None), ("0-1", None),
    ],
)  # fmt: skip
def test_one_range_is_served(header: str | None, expected: Span | None) -> None:
    """One well-formed range is a part; everything else is answered with the whole."""
    assert ranges.asked_span(header, 1000) == expected


@pytest.mark.parametrize("header", ["bytes=1000-", "bytes=5000-6000", "bytes=-0", "bytes=" + "9" * 300 + "-"])
def test_a_range_beyond_the_content_is_refused(header: str) -> None:
    """A range that has no byte of the content is not satisfiable."""
    with pytest.raises(RangeNotSatisfiable):
        ranges.asked_span(header, 1000)


@pytest.mark.parametrize("header", ["bytes=" + ",".join(["0-"] * 5000), "bytes=" + "0-1," * 11 + "0-1", "x" * 500])
def test_thousands_of_ranges_are_refused_unread(header: str) -> None:
    """A header that no honest client sends is refused by its length or its commas."""
    with pytest.raises(RangeNotSatisfiable) as caught:
        ranges.asked_span(header, 1000)
    assert len(str(caught.value)) < 200


def test_an_empty_content_has_no_ranges() -> None:
    """Nothing can be asked of an empty content but the whole of it."""
    assert ranges.asked_span("bytes=-5", 0) is None
    with pytest.raises(RangeNotSatisfiable):
        ranges.asked_span("bytes=0-", 0)


@given(st.text(alphabet="bytes=0123456789-, ", max_size=30), st.integers(0, 50))
def test_no_header_leads_out_of_the_content(header: str, size: int) -> None:
    """Whatever is asked, a span lies within the content and is not empty."""
    try:
        span = ranges.asked_span("bytes=" + header, size)
    except RangeNotSatisfiable:
        return
    assert span is None or 0 <= span.start < span.end <= size


@given(st.integers(0, 99), st.integers(0, 99))
def test_every_part_is_what_was_asked(first: int, last: int) -> None:
    """``first-last`` is those bytes, both ends included."""
    span = ranges.asked_span(f"bytes={first}-{last}", 100)
    assert span == (Span(first, last + 1) if first <= last else None)
    if span is not None:
        assert ranges.content_range(span, 100) == f"bytes {first}-{last}/100"


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, "send"),
        ({"if-none-match": NOW.etag}, "not-modified"),
        ({"if-none-match": f"W/{NOW.etag}"}, "not-modified"),
        ({"if-none-match": f'"other", {NOW.etag}'}, "not-modified"),
        ({"if-none-match": "*"}, "not-modified"),
        ({"if-none-match": '"other"'}, "send"),
        ({"if-none-match": "ab" * 32}, "send"),
        ({"if-modified-since": DATE}, "not-modified"),
        ({"if-modified-since": LATER}, "not-modified"),
        ({"if-modified-since": EARLIER}, "send"),
        ({"if-modified-since": "yesterday"}, "send"),
        ({"if-none-match": '"other"', "if-modified-since": LATER}, "send"),
        ({"if-match": NOW.etag}, "send"),
        ({"if-match": "*"}, "send"),
        ({"if-match": f"W/{NOW.etag}"}, "failed"),
        ({"if-match": '"other"'}, "failed"),
        ({"if-unmodified-since": EARLIER}, "failed"),
        ({"if-unmodified-since": DATE}, "send"),
        ({"if-match": NOW.etag, "if-none-match": NOW.etag}, "not-modified"),
    ],
)
def test_conditions_count_in_their_order(headers: dict[str, str], expected: str) -> None:
    """The headers of RFC 9110 decide as it says, and one that is none decides nothing."""
    assert conditional.answer(headers, NOW) == expected


def test_a_date_counts_only_for_reading() -> None:
    """If-Modified-Since is about GET and HEAD."""
    assert conditional.answer({"if-modified-since": DATE}, NOW, "PUT") == "send"
    assert conditional.answer({"if-modified-since": DATE}, NOW, "HEAD") == "not-modified"


@pytest.mark.parametrize(
    ("condition", "counts"),
    [(NOW.etag, True), ('"other"', False), (f"W/{NOW.etag}", False), (DATE, True), (LATER, False), ("junk", False)],
)
def test_a_part_is_sent_only_of_the_same_content(condition: str, counts: bool) -> None:
    """If-Range compares strongly: else the whole is sent."""
    assert conditional.range_counts({"if-range": condition}, NOW) is counts
    assert conditional.range_counts({}, NOW)


@given(st.dictionaries(st.sampled_from(["if-match", "if-none-match", "if-modified-since", "if-range"]), st.text()))
def test_no_header_breaks_a_condition(headers: dict[str, str]) -> None:
    """Whatever stands in them, there is an answer."""
    assert conditional.answer(headers, NOW) in ("send", "not-modified", "failed")
    assert conditional.range_counts(headers, NOW) in (True, False)


SCRIPTABLE = [
    "text/html", "text/html; charset=utf-8", "TEXT/HTML", "application/xhtml+xml", "image/svg+xml", "text/xml",
    "application/xml", "application/rss+xml", "text/javascript", "application/javascript", "application/ecmascript",
    "application/x-shockwave-flash", "application/java-archive", "application/wasm", "application/postscript",
    "text/cache-manifest", "application/mathml+xml", "multipart/related", "message/rfc822", "text/xsl",
    "application/x-httpd-php-script", "application/hta", "image/png\r\nX: y", "nonsense", "", "*/*",
]  # fmt: skip


@pytest.mark.parametrize("detected", SCRIPTABLE)
def test_what_could_run_is_nameless_bytes(detected: str) -> None:
    """HTML, SVG, XML and their kin go out as bytes to be kept, whatever the link asks for."""
    headers = serving.safe_headers(detected, "inline", "x.svg")
    assert headers["Content-Type"] == serving.UNKNOWN
    assert headers["Content-Disposition"].startswith("attachment")


@pytest.mark.parametrize("detected", sorted(serving.INLINE))
def test_pictures_may_be_shown(detected: str) -> None:
    """What is on the inline list is shown when asked, and downloaded when asked."""
    for asked in ("inline", "attachment"):
        headers = serving.safe_headers(detected, asked, "x")  # type: ignore[arg-type]
        assert (headers["Content-Type"], headers["Content-Disposition"].partition(";")[0]) == (detected, asked)


@pytest.mark.parametrize("detected", ["text/plain", "application/zip", "video/mp4", "text/csv", "image/x-unheard-of"])
def test_everything_else_is_downloaded(detected: str) -> None:
    """A harmless type keeps its name and is kept, not shown."""
    headers = serving.safe_headers(detected, "inline", "x")
    assert (headers["Content-Type"], headers["Content-Disposition"].partition(";")[0]) == (detected, "attachment")


def test_no_content_leaves_without_its_guards() -> None:
    """Every answer forbids sniffing and scripts; only what is public may be shown in others' pages."""
    headers = serving.safe_headers("image/png", "inline", "x")
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Content-Security-Policy"] == "sandbox; default-src 'none'"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cross-Origin-Resource-Policy"] == "same-site"
    public = serving.safe_headers("image/png", "inline", "x", public=True)
    assert public["Cross-Origin-Resource-Policy"] == "cross-origin"


@given(st.text())
def test_a_file_name_never_breaks_its_header(name: str) -> None:
    """Whatever a file is called, its header is one line of ASCII with balanced quotes, and no path."""
    header = serving.content_disposition("attachment", name)
    assert header.isascii()
    assert header.isprintable()
    assert header.count('"') == 2
    assert "/" not in header.partition("; filename*=")[0]
    path = serving.public_path("att_1", 1, name)
    assert path.rpartition("/")[2].strip("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") == ""
    assert path.count("/") == 4
    assert not path.endswith(("/", "/.", "/.."))


def test_a_name_looks_like_what_it_is() -> None:
    """Marks that turn text around, line breaks and paths are taken out of a name."""
    assert serving.shown_name("gn\u202ep.exe") == "gnp.exe"
    assert serving.shown_name("..\\..\\etc/passwd") == "passwd"
    assert serving.shown_name("a\r\nSet-Cookie: x") == "aSet-Cookie: x"
    assert serving.shown_name("...") == "file"
    assert serving.content_disposition("inline", "€.png") == "inline; filename=\"png\"; filename*=UTF-8''%E2%82%AC.png"


def test_a_digest_is_written_as_the_standard_has_it() -> None:
    """SHA-256 as a structured field (RFC 9530)."""
    assert serving.digest_header("ab" * 32) == f"sha-256=:{b64encode(bytes([0xAB] * 32)).decode()}:"
