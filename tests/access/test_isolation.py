"""Isolation: every operation against every kind of principal, subtree grants, filtered lists, grants that end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest

from mallcore import Mall, Principal, access, attachments, audit, structure, webhooks
from mallcore.errors import Denied, MallError, NotFound, Unauthenticated
from mallcore.kernel.operations import anywhere, run
from tests.access.login.desk import Desk, of_ada
from tests.attachments.pictures import png

ME = Principal.system("test")
LATER = datetime(2040, 1, 1, tzinfo=UTC)


@dataclass
class World:
    """A mall with two units; all that is asked about is in the channel `books`, most of it in `fiction/crime`."""

    mall: Mall
    ids: dict[str, str]

    def call(self, principal: Principal, name: str, given: dict[str, Any], request_id: str | None = None) -> Any:
        """What an operation gives, or raises; whatever it did is rolled back."""
        try:
            with self.mall.begin(principal, request_id=request_id) as ctx:
                raise _Undo(run(self.mall.catalogue[name], ctx, given))
        except _Undo as done:
            (found,) = done.args
            getattr(found, "close", lambda: None)()
            return found

    def give(self, principal: Principal, role: str, **where: Any) -> str:
        """Grant a role."""
        with self.mall.begin(ME) as ctx:
            return access.grant(ctx, principal=principal.ref, role=role, **where).id

    def digest(self) -> str:
        """Stands for all that `books` holds."""
        with self.mall.begin(ME) as ctx:
            return structure.get_channel(ctx, channel="books").digest

    def refused(self, request_id: str) -> list[tuple[str, str]]:
        """Who was refused what, in a request."""
        with self.mall.begin(ME) as ctx:
            found = audit.list_records(ctx, request_id=request_id, outcome="denied").items
        return [(one.principal, one.operation) for one in found]


class _Undo(Exception):
    """Leaves a block, so that it is rolled back."""


@pytest.fixture
def world(database_url: str) -> Iterator[World]:
    """The world before anything is granted."""
    stores = {"second": "memory://", "third": "memory://"}
    logins = access.Logins([Desk()], new_user=lambda identity: identity.subject)
    with Mall.open(database_url, migrate="always", stores=stores, logins=logins) as mall:
        with mall.begin(ME) as ctx:
            structure.create_unit(ctx, slug="north", name="North")
            for slug, unit in (("books", "main"), ("toys", "main"), ("games", "north")):
                structure.create_channel(ctx, slug=slug, name=slug.title(), unit=unit)
            for section, category in (("Fiction", "Crime"), ("Travel", "Maps")):
                structure.create_section(ctx, channel="books", name=section)
                structure.create_category(ctx, channel="books", name=category, parent=section.lower())
            structure.create_category(ctx, channel="books", name="Noir", parent="fiction/crime")
            gone = structure.create_category(ctx, channel="books", name="Gone", parent="fiction")
            structure.remove(ctx, channel="books", node="fiction/gone")
            draft = structure.open_draft(ctx, channel="books", name="Spring")
            structure.edit_draft(ctx, draft=draft.id, edits=RENAMED)
            waiting = structure.open_draft(ctx, channel="books", name="Summer")
            (schedule,) = structure.schedule_draft(ctx, draft=waiting.id, at=LATER)
            structure.create_snapshot(ctx, name="spring", channels=["books"])
            access.set_role(ctx, role="clerk", permissions=["structure.read"])
            grant = access.grant(ctx, principal="user:other", role="visitor", scope="unit", unit="main")
            client, disabled = (access.create_client(ctx, name=name).id for name in ("A partner", "An old partner"))
            access.disable_client(ctx, client=disabled)
            api_key = access.create_api_key(ctx, client=client, name="Stock").id
            access.register_oauth_client(ctx, client=client, scopes=["structure.read"])
        with mall.begin(ME) as ctx:
            record = audit.list_records(ctx, event="structure.revised", limit=1).items[0].id
            log = {"record": record, "checkpoint": str(audit.checkpoint(ctx).size)}
            log |= {"client": client, "disabled": disabled, "api_key": api_key}
            hook = webhooks.create_webhook(ctx, url="https://shop.example/", events=["audit.*"], channel="books")
            log |= {"webhook": hook.id, "delivery": webhooks.ping(ctx, webhook=hook.id).id}
        for ref in (ME.ref, "user:ada"):
            mall.services.ports[access.OAuthStore].consent(ref, client, ["structure.read"])
        yield World(
            mall,
            {
                **log,
                **hung(mall),
                **of_ada(mall),
                "gone": gone.id,
                "draft": draft.id,
                "schedule": schedule.id,
                "grant": grant.id,
            },
        )


def hung(mall: Mall) -> dict[str, str]:
    """Hang a picture on `fiction/crime`, and another that no label shows; leave one staged. Returns their ids."""
    crime = "category:books/fiction/crime"
    with mall.begin(ME) as ctx:
        waiting = attachments.stage(ctx, file=b"waiting", file_name="b.txt", owner=crime)
        spare = attachments.stage(ctx, file=b"spare", file_name="c.txt", owner=crime)
        picture = attachments.stage(ctx, file=png(), file_name="p.png", owner=crime, slot="image")
        made = attachments.upload_file(ctx, file=b"hung", file_name="a.txt", owner=crime)
        shown_nowhere = attachments.attach(ctx, staged=spare, label=None)
        drawn = attachments.attach(ctx, staged=picture)
        hold = attachments.place_hold(ctx, attachment=made.attachment, reason="a lawsuit")
    with mall.begin(ME) as ctx:
        link = attachments.link(ctx, version=made.ref, to="anyone")
    ids = {"attachment": made.attachment, "version": made.ref, "staged": waiting.id, "picture": drawn.ref}
    ids |= {"drawn": drawn.attachment, "token": link.token}
    return {**ids, "spare": shown_nowhere.ref, "hold": hold.id, **under_way(mall, crime)}


def under_way(mall: Mall, owner: str) -> dict[str, str]:
    """Begin uploads of every kind; returns their ids, and a ticket."""
    with mall.begin(ME) as ctx:
        upload, ended = (attachments.begin_upload(ctx, file_name="d.txt", owner=owner) for _ in range(2))
        sent, unused = (attachments.begin_direct(ctx, file_name="e.txt", size=1, owner=owner) for _ in range(2))
        attachments.receive_direct(ctx, upload=sent.upload, ticket=sent.url.partition("=")[2], content=b"e")
    ids = {"upload": upload.id, "ended": ended.id, "direct": sent.upload, "unused": unused.upload}
    return {**ids, "ticket": unused.url.partition("=")[2]}


RENAMED: Any = [{"op": "update", "node": "fiction/crime", "name": "Crimes"}]
BOOKS = {"channel": "books"}
CRIME = {"channel": "books", "node": "fiction/crime"}

# What each operation is asked: about `books`, its unit `main`, or what hangs on them. ``$`` names one of the ids.
ARGUMENTS: dict[str, dict[str, Any]] = {
    "access.create_api_key": {"client": "$client", "name": "Another"},
    "access.create_client": {"name": "A partner"},
    "access.disable_client": {"client": "$client"},
    "access.enable_client": {"client": "$disabled"},
    "access.end_session": {"session": "$session"},
    "access.end_sessions": {"principal": "user:x"},
    "access.get_api_key": {"api_key": "$api_key"},
    "access.get_client": {"client": "$client"},
    "access.get_oauth_client": {"client": "$client"},
    "access.grant": {"principal": "user:x", "role": "visitor", "scope": "channel", "channel": "books"},
    "access.list_api_keys": {},
    "access.list_clients": {},
    "access.link_identity": {"ticket": "$link_ticket"},
    "access.list_grants": {},
    "access.list_identities": {},
    "access.list_keys": {},
    "access.list_oauth_clients": {},
    "access.list_oauth_consents": {},
    "access.list_roles": {},
    "access.list_sessions": {},
    "access.my_permissions": {},
    "access.register_oauth_client": {"client": "$disabled", "scopes": ["structure.read"]},
    "access.remove_oauth_client": {"client": "$client"},
    "access.remove_role": {"role": "clerk"},
    "access.revoke": {"grant": "$grant"},
    "access.revoke_api_key": {"api_key": "$api_key"},
    "access.revoke_key": {"purpose": "links", "number": 1},
    "access.rotate_api_key": {"api_key": "$api_key"},
    "access.rotate_key": {"purpose": "links"},
    "access.rotate_oauth_secret": {"client": "$client"},
    "access.unlink_identity": {"identity": "$identity"},
    "access.set_role": {"role": "chief", "permissions": ["structure.edit"]},
    "access.update_api_key": {"api_key": "$api_key", "scopes": ["structure.read"]},
    "access.update_client": {"client": "$client", "name": "Another"},
    "access.update_oauth_client": {"client": "$client", "trusted": True},
    "access.withdraw_oauth_consent": {"client": "$client"},
    "attachments.append": {"upload": "$upload", "offset": 0, "content": b""},
    "attachments.attach": {"staged": "$staged"},
    "attachments.begin_direct": {"file_name": "c.txt", "size": 3, "owner": "category:books/fiction/crime"},
    "attachments.begin_upload": {"file_name": "c.txt", "owner": "category:books/fiction/crime"},
    "attachments.collect": {},
    "attachments.deliver": {"version": "$version"},
    "attachments.deliver_file": {"attachment": "$drawn", "n": 1, "name": "p.png"},
    "attachments.deliver_link": {"token": "$token"},
    "attachments.derivative": {"version": "$picture", "recipe": "small"},
    "attachments.drop_version": {"version": "$spare"},
    "attachments.end_upload": {"upload": "$ended"},
    "attachments.erase": {"principal": "user:nobody"},
    "attachments.finish_direct": {"upload": "$direct"},
    "attachments.finish_upload": {"upload": "$upload"},
    "attachments.get_attachment": {"attachment": "$attachment"},
    "attachments.get_upload": {"upload": "$upload"},
    "attachments.get_version": {"version": "$version"},
    "attachments.label_history": {"attachment": "$attachment", "label": "live"},
    "attachments.link": {"version": "$version"},
    "attachments.list_attachments": {},
    "attachments.list_holds": {},
    "attachments.list_quarantined": {},
    "attachments.list_stores": {},
    "attachments.list_verdicts": {"version": "$version"},
    "attachments.list_versions": {"attachment": "$attachment"},
    "attachments.migrate": {"to": "second"},
    "attachments.mirror": {"store": "third"},
    "attachments.open_derivative": {"version": "$picture", "recipe": "small"},
    "attachments.open_link": {"token": "$token"},
    "attachments.open_version": {"version": "$version"},
    "attachments.place_hold": {"attachment": "$attachment", "reason": "a lawsuit"},
    "attachments.public_url": {"version": "$picture"},
    "attachments.receive_direct": {"upload": "$unused", "ticket": "$ticket", "content": b"e"},
    "attachments.record_verdict": {"version": "$version", "check": "virus", "result": "clean", "tool": "a scanner"},
    "attachments.release_hold": {"hold": "$hold"},
    "attachments.remove_attachment": {"attachment": "$attachment"},
    "attachments.remove_label": {"attachment": "$attachment", "label": "live"},
    "attachments.restore_version": {"version": "$version"},
    "attachments.revoke_link": {"link": "$token"},
    "attachments.scrub": {},
    "attachments.set_label": {"attachment": "$attachment", "label": "draft", "to": 1},
    "attachments.set_retention": {"version": "$version", "until": LATER},
    "attachments.stage": {"file": b"new", "file_name": "c.txt", "owner": "category:books/fiction/crime"},
    "attachments.upload_file": {"file": b"new", "file_name": "c.txt", "owner": "category:books/fiction/crime"},
    "audit.checkpoint": {},
    "audit.consistency": {"old": "$checkpoint"},
    "audit.erase_subject": {"principal": "user:other"},
    "audit.get_record": {"record": "$record"},
    "audit.ingest": {"data": b""},
    "audit.list_checkpoints": {},
    "api.breakage": {"version": "2026-05-01"},
    "api.diff_versions": {"version": "2026-05-01"},
    "api.get_version": {"version": "2026-05-01"},
    "api.list_versions": {},
    "api.notes": {"version": "2026-05-01"},
    "api.schema": {"version": "2026-05-01"},
    "api.usage": {},
    "audit.list_records": {},
    "audit.prove": {"record": "$record"},
    "audit.verification_keys": {},
    "audit.verify": {},
    "structure.cancel_schedule": {"schedule": "$schedule"},
    "structure.carry_out": {"schedule": "$schedule"},
    "structure.create_channel": {"slug": "new", "name": "New", "unit": "main"},
    "structure.create_node": {**BOOKS, "name": "New", "parent": "fiction/crime"},
    "structure.create_snapshot": {"name": "autumn", "channels": ["toys", "books"]},
    "structure.create_unit": {"slug": "new", "name": "New"},
    "structure.diff_revisions": BOOKS,
    "structure.discard_draft": {"draft": "$draft"},
    "structure.edit": {**BOOKS, "edits": RENAMED},
    "structure.edit_draft": {"draft": "$draft", "edits": RENAMED},
    "structure.effective_rules": CRIME,
    "structure.export": BOOKS,
    "structure.get_channel": BOOKS,
    "structure.get_draft": {"draft": "$draft"},
    "structure.get_node": CRIME,
    "structure.get_revision": {**BOOKS, "number": 1},
    "structure.get_snapshot": {"snapshot": "spring"},
    "structure.get_unit": {"unit": "main"},
    "structure.give_up": {"schedule": "$schedule", "error": "no"},
    "structure.import_taxonomy": {**BOOKS, "data": b"1 - Animals\n"},
    "structure.list_changes": BOOKS,
    "structure.list_channels": {},
    "structure.list_drafts": BOOKS,
    "structure.list_schedules": BOOKS,
    "structure.list_snapshots": {},
    "structure.list_units": {},
    "structure.log": BOOKS,
    "structure.move": CRIME,
    "structure.open_draft": {**BOOKS, "name": "New"},
    "structure.preview_draft": {"draft": "$draft"},
    "structure.preview_tree": {"draft": "$draft"},
    "structure.publish_draft": {"draft": "$draft"},
    "structure.remove": {**CRIME, "policy": "cascade"},
    "structure.remove_channel": BOOKS,
    "structure.reorder": {**BOOKS, "children": ["travel", "fiction"]},
    "structure.restore": {**BOOKS, "node": "$gone"},
    "structure.restore_channel": BOOKS,
    "structure.rollback": {**BOOKS, "to": 1},
    "structure.schedule_draft": {"draft": "$draft", "at": LATER},
    "structure.schedule_undo": {**BOOKS, "number": 1, "at": LATER},
    "structure.set_rules": {**CRIME, "rules": [{"kind": "sort", "by": "price"}]},
    "structure.tree": CRIME,
    "structure.tree_reader": BOOKS,
    "structure.undo": {**BOOKS, "number": 5},
    "structure.update_channel": {**BOOKS, "name": "New"},
    "structure.update_node": {**CRIME, "name": "New"},
    "structure.update_unit": {"unit": "main", "name": "New"},
    "structure.verify": BOOKS,
    "structure.watch": BOOKS,
    "webhooks.create_webhook": {"url": "https://shop.example/", "events": ["audit.*"], "channel": "books"},
    "webhooks.get_delivery": {"webhook": "$webhook", "delivery": "$delivery"},
    "webhooks.get_webhook": {"webhook": "$webhook"},
    "webhooks.list_dead": {},
    "webhooks.list_deliveries": {"webhook": "$webhook"},
    "webhooks.list_webhooks": {},
    "webhooks.ping": {"webhook": "$webhook"},
    "webhooks.remove_webhook": {"webhook": "$webhook"},
    "webhooks.replay": {"webhook": "$webhook", "delivery": "$delivery"},
    "webhooks.replay_since": {"webhook": "$webhook", "since": datetime(2020, 1, 1, tzinfo=UTC)},
    "webhooks.rotate_secret": {"webhook": "$webhook"},
    "webhooks.update_webhook": {"webhook": "$webhook", "state": "disabled"},
}
FOR_ALL = {
    "access.my_permissions",
    *("access.list_oauth_consents", "access.withdraw_oauth_consent"),  # one's own
    *("access.end_session", "access.list_identities", "access.list_sessions", "access.unlink_identity"),  # of Ada's own
    *(
        "api.diff_versions",
        "api.get_version",
        "api.list_versions",
        "api.notes",
        "api.schema",
    ),  # what the API says of itself
    "attachments.deliver_file",  # of what is public
    *(
        "attachments.deliver_link",
        "attachments.open_link",
        "attachments.receive_direct",
    ),  # for who has one, or a ticket
}
ALSO = {"attachments.link": ["attachments.read"]}  # operations that ask for a second permission
UNKNOWN: dict[str, Any] = {
    "client": f"cli_{0:032x}",
    "api_key": f"key_{0:032x}",
    "channel": "nowhere",
    "channels": ["toys", "nowhere"],
    "draft": f"drf_{0:032x}",
    "schedule": f"sch_{0:032x}",
    "grant": f"grt_{0:032x}",
    "hold": f"hld_{0:032x}",
    "unit": "nowhere",
    "role": "nothing",
    "record": f"aud_{0:032x}",
    "attachment": f"att_{0:032x}",
    "version": f"att_{0:032x}@1",
    "staged": f"upl_{0:032x}",
    "upload": f"upl_{0:032x}",
    "owner": "category:nowhere/fiction/crime",
    "webhook": f"whk_{0:032x}",
    "delivery": f"dlv_{0:032x}",
}


def given(world: World, name: str) -> dict[str, Any]:
    """The arguments of an operation."""
    return {
        key: world.ids[value[1:]] if isinstance(value, str) and value.startswith("$") else value
        for key, value in ARGUMENTS[name].items()
    }


def everything_but(world: World, permission: str) -> list[str]:
    """All permissions there are, without one."""
    return sorted({one.permission for one in world.mall.catalogue.values() if one.permission} - {permission})


def test_every_operation_has_its_row(world: World) -> None:
    """Who adds an operation says here what it is about."""
    assert sorted(ARGUMENTS) == sorted(world.mall.catalogue)


def test_the_table_asks_what_can_be_done(world: World) -> None:
    """Each row is a call that succeeds for one who may do everything, so a refusal is a refusal of access."""
    for name in ARGUMENTS:
        world.call(ME, name, given(world, name))


ADA = Principal.user("ada")
STRANGERS: dict[str, tuple[Principal, dict[str, Any]]] = {
    "nobody": (ADA, {}),
    "anonymous": (Principal.anonymous(), {}),
    "owner of another unit": (ADA, {"scope": "unit", "unit": "north"}),
    "owner of another channel": (ADA, {"scope": "channel", "channel": "toys"}),
    "owner of another subtree": (ADA, {"scope": "subtree", "channel": "books", "node": "travel"}),
    "client of another channel": (Principal.client("till"), {"scope": "channel", "channel": "north:games"}),
}


@pytest.mark.parametrize("stranger", STRANGERS)
def test_strangers_are_refused_and_put_on_record(world: World, stranger: str) -> None:
    """Whoever holds nothing that covers the call is refused, the refusal is recorded, and nothing has changed."""
    principal, where = STRANGERS[stranger]
    if where:
        world.give(principal, "owner", **where)
    before = world.digest()
    for number, (name, known) in enumerate(world.mall.catalogue.items()):
        if name in FOR_ALL or (where and known.subject is anywhere):
            continue
        with pytest.raises(Unauthenticated if principal.kind == "anonymous" else Denied):
            world.call(principal, name, given(world, name), request_id=f"call-{number}")
        assert (name, world.refused(f"call-{number}")) == (name, [(principal.ref, name)])
    assert world.digest() == before


@pytest.mark.parametrize("stranger", [name for name, (_, where) in STRANGERS.items() if "node" not in where])
def test_the_unknown_looks_like_the_foreign(world: World, stranger: str) -> None:
    """Nobody learns by trying what exists outside of what they may see: the answers are the same to the letter."""
    principal, where = STRANGERS[stranger]
    if where:
        world.give(principal, "owner", **where)
    for name, known in world.mall.catalogue.items():
        if name in FOR_ALL or known.subject is anywhere:
            continue
        foreign = given(world, name)
        unknown = {key: UNKNOWN.get(key, value) for key, value in foreign.items()}
        assert _refusal(world, principal, name, foreign) == _refusal(world, principal, name, unknown)


def _refusal(world: World, principal: Principal, name: str, arguments: dict[str, Any]) -> tuple[Any, ...]:
    with pytest.raises(MallError) as refused:
        world.call(principal, name, arguments)
    return name, type(refused.value), str(refused.value), refused.value.details


def test_a_foreign_snapshot_looks_like_an_unknown_one(world: World) -> None:
    """A snapshot of channels one may not see is none."""
    world.give(ADA, "owner", scope="channel", channel="toys")
    for name in ("spring", "no-such-thing"):
        with pytest.raises(NotFound) as refused:
            world.call(ADA, "structure.get_snapshot", {"snapshot": name})
        assert str(refused.value) == f"There is no snapshot {name!r}."


def test_a_node_outside_ones_subtree_looks_like_an_unknown_one(world: World) -> None:
    """Who may read a subtree learns nothing of the names of what is beside it."""
    world.give(ADA, "owner", scope="subtree", channel="books", node="travel")
    for name in ("structure.tree", "structure.get_node", "structure.effective_rules"):
        outside = _refusal(world, ADA, name, {"channel": "books", "node": "fiction/crime"})
        assert outside == _refusal(world, ADA, name, {"channel": "books", "node": "fiction/love"})
        assert world.call(ADA, name, {"channel": "books", "node": "travel/maps"})


def test_a_role_without_the_permission_does_not_help(world: World) -> None:
    """A role of every permission but the one that is asked for is refused, everywhere; of that one alone
    (and what else the operation says it needs), it is let."""
    for name, known in world.mall.catalogue.items():
        if known.permission is None:
            continue
        principal = Principal.user(name)
        with world.mall.begin(ME) as ctx:
            access.set_role(ctx, role="lacking", permissions=everything_but(world, known.permission))
            access.set_role(ctx, role="holding", permissions=[known.permission, *ALSO.get(name, ())])
        lacking = world.give(principal, "lacking")
        with pytest.raises(Denied) as refused:
            world.call(principal, name, given(world, name))
        assert refused.value.permission == known.permission
        with world.mall.begin(ME) as ctx:
            access.revoke(ctx, grant=lacking)
        world.give(principal, "holding")
        world.call(principal, name, given(world, name))


@pytest.mark.parametrize(
    ("scope", "where"),
    [
        ("unit", {"scope": "unit", "unit": "main"}),
        ("channel", {"scope": "channel", "channel": "books"}),
        ("subtree", {"scope": "subtree", "channel": "books", "node": "fiction"}),
    ],
)
def test_a_grant_opens_what_lies_in_its_scope(world: World, scope: str, where: dict[str, Any]) -> None:
    """An owner of the unit, channel or subtree that a call is about may do what lies wholly inside it."""
    world.give(ADA, "owner", **where)
    allowed = set()
    for name in ARGUMENTS:
        arguments = {**given(world, name), **({"channels": ["books"]} if name == "structure.create_snapshot" else {})}
        try:
            world.call(ADA, name, arguments)
        except Denied:
            continue
        except NotFound:  # a snapshot of which nothing may be seen
            allowed.add(f"{name}, but not this one")
            continue
        allowed.add(name)
    lists = {name for name, one in world.mall.catalogue.items() if one.subject is anywhere} | FOR_ALL
    of_the_mall = {name for name, one in world.mall.catalogue.items() if one.subject.__name__ == "whole_mall"} - FOR_ALL
    if scope == "subtree":
        inside = {"create_node", "edit", "effective_rules", "get_node", "move", "remove", "restore", "set_rules"}
        inside |= {"tree", "undo", "update_node"}
        refused_here = {"structure.move"}  # the table's move leads to the top of the channel
        lists = lists - {"structure.get_snapshot"} | {"structure.get_snapshot, but not this one"}
        # what is asked of attachments is all about `fiction/crime`
        hanging = {name for name in ARGUMENTS if name.startswith("attachments.")} - of_the_mall
        assert allowed == {f"structure.{name}" for name in inside} - refused_here | hanging | lists
    else:
        of_the_unit = {"structure.create_channel", "structure.get_unit", "structure.update_unit"}
        assert allowed == set(ARGUMENTS) - of_the_mall - (of_the_unit if scope == "channel" else set())


# --- subtrees


SUBTREE: dict[str, tuple[str, dict[str, Any]]] = {
    "move out": ("move", {"node": "fiction/crime", "parent": "travel"}),
    "move out to the top": ("move", {"node": "fiction/crime"}),
    "move in": ("move", {"node": "travel/maps", "parent": "fiction"}),
    "move the top": ("move", {"node": "fiction", "index": 5}),
    "remove the top": ("remove", {"node": "fiction", "policy": "cascade"}),
    "lift the top's children": ("remove", {"node": "fiction", "policy": "reparent"}),
    "remove outside": ("remove", {"node": "travel/maps"}),
    "create outside": ("create_node", {"name": "New", "parent": "travel"}),
    "create at the top": ("create_node", {"name": "New"}),
    "rename outside": ("update_node", {"node": "travel", "name": "New"}),
    "reorder outside": ("reorder", {"children": ["travel", "fiction"]}),
    "rules outside": ("set_rules", {"node": "travel", "rules": [{"kind": "sort", "by": "price"}]}),
    "rules of the channel": ("set_rules", {"rules": [{"kind": "sort", "by": "price"}]}),
    "one foreign edit among many": (
        "edit",
        {
            "edits": [
                {"op": "create", "name": "Mine", "parent": "fiction"},
                {"op": "update", "node": "travel/maps", "name": "Theirs"},
                {"op": "create", "name": "Mine too", "parent": "fiction"},
            ]
        },
    ),
    "out and back": (
        "edit",
        {
            "edits": [
                {"op": "create", "name": "Mine", "parent": "fiction"},
                {"op": "move", "node": "travel/maps", "parent": "fiction"},
            ]
        },
    ),
    "roll the channel back": ("rollback", {"to": 1}),
    "roll another subtree back": ("rollback", {"to": 3, "node": "travel"}),
    "undo outside": ("undo", {"number": 4}),
    "import": ("import_taxonomy", {"data": b"1 - Animals\n"}),
    "the channel itself": ("update_channel", {"name": "New"}),
}


@pytest.mark.parametrize("case", SUBTREE)
def test_what_reaches_out_of_a_subtree_is_refused_whole(world: World, case: str) -> None:
    """An editor of a subtree changes nothing outside it, not even together with what is inside."""
    world.give(ADA, "owner", scope="subtree", channel="books", node="fiction")
    name, arguments = SUBTREE[case]
    before = world.digest()
    with pytest.raises(Denied):
        world.call(ADA, f"structure.{name}", {**BOOKS, **arguments}, request_id="outside")
    assert world.digest() == before
    assert world.refused("outside") == [(ADA.ref, f"structure.{name}")]


INSIDE: dict[str, tuple[str, dict[str, Any]]] = {
    "move": ("move", {"node": "fiction/crime/noir", "parent": "fiction"}),
    "remove": ("remove", {"node": "fiction/crime", "policy": "reparent"}),
    "create": ("create_node", {"name": "New", "parent": "fiction"}),
    "rename the top": ("update_node", {"node": "fiction", "name": "Novels", "slug": "novels"}),
    "reorder": ("reorder", {"node": "fiction", "children": ["fiction/crime"]}),
    "rules": ("set_rules", {"node": "fiction", "rules": [{"kind": "sort", "by": "price"}]}),
    "undo": ("undo", {"number": 5}),
}


@pytest.mark.parametrize("case", INSIDE)
def test_what_stays_inside_a_subtree_is_allowed(world: World, case: str) -> None:
    """An editor of a subtree may do there what an editor of the channel may."""
    world.give(ADA, "editor", scope="subtree", channel="books", node="fiction")
    name, arguments = INSIDE[case]
    world.call(ADA, f"structure.{name}", {**BOOKS, **arguments})


def test_a_grant_moves_with_its_node(world: World) -> None:
    """A subtree is the node and what is below it now: it may be moved, and what leaves it is left."""
    world.give(ADA, "editor", scope="subtree", channel="books", node="fiction/crime")
    with world.mall.begin(ME) as ctx:
        structure.move(ctx, channel="books", node="fiction/crime/noir", parent="travel")
        structure.move(ctx, channel="books", node="fiction/crime", parent="travel")
    world.call(ADA, "structure.update_node", {**BOOKS, "node": "travel/crime", "name": "New"})
    with pytest.raises(Denied):
        world.call(ADA, "structure.update_node", {**BOOKS, "node": "travel/noir", "name": "New"})


# --- what is listed


@pytest.mark.parametrize(
    ("where", "units", "channels", "snapshots"),
    [
        ({"scope": "unit", "unit": "north"}, ["north"], ["games"], ["all"]),
        ({"scope": "channel", "channel": "toys"}, ["main"], ["toys"], ["all"]),
        ({"scope": "channel", "channel": "books"}, ["main"], ["books"], ["all", "spring"]),
        ({"scope": "unit", "unit": "main"}, ["main"], ["books", "toys"], ["all", "spring"]),
        ({}, ["main", "north"], ["books", "toys", "games"], ["all", "spring"]),
    ],
)
def test_lists_hold_what_one_may_see(
    world: World, where: dict[str, Any], units: list[str], channels: list[str], snapshots: list[str]
) -> None:
    """Units, channels, snapshots and records are listed as far as they are one's own to see, page by page."""
    world.give(ADA, "auditor", **where)
    with world.mall.begin(ME) as ctx:
        structure.create_snapshot(ctx, name="all")
        ids = {one.slug: one.id for one in structure.list_channels(ctx).items}
        total = len(audit.list_records(ctx, limit=200).items)
    with world.mall.begin(ADA) as ctx:
        assert [one.slug for one in structure.list_units(ctx).items] == units
        assert sorted(one.slug for one in structure.list_channels(ctx).items) == sorted(channels)
        assert [one.name for one in structure.list_snapshots(ctx).items] == snapshots
        assert set(structure.get_snapshot(ctx, snapshot="all").heads) == {ids[slug] for slug in channels}
        records = audit.list_records(ctx, limit=200).items
        if where:
            assert {one.channel_id for one in records} - {None} <= {ids[slug] for slug in channels}
            assert 0 < len(records) < total
        assert len(structure.list_channels(ctx, limit=1).items) == 1


def test_one_learns_what_one_may_do(world: World) -> None:
    """Everybody may ask for their own permissions, and is told where they hold."""
    world.give(ADA, "visitor", scope="channel", channel="toys")
    world.give(ADA, "auditor")
    with world.mall.begin(ADA) as ctx:
        mine = {one.permission: one for one in access.my_permissions(ctx).permissions}
    assert mine["structure.read"].everywhere
    assert len(mine["structure.read"].channels) == 1
    assert not mine["audit.read"].channels
    assert "structure.edit" not in mine or not mine["structure.edit"].everywhere


# --- when grants end


def test_a_grant_ends_at_once_here(world: World) -> None:
    """What is revoked counts no more from the commit on, and what was rolled back was never given."""
    grant = world.give(ADA, "editor", scope="channel", channel="books")
    world.call(ADA, "structure.tree", BOOKS)
    with world.mall.begin(ME) as ctx:
        access.revoke(ctx, grant=grant)
    with pytest.raises(Denied):
        world.call(ADA, "structure.tree", BOOKS)
    world.call(ME, "access.grant", {"principal": ADA.ref, "role": "owner"})
    with pytest.raises(Denied):
        world.call(ADA, "structure.tree", BOOKS)


CHANGES: dict[str, Callable[[Any, str], object]] = {
    "the grant": lambda ctx, grant: access.revoke(ctx, grant=grant),
    "the role": lambda ctx, grant: access.set_role(ctx, role="clerk", permissions=["audit.read"]),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_grant_ends_in_another_mall(world: World, database_url: str, change: Callable[[Any, str], object]) -> None:
    """Another process that answers from memory hears of the change, and refuses from then on."""
    grant = world.give(ADA, "clerk", scope="channel", channel="books")
    with Mall.open(database_url) as other:
        elsewhere = World(other, world.ids)
        elsewhere.call(ADA, "structure.tree", BOOKS)
        with world.mall.begin(ME) as ctx:
            change(ctx, grant)
        while True:  # without end when it never hears: the run's own limit would tell
            try:
                elsewhere.call(ADA, "structure.tree", BOOKS)
            except Denied:
                break
    with Mall.open(database_url, follow=False) as third, pytest.raises(Denied):
        World(third, world.ids).call(ADA, "structure.tree", BOOKS)
