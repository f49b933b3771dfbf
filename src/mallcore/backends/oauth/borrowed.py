"""What is taken from Authlib. Its types, where it has any, promise less than its code does: here it has none."""

from __future__ import annotations

from importlib import import_module
from typing import Any

_oauth2: Any = import_module("authlib.oauth2")
_rfc6749: Any = import_module("authlib.oauth2.rfc6749")
_grants: Any = import_module("authlib.oauth2.rfc6749.grants")

Authlib: Any = _oauth2.AuthorizationServer
OAuth2Error: Any = _oauth2.OAuth2Error
AccessDeniedError: Any = _rfc6749.AccessDeniedError
InvalidClientError: Any = _rfc6749.InvalidClientError
InvalidGrantError: Any = _rfc6749.InvalidGrantError
InvalidRequestError: Any = _rfc6749.InvalidRequestError
InvalidScopeError: Any = _rfc6749.InvalidScopeError
AuthorizationCodeMixin: Any = _rfc6749.AuthorizationCodeMixin
ClientMixin: Any = _rfc6749.ClientMixin
TokenMixin: Any = _rfc6749.TokenMixin
OAuth2Payload: Any = _rfc6749.OAuth2Payload
OAuth2Request: Any = _rfc6749.OAuth2Request
AuthorizationCodeGrant: Any = _grants.AuthorizationCodeGrant
ClientCredentialsGrant: Any = _grants.ClientCredentialsGrant
RefreshTokenGrant: Any = _grants.RefreshTokenGrant
CodeChallenge: Any = import_module("authlib.oauth2.rfc7636").CodeChallenge
IntrospectionEndpoint: Any = import_module("authlib.oauth2.rfc7662").IntrospectionEndpoint
RevocationEndpoint: Any = import_module("authlib.oauth2.rfc7009").RevocationEndpoint
