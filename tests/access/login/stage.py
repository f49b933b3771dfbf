"""A site on real servers, a provider beside it, and a browser that fills in the provider's forms."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

from mallcore import Mall
from mallcore.adapters.fastapi import mall_router
from mallcore.adapters.flask import mall_blueprint
from mallcore.adapters.login import LoginASGI, LoginWSGI
from mallcore.api import session_cookie
from mallcore.backends.openid import OpenIdConnect
from mallcore.testing.openid_server import Client, OpenIdServer
from tests.adapters.serving import uvicorn_serving, werkzeug_serving

SECRET = "a secret of thirty-two characters"
_HIDDEN = re.compile(r'<input type="hidden" name="([^"]+)" value="([^"]*)"')
_FORM = re.compile(r'<form[^>]* action="([^"]+)"')


class Later:
    """An application that is given later, so that its address is known before it is made."""

    def __init__(self) -> None:
        self.app: Any = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            for answer in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{answer}.complete"})
            return
        await self.app(scope, receive, send)

    def wsgi(self, environ: Any, start_response: Any) -> Any:
        return self.app(environ, start_response)


@dataclass
class Site:
    """Where a site is served, and its client at the provider."""

    name: str
    url: str
    place: Later
    build: Callable[[Mall, str], Any]

    @property
    def client(self) -> Client:
        """What the provider knows of it."""
        pages = f"{self.url}/auth/login/work"
        return Client(self.name, SECRET, (f"{pages}/callback",), (f"{self.url}/",), f"{pages}/backchannel-logout")


@dataclass
class Stage:
    """The provider, and the sites."""

    provider: OpenIdServer
    sites: dict[str, Site] = field(default_factory=dict)

    def login(self, site: Site, **more: Any) -> OpenIdConnect:
        """A site's way to sign in."""
        given: dict[str, Any] = {"loopback": True, "keys_every": 0.0, **more}
        return OpenIdConnect("work", self.provider.issuer, site.name, SECRET, **given)


def fastapi_site(mall: Mall, url: str) -> Any:
    """A FastAPI application with the mall and its pages."""
    from fastapi import FastAPI

    app = FastAPI()
    app.mount("/auth", LoginASGI(mall, f"{url}/auth", secure=False))
    app.include_router(mall_router(mall, session_cookie(mall, secure=False), prefix="/mall"))
    for path in ("/", "/account"):
        app.get(path)(lambda: {"page": "home"})
    return app


def flask_site(mall: Mall, url: str) -> Any:
    """The same with Flask."""
    from flask import Flask
    from werkzeug.middleware.dispatcher import DispatcherMiddleware

    app = Flask("site")
    app.register_blueprint(mall_blueprint(mall, session_cookie(mall, secure=False)), url_prefix="/mall")
    for path in ("/", "/account"):
        app.add_url_rule(path, path.strip("/") or "home", lambda: {"page": "home"})
    return DispatcherMiddleware(app, {"/auth": LoginWSGI(mall, f"{url}/auth", secure=False)})


@contextmanager
def staged() -> Iterator[Stage]:
    """Both sites on real servers, and the provider that knows them."""
    asgi, wsgi = Later(), Later()
    with uvicorn_serving(asgi) as one, werkzeug_serving(wsgi.wsgi) as two:
        sites = {"fastapi": Site("fastapi", one, asgi, fastapi_site), "flask": Site("flask", two, wsgi, flask_site)}
        provider = OpenIdServer([site.client for site in sites.values()], accounts={"eve": EVE, "mallory": MALLORY})
        with provider:
            yield Stage(provider, sites)


EVE = {"email": "ada@login.example", "email_verified": True}
MALLORY = {"email": "ada@login.example", "email_verified": False}


class Browser:
    """Keeps cookies, follows redirects, fills in the provider's forms; like a browser, it says from where it comes."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.http = httpx.Client(timeout=30.0)

    def close(self) -> None:
        self.http.close()

    @property
    def session(self) -> str | None:
        """The cookie of its session."""
        return next((one.value for one in self.http.cookies.jar if one.name == "mall_session"), None)

    def copied(self) -> dict[str, str]:
        """The site's cookies, as somebody may have copied them."""
        return {one.name: str(one.value) for one in self.http.cookies.jar if one.name.startswith("mall_")}

    def forget_provider(self) -> None:
        """Come to the provider as if it were another one: it signs out whoever was there when the person changes."""
        for one in [one for one in self.http.cookies.jar if one.name.startswith("_")]:
            self.http.cookies.delete(one.name, one.domain, one.path)

    def get(self, path: str, **headers: str) -> httpx.Response:
        """One request to the site."""
        return self.http.get(self.site.url + path, headers=headers)

    def send(
        self, method: str, path: str, json: Any = None, origin: str | None = None, **headers: str
    ) -> httpx.Response:
        """A request that changes something, sent by a page of the site unless told otherwise."""
        told = {"origin": self.site.url if origin is None else origin, **headers}
        return self.http.request(method, self.site.url + path, json=json, headers={k: v for k, v in told.items() if v})

    def me(self) -> str | None:
        """Who it is to the mall: nobody, if it is refused, or brings no cookie."""
        found = self.get("/mall/me").json().get("principal")
        return None if found == "anonymous:*" else found

    def sign_in(self, user: str = "ada", query: str = "") -> httpx.Response:
        """To the provider and back; the answer of the page where it ends."""
        return self.follow(f"{self.site.url}/auth/login/work{query}", user)

    def to_callback(self, user: str = "ada", query: str = "") -> str:
        """The URL by which the provider sends it back, which it has not opened yet."""
        stop = f"{self.site.url}/auth/login/work/callback"
        return str(self.follow(f"{self.site.url}/auth/login/work{query}", user, stop).headers["location"])

    def follow(self, url: str, user: str, stop: str | None = None) -> httpx.Response:
        """Go where it leads, through the forms; ``stop`` is where not to go."""
        response = self.http.get(url)
        for _ in range(20):
            if response.status_code in (302, 303):
                to = str(response.request.url.join(response.headers["location"]))
                if stop is not None and to.startswith(stop):
                    return response
                response = self.http.get(to)
            elif form := _FORM.search(response.text):
                response = self._filled(response, form[1], user)
            else:
                return response
        raise AssertionError("it leads nowhere")

    def _filled(self, response: httpx.Response, action: str, user: str) -> httpx.Response:
        fields = dict(_HIDDEN.findall(response.text))
        if 'name="password"' in response.text:
            fields |= {"login": user, "password": "any"}
        if 'name="logout"' in response.text:
            fields |= {"logout": "yes"}
        return self.http.post(str(response.request.url.join(html.unescape(action))), data=fields)
