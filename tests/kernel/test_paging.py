"""Paging: every list gives all its items in pages, and takes no cursor that is not one of its own."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from mallcore import Mall, Principal, access, attachments, audit, structure, webhooks
from mallcore.errors import InvalidInput
from mallcore.kernel.operations import run
from mallcore.kernel.paging import decode, encode
from tests.access.login.desk import Desk, signed_in

ME = Principal.system("test")
LISTS: dict[str, dict[str, Any]] = {
    "access.list_api_keys": {},
    "access.list_clients": {},
    "access.list_grants": {},
    "access.list_identities": {},
    "access.list_oauth_clients": {},
    "access.list_oauth_consents": {},
    "access.list_roles": {},
    "access.list_sessions": {},
    "api.usage": {},
    "attachments.label_history": {"label": "live"},
    "attachments.list_attachments": {},
    "attachments.list_holds": {},
    "attachments.list_quarantined": {},
    "attachments.list_versions": {},
    "audit.list_checkpoints": {},
    "audit.list_records": {},
    "structure.list_channels": {},
    "structure.list_drafts": {"channel": "books"},
    "structure.list_schedules": {"channel": "books"},
    "structure.list_snapshots": {},
    "structure.list_units": {},
    "structure.log": {"channel": "books"},
    "webhooks.list_dead": {},
    "webhooks.list_deliveries": {},
    "webhooks.list_webhooks": {},
}


@pytest.fixture
def mall(database_url: str) -> Iterator[Mall]:
    """A mall with at least five of everything that is listed."""
    with Mall.open(database_url, migrate="always", follow=False, logins=[Desk()]) as opened:
        with opened.begin(ME) as ctx:
            structure.create_channel(ctx, slug="books", name="Books")
            for number in range(5):
                _one_more(ctx, number)
        for number in range(5):
            opened.counter.count(Principal.client(f"c{number}"), "2026-11-01", "structure.tree")
            with opened.begin(ME) as ctx:
                _subscribe(ctx, number)
            with opened.begin(ME) as ctx:
                _hang(ctx, number)
            signed_in(opened, f"person-{number}")
            opened.services.ports[access.OAuthStore].consent(ME.ref, f"cli_{number}", ["structure.read"])
            with opened.begin(ME) as ctx:
                audit.checkpoint(ctx)
        with opened.engine.begin() as connection:
            connection.execute(text("UPDATE mall_webhook_delivery SET state = 'dead'"))
        with opened.begin(ME) as ctx:
            ctx.commanding = True
            opened.counter.flush(ctx)
        yield opened


def _one_more(ctx: Any, number: int) -> None:
    structure.create_unit(ctx, slug=f"u{number}", name="Unit")
    structure.create_channel(ctx, slug=f"c{number % 3}", name="Channel", unit=f"u{number}")
    structure.create_category(ctx, channel="books", name=f"Shelf {number}")
    draft = structure.open_draft(ctx, channel="books", name=f"Draft {number}")
    time = datetime(2030, 1, 1, tzinfo=UTC) + timedelta(microseconds=number // 2)  # some at the very same time
    structure.schedule_draft(ctx, draft=draft.id, at=time)
    structure.create_snapshot(ctx, name=f"s{number}")
    access.set_role(ctx, role=f"r{number}", permissions=["structure.read"])
    access.grant(ctx, principal=f"user:{number}", role="visitor")
    client = access.create_client(ctx, name=f"Client {number}").id
    access.create_api_key(ctx, client=client, name="Key")
    access.register_oauth_client(ctx, client=client, scopes=["structure.read"])


def _subscribe(ctx: Any, number: int) -> None:
    """One more webhook, and one more ping of the first."""
    url = f"https://shop.example/{number}"
    webhooks.create_webhook(ctx, url=url, events=["audit.*"])
    first = webhooks.list_webhooks(ctx, limit=1).items[0].id
    webhooks.ping(ctx, webhook=first)


def _hang(ctx: Any, number: int) -> None:
    """One more attachment, held and in quarantine, and one more version of the first, to which its label moves."""
    first = attachments.list_attachments(ctx, limit=1).items
    file: Any = {"file_name": "a.txt", "owner": "channel:books"}
    again, new = (attachments.stage(ctx, file=b"%d %d" % (number, one), **file) for one in (0, 1))
    attachments.attach(ctx, staged=again.id, attachment=first[0].id if first else None)
    made = attachments.attach(ctx, staged=new.id)
    held = attachments.list_attachments(ctx, limit=1).items[0].id
    attachments.place_hold(ctx, attachment=held, reason="a lawsuit")
    attachments.record_verdict(ctx, check="virus", result="bad", tool="test", version=made.ref)


def listed(mall: Mall, name: str, **more: Any) -> Any:
    """A page of a list."""
    with mall.begin(ME) as ctx:
        arguments = {**LISTS[name], **more}
        if "attachment" in mall.catalogue[name].parameters:
            arguments["attachment"] = attachments.list_attachments(ctx, limit=1).items[0].id
        if name == "webhooks.list_deliveries":
            arguments["webhook"] = webhooks.list_webhooks(ctx, limit=1).items[0].id
        return run(mall.catalogue[name], ctx, arguments)


def test_every_list_is_tried_here(mall: Mall) -> None:
    """An operation that takes a cursor has its row in this file."""
    assert sorted(name for name, one in mall.catalogue.items() if "cursor" in one.parameters) == sorted(LISTS)


def in_pages(mall: Mall, name: str, limit: int) -> list[Any]:
    """The whole list, page by page."""
    found: list[Any] = []
    cursor = None
    while True:
        page = listed(mall, name, limit=limit, cursor=cursor)
        assert 0 < len(page.items) <= limit
        found += page.items
        cursor = page.next
        if cursor is None:
            return found


def test_pages_are_the_list(mall: Mall) -> None:
    """Pages one behind the other give every item once, in the order of the whole list."""
    for name in LISTS:
        whole = listed(mall, name, limit=200)
        assert whole.next is None
        assert len(whole.items) >= 5
        for limit in (1, 2, 5, len(whole.items)):
            assert in_pages(mall, name, limit) == whole.items


def test_a_page_is_as_long_as_asked(mall: Mall) -> None:
    """A limit of nothing, less or too many is refused."""
    for name, limit in ((name, limit) for name in LISTS for limit in (0, -1, 201, 2**70, "many", 1.5)):
        with pytest.raises(InvalidInput):
            listed(mall, name, limit=limit)


def test_what_is_added_behind_a_cursor_is_seen(mall: Mall) -> None:
    """A cursor stands between items: what comes before it later shifts nothing."""
    first = listed(mall, "structure.list_units", limit=3)
    with mall.begin(ME) as ctx:
        structure.create_unit(ctx, slug="a-first", name="First")
        structure.create_unit(ctx, slug="z-last", name="Last")
    rest = listed(mall, "structure.list_units", cursor=first.next)
    assert [one.slug for one in rest.items] == ["u2", "u3", "u4", "z-last"]


def forged(value: Any) -> str:
    """A cursor of somebody else's making."""
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


NONSENSE = {
    "no base64": "!!!",
    "no JSON": base64.urlsafe_b64encode(b"\xff\xfe{").decode(),
    "not ascii": "käse",
    "an object": forged({"a": 1}),
    "a number": forged(7),
    "nothing": forged([]),
    "null": forged([None]),
    "truth": forged([True]),
    "fractions": forged([1.5, 2.5]),
    "lists": forged([["x"], ["y"]]),
    "too many": forged(["a", "b", "c"]),
    "a tower": base64.urlsafe_b64encode(b"[" * 300).decode(),
    "huge": forged([10**80]),
    "not a number": base64.urlsafe_b64encode(b"[NaN, Infinity]").decode(),
    "NUL": forged(["\0"]),
    "two NULs": forged(["\0", "\0"]),
    "a surrogate": forged(["\ud800"]),
    "two surrogates": forged(["\ud800", "\ud800"]),
    "too long": "a" * 501,
    "a newline": "abc\n",
    "empty": "",
}


def test_a_forged_cursor_is_refused(mall: Mall) -> None:
    """No list takes what it did not make, and none answers it with another error than `InvalidInput`."""
    for cursor in NONSENSE.values():
        for name in LISTS:
            with pytest.raises(InvalidInput):
                listed(mall, name, cursor=cursor)


def test_a_cursor_that_holds_no_time_is_refused(mall: Mall) -> None:
    """Where a list is in the order of time, a cursor holds one."""
    with pytest.raises(InvalidInput):
        listed(mall, "structure.list_schedules", cursor=forged(["yesterday", "sch_1"]))


def test_a_cursor_of_another_list_is_refused_or_only_a_place(mall: Mall) -> None:
    """A cursor carried to another list is refused, or where its form fits, shows a part of that list."""
    for name, other in ((name, other) for name in LISTS for other in LISTS):
        cursor = listed(mall, other, limit=1).next
        whole = listed(mall, name, limit=200).items
        try:
            page = listed(mall, name, cursor=cursor)
        except InvalidInput:
            continue
        assert [one for one in page.items if one not in whole] == []


def test_a_cursor_says_only_where_it_stands() -> None:
    """A cursor is read back as what it was made of, and by nobody who expects something else."""
    assert decode(encode(7, "cat_1"), int, str) == (7, "cat_1")
    for types in ((str, str), (int,), (int, str, str), ()):
        with pytest.raises(InvalidInput):
            decode(encode(7, "cat_1"), *types)
