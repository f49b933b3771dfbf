"""Access tokens, as they are made: what they say (RFC 9068), and for how long."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from mallcore.access import LONGEST_TOKEN, OAuthStore, covers_scope, narrowed_scopes
from mallcore.backends.oauth.borrowed import InvalidScopeError
from mallcore.backends.oauth.clients import Holder, KnownClient
from mallcore.backends.oauth.own_keys import OwnKeys
from mallcore.errors import InvalidSettings
from mallcore.kernel.context import Principal
from mallcore.kernel.ids import new_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Lives:
    """How many seconds what is given out is good.

    A refresh token that is not used for so long is over, and its ``family`` is over in any case: then somebody has to
    consent again.
    """

    code: float = 60.0
    access: int = 600
    refresh: float = 14 * 24 * 3600.0
    family: float = 90 * 24 * 3600.0

    def __post_init__(self) -> None:
        if not 0 < self.code <= 600 or not 0 < self.access <= LONGEST_TOKEN // 2 or min(self.refresh, self.family) <= 0:
            raise InvalidSettings(setting="lives", reason="codes live 10 minutes at most, access tokens 12 hours")


class Tokens(dict[str, Any]):
    """What the token endpoint answers. Authlib writes it to its log, so it does not show what it holds."""

    def __repr__(self) -> str:
        return "<tokens>"


class Issuing:
    """Makes the answer of the token endpoint. Authlib calls it as its token generator."""

    def __init__(
        self, store: OAuthStore, keys: OwnKeys, url: str, audience: str, lives: Lives, clock: Callable[[], datetime]
    ) -> None:
        self.lives = lives
        self._store = store
        self._keys = keys
        self._url = url
        self._audience = audience
        self._clock = clock

    def __call__(
        self,
        *,
        grant_type: str,
        client: KnownClient,
        user: Holder | None = None,
        scope: str | None = None,
        expires_in: int | None = None,
        include_refresh_token: bool = True,
    ) -> Tokens:
        """The tokens. What their holder does not hold is not in their scope."""
        principal = Principal.client(client.client_id) if user is None else _principal(user.principal)
        scopes = self.narrowed(principal, (scope or "").split(), client)
        if not scopes:
            raise InvalidScopeError("Nothing of this scope is held here.")
        now = int(self.now())
        claims: dict[str, Any] = {
            "iss": self._url,
            "aud": self._audience,
            "sub": principal.ref,
            "client_id": client.client_id,
            "iat": now,
            "exp": now + self.lives.access,
            "jti": new_id("tok"),
            "scope": " ".join(scopes),
        }
        more = {} if user is None or user.refresh is None else {"refresh_token": user.refresh}
        if user is not None:
            claims["fam"] = user.family
        return Tokens(
            access_token=self._keys.sign({"typ": "at+jwt"}, claims),
            token_type="Bearer",
            expires_in=self.lives.access,
            scope=claims["scope"],
            **more,
        )

    def now(self) -> float:
        """The time, in seconds."""
        return self._clock().timestamp()

    def narrowed(self, principal: Principal, scopes: list[str], client: KnownClient) -> tuple[str, ...]:
        """The scopes, as far as the principal holds them anywhere, and as the client may ask for them now."""
        held = self._store.held(principal, scopes)
        mine = {name for name in held if covers_scope(client.about.scopes, name)}
        return narrowed_scopes(scopes, mine, self._store.permissions())


def _principal(ref: str) -> Principal:
    kind, _, id = ref.partition(":")
    return Principal(kind, id)
