"""Bodies that are read while they come, and contents that are sent piece by piece."""

import io
import itertools
from dataclasses import dataclass, field
from typing import BinaryIO

import pytest

from mallcore.api import Chunks, Refused, Request
from mallcore.api.bodies import Body, Paced, length_of
from mallcore.api.deliveries import delivered
from tests.api.conftest import Asking


class Wire:
    """A source that gives what it has in pieces, and then ends, is cut, or falls silent."""

    def __init__(self, *pieces: bytes, then: Exception | None = None) -> None:
        self._pieces = list(pieces)
        self._then = then

    def read(self, size: int, /) -> bytes:
        if not self._pieces and self._then is not None:
            raise self._then
        piece = self._pieces.pop(0) if self._pieces else b""
        if len(piece) > size:
            self._pieces.insert(0, piece[size:])
        return piece[:size]


def test_a_body_is_read_to_its_end() -> None:
    """With a length no byte more is read than was announced; without one, to the end."""
    assert Body(Wire(b"abc", b"def"), 5, 100).read() == b"abcde"
    assert Body(Wire(b"abc", b"def"), None, 100).read(4) == b"abc"
    assert Body(Wire(), 0, 100).read(10) == b""


@pytest.mark.parametrize(
    ("source", "length", "status"),
    [
        (Wire(b"abc"), 5, 400),
        (Wire(b"abc", then=ConnectionError()), 5, 400),
        (Wire(b"abc", then=TimeoutError()), None, 408),
        (Wire(b"a" * 11), None, 413),
    ],
)
def test_a_body_that_breaks_off_is_refused(source: Wire, length: int | None, status: int) -> None:
    """Short, cut, silent or too much: each has its status, and what was read counts for nothing."""
    with pytest.raises(Refused) as caught:
        Body(source, length, 10).read()
    assert caught.value.status == status


def dripping(bytes_each: int, seconds_each: float) -> Paced:
    """A source that brings so many bytes after so many seconds, again and again."""
    times = itertools.count()

    def clock() -> float:
        return (next(times) + 1) // 2 * seconds_each  # it is asked before and behind each piece

    return Paced(Wire(*[b"x" * bytes_each] * 100), patience=10, slowest=100, clock=clock)


def test_a_client_may_be_slow_but_not_for_ever() -> None:
    """Now and then a pause, yes; a byte a second to keep a place, no: 408 long before a limit on bytes ends it."""
    assert len(Body(dripping(900, 9.0), None, 1 << 20).read()) == 90_000
    with pytest.raises(Refused) as caught:
        Body(dripping(1, 1.0), None, 1 << 20).read()
    assert caught.value.status == 408


@pytest.mark.parametrize("header", ["", "-1", "1e3", "٣", "9" * 30])
def test_lengths_that_are_none(header: str) -> None:
    """What is no number of bytes announces nothing."""
    assert length_of(header) is None


@dataclass
class Sent:
    """An operation's answer, as the API sees it."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: BinaryIO | None = None


def test_a_content_is_closed_in_all_cases() -> None:
    """Read to its end, given up half-way, not asked for, or refused because a header can't be sent."""
    read, left, head, bad = (io.BytesIO(b"x" * 300_000) for _ in range(4))
    response = delivered("GET", Sent(headers={"Content-Length": "300000"}, body=read))
    assert b"".join(response.chunks or ()) == b"x" * 300_000
    half = Chunks(left, None)
    next(half)
    half.close()
    assert list(half) == []
    assert delivered("HEAD", Sent(body=head)).chunks is None
    with pytest.raises(ValueError, match="can't be sent"):
        delivered("GET", Sent(headers={"X": "a\r\nSet-Cookie: b"}, body=bad))
    assert all(one.closed for one in (read, left, head, bad))


@pytest.mark.parametrize("length", [2, 4])
def test_a_content_of_another_length_breaks_off(length: int) -> None:
    """What is not as long as was said must not look whole."""
    body = io.BytesIO(b"abc")
    chunks = Chunks(body, length)
    with pytest.raises(OSError, match="not as long"):
        list(chunks)
    assert body.closed


def test_what_streams_is_known_before_it_is_read(ask: Asking) -> None:
    """An adapter learns which bodies to hand over as they come."""
    streams = ask.dispatch.streams_body
    assert streams(Request("POST", "/attachments"))
    assert streams(Request("PATCH", "/tus/upl_1"))
    assert not streams(Request("GET", "/attachments"))
    assert not streams(Request("POST", "/channels"))
    assert not streams(Request("POST", "/nowhere"))
    assert not streams(Request("POST", "/tus"))
    assert streams(Request("POST", "/tus", headers={"content-type": "application/offset+octet-stream"}))
