"""The protocol ``graphql-transport-ws`` as far as it needs no connection: messages, and why a connection is closed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from mallcore.api.graphql.asking import parsed
from mallcore.api.rules.problems import Refused
from mallcore.errors import Denied, Unauthenticated

PROTOCOL = "graphql-transport-ws"
LATER = 1013
_LONGEST_ID = 200


class Closed(Exception):
    """The connection is to be closed, with a code and a reason."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


def invalid() -> Closed:
    """For what is no message of the protocol."""
    return Closed(4400, "Invalid message received")


def refused(error: Exception) -> Closed:
    """For bad credentials, and for good ones that are so no longer; for a version that is not there; for too much."""
    if isinstance(error, Refused):
        return Closed(LATER if error.status in (429, 503) else 4400, str(error))
    return Closed(4403 if isinstance(error, Denied | Unauthenticated) else 4400, str(error))


def slow() -> Closed:
    """For a client that does not say who it is."""
    return Closed(4408, "Connection initialisation timeout")


def other_protocol() -> Closed:
    """For a client that speaks another protocol."""
    return Closed(4406, "Subprotocol not acceptable")


def full() -> Closed:
    """For one connection too many."""
    return Closed(LATER, "Too many connections: try again later")


def leaving() -> Closed:
    """For all, when the server goes."""
    return Closed(1001, "Going away")


def read(text: Any, most: int) -> dict[str, Any]:
    """The message in a frame; raises `Closed` for what is none."""
    if not isinstance(text, str):
        raise Closed(4400, "Only text messages are taken")
    if len(text) > most or len(text.encode("utf-8", "surrogatepass")) > most:
        raise Closed(1009, "The message is too long")
    try:
        found = parsed(text, "message")
    except Refused:
        raise invalid() from None
    if not isinstance(found, dict) or not isinstance(found.get("type"), str):
        raise invalid()
    return found


def credentials(first: Mapping[str, Any]) -> str | None:
    """What the first message brings beside the handshake's headers; raises `Closed` for any but the right one."""
    payload = first.get("payload")
    if first["type"] == "subscribe":
        raise Closed(4401, "Unauthorized")
    if first["type"] != "connection_init" or not (payload is None or isinstance(payload, dict)):
        raise invalid()
    told = next((value for name, value in (payload or {}).items() if name.lower() == "authorization"), None)
    if told is not None and not isinstance(told, str):
        raise invalid()
    return told


def operation(message: Mapping[str, Any], known: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    """The id and the payload of what is to be begun; raises `Closed` for an id that is taken."""
    id, payload = message.get("id"), message.get("payload")
    if not isinstance(id, str) or not 0 < len(id) <= _LONGEST_ID or not isinstance(payload, dict):
        raise invalid()
    if id in known:
        raise Closed(4409, f"Subscriber for {id} already exists")
    return id, payload


def trusted_headers(headers: Mapping[str, str]) -> Mapping[str, str]:
    """The handshake's headers without what a page of somebody else could make a browser send along."""
    origin = headers.get("origin")
    if origin is None or urlsplit(origin).netloc == headers.get("host"):
        return headers
    return {name: value for name, value in headers.items() if name not in ("cookie", "authorization")}
