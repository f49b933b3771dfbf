"""Access tokens (RFC 9068) in, principals out: of our own authorization server, and of issuers elsewhere."""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, NamedTuple, Protocol

from mallcore.access import Issuer, OwnTokens
from mallcore.backends.oauth.jose import LARGEST, Parts, PublicKey, taken_apart, verify
from mallcore.backends.oauth.own_keys import OwnKeys
from mallcore.backends.oauth.remote_keys import RemoteKeys
from mallcore.errors import BadCredential, InvalidSettings
from mallcore.kernel.context import Credential, Principal
from mallcore.kernel.ports import Presented

_MOST_KEPT = 10_000
_TYPES = ("at+jwt", "application/at+jwt")
_SUBJECT = re.compile(r"[^\x00-\x1f\x7f\ud800-\udfff]{1,180}")  # what can be kept, and looked for
_OWN_SUBJECT = re.compile(r"(user|client):([^\x00-\x1f\x7f]{1,180})")
_OWN_LEEWAY = 5.0
_OWN_LAG = 60.0


class Keys(Protocol):
    """Finds keys by their ids; ``generation`` is another number whenever that may have changed."""

    @property
    def generation(self) -> int:
        """Changes with the keys."""
        ...

    def find(self, kid: str | None, algorithm: str) -> PublicKey | None:
        """The key, if it is known and verifies."""
        ...


class Source(NamedTuple):
    """Whose tokens are taken, how they are checked, and what they mean."""

    url: str
    audience: str
    algorithms: frozenset[str]
    keys: Keys
    leeway: float
    lag: float
    principal: Callable[[Mapping[str, Any]], Principal]
    scopes: Callable[[Mapping[str, Any]], frozenset[str]]
    refuses: Callable[[Iterable[str], str, float], bool] = lambda ids, client, issued_at: False
    ready: Callable[[], bool] = lambda: True


class Checked(NamedTuple):
    """A token that was found good."""

    principal: Principal
    source: Source
    generation: int
    until: float
    ids: tuple[str, ...]
    client: str
    issued_at: float
    claims: Mapping[str, Any]


class _Life:
    """Tells of a principal that was recognised by a token whether it would be, still: somebody may have kept it."""

    __slots__ = ("_key", "_token", "_verifier")

    def __init__(self, verifier: TokenVerifier, token: str) -> None:
        self._verifier = verifier
        self._token = token
        self._key = _digest(token)

    def __call__(self, wait: bool) -> bool | None:
        known = self._verifier.known(self._key)
        if known is not None:
            return not _taken_back(known)
        if not wait:
            return None
        try:
            self._verifier.checked(self._token)
        except BadCredential:
            return False
        return True


def sources_of(own: OwnTokens | None, issuers: Sequence[Issuer], clock: Callable[[], datetime]) -> list[Source]:
    """Our own tokens, then those of the issuers."""
    found = [] if own is None else [_own(own, clock)]
    _refuse_mixed_up(issuers, {source.url for source in found})
    return found + [_outside(issuer, RemoteKeys(issuer, clock)) for issuer in issuers]


def _refuse_mixed_up(issuers: Sequence[Issuer], urls: set[str]) -> None:
    """Two tenants of one host are two issuers: what the people of one are called must not be what the other's are."""
    labels = set[str]()
    for one in issuers:
        if one.url in urls:
            raise InvalidSettings(setting="issuers", reason=f"{one.url} is there twice")
        if one.principal is None and one.label in labels:
            raise InvalidSettings(
                setting="issuers", reason=f"{one.url} needs a name: {one.label!r} is another's already"
            )
        urls.add(one.url)
        labels |= {one.label} if one.principal is None else set()


def _own(own: OwnTokens, clock: Callable[[], datetime]) -> Source:
    keys = OwnKeys(own.keys, own.algorithm, clock)
    algorithms = frozenset({own.algorithm})
    checks = (own.url, own.audience, algorithms, keys, _OWN_LEEWAY, _OWN_LAG)
    return Source(*checks, _own_principal, _own_scopes, own.refuses, own.ready)


def _own_principal(claims: Mapping[str, Any]) -> Principal:
    found = _OWN_SUBJECT.fullmatch(claims["sub"])
    if found is None:
        raise BadCredential(reason="its subject is nobody here")
    return Principal(found[1], found[2])


def _own_scopes(claims: Mapping[str, Any]) -> frozenset[str]:
    return frozenset(claims.get("scope", "").split())


def _outside(issuer: Issuer, keys: Keys) -> Source:
    def principal(claims: Mapping[str, Any]) -> Principal:
        if issuer.principal is None:
            kind = "client" if claims["sub"] == claims["client_id"] else "user"
            return Principal(kind, f"{issuer.label}/{claims['sub']}")
        found = issuer.principal(claims)
        if not isinstance(found, Principal) or found.kind not in ("user", "client"):
            raise BadCredential(reason="its subject is nobody here")
        return found

    return Source(
        issuer.url,
        issuer.audience,
        frozenset(issuer.algorithms),
        keys,
        issuer.leeway,
        issuer.lag,
        principal,
        issuer.allowed,
    )


class TokenVerifier:
    """A `Verifier` of access tokens. What was checked is kept by the token's digest, so that it costs little again."""

    def __init__(self, sources: Iterable[Source], clock: Callable[[], datetime]) -> None:
        self._sources = {source.url: source for source in sources}
        self._clock = clock
        self._known: dict[bytes, Checked] = {}
        self._lock = threading.Lock()

    def takes(self, token: str) -> bool:
        """Whether the token says that it is of one of these issuers."""
        if not token.startswith("ey") or token.count(".") != 2:
            return False
        if _digest(token) in self._known:
            return True
        try:
            return taken_apart(token).claims.get("iss") in self._sources
        except (BadCredential, TypeError):
            return len(token) > LARGEST

    def recall(self, presented: Presented) -> Principal | None:
        """Who bears the token, if that is known without waiting."""
        known = self.known(_digest(presented.token))
        return known.principal if known is not None and not _taken_back(known) else None

    def known(self, key: bytes) -> Checked | None:
        """The token of this digest, if it was checked, and whether it was taken back is known without waiting."""
        found = self._fresh(key, self._clock().timestamp())
        return found if found is not None and found.source.ready() else None

    def verify(self, presented: Presented) -> Principal:
        """Who bears the token; `BadCredential` (an `Unauthenticated`) for anything wrong with it."""
        return self.checked(presented.token).principal

    def checked(self, token: str) -> Checked:
        """The token, if it is good now."""
        now, key = self._clock().timestamp(), _digest(token)
        known = self._fresh(key, now)
        if known is None:
            known = self._check(token, now)
            self._keep(key, known)
        if _taken_back(known):
            raise BadCredential(reason="it was taken back")
        return known

    def _fresh(self, key: bytes, now: float) -> Checked | None:
        known = self._known.get(key)
        stale = known is None or now >= known.until or known.generation != known.source.keys.generation
        return None if stale else known

    def _keep(self, key: bytes, checked: Checked) -> None:
        with self._lock:
            while len(self._known) >= _MOST_KEPT:
                del self._known[next(iter(self._known))]
            self._known[key] = checked

    def _check(self, token: str, now: float) -> Checked:
        parts = taken_apart(token)
        issuer = parts.claims.get("iss")
        source = self._sources.get(issuer) if isinstance(issuer, str) else None
        if source is None:
            raise BadCredential(reason="its issuer is not trusted here")
        generation = source.keys.generation
        verify(parts, _key(parts, source))
        until = _checked_times(parts.claims, now, source.leeway)
        _check_claims(parts.claims, source)
        return _checked(parts.claims, source, generation, min(until, now + source.lag), _Life(self, token))


def _taken_back(known: Checked) -> bool:
    return known.source.refuses(known.ids, known.client, known.issued_at)


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def _key(parts: Parts, source: Source) -> PublicKey:
    header = parts.header
    kind, algorithm, kid = header.get("typ"), header.get("alg"), header.get("kid")
    if not isinstance(kind, str) or kind.lower() not in _TYPES:
        raise BadCredential(reason="it is no access token (typ is not at+jwt)")
    if not isinstance(algorithm, str) or algorithm not in source.algorithms:
        raise BadCredential(reason="its algorithm is not one that its issuer signs with")
    if "crit" in header or "b64" in header:
        raise BadCredential(reason="it asks for extensions that are not known here (crit)")
    if kid is not None and not (isinstance(kid, str) and len(kid) <= 200):
        raise BadCredential(reason="its key id is no text")
    found = source.keys.find(kid, algorithm)
    if found is None:
        raise BadCredential(reason="its key is not known, or counts no more")
    return found


def _checked_times(claims: Mapping[str, Any], now: float, leeway: float) -> float:
    """When it is over; refuses one that is, or has not begun."""
    times: dict[str, Any] = {name: claims.get(name) for name in ("exp", "iat", "nbf")}
    for name, value in times.items():
        if not (_is_time(value) or (value is None and name == "nbf")):
            raise BadCredential(reason=f"it has no time in {name}")
    if now >= times["exp"] + leeway:
        raise BadCredential(reason="it is over")
    if max(times["iat"], times["nbf"] or 0) > now + leeway:
        raise BadCredential(reason="its time has not come")
    return float(times["exp"] + leeway)


def _is_time(value: Any) -> bool:
    """Whether this is a number of seconds, and neither a truth value nor beyond any calendar."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1 << 40


def _check_claims(claims: Mapping[str, Any], source: Source) -> None:
    if source.audience not in _texts(claims.get("aud")):
        raise BadCredential(reason="it is for somebody else (aud)")
    for name in ("sub", "client_id", "jti"):
        value = claims.get(name)
        if not isinstance(value, str) or not _SUBJECT.fullmatch(value):
            raise BadCredential(reason=f"it does not say {name}")
    if not isinstance(claims.get("scope", ""), str):
        raise BadCredential(reason="its scope is no text")


def _texts(value: Any) -> list[Any]:
    """What may be one text or several."""
    return value if isinstance(value, list) else [value]


def _checked(claims: Mapping[str, Any], source: Source, generation: int, until: float, alive: _Life) -> Checked:
    client, token = claims["client_id"], claims["jti"]
    credential = Credential(token, scopes=source.scopes(claims), client=client, alive=alive)
    family = claims.get("fam")
    ids = (token, family) if isinstance(family, str) else (token,)
    principal = replace(source.principal(claims), credential=credential)
    return Checked(principal, source, generation, until, ids, client, float(claims["iat"]), claims)
