"""Sessions and identities from the command line: who is signed in, and ending that."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from mallcore import Mall
from tests.access.login.desk import Desk, signed_in
from tests.cli.typing_in import Typed

Cli = Callable[..., Typed]


def test_sessions_are_listed_and_ended(folder: Path, cli: Cli) -> None:
    """One by its id, or all of somebody; those that are over are shown on request, with the reason."""
    with Mall.open(folder=folder, logins=[Desk()]) as mall:
        made = [signed_in(mall, who).session for who in ("ada", "ada", "bob")]
    ada = made[0].principal if made[0] else ""
    shown = cli("access", "sessions", "list", "--principal", ada, "--json").json["items"]
    assert [one["provider"] for one in shown] == ["desk", "desk"]
    ended = cli("access", "sessions", "end", shown[0]["id"])
    assert (ended.code, "reason" in ended.out) == (0, True)
    assert cli("access", "sessions", "end", shown[0]["id"], "--json").error["code"] == "unknown-session"
    assert cli("access", "sessions", "end-all", ada).code == 0
    left = cli("access", "sessions", "list", "--json").json["items"]
    assert [one["principal"] for one in left] == [one.principal for one in made[2:] if one]
    over = cli("access", "sessions", "list", "--over", "--json").json["items"]
    assert [one["reason"] for one in over] == ["ended", "everywhere", None]


def test_an_identity_is_unlinked(folder: Path, cli: Cli) -> None:
    """It is listed with whom it counts as; unlinked, it ends the sessions it had opened."""
    with Mall.open(folder=folder, logins=[Desk()]) as mall:
        signed_in(mall, "ada")
    (found,) = cli("access", "identities", "list", "--json").json["items"]
    assert (found["provider"], found["subject"]) == ("desk", "ada")
    assert "desk" in cli("access", "identities", "list").out
    assert cli("access", "identities", "unlink", found["id"]).code == 0
    assert cli("access", "identities", "list", "--json").json["items"] == []
    assert cli("access", "sessions", "list", "--json").json["items"] == []
    assert cli("access", "identities", "unlink", found["id"], "--json").error["code"] == "unknown-identity"
