"""Zero downtime: two server processes are read without pause while the structure is edited without pause."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from mallcore import Mall, Principal, structure

SECONDS = 60 if os.environ.get("MALLCORE_PROOFS") else 4
ME = Principal.system("editor")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def mall(database_url: str) -> Iterator[Mall]:
    """A mall with two categories whose names always change together."""
    with Mall.open(database_url, migrate="always") as opened:
        with opened.begin(ME) as ctx:
            structure.create_channel(ctx, slug="books", name="Books")
            for name in ("Left", "Right", "Box"):
                structure.create_category(ctx, channel="books", name=name)
            structure.create_category(ctx, channel="books", name="Ball", parent="left")
        yield opened


@pytest.fixture
def servers(mall: Mall, database_url: str) -> Iterator[list[str]]:
    """The base URLs of two server processes on the same database."""
    ports = [_free_port(), _free_port()]
    script = str(Path(__file__).with_name("server.py"))
    running = [subprocess.Popen([sys.executable, script, database_url, str(port)]) for port in ports]
    try:
        bases = [f"http://127.0.0.1:{port}" for port in ports]
        for base in bases:
            _await(base)
        yield bases
    finally:
        for process in running:
            process.terminate()
        for process in running:
            process.wait(20)


def _await(base: str) -> None:
    for _ in range(600):
        try:
            httpx.get(f"{base}/channels/books/tree")
        except httpx.TransportError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError(f"{base} did not start")


class _Reader(threading.Thread):
    """Reads one server until told to stop; keeps what was wrong with any response."""

    def __init__(self, base: str, stop: threading.Event) -> None:
        super().__init__()
        self.base = base
        self.stop = stop
        self.wrong: list[str] = []
        self.read = 0
        self.newest = 0

    def run(self) -> None:
        with httpx.Client(base_url=self.base) as client:
            while not self.stop.is_set():
                self._look(client.get("/channels/books/tree"))

    def _look(self, response: httpx.Response) -> None:
        self.read += 1
        if response.status_code != 200:
            self.wrong.append(f"{response.status_code}: {response.text[:200]}")
            return
        tree = response.json()
        names = {node["slug"]: node["name"].split()[-1] for node in tree["nodes"]}
        balls = [child["slug"] for node in tree["nodes"] for child in node["children"]]
        if names["left"] != names["right"] and tree["revision"] > 4:
            self.wrong.append(f"half a change at {tree['revision']}: {names}")
        if balls != ["ball"]:
            self.wrong.append(f"the ball is there {len(balls)} times at {tree['revision']}")
        if tree["revision"] < self.newest:
            self.wrong.append(f"back from {self.newest} to {tree['revision']}")
        self.newest = tree["revision"]


def _edit(mall: Mall, number: int) -> int:
    """One revision that renames two nodes and throws the ball from one to the other."""
    there = ("left", "right")
    edits = [{"op": "update", "node": side, "name": f"{side} {number}"} for side in there]
    edits.append({"op": "move", "node": f"{there[number % 2]}/ball", "parent": there[1 - number % 2]})
    with mall.begin(ME) as ctx:
        return structure.edit(ctx, channel="books", edits=edits).revision  # type: ignore[arg-type]


def test_no_reader_ever_fails_or_sees_half_a_change(mall: Mall, servers: list[str]) -> None:
    """While one process edits, every answer of two others is whole, in order, and none fails; in the end all agree."""
    stop = threading.Event()
    readers = [_Reader(base, stop) for base in servers for _ in range(2)]
    for reader in readers:
        reader.start()
    number, ends = 0, time.monotonic() + SECONDS
    while time.monotonic() < ends:
        head = _edit(mall, number)
        number += 1
    stop.set()
    for reader in readers:
        reader.join(30)
    assert [reader.wrong for reader in readers] == [[]] * len(readers)
    assert all(reader.read > 0 for reader in readers)
    assert number > 0
    for base in servers:
        shown = httpx.get(f"{base}/channels/books/tree", headers={"Mall-Min-Revision": str(head)}).json()
        assert shown["revision"] == head
