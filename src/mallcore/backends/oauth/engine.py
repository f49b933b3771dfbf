"""Authlib's authorization server over this mall: requests and responses without a framework, clients from the store."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from mallcore.access import OAuthStore
from mallcore.api import Response
from mallcore.backends.oauth.assertions import Assertions
from mallcore.backends.oauth.borrowed import Authlib, InvalidClientError, OAuth2Payload, OAuth2Request
from mallcore.backends.oauth.clients import KnownClient
from mallcore.backends.oauth.endpoints import Asking, TakingBack
from mallcore.backends.oauth.grants import S256, ByCode, ByCredentials, ByRefresh
from mallcore.backends.oauth.issuing import Issuing
from mallcore.backends.oauth.verifying import TokenVerifier
from mallcore.kernel.ids import is_text

NOT_STORED = ("cache-control", "no-store")


class _Payload(OAuth2Payload):  # type: ignore[misc]
    """The parameters of a request, each of them once."""

    def __init__(self, given: dict[str, str]) -> None:
        self._given = given

    @property
    def data(self) -> dict[str, str]:
        """By name."""
        return self._given

    @property
    def datalist(self) -> Any:
        """By name, as lists of one."""
        return {name: [value] for name, value in self._given.items()}


class Asked(OAuth2Request):  # type: ignore[misc]
    """A request whose parameters were read already."""

    def __init__(self, method: str, url: str, given: dict[str, str], headers: Mapping[str, str]) -> None:
        basic = headers.get("authorization")
        super().__init__(method, url, headers={} if basic is None else {"Authorization": basic})
        self.payload = _Payload(given)

    @property
    def args(self) -> dict[str, str]:
        """The parameters of a query."""
        found: dict[str, str] = self.payload.data
        return found

    @property
    def form(self) -> dict[str, str]:
        """The parameters of a form."""
        found: dict[str, str] = self.payload.data
        return found


class Engine(Authlib):  # type: ignore[misc]
    """The rules of OAuth2, as Authlib has them, with this mall's answers to its questions."""

    def __init__(self, store: OAuthStore, tokens: TokenVerifier, issuing: Issuing, url: str, audience: str) -> None:
        super().__init__()
        self.store = store
        self.tokens = tokens
        self.issuing = issuing
        self.lives = issuing.lives
        self.url = url
        self.audience = audience
        self.register_token_generator("default", issuing)
        self.register_client_auth_method("private_key_jwt", Assertions(self))
        self.register_grant(ByCredentials)
        self.register_grant(ByCode, [S256()])
        self.register_grant(ByRefresh)
        self.register_endpoint(Asking)
        self.register_endpoint(TakingBack)

    def query_client(self, client_id: str) -> KnownClient | None:
        """A client by its id."""
        found = self.store.client(client_id) if is_text(client_id) else None
        return None if found is None else KnownClient(found, self.store)

    def save_token(self, token: Any, request: Any) -> None:
        """Access tokens are kept nowhere, and refresh tokens are kept already."""

    def create_oauth2_request(self, request: Asked) -> Asked:
        """It is one already."""
        return request

    def send_signal(self, name: str, *args: Any, **kwargs: Any) -> None:
        """What happens is on record as events of the mall's."""

    def handle_error_response(self, request: Asked, error: Any) -> Response:
        """The error as a response. Whether a client exists is not said."""
        if isinstance(error, InvalidClientError):
            error.description = "The client could not be recognised."
        response: Response = super().handle_error_response(request, error)
        return response

    def handle_response(self, status: int, body: Any, headers: Any) -> Response:
        """What Authlib answers. Whoever is sent back learns from whom (RFC 9207)."""
        if status == 302:
            return Response(302, [("location", self._signed(dict(headers)["Location"])), NOT_STORED])
        text = json.dumps(dict(body) if body else {}).encode()
        own = [(name.lower(), value) for name, value in headers if name.lower() == "www-authenticate"]
        return Response(status, [("content-type", "application/json"), NOT_STORED, ("pragma", "no-cache"), *own], text)

    def _signed(self, location: str) -> str:
        mark = "&" if "?" in location else "?"
        return f"{location}{mark}{urlencode({'iss': self.url})}"
