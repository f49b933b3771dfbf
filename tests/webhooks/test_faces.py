"""Webhooks over HTTP and from the command line: the secret is shown once, and what waits is sent."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mallcore import Mall
from mallcore.api import Dispatch, Request
from tests.adapters.faces import authenticate
from tests.cli.typing_in import type_in
from tests.webhooks.conftest import LOCAL, ME
from tests.webhooks.receiving import Receiver

URL = "https://shop.example/hooks"


class Asking:
    """Asks a mall's API, as the system."""

    def __init__(self, mall: Mall) -> None:
        self._dispatch = Dispatch(mall, authenticate)

    def __call__(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        """The status, and the JSON of the answer."""
        named = {"authorization": f"Bearer {ME.ref}"} | {name.replace("_", "-"): one for name, one in headers.items()}
        content = b"" if body is None else json.dumps(body).encode()
        found = self._dispatch.run(Request(method, path, "", named, content, "/api"))
        return found.status, json.loads(found.body) if found.body else None


@pytest.fixture
def ask() -> Iterator[Asking]:
    """The API of a mall."""
    with Mall.open("sqlite://", **LOCAL) as mall:
        yield Asking(mall)


def test_a_secret_crosses_the_wire_once(ask: Asking) -> None:
    """Who makes a webhook is told its secret; who asks again, by its key, its id or a list, is not."""
    body = {"url": URL, "events": ["structure.*"]}
    status, made = ask("POST", "/webhooks", body, idempotency_key="once")
    assert (status, made["secret"][:6]) == (201, "whsec_")
    assert ask("POST", "/webhooks", body, idempotency_key="once")[1] == {**made, "secret": None}
    shown = ask("GET", f"/webhooks/{made['id']}")[1]
    assert shown == {name: one for name, one in made.items() if name != "secret"}
    assert ask("GET", "/webhooks")[1]["items"] == [shown]
    assert ask("POST", f"/webhooks/{made['id']}/secret")[1]["secret"] != made["secret"]


def test_all_of_it_is_there_over_http(ask: Asking) -> None:
    """Each operation has its place, and answers as it should."""
    id = ask("POST", "/webhooks", {"url": URL, "events": ["structure.*"]})[1]["id"]
    assert ask("PATCH", f"/webhooks/{id}", {"description": "Mine"})[1]["description"] == "Mine"
    status, ping = ask("POST", f"/webhooks/{id}/ping")
    assert (status, ping["state"]) == (202, "waiting")
    assert ask("GET", f"/webhooks/{id}/deliveries/{ping['id']}")[1] == ping
    assert ask("GET", f"/webhooks/{id}/deliveries")[1]["items"] == [ping]
    assert ask("POST", f"/webhooks/{id}/deliveries/{ping['id']}/replay")[0] == 200
    since = {"since": "2026-01-01T00:00:00Z"}
    assert ask("POST", f"/webhooks/{id}/replay", since)[1] == {"webhook": id, "deliveries": 0}
    assert ask("GET", "/dead-deliveries")[1]["items"] == []
    assert ask("DELETE", f"/webhooks/{id}")[0] == 200
    status, problem = ask("GET", f"/webhooks/{id}")
    assert (status, problem["code"]) == (404, "unknown-webhook")
    status, problem = ask("POST", "/webhooks", {"url": "https://10.0.0.1/", "events": ["*"]})
    assert (status, problem["code"]) == (422, "invalid-input")


def test_webhooks_from_the_command_line(receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is typed makes a webhook, pings it, sends what waits, and shows what became of it."""
    monkeypatch.setenv("MALLCORE_WEBHOOK_INSECURE", "1")
    monkeypatch.setenv("MALLCORE_WEBHOOK_PORTS", "[]")
    monkeypatch.setenv("MALLCORE_WEBHOOK_NETWORKS", '["127.0.0.0/8"]')
    assert type_in("init").code == 0
    made = type_in("webhooks", "create", receiver.url, "--event", "structure.*", "--json").json
    assert made["secret"].startswith("whsec_")
    assert type_in("webhooks", "ping", made["id"]).code == 0
    assert "1 attempts." in type_in("webhooks", "deliver").out
    assert receiver.names == ["webhooks.ping"]
    shown = type_in("webhooks", "deliveries", made["id"], "--json").json["items"]
    assert [one["state"] for one in shown] == ["sent"]
    assert type_in("webhooks", "update", made["id"], "--state", "disabled", "--json").json["state"] == "disabled"
    assert type_in("webhooks", "remove", made["id"]).code == 0
    assert type_in("webhooks", "list", "--json").json["items"] == []
