"""The dispatcher: what waits in the outbox is spread, claimed and sent, by as many processes and threads as there are.

No subscription has two threads, so its order is kept as long as all goes well; those that fail, and those of one host,
have at most half of the threads, so that a slow receiver does not hold up the others.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from urllib.parse import urlsplit

from mallcore.errors import MissingExtra
from mallcore.webhooks.hooks import Sender
from mallcore.webhooks.operations.claiming import Claim, Endpoint, claim, waiting
from mallcore.webhooks.operations.outbox import Interest
from mallcore.webhooks.operations.sending import ME, Begin, Sending, log
from mallcore.webhooks.operations.spreading import MOST_DROPPED, forget_old, spread


class Dispatcher:
    """Sends what waits. One for each mall; `tick` returns at once, `deliver` when there is nothing left to do now."""

    def __init__(
        self,
        begin: Begin,
        sender: Callable[[], Sender | None],
        *,
        threads: int = 8,
        days: int = 7,
        failing_days: int = 3,
    ) -> None:
        self._begin = begin
        self._find = sender
        self._sender: Sender | None = None
        self._threads = threads
        self._days = days
        self._failing_days = failing_days
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._pool: ThreadPoolExecutor | None = None
        self._busy: dict[str, Endpoint] = {}
        self._under_way: set[Future[int]] = set()

    def tick(self) -> list[Future[int]]:
        """Spread what came, and begin to send what is due with the threads that are free."""
        with self._begin(ME) as ctx:
            if self._stop.is_set() or not ctx.port(Interest).anybody(ctx):
                return []
            spread(ctx)
        endpoints, begun = self._chosen(), []
        sender = self._found() if endpoints else None
        for endpoint in endpoints:
            with self._begin(ME) as ctx:
                held = claim(ctx, endpoint.id)
            if held is not None and sender is not None:
                begun.append(self._start(endpoint, held, sender))
        return begun

    def deliver(self) -> int:
        """Send what is due until nothing is; returns how many attempts were made."""
        made = 0
        while True:
            begun = self.tick()
            with self._lock:
                pending = set(self._under_way) | set(begun)
            if not pending:
                if not self._spread_waits():
                    return made
                continue
            wait(pending)
            made += sum(one.result() for one in begun)

    def _spread_waits(self) -> bool:
        with self._begin(ME) as ctx:
            return not self._stop.is_set() and ctx.port(Interest).anybody(ctx) and spread(ctx) > 0

    def keep_house(self) -> int:
        """Drop what is older than it has to be kept; returns how many events."""
        dropped = 0
        while not self._stop.is_set():
            with self._begin(ME) as ctx:
                found = forget_old(ctx, self._days)
            dropped += found
            if found < MOST_DROPPED:
                break
        return dropped

    def close(self) -> None:
        """Let what is being sent end, and begin nothing more."""
        self._stop.set()
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown(wait=True, cancel_futures=True)

    def forget_parent(self) -> None:
        """In a forked child: the threads, and what they send, stayed with the parent."""
        self._lock = threading.Lock()
        self._pool, self._busy, self._under_way = None, {}, set()

    def _chosen(self) -> list[Endpoint]:
        """Endpoints to send to now: as many as there are free threads."""
        with self._lock:
            busy = dict(self._busy)
        with self._begin(ME) as ctx:
            found = waiting(ctx, busy)
        return chosen(found, list(busy.values()), self._threads)

    def _start(self, endpoint: Endpoint, held: Claim, sender: Sender) -> Future[int]:
        with self._lock:
            self._busy[endpoint.id] = endpoint
            if self._pool is None:
                self._pool = ThreadPoolExecutor(self._threads, "mallcore-webhooks")
            future = self._pool.submit(self._send, held, sender)
            self._under_way.add(future)
        future.add_done_callback(lambda done: self._ended(endpoint, done))
        return future

    def _ended(self, endpoint: Endpoint, future: Future[int]) -> None:
        with self._lock:
            self._busy.pop(endpoint.id, None)
            self._under_way.discard(future)

    def _send(self, held: Claim, sender: Sender) -> int:
        try:
            return Sending(self._begin, sender, self._failing_days, self._stop.is_set).send_all(held)
        except Exception:  # the database, say: the claim's lease ends, and it is sent again
            log.exception("messages of the webhook %s could not be sent, and wait", held.webhook)
            return 0

    def _found(self) -> Sender:
        with self._lock:
            if self._sender is None:
                self._sender = self._find()
        if self._sender is None:
            raise MissingExtra(what="Sending webhooks", extra="webhooks")
        return self._sender


def chosen(found: list[Endpoint], busy: list[Endpoint], threads: int) -> list[Endpoint]:
    """The first of those found for whom there is a thread.

    >>> slow = [Endpoint(f"whk_{n}", "https://slow.example/", False) for n in range(9)]
    >>> [one.id for one in chosen([*slow, Endpoint("whk_9", "https://shop.example/", False)], [], 4)]
    ['whk_0', 'whk_1', 'whk_9']
    """
    half = max(1, threads // 2)
    hosts = Counter(_host(one) for one in busy)
    failing = sum(one.failing for one in busy)
    taken: list[Endpoint] = []
    for one in found:
        if len(busy) + len(taken) >= threads:
            break
        if hosts[_host(one)] >= half or (one.failing and failing >= half):
            continue
        taken.append(one)
        hosts[_host(one)] += 1
        failing += one.failing
    return taken


def _host(endpoint: Endpoint) -> str:
    return urlsplit(endpoint.url).hostname or ""
