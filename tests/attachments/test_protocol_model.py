"""The write protocol as a model of one content: every order in which its steps can be taken is looked at.

Each step here is one transaction or one call of a store in `operations/{staging,attaching,collecting,abandoning}.py`.
Uploads may stall anywhere, be given up, wake up again or die; so may collectors. The long form (MALLCORE_PROOFS=1)
has more of everybody.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import NamedTuple

import pytest

LONG = os.environ.get("MALLCORE_PROOFS") == "1"
CLAIM, PUT, ATTACH, OVER = range(4)
MARK, READ, DELETE, FORGET, LOOK, SWEEP, SETTLE, DONE = range(8)
Blob = tuple[int, str] | None  # incarnation; pending, ready, deleting
Rows = frozenset[tuple[int, str]]  # incarnation; the copy's state


class Upload(NamedTuple):
    """Where an uploader stands, the incarnation it claimed, and its intent: none, open, expired, swept."""

    step: int = CLAIM
    incarnation: int = 0
    intent: str = ""
    wrote: bool = False  # whether the intent names a key


class Collector(NamedTuple):
    """Where a collector stands, and the list it works from, which may be old."""

    step: int = MARK
    list: tuple[int, ...] = ()


class State(NamedTuple):
    """All that is there."""

    blob: Blob = None
    rows: Rows = frozenset()
    store: frozenset[int] = frozenset()
    versions: frozenset[int] = frozenset()
    uploads: tuple[Upload, ...] = ()
    collectors: tuple[Collector, ...] = ()
    drops: int = 0
    expiries: int = 0
    crashes: int = 0
    last: int = 0  # incarnation; drawn at random, so never the same twice


class Protocol(NamedTuple):
    """The protocol, and what is wrong with it on purpose, to see that the model is not blind."""

    fresh_key: bool = True
    intents: bool = True
    retained: bool = True


def steps(state: State, protocol: Protocol) -> Iterator[State]:
    """Every state that one step leads to."""
    for number, upload in enumerate(state.uploads):
        if upload.step != OVER:
            yield _uploaded(state, number, upload, protocol)
            if state.crashes:
                yield _upload(state, number, upload._replace(step=OVER))._replace(crashes=state.crashes - 1)
        if upload.intent == "open" and state.expiries:
            yield _upload(state, number, upload._replace(intent="expired"))._replace(expiries=state.expiries - 1)
    for number, collector in enumerate(state.collectors):
        if collector.step != DONE:
            yield _collected(state, number, collector, protocol)
            if state.crashes:
                yield _collector(state, number, Collector(DONE))._replace(crashes=state.crashes - 1)
    if state.drops:
        for version in state.versions:
            yield state._replace(versions=state.versions - {version}, drops=state.drops - 1)


def _upload(state: State, number: int, upload: Upload) -> State:
    return state._replace(uploads=(*state.uploads[:number], upload, *state.uploads[number + 1 :]))


def _collector(state: State, number: int, collector: Collector) -> State:
    return state._replace(collectors=(*state.collectors[:number], collector, *state.collectors[number + 1 :]))


def _uploaded(state: State, number: int, upload: Upload, protocol: Protocol) -> State:
    if upload.step == CLAIM:
        return _claimed(state, number, protocol)
    if upload.step == PUT:
        written = state._replace(store=state.store | {upload.incarnation})
        return _upload(written, number, upload._replace(step=ATTACH))
    return _attached(state, number, upload)


def _claimed(state: State, number: int, protocol: Protocol) -> State:
    """U0 and U1."""
    new = state.last + 1
    if state.blob is None:
        state = state._replace(blob=(new, "pending"), last=new)
    elif state.blob[1] == "deleting":
        if protocol.fresh_key:
            state = state._replace(blob=(new, "pending"), last=new)
        else:
            old = state.blob[0]
            rows = frozenset((one, "pending" if one == old else kind) for one, kind in state.rows)
            state = state._replace(blob=(old, "pending"), rows=rows)
    assert state.blob is not None
    incarnation, kind = state.blob
    if kind == "ready":
        return _upload(state, number, Upload(ATTACH, incarnation, "open", False))
    if not any(one == incarnation for one, _ in state.rows):
        state = state._replace(rows=state.rows | {(incarnation, "pending")})
    return _upload(state, number, Upload(PUT, incarnation, "open", True))


def _attached(state: State, number: int, upload: Upload) -> State:
    """U3, fenced."""
    mine, over = upload.incarnation, upload._replace(step=OVER)
    if upload.intent != "open" or state.blob not in ((mine, "pending"), (mine, "ready")):
        return _upload(state, number, over)
    rows = state.rows
    if state.blob == (mine, "pending"):
        rows = rows - {(mine, "pending")} | {(mine, "ready")}
    done = state._replace(blob=(mine, "ready"), rows=rows, versions=state.versions | {number})
    return _upload(done, number, over._replace(intent=""))


def _collected(state: State, number: int, collector: Collector, protocol: Protocol) -> State:
    step, given = collector
    if step == MARK:
        return _collector(_marked(state, protocol), number, Collector(READ))
    if step == READ:
        doomed = tuple(sorted(one for one, kind in state.rows if kind == "deleting"))
        return _collector(state, number, Collector(DELETE, doomed))
    if step == DELETE:
        gone = state._replace(store=state.store - set(given))
        return _collector(gone, number, Collector(FORGET, given))
    if step == FORGET:
        return _collector(_forgotten(state, given), number, Collector(LOOK))
    if step == LOOK:
        return _collector(state, number, Collector(SWEEP, _unowned(state, ("expired",))))
    if step == SWEEP:
        return _collector(state._replace(store=state.store - set(given)), number, Collector(SETTLE))
    return _collector(_settled(state, protocol), number, Collector(DONE))


def _marked(state: State, protocol: Protocol) -> State:
    """G0."""
    if state.blob is None or state.blob[1] == "deleting" or state.versions:
        return state
    mine = state.blob[0]
    if protocol.intents and any(one.intent == "open" and one.incarnation == mine for one in state.uploads):
        return state
    rows = frozenset((one, "deleting" if one == mine else kind) for one, kind in state.rows)
    return state._replace(blob=(mine, "deleting"), rows=rows)


def _forgotten(state: State, given: tuple[int, ...]) -> State:
    """G2."""
    rows = frozenset((one, kind) for one, kind in state.rows if one not in given or kind != "deleting")
    blob = state.blob
    if blob is not None and blob[1] == "deleting" and not any(one == blob[0] for one, _ in rows):
        blob = None
    return state._replace(rows=rows, blob=blob)


def _unowned(state: State, kinds: tuple[str, ...]) -> tuple[int, ...]:
    """Keys of intents that were given up and that no copy's row names."""
    rows = {one for one, _ in state.rows}
    named = {one.incarnation for one in state.uploads if one.intent in kinds and one.wrote}
    return tuple(sorted(named - rows))


def _settled(state: State, protocol: Protocol) -> State:
    after = "swept" if protocol.retained else ""
    changed = (one._replace(intent=after) if one.intent == "expired" else one for one in state.uploads)
    return state._replace(uploads=tuple(changed))


def lost(state: State) -> bool:
    """Whether a version's content can't be read."""
    if not state.versions:
        return False
    return state.blob is None or state.blob[1] != "ready" or state.blob[0] not in state.store


def at_rest(state: State) -> bool:
    """Whether nobody does anything any more."""
    return all(one.step == OVER for one in state.uploads) and all(one.step == DONE for one in state.collectors)


def cleaned(state: State) -> State:
    """One more run of the collector, much later: every lease is over, and so is the time of every zombie."""
    expired = (one._replace(intent="expired") if one.intent == "open" else one for one in state.uploads)
    state = state._replace(uploads=tuple(expired), collectors=(Collector(),))
    while not at_rest(state):
        state = _collected(state, 0, state.collectors[0], Protocol())
    return state._replace(store=state.store - set(_unowned(state, ("expired", "swept"))))


class Explored(NamedTuple):
    """What was found in all states."""

    states: int
    lost: int
    left: int


def explore(start: State, protocol: Protocol) -> Explored:
    """Go through every state there can be."""
    seen, todo = {start}, [start]
    losses = leftovers = 0
    while todo:
        state = todo.pop()
        losses += lost(state)
        if at_rest(state):
            rest = cleaned(state)
            losses += lost(rest)
            leftovers += rest.store != (frozenset({rest.blob[0]}) if rest.blob and rest.versions else frozenset())
        for after in steps(state, protocol):
            if after not in seen:
                seen.add(after)
                todo.append(after)
    return Explored(len(seen), losses, leftovers)


def world(uploads: int, collectors: int, *, drops: int = 0, expiries: int = 0, crashes: int = 0) -> State:
    """A start with so many of each."""
    return State(
        uploads=(Upload(),) * uploads,
        collectors=(Collector(),) * collectors,
        drops=drops,
        expiries=expiries,
        crashes=crashes,
    )


SHORT = [
    (world(2, 2, drops=1, expiries=1, crashes=1), 36_000),
    (world(3, 1, drops=1, expiries=1, crashes=1), 27_000),
    (world(3, 2, drops=1, expiries=1), 185_000),
]
MANY = [(world(3, 2, drops=2, expiries=2, crashes=1), 1_000_000), (world(3, 3, drops=1, expiries=1), 500_000)]


@pytest.mark.parametrize(("start", "least"), SHORT)
def test_nothing_is_lost_and_nothing_is_left(start: State, least: int) -> None:
    """In every order of the steps each version is readable, and one late run of the collector leaves nothing over."""
    found = explore(start, Protocol())
    assert (found.lost, found.left) == (0, 0)
    assert found.states >= least


@pytest.mark.proof
@pytest.mark.skipif(not LONG, reason="millions of states: MALLCORE_PROOFS=1")
@pytest.mark.parametrize(("start", "least"), MANY)
def test_nothing_is_lost_among_millions_of_states(start: State, least: int) -> None:
    """The same with more uploads, collectors, expiries and crashes."""
    found = explore(start, Protocol())
    assert (found.lost, found.left) == (0, 0)
    assert found.states >= least


def test_the_model_sees_what_goes_wrong_without_a_new_key() -> None:
    """With the digest alone as the key, a collector that stalled deletes what was uploaded again."""
    assert explore(world(2, 2, drops=1), Protocol(fresh_key=False)).lost > 0


def test_the_model_sees_what_goes_wrong_without_intents() -> None:
    """Without intents nothing is lost, for the claim is fenced; but uploads fail that need not, and leave bytes."""
    with_, without = (explore(world(2, 1, drops=1), Protocol(intents=one)) for one in (True, False))
    assert without.states > with_.states
    assert without.lost == 0


def test_the_model_sees_what_a_zombie_leaves_when_it_is_forgotten() -> None:
    """An intent that is dropped as soon as it was swept lets a late writer leave an object that nobody knows."""
    assert explore(world(2, 1, drops=1, expiries=1), Protocol(retained=False)).left > 0
