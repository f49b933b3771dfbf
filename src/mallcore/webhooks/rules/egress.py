"""Where a mall may send: no private address, no port of another service, no host in disguise.

A name is resolved once, every address it has is looked at here, and the connection goes to one of those: what the name
says a moment later, to somebody else, changes nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import NamedTuple
from urllib.parse import urlsplit

from mallcore.errors import InvalidInput, InvalidSettings

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
LONGEST_URL = 2000
_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_TEXT = re.compile(r"[!-~]+")
# Carriers' own addresses, relays, and the two clouds whose metadata lie where the whole world could.
_CLOSED = tuple(
    ip_network(one)
    for one in ("100.64.0.0/10", "168.63.129.16/32", "192.0.0.0/24", "192.88.99.0/24", "fd00:ec2::/32", "fec0::/10")
)
_SIX_TO_FOUR = IPv6Network("2002::/16")
_TRANSLATED = (IPv6Network("64:ff9b::/96"), IPv6Network("64:ff9b:1::/48"))


class Target(NamedTuple):
    """A URL in parts that were checked: ``path`` is path and query as they are sent."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def authority(self) -> str:
        """What the header Host says: the port only where it is not the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == {"https": 443, "http": 80}[self.scheme] else f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Egress:
    """What a mall allows beyond the usual: nothing, unless its settings say so."""

    networks: tuple[Network, ...] = ()
    insecure: bool = False
    ports: frozenset[int] = frozenset({443, 8443})

    @classmethod
    def of(cls, networks: Iterable[str], insecure: bool, ports: Iterable[int]) -> Egress:
        """From settings; without any port, all are allowed."""
        try:
            return cls(tuple(ip_network(one) for one in networks), insecure, frozenset(ports))
        except ValueError as error:
            raise InvalidSettings(setting="webhook_networks", reason=str(error)) from None

    def target(self, url: str) -> Target:
        """The URL in parts; `InvalidInput` says why it may not be one to send to.

        >>> Egress().target("https://shop.example/hooks?a=1").path
        '/hooks?a=1'
        """
        if len(url) > LONGEST_URL or not _TEXT.fullmatch(url) or "\\" in url:
            raise _refused("it is too long, or has characters that no URL has")
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            raise _refused("it is no URL") from None
        self._require_scheme(parts.scheme)
        if parts.username is not None or parts.password is not None:
            raise _refused("it may hold no credentials: verify the signature instead")
        if parts.fragment:
            raise _refused("a fragment is never sent: leave it out")
        host = self._host(parts.hostname or "")
        port = (443 if parts.scheme == "https" else 80) if port is None else port
        if port == 0 or (self.ports and port not in self.ports and not (self.insecure and port == 80)):
            raise _refused(f"nothing is sent to port {port} (the setting webhook_ports)")
        return Target(parts.scheme, host, port, (parts.path or "/") + (f"?{parts.query}" if parts.query else ""))

    def _require_scheme(self, scheme: str) -> None:
        if scheme != "https" and not (scheme == "http" and self.insecure):
            raise _refused("it must begin with https://")

    def _host(self, host: str) -> str:
        """A host's name, or an address that may be reached. What only looks like a name is neither."""
        literal = literal_of(host)
        if literal is not None:
            reason = self.refusal(literal)
            if reason is not None:
                raise _refused(f"{host} is {reason}")
            return host
        name = host.removesuffix(".")
        labels = name.split(".")
        if len(name) > 253 or not all(_LABEL.fullmatch(label) for label in labels) or _NUMBER.fullmatch(labels[-1]):
            raise _refused("its host is no name, and no address as four decimal numbers or in brackets")
        return name

    def refusal(self, address: Address) -> str | None:
        """Why an address may not be reached, or nothing when it may.

        >>> Egress().refusal(ip_address("::ffff:127.0.0.1")), Egress().refusal(ip_address("93.184.215.14"))
        ('an address of this network, not of the world', None)
        """
        if any(address in one for one in self.networks):
            return None
        inner = embedded(address)
        if inner is not None:
            return self.refusal(inner)
        if address.is_multicast:
            return "a multicast address"
        closed = any(address in one for one in _CLOSED)
        if closed or not address.is_global or address.is_reserved or address.is_unspecified:
            return "an address of this network, not of the world"
        return None

    def allowed(self, addresses: Sequence[str]) -> list[str]:
        """The addresses of a name, if all of them may be reached; `InvalidInput` when there is one that may not."""
        for one in addresses:
            reason = self.refusal(ip_address(one.partition("%")[0]))
            if reason is not None:
                raise _refused(f"its host is at {reason}")  # which one, nobody outside needs to know
        if not addresses:
            raise _refused("its host has no address")
        return list(addresses)


def literal_of(host: str) -> Address | None:
    """The address that a host is written as, if it is one."""
    if "%" in host:
        raise _refused("an address may have no zone")
    try:
        return ip_address(host)
    except ValueError:
        return None


def embedded(address: Address) -> IPv4Address | None:
    """The IPv4 address that an IPv6 one leads to: mapped, 6to4, Teredo or translated (NAT64)."""
    if isinstance(address, IPv4Address):
        return None
    number = int(address)
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address in _SIX_TO_FOUR:
        return IPv4Address((number >> 80) & 0xFFFFFFFF)
    if address.teredo is not None:
        return address.teredo[1]
    if any(address in one for one in _TRANSLATED) or (number >> 32 == 0 and number > 1):
        return IPv4Address(number & 0xFFFFFFFF)
    return None


def _refused(reason: str) -> InvalidInput:
    return InvalidInput(field="url", reason=reason)
