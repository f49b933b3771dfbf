"""Clients that show who they are by a token they signed themselves (RFC 7523, `private_key_jwt`): once, and for us."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from mallcore.backends.oauth.borrowed import InvalidClientError
from mallcore.backends.oauth.clients import KnownClient
from mallcore.backends.oauth.jose import Parts, PublicKey, public_key, taken_apart, verify
from mallcore.errors import BadCredential

TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_LONGEST = 3600  # seconds: its id is remembered for longer than that
_LEEWAY = 30.0


class Assertions:
    """The method of recognising clients, as Authlib calls it."""

    def __init__(self, engine: Any) -> None:
        self._engine = engine
        base = engine.url.rstrip("/")
        self._audiences = {engine.url, f"{base}/oauth/token"}

    def __call__(self, query_client: Any, request: Any) -> KnownClient | None:
        """The client, or nothing, if the request brings no assertion."""
        text = request.form.get("client_assertion")
        if text is None or request.form.get("client_assertion_type") != TYPE:
            return None
        try:
            parts = taken_apart(text)
            client = self._client(query_client, parts)
            verify(parts, _key(client, parts))
            self._check(parts.claims, client.client_id)
        except BadCredential:
            raise InvalidClientError() from None
        return client

    @staticmethod
    def _client(query_client: Any, parts: Parts) -> KnownClient:
        subject = parts.claims.get("sub")
        client = query_client(subject) if isinstance(subject, str) and len(subject) <= 180 else None
        if client is None or parts.claims.get("iss") != subject or client.about.jwks is None:
            raise BadCredential(reason="its issuer is no client here")
        found: KnownClient = client
        return found

    def _check(self, claims: Mapping[str, Any], client: str) -> None:
        audience, until, token = claims.get("aud"), claims.get("exp"), claims.get("jti")
        named = audience if isinstance(audience, list) else [audience]
        if not any(isinstance(one, str) and one in self._audiences for one in named):
            raise BadCredential(reason="it is for somebody else")
        now = self._engine.issuing.now()
        if type(until) not in (int, float) or not now - _LEEWAY < until <= now + _LONGEST:
            raise BadCredential(reason="it is over, or good for too long")
        if not isinstance(token, str) or not self._engine.store.once(_noted(client, token)):
            raise BadCredential(reason="it was used before")


def _noted(client: str, token: str) -> str:
    return "jti:" + hashlib.sha256(f"{client}\n{token}".encode("utf-8", "replace")).hexdigest()


def _key(client: KnownClient, parts: Parts) -> PublicKey:
    """The client's key that the assertion names, or its only one."""
    kid, header = parts.header.get("kid"), parts.header
    if (
        "crit" in header
        or "b64" in header
        or str(header.get("typ", "JWT")).lower() not in ("jwt", "client-authentication+jwt")
    ):
        raise BadCredential(reason="it is no assertion of a client")
    listed = client.about.jwks["keys"] if client.about.jwks is not None else []
    named = [jwk for jwk in listed if kid is None or jwk.get("kid") == kid]
    found = public_key(named[0]) if len(named) == 1 else None
    if found is None:
        raise BadCredential(reason="its key is not known")
    return found
