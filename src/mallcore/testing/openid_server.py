"""A real OpenID provider for tests: npm's `oidc-provider`, which is certified, on a free loopback port.

Nothing here is needed to run mallcore, and importing this module starts nothing. It is fetched from npm once, into the
user's cache, as Azurite is.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from mallcore.testing.object_servers import _node, _Server
from mallcore.testing.servers import ServerUnavailable, _free_port

VERSION = "9.13.3"
_ENTRY = Path("node_modules", "oidc-provider", "lib", "index.js")
_SCRIPT = """
import { readFileSync } from 'node:fs'
const settings = JSON.parse(readFileSync(process.argv[2]))
const { default: Provider } = await import(settings.library)
const provider = new Provider(settings.issuer, {
  clients: settings.clients,
  jwks: settings.jwks ?? undefined,
  cookies: { keys: [settings.secret] },
  claims: { openid: ['sub'], email: ['email', 'email_verified'], profile: ['name'] },
  features: {
    backchannelLogout: { enabled: true },
    introspection: { enabled: true },
    revocation: { enabled: true },
    devInteractions: { enabled: true },
    clientCredentials: { enabled: true },
    resourceIndicators: {
      enabled: Boolean(settings.audience),
      getResourceServerInfo: () => ({
        scope: settings.scopes, audience: settings.audience, accessTokenFormat: 'jwt', jwt: { sign: { alg: 'RS256' } },
      }),
    },
  },
  issueRefreshToken: async () => true,
  enabledJWA: settings.algorithms ? { idTokenSigningAlgValues: settings.algorithms } : undefined,
  findAccount: (ctx, id) => ({
    accountId: id,
    claims: () => ({ sub: id, email: `${id}@login.example`, email_verified: true, name: id, ...settings.accounts[id] }),
  }),
  pkce: { required: () => true },
  fetch: (url, { dispatcher, ...options }) => fetch(url, options), // its own would not reach this machine
})
provider.on('backchannel.error', (ctx, error) => console.error('back-channel:', error.message))
provider.listen(settings.port, '127.0.0.1')
"""


@dataclass(frozen=True, slots=True)
class Client:
    """One client of the provider: a mall, say, and where it may send browsers back to."""

    client_id: str
    client_secret: str = field(repr=False)
    redirect_uris: tuple[str, ...]
    post_logout_redirect_uris: tuple[str, ...] = ()
    backchannel_logout_uri: str | None = None
    token_endpoint_auth_method: str = "client_secret_basic"
    id_token_signed_response_alg: str = "RS256"
    grant_types: tuple[str, ...] = ("authorization_code", "refresh_token")

    @property
    def registered(self) -> dict[str, Any]:
        """What the provider takes."""
        found = {name: value for name, value in asdict(self).items() if value is not None}
        more = {"backchannel_logout_session_required": True} if self.backchannel_logout_uri else {}
        return {**found, **more, "response_types": ["code"] if "authorization_code" in self.grant_types else []}


class OpenIdServer(_Server):
    """``with OpenIdServer([client]) as server:``: its forms take any name and any password.

    ``accounts`` are claims by name, beside or instead of those everybody has. ``jwks`` are private keys to sign with
    (nothing: those the library has for development). With an ``audience`` it makes access tokens (JWT) of those scopes
    for whoever asks for that resource. The `issuer` is known before it starts; `restart` begins anew on the same port,
    with other keys say.
    """

    name = "oidc-provider"

    def __init__(
        self,
        clients: Iterable[Client] = (),
        *,
        jwks: Mapping[str, Any] | None = None,
        accounts: Mapping[str, Mapping[str, Any]] | None = None,
        audience: str | None = None,
        scopes: str = "",
    ) -> None:
        super().__init__()
        self.clients = list(clients)
        self.jwks = jwks
        self.accounts = dict(accounts or {})
        self.audience = audience
        self.scopes = scopes
        self.port = _free_port()

    @property
    def issuer(self) -> str:
        """``http://127.0.0.1:port``."""
        return f"http://127.0.0.1:{self.port}"

    def restart(self, jwks: Mapping[str, Any] | None = None) -> None:
        """Begin anew: nobody is signed in there any more. With keys, it signs with those from now on."""
        self._end()
        self.jwks = jwks or self.jwks
        self._launch(last=True)

    def _command(self) -> list[str]:
        node, library = _library()
        settings = {
            "issuer": self.issuer, "port": self.port, "library": library.as_uri(), "jwks": self.jwks,
            "clients": [one.registered for one in self.clients], "accounts": self.accounts,
            "secret": os.urandom(16).hex(), "audience": self.audience, "scopes": self.scopes,
            "algorithms": sorted({one.id_token_signed_response_alg for one in self.clients}) or None,
        }  # fmt: skip
        (self.folder / "settings.json").write_text(json.dumps(settings), encoding="utf-8")
        (self.folder / "server.mjs").write_text(_SCRIPT, encoding="utf-8")
        return [node, str(self.folder / "server.mjs"), str(self.folder / "settings.json")]

    def _ready(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


def _library() -> tuple[str, Path]:
    """Node.js, and the library's entry point; fetched from npm if it is not in the cache."""
    node, npm = _node()
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mallcore"
    cache = caches / f"oidc-provider-{VERSION}"
    if not (cache / _ENTRY).is_file():
        caches.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=caches, ignore_cleanup_errors=True) as folder:
            fetched = Path(folder) / "fetched"
            fetched.mkdir()
            options = ["--no-audit", "--no-fund", "--ignore-scripts", "--prefix", str(fetched)]
            environment = {**os.environ, "PATH": f"{Path(node).parent}{os.pathsep}{os.environ.get('PATH', '')}"}
            done = subprocess.run(
                [*npm, "install", *options, f"oidc-provider@{VERSION}"], capture_output=True, text=True, timeout=300,
                check=False, env=environment,
            )  # fmt: skip
            if done.returncode or not (fetched / _ENTRY).is_file():
                raise ServerUnavailable(f"no oidc-provider: npm could not fetch it: {done.stderr[-500:]}")
            with contextlib.suppress(OSError):  # another process was first
                fetched.rename(cache)
    return node, cache / _ENTRY


__all__ = ["Client", "OpenIdServer"]
