"""Isolation over REST: every operation against every way in which a credential does not suffice."""

from __future__ import annotations

import io
import json
import re
import time
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

import pytest

from mallcore import access, structure
from mallcore.api import Dispatch, Request, Response, bearer
from mallcore.kernel.operations import Operation, anywhere
from tests.access.test_isolation import ARGUMENTS, FOR_ALL, ME, World, everything_but, given, world

__all__ = ["world"]

LIMITS: dict[str, dict[str, Any]] = {
    "no credential": {},
    "expired": {},
    "revoked": {},
    "wrong scope": {},
    "wrong unit": {"units": ["north"]},
    "wrong channel": {"channels": ["toys", "north:games"]},
}


class Rest:
    """Calls operations over REST, each from an address of its own, so that no refusal is one too many."""

    def __init__(self, mall: Any) -> None:
        self.dispatch = Dispatch(mall, bearer(mall))
        self.calls = 0

    def __call__(self, known: Operation, arguments: dict[str, Any], key: str | None, request_id: str) -> Response:
        self.calls += 1
        request = asked(known, dict(arguments))
        request.headers = {**request.headers, "x-request-id": request_id}
        request.origin = {"REMOTE_ADDR": f"10.0.{self.calls // 250}.{self.calls % 250}"}
        if key is not None:
            request.headers["authorization"] = f"Bearer {key}"  # type: ignore[index]
        if self.dispatch.streams_body(request):
            request.stream, request.body = io.BytesIO(request.body), b""
        return self.dispatch.quick(request) or self.dispatch.run(request)


def asked(known: Operation, arguments: dict[str, Any]) -> Request:
    """The request that calls an operation with these arguments."""
    rest = known.rest
    assert rest is not None
    path = re.sub(r"{(\w+)}", lambda found: str(arguments.pop(found[1])), rest.path)
    if rest.raw is not None:
        content = arguments.pop(rest.raw, b"")
        media = {"content-type": rest.accepts[0] if rest.accepts else "application/octet-stream"}
        length = {"content-length": str(len(content))}
        return Request(rest.method, path, urlencode(arguments, doseq=True), {**media, **length}, content)
    if rest.method in ("GET", "DELETE"):
        return Request(rest.method, path, urlencode(arguments, doseq=True))
    content = json.dumps(arguments, default=lambda time: time.isoformat()).encode()
    return Request(rest.method, path, headers={"content-type": "application/json"}, body=content)


def over_rest(world: World, name: str) -> dict[str, Any]:
    """The arguments of an operation, as they fit into a path: a node is named by its id."""
    found = given(world, name)
    if "/" in str(found.get("node")):
        with world.mall.begin(ME) as ctx:
            found["node"] = structure.get_node(ctx, channel="books", node=found["node"]).node.id
    return found


def key_of(world: World, case: str, permission: str) -> str | None:
    """The key of a client that owns the mall, which does not suffice."""
    if case == "no credential":
        return None
    limits = dict(LIMITS[case])
    if case == "wrong scope":
        limits["scopes"] = everything_but(world, permission)
    with world.mall.begin(ME) as ctx:
        client = access.create_client(ctx, name="A partner")
        access.grant(ctx, principal=client.principal, role="owner")
        key = access.create_api_key(ctx, client=client.id, name="Key", **limits)
        if case == "expired":
            access.update_api_key(ctx, api_key=key.id, expires_at=ctx.now() + timedelta(seconds=0.2))
        if case == "revoked":
            access.revoke_api_key(ctx, api_key=key.id)
    if case == "expired":
        time.sleep(0.3)
    return key.secret


@pytest.mark.parametrize("case", LIMITS)
def test_what_does_not_suffice_is_refused_and_on_record(world: World, case: str) -> None:
    """Every operation that is served is refused without a credential, and with one that has ended, or is for other
    things or places; each refusal is on record under its request, and nothing has changed.
    """
    rest, keys, before = Rest(world.mall), dict[str, str | None](), world.digest()
    in_places = case in ("wrong unit", "wrong channel")
    for number, name in enumerate(sorted(ARGUMENTS)):
        known = world.mall.catalogue[name]
        if (
            known.rest is None
            or known.permission is None
            or name in FOR_ALL
            or (in_places and known.subject is anywhere)
        ):
            continue
        permission = known.permission if case == "wrong scope" else ""
        if permission not in keys:
            keys[permission] = key_of(world, case, permission)
        found = rest(known, over_rest(world, name), keys[permission], f"call-{number}")
        expected = 403 if in_places or case == "wrong scope" else 401
        assert (name, found.status, bytes(found.body[:400]) if found.status != expected else b"") == (
            name,
            expected,
            b"",
        )
        refused = world.refused(f"call-{number}")
        assert (name, len(refused)) == (name, 1)
    assert world.digest() == before


def test_with_a_key_that_suffices_all_is_let_through(world: World) -> None:
    """The same requests succeed, or fail for another reason, for an owner's key without limits: they ask what they
    are meant to ask.
    """
    rest = Rest(world.mall)
    with world.mall.begin(ME) as ctx:
        client = access.create_client(ctx, name="A partner")
        access.grant(ctx, principal=client.principal, role="owner")
        key = access.create_api_key(ctx, client=client.id, name="Key").secret
    for number, name in enumerate(sorted(ARGUMENTS)):
        known = world.mall.catalogue[name]
        if known.rest is not None and known.kind == "query":
            found = rest(known, over_rest(world, name), key, f"call-{number}")
            assert (name, found.status in (200, 201, 204), found.body[:300]) == (name, True, found.body[:300])
            if found.stream is not None:
                found.stream.close()
