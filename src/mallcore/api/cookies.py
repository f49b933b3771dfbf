"""Sessions in cookies: which one a browser brings, and whether it was this site that made the browser send it.

A browser sends its cookies with whatever any site makes it send. So a request that may change something is taken from a
cookie only if the browser says that it comes from here: by ``Sec-Fetch-Site``, by ``Origin``, and by both if it says
both. The cookie itself is ``SameSite=Lax``, which is the second defence.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from urllib.parse import urlsplit

from mallcore.api.http import Authenticate, Mall, Request, on_event_loop
from mallcore.api.rules.problems import Refused
from mallcore.errors import BadCredential, Denied
from mallcore.kernel.context import Principal
from mallcore.kernel.ports import Presented, Verifiers
from mallcore.kernel.work import MemoryOnly

SESSION = "mall_session"
_HOST = "__Host-"
_SAFE = ("GET", "HEAD", "OPTIONS")
_VALUE = re.compile(r"[\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]{0,4000}")
_SYSTEM = Principal.system("sessions")


def cookie_name(name: str, secure: bool = True) -> str:
    """The whole name: a browser takes a ``__Host-`` cookie only over https, for this host and all of it.

    >>> cookie_name("mall_session"), cookie_name("mall_session", secure=False)
    ('__Host-mall_session', 'mall_session')
    """
    return f"{_HOST}{name}" if secure else name


def cookies_of(request: Request) -> dict[str, str]:
    """The cookies of a request; of two with one name the first, which belongs to the longer path."""
    found: dict[str, str] = {}
    for name, value in _pairs(request.headers.get("cookie", "")):
        found.setdefault(name, value)
    return found


def _pairs(header: str) -> Iterator[tuple[str, str]]:
    # Never by commas: who may set a cookie of another name could hide one of ours behind a comma in it.
    for part in header.split(";")[:200]:
        name, sign, value = part.strip(" \t").partition("=")
        if sign and _VALUE.fullmatch(value):
            yield name, value


def cookie(name: str, value: str, seconds: int, *, secure: bool) -> tuple[str, str]:
    """A header that sets a cookie which no script reads; 0 seconds: that removes it."""
    kept = f"{cookie_name(name, secure)}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax"
    return "set-cookie", f"{kept}; Secure" if secure else kept


def refuse_cross_site(request: Request, *, secure: bool, origins: Iterable[str] = ()) -> None:
    """Refuse what another site made a browser send. ``origins`` are others that may (``https://shop.example``)."""
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    allowed = origin is not None and origin in set(origins)
    same_site = site is None or site in ("same-origin", "none") or allowed
    same_origin = origin is None or allowed or _is_own(origin, request, secure)
    if (site is None and origin is None) or not (same_site and same_origin):
        message = "A request with a session's cookie that changes something must come from this site itself."
        raise Refused(403, Denied(message, reason="cross-site"))


def _is_own(origin: str, request: Request, secure: bool) -> bool:
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    host = request.headers.get("host", "")
    return bool(host) and parts.netloc.lower() == host.lower() and (parts.scheme == "https" or not secure)


def session_cookie(
    mall: Mall, otherwise: Authenticate | None = None, *, secure: bool = True, origins: Iterable[str] = ()
) -> Authenticate:
    """An `Authenticate` for browsers: whose session the cookie is, else what ``otherwise`` says.

    ``secure=False`` is for development over plain http. A request that says who it is by ``Authorization`` is left to
    ``otherwise``.
    """
    name, trusted = cookie_name(SESSION, secure), frozenset(origins)

    def authenticate(request: Request) -> Principal | None:
        token = None if "authorization" in request.headers else cookies_of(request).get(name)
        if not token:
            return None if otherwise is None else otherwise(request)
        if request.method not in _SAFE or "upgrade" in request.headers:
            refuse_cross_site(request, secure=secure, origins=trusted)
        with mall.memory(_SYSTEM) as ctx:
            verifier = ctx.port(Verifiers).of(token)
        if verifier is None:
            raise BadCredential(reason="its cookie is no session's")
        if on_event_loop():
            raise MemoryOnly()  # the database has to be asked: in a thread
        found: Principal = verifier.verify(Presented(token, request.address, request.request_id or None))
        return found

    return authenticate
