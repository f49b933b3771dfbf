"""A check for viruses by ClamAV: uploads are streamed to a clamd, which somebody else runs.

``Mall.open(plugins=[ClamAV("tcp://127.0.0.1:3310")], slots=[Slot("upload", verdicts=("virus",), …)])``. Where clamd
does not answer, or not in time, nothing was found: what needs the check stays in quarantine until it is done.
"""

from __future__ import annotations

import logging
import re
import socket
import time
from collections.abc import Iterable
from typing import BinaryIO
from urllib.parse import urlsplit

from mallcore.attachments import Facts, Finding, Slot
from mallcore.errors import InvalidSettings
from mallcore.kernel.hooks import hookimpl

__all__ = ["ClamAV"]

log = logging.getLogger("mallcore")
CHECK = "virus"
_PIECE = 1 << 17
_LONGEST = 4096  # bytes of an answer
_FOUND = re.compile(r"(?:stream|instream[^:]*): (.{1,300}) FOUND", re.IGNORECASE | re.DOTALL)


class ClamAV:
    """A plug-in: asks the clamd at ``tcp://host:port`` or ``unix:///path/of/socket`` about every upload.

    ``slots`` names those whose uploads are checked (all, unless it is given). Content larger than ``largest`` is not
    sent, and the verdict on it is ``unsure``: set it to clamd's own StreamMaxLength. A scan may take ``seconds``.
    """

    def __init__(
        self, address: str, *, seconds: float = 60.0, largest: int = 100 << 20, slots: Iterable[str] | None = None
    ) -> None:
        self.address = address
        self.seconds = seconds
        self.largest = largest
        self.slots = None if slots is None else frozenset(slots)
        self._where = _where(address)

    def __repr__(self) -> str:
        return f"<ClamAV at {self.address}>"

    @hookimpl
    def attachments_verdict_extra(self, content: BinaryIO, facts: Facts, slot: Slot) -> list[Finding]:
        """The verdict of clamd, or none when it can't be had."""
        if self.slots is not None and slot.name not in self.slots:
            return []
        if facts.size > self.largest:
            return [Finding(CHECK, "unsure", "ClamAV", f"it is larger than {self.largest} bytes and was not checked")]
        content.seek(0)
        try:
            return [self.scan(content)]
        except (OSError, Unanswered) as error:
            log.warning("ClamAV at %s gave no verdict: %s", self.address, error)
            return []

    def scan(self, content: BinaryIO) -> Finding:
        """Ask about a content, from where the stream stands; raises OSError or `Unanswered` when there is no answer."""
        until = time.monotonic() + self.seconds
        tool = self._asked(b"zVERSION\0", None, until)[:200] or "ClamAV"
        return _finding(self._asked(b"zINSTREAM\0", content, until), tool)

    def _asked(self, command: bytes, content: BinaryIO | None, until: float) -> str:
        with _connected(self._where, until) as connection:
            _send(connection, command, until)
            try:
                while content is not None and (piece := content.read(_PIECE)):
                    _send(connection, len(piece).to_bytes(4, "big") + piece, until)
                if content is not None:
                    _send(connection, bytes(4), until)
            except (BrokenPipeError, ConnectionResetError):
                pass  # it has heard enough, of a content over its limit say: what it answered may still be read
            return _answer(connection, until)


class Unanswered(Exception):
    """clamd gave no answer that says anything."""


def _where(address: str) -> tuple[str, int] | str:
    """Host and port, or the path of a socket."""
    found = urlsplit(address)
    try:
        port = found.port
    except ValueError:
        port = None
    if found.scheme == "tcp" and found.hostname and port:
        return found.hostname, port
    if found.scheme == "unix" and found.path.startswith("/"):
        return found.path
    raise InvalidSettings(
        setting="ClamAV", reason="its address is such as tcp://127.0.0.1:3310 or unix:///run/clamd.sock"
    )


def _connected(where: tuple[str, int] | str, until: float) -> socket.socket:
    if isinstance(where, tuple):
        return socket.create_connection(where, timeout=min(5.0, _left(until)))
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(min(5.0, _left(until)))
        connection.connect(where)
    except BaseException:
        connection.close()
        raise
    return connection


def _left(until: float) -> float:
    """How long may still be waited; a peer that says a byte now and then does not get more."""
    left = until - time.monotonic()
    if left <= 0:
        raise TimeoutError("it takes too long")
    return left


def _send(connection: socket.socket, data: bytes, until: float) -> None:
    connection.settimeout(_left(until))
    connection.sendall(data)


def _answer(connection: socket.socket, until: float) -> str:
    """What it says, up to the zero byte that ends it."""
    said = b""
    while b"\0" not in said and len(said) < _LONGEST:
        connection.settimeout(_left(until))
        piece = connection.recv(_LONGEST)
        if not piece:
            break
        said += piece
    text, end, _ = said.partition(b"\0")
    if not end:  # cut off: half of "stream: OK" says nothing
        raise Unanswered(f"its answer was cut off after {len(said)} bytes")
    return text.decode("utf-8", "replace").strip()


def _finding(answer: str, tool: str) -> Finding:
    found = _FOUND.fullmatch(answer)
    if found:
        return Finding(CHECK, "bad", tool, found[1])
    if answer == "stream: OK":
        return Finding(CHECK, "clean", tool)
    if "size limit exceeded" in answer:
        return Finding(CHECK, "unsure", tool, answer[:300])
    raise Unanswered(f"it said {answer[:100]!r}")
