"""An OpenID provider that answers whatever a test wants it to, over real HTTP: it lies, as a test tells it to."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from joserfc.jwk import ECKey, OKPKey, RSAKey
from joserfc.jws import JWSRegistry

SECRET = "a secret that only this test has"
ES, RS, ED = "ES256", "RS256", "EdDSA"


def new_key(algorithm: str, kid: str, **more: Any) -> Any:
    """A private key."""
    parameters = {"kid": kid, **more}
    if algorithm == RS:
        return RSAKey.generate_key(2048, parameters)
    return ECKey.generate_key("P-256", parameters) if algorithm == ES else OKPKey.generate_key("Ed25519", parameters)


def encoded(value: Any) -> str:
    """A part of a token."""
    content = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


class Hostile:
    """What the provider has and says; a test changes it."""

    def __init__(self, issuer: str) -> None:
        self.issuer = issuer
        self.algorithm = ES
        self.key = new_key(ES, "first")
        self.listed: list[Any] = [self.key.as_dict(private=False)]
        self.header: dict[str, Any] = {}
        self.claims: dict[str, Any] = {}
        self.metadata: dict[str, Any] = {}
        self.userinfo: dict[str, Any] = {}
        self.answers: dict[str, Callable[[BaseHTTPRequestHandler], None]] = {}
        self.asked: list[str] = []
        self.forms: list[str] = []
        self.authorizations: list[str | None] = []
        self.nonce = ""
        self.token: str | None = None

    def id_token(self, **more: Any) -> str:
        """A token signed by the key; a claim that is None is left out."""
        now = int(time.time())
        claims = {
            "iss": self.issuer, "sub": "ada", "aud": "mall", "iat": now, "exp": now + 300, "nonce": self.nonce,
            **self.claims, **more,
        }  # fmt: skip
        return self.signed({name: value for name, value in claims.items() if value is not None})

    def signed(self, claims: dict[str, Any]) -> str:
        """Any claims, signed."""
        header = {"alg": self.algorithm, "kid": self.key.kid, **self.header}
        header = {name: value for name, value in header.items() if value is not None}
        plain = f"{encoded(header)}.{encoded(claims)}"
        if header["alg"] == "none":
            return f"{plain}."
        if header["alg"].startswith("HS"):  # the public key, taken for a secret
            secret = self.key.as_pem(private=False)
            return f"{plain}.{encoded(hmac.digest(secret, plain.encode(), 'sha256'))}"
        return f"{plain}.{encoded(JWSRegistry.algorithms[header['alg']].sign(plain.encode(), self.key))}"

    def at_hash(self, token: str = "an-access-token") -> str:
        """What binds an access token to an ID token of ES256 or RS256."""
        return encoded(hashlib.sha256(token.encode()).digest()[:16])

    def answer(self, path: str) -> dict[str, Any]:
        """What a path gives."""
        if path == "/.well-known/openid-configuration":
            found = {
                "issuer": self.issuer, "authorization_endpoint": f"{self.issuer}/auth",
                "token_endpoint": f"{self.issuer}/token", "jwks_uri": f"{self.issuer}/jwks",
                "userinfo_endpoint": f"{self.issuer}/me", "end_session_endpoint": f"{self.issuer}/end",
                "authorization_response_iss_parameter_supported": True,
                "code_challenge_methods_supported": ["S256"], **self.metadata,
            }  # fmt: skip
            return {name: value for name, value in found.items() if value is not None}
        if path == "/jwks":
            return {"keys": self.listed}
        if path == "/me":
            return {"sub": "ada", "email": "ada@login.example", "email_verified": True, **self.userinfo}
        token = self.id_token() if self.token is None else self.token
        return {"access_token": "an-access-token", "token_type": "Bearer", "expires_in": 60, "id_token": token}


def _handler(hostile: Hostile) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            hostile.asked.append(path)
            length = int(self.headers.get("content-length", 0))
            if length:
                hostile.forms.append(self.rfile.read(length).decode())
                hostile.authorizations.append(self.headers.get("authorization"))
            if path in hostile.answers:
                hostile.answers[path](self)
                return
            reply(self, 200, json.dumps(hostile.answer(path)).encode())

        do_POST = do_GET

        def log_message(self, format: str, *args: Any) -> None:
            pass

    return Handler


def reply(handler: BaseHTTPRequestHandler, status: int, body: bytes, **headers: str) -> None:
    """Answer one request."""
    handler.send_response(status)
    for name, value in {"content-type": "application/json", "content-length": str(len(body)), **headers}.items():
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(body)


@contextmanager
def hostile_provider() -> Iterator[Hostile]:
    """One that listens, for as long as the block lasts."""
    hostile = Hostile("")
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(hostile))
    server.daemon_threads = True
    hostile.issuer = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield hostile
    finally:
        server.shutdown()
        thread.join(10)
        server.server_close()
