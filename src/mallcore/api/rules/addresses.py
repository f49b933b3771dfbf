"""From where a request comes: by the server's word, and by a proxy's only when it is one of those that are trusted."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping
from typing import Literal

from mallcore.errors import InvalidSettings

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Header = Literal["x-forwarded-for", "forwarded"]
_FOR = re.compile(r'(?:^|;)\s*for\s*=\s*("[^"]*"|[^;,"\s]+)', re.IGNORECASE)
_MOST_HOPS = 50


def networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """Ranges of proxies; `InvalidSettings` for what is none."""
    try:
        return tuple(map(ipaddress.ip_network, texts))
    except ValueError as error:
        raise InvalidSettings(setting="proxies", reason=str(error)) from None


def peer(origin: Mapping[str, object]) -> str:
    """The other end of the connection, by an ASGI scope or a WSGI environ; nothing where the server does not tell."""
    client = origin.get("client")
    if isinstance(client, list | tuple) and client:
        return str(client[0])
    return str(origin.get("REMOTE_ADDR") or "")


def address(near: str, headers: Mapping[str, str], proxies: tuple[Network, ...], header: Header) -> str:
    """Whoever stands before the first proxy that is not ours, as the proxies that are say.

    Each proxy adds at the end whom it talks to, so what a client sends itself stands before that, and is not believed.

    >>> address("10.0.0.1", {"x-forwarded-for": "1.1.1.1, 192.0.2.7"}, networks(["10.0.0.0/8"]), "x-forwarded-for")
    '192.0.2.7'
    """
    found = near
    hops = _hops(headers.get(header, ""), header) if _among(near, proxies) else []
    for hop in reversed(hops[-_MOST_HOPS:]):
        bare = _bare(hop)
        if bare is None:  # "unknown", or a name made up by a proxy: all behind it can't be told apart
            return found
        found = bare
        if not _among(bare, proxies):
            return bare
    return found


def _hops(text: str, header: Header) -> list[str]:
    parts = text.split(",") if text else []
    if header == "x-forwarded-for":
        return parts
    return [found[1].strip('"') if (found := _FOR.search(part)) else "unknown" for part in parts]


def _bare(hop: str) -> str | None:
    """An address without its port and brackets."""
    text = hop.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return None


def _among(text: str, proxies: tuple[Network, ...]) -> bool:
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        return False
    found = getattr(found, "ipv4_mapped", None) or found
    return any(found in one for one in proxies)
