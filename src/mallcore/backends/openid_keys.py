"""The keys by which a provider signs: fetched from where its metadata says, kept a while, each for one family only."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any, NamedTuple

from mallcore.errors import LoginRefused

_FAMILIES: Mapping[str, tuple[str, ...]] = {
    "RSA": ("RS256", "RS384", "RS512"),
    "P-256": ("ES256",),
    "P-384": ("ES384",),
    "P-521": ("ES512",),
    "Ed25519": ("EdDSA", "Ed25519"),
}
_PSS = ("PS256", "PS384", "PS512")  # for RSA keys that say so
KNOWN = frozenset({one for family in _FAMILIES.values() for one in family} | set(_PSS))
"""Algorithms that can be allowed: none of them uses a secret that both sides have, and ``none`` is none of them."""
_PUBLIC = ("kty", "kid", "use", "alg", "n", "e", "crv", "x", "y")
_MOST = 100
_SHORTEST_RSA = 2048


class PublicKey(NamedTuple):
    """A key, its name, and the algorithms it may be used with."""

    kid: str | None
    algorithms: frozenset[str]
    key: Any


class PublicKeys:
    """The keys of one provider. For an unknown name they are fetched anew, but no more often than ``every`` seconds."""

    def __init__(
        self, fetch: Callable[[], Mapping[str, Any]], *, every: float, life: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self._fetch = fetch
        self._every = every
        self._life = life
        self._clock = clock
        self._keys: tuple[PublicKey, ...] = ()
        self._at: float | None = None
        self._lock = threading.Lock()

    def find(self, algorithm: str, kid: str | None) -> Any:
        """The one key of this name (or the only one there is) for the algorithm."""
        with self._lock:
            age = None if self._at is None else self._clock() - self._at
            if age is None or age >= self._life:
                self._refresh()
                age = 0.0
            found = self._fitting(algorithm, kid)
            if not found and age >= self._every:
                self._refresh()
                found = self._fitting(algorithm, kid)
        if len(found) != 1:
            raise LoginRefused(reason="the provider has no key, or more than one, that could have signed this")
        return found[0].key

    def _refresh(self) -> None:
        listed = self._fetch().get("keys")
        self._keys = tuple(usable(listed if isinstance(listed, list) else ()))
        self._at = self._clock()

    def _fitting(self, algorithm: str, kid: str | None) -> list[PublicKey]:
        named = [one for one in self._keys if kid is None or one.kid == kid]
        return [one for one in named if algorithm in one.algorithms]


def usable(listed: Iterable[Any]) -> Iterable[PublicKey]:
    """The public keys for signatures in a list; what is not understood, or is too weak, is none."""
    from joserfc.errors import JoseError
    from joserfc.jwk import import_key

    for _, one in zip(range(_MOST), listed, strict=False):
        if not isinstance(one, dict) or one.get("use", "sig") != "sig":
            continue
        operations, kid = one.get("key_ops", ["verify"]), one.get("kid")
        if not isinstance(operations, list) or "verify" not in operations or not isinstance(kid, str | None):
            continue
        algorithms = _algorithms(one)
        if algorithms and not _is_weak(one):
            with suppress(JoseError, ValueError, TypeError, KeyError, AttributeError):
                yield PublicKey(kid, algorithms, import_key({name: one[name] for name in _PUBLIC if name in one}))


def _is_weak(one: Mapping[str, Any]) -> bool:
    """Whether it is an RSA key of less than 2048 bits, by the length of its modulus in base64."""
    modulus = one.get("n")
    return one["kty"] == "RSA" and (not isinstance(modulus, str) or len(modulus.rstrip("=")) * 6 < _SHORTEST_RSA)


def _algorithms(one: Mapping[str, Any]) -> frozenset[str]:
    """The algorithms a key may be used with: those of its kind, or of them the one it says."""
    kind, said = one.get("kty"), one.get("alg")
    family = _FAMILIES.get(str(kind if kind == "RSA" else one.get("crv")), ())
    if kind not in ("RSA", "EC", "OKP") or (kind == "OKP") != (one.get("crv") == "Ed25519"):
        return frozenset()
    more = _PSS if kind == "RSA" else ()
    return frozenset(family if said is None else [one for one in (*family, *more) if one == said])
