"""A Hypothesis state machine: what people do to a channel, in any order, against a model of plain dictionaries.

`check_structure(url)` plays it on a database; whatever is done, every revision reads back as the model has it, by
number, by time and by snapshot, another mall on the same database sees the same, and the history verifies.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import count
from typing import Any, ClassVar, Literal

from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from mallcore import Context, Mall, Principal, audit, structure
from mallcore.errors import EditConflict, MallError, NothingToDo
from mallcore.testing.machine_parts import Clock, as_input, by_source, check_same, chosen, edit_of
from mallcore.testing.plain import PlainTree, Refused
from mallcore.testing.plain_merge import Clashing, merged, misfits, restored

_SYSTEM = Principal.system("machine")
_pick = st.integers(0, 10_000)


class StructureMachine(RuleBasedStateMachine):
    """One channel of a mall; each example makes its own."""

    mall: ClassVar[Mall]
    other: ClassVar[Mall]
    clock: ClassVar[Clock]
    numbers: ClassVar[count[int]] = count(1)

    @initialize()
    def begin(self) -> None:
        """A channel as created."""
        with self.mall.begin(_SYSTEM) as ctx:
            self.channel = structure.create_channel(ctx, slug=f"c{next(self.numbers)}", name="Shop").id
        self.history = [PlainTree.of(self._tree(0))]
        self.times = [self.clock()]
        self.drafts: dict[str, tuple[int, PlainTree]] = {}
        self.scheduled: dict[str, str] = {}
        self.published: dict[str, int] = {}
        self.snapshots: dict[str, int] = {}

    # -- what people do

    @rule(data=st.data(), size=st.integers(1, 4))
    def edit(self, data: st.DataObject, size: int) -> None:
        """Edits of all kinds, one by one or many as one revision."""
        after, inputs, refused = self._edits(data, self.head, size)
        expected = data.draw(st.sampled_from([None, self.last]))

        def call(ctx: Context) -> Any:
            return structure.edit(ctx, channel=self.channel, edits=inputs, expected_revision=expected)

        if refused:
            self._refused(call)
        else:
            self._made(self._do(call).revision, after)

    @rule(data=st.data())
    def restore(self, data: st.DataObject) -> None:
        """Bring back something that was removed."""
        gone = sorted({one for tree in self.history for one in tree.nodes} - set(self.head.nodes))
        if not gone:
            return
        node = data.draw(st.sampled_from(gone))
        after = restored(self.history, node)
        if misfits(after):
            self._refused(lambda ctx: structure.restore(ctx, channel=self.channel, node=node))
        else:
            done = self._do(lambda ctx: structure.restore(ctx, channel=self.channel, node=node))
            self._made_somehow(done.revision, after)

    @rule(back=_pick)
    def roll_back(self, back: int) -> None:
        """The whole channel as it was."""
        number = back % len(self.history)
        done = self._do(lambda ctx: structure.rollback(ctx, channel=self.channel, to=number))
        self._made(done.revision, self.history[number])

    @rule(back=_pick, place=_pick)
    def roll_back_a_part(self, back: int, place: int) -> None:
        """A subtree as it was, wherever it is now."""
        number = back % len(self.history)
        then = self.history[number]
        top = chosen(then, place)
        try:
            done = self._do(lambda ctx: structure.rollback(ctx, channel=self.channel, to=number, node=top))
        except MallError:
            return
        if done.revision == len(self.history):
            self._adopt(done.revision)
        inside = then.below(top)
        assert self.head.below(top) == inside
        for one in inside[1:]:
            assert self.head.nodes[one] == then.nodes[one]

    @rule(back=_pick, side=st.sampled_from([None, None, "theirs"]))
    def undo(self, back: int, side: str | None) -> None:
        """Take back one revision and keep what came after."""
        number = back % len(self.history)
        if number == 0:
            return
        settle = _settled(side)
        self._merge(
            self.history[number],
            self.history[number - 1],
            lambda ctx: structure.undo(ctx, channel=self.channel, number=number, settle=settle),
            yielding=side == "theirs",
        )

    @rule()
    def open_draft(self) -> None:
        """Begin to keep edits aside."""
        with self.mall.begin(_SYSTEM) as ctx:
            draft = structure.open_draft(ctx, channel=self.channel, name="Draft")
        assert draft.base == self.last
        self.drafts[draft.id] = (self.last, self.head)

    @precondition(lambda self: self.drafts)
    @rule(data=st.data(), which=_pick, size=st.integers(1, 3))
    def edit_draft(self, data: st.DataObject, which: int, size: int) -> None:
        """More edits into a draft; nobody sees them."""
        draft = self._draft(which)
        base, own = self.drafts[draft]
        after, inputs, refused = self._edits(data, own, size)
        if refused:
            self._refused(lambda ctx: structure.edit_draft(ctx, draft=draft, edits=inputs))
        else:
            self._do(lambda ctx: structure.edit_draft(ctx, draft=draft, edits=inputs))
            self.drafts[draft] = (base, after)

    @precondition(lambda self: self.drafts)
    @rule(which=_pick, side=st.sampled_from([None, None, "theirs"]))
    def publish(self, which: int, side: str | None) -> None:
        """Publish a draft onto whatever the head is by now."""
        draft = self._draft(which)
        base, own = self.drafts[draft]
        settle = _settled(side)
        publish = lambda ctx: structure.publish_draft(ctx, draft=draft, settle=settle)  # noqa: E731
        if self._merge(self.history[base], own, publish, yielding=side == "theirs"):
            self.published[draft] = self.last
            del self.drafts[draft]

    @precondition(lambda self: self.drafts)
    @rule(which=_pick)
    def preview(self, which: int) -> None:
        """Looking at a draft says what publishing would do, and changes nothing."""
        draft = self._draft(which)
        base, own = self.drafts[draft]
        with self.mall.begin(_SYSTEM) as ctx:
            shown = structure.preview_draft(ctx, draft=draft)
            tree = PlainTree.of(structure.preview_tree(ctx, draft=draft).tree)
        assert shown.onto == self.last
        try:
            expected = merged(self.history[base], own, self.head)
        except Clashing:
            assert shown.clashes
        else:
            assert not shown.clashes
            check_same(tree, expected)

    @precondition(lambda self: self.drafts)
    @rule(which=_pick)
    def discard(self, which: int) -> None:
        """Give a draft up."""
        draft = self._draft(which)
        with self.mall.begin(_SYSTEM) as ctx:
            assert structure.discard_draft(ctx, draft=draft).state == "discarded"
        del self.drafts[draft]
        self._refused(lambda ctx: structure.publish_draft(ctx, draft=draft))

    @precondition(lambda self: self.drafts)
    @rule(which=_pick, delay=st.integers(1, 30), campaign=st.booleans())
    def schedule(self, which: int, delay: int, campaign: bool) -> None:
        """Have a draft published later, and perhaps taken back later still."""
        draft, at = self._draft(which), self.clock() + timedelta(seconds=delay)
        undo_at = at + timedelta(seconds=delay) if campaign else None
        with self.mall.begin(_SYSTEM) as ctx:
            for one in structure.schedule_draft(ctx, draft=draft, at=at, undo_at=undo_at):
                self.scheduled[one.id] = draft

    @rule(seconds=st.integers(1, 40))
    def wait(self, seconds: int) -> None:
        """Time goes by, and two processes do what is due."""
        self.clock.forward(seconds)
        with self.mall.begin(_SYSTEM) as ctx:
            waiting = structure.list_schedules(ctx, channel=self.channel, state="waiting", limit=200).items
        due = [one.id for one in waiting if one.at <= self.clock()]
        self.mall.run_due()
        self.other.run_due()
        with self.mall.begin(_SYSTEM) as ctx:
            states = {one.id: one for one in structure.list_schedules(ctx, channel=self.channel, limit=200).items}
        for schedule in due:
            self._carried_out(states[schedule])

    @rule()
    def take_snapshot(self) -> None:
        """Name the head."""
        name = f"s{next(self.numbers)}"
        with self.mall.begin(_SYSTEM) as ctx:
            made = structure.create_snapshot(ctx, name=name, channels=[self.channel])
        assert made.heads == {self.channel: self.last}
        self.snapshots[name] = self.last

    # -- what always holds

    @invariant()
    def the_head_is_the_models(self) -> None:
        """Here and, as soon as it asks for it, in another mall."""
        if hasattr(self, "history"):
            assert PlainTree.of(self._tree(None)).view() == self.head.view()
            with self.other.begin(_SYSTEM) as ctx:
                seen = structure.tree(ctx, channel=self.channel, min_revision=self.last)
            assert (seen.revision, PlainTree.of(seen.tree).view()) == (self.last, self.head.view())

    def teardown(self) -> None:
        """In the end: every revision by number, time and snapshot; the chain of digests; the audit trail."""
        if not hasattr(self, "history"):
            return
        for number, (plain, at) in enumerate(zip(self.history, self.times, strict=True)):
            assert PlainTree.of(self._tree(number)).view() == plain.view()
            if number:
                assert self._revision_at(at) == number
        for name, number in self.snapshots.items():
            assert PlainTree.of(self._tree(name)).view() == self.history[number].view()
        with Mall.open(self.mall.engine) as fresh, fresh.begin(_SYSTEM) as ctx:
            assert structure.verify(ctx, channel=self.channel).revisions == self.last
            assert PlainTree.of(structure.tree(ctx, channel=self.channel).tree).view() == self.head.view()
            log = structure.log(ctx, channel=self.channel, limit=200).items
            assert [one.number for one in log] == list(range(self.last, 0, -1))[:200]
            records = audit.list_records(ctx, channel=self.channel, event="structure.revised", limit=200).items
            assert [one.revision for one in records] == list(range(self.last, 0, -1))[:200]

    # -- how that is found out

    @property
    def head(self) -> PlainTree:
        """The model of the newest revision."""
        return self.history[-1]

    @property
    def last(self) -> int:
        """The number of the newest revision."""
        return len(self.history) - 1

    def _tree(self, at: Any) -> Any:
        with self.mall.begin(_SYSTEM) as ctx:
            return structure.tree(ctx, channel=self.channel, at=at).tree

    def _revision_at(self, at: datetime) -> int:
        with self.mall.begin(_SYSTEM) as ctx:
            return structure.tree(ctx, channel=self.channel, at=at).revision

    def _draft(self, which: int) -> str:
        return sorted(self.drafts)[which % len(self.drafts)]

    def _do(self, call: Callable[[Any], Any]) -> Any:
        with self.mall.begin(_SYSTEM) as ctx:
            return call(ctx)

    def _refused(self, call: Callable[[Any], Any]) -> None:
        try:
            self._do(call)
        except MallError:
            return
        raise AssertionError("this should have been refused")

    def _made(self, revision: int, after: PlainTree) -> None:
        """A revision whose order the model knows; or none, when nothing was different."""
        if revision == self.last:
            assert after.view() == self.head.view()
            return
        self._adopt(revision)
        check_same(self.head, after, ordered=True)

    def _made_somehow(self, revision: int, after: PlainTree) -> None:
        """A revision of which the model knows all but the order of siblings."""
        self._adopt(revision)
        check_same(self.head, after)

    def _adopt(self, revision: int) -> None:
        assert revision == len(self.history)
        self.history.append(PlainTree.of(self._tree(revision)))
        with self.mall.begin(_SYSTEM) as ctx:
            self.times.append(structure.get_revision(ctx, channel=self.channel, number=revision).at)

    def _merge(self, base: PlainTree, own: PlainTree, call: Callable[[Any], Any], yielding: bool = False) -> bool:
        """Publish or undo: both sides' changes, or a clash and nothing; whether a revision was made."""
        try:
            expected = merged(base, own, self.head)
        except Clashing:
            expected = None
        try:
            done = self._do(call)
        except EditConflict as conflict:
            if expected is not None or yielding or not conflict.details["clashes"]:
                raise
            return False
        except NothingToDo:
            assert expected is None or by_source(expected) == by_source(self.head)
            return False
        if done.revision == self.last:
            assert expected is None or by_source(expected) == by_source(self.head)
            return False
        assert expected is not None or yielding
        self._adopt(done.revision)
        if expected is not None:
            check_same(self.head, expected)
        return True

    def _carried_out(self, done: Any) -> None:
        """A schedule that was due: it made what publishing or undoing makes, or it failed for a reason."""
        draft = self.scheduled[done.id]
        assert done.state in {"done", "failed"}
        number = self.published.get(draft)
        if done.action == "publish" and draft in self.drafts:
            base, own = self.drafts[draft]
            self._expect(done, self.history[base], own)
            if done.state == "done":
                self.published[draft] = done.result
                del self.drafts[draft]
        elif done.action == "undo" and number is not None and done.state == "done":
            if done.result is not None:
                self._adopt(done.result)
        else:
            assert done.state == "failed"

    def _expect(self, done: Any, base: PlainTree, own: PlainTree) -> None:
        try:
            expected = merged(base, own, self.head)
        except Clashing:
            assert (done.state, done.error.split(":")[0]) == ("failed", "edit-conflict")
            return
        if done.state == "failed":
            assert done.error.startswith("nothing-to-do")
            assert by_source(expected) == by_source(self.head)
            return
        self._made_somehow(done.result, expected)

    def _edits(self, data: st.DataObject, tree: PlainTree, size: int) -> tuple[PlainTree, list[Any], bool]:
        """Random edits as callers give them, what the model makes of them, and whether it refuses."""
        after, inputs = tree.copy(), []
        for _ in range(size):
            draw = data.draw
            edit = draw(edit_of(after, f"x{next(self.numbers)}"))
            inputs.append(as_input(after, edit))
            try:
                after.apply(edit)
            except Refused:
                return tree, inputs, True
        return after, inputs, False


def _settled(side: str | None) -> dict[str, Literal["ours", "theirs"]] | None:
    return {"*": "theirs"} if side == "theirs" else None


def check_structure(url: str, *, settings: hypothesis_settings | None = None, **options: Any) -> None:
    """Play the machine on an empty database; ``options`` are settings of its mall."""
    clock = Clock()
    with (
        Mall.open(url, migrate="always", clock=clock, **options) as mall,
        Mall.open(url, clock=clock, **options) as other,
    ):
        played = type("StructureMachine", (StructureMachine,), {"mall": mall, "other": other, "clock": clock})
        run_state_machine_as_test(played, settings=settings)


__all__ = ["StructureMachine", "check_structure"]
