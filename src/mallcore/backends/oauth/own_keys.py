"""The keys of our own access tokens: derived from the mall's keys for tokens, known outside by their public halves."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from joserfc.jwk import ECKey, OKPKey

from mallcore.backends.oauth.jose import PublicKey, sign
from mallcore.errors import UnknownKey
from mallcore.kernel.keys import Key, Keyring

PURPOSE = "tokens"
_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551  # of P-256


class OwnKeys:
    """Signs with the newest key, verifies with those that still count. ``kid`` is the key's number.

    What is derived for one algorithm is another key than what is derived for the other: neither stands for both.
    """

    def __init__(self, keyring: Keyring, algorithm: str, clock: Callable[[], datetime]) -> None:
        self.algorithm = algorithm
        self._keyring = keyring
        self._clock = clock
        self._derived: dict[tuple[int, bytes], Any] = {}

    @property
    def generation(self) -> int:
        """Another number whenever a key has come or gone."""
        return self._keyring.generation

    def sign(self, header: Mapping[str, Any], claims: Mapping[str, Any]) -> str:
        """The claims as a token, signed by the newest key."""
        key = self._keyring.current(PURPOSE)
        return sign({**header, "alg": self.algorithm, "kid": str(key.number)}, claims, self._private(key))

    def find(self, kid: str | None, algorithm: str) -> PublicKey | None:
        """The key with this number, while it verifies."""
        if kid is None or algorithm != self.algorithm or not (kid.isascii() and kid.isdecimal() and len(kid) < 10):
            return None
        try:
            key = self._keyring.find(PURPOSE, int(kid))
        except UnknownKey:
            return None
        return PublicKey(self._private(key), frozenset({algorithm})) if kid == str(key.number) else None

    def jwks(self) -> dict[str, Any]:
        """The public halves of the keys that count now (RFC 7517)."""
        counting = [key for key in self._keyring.every(PURPOSE) if self._counts(key)]
        more = {"use": "sig", "alg": self.algorithm}
        shown = ((key, self._private(key).as_dict(private=False)) for key in counting)
        return {"keys": [{**jwk, "kid": str(key.number), **more} for key, jwk in shown]}

    def _counts(self, key: Key) -> bool:
        return key.revoked_at is None and (key.retires_at is None or key.retires_at > self._clock())

    def _private(self, key: Key) -> Any:
        known = self._derived.get((key.number, key.secret))
        if known is None:
            known = self._derived[key.number, key.secret] = _derived(key, self.algorithm)
        return known


def _derived(key: Key, algorithm: str) -> Any:
    if algorithm == "EdDSA":
        return OKPKey.import_key(_pem(Ed25519PrivateKey.from_private_bytes(key.derive("EdDSA"))))
    # 16 bytes more than the order has, so that no remainder is likelier than another
    scalar = int.from_bytes(key.derive("ES256", 48), "big") % (_ORDER - 1) + 1
    return ECKey.import_key(_pem(ec.derive_private_key(scalar, ec.SECP256R1())))


def _pem(key: Any) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    found: bytes = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return found
