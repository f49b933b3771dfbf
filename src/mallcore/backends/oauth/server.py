"""The mall's authorization server: its endpoints as functions from requests to responses, without a framework."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from mallcore.access import DeniedTokens, OAuthStore, OwnTokens, is_sure_of_its_redirects
from mallcore.api import Refused as TurnedAway
from mallcore.api import Request, Response
from mallcore.backends.oauth.borrowed import AccessDeniedError, InvalidRequestError, OAuth2Error
from mallcore.backends.oauth.clients import KnownClient
from mallcore.backends.oauth.engine import NOT_STORED, Asked, Engine
from mallcore.backends.oauth.grants import METHODS
from mallcore.backends.oauth.issuing import Issuing, Lives
from mallcore.backends.oauth.own_keys import OwnKeys
from mallcore.backends.oauth.pages import Question, consent_page, problem_page
from mallcore.backends.oauth.params import Refused, authenticated_once, in_form, in_query
from mallcore.backends.oauth.tickets import Tickets
from mallcore.backends.oauth.verifying import TokenVerifier, sources_of
from mallcore.errors import InvalidSettings, Unauthenticated, Unavailable
from mallcore.kernel.context import Principal

__all__ = ["AuthorizationServer", "Lives", "Question"]

log = logging.getLogger("mallcore.oauth")
Handler = Callable[[Request], Response]
_PUBLIC = [("content-type", "application/json"), ("cache-control", "public, max-age=300")]
_GRANTS = ("client_credentials", "authorization_code", "refresh_token")
_MADE_BY_KEYS = ["EdDSA", "Ed25519", "ES256", "ES384", "ES512", "PS256", "RS256"]


class AuthorizationServer:
    """OAuth2 for a mall whose setting ``issuer`` says where this is reached from outside.

    ``authenticate`` tells which user is at the browser, by the host's own session. ``sign_in`` answers when there is
    none (by a redirect to the host's sign-in, which returns to the URL that was asked for); ``consent`` shows the
    host's page for a `Question`. Both get the request. ``lives`` says how long what is given out is good.

    `answer` takes any request, and answers those at the server's own paths.
    """

    def __init__(
        self,
        mall: Any,
        authenticate: Callable[[Request], Principal | None],
        *,
        consent: Callable[[Request, Question], Response] = consent_page,
        sign_in: Callable[[Request], Response] | None = None,
        lives: Lives | None = None,
    ) -> None:
        settings = mall.settings
        if not settings.issuer:
            raise InvalidSettings(setting="issuer", reason="the authorization server needs to know its own URL")
        self.url: str = settings.issuer
        self.mall = mall
        self._authenticate = authenticate
        self._consent = consent
        self._sign_in = sign_in
        self._store: OAuthStore = mall.services.ports[OAuthStore]
        self._clock = mall.services.clock
        self._keys = OwnKeys(mall.keys, settings.token_algorithm, self._clock)
        self._tickets = Tickets(mall.keys)
        self._engine = _engine(mall, self._store, self._keys, lives or Lives())
        self.routes: Mapping[str, Mapping[str, Handler]] = self._routes()
        """By the path from the server's root, then by method: what answers there."""

    def _routes(self) -> Mapping[str, Mapping[str, Handler]]:
        base = urlsplit(self.url).path.rstrip("/")
        return {
            f"{base}/oauth/authorize": {"GET": self._asked, "POST": self._decided},
            f"{base}/oauth/token": {"POST": self._token},
            f"{base}/oauth/introspect": {"POST": lambda request: self._endpoint("introspection", request)},
            f"{base}/oauth/revoke": {"POST": lambda request: self._endpoint("revocation", request)},
            f"{base}/oauth/jwks": {"GET": lambda _: _public(self._keys.jwks())},
            f"/.well-known/oauth-authorization-server{base}": {"GET": lambda _: _public(self.metadata())},
        }

    def takes(self, request: Request) -> bool:
        """Whether this is one of the server's own paths."""
        return request.base + request.path in self.routes

    def answer(self, request: Request) -> Response | None:
        """The response to a request at one of the server's paths; nothing for others. It does not raise."""
        methods = self.routes.get(request.base + request.path)
        if methods is None:
            return None
        handler = methods.get("GET" if request.method == "HEAD" else request.method)
        if handler is None:
            return Response(405, [("allow", ", ".join(methods)), NOT_STORED])
        try:
            response = handler(request)
        except Refused as refused:
            response = _refused(refused)
        except Unavailable as error:
            response = _error(503, "temporarily_unavailable", type(error).__name__)
        except Exception:
            log.exception("an OAuth2 request to %s failed", request.path[:100])
            response = _error(500, "server_error", "This is our fault, not yours.")
        if request.method == "HEAD":
            response.body = b""
        return response

    def metadata(self) -> dict[str, Any]:
        """What clients need to know of this server (RFC 8414)."""
        base = self.url.rstrip("/") + "/oauth"
        return {
            "issuer": self.url,
            "authorization_endpoint": f"{base}/authorize",
            "token_endpoint": f"{base}/token",
            "jwks_uri": f"{base}/jwks",
            "revocation_endpoint": f"{base}/revoke",
            "introspection_endpoint": f"{base}/introspect",
            "scopes_supported": sorted(self._store.permissions()),
            "response_types_supported": ["code"],
            "response_modes_supported": ["query"],
            "grant_types_supported": list(_GRANTS),
            "token_endpoint_auth_methods_supported": METHODS,
            "token_endpoint_auth_signing_alg_values_supported": _MADE_BY_KEYS,
            "revocation_endpoint_auth_methods_supported": METHODS,
            "introspection_endpoint_auth_methods_supported": METHODS[:3],
            "code_challenge_methods_supported": ["S256"],
            "authorization_response_iss_parameter_supported": True,
        }

    def authorize(self, request: Request, user: Principal) -> Response | Question:
        """A consent question for the user; or a redirect back to the client, if there is nothing to ask, or an error.

        A request whose client or redirect URI is not known is answered by a page: nobody is sent anywhere.
        """
        found = self._read(request)
        return found if isinstance(found, Response) else self._guarded(*found, user, None)

    def decide(self, request: Request, user: Principal, allowed: bool) -> Response:
        """The redirect back to the client, now that the user has decided. The host has made sure that the user did."""
        found = self._read(request)
        decided = found if isinstance(found, Response) else self._guarded(*found, user, allowed)
        assert isinstance(decided, Response)
        return decided

    def _read(self, request: Request) -> tuple[Asked, KnownClient] | Response:
        """The request and its client, or a page that says why there is none to send anybody back to."""
        try:
            given = in_query(request)
        except Refused as refused:
            return problem_page(refused.status, refused.description)
        client = self._engine.query_client(given.get("client_id", "")[:180])
        if client is None:
            return problem_page(400, "It names no client that is known here.")
        uri = given.get("redirect_uri")
        known = client.get_default_redirect_uri() is not None if uri is None else client.check_redirect_uri(uri)
        if not known:
            return problem_page(400, "Its redirect_uri is not one that the client has registered.")
        return Asked("GET", f"{self.url.rstrip('/')}/oauth/authorize", given, {}), client

    def _guarded(self, asked: Asked, client: KnownClient, user: Principal, allowed: bool | None) -> Response | Question:
        """The question or the redirect; from here on, errors are sent back to the client."""
        uri: str = asked.payload.redirect_uri or client.get_default_redirect_uri() or ""
        try:
            if asked.payload.data.get("response_type") != "code":
                raise OAuth2Error("The only response_type is code.", error="unsupported_response_type")
            grant = self._engine.get_consent_grant(asked, user)
            scopes = self._scopes(asked, user, client)
            if allowed is None and self._must_ask(client, user, scopes):
                ticket = self._tickets.make(user, asked.payload.data, self._now())
                return Question(client=client.about, user=user, scopes=scopes, sent_to=uri, ticket=ticket)
            if allowed:
                self._store.consent(user.ref, client.client_id, scopes)
            asked.scope = " ".join(scopes)
            return self._sent_back(asked, grant, None if allowed is False else user, uri)
        except OAuth2Error as error:
            problem = error
        except Unavailable:
            problem = OAuth2Error("Try again later.", error="temporarily_unavailable")
        problem.redirect_uri, problem.state = uri, asked.payload.state
        return self._engine.handle_error_response(asked, problem)

    def _sent_back(self, asked: Asked, grant: Any, user: Principal | None, uri: str) -> Response:
        if user is None:
            raise AccessDeniedError("The user said no.")
        return self._engine.handle_response(*grant.create_authorization_response(uri, user))

    def _scopes(self, asked: Asked, user: Principal, client: KnownClient) -> tuple[str, ...]:
        scopes = self._engine.issuing.narrowed(_bare(user), asked.scope.split(), client)
        if not scopes:
            raise AccessDeniedError("The user may do nothing of this scope.")
        return scopes

    def _must_ask(self, client: KnownClient, user: Principal, scopes: tuple[str, ...]) -> bool:
        """Whether the user has to be asked: not of the host's own clients, nor again what was said before.

        An app on the user's device can be another than the one that was consented to, so that it is asked every time.
        """
        sure = is_sure_of_its_redirects(client.about.redirect_uris)
        if client.about.trusted and sure:
            return False
        return not sure or not set(scopes) <= self._store.consented(user.ref, client.client_id)

    def _now(self) -> float:
        found: float = self._clock().timestamp()
        return found

    def _user(self, request: Request) -> Principal | None:
        try:
            user = self._authenticate(request)
        except Unauthenticated:  # a session that is over: its user signs in anew
            return None
        except TurnedAway as refused:  # another site made the browser send this, say
            raise Refused(str(refused.error), "access_denied", refused.status) from None
        if user is None:
            return None
        narrow = user.credential is not None and user.credential.scopes is not None
        if user.kind != "user" or narrow:  # a token must not be the way to another that allows more
            raise Refused("Somebody has to be signed in, not a program.", "access_denied", 403)
        return user

    def _asked(self, request: Request) -> Response:
        user = self._user(request)
        if user is None:
            return self._signing_in(request)
        found = self.authorize(request, user)
        return self._consent(request, found) if isinstance(found, Question) else found

    def _decided(self, request: Request) -> Response:
        user = self._user(request)
        if user is None:
            return self._signing_in(request)
        form = in_form(request)
        if not self._tickets.proves(form.get("ticket", ""), user, in_query(request), self._now()):
            return problem_page(400, "The page is too old, or it is not ours: go back to the client and begin again.")
        return self.decide(request, user, form.get("decision") == "allow")

    def _signing_in(self, request: Request) -> Response:
        if self._sign_in is not None:
            return self._sign_in(request)
        return problem_page(401, "Nobody is signed in: sign in, and come back.")

    def _token(self, request: Request) -> Response:
        asked = self._form(request, "token")
        grant_type = asked.payload.data.get("grant_type")
        if grant_type is None:
            return self._engine.handle_error_response(asked, InvalidRequestError("The grant_type is missing."))
        if grant_type not in _GRANTS:
            error = OAuth2Error("This grant_type is not supported.", error="unsupported_grant_type")
            return self._engine.handle_error_response(asked, error)
        response: Response = self._engine.create_token_response(asked)
        return response

    def _endpoint(self, name: str, request: Request) -> Response:
        response: Response = self._engine.create_endpoint_response(name, self._form(request, name))
        return response

    def _form(self, request: Request, name: str) -> Asked:
        given = in_form(request)
        authenticated_once(request.headers, given)
        return Asked("POST", f"{self.url.rstrip('/')}/oauth/{name}", given, request.headers)


def _engine(mall: Any, store: OAuthStore, keys: OwnKeys, lives: Lives) -> Engine:
    settings, clock = mall.settings, mall.services.clock
    denied: DeniedTokens = mall.services.ports[DeniedTokens]
    audience = settings.audience or settings.issuer
    own = OwnTokens(
        url=settings.issuer,
        audience=audience,
        algorithm=settings.token_algorithm,
        keys=mall.keys,
        refuses=denied.refuses,
        ready=lambda: denied.ready,
    )
    tokens = TokenVerifier(sources_of(own, (), clock), clock)
    issuing = Issuing(store, keys, settings.issuer, audience, lives, clock)
    return Engine(store, tokens, issuing, settings.issuer, audience)


def _bare(user: Principal) -> Principal:
    """The user, by whatever it was recognised."""
    return Principal(user.kind, user.id)


def _public(document: Mapping[str, Any]) -> Response:
    return Response(200, list(_PUBLIC), json.dumps(document).encode())


def _refused(refused: Refused) -> Response:
    return _error(refused.status, refused.error, refused.description)


def _error(status: int, error: str, description: str) -> Response:
    headers = [("content-type", "application/json"), NOT_STORED]
    if status == 401:
        headers.append(("www-authenticate", 'Basic realm="oauth"'))
    return Response(status, headers, json.dumps({"error": error, "error_description": description}).encode())
