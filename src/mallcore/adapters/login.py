"""Pages to sign in and out by, for browsers: to a login provider, back from it, out again, and what it says of itself.

Mount them beside the API: FastAPI and other ASGI applications take `LoginASGI` (``app.mount("/auth", …)``), Flask and
other WSGI applications `LoginWSGI` (by Werkzeug's ``DispatcherMiddleware``).
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit

from mallcore.access import SLOTS, Caller, Returned, SignedIn, SigningIn, local_path
from mallcore.adapters.asgi import MallASGI
from mallcore.adapters.wsgi import MallWSGI
from mallcore.api import (
    SESSION,
    Dispatch,
    Mall,
    Options,
    Refused,
    Request,
    Response,
    cookie,
    cookie_name,
    cookies_of,
    refuse_cross_site,
    session_cookie,
)
from mallcore.errors import (
    Denied,
    IdentityTaken,
    InvalidInput,
    InvalidSettings,
    LoginRefused,
    MallError,
    ProviderUnavailable,
    Unauthenticated,
    UnknownOperation,
)

__all__ = ["LoginASGI", "LoginPages", "LoginWSGI"]

_SLOT = "mall_login_"
_MOST_BODY = 128 << 10
_GOOD = 600  # seconds that a cookie of a sign-in under way is kept
_PRIVATE = [("cache-control", "no-store"), ("referrer-policy", "no-referrer")]


class LoginPages(Dispatch):
    """The pages, without a framework: ``/login/{provider}``, its ``/callback``, ``/backchannel-logout``; ``/logout``.

    ``url`` is where they are reached from outside; the provider sends browsers back below it, whatever a request says.
    ``after_logout`` and ``failed`` are paths of the site: ``failed`` gets ``?error=<code>`` (nothing: an error shows as
    a problem document). ``secure=False`` is for development over plain http.
    """

    def __init__(
        self, mall: Mall, url: str, *, after_logout: str = "/", failed: str | None = None, secure: bool = True,
        options: Options | None = None,
    ) -> None:  # fmt: skip
        super().__init__(mall, lambda _: None, replace(options or Options(), max_body=_MOST_BODY))
        parts = urlsplit(url)
        if parts.scheme not in (("https",) if secure else ("https", "http")) or not parts.netloc or parts.query:
            raise InvalidSettings(setting="url", reason=f"{url[:200]!r} is no https URL of a place")
        self._url, self._site = url.rstrip("/"), f"{parts.scheme}://{parts.netloc}"
        self._after_logout = local_path(after_logout)
        self._failed = None if failed is None else local_path(failed)
        self._secure = secure
        self._steps = SigningIn(mall.begin)
        self._session = session_cookie(mall, secure=secure, origins=(self._site,))

    def streams_body(self, request: Request) -> bool:
        """Nothing is."""
        return False

    def _quick(self, request: Request) -> Response | None:
        return None

    def _run(self, request: Request) -> Response:
        self._refuse_large(request)
        match request.method, request.path.strip("/").split("/"):
            case "GET", ["login", provider]:
                return self._start(request, provider)
            case "GET", ["login", provider, "callback"]:
                return self._back(request, provider)
            case "POST", ["login", provider, "backchannel-logout"]:
                return self._told(request, provider)
            case "POST", ["logout"]:
                return self._out(request)
            case _:
                raise UnknownOperation(method=request.method[:20], path=request.path[:200])

    def _start(self, request: Request, provider: str) -> Response:
        self._principal(request)  # whoever asks too often has to wait
        if request.headers.get("sec-fetch-dest", "document") != "document":
            # A picture on another site, say, which would only fill the browser with cookies.
            raise Refused(403, Denied("A sign-in begins with a page that is opened.", reason="embedded"))
        given = _single(request.query)
        link = self._session(request) if given.get("link") == "1" else None
        if given.get("link") == "1" and link is None:
            raise Unauthenticated()
        had = [slot for slot in SLOTS if cookie_name(_SLOT + slot, self._secure) in cookies_of(request)]
        try:
            begun = self._steps.start(
                provider, self._callback(provider), given.get("return_to", "/"), had=had, link=link,
                fresh=given.get("fresh") == "1",
            )  # fmt: skip
        except ProviderUnavailable as error:
            return self._shown(error)
        return _sent(begun.url, cookie(_SLOT + begun.slot, begun.kept, _GOOD, secure=self._secure))

    def _back(self, request: Request, provider: str) -> Response:
        """Back from the provider: whatever came of it, the cookie of this sign-in is used up."""
        self._principal(request)
        given = _single(request.query)
        slot = next((one for one in SLOTS if given.get("state", "").startswith(one)), SLOTS[0])
        used = cookie(_SLOT + slot, "", 0, secure=self._secure)
        try:
            return self._signed_in(self._steps.finish(provider, self._returned(request, given), _caller(request)), used)
        except (IdentityTaken, LoginRefused, ProviderUnavailable) as error:
            self._admission.refused(request)
            return self._shown(error, used)

    def _shown(self, error: MallError, *cookies: tuple[str, str]) -> Response:
        """What went wrong, on a page of the host's if it has one."""
        if self._failed is None:
            raise error
        return _sent(f"{self._failed}{'&' if '?' in self._failed else '?'}error={error.code}", *cookies)

    def _returned(self, request: Request, given: dict[str, str]) -> Returned:
        cookies = cookies_of(request)
        kept = {slot: cookies.get(cookie_name(_SLOT + slot, self._secure), "") for slot in SLOTS}
        return Returned(given, kept, cookies.get(cookie_name(SESSION, self._secure)))

    def _signed_in(self, done: SignedIn, used: tuple[str, str]) -> Response:
        if done.session is None:
            glue = "&" if "#" in done.return_to else "#"  # a fragment stays in the browser, out of logs and referrers
            return _sent(f"{done.return_to}{glue}link={done.ticket}", used)
        seconds = int((done.session.expires_at - self.mall.now()).total_seconds())
        return _sent(done.return_to, used, cookie(SESSION, done.session.token, seconds, secure=self._secure))

    def _out(self, request: Request) -> Response:
        token = cookies_of(request).get(cookie_name(SESSION, self._secure))
        if token is not None:
            refuse_cross_site(request, secure=self._secure, origins=(self._site,))
        out = self._steps.out(token, self._after_logout, self._site + self._after_logout)
        return _sent(out.url, cookie(SESSION, "", 0, secure=self._secure))

    def _told(self, request: Request, provider: str) -> Response:
        """A provider's own message; it is answered as the specification has it."""
        headers = [*_PRIVATE, ("content-type", "application/json")]
        request.address = self._admission.address(request)
        try:
            if not request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
                raise InvalidInput(field="content-type", reason="send a form")
            self._steps.notice(provider, _single(request.body.decode()).get("logout_token", ""), _caller(request))
        except (InvalidInput, LoginRefused, UnicodeDecodeError):
            said = {"error": "invalid_request", "error_description": "This logout token does not count."}
            return Response(400, headers, json.dumps(said).encode())
        return Response(200, headers, b"{}")

    def _callback(self, provider: str) -> str:
        return f"{self._url}/login/{quote(provider, safe='')}/callback"


def _caller(request: Request) -> Caller:
    return Caller(request.address, request.headers.get("user-agent", ""))


def _single(text: str) -> dict[str, str]:
    """The parameters of a query or a form, each of which may be there once."""
    try:
        pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=30)
    except ValueError:
        raise Refused(400, InvalidInput(field="query", reason="it has too many parameters")) from None
    if len({name for name, _ in pairs}) < len(pairs):
        raise Refused(400, InvalidInput(field="query", reason="a parameter is there twice"))
    return dict(pairs)


def _sent(url: str, *cookies: tuple[str, str]) -> Response:
    return Response(303, [("location", url), *_PRIVATE, *cookies])


class LoginASGI(MallASGI):
    """The pages as an ASGI application; takes what `LoginPages` takes."""

    def __init__(self, mall: Mall, url: str, **given: Any) -> None:
        pages = LoginPages(mall, url, **given)
        super().__init__(mall, lambda _: None, options=pages.options)
        self.dispatch = pages


class LoginWSGI(MallWSGI):
    """The pages as a WSGI application; takes what `LoginPages` takes."""

    def __init__(self, mall: Mall, url: str, **given: Any) -> None:
        self.dispatch = LoginPages(mall, url, **given)
