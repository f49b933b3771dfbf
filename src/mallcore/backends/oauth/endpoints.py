"""Asking about tokens (RFC 7662), and taking them back (RFC 7009)."""

from __future__ import annotations

from typing import Any

from mallcore.backends.oauth.borrowed import IntrospectionEndpoint, RevocationEndpoint
from mallcore.backends.oauth.clients import KnownClient, KnownToken
from mallcore.backends.oauth.grants import METHODS
from mallcore.errors import BadCredential


def find(server: Any, text: str) -> KnownToken | None:
    """A token of ours that is good now: an access token by its signature, a refresh token by its digest."""
    if text.count(".") == 2:
        try:
            checked = server.tokens.checked(text)
        except BadCredential:
            return None
        return KnownToken(checked.client, access=checked.claims)
    found = server.store.look_at(text)
    return KnownToken(found.client, refresh=found) if found is not None and found.live else None


class Asking(IntrospectionEndpoint):  # type: ignore[misc]
    """Clients ask about their own tokens; those that introspect, about all."""

    CLIENT_AUTH_METHODS = METHODS[:3]

    def query_token(self, token_string: str, token_type_hint: str | None) -> KnownToken | None:
        """The token; hints are not needed to tell them apart."""
        return find(self.server, token_string)

    def check_permission(self, token: KnownToken, client: KnownClient, request: Any) -> bool:
        """Whether the client may know."""
        return client.about.introspects or token.check_client(client)

    def introspect_token(self, token: KnownToken) -> dict[str, Any]:
        """What the token says."""
        if token.access is not None:
            names = ("iss", "aud", "sub", "client_id", "iat", "exp", "jti", "scope")
            return {"token_type": "Bearer", **{name: token.access[name] for name in names}}
        about = token.refresh
        assert about is not None
        return {
            "token_type": "refresh_token",
            "iss": self.server.url,
            "client_id": about.client,
            "sub": about.principal,
            "scope": " ".join(about.scopes),
            "exp": int(about.until.timestamp()),
        }


class TakingBack(RevocationEndpoint):  # type: ignore[misc]
    """A client takes a token of its own back. With a refresh token its whole family goes."""

    CLIENT_AUTH_METHODS = METHODS

    def query_token(self, token_string: str, token_type_hint: str | None) -> KnownToken | None:
        """The token, if there still is anything to take back."""
        return find(self.server, token_string)

    def revoke_token(self, token: KnownToken, request: Any) -> None:
        """It counts no more from this commit on."""
        if token.refresh is not None:
            self.server.store.end(token.refresh.family, "the client took it back")
        else:
            self.server.store.deny(token.access["jti"])
