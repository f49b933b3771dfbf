"""The authorization server over real HTTP: beside the API, with a client of Authlib's and a browser."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from html import unescape
from typing import Any

import httpx
import pytest

from mallcore import Mall, Principal, access
from mallcore.adapters.asgi import MallASGI
from mallcore.adapters.fastapi import install
from mallcore.adapters.flask import mall_blueprint
from mallcore.adapters.oauth import OAuthASGI, OAuthWSGI, oauth_blueprint
from mallcore.adapters.wsgi import MallWSGI
from mallcore.api import Request, bearer
from mallcore.backends.oauth import authorization_server
from tests.access.oauth.world import ME, pkce
from tests.adapters.serving import uvicorn_serving, werkzeug_serving

ADA = Principal.user("ada")
DONE = "https://partner.example/done"


def signed_in(request: Request) -> Principal | None:
    """The host's own session, which is a cookie here."""
    return ADA if "session=ada" in request.headers.get("cookie", "") else None


def on_fastapi(mall: Mall) -> Any:
    from fastapi import FastAPI

    app = FastAPI()
    install(app, mall, bearer(mall), prefix="/api")
    app.add_middleware(OAuthASGI, server=authorization_server(mall, signed_in))
    return app


def on_asgi(mall: Mall) -> Any:
    api = MallASGI(mall, bearer(mall))

    async def below(scope: Any, receive: Any, send: Any) -> None:
        await api({**scope, "root_path": "/api"}, receive, send)

    return OAuthASGI(below, server=authorization_server(mall, signed_in))


def on_flask(mall: Mall) -> Any:
    import flask

    app = flask.Flask(__name__)

    def authenticate(request: Request) -> Principal | None:
        return ADA if flask.request.cookies.get("session") == "ada" else None

    app.register_blueprint(mall_blueprint(mall, bearer(mall)), url_prefix="/api")
    app.register_blueprint(oauth_blueprint(authorization_server(mall, authenticate)))
    return app


def on_wsgi(mall: Mall) -> Any:
    api = MallWSGI(mall, bearer(mall))

    def below(environ: Any, start_response: Any) -> Any:
        inside = {**environ, "SCRIPT_NAME": "/api", "PATH_INFO": environ["PATH_INFO"].removeprefix("/api")}
        return api(inside, start_response)

    return OAuthWSGI(below, server=authorization_server(mall, signed_in))


Serving = Callable[[Any], AbstractContextManager[str]]


class Site:
    """A server whose application is set once its own URL is known."""

    def __init__(self, serving: Serving, wsgi: bool) -> None:
        self.app: Any = None

        async def asgi(scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] == "lifespan":
                for step in ("startup", "shutdown"):
                    await receive()
                    await send({"type": f"lifespan.{step}.complete"})
            else:
                await self.app(scope, receive, send)

        def below(environ: Any, start_response: Any) -> Any:
            return self.app(environ, start_response)

        self.serving = serving(below if wsgi else asgi)


@pytest.fixture(scope="module", params=["fastapi", "asgi", "flask", "wsgi"])
def site(request: pytest.FixtureRequest) -> Iterator[tuple[str, Mall, dict[str, Any]]]:
    """The URL, the mall, and the ids and secrets of its clients."""
    wsgi = request.param in ("flask", "wsgi")
    made: Callable[[Mall], Any] = {"fastapi": on_fastapi, "asgi": on_asgi, "flask": on_flask, "wsgi": on_wsgi}[
        request.param
    ]
    server = Site(werkzeug_serving if wsgi else uvicorn_serving, wsgi)
    with server.serving as url, Mall.open("sqlite://", issuer=url) as mall:
        server.app = made(mall)
        yield url, mall, clients(mall)


def clients(mall: Mall) -> dict[str, Any]:
    """A partner that acts for people, and a robot that acts for itself."""
    found = {}
    with mall.begin(ME) as ctx:
        access.grant(ctx, principal="user:ada", role="visitor")
        for name in ("partner", "robot"):
            known = access.create_client(ctx, name=name.title())
            access.grant(ctx, principal=known.principal, role="visitor")
            given: dict[str, Any] = {"scopes": ["structure.*"]}
            if name == "partner":
                given |= {"grant_types": ["authorization_code", "refresh_token"], "redirect_uris": [DONE]}
            secret = access.register_oauth_client(ctx, client=known.id, **given).secret
            found[name] = (known.id, secret)
    return found


def consented(browser: httpx.Client, url: str) -> str:
    """Where the browser is sent in the end."""
    page = browser.get(url)
    if page.status_code == 200:
        fields = {name: unescape(value) for name, value in re.findall(r'name="(\w+)" value="([^"]*)"', page.text)}
        action = re.search(r'action="([^"]+)"', page.text)
        assert action is not None
        page = browser.post(
            str(page.url.join(unescape(action[1]))), data={"ticket": fields["ticket"], "decision": "allow"}
        )
    assert page.status_code == 302, page.text
    return page.headers["location"]


def test_a_client_of_authlib_finds_its_way(site: tuple[str, Mall, dict[str, Any]]) -> None:
    """Discovery, consent, code with PKCE, the API, refresh, introspection and revocation, as a library does it."""
    requests_client = pytest.importorskip("authlib.integrations.requests_client")
    url, _, known = site
    metadata = httpx.get(f"{url}/.well-known/oauth-authorization-server").json()
    assert metadata["issuer"] == url
    verifier, _ = pkce()
    client, secret = known["partner"]
    options = {"scope": "structure.read", "redirect_uri": DONE, "code_challenge_method": "S256"}
    session = requests_client.OAuth2Session(client, secret, **options)
    asked, state = session.create_authorization_url(metadata["authorization_endpoint"], code_verifier=verifier)
    with httpx.Client(cookies={"session": "ada"}) as browser:
        answer = consented(browser, asked)
    assert answer.startswith(DONE + "?")
    token = session.fetch_token(
        metadata["token_endpoint"], authorization_response=answer, state=state, code_verifier=verifier
    )
    assert (token["token_type"], token["scope"]) == ("Bearer", "structure.read")
    assert me(url, token["access_token"]) == "user:ada"
    token = session.refresh_token(metadata["token_endpoint"])
    assert me(url, token["access_token"]) == "user:ada"
    asked_about = session.introspect_token(metadata["introspection_endpoint"], token["access_token"])
    assert asked_about.json()["active"] is True
    session.revoke_token(metadata["revocation_endpoint"], token["refresh_token"])
    assert me(url, token["access_token"]) is None
    session.close()


def me(url: str, token: str) -> Any:
    """Who the API says that the bearer of a token is; nothing, if it refuses."""
    response = httpx.get(f"{url}/api/me", headers={"authorization": f"Bearer {token}"})
    if response.status_code == 401:
        assert response.headers["www-authenticate"].startswith("Bearer")
        return None
    assert response.status_code == 200, response.text
    return response.json()["principal"]


def test_a_token_opens_the_api_as_far_as_its_scope_goes(site: tuple[str, Mall, dict[str, Any]]) -> None:
    """A program's token reads what its client may read and its scope names; nothing else, and nothing when changed."""
    url, _, known = site
    answer = httpx.post(f"{url}/oauth/token", data={"grant_type": "client_credentials"}, auth=known["robot"])
    assert answer.headers["cache-control"] == "no-store"
    token = answer.json()["access_token"]
    headers = {"authorization": f"Bearer {token}"}
    assert httpx.get(f"{url}/api/channels", headers=headers).status_code == 200
    assert httpx.get(f"{url}/api/roles", headers=headers).status_code == 403
    assert me(url, token[:-4] + "AAAA") is None


def test_what_is_served_where(site: tuple[str, Mall, dict[str, Any]]) -> None:
    """Wrong methods, bodies and paths are refused as HTTP has it, and what is public may be kept for a while."""
    url, _, known = site
    assert httpx.get(f"{url}/oauth/token").status_code == 405
    assert httpx.put(f"{url}/oauth/jwks").status_code == 405
    assert httpx.get(f"{url}/oauth/nothing").status_code == 404
    assert (
        httpx.post(f"{url}/oauth/token", json={"grant_type": "client_credentials"}, auth=known["robot"]).status_code
        == 415
    )
    large = {"grant_type": "client_credentials", "scope": "x" * 100_000}
    assert httpx.post(f"{url}/oauth/token", data=large, auth=known["robot"]).status_code == 413
    keys = httpx.get(f"{url}/oauth/jwks")
    assert (keys.headers["cache-control"], len(keys.json()["keys"])) == ("public, max-age=300", 1)
    assert httpx.head(f"{url}/oauth/jwks").status_code == 200
    assert httpx.get(f"{url}/oauth/authorize").status_code in (400, 401)


def test_many_ask_at_once(site: tuple[str, Mall, dict[str, Any]]) -> None:
    """Concurrent requests all get tokens of their own."""
    url, _, known = site

    def ask(_: int) -> str:
        answer = httpx.post(f"{url}/oauth/token", data={"grant_type": "client_credentials"}, auth=known["robot"])
        return str(answer.json()["access_token"])

    with ThreadPoolExecutor(8) as pool:
        tokens = list(pool.map(ask, range(24)))
    assert len(set(tokens)) == 24
    assert all(me(url, token) == f"client:{known['robot'][0]}" for token in tokens[:3])
