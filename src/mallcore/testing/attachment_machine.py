"""A Hypothesis state machine: uploads, collectors and copies in any order, some stalled, some dead, some undead.

`check_attachments(url)` plays it on a database. Whatever happens, every version that was committed and not dropped
reads back as the model, a plain dictionary, has it. At the end, when every lease and every zombie's time is over, one
run of the collector leaves just what the versions need.
"""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from typing import Any, BinaryIO, ClassVar

from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from mallcore import Context, Mall, Principal, attachments, structure
from mallcore.attachments.model.tables import replica, upload
from mallcore.attachments.operations import abandoning, collecting
from mallcore.backends.memory import MemoryStore
from mallcore.errors import MallError, StoreUnavailable, UnknownUpload, UploadClosed
from mallcore.testing.machine_parts import Clock

_ME = Principal.system("machine")
_CONTENTS = [b"one", b"two", b"three"]  # few, so that uploads meet one another
_content = st.sampled_from(_CONTENTS)
_pick = st.integers(0, 1000)


class _Killed(BaseException):
    """What a process was doing ends here."""


class _Undone(Exception):
    """The caller's transaction is rolled back."""


class TrickyStore(MemoryStore):
    """A store in memory before which an uploader may stall, or die."""

    def __init__(self) -> None:
        super().__init__()
        self.stalls = False
        self.dies: str | None = None
        self.late: list[tuple[str, bytes]] = []
        """What stalled uploaders are still to write."""

    def put_new(self, key: str, content: BinaryIO, **more: Any) -> Any:
        """Write, or stall, or die before or after it."""
        if self.dies == "before":
            raise _Killed
        if self.stalls:
            self.late.append((key, content.read()))
            raise StoreUnavailable(store="memory://", reason="it takes for ever")
        found = super().put_new(key, content, **more)
        if self.dies == "after":
            raise _Killed
        return found

    def wake(self, number: int) -> None:
        """A stalled uploader writes after all."""
        key, content = self.late.pop(number % len(self.late))
        try:
            super().put_new(key, BytesIO(content))
        except MallError:  # somebody else has written just that
            return


class AttachmentMachine(RuleBasedStateMachine):
    """One mall with two stores; each example has its own channel, and its own contents."""

    mall: ClassVar[Mall]
    clock: ClassVar[Clock]
    stores: ClassVar[dict[str, TrickyStore]]
    number: ClassVar[int] = 0

    @initialize()
    def begin(self) -> None:
        """An empty channel."""
        type(self).number += 1
        self.kept: dict[str, bytes] = {}
        self.staged: list[tuple[str, bytes]] = []
        self.stalled: list[Any] = []
        self.doomed: list[list[Any]] = []
        with self.mall.begin(_ME) as ctx:
            self.channel = structure.create_channel(ctx, slug=f"c{self.number}", name="Shop").id

    # -- what uploaders do

    @rule(content=_content, fails=st.booleans())
    def upload(self, content: bytes, fails: bool) -> None:
        """Upload in a unit of work, which may be rolled back."""

        def call(ctx: Context) -> str:
            made = attachments.upload_file(ctx, **self._file(content), label=None)
            if fails:
                raise _Undone
            return made.ref

        self._keep(call, content)

    @rule(content=_content)
    def stage(self, content: bytes) -> None:
        """Stage, to be attached some time."""
        with self.mall.begin(_ME) as ctx:
            self.staged.append((attachments.stage(ctx, **self._file(content)).id, content))

    @rule(content=_content)
    def stall(self, content: bytes) -> None:
        """An uploader that does not get further than the store for now; it may attach when it has written."""
        store = self._written()
        store.stalls, before = True, len(store.late)
        try:
            with self.mall.begin(_ME) as ctx:
                attachments.stage(ctx, **self._file(content))
        except StoreUnavailable:
            pass
        finally:
            store.stalls = False
        if len(store.late) > before:
            self.stalled.append((store, store.late[-1], self._newest_upload(), content))

    @rule(number=_pick, attaches=st.booleans())
    def wake(self, number: int, attaches: bool) -> None:
        """A stalled uploader writes at last, whatever became of its upload, and may want to attach it."""
        if not self.stalled:
            return
        store, late, id, content = self.stalled.pop(number % len(self.stalled))
        store.wake(store.late.index(late))
        if attaches:
            self._attach(id, content)

    @rule(content=_content, moment=st.sampled_from(["before", "after"]))
    def die(self, content: bytes, moment: str) -> None:
        """A process that is killed before or after it wrote the object."""
        stores = list(self.stores.values())
        for store in stores:
            store.dies = moment
        try:
            with self.mall.begin(_ME) as ctx:
                attachments.stage(ctx, **self._file(content))
        except _Killed:
            return
        finally:
            for store in stores:
                store.dies = None

    @rule(number=_pick)
    def attach(self, number: int) -> None:
        """Attach what was staged; refused when it waited too long, and only then."""
        if self.staged:
            self._attach(*self.staged.pop(number % len(self.staged)))

    @rule(number=_pick)
    def drop(self, number: int) -> None:
        """Give a version up."""
        if self.kept:
            self._drop(sorted(self.kept)[number % len(self.kept)])

    @rule(content=_content, late=st.booleans())
    def drop_all(self, content: bytes, late: bool) -> None:
        """Give up all versions of a content; a collector (much later, maybe) marks it, and stalls."""
        self.clock.forward(2 * 3600 * late)
        for ref in [ref for ref, kept in self.kept.items() if kept == content]:
            self._drop(ref)
        self.mark()

    @rule(minutes=st.sampled_from([1, 30, 70, 70, 70, 24 * 60 * 8]))
    def wait(self, minutes: int) -> None:
        """Time passes; leases end. A zombie's time is over after a week: it is dead then."""
        self.clock.forward(60 * minutes)
        if minutes > 24 * 60:
            self._bury()

    # -- what keeps the stores in order

    @rule()
    def collect(self) -> None:
        """A whole run, without grace."""
        self._collect()

    @rule()
    def give_up(self) -> None:
        """Leases end, and a collector runs."""
        self.clock.forward(2 * 3600)
        self._collect()

    @rule()
    def mark(self) -> None:
        """A collector marks, reads what it is to delete, and stalls."""
        with self.mall.begin(_ME) as ctx:
            abandoning.expire_uploads(ctx)
            collecting.mark(ctx, 0, 100)
            self.doomed.append(list(collecting.doomed(ctx)))

    @rule(number=_pick, forgets=st.booleans())
    def sweep(self, number: int, forgets: bool) -> None:
        """A collector that stalled goes on from its old list, and may die before it forgets the rows."""
        if self.doomed:
            rows = self.doomed.pop(number % len(self.doomed))
            with self.mall.begin(_ME) as ctx:
                gone, _ = collecting.delete_objects(ctx, rows)
                if forgets:
                    collecting.forget(ctx, gone)

    @rule(to=st.sampled_from(["main", "second"]), moves=st.booleans())
    def copy(self, to: str, moves: bool) -> None:
        """Mirror to the other store, or move there and empty this one."""
        with self.mall.begin(_ME) as ctx:
            written = {one.role: one.name for one in attachments.list_stores(ctx)}["written"]
        with self.mall.begin(_ME) as ctx:
            if moves:
                attachments.migrate(ctx, to=to)
            elif to != written:
                attachments.mirror(ctx, store=to)

    @rule(store=st.sampled_from(["main", "second"]))
    def scrub(self, store: str) -> None:
        """Nothing that is well is found wrong, and nothing that rows tell of is unknown."""
        with self.mall.begin(_ME) as ctx:
            found = attachments.scrub(ctx, store=store)
        assert (found.missing, found.corrupt) == ([], [])

    # -- what must hold

    @invariant()
    def everything_reads(self) -> None:
        """Every version that is committed, and was not dropped."""
        for ref, content in getattr(self, "kept", {}).items():
            with self.mall.begin(_ME) as ctx, attachments.open_version(ctx, version=ref) as stream:
                assert stream.read() == content

    def teardown(self) -> None:
        """In the end nothing is left but what the versions need."""
        if not hasattr(self, "kept"):
            return
        self.clock.forward(9 * 86_400)
        self._bury()
        self._collect()
        with self.mall.begin(_ME) as ctx:
            rows = [(row.store, row.object_key) for row in ctx.execute(replica.select())]
        there = [(name, one.key) for name, store in self.stores.items() for one in store.iter()]
        assert sorted(set(there) - set(rows)) == [], "objects that nobody knows"
        self.everything_reads()
        for ref in list(self.kept):
            self._drop(ref)
        self._collect()
        assert [one.key for store in self.stores.values() for one in store.iter()] == []

    # -- how

    def _file(self, content: bytes) -> dict[str, Any]:
        return {"file": content, "file_name": "a.bin", "owner": f"channel:{self.channel}", "slot": "file"}

    def _written(self) -> TrickyStore:
        with self.mall.begin(_ME) as ctx:
            roles = {one.role: one.name for one in attachments.list_stores(ctx)}
        return self.stores[roles["written"]]

    def _newest_upload(self) -> str:
        with self.mall.begin(_ME) as ctx:
            newest = upload.select().where(upload.c.kind == "stage").order_by(upload.c.id.desc()).limit(1)
            return str(ctx.execute(newest).one().id)

    def _keep(self, call: Callable[[Context], str], content: bytes) -> None:
        try:
            with self.mall.begin(_ME) as ctx:
                ref = call(ctx)
        except _Undone:
            return
        self.kept[ref] = content

    def _drop(self, ref: str) -> None:
        with self.mall.begin(_ME) as ctx:
            attachments.drop_version(ctx, version=ref)
        del self.kept[ref]

    def _attach(self, id: str, content: bytes) -> None:
        with self.mall.begin(_ME) as ctx:
            row = ctx.execute(upload.select().where(upload.c.id == id)).one_or_none()
        alive = row is not None and row.state == "open" and row.lease_until > self.clock()
        try:
            self._keep(lambda ctx: attachments.attach(ctx, staged=id, label=None).ref, content)
        except (UnknownUpload, UploadClosed):
            assert not alive, "an upload whose lease had not ended was refused"

    def _collect(self) -> None:
        with self.mall.begin(_ME) as ctx:
            done = attachments.collect(ctx, dry_run=False, grace_seconds=0)
        assert done.undone == ()

    def _bury(self) -> None:
        for store in self.stores.values():
            store.late.clear()
        self.stalled, self.staged, self.doomed = [], [], []


def check_attachments(url: str, *, settings: hypothesis_settings | None = None) -> None:
    """Play the machine on a database; raises at the first thing that is lost, or left."""
    clock = Clock()
    stores = {"main": TrickyStore(), "second": TrickyStore()}
    more = {"second": stores["second"]}
    with Mall.open(url, objects=stores["main"], stores=more, migrate="always", clock=clock, follow=False) as mall:
        machine = type("Machine", (AttachmentMachine,), {"mall": mall, "clock": clock, "stores": stores, "number": 0})
        run_state_machine_as_test(machine, settings=settings)
