"""Pure rules of API keys: their text form with its checksum, where they may come from, and what state they are in."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import re
import zlib
from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Literal, NamedTuple

from mallcore.errors import InvalidInput

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
State = Literal["active", "expired", "revoked"]
PREFIX = "mk_live_"
"""What every key begins with: scanners for leaked secrets find it by that, and by its checksum."""
_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_SECRET = 43  # digits of 32 bytes
_CHECKSUM = 6
_FORM = re.compile(rf"{PREFIX}([0-9a-f]{{32}})_([0-9A-Za-z]{{{_SECRET}}})([0-9A-Za-z]{{{_CHECKSUM}}})")
MOST_NETWORKS = 50

REASONS = {
    "checksum": "it is no key of a mall, or it was not copied whole",
    "unknown": "it is not known here",
    "secret": "it is not known here",  # who guesses is not told how far that came
    "revoked": "it was revoked",
    "rotated": "it was replaced by a newer one",
    "expired": "it has expired",
    "disabled": "its client is disabled",
    "address": "it may not be used from this address",
}
"""Why a key is refused, as its bearer is told."""


class Parts(NamedTuple):
    """A key's text, taken apart."""

    id: str
    secret: str


def base62(number: int, width: int) -> str:
    """A number in digits and letters, filled up with zeros.

    >>> base62(62, 3)
    '010'
    """
    digits = ""
    while number:
        number, digit = divmod(number, 62)
        digits = _DIGITS[digit] + digits
    return digits.rjust(width, "0")


def written(id: str, random: bytes) -> str:
    """The text of a key with this id and secret (32 random bytes), which ends in a checksum over all before it.

    >>> len(written("key_" + 32 * "0", bytes(32)))
    90
    """
    body = f"{PREFIX}{id.removeprefix('key_')}_{base62(int.from_bytes(random), _SECRET)}"
    return body + _checksum(body)


def _checksum(body: str) -> str:
    return base62(zlib.crc32(body.encode()), _CHECKSUM)


def parsed(token: str) -> Parts | None:
    """A key's id and secret; nothing when it has another form, or a wrong checksum: then nothing need be looked up."""
    found = _FORM.fullmatch(token)
    if found is None or _checksum(token[:-_CHECKSUM]) != found[3]:
        return None
    return Parts("key_" + found[1], found[2])


def digest(pepper: bytes, secret: str) -> str:
    """What is kept of a secret: a keyed digest. It has 256 random bits, so nothing slower protects it better."""
    return hmac.new(pepper, secret.encode(), hashlib.sha256).hexdigest()


def same(one: str, other: str) -> bool:
    """Whether two digests are equal, in a time that does not tell where they differ."""
    return hmac.compare_digest(one, other)


def checked_networks(texts: Iterable[str]) -> list[str]:
    """Address ranges as they are kept: each one as a network."""
    found = []
    for text in texts:
        try:
            found.append(str(ipaddress.ip_network(text)))
        except ValueError:
            reason = f"{text[:60]!r} is neither an address nor a range such as 192.0.2.0/24 or 2001:db8::/32"
            raise InvalidInput(field="addresses", reason=reason) from None
    return sorted(set(found))


def networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """Address ranges, to be asked."""
    return tuple(map(ipaddress.ip_network, texts))


@lru_cache(maxsize=4096)
def comes_from(address: str, allowed: Sequence[Network]) -> bool:
    """Whether an address lies in one of the ranges; an address nobody knows lies in none.

    >>> comes_from("::ffff:192.0.2.7", networks(["192.0.2.0/24"]))
    True
    """
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    found = getattr(found, "ipv4_mapped", None) or found
    return any(found in network for network in allowed)


def state(revoked_at: datetime | None, expires_at: datetime | None, now: datetime) -> State:
    """The state of a key."""
    if revoked_at is not None:
        return "revoked"
    return "expired" if expires_at is not None and expires_at <= now else "active"


def covers(own: Iterable[str] | None, wanted: Iterable[str] | None) -> bool:
    """Whether scopes (nothing: all) include all that others do.

    >>> covers(["structure.*"], ["structure.read"]), covers(["structure.read"], ["structure.*"]), covers(["*"], None)
    (True, False, True)
    """
    if own is None or "*" in (held := set(own)):
        return True
    return wanted is not None and all(one in held or f"{one.partition('.')[0]}.*" in held for one in wanted)
