"""Server-sent events from a change stream: frames, heartbeats, and how many may be open at once."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from mallcore.errors import MallError, Unavailable

log = logging.getLogger("mallcore.api")

RETRY_MS = 2000


class Changes(Protocol):
    """What a ``stream`` operation returns: items with a ``number``, in order."""

    def next(self, timeout: float = 0.0) -> list[Any]:
        """What was not given yet; waits up to ``timeout`` seconds for the first."""
        ...

    def subscribe(self, callback: Callable[[], None]) -> None:
        """Call this, from some thread, when there may be something to fetch."""
        ...

    def unsubscribe(self, callback: Callable[[], None]) -> None:
        """Call it no more."""
        ...


class EventStream:
    """A change stream as server-sent events.

    A server with threads iterates over it. One with an event loop sends `opening`, subscribes, and asks `fetch` (in a
    thread) whenever it is told to. Both close it.
    """

    opening = f"retry: {RETRY_MS}\n\n".encode()
    beat = b": still here\n\n"

    def __init__(
        self, changes: Changes, write: Callable[[Any], bytes], heartbeat: float, closed: Callable[[], None]
    ) -> None:
        self.heartbeat = heartbeat
        self._changes = changes
        self._write = write
        self._closed: Callable[[], None] | None = closed
        self._wakers: list[Callable[[], None]] = []
        self._lock = threading.Lock()

    @property
    def over(self) -> bool:
        """Whether it was closed."""
        return self._closed is None

    def subscribe(self, wake: Callable[[], None]) -> None:
        """Call ``wake``, from some thread, when there may be something to fetch, and when the stream is closed."""
        self._wakers.append(wake)
        self._changes.subscribe(wake)

    def fetch(self, timeout: float = 0.0) -> bytes:
        """The frames of what is new; nothing when there is nothing.

        When it fails, the stream ends: the caller comes back, and learns the reason from a problem document.
        """
        try:
            return b"".join(map(self._frame, self._changes.next(timeout)))
        except MallError as error:
            log.info("a stream ends: %s: %s", error.code, error)
        except Exception:
            log.exception("a stream ends")
        self.close()
        return b""

    def _frame(self, item: Any) -> bytes:
        return b"id: %d\nevent: revision\ndata: %b\n\n" % (item.number, self._write(item))

    def __iter__(self) -> Iterator[bytes]:
        yield self.opening
        while not self.over:
            frames = self.fetch(self.heartbeat)
            if not self.over:
                yield frames or self.beat

    def close(self) -> None:
        """End the stream and give its place to another. Harmless when done before."""
        with self._lock:
            closed, self._closed = self._closed, None
        if closed is None:
            return
        for wake in self._wakers:
            self._changes.unsubscribe(wake)
            wake()
        closed()


class Streams:
    """The streams that are open, and how many there may be."""

    def __init__(self, most: int, heartbeat: float) -> None:
        self._most = most
        self._heartbeat = heartbeat
        self._open: set[EventStream] = set()
        self._taken = 0
        self._lock = threading.Lock()

    def reserve(self) -> None:
        """Take a place for one more; `Unavailable` when all are taken. `cancel` gives it back unused."""
        with self._lock:
            if self._taken >= self._most:
                raise Unavailable(f"There are {self._most} streams open already: try again later.", limit=self._most)
            self._taken += 1

    def cancel(self) -> None:
        """Give back a place that was taken and not used."""
        with self._lock:
            self._taken -= 1

    def open(self, changes: Changes, write: Callable[[Any], bytes]) -> EventStream:
        """A stream in the place that was reserved; ``write`` makes the JSON of one item."""
        stream = EventStream(changes, write, self._heartbeat, lambda: self._forget(stream))
        with self._lock:
            self._open.add(stream)
        return stream

    def _forget(self, stream: EventStream) -> None:
        with self._lock:
            self._open.discard(stream)
            self._taken -= 1

    def close(self) -> None:
        """End all of them."""
        for stream in list(self._open):
            stream.close()

    def __len__(self) -> int:
        return self._taken
