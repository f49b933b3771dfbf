"""Proofs that an answer to a consent question comes from the page that asked: this user, this request, a while ago."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping

from mallcore.errors import UnknownKey
from mallcore.kernel.context import Principal
from mallcore.kernel.keys import Key, Keyring
from mallcore.kernel.tables import canonical

_GOOD = 600  # seconds


class Tickets:
    """Makes and checks tickets, under the mall's keys for tokens."""

    def __init__(self, keys: Keyring) -> None:
        self._keys = keys

    def make(self, user: Principal, asked: Mapping[str, str], now: float) -> str:
        """A ticket for this user and these parameters."""
        key, until = self._keys.current("tokens"), int(now) + _GOOD
        return f"{key.number}.{until}.{_mac(key, user, asked, until)}"

    def proves(self, ticket: str, user: Principal, asked: Mapping[str, str], now: float) -> bool:
        """Whether the ticket was made for them, and is still good."""
        number, _, rest = ticket.partition(".")
        until, _, mac = rest.partition(".")
        if not (number.isdecimal() and until.isdecimal() and ticket.isascii() and len(ticket) < 120):
            return False
        try:
            key = self._keys.find("tokens", int(number))
        except UnknownKey:
            return False
        good = hmac.compare_digest(mac, _mac(key, user, asked, int(until)))
        return good and int(now) < int(until)


def _mac(key: Key, user: Principal, asked: Mapping[str, str], until: int) -> str:
    about = canonical([user.ref, user.session, dict(asked), until])
    return hmac.new(key.derive("consent"), about.encode(), hashlib.sha256).hexdigest()
