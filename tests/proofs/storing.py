"""Deeds with attachments, for `worker.py`: a process that dies between any two steps of what it does to the stores."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, BinaryIO

from sqlalchemy import event

from mallcore import Mall, Principal, attachments, hookimpl
from mallcore.kernel.objects import Stores

ME = Principal.system("worker")


class Doom:
    """Kills this process with SIGKILL at a named point: a plug-in, a listener to the engine, and in front of stores.

    Points are ``commit:N`` (before the Nth COMMIT is sent), ``committed:N`` (the Nth event was announced), ``put:N``
    (before the Nth object is written), ``half:N`` (when a part of it was read), ``written:N`` (after it), ``delete:N``
    and ``deleted:N``.
    """

    def __init__(self, point: str | None) -> None:
        self._kind, _, number = (point or "never:1").partition(":")
        self._left = int(number)
        self.armed = False

    def watch(self, mall: Mall) -> None:
        """Listen to the mall's engine, and stand before its stores."""
        event.listen(mall.engine, "commit", lambda _: self.at("commit"))
        stores = mall.stores
        mall.services.ports[Stores] = Stores({name: Doomed(self, stores[name]) for name in stores.names})

    @hookimpl(tryfirst=True)
    def event_committed(self, event: Any) -> None:
        """Hear of what is committed."""
        self.at("committed")

    def at(self, kind: str) -> None:
        """Die, if it is here."""
        if self.armed and kind == self._kind:
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGKILL)


class Doomed:
    """A store before which a process may die; all else is the store's own."""

    def __init__(self, doom: Doom, store: Any) -> None:
        self._doom, self._store = doom, store

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def put_new(self, key: str, content: BinaryIO, **more: Any) -> Any:
        """Write an object."""
        self._doom.at("put")
        found = self._store.put_new(key, _Half(self._doom, content), **more)
        self._doom.at("written")
        return found

    def delete(self, key: str) -> None:
        """Delete an object."""
        self._doom.at("delete")
        self._store.delete(key)
        self._doom.at("deleted")


class _Half:
    """A stream of which the second read may be the last thing a process does."""

    def __init__(self, doom: Doom, stream: Any) -> None:
        self._doom, self._stream, self._read = doom, stream, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def read(self, *size: int) -> bytes:
        """The next bytes."""
        self._read += 1
        if self._read == 2:
            self._doom.at("half")
        found: bytes = self._stream.read(*size)
        return found


def storing(
    url: str, stores: Mapping[str, str], action: str, given: dict[str, Any], die: str | None = None, ahead: float = 0
) -> str:
    """Do one thing with attachments so many seconds ahead, and die at a point of it."""
    doom = Doom(die)
    given = {**given, "file": given["file"].encode()} if "file" in given else given
    with _mall(url, stores, ahead, doom) as mall:
        doom.watch(mall)
        with mall.begin(ME) as ctx:
            doom.armed = True
            getattr(attachments, action)(ctx, **given)
    return "done"


def forking(url: str, stores: Mapping[str, str]) -> dict[str, str]:
    """Stage and upload, fork, have the child upload and collect, then attach: the references, by content."""
    with _mall(url, stores, 0) as mall:
        with mall.begin(ME) as ctx:
            staged = attachments.stage(ctx, file=b"staged", file_name="a.bin", owner="channel:books")
        parents = _put(mall, b"parent's")
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            _as_child(mall, write)
        os.close(write)
        with os.fdopen(read) as answer:
            childs = answer.read()
        os.waitpid(child, 0)
        with mall.begin(ME) as ctx:
            made = attachments.attach(ctx, staged=staged).ref
        return {"staged": made, "parent's": parents, "child's": childs, "later": _put(mall, b"later")}


def _as_child(mall: Mall, write: int) -> None:
    try:
        ref = _put(mall, b"child's")
        with mall.begin(ME) as ctx:
            attachments.collect(ctx, dry_run=False, grace_seconds=0)
        with mall.begin(ME) as ctx, attachments.open_version(ctx, version=ref) as stream:
            assert stream.read() == b"child's"
        os.write(write, ref.encode())
    finally:
        os._exit(0)


def _put(mall: Mall, content: bytes) -> str:
    with mall.begin(ME) as ctx:
        return attachments.upload_file(ctx, file=content, file_name="a.bin", owner="channel:books", slot="file").ref


def _mall(url: str, stores: Mapping[str, str], ahead: float, *plugins: object) -> Mall:
    more = {name: one for name, one in stores.items() if name != "main"}
    return Mall.open(
        url,
        objects=stores["main"],
        stores=more,
        plugins=plugins,
        follow=False,
        busy_seconds=20,
        clock=lambda: datetime.now(UTC) + timedelta(seconds=ahead),
    )
