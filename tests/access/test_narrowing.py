"""Narrowing: what a credential is limited to, and what its principal holds, count only together."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mallcore import Mall, Principal, access, attachments, structure, webhooks
from mallcore.errors import Denied, MallError
from mallcore.kernel.context import Credential
from mallcore.kernel.operations import anywhere, run
from mallcore.kernel.ports import EVERYWHERE, Policy, Presented, Reach, Subject, Verifiers

ME = Principal.system("test")
IDS = st.sampled_from("abc")
SETS = st.frozensets(IDS, max_size=2)
REACHES = st.builds(Reach, st.booleans(), SETS, SETS, SETS)
LIMITS = st.builds(Reach, st.booleans(), SETS, SETS)
SUBJECTS = st.builds(Subject, st.none() | IDS, st.none() | IDS, st.lists(IDS, max_size=2).map(tuple))


@given(REACHES, LIMITS, LIMITS, SUBJECTS)
def test_a_narrowed_reach_covers_what_both_cover(held: Reach, limit: Reach, another: Reach, subject: Subject) -> None:
    """A call is within a narrowed reach if, and only if, it is within each of the reaches; however often narrowed."""
    narrowed = held.narrowed(limit)
    assert narrowed.covers(subject) == (held.covers(subject) and limit.covers(subject))
    again = narrowed.narrowed(another)
    assert again.covers(subject) == (narrowed.covers(subject) and another.covers(subject))


@given(REACHES, LIMITS)
def test_only_what_has_no_bounds_is_everywhere(held: Reach, limit: Reach) -> None:
    """`everywhere` is a promise on which checks and lists rely: it holds of no reach that is narrowed."""
    assert held.narrowed(limit).everywhere == (held.everywhere and limit.everywhere)
    assert held.narrowed(EVERYWHERE) == held


@given(REACHES, LIMITS, IDS, IDS)
def test_a_narrowed_subtree_counts_where_its_channel_does(held: Reach, limit: Reach, unit: str, channel: str) -> None:
    """Of the subtrees within reach, those count that lie in a channel to which the credential is limited."""
    there = Subject(unit, channel)
    narrowed = held.narrowed(limit)
    if not narrowed.everywhere and not held.everywhere and not limit.everywhere:
        assert narrowed.nodes_in(there) == (held.nodes if limit.covers(there) else frozenset())


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mall]:
    """Two units with two channels each, and in each channel a category, a file under hold, and a snapshot."""
    folder = tmp_path_factory.mktemp("narrow")
    with Mall.open("sqlite://", folder=folder) as mall:
        with mall.begin(ME) as ctx:
            structure.create_unit(ctx, slug="north", name="North")
            for slug, unit in PLACES:
                structure.create_channel(ctx, slug=slug, name=slug.title(), unit=unit)
                structure.create_section(ctx, channel=slug, name="Top")
                structure.create_category(ctx, channel=slug, name="Inner", parent="top")
                structure.create_snapshot(ctx, name=f"of-{slug}", channels=[slug])
                webhooks.create_webhook(ctx, url="https://shop.example/", events=["structure.*"], channel=slug)
        for slug, _ in PLACES:
            hang(mall, f"category:{slug}/top/inner")
        yield mall


def hang(mall: Mall, owner: str) -> None:
    """Hang a file that is held, and one that is bad."""
    with mall.begin(ME) as ctx:
        contents = {name: f"{name} {owner}".encode() for name in ("held", "bad")}
        staged = [
            attachments.stage(ctx, file=one, file_name=f"{name}.txt", owner=owner) for name, one in contents.items()
        ]
        held, bad = (attachments.attach(ctx, staged=one) for one in staged)
        attachments.place_hold(ctx, attachment=held.attachment, reason="a lawsuit")
        attachments.record_verdict(ctx, version=bad.ref, check="virus", result="bad", tool="a scanner")


PLACES = (("books", "main"), ("toys", "main"), ("games", "north"), ("maps", "north"))
GRANTS: dict[str, dict[str, Any]] = {
    "mall": {},
    "unit": {"scope": "unit", "unit": "main"},
    "channel": {"scope": "channel", "channel": "books"},
    "subtree": {"scope": "subtree", "channel": "books", "node": "top"},
}
NARROWINGS: dict[str, dict[str, Any]] = {
    "nothing": {},
    "unit": {"units": ["main"]},
    "other unit": {"units": ["north"]},
    "channel": {"channels": ["books"]},
    "channels": {"channels": ["toys", "games"]},
    "unit and channel": {"units": ["north"], "channels": ["books"]},
}
LISTS = ("structure.list_channels", "structure.list_snapshots", "attachments.list_attachments", "audit.list_records",
         "attachments.list_holds", "attachments.list_quarantined", "webhooks.list_webhooks")  # fmt: skip


def bearer(mall: Mall, where: dict[str, Any], **limits: Any) -> Principal:
    """A client that owns something, recognised by a key with these limits."""
    with mall.begin(ME) as ctx:
        client = access.create_client(ctx, name="A partner")
        access.grant(ctx, principal=client.principal, role="owner", **where)
        token = access.create_api_key(ctx, client=client.id, name="Key", **limits).secret or ""
    found: Principal = mall.services.ports[Verifiers].of(token).verify(Presented(token))
    return found


def listed(mall: Mall, who: Principal, name: str) -> set[str]:
    """What somebody is shown of a list."""
    with mall.begin(who) as ctx:
        try:
            page = run(mall.catalogue[name], ctx, {"limit": 200})
        except Denied:
            return set()
    return {getattr(one, "id", None) or getattr(one, "name", None) or repr(one) for one in page.items}


@pytest.mark.parametrize(("grant", "narrowing"), list(product(GRANTS, NARROWINGS)))
def test_lists_show_what_both_allow(world: Mall, grant: str, narrowing: str) -> None:
    """Each list shows a key's bearer what its client sees without the key, as far as an owner of the limits sees it."""
    where, limits = GRANTS[grant], NARROWINGS[narrowing]
    narrowed, whole, limited = bearer(world, where, **limits), bearer(world, where), bearer(world, {}, **limits)
    for name in LISTS:
        whole_list = listed(world, whole, name)
        assert listed(world, narrowed, name) == whole_list & listed(world, limited, name), name
    assert listed(world, narrowed, "structure.list_units") <= listed(world, whole, "structure.list_units")


@pytest.mark.parametrize(("grant", "narrowing"), list(product(GRANTS, NARROWINGS)))
def test_what_is_done_lies_within_both(world: Mall, grant: str, narrowing: str) -> None:
    """A key's bearer changes and reads a channel, or a part of it, where client and key both may; nowhere else."""
    where, limits = GRANTS[grant], NARROWINGS[narrowing]
    narrowed, whole, limited = bearer(world, where, **limits), bearer(world, where), bearer(world, {}, **limits)
    for slug, unit in PLACES:
        channel = f"{unit}:{slug}"
        for name, more in (
            ("structure.get_channel", {}),
            ("structure.get_node", {"node": "top/inner"}),
            ("structure.update_node", {"node": "top/inner", "name": "New"}),
            ("structure.update_channel", {"name": "New"}),
        ):
            asked = {"channel": channel, **more}
            both = may(world, whole, name, asked) and may(world, limited, name, asked)
            assert may(world, narrowed, name, asked) == both, (name, slug)


def may(mall: Mall, who: Principal, name: str, given: dict[str, Any]) -> bool:
    """Whether a call is let through; what it did is rolled back."""
    try:
        with mall.begin(who) as ctx:
            run(mall.catalogue[name], ctx, given)
            raise _Undo
    except _Undo:
        return True
    except Denied:
        return False


class _Undo(Exception):
    """Leaves a block, so that it is rolled back."""


def test_a_key_of_some_scopes_does_just_those(world: Mall) -> None:
    """Of an owner's permissions, a key for reading the structure leaves that one; also in `my_permissions`."""
    who = bearer(world, {}, scopes=["structure.read", "attachments.*"])
    with world.begin(who) as ctx:
        shown = access.my_permissions(ctx)
    names = {one.permission for one in shown.permissions}
    assert names == {"structure.read"} | {name for name in _permissions(world) if name.startswith("attachments.")}
    assert shown.credential == (who.credential and who.credential.id)
    for name, known in world.catalogue.items():
        if known.permission is not None and known.permission not in names:
            with world.begin(who) as ctx, pytest.raises(MallError) as refused:
                ctx.require(known.permission)
            assert isinstance(refused.value, Denied), name


def _permissions(mall: Mall) -> set[str]:
    return {one.permission for one in mall.catalogue.values() if one.permission is not None}


def test_ones_permissions_are_shown_as_narrowed(world: Mall) -> None:
    """Where both are bounded, the bounds of the key are shown beside the places of the grants."""
    who = bearer(world, {"scope": "unit", "unit": "main"}, channels=["books"])
    with world.begin(who) as ctx:
        found = {one.permission: one for one in access.my_permissions(ctx).permissions}["structure.read"]
        main, books = (
            structure.get_channel(ctx, channel="books").unit_id,
            structure.get_channel(ctx, channel="books").id,
        )
    assert (found.everywhere, found.units) == (False, [main])
    assert found.within is not None
    assert found.within.channels == [books]


def test_a_credential_narrows_even_the_system(world: Mall) -> None:
    """A host that hands out a narrowed system principal gets what it asked for."""
    with world.begin(Principal("system", "x", credential=Credential("c", frozenset({"audit.read"})))) as ctx:
        assert not ctx.may("structure.read")
        assert ctx.may("audit.read")


class _Staff(Policy):
    """A host's own policy: staff may do everything in one channel; it is asked once, and then knows."""

    generation = 0

    def __init__(self) -> None:
        self.channel = ""
        self.asked = 0
        self._known: dict[tuple[str, str], Reach] = {}

    def recall(self, principal: Principal, permission: str) -> Reach | None:
        return self._known.get((principal.ref, permission))

    def reach(self, principal: Principal, permission: str) -> Reach:
        self.asked += 1
        found = Reach(channels=frozenset({self.channel})) if principal.ref.startswith("client:cli_") else Reach()
        self._known[principal.ref, permission] = found
        return found


def test_a_policy_of_ones_own_is_narrowed_too() -> None:
    """A host that decides by itself who may do what gets credentials, narrowed lists and refusals all the same."""
    policy = _Staff()
    with Mall.open("sqlite://", policy=policy) as mall:
        with mall.begin(ME) as ctx:
            policy.channel = structure.create_channel(ctx, slug="books", name="Books").id
            structure.create_channel(ctx, slug="toys", name="Toys")
        free, reading, elsewhere = (
            bearer(mall, {}, **limits) for limits in ({}, {"scopes": ["structure.read"]}, {"channels": ["toys"]})
        )
        for who, seen in ((free, 1), (reading, 1), (elsewhere, 0), (Principal.user("ada"), 0)):
            assert len(listed(mall, who, "structure.list_channels")) == seen
        update = {"channel": "books", "name": "New"}
        assert [may(mall, who, "structure.update_channel", update) for who in (free, reading, elsewhere)] == [
            True, False, False,
        ]  # fmt: skip
        asked = policy.asked
        listed(mall, free, "structure.list_channels")
        assert policy.asked == asked


def test_no_list_forgets_to_narrow(world: Mall) -> None:
    """Every list that shows each caller only what it may see is asked here, or shows nothing of the kind."""
    lists = {name for name, one in world.catalogue.items() if one.subject is anywhere and one.permission}
    of_a_list = {"webhooks.list_dead"}  # of the subscriptions that are listed
    assert lists - set(LISTS) - of_a_list <= {"structure.list_units", "structure.get_snapshot"}
