"""What other processes do in tests, each by its name; run by `worker.py`, asked for through `workers.py`.

A deed takes the database's URL and values of JSON, and returns one. It opens a mall of its own.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

from sqlalchemy import event

from mallcore import Mall, MallError, Principal, hookimpl, structure, webhooks
from mallcore.backends.outbound import webhook_sender
from mallcore.kernel import progress
from tests.proofs.storing import forking, storing

ME = Principal.system("worker")


class Death:
    """Kills this process with SIGKILL at a named point of what it does: a plug-in, and a listener to the engine.

    Points are ``statement:N`` (before the Nth statement is sent), ``part:N`` (after N parts of the rows were written in
    bulk), ``commit`` (before COMMIT is sent) and ``committed`` (after it, before anybody in this process is told).
    """

    def __init__(self, point: str | None) -> None:
        self.kind, _, number = (point or "never").partition(":")
        self.number = int(number or 0)
        self.armed = False
        self._seen = 0

    def watch(self, mall: Mall) -> None:
        """Listen to the mall's engine."""
        event.listen(mall.engine, "before_cursor_execute", lambda *_: self._count("statement"))
        event.listen(mall.engine, "commit", lambda *_: self._at("commit"))

    def told(self, stage: str, done: int, total: int | None) -> None:
        """Hear of progress."""
        if stage == "writing" and done:
            self._count("part")

    @hookimpl(tryfirst=True)
    def event_committed(self, event: Any) -> None:
        """Hear of what is committed."""
        self._at("committed")

    def _count(self, kind: str) -> None:
        if self.armed and self.kind == kind:
            self._seen += 1
            if self._seen >= self.number:
                os.kill(os.getpid(), signal.SIGKILL)

    def _at(self, kind: str) -> None:
        if self.armed and self.kind == kind:
            os.kill(os.getpid(), signal.SIGKILL)


def changing(url: str, action: str, given: dict[str, Any], die: str | None = None) -> str:
    """Do one thing to the channel ``books``, and die at a point of it."""
    death = Death(die)
    with Mall.open(url, plugins=[death], follow=False) as mall:
        death.watch(mall)
        with progress.watched(death.told) if death.kind == "part" else nullcontext():
            if action == "run_due":
                death.armed = True
                return str(mall.run_due())
            given = {**given, "data": given["data"].encode()} if "data" in given else given
            with mall.begin(ME) as ctx:
                death.armed = True
                getattr(structure, action)(ctx, **given)
    return "done"


def keeping_log(url: str, checkpoints: str, at: float = 0.0, die: str | None = None) -> int:
    """Give new records of the audit log their places and keep its checkpoints, at a moment; or die at a point of it."""
    death = Death(die)
    with Mall.open(url, plugins=[death], follow=False, checkpoints=checkpoints, checkpoint_seconds=0.001) as mall:
        death.watch(mall)
        _wait_until(at)
        death.armed = True
        return mall.keep_log()


class Deadly:
    """A sender that dies right after a message went out, or before."""

    def __init__(self, point: str | None, egress: Any) -> None:
        self._point = point
        self._sender = webhook_sender(egress)

    def send(self, message: Any) -> Any:
        """Send it, and die at the point."""
        if self._point == "sending":
            os.kill(os.getpid(), signal.SIGKILL)
        answer = self._sender.send(message)
        if self._point == "sent":
            os.kill(os.getpid(), signal.SIGKILL)
        return answer


class DeadlySender:
    """The plug-in that gives a mall this sender."""

    def __init__(self, point: str | None) -> None:
        self._point = point

    @hookimpl
    def webhook_sender(self, egress: Any) -> Any:
        """Provide it."""
        return Deadly(self._point, egress)


def sending_webhooks(url: str, at: float = 0.0, die: str | None = None, **settings: Any) -> int:
    """Send the webhooks that wait, at a moment; or die at a point of it."""
    death = Death(die)
    with Mall.open(url, plugins=[death, DeadlySender(die)], follow=False, **settings) as mall:
        death.watch(mall)
        _wait_until(at)
        death.armed = True
        return int(mall.services.ports[webhooks.Dispatcher].deliver())


def running_due(url: str, at: float) -> int:
    """Carry out what is due, at the moment others do."""
    with Mall.open(url) as mall:
        _wait_until(at)
        return mall.run_due()


def calling(url: str, at: float, operation: str, given: dict[str, Any]) -> dict[str, Any]:
    """Call one operation at the moment others do; what it answered, or the code of its refusal."""
    with Mall.open(url) as mall:
        with mall.begin(ME) as ctx:
            structure.list_channels(ctx)
        _wait_until(at)
        try:
            with mall.begin(ME) as ctx:
                answer = getattr(structure, operation)(ctx, **given)
        except MallError as error:
            return {"error": error.code}
        return {"answer": answer.model_dump(mode="json")}


def writing(url: str, at: float, worker: int, channels: list[str], threads: int, edits: int) -> dict[str, Any]:
    """Several threads, each adding categories to its channel one by one; the revisions made, and what went wrong."""
    made: list[tuple[str, str, int]] = []
    wrong: list[str] = []
    with Mall.open(url) as mall:

        def write(thread: int) -> None:
            channel = channels[thread % len(channels)]
            for number in range(edits):
                name = f"w{worker}-t{thread}-{number}"
                try:
                    with mall.begin(ME) as ctx:
                        made.append(
                            (channel, name, structure.create_category(ctx, channel=channel, name=name).revision)
                        )
                except Exception as error:
                    wrong.append(f"{type(error).__name__}: {error}")

        _wait_until(at)
        _together([lambda thread=thread: write(thread) for thread in range(threads)])
    return {"made": made, "wrong": wrong}


def creating(url: str, at: float, slugs: list[str]) -> list[str]:
    """Create channels one after the other; the codes of what was refused."""
    wrong: list[str] = []
    with Mall.open(url) as mall:
        _wait_until(at)
        for slug in slugs:
            try:
                with mall.begin(ME) as ctx:
                    structure.create_channel(ctx, slug=slug, name=slug.title())
                    structure.create_category(ctx, channel=slug, name="First")
            except MallError as error:
                wrong.append(error.code)
    return wrong


def opening(url: str, at: float) -> str:
    """Open a mall that may not be there yet, and look into it."""
    _wait_until(at)
    with Mall.open(url, migrate="always") as mall, mall.begin(ME) as ctx:
        return structure.get_unit(ctx, unit="main").id


def streaming(url: str, channel: str, after: int, last: int) -> list[int]:
    """Follow a channel until a revision comes; the numbers in the order they came."""
    numbers: list[int] = []
    ends = time.monotonic() + 60
    with Mall.open(url) as mall:
        with mall.begin(ME) as ctx:
            stream = structure.watch(ctx, channel=channel, after=after)
        while (not numbers or numbers[-1] < last) and time.monotonic() < ends:
            numbers += [one.number for one in stream.next(timeout=5)]
    return numbers


def _wait_until(at: float) -> None:
    """The clock is the machine's, so all processes go at once; whoever comes late goes at once, too."""
    time.sleep(max(0.0, at - time.monotonic()))


def _together(tasks: list[Callable[[], None]]) -> None:
    threads = [threading.Thread(target=task) for task in tasks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


DEEDS: dict[str, Callable[..., Any]] = {
    deed.__name__: deed
    for deed in (
        *(changing, keeping_log, running_due, calling, writing, creating, opening, streaming),
        *(storing, forking, sending_webhooks),
    )
}
