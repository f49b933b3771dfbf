"""A partner's program: a key for one channel and one version of the API, GraphQL with it, and webhooks it verifies.

Run it in an empty folder: python partner.py
"""

import asyncio
import base64
import hashlib
import hmac
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import httpx

from mallcore import Mall, Principal, access, structure, webhooks
from mallcore.adapters.asgi import MallASGI
from mallcore.api import bearer

DESK = Principal.system("desk")
PINNED = "2026-08-01"
SHELVES = "{ structureListChannels { nodes { slug tree { nodes { name children { name } } } } } }"
MOVE = """mutation {
  structureMove(channel: "books", node: "fiction/baking", to: "cooking") { path }
}"""  # in the words of its version: since 2026-11-01, `to` is `parent`


class Receiver(BaseHTTPRequestHandler):
    """The partner's end: verify the bytes as they came, then read them."""

    secret = ""
    came: list[tuple[bool, dict[str, Any]]] = []  # noqa: RUF012

    def do_POST(self) -> None:
        """Take a message, or refuse it."""
        body = self.rfile.read(int(self.headers["content-length"]))
        good = verified(self.secret, dict(self.headers.items()), body)
        self.came.append((good, json.loads(body) if good else {}))
        self.send_response(204 if good else 400)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


def verified(secret: str, headers: dict[str, str], body: bytes) -> bool:
    """Whether the mall signed it, in the last five minutes (Standard Webhooks; there are libraries for it)."""
    named = {name.lower(): value for name, value in headers.items()}
    sent = named["webhook-timestamp"]
    key = base64.b64decode(secret.removeprefix("whsec_"))
    digest = hmac.digest(key, f"{named['webhook-id']}.{sent}.".encode() + body, hashlib.sha256)
    expected = f"v1,{base64.b64encode(digest).decode()}"
    good = [hmac.compare_digest(one, expected) for one in named["webhook-signature"].split()]
    return abs(time.time() - int(sent)) < 300 and any(good)


@contextmanager
def receiving() -> Iterator[str]:
    """Listen on this machine; gives the URL."""
    with HTTPServer(("127.0.0.1", 0), Receiver) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/hooks"
        server.shutdown()


def let_in(mall: Mall, url: str) -> str:
    """What the mall's desk does for a partner; returns the key's secret, which is shown this once."""
    with mall.begin(DESK) as ctx:
        for slug in ("books", "toys"):
            structure.create_channel(ctx, slug=slug, name=slug.title())
        for name in ("Fiction", "Cooking"):
            structure.create_section(ctx, channel="books", name=name)
        structure.create_category(ctx, channel="books", name="Baking", parent="fiction")
        partner = access.create_client(ctx, name="Lake Books", owner="user:ada", contact="it@example.org")
        access.grant(ctx, principal=partner.principal, role="editor")  # everywhere; the key narrows it
        key = access.create_api_key(
            ctx, client=partner.id, name="Sync", scopes=["structure.*"], channels=["books"], api_version=PINNED
        )
        hook = webhooks.create_webhook(ctx, url=url, events=["structure.revised"], channel="books", version=PINNED)
    Receiver.secret = hook.secret or ""
    return key.secret or ""


async def play(mall: Mall, secret: str) -> None:
    """The partner reads and moves by GraphQL, in the words of its version, and looks where it may not."""
    transport = httpx.ASGITransport(MallASGI(mall, bearer(mall)))
    mine = {"authorization": f"Bearer {secret}"}
    async with httpx.AsyncClient(transport=transport, base_url="http://mall.test", headers=mine) as client:
        shown = await client.post("/graphql", json={"query": SHELVES})
        print(shown.headers["mall-version"], shown.json()["data"]["structureListChannels"]["nodes"])
        moved = await client.post("/graphql", json={"query": MOVE})
        print("moved to", moved.json()["data"]["structureMove"]["path"])
        refused = await client.get("/channels/toys/tree")
        print("toys:", refused.status_code, refused.json()["code"])


def opened() -> Mall:
    """A mall that may send to this machine, to try it; without these settings, webhooks go out by HTTPS only."""
    return Mall.open(
        "sqlite:///mall.db",
        secret="a long secret from your vault",
        webhook_insecure=True,
        webhook_ports=[],
        webhook_networks=["127.0.0.0/8"],
    )


def main() -> None:
    """Let the partner in, and tell it what it did."""
    with receiving() as url, opened() as mall:
        secret = let_in(mall, url)
        asyncio.run(play(mall, secret))
        mall.services.ports[webhooks.Dispatcher].deliver()  # a server calls mall.start_scheduler() instead
    for good, message in Receiver.came:
        print("verified:", good, message["type"], "revision", message["data"]["revision"])
    assert Receiver.came
    assert all(good for good, _ in Receiver.came)


if __name__ == "__main__":
    main()
