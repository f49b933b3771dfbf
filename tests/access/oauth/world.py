"""A mall with its authorization server, and a browser and clients that talk to it without a network."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from sqlalchemy import text

from mallcore import Mall, Principal, access
from mallcore.api import Request, Response
from mallcore.backends.oauth import authorization_server
from mallcore.kernel.ports import Presented, Verifiers

ME = Principal.system("test")
ADA = Principal.user("ada")
URL = "https://shop.example"
DONE = "https://partner.example/done"
FORM = {"content-type": "application/x-www-form-urlencoded"}


class Clock:
    """A clock that goes when it is told to."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 24, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def goes(self, seconds: float) -> None:
        """Let time pass."""
        self.now += timedelta(seconds=seconds)


def pkce() -> tuple[str, str]:
    """A verifier and its challenge."""
    verifier = secrets.token_urlsafe(48)
    return verifier, base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


def basic(client: str, secret: str | None) -> dict[str, str]:
    """How a client shows who it is."""
    return {"authorization": "Basic " + base64.b64encode(f"{client}:{secret}".encode()).decode()}


def read(token: str, part: int = 1) -> dict[str, Any]:
    """A part of a token, unverified."""
    piece = token.split(".")[part]
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(piece + "=" * (-len(piece) % 4)))
    return found


@dataclass
class World:
    """The mall, its server, its clients' secrets, and who is at the browser."""

    mall: Mall
    clock: Clock
    server: Any = None
    user: Principal | None = ADA
    secrets: dict[str, str | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.server = authorization_server(self.mall, lambda request: self.user)
        with self.mall.begin(ME) as ctx:
            access.set_role(ctx, role="reader", permissions=["structure.read", "structure.history"])
            access.grant(ctx, principal="user:ada", role="reader")
            access.grant(ctx, principal="client:robot", role="reader")
        coded = ["authorization_code", "refresh_token"]
        scopes = ["structure.*"]
        self.register("robot", scopes=["structure.read", "structure.edit"], grant_types=["client_credentials"])
        self.register("partner", scopes=scopes, grant_types=coded, redirect_uris=[DONE])
        self.register("other", scopes=scopes, grant_types=coded, redirect_uris=["https://other.example/done"])
        app = ["http://127.0.0.1/done", "com.example.app:/done"]
        self.register("app", scopes=scopes, grant_types=coded, redirect_uris=app, auth_method="none")
        self.register("api", scopes=["structure.read"], introspects=True)

    def register(self, client: str, **given: Any) -> None:
        """Register a client, and remember its secret."""
        with self.mall.begin(ME) as ctx:
            known = access.create_client(ctx, name=client.title()).id
            # Ids are the mall's to make; here they are names, so that a test can be read.
            ctx.session.execute(text("UPDATE mall_client SET id = :new WHERE id = :old"), {"new": client, "old": known})
            made = access.register_oauth_client(ctx, client=client, **given)
        self.secrets[client] = made.secret

    def ask(self, method: str, path: str, query: Any = "", form: Any = None, **headers: str) -> Response:
        """The server's response."""
        query = query if isinstance(query, str) else urlencode(query)
        body = b"" if form is None else (form if isinstance(form, bytes) else urlencode(form).encode())
        kind = {} if form is None else FORM
        response = self.server.answer(Request(method, path, query, {**kind, **headers}, body))
        assert isinstance(response, Response)
        return response

    def token(self, client: str | None = None, **form: Any) -> tuple[int, dict[str, Any]]:
        """What the token endpoint answers a client."""
        shown = {} if client is None else basic(client, self.secrets[client])
        response = self.ask("POST", "/oauth/token", form=form, **shown)
        assert response.header("cache-control") == "no-store"
        return response.status, json.loads(response.body)

    def robot(self, **form: Any) -> str:
        """An access token of a program in its own name."""
        status, found = self.token("robot", grant_type="client_credentials", **form)
        assert status == 200, found
        return str(found["access_token"])

    def asked(self, client: str = "partner", **more: Any) -> tuple[dict[str, Any], str]:
        """An authorization request, and its verifier."""
        verifier, challenge = pkce()
        asked = {
            "response_type": "code",
            "client_id": client,
            "redirect_uri": DONE,
            "scope": "structure.read",
            "state": "xyz",
            "code_challenge": challenge,
            "code_challenge_method": "S256",
            **more,
        }
        return {name: value for name, value in asked.items() if value is not None}, verifier

    def consent(self, asked: dict[str, Any], decision: str = "allow") -> Response:
        """What the user's browser gets in the end: it says yes (or no), if it is asked."""
        response = self.ask("GET", "/oauth/authorize", asked)
        if response.status != 200:
            return response
        ticket = re.search(rb'name="ticket" value="([^"]+)"', response.body)
        assert ticket is not None
        form = {"ticket": unescape(ticket[1].decode()), "decision": decision}
        return self.ask("POST", "/oauth/authorize", asked, form)

    def code(self, client: str = "partner", **more: Any) -> tuple[str, dict[str, str]]:
        """A code, and what else the client has to send to use it."""
        asked, verifier = self.asked(client, **more)
        back = sent_back(self.consent(asked))
        assert "code" in back, back
        sent = {"redirect_uri": asked["redirect_uri"]} if "redirect_uri" in asked else {}
        return back["code"], {"grant_type": "authorization_code", "code_verifier": verifier, **sent}

    def tokens(self, client: str = "partner", **more: Any) -> dict[str, Any]:
        """Access and refresh token in the name of the user."""
        code, form = self.code(client, **more)
        if self.secrets[client] is None:
            status, found = self.token(None, code=code, client_id=client, **form)
        else:
            status, found = self.token(client, code=code, **form)
        assert status == 200, found
        return found

    def verify(self, token: str) -> Principal:
        """Who bears the token, as the API sees it."""
        verifier = self.mall.services.ports[Verifiers].of(token)
        assert verifier is not None
        found = verifier.verify(Presented(token))
        assert isinstance(found, Principal)
        return found


def sent_back(response: Response) -> dict[str, str]:
    """The parameters with which a browser is sent back."""
    assert response.status == 302, (response.status, response.body)
    location = response.header("location")
    assert location is not None
    return {name: values[0] for name, values in parse_qs(urlsplit(location).query).items()}
