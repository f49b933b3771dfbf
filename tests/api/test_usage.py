"""Usage: who calls which version of the API is counted by program, and kept across processes and restarts."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from mallcore import Mall, Principal
from mallcore.api import Dispatch
from mallcore.api.operations import breakage, usage
from mallcore.errors import Denied, UnknownApiVersion
from tests.adapters.faces import authenticate
from tests.api.conftest import Asking

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
            assert counted(mall) == ({} if times == 1 else {key: 1 for key in EXPECTED})
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
    with pytest.raises(RuntimeError), mall.begin(ME) as ctx:
        ctx.commanding = True
        assert mall.counter.flush(ctx) == 1
        raise RuntimeError
    _flush(mall)
    assert list(counted(mall).values()) == [1]


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
