"""Clients, codes and refresh tokens as Authlib asks about them."""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field
from typing import Any

from mallcore.access import Code, OAuthClient, OAuthStore, Refresh, redirects_to, scopes_within
from mallcore.backends.oauth.borrowed import AuthorizationCodeMixin, ClientMixin, TokenMixin

_LONGEST_SECRET = 200


class KnownClient(ClientMixin):  # type: ignore[misc]  # Authlib has no types
    """A client that is registered."""

    def __init__(self, about: OAuthClient, store: OAuthStore) -> None:
        self.about = about
        self.client_id = about.client
        self._store = store

    def get_client_id(self) -> str:
        """Its id."""
        return self.client_id

    def get_default_redirect_uri(self) -> str | None:
        """Where it gets its answers, if there is one place only, and that is fixed."""
        uris = self.about.redirect_uris
        return uris[0] if len(uris) == 1 and not uris[0].startswith("http:") else None

    def get_allowed_scope(self, scope: str | None) -> str | None:
        """The scopes that are asked for, or all it may have; nothing, if they are none of its own."""
        found = scopes_within(scope or "", self.about.scopes)
        return None if found is None else " ".join(found)

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        """Whether answers may be sent there."""
        return redirects_to(redirect_uri, self.about.redirect_uris)

    def check_client_secret(self, client_secret: str) -> bool:
        """Whether this is its secret."""
        return len(client_secret) <= _LONGEST_SECRET and self._store.opens(self.client_id, client_secret)

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        """Whether it shows who it is in this way: in its own, everywhere."""
        return self.about.auth_method == method

    def check_response_type(self, response_type: str) -> bool:
        """Whether it may get codes."""
        return response_type == "code" and self.check_grant_type("authorization_code")

    def check_grant_type(self, grant_type: str) -> bool:
        """Whether it may get tokens in this way."""
        return grant_type in self.about.grant_types


class KnownCode(AuthorizationCodeMixin):  # type: ignore[misc]
    """An authorization code that can be used."""

    def __init__(self, text: str, about: Code) -> None:
        self.text = text
        self.about = about

    def get_redirect_uri(self) -> str | None:
        """What its request named."""
        return self.about.redirect_uri

    def get_scope(self) -> str:
        """What was consented to."""
        return " ".join(self.about.scopes)


class KnownRefresh(TokenMixin):  # type: ignore[misc]
    """A refresh token that can be used; ``next`` takes its place."""

    def __init__(self, text: str, about: Refresh) -> None:
        self.text = text
        self.about = about
        self.next: str | None = None

    def check_client(self, client: KnownClient) -> bool:
        """Whether it is the client's."""
        return hmac.compare_digest(self.about.client.encode(), client.client_id.encode())

    def get_scope(self) -> str:
        """What was consented to."""
        return " ".join(self.about.scopes)


@dataclass(frozen=True, slots=True)
class Holder:
    """For whom tokens are made: somebody, in a family, with a refresh token or without."""

    principal: str
    family: str
    refresh: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class KnownToken:
    """A token that somebody asks about, or takes back: an access token by its claims, or a refresh token."""

    client: str
    access: Any = None
    refresh: Refresh | None = None

    def check_client(self, client: KnownClient) -> bool:
        """Whether it is the client's."""
        return hmac.compare_digest(self.client.encode(), client.client_id.encode())

    def is_expired(self) -> bool:
        """What is over was not found."""
        return False

    def is_revoked(self) -> bool:
        """What was taken back was not found."""
        return False
