"""The contract of a database a mall stands on: what every topology promises, whatever runs beneath.

`TopologyContract` is for authors of database backends, as pytest classes; `check_topology` asks the same of a database
without pytest. Belongs here: promises that can be seen from outside. Does not: how fast they are kept.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar
from unittest import SkipTest  # which pytest heeds, too

from sqlalchemy import NullPool, create_engine, text
from sqlalchemy.engine import make_url
from sqlalchemy.orm import Session

from mallcore.errors import AlreadyExists, DatabaseBusy, DatabaseReadOnly, UnknownNode
from mallcore.kernel.context import Context, Principal
from mallcore.kernel.hooks import hookimpl
from mallcore.kernel.ids import new_id
from mallcore.mall import Mall
from mallcore.structure import (
    Boost,
    Condition,
    CreateNode,
    Pin,
    create_category,
    create_channel,
    edit,
    export,
    get_channel,
    import_taxonomy,
    open_draft,
    rename,
    tree,
    verify,
    watch,
)
from mallcore.testing.promises import Report, excuses, kept, refuse_muting

Call = Callable[[Context], object]
ME = Principal.system("topology")
PATIENCE = 30.0
MANY = 5000
_NEVER = 3600.0
_RICH: list[Any] = [
    CreateNode(name="Rich plain"),
    CreateNode(
        name="Rich “Ünïcode” 日本 \\ \t",
        slug="rich-text",
        external_id="a\\b",
        translations={"de": "Größe “\\” \n", "ja": "本"},
        attributes={"text": "'\"\\\t☃", "number": 0.1, "none": {"list": [1, True, [], {}]}, "big": 2**53},
        rules=[Boost(where=(Condition(field="ü", op="in", value=["a", 1]),), factor=1.5), Pin(product="p\\1", place=3)],
    ),
]
_PLAIN: list[Any] = [CreateNode(name=f"Plain {number}") for number in range(30)]
_COLUMNS = "from_revision, to_revision, kind, position, slug, name, external_id, translations, attributes, rules"


class TopologyContract:
    """Inherit, supply the fixture ``url``; every promise a database makes to a mall is a test here.

    ::

        class TestMyTopology(TopologyContract):
            settings = {"partitions": "hash"}
            excused = {"test_announcements_wake_a_listener": "the proxy in front of it drops notifications"}

            @pytest.fixture
            def url(self) -> Iterator[str]:
                yield "postgresql+psycopg://…"

    A promise can't be rewritten, only excused with a reason; it is then shown as an expected failure, and one that is
    kept after all fails, so that no excuse outlives its cause.
    """

    excused: ClassVar[dict[str, str]] = {}
    """Names of promises that are not kept, each with the reason."""
    settings: ClassVar[dict[str, Any]] = {}
    """What `Mall.open` is given beside the URL."""
    _excuses: ClassVar[Any] = None

    def __init_subclass__(cls) -> None:
        refuse_muting(TopologyContract, cls)
        cls._excuses = excuses()

    def peek(self, url: str, query: str, **values: Any) -> list[dict[str, Any]]:
        """Rows as the database has them, by SQL, past the mall. Override it where they lie elsewhere."""
        with create_engine(url, poolclass=NullPool).connect() as connection:
            return [dict(row._mapping) for row in connection.execute(text(query), values)]

    def read_only(self, url: str) -> str | None:
        """The URL of the same database where nothing can be written, or nothing when there is no such thing."""
        made = make_url(url)
        if made.get_backend_name() == "sqlite":
            return f"sqlite:///file:{made.database}?mode=ro&uri=true"
        if made.get_backend_name() == "postgresql":
            made = made.update_query_dict({"options": "-c default_transaction_read_only=on"})
            return made.render_as_string(hide_password=False)
        return None

    @contextmanager
    def locked(self, url: str, channel_id: str) -> Iterator[None]:
        """Within the block another transaction, past the mall, holds what a change of this channel needs."""
        with create_engine(url, poolclass=NullPool).connect() as connection:
            if connection.dialect.name == "sqlite":
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            else:
                connection.execute(text("SELECT id FROM mall_channel WHERE id = :id FOR UPDATE"), {"id": channel_id})
            yield
            connection.rollback()

    def open(self, url: str, **more: Any) -> Mall:
        """A mall on the database."""
        return Mall.open(url, **{"migrate": "always", **self.settings, **more})

    def test_a_committed_revision_is_seen_by_another_mall(self, url: str) -> None:
        """What one mall has committed, another sees when it asks for it."""
        with self.open(url) as one, self.open(url) as other:
            slug = _channel(one)
            with one.begin(ME) as ctx:
                made = create_category(ctx, channel=slug, name="Seen").revision
            with other.begin(ME) as ctx:
                assert [node.name for node in tree(ctx, channel=slug, min_revision=made).nodes] == ["Seen"]

    def test_a_refused_change_leaves_nothing(self, url: str) -> None:
        """A refused call, and all that its unit of work did before, leave no row behind."""
        with self.open(url) as mall:
            slug = _channel(mall)
            before = self._counts(url)
            for refused, call in (
                (UnknownNode, lambda ctx: rename(ctx, channel=slug, node="nowhere", name="Nothing")),
                (AlreadyExists, lambda ctx: create_channel(ctx, slug=slug, name="Again")),
            ):
                _refused(mall, refused, slug, call)
            assert self._counts(url) == before

    def _counts(self, url: str) -> list[int]:
        tables = ("channel", "revision", "node", "draft", "audit_record", "idempotency")
        return [self.peek(url, f"SELECT count(*) AS n FROM mall_{table}")[0]["n"] for table in tables]

    def test_few_rows_and_bulk_rows_are_stored_alike(self, url: str) -> None:
        """A node's row is the same whether it was written by itself or among many."""
        with self.open(url) as mall:
            few, bulk = _channel(mall), _channel(mall)
            for name, edits in ((few, _RICH), (bulk, [*_RICH, *_PLAIN])):
                with mall.begin(ME) as ctx:
                    edit(ctx, channel=name, edits=edits)
            assert self._rows(mall, url, few) == self._rows(mall, url, bulk)
            with mall.begin(ME) as ctx:
                files = [export(ctx, channel=name, format="csv").body.splitlines() for name in (few, bulk)]
            assert len(files[1]) - len(files[0]) == len(_PLAIN)

    def _rows(self, mall: Mall, url: str, slug: str) -> list[dict[str, Any]]:
        with mall.begin(ME) as ctx:
            channel = get_channel(ctx, channel=slug).id
        query = f"SELECT {_COLUMNS} FROM mall_node WHERE channel_id = :id AND slug LIKE 'rich%' ORDER BY slug"
        return [_parsed(row) for row in self.peek(url, query, id=channel)]

    def test_a_joined_session_follows_its_host(self, url: str) -> None:
        """In a host's session the mall's rows are kept or gone with the host's own transaction."""
        with self.open(url) as mall:
            slug = _channel(mall)
            for keep in (False, True):
                with Session(mall.engine) as host:
                    with mall.begin(ME, session=host) as ctx:
                        create_category(ctx, channel=slug, name=f"Host {keep}")
                    host.commit() if keep else host.rollback()
            with mall.begin(ME) as ctx:
                assert [node.name for node in tree(ctx, channel=slug).nodes] == ["Host True"]
                assert verify(ctx, channel=slug).revisions == 1

    def test_a_locked_database_is_busy(self, url: str) -> None:
        """Who waits for a lock longer than the settings allow gets `DatabaseBusy`, and can try again afterwards."""
        with self.open(url, busy_seconds=0.2) as mall:
            slug = _channel(mall)
            with mall.begin(ME) as ctx:
                channel = get_channel(ctx, channel=slug).id
            with self.locked(url, channel):
                _refused(mall, DatabaseBusy, slug, lambda ctx: None)
            with mall.begin(ME) as ctx:
                assert create_category(ctx, channel=slug, name="Again").revision == 1

    def test_a_read_only_database_is_read_and_not_written(self, url: str) -> None:
        """Where nothing can be written a mall still answers, and a change gets `DatabaseReadOnly`."""
        with self.open(url) as mall:
            slug = _channel(mall)
            there = self.read_only(url)
            if there is None:
                raise SkipTest("this contract knows no way to open it read-only")
            with self.open(there, migrate="never") as reader:
                with reader.begin(ME) as ctx:
                    assert tree(ctx, channel=slug).revision == 0
                _refused(reader, DatabaseReadOnly, slug, lambda ctx: None)

    def test_a_big_import_is_whole_or_not_there(self, url: str) -> None:
        """An import that fails at its end leaves no row; repeated, it is one revision with every node."""
        failing = _Failing()
        with self.open(url, plugins=[failing]) as mall:
            slug = _channel(mall)
            before = self._counts(url)
            failing.on = True
            _refused(mall, _Fails, slug, lambda ctx: None, lambda ctx: _import(ctx, slug))
            failing.on = False
            assert self._counts(url) == before
            with mall.begin(ME) as ctx:
                assert _import(ctx, slug).revision == 1
        with self.open(url) as fresh, fresh.begin(ME) as ctx:
            assert verify(ctx, channel=slug).nodes == MANY

    def test_thousands_of_nodes_change_at_once(self, url: str) -> None:
        """A change of 5,000 nodes is one revision: no limit on parameters, no row left out."""
        with self.open(url) as mall:
            slug = _channel(mall)
            with mall.begin(ME) as ctx:
                channel = _import(ctx, slug).channel
                assert _import(ctx, slug, " renamed").revision == 2
            query = "SELECT count(*) AS n FROM mall_node WHERE channel_id = :id AND to_revision = 2"
            assert self.peek(url, query, id=channel) == [{"n": MANY}]
        with self.open(url) as fresh, fresh.begin(ME) as ctx:
            assert verify(ctx, channel=slug).nodes == MANY

    def test_a_channel_has_room_from_the_start(self, url: str) -> None:
        """A channel can be filled in the transaction that creates it; one that is rolled back leaves its slug free."""
        slug = _slug()
        with self.open(url) as mall:
            for keep in (False, True):
                with Session(mall.engine) as host:
                    with mall.begin(ME, session=host) as ctx:
                        create_channel(ctx, slug=slug, name="Room")
                        create_category(ctx, channel=slug, name="First")
                        open_draft(ctx, channel=slug, name="Draft")
                        _import(ctx, slug)
                    host.commit() if keep else host.rollback()
        with self.open(url) as fresh, fresh.begin(ME) as ctx:
            assert verify(ctx, channel=slug).revisions == 2

    def test_announcements_wake_a_listener(self, url: str) -> None:
        """A mall that never polls hears of another's commit, in the order of revisions."""
        with self.open(url) as one, self.open(url, poll_seconds=_NEVER) as other:
            slug = _channel(one)
            with other.begin(ME) as ctx:
                stream = watch(ctx, channel=slug)
            ends = time.monotonic() + PATIENCE
            while not other.follower.connected and other.follower.running and time.monotonic() < ends:
                time.sleep(0.01)
            assert other.follower.connected
            for number in range(1, 4):
                with one.begin(ME) as ctx:
                    create_category(ctx, channel=slug, name=f"Heard {number}")
                assert [revision.number for revision in stream.next(PATIENCE)] == [number]


def check_topology(url: str, **settings: Any) -> Report:
    """Every promise, whether it is kept, and if not what happened; without pytest. It writes: give it a spare database.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     found = check_topology(f"sqlite:///{folder}/mall.db")
    >>> [promise for promise, kept, _ in found if not kept]
    []
    """
    contract = TopologyContract()
    vars(contract)["settings"] = settings
    return kept(contract, url)


class _Fails(Exception):
    """What `_Failing` raises."""


class _Failing:
    """A plug-in that refuses every change after its rows are written, while it is on."""

    on = False

    @hookimpl
    def event_recorded(self, ctx: Any, event: Any) -> None:
        if self.on:
            raise _Fails()


def _slug() -> str:
    return new_id("top").replace("_", "-")


def _channel(mall: Mall) -> str:
    """The slug of a new channel, so that promises can be checked on one database, in any order."""
    slug = _slug()
    with mall.begin(ME) as ctx:
        create_channel(ctx, slug=slug, name="Topology")
    return slug


def _refused(mall: Mall, error: type[Exception], slug: str, last: Call, first: Call | None = None) -> None:
    """One unit of work that changes the channel, and ends in this error."""
    try:
        with mall.begin(ME) as ctx:
            create_category(ctx, channel=slug, name="Refused") if first is None else first(ctx)
            last(ctx)
    except error:
        return
    raise AssertionError(f"{error.__name__} was not raised")


def _import(ctx: Context, slug: str, more: str = "") -> Any:
    lines = (f"{number} - Category {number}{more}\n" for number in range(1, MANY + 1))
    return import_taxonomy(ctx, channel=slug, data="".join(lines).encode())


def _parsed(row: dict[str, Any]) -> dict[str, Any]:
    """A row whose JSON is values, whatever the driver makes of it; two spellings of one value are alike."""
    data = ("translations", "attributes", "rules")
    return {key: json.loads(one) if key in data and isinstance(one, str) else one for key, one in row.items()}


__all__ = ["TopologyContract", "check_topology"]
