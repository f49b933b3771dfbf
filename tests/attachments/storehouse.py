"""A mall with a clock that tests move, and what lies in its stores, looked at from outside."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

from sqlalchemy import NullPool, create_engine, text

from mallcore import Mall, Principal, attachments, structure
from mallcore.attachments import Collected, Version

ME = Principal.system("test")
OWNER = "channel:books"


class Clock:
    """The mall's clock: the machine's, moved ahead."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead

    def move(self, **by: float) -> None:
        """Let time pass."""
        self.ahead += timedelta(**by)


class Storehouse:
    """A mall with the channel `books`, to which attachments belong."""

    def __init__(self, database: str, objects: Any, **settings: Any) -> None:
        self.clock = Clock()
        self.database = database
        self.mall = Mall.open(
            database, objects=objects, migrate="always", clock=self.clock, follow=False, busy_seconds=20, **settings
        )
        with self.mall.begin(ME) as ctx:
            structure.create_channel(ctx, slug="books", name="Books")

    def put(self, content: bytes, principal: Principal = ME, **given: Any) -> Version:
        """Upload a content."""
        with self.mall.begin(principal) as ctx:
            return attachments.upload_file(
                ctx, **{"file": content, "file_name": "a.bin", "owner": OWNER, "slot": "file", **given}
            )

    def stage(self, content: bytes, **given: Any) -> attachments.Staged:
        """Stage a content and leave it there."""
        with self.mall.begin(ME) as ctx:
            return attachments.stage(ctx, **{"file": content, "file_name": "a.bin", "owner": OWNER, **given})

    def do(self, name: str, **given: Any) -> Any:
        """One operation in a unit of work of its own."""
        with self.mall.begin(ME) as ctx:
            return getattr(attachments, name)(ctx, **given)

    def read(self, ref: str) -> bytes:
        """The bytes of a version."""
        with self.mall.begin(ME) as ctx, attachments.open_version(ctx, version=ref) as stream:
            return stream.read()

    def collect(self, grace: float = 0) -> Collected:
        """A run of the collector."""
        return self.do("collect", dry_run=False, grace_seconds=grace)

    def collect_later(self) -> Collected:
        """A run of the collector when every lease has ended."""
        self.clock.move(hours=2)
        return self.collect()

    def keys(self, store: str = "main") -> list[str]:
        """What lies in a store."""
        return [one.key for one in self.mall.stores[store].iter()]

    def contents(self, store: str = "main") -> list[bytes]:
        """The contents in a store, sorted."""
        kept = self.mall.stores[store]
        found = []
        for one in kept.iter():
            with kept.open(one.key) as stream:
                found.append(stream.read())
        return sorted(found)

    def rows(self, table: str) -> list[Any]:
        """All rows of a table, read without mallcore."""
        with self.sql() as connection:
            return list(connection.execute(text(f"SELECT * FROM {table}")))

    @contextmanager
    def sql(self) -> Iterator[Any]:
        """A connection to the database, past the mall."""
        url = self.mall.engine.url
        with create_engine(url, poolclass=NullPool).begin() as connection:
            yield connection

    def check(self, *versions: Version, contents: dict[str, bytes] | None = None) -> None:
        """Every version is readable and equal by hash, and what lies in the stores is just what rows tell of."""
        for one in versions:
            assert sha256(self.read(one.ref)).hexdigest() == one.digest
        for ref, content in (contents or {}).items():
            assert self.read(ref) == content
        rows = self.rows("mall_replica")
        told, whole = ({(row.store, row.object_key) for row in rows if row.state in kinds}
                       for kinds in (("ready", "pending"), ("ready",)))  # fmt: skip
        there = {(store, key) for store in self.mall.stores.names for key in self.keys(store)}
        assert whole <= there <= told

    def close(self) -> None:
        """Close the mall."""
        self.mall.close()
