"""What is kept of clients and tokens, and what is not."""

from __future__ import annotations

import logging

import pytest

from mallcore import Mall, access
from mallcore.kernel.tables import metadata
from tests.access.oauth.world import ADA, ME, URL, Clock, World


def test_a_client_that_may_ask_for_less_gets_less(world: World) -> None:
    """What is taken from its scopes is not in its next token, whatever was consented to."""
    tokens = world.tokens(scope="structure.*")
    with world.mall.begin(ME) as ctx:
        access.update_oauth_client(ctx, client="partner", scopes=["structure.read"])
    found = world.token("partner", grant_type="refresh_token", refresh_token=tokens["refresh_token"])
    assert found[1]["scope"] == "structure.read"


def test_no_secret_is_logged_or_kept(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """Secrets, codes, verifiers and tokens are in no log, not even at its most talkative, and in no table."""
    caplog.set_level(logging.DEBUG)
    code, form = world.code()
    _, first = world.token("partner", code=code, **form)
    refresh = {"grant_type": "refresh_token", "refresh_token": first["refresh_token"]}
    _, second = world.token("partner", **refresh)
    world.token("partner", grant_type="refresh_token", refresh_token="wrong")
    world.token("partner", code=code, **form)
    hidden = [code, form["code_verifier"], world.robot(), world.secrets["partner"], world.secrets["robot"]]
    hidden += [tokens[name] for tokens in (first, second) for name in ("access_token", "refresh_token")]
    said = caplog.text + repr([record.args for record in caplog.records])
    with world.mall.engine.connect() as connection:
        rows = repr([connection.execute(table.select()).all() for table in metadata.sorted_tables])
    assert "<tokens>" in said  # Authlib tells of them, so what is not there was hidden
    assert "structure.history" in rows
    assert [one for one in hidden if str(one) in said or str(one) in rows] == []


def test_old_rows_are_dropped(world: World) -> None:
    """What is over leaves the tables; what is not stays."""
    world.tokens()
    world.tokens()
    world.mall.keep_house()
    store = world.mall.services.ports[access.OAuthStore]
    assert store.forget_old() == 0
    world.clock.goes(91 * 86_400)
    live = world.tokens()
    assert store.forget_old() == 6
    assert world.verify(live["access_token"]) == ADA


def test_a_hosts_own_permissions_are_scopes_too(database_url: str, clock: Clock) -> None:
    """A token opens a host's own routes as it opens the mall's: by their permissions, and as far as they are held."""
    with Mall.open(database_url, migrate="always", clock=clock, issuer=URL, permissions=["orders.refund"]) as mall:
        world = World(mall, clock)
        world.register("till", scopes=["orders.*"])
        with mall.begin(ME) as ctx:
            access.set_role(ctx, role="cashier", permissions=["orders.refund"])
            access.grant(ctx, principal="client:till", role="cashier")
        status, found = world.token("till", grant_type="client_credentials", scope="orders.refund")
        assert (status, found.get("scope")) == (200, "orders.refund")
        with mall.begin(world.verify(found["access_token"])) as ctx:
            assert (ctx.may("orders.refund"), ctx.may("structure.read")) == (True, False)
