"""Pure rules of issuers: whose access tokens are taken, and what they mean here."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from mallcore.errors import InvalidSettings

ALGORITHMS = ("EdDSA", "Ed25519", "ES256", "ES384", "ES512", "PS256", "PS384", "PS512", "RS256", "RS384", "RS512")
"""What a token may be signed with. Keys that both sides know (HS256) and no key at all are not among them."""

Claims = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Issuer:
    """An authorization server elsewhere whose access tokens (RFC 9068) this mall takes.

    ``url`` is its issuer, to the letter; ``audience`` is what its tokens call this mall. Its keys are read from
    ``jwks_url``, or from where its own metadata says, if that is the same host. ``algorithms`` are those it signs with.

    ``name`` tells its people from others: a token for the subject ``42`` is ``user:<name>/42``, or, if it was made for
    no person, ``client:<name>/42``. ``principal`` may decide otherwise. A token allows what its scopes are named after,
    nothing without any; ``scopes`` says, by name, what its own words mean here.

    ``leeway`` seconds clocks may differ. A token that was checked is not checked again for ``lag`` seconds: as long a
    key that was withdrawn may still count. Keys are read anew every ``renew`` seconds, and for a key that is not
    known once in ``pause`` seconds. ``loopback`` allows plain http to this machine, for tests.
    """

    url: str
    audience: str
    name: str = ""
    jwks_url: str | None = None
    algorithms: tuple[str, ...] = ("EdDSA", "ES256", "RS256")
    principal: Callable[[Claims], Any] | None = None
    scopes: Mapping[str, Iterable[str]] | None = None
    leeway: float = 30.0
    lag: float = 60.0
    renew: float = 3600.0
    pause: float = 30.0
    timeout: float = 5.0
    loopback: bool = field(default=False)

    def __post_init__(self) -> None:
        checked_issuer(self.url, self.loopback)
        if self.jwks_url is not None:
            checked_issuer(self.jwks_url, self.loopback)
        if "/" in self.name:  # what comes after it is the issuer's own: it must be clear where that begins
            raise InvalidSettings(setting="issuers", reason=f"{self.url}: a name holds no /")
        if not self.audience:
            raise InvalidSettings(setting="issuers", reason=f"{self.url}: its tokens have an audience")
        if not self.algorithms or not set(self.algorithms) <= set(ALGORITHMS):
            raise InvalidSettings(setting="issuers", reason=f"{self.url}: algorithms are among {', '.join(ALGORITHMS)}")

    @property
    def label(self) -> str:
        """What its people's names begin with here."""
        return self.name or urlsplit(self.url).netloc

    def allowed(self, claims: Claims) -> frozenset[str]:
        """The permissions and patterns a token allows."""
        said = claims.get("scope")
        words = said.split() if isinstance(said, str) else []
        if self.scopes is None:
            return frozenset(words)
        return frozenset(one for word in words for one in self.scopes.get(word, ()))


def checked_issuer(url: str, loopback: bool) -> str:
    """The URL, if it can be an issuer's: https with a host and a path alone; plain http to this machine if allowed."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise InvalidSettings(setting="issuer", reason=f"{url[:200]!r} is no URL") from None
    plain = loopback and parts.scheme == "http" and is_loopback(host or "")
    whole = not (parts.query or parts.fragment or "@" in parts.netloc or "?" in url or "#" in url)
    if not host or not whole or not (parts.scheme == "https" or plain) or not url.isascii():
        raise InvalidSettings(setting="issuer", reason=f"{url[:200]!r} is not https with a host and a path alone")
    return url


def is_loopback(host: str) -> bool:
    """Whether this names the machine itself.

    >>> is_loopback("127.0.0.1"), is_loopback("::1"), is_loopback("shop.example")
    (True, True, False)
    """
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
