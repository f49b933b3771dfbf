"""Signatures of tokens (JWS) with the choices of JOSE taken away: keys of our own finding, algorithms of the key.

Nothing that a token says about keys is followed: no `jwk`, `jku`, `x5u` or `x5c`. Its `kid` names one that is known.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey
from joserfc.jws import JWSRegistry

from mallcore.errors import BadCredential

LARGEST = 8192  # characters of a token
_LARGEST_HEADER = 2048
_BASE64URL = re.compile(r"[A-Za-z0-9_-]+")
_CURVES = {
    ("OKP", "Ed25519"): ("EdDSA", "Ed25519"),
    ("EC", "P-256"): ("ES256",),
    ("EC", "P-384"): ("ES384",),
    ("EC", "P-521"): ("ES512",),
}
_RSA = ("PS256", "PS384", "PS512", "RS256", "RS384", "RS512")
_MODULUS = range(342, 1400)  # characters: 2048 to 8192 bits; shorter ones are weak, longer ones take for ever
_PUBLIC = ("kty", "crv", "x", "y", "n", "e")
_KINDS: Mapping[str, Any] = {"OKP": OKPKey, "EC": ECKey, "RSA": RSAKey}


class _Registry(JWSRegistry):
    """Knows the algorithms by name; which of them count is decided before it is asked."""

    max_header_length = _LARGEST_HEADER

    def get_alg(self, name: str) -> Any:
        """The algorithm, without a warning that its name has a successor."""
        return self.algorithms[name]


_REGISTRY = _Registry()


class Parts(NamedTuple):
    """A token taken apart, of which nothing is believed yet."""

    header: dict[str, Any]
    claims: dict[str, Any]
    token: str


class PublicKey(NamedTuple):
    """A key that verifies, and the algorithms it may verify."""

    key: Any
    algorithms: frozenset[str]


def taken_apart(token: str) -> Parts:
    """Header and claims of a token, unverified."""
    pieces = token.split(".")
    if len(token) > LARGEST or len(pieces) != 3 or not all(map(_BASE64URL.fullmatch, pieces)):
        raise BadCredential(reason="it is no signed token (JWT), or too long a one")
    if len(pieces[0]) > _LARGEST_HEADER:
        raise BadCredential(reason="its header is too long")
    return Parts(_decoded(pieces[0]), _decoded(pieces[1]), token)


def _decoded(piece: str) -> dict[str, Any]:
    try:
        text = base64.b64decode(piece + "=" * (-len(piece) % 4), altchars=b"-_", validate=True)
        found = json.loads(text, object_pairs_hook=_once, parse_constant=_refused)
    except (binascii.Error, ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise BadCredential(reason="its parts are not JSON objects with each name once")
    return found


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name twice")
    return found


def _refused(constant: str) -> Any:
    raise ValueError(f"{constant} is no JSON")


def verify(parts: Parts, found: PublicKey) -> None:
    """Refuse the token unless this key signed it, with an algorithm of the key's."""
    algorithm = parts.header.get("alg")
    if not isinstance(algorithm, str) or algorithm not in found.algorithms:
        raise BadCredential(reason="its algorithm is not the key's")
    try:
        jws.deserialize_compact(parts.token, found.key, registry=_REGISTRY)
    except (JoseError, ValueError, TypeError):
        raise BadCredential(reason="its signature is not valid") from None


def sign(header: Mapping[str, Any], claims: Mapping[str, Any], key: Any) -> str:
    """The claims as a signed token."""
    payload = json.dumps(claims, separators=(",", ":")).encode()
    return jws.serialize_compact(dict(header), payload, key, registry=_REGISTRY)


def public_key(jwk: Mapping[str, Any]) -> PublicKey | None:
    """A key of a JWK Set, if it can verify tokens: never one that both sides know, nor a weak one."""
    algorithms = _algorithms(jwk)
    if not algorithms or jwk.get("use", "sig") != "sig" or "verify" not in jwk.get("key_ops", ["verify"]):
        return None
    try:
        key = _KINDS[jwk["kty"]].import_key({name: jwk[name] for name in _PUBLIC if name in jwk})
        key.public_key  # noqa: B018 - a broken one is found out here
    except (JoseError, ValueError, TypeError, KeyError):
        return None
    return PublicKey(key, algorithms)


def _algorithms(jwk: Mapping[str, Any]) -> frozenset[str]:
    """What a key may verify: what it says, or else what its kind can do."""
    kind, curve, said = jwk.get("kty"), jwk.get("crv"), jwk.get("alg")
    able: tuple[str, ...]
    if kind == "RSA":
        modulus = jwk.get("n")
        able = _RSA if isinstance(modulus, str) and len(modulus) in _MODULUS else ()
    else:
        able = _CURVES.get((kind, curve), ()) if isinstance(kind, str) and isinstance(curve, str) else ()
    return frozenset(able if said is None else {said} & set(able) if isinstance(said, str) else ())
