"""An issuer elsewhere, over real HTTP: it answers whatever a test wants it to."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

from joserfc.jwk import ECKey, OKPKey, RSAKey

from mallcore.backends.oauth.jose import sign

KEYS = "/keys"
METADATA = "/.well-known/openid-configuration"


class Elsewhere:
    """``with Elsewhere(clock) as issuer:``; ``answers`` are by path, ``asked`` is every path that was asked for."""

    def __init__(self, clock: Callable[[], Any]) -> None:
        self.clock = clock
        self.asked: list[str] = []
        self.keys: dict[str, Any] = {"a": OKPKey.generate_key("Ed25519", parameters={"kid": "a"}, private=True)}
        self.more: list[Any] = []
        """What else is among the published keys."""
        self.answers: dict[str, Callable[[BaseHTTPRequestHandler], None]] = {}
        elsewhere = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                elsewhere.asked.append(self.path)
                answer = elsewhere.answers.get(self.path)
                if answer is not None:
                    answer(self)
                elif self.path == KEYS:
                    reply(self, 200, elsewhere.jwks())
                elif self.path == METADATA:
                    reply(self, 200, {"issuer": elsewhere.url, "jwks_uri": elsewhere.url + KEYS})
                else:
                    reply(self, 404, {})

            def log_message(self, format: str, *args: Any) -> None:
                """Nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Elsewhere:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def jwks(self) -> dict[str, Any]:
        """The published keys."""
        return {"keys": [*(key.as_dict(private=False) for key in self.keys.values()), *self.more]}

    def token(self, kid: str = "a", algorithm: str = "EdDSA", header: Any = None, **more: Any) -> str:
        """A token, good unless changed."""
        now = int(self.clock().timestamp())
        claims = {
            "iss": self.url, "aud": "https://shop.example", "sub": "42", "client_id": "till", "iat": now,
            "exp": now + 600, "jti": f"t{now}", "scope": "structure.read profile", **more,
        }  # fmt: skip
        whole = {"typ": "at+jwt", "alg": algorithm, "kid": kid, **(header or {})}
        whole = {name: value for name, value in whole.items() if value is not None}
        return sign(whole, claims, self.keys[kid])

    def adds(self, kid: str, kind: str = "Ed25519") -> None:
        """A new key."""
        made: dict[str, Callable[[], Any]] = {
            "Ed25519": lambda: OKPKey.generate_key("Ed25519", parameters={"kid": kid}, private=True),
            "P-256": lambda: ECKey.generate_key("P-256", parameters={"kid": kid}, private=True),
            "RSA": lambda: RSAKey.generate_key(2048, parameters={"kid": kid}, private=True),
        }
        self.keys[kid] = made[kind]()


def reply(handler: BaseHTTPRequestHandler, status: int, body: Any, **headers: str) -> None:
    """An answer: JSON, or bytes as they are."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name, value)
    handler.send_header("content-length", str(len(content)))
    handler.end_headers()
    handler.wfile.write(content)
