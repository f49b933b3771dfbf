"""A receiver of webhooks: a real HTTP server in a thread, which answers as it is told and remembers what came."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Behave = Callable[[int], "tuple[int, dict[str, str]] | int"]


@dataclass(frozen=True)
class Received:
    """One request."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        """What receivers tell messages apart by."""
        return self.headers["webhook-id"]

    @property
    def told(self) -> dict[str, Any]:
        """The body."""
        found: dict[str, Any] = json.loads(self.body)
        return found


class Receiver:
    """The server, and what it received."""

    def __init__(self) -> None:
        self.received: list[Received] = []
        self.came = threading.Condition()
        self.answers: Behave = lambda number: 204
        """The status (and headers) of the answer to the request of this number, the first being 0."""
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                receiver.handle(self)

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self._thread = threading.Thread(target=lambda: self.server.serve_forever(0.01), daemon=True)
        self._thread.start()

    def handle(self, request: BaseHTTPRequestHandler) -> None:
        """Remember a request, and answer it."""
        body = request.rfile.read(int(request.headers.get("content-length", "0")))
        headers = {name.lower(): value for name, value in request.headers.items()}
        with self.came:
            number = len(self.received)
            self.received.append(Received(request.path, headers, body))
            self.came.notify_all()
        answer = self.answers(number)
        status, more = (answer, {}) if isinstance(answer, int) else answer
        request.send_response(status)
        for name, value in more.items():
            request.send_header(name, value)
        request.send_header("content-length", "0")
        request.end_headers()

    @property
    def url(self) -> str:
        """Where it receives."""
        return f"http://127.0.0.1:{self.server.server_address[1]}/hooks?shop=1"

    @property
    def names(self) -> list[str]:
        """The events that came, in their order."""
        return [one.told["type"] for one in self.received]

    @property
    def ids(self) -> list[str]:
        """The ids that came, in their order."""
        return [one.id for one in self.received]

    def wait(self, number: int) -> None:
        """Wait until so many requests came; without end when they never do: the run's own limit would tell."""
        with self.came:
            assert self.came.wait_for(lambda: len(self.received) >= number, timeout=60), self.received

    def close(self) -> None:
        """End it."""
        self.server.shutdown()
        self.server.server_close()
        self._thread.join()


@contextmanager
def receiving() -> Iterator[Receiver]:
    """A receiver for a block."""
    receiver = Receiver()
    try:
        yield receiver
    finally:
        receiver.close()
