"""What a provider signs, proven: ID tokens and logout tokens. A key is never taken from a token itself."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

from mallcore.backends.openid_keys import PublicKeys
from mallcore.errors import LoginRefused

LOGOUT_EVENT = "http://schemas.openid.net/event/backchannel-logout"
_HEADERS = {"alg", "kid", "typ", "cty", "x5t", "x5t#S256"}
"""What a header may have. A token that brings a key, or leads to one, or calls something critical, is refused."""
_LONGEST = 64 << 10
_OLDEST = 600  # seconds since it was issued: it comes straight from the provider
_HASHES = {"256": hashlib.sha256, "384": hashlib.sha384, "512": hashlib.sha512}


class Proven(NamedTuple):
    """The header and the claims of a token whose signature holds."""

    header: dict[str, Any]
    claims: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Expected:
    """What tokens must say: by whom, for whom, and what time it is."""

    issuer: str
    client_id: str
    now: float
    leeway: float


def refused(reason: str) -> LoginRefused:
    """The error of a token that does not count."""
    return LoginRefused(reason=reason)


def proven(token: Any, keys: PublicKeys, algorithms: Collection[str], typed: Collection[str]) -> Proven:
    """The token's content, if its signature holds: by an algorithm that is allowed, and a key the provider lists."""
    from joserfc import jws
    from joserfc.errors import JoseError

    header = _header(token)
    algorithm, kid = str(header["alg"]), header.get("kid")
    if algorithm not in algorithms:
        raise refused("its token is signed by an algorithm that is not allowed")
    if set(header) - _HEADERS or not isinstance(kid, str | None):
        raise refused("the header of its token has what it must not have")
    if str(header.get("typ", "JWT")).lower().removeprefix("application/") not in typed:
        raise refused("its token is of another kind")
    key = keys.find(algorithm, kid)
    try:
        found = jws.deserialize_compact(token, key, registry=_registry(algorithm))
        claims = json.loads(found.payload or b"")
    except (JoseError, ValueError, TypeError, RecursionError):
        raise refused("the signature of its token does not hold") from None
    if not isinstance(claims, dict):
        raise refused("its token says nothing")
    return Proven(header, claims)


@lru_cache
def _registry(algorithm: str) -> Any:
    """What verifies by one algorithm, and by no other."""
    from joserfc.errors import UnsupportedAlgorithmError
    from joserfc.jws import JWSRegistry

    class Only(JWSRegistry):
        max_header_length, max_payload_length = 4 << 10, _LONGEST

        def get_alg(self, name: str) -> Any:
            # Its own way warns of the name EdDSA, which most providers use still.
            if name != algorithm:
                raise UnsupportedAlgorithmError(name)
            return self.algorithms[name]

    return Only()


def _header(token: Any) -> dict[str, Any]:
    try:
        if not isinstance(token, str) or not token.isascii() or len(token) > _LONGEST or token.count(".") != 2:
            raise ValueError
        first = token.partition(".")[0]
        found = json.loads(base64.b64decode(first + "=" * (-len(first) % 4), altchars=b"-_", validate=True))
    except (ValueError, RecursionError):
        raise refused("it sent no token") from None
    if not isinstance(found, dict) or not isinstance(found.get("alg"), str):
        raise refused("it sent no token")
    return found


def refuse_foreign(claims: Mapping[str, Any], expected: Expected) -> None:
    """Refuse what another issued, what is for another, and what is out of time."""
    if claims.get("iss") != expected.issuer:
        raise refused("its token is another issuer's")
    audience = claims.get("aud")
    audiences = audience if isinstance(audience, list) else [audience]
    if expected.client_id not in audiences:
        raise refused("its token is for somebody else")
    if claims.get("azp", expected.client_id) != expected.client_id or (len(audiences) > 1 and "azp" not in claims):
        raise refused("its token was made for another client")
    issued, expires, begins = (_number(claims, name) for name in ("iat", "exp", "nbf"))
    if issued is None or expires is None:
        raise refused("its token does not say how long it is good")
    if expires + expected.leeway <= expected.now:
        raise refused("its token has expired")
    if max(issued, begins or issued) > expected.now + expected.leeway:
        raise refused("its token is of the future")
    if issued < expected.now - _OLDEST - expected.leeway:
        raise refused("its token was issued long ago")


def _number(claims: Mapping[str, Any], name: str) -> float | None:
    found = claims.get(name)
    return found if isinstance(found, int | float) and not isinstance(found, bool) and abs(found) < 1e11 else None


def refuse_other_login(found: Proven, nonce: str | None, access_token: str | None) -> str:
    """Refuse what was not made for this sign-in; returns the subject."""
    claims = found.claims
    said = claims.get("nonce")
    if nonce is not None and not (
        isinstance(said, str) and hmac.compare_digest(said.encode("utf-8", "replace"), nonce.encode())
    ):
        raise refused("its token is of another sign-in")
    if "at_hash" in claims and access_token is not None and claims["at_hash"] != _half(found.header, access_token):
        raise refused("its tokens do not belong together")
    subject = claims.get("sub")
    if not isinstance(subject, str) or not subject:
        raise refused("its token names nobody")
    return subject


def _half(header: Mapping[str, Any], text: str) -> str:
    """The left half of a hash, by the token's own algorithm (Ed25519 has SHA-512 in it)."""
    made = _HASHES.get(str(header["alg"])[-3:], hashlib.sha512)(text.encode()).digest()
    return base64.urlsafe_b64encode(made[: len(made) // 2]).decode().rstrip("=")


def refuse_other_authentication(claims: Mapping[str, Any], since: float) -> None:
    """Refuse a sign-in that was made before it was asked for."""
    at = _number(claims, "auth_time")
    if at is None or at < since:
        raise refused("the person did not sign in anew")


def logout_said(claims: Mapping[str, Any]) -> tuple[str, str | None, str | None]:
    """Of a logout token: its id, the subject and the session it is about."""
    events = claims.get("events")
    if not isinstance(events, dict) or not isinstance(events.get(LOGOUT_EVENT), dict) or "nonce" in claims:
        raise refused("its message is no logout")
    id, subject, session = (claims.get(name) for name in ("jti", "sub", "sid"))
    texts = [one for one in (id, subject, session) if one is not None]
    if id is None or len(texts) < 2 or not all(isinstance(one, str) and 0 < len(one) <= 255 for one in texts):
        raise refused("its message does not say whose sign-in is over")
    return str(id), subject, session
