"""Clients and API keys from the command line."""

from __future__ import annotations

from collections.abc import Callable

from mallcore.access.rules import api_keys as rules
from tests.cli.typing_in import Typed

Cli = Callable[..., Typed]


def test_a_key_is_made_shown_once_rotated_and_revoked(books: Cli) -> None:
    """A partner is let in and out again; the secret is on the screen when it is made, and never again."""
    client = books("access", "clients", "create", "A partner", "--contact", "it@example.org", "--json").json
    made = books(
        "access", "keys", "create", client["id"], "Stock", "--scopes", "structure.read", "--channel", "books", "--json"
    ).json
    assert rules.parsed(made["secret"]) is not None
    assert made["scopes"] == ["structure.read"]
    assert len(made["channels"]) == 1
    for words in (("show", made["id"]), ("list",), ("list", "--client", client["id"])):
        shown = books("access", "keys", *words)
        assert (shown.code, "Stock" in shown.out, made["secret"] in shown.out) == (0, True, False)
    rotated = books("access", "keys", "rotate", made["id"], "--overlap-seconds", "60", "--json").json
    assert rotated["secret"] != made["secret"]
    assert books("access", "keys", "revoke", made["id"], "--json").json["state"] == "revoked"
    assert books("access", "keys", "revoke", made["id"], "--json").error["code"] == "nothing-to-do"


def test_a_client_is_disabled_and_enabled(books: Cli) -> None:
    """A client is found by its id, changed, shut out and let in."""
    client = books("access", "clients", "create", "A partner", "--json").json
    assert books("access", "clients", "update", client["id"], "--name", "Another", "--json").json["name"] == "Another"
    assert books("access", "clients", "disable", client["id"], "--json").json["disabled_at"]
    assert books("access", "keys", "create", client["id"], "Stock", "--json").error["code"] == "conflict"
    assert books("access", "clients", "enable", client["id"], "--json").json["disabled_at"] is None
    assert "Another" in books("access", "clients", "list").out
    assert books("access", "clients", "show", "cli_no", "--json").error["code"] == "unknown-client"
