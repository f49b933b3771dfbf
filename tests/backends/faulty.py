"""A network that fails: a TCP proxy before a real server, which cuts, hangs or answers by itself when it is told to."""

from __future__ import annotations

import contextlib
import re
import socket
import threading
from dataclasses import dataclass
from typing import Self

PIECE = 65_536


@dataclass(frozen=True)
class Fault:
    """What happens to a connection; nothing set: it passes."""

    answer: int | None = None
    """This HTTP status, without asking the server."""
    hang: bool = False
    """No answer at all."""
    request: int | None = None
    """After so many bytes of the request the connection is gone."""
    response: int | None = None
    """After so many bytes of the response the connection is gone."""


class FaultyNetwork:
    """``with FaultyNetwork(port) as network:`` listens at ``network.port``; ``network.next(fault, times)`` plans."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._plan: list[Fault] = []
        self.met = 0
        """How many connections met a fault."""
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self._open: list[socket.socket] = []
        self._threads: list[threading.Thread] = []

    def next(self, fault: Fault, times: int = 1000) -> None:
        """The next connections meet this fault, later ones pass."""
        self._plan, self.met = [fault] * times, 0

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        for one in self._open:
            _end(one)
        for thread in self._threads:
            thread.join(10)

    def _start(self, work: object, *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments, daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._socket.accept()
                self._open.append(client)
                fault = self._plan.pop() if self._plan else Fault()
                self.met += fault != Fault()
                self._start(self._serve, client, fault)

    def _serve(self, client: socket.socket, fault: Fault) -> None:
        if fault.hang:
            return
        if fault.answer is not None:
            with contextlib.suppress(OSError):
                _answer(client, fault.answer)
            _end(client)
            return
        server = socket.create_connection(("127.0.0.1", self._to))
        self._open.append(server)
        self._start(_pass_on, client, server, fault.request)
        _pass_on(server, client, fault.response)


def _pass_on(source: socket.socket, sink: socket.socket, limit: int | None) -> None:
    """Bytes of one direction; at the limit, or at the end, both are closed."""
    with contextlib.suppress(OSError):
        while limit is None or limit > 0:
            piece = source.recv(PIECE if limit is None else min(PIECE, limit))
            if not piece:
                break
            sink.sendall(piece)
            limit = None if limit is None else limit - len(piece)
        if limit == 0:
            source.recv(1)  # the answer was on its way when the line broke
    _end(source)
    _end(sink)


def _answer(client: socket.socket, status: int) -> None:
    head = b""
    while b"\r\n\r\n" not in head:
        piece = client.recv(PIECE)
        if not piece:
            return
        head += piece
    head, _, body = head.partition(b"\r\n\r\n")
    length = re.search(rb"(?im)^content-length: *(\d+)", head)
    if b"100-continue" in head.lower():
        client.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
    left = int(length[1]) - len(body) if length else 0
    while left > 0 and (piece := client.recv(PIECE)):
        left -= len(piece)
    client.sendall(b"HTTP/1.1 %d Faulty\r\nContent-Length: 0\r\nConnection: close\r\n\r\n" % status)


def _end(one: socket.socket) -> None:
    with contextlib.suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    one.close()
