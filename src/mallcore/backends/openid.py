"""Signing in by OpenID Connect: the code flow with PKCE, for any provider that has a discovery document.

``Mall.open(logins=[OpenIdConnect("work", "https://login.example", "our-client", "its secret")])``. Whatever comes from
the browser or the provider is taken for hostile until it is proven; secrets and tokens stand in no message.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.util import find_spec
from typing import Any, Literal
from urllib.parse import quote_plus, urlencode

from mallcore.access import Identity, LoginAnswer, LoginRedirect, LoginRequest, LoginTokens, LogoutNotice
from mallcore.backends.openid_http import Answered, Fetcher, checked_issuer
from mallcore.backends.openid_keys import KNOWN, PublicKeys
from mallcore.backends.openid_tokens import (
    Expected,
    Proven,
    logout_said,
    proven,
    refuse_foreign,
    refuse_other_authentication,
    refuse_other_login,
    refused,
)
from mallcore.errors import InvalidSettings, LoginRefused, MissingExtra

__all__ = ["OpenIdConnect"]

ALGORITHMS = ("EdDSA", "Ed25519", "ES256", "ES384", "RS256", "PS256")
_CODE = re.compile(r"[\x20-\x7e]{1,4000}")
_ERROR = re.compile(r"[a-z_]{1,60}")
_WELL_KNOWN = "/.well-known/openid-configuration"
ClientAuthentication = Literal["client_secret_basic", "client_secret_post", "none"]


@dataclass(frozen=True, slots=True)
class Metadata:
    """Where a provider is asked what; read from its discovery document."""

    authorization: str
    token: str
    keys: str
    userinfo: str | None
    logout: str | None
    names_itself: bool
    """Whether it says in every answer which issuer it is (RFC 9207)."""


class OpenIdConnect:
    """A `LoginProvider`: one client of one OpenID provider.

    ``trusted`` says that its word on e-mail addresses is enough to offer links to users. ``loopback`` allows http to
    this very machine, for tests. The redirect URI to be registered is ``…/login/<name>/callback``.
    """

    def __init__(
        self,
        name: str,
        issuer: str,
        client_id: str,
        client_secret: str | None = None,
        *,
        scopes: Iterable[str] = ("openid", "email", "profile"),
        trusted: bool = False,
        authentication: ClientAuthentication = "client_secret_basic",
        algorithms: Iterable[str] = ALGORITHMS,
        userinfo: bool = True,
        loopback: bool = False,
        seconds: float = 10.0,
        largest: int = 256 << 10,
        leeway: float = 60.0,
        keys_every: float = 60.0,
        keys_life: float = 3600.0,
        ca_certs: str | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        if find_spec("joserfc") is None or find_spec("urllib3") is None:
            raise MissingExtra(what="Signing in by OpenID Connect", extra="oauth")
        self.name = name
        self.trusted = trusted
        self.issuer = checked_issuer(issuer, loopback)
        self.client_id = client_id
        self._secret = client_secret
        self._authentication: ClientAuthentication = "none" if client_secret is None else authentication
        self._scopes = " ".join(dict.fromkeys(("openid", *scopes)))
        self._algorithms = _allowed(algorithms)
        self._userinfo = userinfo
        self._leeway = leeway
        self._clock = clock
        self._life = keys_life
        self._http = Fetcher(name, seconds=seconds, largest=largest, loopback=loopback, ca_certs=ca_certs)
        self._keys = PublicKeys(self._key_set, every=keys_every, life=keys_life)
        self._found: tuple[float, Metadata] | None = None
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"<OpenIdConnect {self.name!r} at {self.issuer}>"

    def authorization(self, request: LoginRequest) -> LoginRedirect:
        """The provider's own address, with a challenge whose answer only this mall has (PKCE, S256)."""
        verifier, nonce = secrets.token_urlsafe(48), secrets.token_urlsafe(32)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")
        asked = {
            "response_type": "code", "client_id": self.client_id, "redirect_uri": request.redirect_uri,
            "scope": self._scopes, "state": request.state, "nonce": nonce,
            "code_challenge": challenge, "code_challenge_method": "S256",
        }  # fmt: skip
        kept = {"verifier": verifier, "nonce": nonce}
        if request.fresh:
            asked |= {"prompt": "login", "max_age": "0"}
            kept["since"] = str(int(self._now()))
        if request.hint is not None:
            asked["login_hint"] = request.hint
        return LoginRedirect(_with(self._metadata().authorization, asked), kept)

    def callback(self, answer: LoginAnswer) -> Identity:
        """Who signed in: the code is exchanged, and what comes is proven to be for this sign-in."""
        given, metadata = answer.parameters, self._metadata()
        said = given.get("iss")
        if said != self.issuer and (said is not None or metadata.names_itself):
            raise refused("the answer is another provider's")
        if "error" in given:
            code = given["error"] if _ERROR.fullmatch(given["error"]) else "an error"
            raise refused(f"the provider says {code}")
        if not _CODE.fullmatch(given.get("code", "")):
            raise refused("the provider sent no code")
        fields = {
            "grant_type": "authorization_code", "code": given["code"], "redirect_uri": answer.redirect_uri,
            "code_verifier": answer.kept["verifier"],
        }  # fmt: skip
        came = self._exchanged(metadata, fields)
        tokens = _tokens(came)
        found = self._proven_id(came.get("id_token"))
        subject = refuse_other_login(found, answer.kept["nonce"], None if tokens is None else tokens.access)
        if "since" in answer.kept:
            refuse_other_authentication(found.claims, float(answer.kept["since"]) - self._leeway)
        return self._identity(metadata, subject, found, str(came["id_token"]), tokens)

    def refresh(self, identity: Identity) -> Identity:
        """The identity with new tokens. It needs a refresh token: ask for the scope ``offline_access``."""
        if identity.tokens is None or identity.tokens.refresh is None:
            raise refused("there is no refresh token")
        fields = {"grant_type": "refresh_token", "refresh_token": identity.tokens.refresh}
        came = self._exchanged(self._metadata(), fields)
        tokens = _tokens(came)
        if tokens is None:
            raise refused("the provider sent no token")
        proof = identity.proof
        if "id_token" in came:
            found = self._proven_id(came["id_token"])
            if refuse_other_login(found, None, tokens.access) != identity.subject:
                raise refused("its token is another person's")
            proof = str(came["id_token"])
        kept = tokens if tokens.refresh is not None else replace(tokens, refresh=identity.tokens.refresh)
        return replace(identity, tokens=kept, proof=proof)

    def logout(self, proof: str | None, return_to: str | None) -> str | None:
        """Where a browser ends its sign-in at the provider (RP-initiated logout)."""
        where = self._metadata().logout
        if where is None:
            return None
        asked = {"client_id": self.client_id, "id_token_hint": proof, "post_logout_redirect_uri": return_to}
        return _with(where, {name: value for name, value in asked.items() if value is not None})

    def notice(self, token: str) -> LogoutNotice:
        """What a back-channel logout says, proven like an ID token."""
        found = proven(token, self._keys, self._algorithms, ("jwt", "logout+jwt"))
        refuse_foreign(found.claims, self._expected())
        id, subject, session = logout_said(found.claims)
        until = min(float(found.claims["exp"]), self._now() + 86_400) + self._leeway
        return LogoutNotice(self.issuer, id, datetime.fromtimestamp(until, UTC), subject, session)

    def _identity(
        self, metadata: Metadata, subject: str, found: Proven, proof: str, tokens: LoginTokens | None
    ) -> Identity:
        claims = {**self._told(metadata, subject, tokens), **found.claims}
        email, name, session = (claims.get(one) for one in ("email", "name", "sid"))
        return Identity(
            self.issuer,
            subject,
            email=email if isinstance(email, str) else None,
            email_verified=claims.get("email_verified") is True,
            name=name if isinstance(name, str) else None,
            claims=claims,
            session=session if isinstance(session, str) else None,
            proof=proof,
            tokens=tokens,
        )

    def _told(self, metadata: Metadata, subject: str, tokens: LoginTokens | None) -> Mapping[str, Any]:
        """What the provider tells of the person beside the ID token; it must be the same person."""
        if not self._userinfo or metadata.userinfo is None or tokens is None:
            return {}
        status, found = self._http.get(metadata.userinfo, {"authorization": f"Bearer {tokens.access}"})
        if status != 200:
            raise refused("the provider does not tell of the person")
        said = found.get("sub")
        if not isinstance(said, str) or not hmac.compare_digest(said.encode("utf-8", "replace"), subject.encode()):
            raise refused("the provider tells of another person")
        return found

    def _exchanged(self, metadata: Metadata, fields: Mapping[str, str]) -> dict[str, Any]:
        """What the token endpoint gives to this client."""
        headers: dict[str, str] = {}
        sent = dict(fields)
        if self._authentication == "client_secret_basic":
            pair = f"{quote_plus(self.client_id)}:{quote_plus(self._secret or '')}"
            headers["authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()
        else:
            sent["client_id"] = self.client_id
        if self._authentication == "client_secret_post":
            sent["client_secret"] = self._secret or ""
        answered = self._http.post(metadata.token, sent, headers)
        if answered.status != 200:
            raise _said_no(answered)
        return answered.content

    def _proven_id(self, token: Any) -> Proven:
        found = proven(token, self._keys, self._algorithms, ("jwt",))
        refuse_foreign(found.claims, self._expected())
        return found

    def _expected(self) -> Expected:
        return Expected(self.issuer, self.client_id, self._now(), self._leeway)

    def _now(self) -> float:
        return self._clock().timestamp()

    def _key_set(self) -> Mapping[str, Any]:
        status, found = self._http.get(self._metadata().keys)
        if status != 200:
            raise self._http.unavailable(f"it answers {status} when asked for its keys")
        return found

    def _metadata(self) -> Metadata:
        with self._lock:
            if self._found is None or time.monotonic() - self._found[0] >= self._life:
                self._found = time.monotonic(), self._discovered()
            return self._found[1]

    def _discovered(self) -> Metadata:
        status, found = self._http.get(self.issuer.rstrip("/") + _WELL_KNOWN)
        if status != 200:
            raise self._http.unavailable(f"it answers {status} when asked what it offers")
        if found.get("issuer") != self.issuer:
            raise self._http.unavailable("its discovery document is another issuer's")
        methods = found.get("code_challenge_methods_supported")
        if isinstance(methods, list) and "S256" not in methods:
            raise self._http.unavailable("it knows no PKCE by S256")
        url = self._http.checked
        userinfo, logout = found.get("userinfo_endpoint"), found.get("end_session_endpoint")
        return Metadata(
            authorization=url(found.get("authorization_endpoint"), "authorization_endpoint"),
            token=url(found.get("token_endpoint"), "token_endpoint"),
            keys=url(found.get("jwks_uri"), "jwks_uri"),
            userinfo=None if userinfo is None else url(userinfo, "userinfo_endpoint"),
            logout=None if logout is None else url(logout, "end_session_endpoint"),
            names_itself=found.get("authorization_response_iss_parameter_supported") is True,
        )


def _allowed(algorithms: Iterable[str]) -> frozenset[str]:
    found = frozenset(algorithms)
    if not found or found - KNOWN:
        wrong = sorted(found - KNOWN)[:1] or ["nothing"]
        raise InvalidSettings(setting="logins", reason=f"{wrong[0]!r} is no algorithm of a provider's signatures")
    return found


def _with(url: str, parameters: Mapping[str, str]) -> str:
    return f"{url}{'&' if '?' in url else '?'}{urlencode(parameters)}"


def _said_no(answered: Answered) -> LoginRefused:
    said = answered.content.get("error")
    known = said if isinstance(said, str) and _ERROR.fullmatch(said) else f"status {answered.status}"
    return refused(f"the provider does not take the code: {known}")


def _tokens(came: Mapping[str, Any]) -> LoginTokens | None:
    access, refresh, seconds = (came.get(name) for name in ("access_token", "refresh_token", "expires_in"))
    if not isinstance(access, str) or not access.isascii() or not access.isprintable():
        return None
    if str(came.get("token_type", "")).lower() != "bearer":
        raise refused("the provider sent a token of an unknown type")
    seconds = seconds if isinstance(seconds, int) and not isinstance(seconds, bool) else None
    return LoginTokens(access, refresh if isinstance(refresh, str) else None, seconds)
