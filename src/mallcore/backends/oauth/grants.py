"""The three ways to tokens, as Authlib runs them, with what this mall asks of each."""

from __future__ import annotations

from typing import Any

from mallcore.access import Code, covers_scope, is_challenge, proves
from mallcore.backends.oauth.borrowed import (
    AuthorizationCodeGrant,
    ClientCredentialsGrant,
    CodeChallenge,
    InvalidGrantError,
    InvalidRequestError,
    InvalidScopeError,
    OAuth2Error,
    RefreshTokenGrant,
)
from mallcore.backends.oauth.clients import Holder, KnownClient, KnownCode, KnownRefresh

METHODS = ["client_secret_basic", "client_secret_post", "private_key_jwt", "none"]


def check_resource(payload: Any, audience: str, redirect_uri: str | None = None) -> None:
    """Refuse a request for tokens that are for somebody else (RFC 8707)."""
    if payload.data.get("resource", audience) != audience:
        raise OAuth2Error("Tokens for this resource are not made here.", error="invalid_target",
                          redirect_uri=redirect_uri)  # fmt: skip


class ByCredentials(ClientCredentialsGrant):  # type: ignore[misc]
    """A client asks in its own name."""

    TOKEN_ENDPOINT_AUTH_METHODS = METHODS[:3]

    def validate_requested_scope(self) -> None:
        """What is asked for is among what the client may have; nothing asked for is all of it."""
        check_resource(self.request.payload, self.server.audience)
        allowed = self.client.get_allowed_scope(self.request.payload.scope)
        if allowed is None:
            raise InvalidScopeError("The client may not have this scope.")
        self.request.payload.data["scope"] = allowed


class ByCode(AuthorizationCodeGrant):  # type: ignore[misc]
    """Somebody lets a client ask in their name."""

    TOKEN_ENDPOINT_AUTH_METHODS = METHODS

    def generate_authorization_code(self) -> str:
        """A code that stands for the request and for who consented, kept by its digest."""
        payload = self.request.payload
        about = Code(
            client=self.client.client_id,
            principal=self.request.user.ref,
            redirect_uri=payload.redirect_uri,
            scopes=tuple(self.request.scope.split()),
            challenge=payload.data["code_challenge"],
        )
        found: str = self.server.store.issue(about, self.server.lives.code)
        return found

    def save_authorization_code(self, code: str, request: Any) -> None:
        """It is kept already."""

    def query_authorization_code(self, code: str, client: KnownClient) -> KnownCode | None:
        """The code, if it is this client's and was not used. A second use ends what the first one made."""
        check_resource(self.request.payload, self.server.audience)
        found = self.server.store.code(code, client.client_id)
        return None if found is None else KnownCode(code, found)

    def authenticate_user(self, authorization_code: KnownCode) -> Holder | None:
        """Use the code up: of two who come with it at once, one gets nothing, and the other loses what it got."""
        lives, about = self.server.lives, authorization_code.about
        refresh = lives.refresh if self.client.check_grant_type("refresh_token") else None
        good, text = self.server.store.redeem(authorization_code.text, about, lives.family, refresh)
        return Holder(about.principal, about.family, text) if good else None

    def delete_authorization_code(self, authorization_code: KnownCode) -> None:
        """It stays, so that it is known when it comes again."""


class ByRefresh(RefreshTokenGrant):  # type: ignore[misc]
    """A client goes on with what it was let."""

    TOKEN_ENDPOINT_AUTH_METHODS = METHODS
    INCLUDE_NEW_REFRESH_TOKEN = True

    def validate_token_request(self) -> None:
        """Check all there is to check, and only then put the next token in the place of this one."""
        check_resource(self.request.payload, self.server.audience)
        super().validate_token_request()
        known: KnownRefresh = self.request.refresh_token
        known.next = self.server.store.rotate(known.text, known.about, self.server.lives.refresh)
        if known.next is None:
            raise InvalidGrantError("The refresh token counts no more.")

    def authenticate_refresh_token(self, refresh_token: str) -> KnownRefresh | None:
        """The token, if it is live. One that was used ends its family."""
        found = self.server.store.refresh(refresh_token, self.request.client.client_id)
        return KnownRefresh(refresh_token, found) if found is not None and found.live else None

    def _validate_token_scope(self, token: KnownRefresh) -> None:
        asked = (self.request.payload.scope or "").split()
        if not all(covers_scope(token.about.scopes, scope) for scope in asked):
            raise InvalidScopeError("This is more than was consented to.")

    def authenticate_user(self, refresh_token: KnownRefresh) -> Holder:
        """Whoever consented."""
        return Holder(refresh_token.about.principal, refresh_token.about.family, refresh_token.next)

    def revoke_old_credential(self, refresh_token: KnownRefresh) -> None:
        """It was used up already."""


class S256(CodeChallenge):  # type: ignore[misc]
    """PKCE (RFC 7636) for every client, by S256 alone."""

    def __init__(self) -> None:
        super().__init__(required=True)

    def validate_code_challenge(self, grant: Any, redirect_uri: Any) -> None:
        """There is a challenge, and it says that it is one by S256: without a word it would be `plain`."""
        data = grant.request.payload.data
        check_resource(grant.request.payload, grant.server.audience)
        if data.get("response_mode", "query") != "query":
            raise InvalidRequestError("The only response_mode is query.")
        if data.get("code_challenge_method") != "S256" or not is_challenge(data.get("code_challenge", "")):
            raise InvalidRequestError("A code_challenge by the code_challenge_method S256 is required.")

    def validate_code_verifier(self, grant: Any, result: Any) -> None:
        """The verifier is the one behind the challenge."""
        verifier = grant.request.form.get("code_verifier")
        if not verifier:
            raise InvalidRequestError("The code_verifier is missing.")
        if not proves(verifier, grant.request.authorization_code.about.challenge):
            raise InvalidGrantError("The code_verifier is not the one of this code.")
