"""Subscriptions: what may be asked, in which version, pinged, replayed, and what is told of each event."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mallcore import Mall, Principal, access, audit, structure, webhooks
from mallcore.errors import InvalidInput, NotFound, UnknownDelivery, UnknownWebhook
from mallcore.kernel.context import Credential
from mallcore.kernel.events import AccessDenied, Event
from mallcore.webhooks.model.payloads import told
from tests.webhooks.conftest import LOCAL, ME, Shop
from tests.webhooks.receiving import Receiver

ADA = Principal.user("ada")
URL = "https://shop.example/hooks"


class Dated(webhooks.Payloads):
    """The versions of a small API: before 2026, a revision was called a number."""

    versions = ("2025-01-01", "2026-01-01")

    def version(self, asked: str | None) -> str | None:
        if asked is not None and asked not in self.versions:
            raise InvalidInput(field="version", reason=f"there is no version {asked!r}")
        return asked or self.versions[-1]

    def payload(self, event_name: str, data: Mapping[str, Any], version: str | None) -> dict[str, Any]:
        if version == "2025-01-01" and event_name == "structure.revised":
            return {**{name: one for name, one in data.items() if name != "revision"}, "number": data["revision"]}
        if version == "2024-01-01":
            raise NotFound("This version is gone.")
        return dict(data)


@pytest.fixture
def dated(shop: Shop) -> Shop:
    """A mall whose API has versions."""
    shop.mall.services.ports[webhooks.Payloads] = Dated()
    return shop


def test_each_subscriber_is_told_in_its_version(dated: Shop, receiver: Receiver) -> None:
    """One event goes to two subscribers in the two versions they are pinned to, and says which."""
    old = dated.subscribe(receiver.url, "structure.revised", version="2025-01-01")
    new = dated.subscribe(receiver.url, "structure.revised")
    assert (old.version, new.version) == ("2025-01-01", "2026-01-01")
    dated.act()
    dated.deliver()
    by_version = {one.told["api_version"]: one.told["data"] for one in receiver.received}
    assert by_version["2025-01-01"]["number"] == by_version["2026-01-01"]["revision"] == 1
    assert "revision" not in by_version["2025-01-01"]


def test_a_version_is_one_there_is(dated: Shop) -> None:
    """An unknown version is refused when it is asked for, at the beginning and later."""
    with pytest.raises(InvalidInput):
        dated.subscribe(URL, version="1999-01-01")
    made = dated.subscribe(URL)
    with pytest.raises(InvalidInput):
        dated.call(webhooks.update_webhook, webhook=made.id, version="1999-01-01")
    assert dated.call(webhooks.update_webhook, webhook=made.id, version="2025-01-01").version == "2025-01-01"


def test_a_version_that_is_gone_is_a_failure_with_its_reason(dated: Shop, receiver: Receiver) -> None:
    """What can't be told in a subscriber's version is not sent in another; the delivery says why."""
    made = dated.subscribe(receiver.url, "structure.revised", version="2025-01-01")
    Dated.versions, before = ("2024-01-01", "2026-01-01"), Dated.versions
    try:
        dated.call(webhooks.update_webhook, webhook=made.id, version="2024-01-01")
    finally:
        Dated.versions = before
    dated.act()
    dated.deliver()
    (found,) = dated.deliveries(made.id)
    assert (found.state, found.error) == ("waiting", "not-found: This version is gone.")
    assert receiver.received == []


def test_without_versions_nobody_is_pinned(database_url: str) -> None:
    """As long as nobody says which versions there are, there is none to ask for."""
    with Mall.open(database_url, migrate="always", follow=False) as mall:
        mall.services.ports[webhooks.Payloads] = webhooks.Payloads()
        with mall.begin(ME) as ctx, pytest.raises(InvalidInput):
            webhooks.create_webhook(ctx, url=URL, events=["*"], version="2026-01-01")


WRONG: dict[str, dict[str, Any]] = {
    "no events": {"events": []},
    "an event nobody knows": {"events": ["structure.revized"]},
    "a domain nobody knows": {"events": ["structures.*"]},
    "a pattern of another kind": {"events": ["*.revised"]},
    "half a pattern": {"events": ["structure.rev*"]},
    "too many": {"events": ["*"] * 51},
    "an empty name": {"events": [""]},
    "a null byte": {"events": ["structure.\0"]},
    "no URL": {"url": ""},
    "a null byte in the URL": {"url": URL + "\0"},
    "a long description": {"description": "x" * 501},
    "a unit nobody knows": {"unit": "nowhere"},
    "a channel nobody knows": {"channel": "nowhere"},
    "an unknown field": {"secret": "whsec_AAAA"},
}


@pytest.mark.parametrize("case", WRONG)
def test_nonsense_is_refused(shop: Shop, case: str) -> None:
    """What makes no sense is refused by a typed error, and nothing is made."""
    given = {"url": URL, "events": ["structure.*"], **WRONG[case]}
    with pytest.raises((InvalidInput, NotFound)):
        shop.call(webhooks.create_webhook, **given)
    assert shop.call(webhooks.list_webhooks).items == []


def test_what_is_unknown_is_said_to_be(shop: Shop) -> None:
    """Neither a subscription nor a delivery that is not there is found, nor one of another subscription."""
    one, other = shop.subscribe(URL), shop.subscribe(URL)
    ping = shop.call(webhooks.ping, webhook=one.id)
    assert shop.call(webhooks.get_delivery, webhook=one.id, delivery=ping.id) == ping
    for id in (f"dlv_{0:032x}", ping.id):
        with pytest.raises(UnknownDelivery):
            shop.call(webhooks.replay, webhook=other.id, delivery=id)
    with pytest.raises(UnknownWebhook):
        shop.call(webhooks.ping, webhook=f"whk_{0:032x}")


def test_a_ping_arrives_and_proves_the_secret(shop: Shop, receiver: Receiver) -> None:
    """A ping goes to the one subscription that asked for it, also to one that waits for other things."""
    made = shop.subscribe(receiver.url, "audit.log_ingested")
    shop.subscribe(receiver.url, "*")
    ping = shop.call(webhooks.ping, webhook=made.id)
    shop.deliver()
    pings = [one for one in receiver.received if one.told["type"] == "webhooks.ping"]
    assert [one.id for one in pings] == [ping.event_id]
    assert pings[0].told["data"]["subject"] == made.id


def test_everything_since_a_time_is_sent_again(shop: Shop, receiver: Receiver) -> None:
    """What happened since a time is sent again with its ids, also what happened while nothing was sent."""
    made = shop.subscribe(receiver.url, "structure.revised")
    shop.act()
    shop.deliver()
    shop.clock.forward(hours=1)
    since = shop.clock()
    shop.act()
    shop.deliver()
    shop.call(webhooks.update_webhook, webhook=made.id, state="disabled")
    shop.act(2)
    assert shop.deliver() == 0
    shop.call(webhooks.update_webhook, webhook=made.id, state="enabled")
    assert shop.deliver() == 0
    receiver.received.clear()
    assert shop.call(webhooks.replay_since, webhook=made.id, since=since).deliveries == 3
    assert shop.deliver() == 3
    assert [one.told["data"]["revision"] for one in receiver.received] == [2, 3, 4]
    assert shop.call(webhooks.replay_since, webhook=made.id, since=since, until=since).deliveries == 0
    (record, *_) = shop.call(audit.list_records, event="webhooks.replayed").items
    assert record.subject == made.id


def test_a_replay_goes_to_the_subscription_as_it_is_now(shop: Shop, receiver: Receiver) -> None:
    """What a subscription waits for now is replayed: nothing it does not, and nothing from another channel."""
    shop.call(structure.create_channel, slug="toys", name="Toys")
    shop.subscribe(receiver.url, "*")
    made = shop.subscribe(receiver.url, "structure.revised", channel="toys")
    shop.act(2)
    shop.call(structure.create_section, channel="toys", name="Bears")
    shop.deliver()
    long_ago = datetime.now(UTC) - timedelta(days=1)
    assert shop.call(webhooks.replay_since, webhook=made.id, since=long_ago).deliveries == 1


def test_what_is_removed_is_gone(shop: Shop, receiver: Receiver) -> None:
    """A removed subscription is sent nothing, not even what waited, and its secrets are gone; the log remembers."""
    made = shop.subscribe(receiver.url)
    shop.act()
    shop.call(webhooks.remove_webhook, webhook=made.id)
    assert shop.deliver() == 0
    assert receiver.received == []
    names = [one.event for one in shop.call(audit.list_records, subject=made.id).items]
    assert names == ["webhooks.removed", "webhooks.created"]


def test_the_log_knows_the_host_and_not_the_url(shop: Shop) -> None:
    """A URL may hold a secret of its receiver: the audit log has the host, and what else changed."""
    made = shop.subscribe("https://shop.example/hooks/T0P/S3CRET")
    shop.call(webhooks.update_webhook, webhook=made.id, url="https://other.example/T0P/S3CRET", description="New")
    records = shop.call(audit.list_records, subject=made.id).items
    assert (records[0].before["host"], records[0].after["host"]) == ("shop.example", "other.example")
    assert records[0].after["description"] == "New"
    assert "S3CRET" not in str(records)


def test_an_update_without_a_change_is_none(shop: Shop) -> None:
    """What is as it was asked for makes no record."""
    made = shop.subscribe(URL, description="Mine")
    shop.call(webhooks.update_webhook, webhook=made.id, description="Mine", state="enabled")
    assert len(shop.call(audit.list_records, subject=made.id).items) == 1


def test_nobody_in_particular_owns_nothing(shop: Shop) -> None:
    """What is open to everybody can't be owned by nobody."""
    shop.call(access.set_role, role="hooks", permissions=["webhooks.*"])
    shop.call(access.grant, principal="anonymous:*", role="hooks")
    with pytest.raises(InvalidInput):
        shop.call(webhooks.create_webhook, Principal.anonymous(), url=URL, events=["*"])


def test_a_narrow_credential_makes_a_narrow_subscription(shop: Shop, receiver: Receiver) -> None:
    """What is made with a key that may see one channel is sent what happens there, whatever the key's owner may see."""
    shop.call(access.grant, principal=ADA.ref, role="owner")
    toys = shop.call(structure.create_channel, slug="toys", name="Toys").id
    key = Credential("a-credential-of-the-hosts", channels=frozenset({toys}))
    narrow = Principal("user", "ada", credential=key)
    made = shop.call(webhooks.create_webhook, narrow, url=receiver.url, events=["structure.revised"], channel="toys")
    wide = shop.call(webhooks.create_webhook, ADA, url=receiver.url, events=["structure.revised"])
    with shop.mall.engine.begin() as connection:  # as if its scope were the whole mall
        from sqlalchemy import text

        connection.execute(text("UPDATE mall_webhook SET channel_id = NULL, unit_id = NULL"))
    shop.act()
    shop.call(structure.create_section, channel="toys", name="Bears")
    shop.deliver()
    assert [one.state for one in shop.deliveries(made.id)] == ["withheld", "sent"]
    assert [one.state for one in shop.deliveries(wide.id)] == ["sent", "sent"]


def test_lists_hold_what_one_may_see(shop: Shop) -> None:
    """Who manages webhooks of one channel sees those, and their dead, and nobody else's."""
    shop.call(structure.create_channel, slug="toys", name="Toys")
    shop.call(access.grant, principal=ADA.ref, role="owner", scope="channel", channel="toys")
    shop.subscribe(URL)
    shop.subscribe(URL, channel="books")
    mine = shop.call(webhooks.create_webhook, ADA, url=URL, events=["*"], channel="toys")
    assert [one.id for one in shop.call(webhooks.list_webhooks, ADA).items] == [mine.id]
    assert len(shop.call(webhooks.list_webhooks).items) == 3
    assert shop.call(webhooks.list_dead, ADA).items == []


def test_a_message_tells_what_its_shape_says() -> None:
    """Every event there is has a documented shape, which its message fits, and no details: they may name persons."""
    for name, kind in webhooks.known_events().items():
        shape = webhooks.shape_of(kind)
        event = kind(subject="x_1", details={"address": "192.0.2.1", "jti": "a" * 32}, after={"n": 1})
        found = told(event)
        assert shape.model_validate(found).model_dump(mode="json") == found, name
        assert "192.0.2.1" not in str(found)
    denied = AccessDenied(
        subject="chn_1", principal="user:ada", operation="structure.edit", permission="structure.edit"
    )
    assert told(denied)["principal"] == "user:ada"
    assert webhooks.shape_of(Event) is webhooks.EventData


def test_every_event_has_a_permission_that_reads_it(shop: Shop) -> None:
    """No event goes to somebody for a permission that no operation asks for."""
    there = {one.permission for one in shop.mall.catalogue.values()}
    assert {webhooks.permission_to_read(name) for name in webhooks.known_events()} <= there


def test_settings_come_as_text(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment sets networks and ports as JSON."""
    monkeypatch.setenv("MALLCORE_WEBHOOK_NETWORKS", '["10.0.0.0/8"]')
    monkeypatch.setenv("MALLCORE_WEBHOOK_PORTS", "[444]")
    with Mall.open(database_url, migrate="always", follow=False) as mall:
        assert mall.services.ports[webhooks.Egress].target("https://10.0.0.1:444/").port == 444
        assert LOCAL["webhook_ports"] == []
