"""The part of the demo about those who build on a mall: versions of the API, a key for a program, GraphQL."""

from __future__ import annotations

import json
from typing import Any

from mallcore import access
from mallcore.adapters.cli.demo.changes import CHANNEL, Tour
from mallcore.api import Dispatch, Request, Response, bearer

OLDER, NEWER = "2026-05-01", "2026-11-01"
SHELVES = f'{{ structureGetChannel(channel: "{CHANNEL}") {{ name tree(levels: 1) {{ nodes {{ name }} }} }} }}'
"""In the words of the older version, to which the key is pinned."""


def versions(tour: Tour) -> None:
    """Ask for the same tree in two versions of the API."""
    told = """Others build on a mall by its API, whose versions are dates. All of them answer side by side, by path,
    header, or key. The mall itself knows the newest only: what was different is declared, and converted on the
    way. Here is the same tree twice. The first request of a version makes its plan; the time is of the next."""
    with tour.stage.step("Versions", told, f"mallcore api diff {OLDER} {NEWER}") as step:
        api = Dispatch(tour.mall, lambda request: tour.me)
        for version, query in ((OLDER, "levels=1"), (NEWER, "depth=1")):
            asked = Request("GET", f"/{version}/channels/{CHANNEL}/tree", query)
            api.run(asked)
            with step.timed():
                shown = api.run(asked)
            first = json.loads(shown.body)["nodes"][0]
            kind = next(name for name in ("kind", "type") if name in first)
            step.line(f"GET /{version}/channels/{CHANNEL}/tree?{query}")
            step.line(f"    {json.dumps({name: first[name] for name in (kind, 'slug', 'name')})}, …", "cyan")
            step.facts[version] = kind


def key(tour: Tour) -> str:
    """Let a partner's program in, to read one channel; returns the secret of its key."""
    told = """A partner's program is a client. It is granted a role like a person, and its API key can only narrow
    that: this one reads one channel, in the version it was written for. A digest of the secret is kept, and
    the secret is shown once."""
    with tour.stage.step("API key", told) as step:
        with step.timed(), tour.mall.begin(tour.me) as ctx:
            client = access.create_client(ctx, name="Window display", owner="user:partner")
            access.grant(ctx, principal=client.principal, role="editor")
            made = access.create_api_key(
                ctx, client=client.id, name="Screens", scopes=["structure.read"], channels=[CHANNEL], api_version=OLDER
            )
        limits = f"--scopes structure.read --channel {CHANNEL} --api-version {OLDER}"
        step.command = f"mallcore access keys create {client.id} Screens {limits}"
        secret = made.secret or ""
        step.line(f"{secret[:20]}…: {', '.join(made.scopes or ())} in {CHANNEL}, pinned to {made.api_version}", "green")
        step.facts |= {"client": client.id, "key": made.id}
    return secret


def graphql(tour: Tour, secret: str) -> None:
    """Ask by GraphQL with the key, and try what it does not allow."""
    told = """GraphQL is made of the same operations, a schema for each version: same access, same audit log. Queries
    are measured before they run, and what they show is loaded together. The partner asks for the top of the
    tree with its key, in the words of its version; then it tries to rename a category."""
    with tour.stage.step("GraphQL", told, f"mallcore api schema {OLDER} --format graphql") as step:
        api = Dispatch(tour.mall, bearer(tour.mall))
        step.line(SHELVES)
        _sent(api, "POST", "/graphql", {"query": SHELVES}, secret)  # a schema is made when it is first asked for
        with step.timed():
            shown = _sent(api, "POST", "/graphql", {"query": SHELVES}, secret)
        answer = json.loads(shown.body)
        found = (answer.get("data") or {}).get("structureGetChannel")
        if found is None:  # graphql-core is an extra
            step.line(answer.get("detail") or shown.body.decode(), "yellow")
        else:
            names = [node["name"] for node in found["tree"]["nodes"]]
            step.line(f"{found['name']}: {', '.join(names)}", "green")
            step.facts["nodes"] = len(names)
        refused = _sent(api, "PATCH", f"/channels/{CHANNEL}/nodes/{tour.plot.lost.id}", {"name": "Mine"}, secret)
        step.line(f"renaming: {refused.status}, {json.loads(refused.body)['code']}", "red")
        step.facts["refused"] = refused.status


def _sent(api: Dispatch, method: str, path: str, body: dict[str, Any], secret: str) -> Response:
    content = json.dumps(body).encode()
    headers = {
        "authorization": f"Bearer {secret}",
        "content-type": "application/json",
        "content-length": str(len(content)),
    }
    return api.run(Request(method, path, "", headers, content))
