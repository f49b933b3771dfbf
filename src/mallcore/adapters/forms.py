"""Forms with a file (``multipart/form-data``), read piece by piece; every adapter gives this to its dispatch."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable
from typing import Any, BinaryIO, NoReturn, cast

from mallcore.adapters.trailing import Trailing
from mallcore.api import Form, Refused
from mallcore.errors import InvalidInput, LimitExceeded, MissingExtra

__all__ = ["read_form"]

MOST_PARTS = 50
LONGEST_FIELD = 64 << 10
LONGEST_HEADERS = 4 << 10  # of one part
_IN_MEMORY = 1 << 20
_PIECE = 1 << 18
logging.getLogger("python_multipart").addHandler(
    logging.NullHandler()
)  # what callers send wrong is no news of a host's


def read_form(content_type: str, body: BinaryIO, last: bool = False) -> Form:
    """The fields and the one file of a form. The file lies in a temporary file: fields may come behind it.

    If the file has to be the ``last``, it is a stream instead, and read while it comes.
    """
    try:
        from python_multipart import exceptions, multipart
    except ImportError as error:
        raise MissingExtra(what="A form with a file", extra="fastapi") from error
    _, options = multipart.parse_options_header(content_type.encode("latin-1", "replace"))
    boundary = options.get(b"boundary", b"")
    if not 0 < len(boundary) <= 70:
        raise _wrong("its Content-Type names no boundary")

    def feed() -> None:
        piece = body.read(_PIECE)
        if not piece:
            raise _wrong("it ends in the middle")
        try:
            parser.write(piece)
        except exceptions.FormParserError:
            raise _wrong("it is no multipart/form-data") from None

    reading = _Reading(multipart.parse_options_header, feed if last else None)
    parser = multipart.MultipartParser(boundary, cast(Any, reading.callbacks))
    try:
        while not (reading.over or reading.following):
            feed()
        return reading.form()
    except BaseException:
        reading.drop()
        raise


class _Reading:
    """What was read of a form so far; the parser calls it back, part by part."""

    def __init__(self, parsed: Any, feed: Callable[[], None] | None) -> None:
        self.over = False
        self._feed = feed
        self._parsed = parsed
        self._fields: list[tuple[str, str]] = []
        self._file: BinaryIO | None = None
        self._about: dict[str, Any] = {}
        self._parts = 0
        self._begin()

    def _begin(self) -> None:
        self._headers: dict[str, bytes] = {}
        self._name, self._value, self._size = b"", b"", 0
        self._field: str | None = None
        self._held = bytearray()

    @property
    def callbacks(self) -> dict[str, Any]:
        """What the parser calls."""
        return {
            "on_part_begin": self._part,
            "on_header_field": self._header_name,
            "on_header_value": self._header_value,
            "on_header_end": self._header,
            "on_headers_finished": self._opened,
            "on_part_data": self._data,
            "on_part_end": self._closed,
            "on_end": self._end,
        }

    def _part(self) -> None:
        self._begin()
        self._parts += 1
        if self.following:
            raise _wrong("its file must be the last field")
        if self._parts > MOST_PARTS:
            _too_large("the number of parts", self._parts, MOST_PARTS)

    def _header_name(self, data: bytes, start: int, end: int) -> None:
        self._name += self._counted(data[start:end])

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += self._counted(data[start:end])

    def _counted(self, piece: bytes) -> bytes:
        self._size += len(piece)
        if self._size > LONGEST_HEADERS:
            _too_large("the headers of a part, in bytes", self._size, LONGEST_HEADERS)
        return piece

    def _header(self) -> None:
        self._headers[self._name.decode("latin-1").lower()] = self._value
        self._name, self._value = b"", b""

    def _opened(self) -> None:
        kind, options = self._parsed(self._headers.get("content-disposition", b""))
        if kind != b"form-data" or not options.get(b"name"):
            raise _wrong("a part of it has no name")
        if b"filename" not in options:
            self._field = _text(options[b"name"])
            return
        if self._file is not None:
            raise _wrong("it has more than one file")
        self._file = self._kept()
        said = self._headers.get("content-type")
        self._about = {
            "field": _text(options[b"name"]),
            "file_name": _text(options[b"filename"]),
            "content_type": None if said is None else _text(said),
        }

    def _kept(self) -> BinaryIO:
        if self._feed is not None:
            return cast(BinaryIO, Trailing(self._feed, lambda: self.over))
        return cast(BinaryIO, tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY))

    @property
    def following(self) -> bool:
        """Whether all is known but the file, which follows."""
        return isinstance(self._file, Trailing)

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._field is None:
            assert self._file is not None
            keep = self._file.take if isinstance(self._file, Trailing) else self._file.write
            keep(memoryview(data)[start:end])
            return
        self._held += data[start:end]
        if len(self._held) > LONGEST_FIELD:
            _too_large(f"the field {self._field[:80]!r}, in bytes", len(self._held), LONGEST_FIELD)

    def _closed(self) -> None:
        if self._field is not None:
            self._fields.append((self._field, _text(bytes(self._held))))

    def _end(self) -> None:
        self.over = True

    def form(self) -> Form:
        """The whole."""
        if self._file is None:
            raise _wrong("it has no file")
        if not self.following:
            self._file.seek(0)
        return Form(self._fields, self._file, **self._about)

    def drop(self) -> None:
        """Throw away what was read."""
        if self._file is not None:
            self._file.close()


def _text(found: bytes) -> str:
    try:
        return found.decode()
    except UnicodeDecodeError:
        raise _wrong("a name or a field of it is not UTF-8") from None


def _wrong(reason: str) -> Refused:
    return Refused(400, InvalidInput(field="body", reason=reason))


def _too_large(what: str, actual: int, limit: int) -> NoReturn:
    raise Refused(413, LimitExceeded(what=what, actual=actual, limit=limit))
