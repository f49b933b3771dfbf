"""Delivery: what is committed arrives, signed; what fails is tried again, and given up at last."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

import pytest
from sqlalchemy import create_engine, event, select
from sqlalchemy.orm import Session
from standardwebhooks import Webhook as Verifier
from standardwebhooks.webhooks import WebhookVerificationError

from mallcore import Mall, Principal, access, audit, structure, webhooks
from mallcore.kernel.context import Credential
from mallcore.kernel.ports import Presented, Verifiers
from mallcore.kernel.tables import metadata
from mallcore.webhooks.model.tables import delivery, outbox
from mallcore.webhooks.rules.retries import DELAYS, JITTER
from tests.webhooks.conftest import LOCAL, ME, Shop
from tests.webhooks.receiving import Receiver, receiving

ADA = Principal.user("ada")


def named(receiver: Receiver) -> list[str]:
    """The names of the nodes that messages told of."""
    return [node["name"] for one in receiver.received for node in one.told["data"]["after"].values()]


def rows(shop: Shop, table: Any) -> int:
    """How many rows a table has."""
    with shop.mall.engine.connect() as connection:
        return len(connection.execute(select(table.c.id)).all())


def test_what_is_committed_arrives_in_order(shop: Shop, receiver: Receiver) -> None:
    """Each event a subscription waits for is sent once, in the order it happened, with what it tells."""
    made = shop.subscribe(receiver.url, "structure.revised", "structure.channel_created")
    shop.act(3)
    shop.call(structure.create_channel, slug="toys", name="Toys")
    assert shop.deliver() == 4
    assert receiver.names == [*["structure.revised"] * 3, "structure.channel_created"]
    assert [one.told["data"]["revision"] for one in receiver.received[:3]] == [1, 2, 3]
    assert receiver.received[0].path == "/hooks?shop=1"
    assert receiver.received[0].headers["content-type"] == "application/json"
    assert [(one.state, one.status, one.attempts) for one in shop.deliveries(made.id)] == [("sent", 204, 1)] * 4
    assert shop.deliver() == 0


def test_every_message_is_signed(shop: Shop, receiver: Receiver) -> None:
    """The library of the Standard Webhooks scheme verifies each message, and refuses it when a byte is another."""
    made = shop.subscribe(receiver.url)
    shop.call(structure.create_section, channel="books", name="Käse, 奶酪")
    shop.deliver()
    (one,) = receiver.received
    told = Verifier(made.secret or "").verify(one.body, one.headers)
    assert "Käse, 奶酪" in str(told["data"]["after"])
    other = shop.subscribe(receiver.url)
    for secret, body in ((other.secret, one.body), (made.secret, one.body + b" ")):
        with pytest.raises(WebhookVerificationError):
            Verifier(secret or "").verify(body, one.headers)


def test_a_secret_is_rotated_with_an_overlap(shop: Shop, receiver: Receiver) -> None:
    """While a secret is rotated, both verify; when the overlap ends, the new one alone."""
    made = shop.subscribe(receiver.url)
    new = shop.call(webhooks.rotate_secret, webhook=made.id, overlap_seconds=120)
    shop.act()
    shop.deliver()
    for secret in (made.secret, new.secret):
        assert Verifier(secret or "").verify(receiver.received[0].body, receiver.received[0].headers)
    shop.clock.forward(seconds=121)
    shop.act()
    shop.deliver()
    assert Verifier(new.secret).verify(receiver.received[1].body, receiver.received[1].headers)
    with pytest.raises(WebhookVerificationError):
        Verifier(made.secret or "").verify(receiver.received[1].body, receiver.received[1].headers)


def test_no_more_than_three_secrets_live(shop: Shop, receiver: Receiver) -> None:
    """Whoever rotates again and again is signed for with the newest three."""
    made = shop.subscribe(receiver.url)
    for _ in range(4):
        shop.call(webhooks.rotate_secret, webhook=made.id)
    shop.act()
    shop.deliver()
    assert receiver.received[0].headers["webhook-signature"].count("v1,") == 3


def test_a_secret_is_shown_once_and_kept_sealed(database_url: str, receiver: Receiver) -> None:
    """It stands nowhere: not in the rows, the audit log, nor behind the idempotency key it was made with."""
    url = receiver.url
    with Mall.open(database_url, migrate="always", secret="a secret for this test", **LOCAL) as mall:
        given: dict[str, Any] = {"url": url, "events": ["audit.*"], "idempotency_key": "once"}
        secrets = []
        for _ in range(2):
            with mall.begin(ME) as ctx:
                made = webhooks.create_webhook(ctx, **given)
                new = webhooks.rotate_secret(ctx, webhook=made.id, idempotency_key="again")
                secrets += [made.secret, new.secret]
        assert secrets[2:] == [None, None]
        assert repr(made).find("whsec_") == -1
        dump = str(_everything(mall))
        for secret in secrets[:2]:
            assert secret is not None
            assert secret.startswith("whsec_")
            assert secret not in dump
            assert secret.removeprefix("whsec_") not in dump


def _everything(mall: Mall) -> list[Any]:
    """All rows there are."""
    with mall.engine.connect() as connection:
        return [tuple(row) for table in metadata.sorted_tables for row in connection.execute(select(table)).all()]


class _Undo(Exception):
    """Leaves a block, so that it is rolled back."""


def test_what_is_rolled_back_is_not_told(shop: Shop, receiver: Receiver) -> None:
    """An event whose transaction, or whose SAVEPOINT, is rolled back was never there."""
    shop.subscribe(receiver.url)
    with suppress(_Undo), shop.mall.begin(ME) as ctx:
        structure.create_section(ctx, channel="books", name="Never")
        raise _Undo
    with shop.mall.begin(ME) as ctx:
        structure.create_section(ctx, channel="books", name="Kept")
        savepoint = ctx.session.begin_nested()
        structure.create_section(ctx, channel="books", name="Undone")
        savepoint.rollback()
    shop.deliver()
    assert named(receiver) == ["Kept"]


def test_a_hosts_transaction_decides(shop: Shop, receiver: Receiver, database_url: str) -> None:
    """What is done in a host's session is told when the host commits, and never when it does not."""
    shop.subscribe(receiver.url)
    engine = create_engine(database_url)
    for name, ending in (("Gone", Session.rollback), ("There", Session.commit)):
        with Session(engine) as session:
            with shop.mall.begin(ME, session=session) as ctx:
                structure.create_section(ctx, channel="books", name=name)
            if shop.mall.backend.name == "postgres":
                assert shop.deliver() == 0
            ending(session)
    engine.dispose()
    shop.deliver()
    assert named(receiver) == ["There"]


def test_who_waits_for_nothing_pays_nothing(shop: Shop) -> None:
    """Without any subscription no row is kept, and where this process follows others, no statement is sent."""
    shop.act()
    shop.mall.follower.start()
    shop.act()
    assert rows(shop, outbox) == 0
    seen: list[str] = []
    me = threading.current_thread()

    def saw(*given: Any) -> None:
        if threading.current_thread() is me:
            seen.append(given[2])

    event.listen(shop.mall.engine, "before_cursor_execute", saw)
    shop.act(3)
    assert [one for one in seen if "mall_outbox" in one or "mall_webhook" in one] == []


def test_only_what_somebody_waits_for_is_kept(shop: Shop, receiver: Receiver) -> None:
    """Events of other names, units and channels are not kept."""
    shop.call(structure.create_channel, slug="toys", name="Toys")
    shop.subscribe(receiver.url, "structure.revised", channel="toys")
    shop.act(3)
    shop.call(structure.update_channel, channel="toys", name="More toys")
    assert rows(shop, outbox) == 1
    shop.deliver()
    assert receiver.names == ["structure.revised"]


def test_another_process_begins_to_keep_events_at_once(shop: Shop, receiver: Receiver, database_url: str) -> None:
    """Once a mall has any subscription, one that is made elsewhere counts from its commit on."""
    shop.subscribe(receiver.url, "audit.*")
    with Mall.open(database_url, **LOCAL) as other:
        other.follower.start()
        for number in range(5):
            with other.begin(ME) as ctx:
                structure.create_category(ctx, channel="books", name=f"Before {number}")
            made = shop.subscribe(receiver.url, "structure.revised")
            with other.begin(ME) as ctx:
                structure.create_category(ctx, channel="books", name=f"After {number}")
            shop.deliver()
            assert named(receiver) == [f"After {number}"]
            receiver.received.clear()
            shop.call(webhooks.remove_webhook, webhook=made.id)


def test_a_failure_is_tried_again_with_the_same_id(shop: Shop, receiver: Receiver) -> None:
    """A message that is not taken is due again later, with its id and another timestamp."""
    made = shop.subscribe(receiver.url)
    receiver.answers = lambda number: 500 if number < 2 else 200
    shop.act()
    assert shop.deliver() == 1
    (waiting,) = shop.deliveries(made.id)
    assert (waiting.state, waiting.attempts, waiting.status) == ("waiting", 1, 500)
    assert shop.call(webhooks.get_webhook, webhook=made.id).failing_since is not None
    for _ in range(2):
        shop.clock.forward(minutes=10)
        assert shop.deliver() == 1
    assert len(set(receiver.ids)) == 1
    assert len({one.headers["webhook-timestamp"] for one in receiver.received}) == 3
    assert [(one.state, one.attempts) for one in shop.deliveries(made.id)] == [("sent", 3)]
    assert shop.call(webhooks.get_webhook, webhook=made.id).failing_since is None


def test_a_message_is_dead_after_the_last_attempt(shop: Shop, receiver: Receiver) -> None:
    """Eight attempts, then it lies among the dead, and can be replayed."""
    made = shop.subscribe(receiver.url)
    receiver.answers = lambda number: 400 if number < 8 else 200
    shop.act()
    for seconds in (*DELAYS, 0, 0):
        shop.deliver()
        shop.clock.forward(seconds=seconds * (1 + JITTER))
    assert len(receiver.received) == 8
    (dead,) = shop.call(webhooks.list_dead).items
    assert (dead.webhook, dead.attempts, dead.error) == (made.id, 8, "it answered 400")
    shop.call(webhooks.update_webhook, webhook=made.id, state="enabled")
    shop.call(webhooks.replay, webhook=made.id, delivery=dead.id)
    assert shop.deliver() == 1
    assert shop.call(webhooks.list_dead).items == []
    assert len(set(receiver.ids)) == 1


def test_one_bad_message_does_not_hold_up_the_others(shop: Shop, receiver: Receiver) -> None:
    """A message that its receiver chokes on waits alone; those behind it arrive."""
    shop.subscribe(receiver.url)
    receiver.answers = lambda number: 500 if number == 0 else 200
    shop.act(3)
    assert shop.deliver() == 3
    assert len(set(receiver.ids)) == 3


def test_nothing_more_is_sent_to_who_can_not_be_reached(shop: Shop, receiver: Receiver) -> None:
    """After a receiver is found overloaded or gone, the messages behind wait, and none loses an attempt for it."""
    made = shop.subscribe(receiver.url)
    receiver.answers = lambda number: 503 if number == 0 else 200
    shop.act(3)
    assert shop.deliver() == 1
    assert [one.attempts for one in shop.deliveries(made.id)] == [1, 0, 0]
    shop.clock.forward(seconds=30)
    assert shop.deliver() == 3
    assert receiver.ids[1:] == sorted(receiver.ids[1:])


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_a_receiver_may_ask_for_a_pause(shop: Shop, receiver: Receiver, form: str) -> None:
    """`Retry-After` is honoured, in both its forms, and bounded."""
    date = format_datetime(datetime.now(UTC).replace(year=2999), usegmt=True)
    shop.subscribe(receiver.url)
    receiver.answers = lambda number: (
        (429, {"retry-after": "3600" if form == "seconds" else date}) if not number else 200
    )
    shop.act()
    shop.deliver()
    shop.clock.forward(minutes=55)
    assert shop.deliver() == 0
    shop.clock.forward(hours=0.2 if form == "seconds" else 11.2)
    assert shop.deliver() == 1


def test_gone_means_gone(shop: Shop, receiver: Receiver) -> None:
    """A receiver that answers 410 is sent nothing more: its subscription is disabled, and that is on record."""
    made = shop.subscribe(receiver.url)
    receiver.answers = lambda number: 410
    shop.act(2)
    assert shop.deliver() == 1
    found = shop.call(webhooks.get_webhook, webhook=made.id)
    assert (found.state, "410" in (found.reason or "")) == ("disabled", True)
    (record,) = shop.call(audit.list_records, event="webhooks.disabled").items
    assert (record.subject, record.principal) == (made.id, "system:webhooks")
    shop.act()
    assert shop.deliver() == 0


def test_who_fails_for_days_is_disabled(shop: Shop, receiver: Receiver) -> None:
    """A subscription to which nothing could be sent for three days is disabled, on record; enabled, it goes on."""
    made = shop.subscribe(receiver.url)
    receiver.answers = lambda number: 500
    for _ in range(4):
        shop.act()
        shop.deliver()
        shop.clock.forward(days=1)
    assert shop.call(webhooks.get_webhook, webhook=made.id).state == "disabled"
    assert len(shop.call(audit.list_records, event="webhooks.disabled").items) == 1
    assert shop.deliver() == 0
    receiver.answers = lambda number: 200
    receiver.received.clear()
    shop.call(webhooks.update_webhook, webhook=made.id, state="enabled")
    assert shop.deliver() == 4
    assert {one.state for one in shop.deliveries(made.id)} == {"sent"}


def test_redirects_are_not_followed(shop: Shop, receiver: Receiver) -> None:
    """A redirect is a failure: nobody is led elsewhere."""
    with receiving() as elsewhere:
        made = shop.subscribe(receiver.url)
        receiver.answers = lambda number: (302, {"location": elsewhere.url})
        shop.act()
        shop.deliver()
        assert elsewhere.received == []
        assert [(one.state, one.status) for one in shop.deliveries(made.id)] == [("waiting", 302)]


def test_a_slow_receiver_holds_up_nobody_else(shop: Shop, receiver: Receiver) -> None:
    """While one receiver does not answer, the others are served."""
    go_on = threading.Event()
    with receiving() as slow:
        slow.answers = lambda number: 200 if go_on.wait(30) else 500
        shop.subscribe(slow.url)
        shop.subscribe(receiver.url)
        shop.act(3)
        shop.dispatcher.tick()
        receiver.wait(3)
        assert len(slow.received) <= 1
        go_on.set()
        shop.deliver()
        assert len(slow.received) == 3


def test_only_what_its_owner_may_read_is_sent(shop: Shop, receiver: Receiver) -> None:
    """Whether the owner of a subscription may read what a message is about is asked when it is sent."""
    shop.call(access.set_role, role="hooks", permissions=["webhooks.*"])
    shop.call(access.grant, principal=ADA.ref, role="hooks")
    given = shop.call(access.grant, principal=ADA.ref, role="editor", scope="channel", channel="books")
    shop.call(structure.create_channel, slug="toys", name="Toys")
    made = shop.call(webhooks.create_webhook, ADA, url=receiver.url, events=["structure.revised"])
    shop.act()
    shop.call(structure.update_channel, channel="toys", name="Other")
    shop.deliver()
    assert [one.state for one in shop.deliveries(made.id)] == ["sent", "withheld"]
    shop.act()
    shop.call(access.revoke, grant=given.id)
    shop.deliver()
    assert [one.state for one in shop.deliveries(made.id)] == ["sent", "withheld", "withheld"]
    assert len(receiver.received) == 1


def test_nothing_is_sent_to_a_client_that_is_shut_out(shop: Shop, receiver: Receiver) -> None:
    """A client that is disabled has its webhook, and hears nothing by it until it is enabled again."""
    known = shop.call(access.create_client, name="A partner")
    shop.call(access.grant, principal=known.principal, role="owner")
    owner = Principal.client(known.id)
    made = shop.call(webhooks.create_webhook, owner, url=receiver.url, events=["structure.revised"])
    for operation, state in ((access.disable_client, "withheld"), (access.enable_client, "sent")):
        shop.call(operation, client=known.id)
        shop.act()
        shop.deliver()
        assert shop.deliveries(made.id)[-1].state == state
    assert len(receiver.received) == 1


def test_nothing_is_sent_for_a_key_that_is_no_more(shop: Shop, receiver: Receiver) -> None:
    """A webhook that was made by a key sends nothing after the key is revoked, as one of a stolen key must not."""
    known = shop.call(access.create_client, name="A partner")
    shop.call(access.grant, principal=known.principal, role="owner")
    keys = [shop.call(access.create_api_key, client=known.id, name=name) for name in ("Good", "Stolen")]
    made = []
    for key in keys:
        verifier = shop.mall.services.ports[Verifiers].of(key.secret)
        who = verifier.verify(Presented(key.secret))
        made.append(shop.call(webhooks.create_webhook, who, url=receiver.url, events=["structure.revised"]))
    shop.act()
    shop.deliver()
    shop.call(access.revoke_api_key, api_key=keys[1].id)
    shop.act()
    shop.deliver()
    states = [[one.state for one in shop.deliveries(hook.id)] for hook in made]
    assert states == [["sent", "sent"], ["sent", "withheld"]]


def test_nothing_is_sent_to_a_client_without_consent(shop: Shop, receiver: Receiver) -> None:
    """A webhook that a client made in somebody's name ends with their consent, if it is not one of the host's own."""
    shop.call(access.grant, principal=ADA.ref, role="owner")
    known = shop.call(access.create_client, name="A partner").id
    given = {"scopes": ["*"], "grant_types": ["authorization_code"], "redirect_uris": ["https://partner.example/"]}
    shop.call(access.register_oauth_client, client=known, **given)
    token = Credential("tok_1", scopes=frozenset({"*"}), client=known)
    by_client = Principal("user", "ada", credential=token)
    made = shop.call(webhooks.create_webhook, by_client, url=receiver.url, events=["structure.revised"])
    steps: tuple[Callable[[], Any], ...] = (
        lambda: shop.mall.services.ports[access.OAuthStore].consent(ADA.ref, known, ["*"]),
        lambda: shop.call(access.withdraw_oauth_consent, ADA, client=known),
        lambda: shop.call(access.update_oauth_client, client=known, trusted=True),
        lambda: shop.call(access.remove_oauth_client, client=known),
    )
    for step in steps:
        step()
        shop.act()
        shop.deliver()
    assert [one.state for one in shop.deliveries(made.id)] == ["sent", "withheld", "sent", "withheld"]


def test_an_owner_of_a_subtree_is_sent_what_happens_in_it(shop: Shop, receiver: Receiver) -> None:
    """A grant on a subtree lets through what happened to a node in it, and nothing else."""
    shop.call(structure.create_section, channel="books", name="Fiction")
    shop.call(structure.create_section, channel="books", name="Travel")
    shop.call(access.set_role, role="hooks", permissions=["webhooks.*"])
    shop.call(access.set_role, role="reader", permissions=["structure.history"])
    shop.call(access.grant, principal=ADA.ref, role="hooks")
    shop.call(access.grant, principal=ADA.ref, role="reader", scope="subtree", channel="books", node="fiction")
    shop.call(webhooks.create_webhook, ADA, url=receiver.url, events=["structure.revised"])
    for parent in ("fiction", "travel"):
        shop.call(structure.create_category, channel="books", name=f"In {parent}", parent=parent)
    shop.deliver()
    assert named(receiver) == ["In fiction"]


def test_who_changes_where_messages_go_owns_them(shop: Shop, receiver: Receiver) -> None:
    """Nobody has what another may read sent to a place of their own."""
    shop.call(access.set_role, role="hooks", permissions=["webhooks.*"])
    shop.call(access.grant, principal=ADA.ref, role="hooks")
    made = shop.subscribe("https://shop.example/hooks")
    found = shop.call(webhooks.update_webhook, ADA, webhook=made.id, url=receiver.url)
    assert found.owner == ADA.ref
    shop.act()
    shop.deliver()
    assert receiver.received == []


def test_several_dispatchers_lose_nothing(shop: Shop, receiver: Receiver, database_url: str) -> None:
    """Dispatchers that work side by side send everything, and each message once as long as none dies."""
    hooks = [shop.subscribe(f"{receiver.url}&n={number}") for number in range(3)]
    shop.act(30)
    with Mall.open(database_url, clock=shop.clock, **LOCAL) as other:
        both = [shop.dispatcher, other.services.ports[webhooks.Dispatcher]]
        with ThreadPoolExecutor(2) as pool:
            made = sum(pool.map(lambda one: one.deliver(), both))
        while any(one.deliver() for one in both):
            pass
    assert made <= 90
    assert len(receiver.received) == 90
    assert {one.state for hook in hooks for one in shop.deliveries(hook.id)} == {"sent"}


def test_the_scheduler_delivers(shop: Shop, receiver: Receiver) -> None:
    """Nobody has to ask for it: the mall's scheduler sends what waits."""
    shop.subscribe(receiver.url)
    shop.mall.start_scheduler(0.01)
    shop.act(3)
    receiver.wait(3)


def test_old_events_are_dropped_when_nothing_waits(shop: Shop, receiver: Receiver) -> None:
    """Events are kept for replay for some days; one that still waits is kept until it does no more."""
    made = shop.subscribe(receiver.url)
    shop.act()
    shop.deliver()
    receiver.answers = lambda number: 500
    shop.act()
    shop.deliver()
    shop.clock.forward(days=8)
    assert shop.dispatcher.keep_house() == 1
    assert [one.state for one in shop.deliveries(made.id)] == ["waiting"]
    assert (rows(shop, outbox), rows(shop, delivery)) == (1, 1)
    shop.call(webhooks.update_webhook, webhook=made.id, state="disabled")
    assert shop.dispatcher.keep_house() == 1
    assert (rows(shop, outbox), rows(shop, delivery)) == (0, 0)
