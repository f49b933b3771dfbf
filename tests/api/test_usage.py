"""Usage: who calls which version of the API is counted by program, and kept across processes and restarts."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import pytest

from mallcore import Context, Mall, Principal, audit, hookimpl
from mallcore.api import Dispatch
from mallcore.api.model import Concerned
from mallcore.api.operations import breakage, usage
from mallcore.api.versions import Release
from mallcore.errors import Denied, UnknownApiVersion
from mallcore.kernel.ticking import do
from tests.adapters.faces import authenticate
from tests.api.conftest import Asking
from tests.api.test_versioning import DEPRECATED, OLD, Clock

ME = Principal.system("test")


def counted(mall: Mall) -> dict[tuple[str, str, str], int]:
    with mall.begin(ME) as ctx:
        return {(one.client, one.version, one.operation): one.count for one in usage(ctx, limit=200).items}


def test_calls_are_counted_by_client_version_and_operation(tmp_path: Path) -> None:
    """Each call counts once; what was counted is there after the mall was closed, and is added to."""
    for times in (1, 2):
        with Mall.open(f"sqlite:///{tmp_path}/mall.db") as mall:
            ask = Asking(Dispatch(mall, authenticate))
            for path in ("/channels", "/2026-05-01/channels", "/2026-05-01/units"):
                ask("GET", path, authorization="Bearer client:till")
            ask("GET", "/channels", authorization="Bearer user:ada")
            assert counted(mall) == ({} if times == 1 else dict.fromkeys(EXPECTED, 1))
    with Mall.open(f"sqlite:///{tmp_path}/mall.db") as mall:
        assert counted(mall) == dict.fromkeys(EXPECTED, 2)


EXPECTED = [
    ("client:till", "2026-05-01", "structure.list_channels"),
    ("client:till", "2026-05-01", "structure.list_units"),
    ("client:till", "2026-11-01", "structure.list_channels"),
    ("user:*", "2026-11-01", "structure.list_channels"),
]


def test_no_call_is_lost_between_threads(mall: Mall) -> None:
    """Threads count while others write: the sum is right."""
    counter = mall.counter

    def call() -> None:
        for _ in range(200):
            counter.count(Principal.client("till"), "2026-11-01", "structure.tree")

    threads = [threading.Thread(target=call) for _ in range(4)]
    for one in threads:
        one.start()
    for _ in range(10):
        _flush(mall)
    for one in threads:
        one.join()
    _flush(mall)
    assert counted(mall) == {("client:till", "2026-11-01", "structure.tree"): 800}


def _flush(mall: Mall) -> None:
    with mall.begin(ME) as ctx:
        ctx.commanding = True
        mall.counter.flush(ctx)


def test_what_is_rolled_back_is_counted_again(mall: Mall) -> None:
    """A write that fails loses no count."""
    mall.counter.count(Principal.client("till"), "2026-11-01", "structure.tree")
    with pytest.raises(RuntimeError):
        _fail(mall)
    _flush(mall)
    assert list(counted(mall).values()) == [1]


def _fail(mall: Mall) -> None:
    with mall.begin(ME) as ctx:
        ctx.commanding = True
        assert mall.counter.flush(ctx) == 1
        raise RuntimeError


def test_who_would_break_is_named(mall: Mall) -> None:
    """The report names the clients of a version; a version that nobody knows is refused."""
    ask = Asking(Dispatch(mall, authenticate))
    ask("GET", "/2026-05-01/channels", authorization="Bearer client:till")
    _flush(mall)
    with mall.begin(ME) as ctx:
        found = breakage(ctx, version="2026-05-01")
        assert [(one.client, one.calls) for one in found.clients] == [("client:till", 1)]
        assert breakage(ctx, version="2026-11-01").clients == []
        with pytest.raises(UnknownApiVersion):
            breakage(ctx, version="2000-01-01")


def test_usage_is_not_for_everybody(mall: Mall) -> None:
    """Who calls what is the business of those who run the mall."""
    with pytest.raises(Denied), mall.begin(Principal.client("till")) as ctx:
        usage(ctx)


class Mailing:
    """A host's plug-in that hears of versions that end; it fails the first time."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, list[str]]] = []
        self.fails = True

    @hookimpl
    def releases_extra(self) -> list[Release]:
        return [OLD]

    @hookimpl
    def version_deprecated(self, ctx: Context, release: Release, clients: Sequence[Concerned]) -> None:
        if self.fails:
            self.fails = False
            raise RuntimeError("no mail today")
        self.heard.append((release.name, [one.client for one in clients]))


def test_version_deprecated(tmp_path: Path) -> None:
    """A host hears once that a version is deprecated, and who uses it; and again if it could not listen."""
    clock, mailing = Clock(), Mailing()
    clock.now = DEPRECATED - timedelta(days=1)
    with Mall.open(f"sqlite:///{tmp_path}/mall.db", plugins=[mailing], clock=clock) as mall:
        mall.counter.count(Principal.client("till"), OLD.name, "structure.tree")
        _flush(mall)
        do(mall.chores.ticks)
        assert (mailing.heard, mailing.fails) == ([], True)
        clock.now = DEPRECATED
        for _ in range(3):
            do(mall.chores.ticks)
        assert mailing.heard == [(OLD.name, ["client:till"])]
    with Mall.open(f"sqlite:///{tmp_path}/mall.db", plugins=[mailing], clock=clock) as mall:
        do(mall.chores.ticks)
        assert mailing.heard == [(OLD.name, ["client:till"])]
        with mall.begin(ME) as ctx:
            assert len(audit.list_records(ctx, event="api.version_deprecated").items) == 1
