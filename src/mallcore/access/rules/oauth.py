"""Pure rules of OAuth2: where an answer may be sent, what proves a code, how far scopes reach."""

from __future__ import annotations

import hashlib
import hmac
import re
from base64 import urlsafe_b64encode
from collections.abc import Iterable, Sequence
from urllib.parse import urlsplit

from mallcore.access.rules import allows
from mallcore.errors import InvalidInput

AUTH_METHODS = ("client_secret_basic", "client_secret_post", "private_key_jwt", "none")
GRANT_TYPES = ("client_credentials", "authorization_code", "refresh_token")
MAX_SCOPES = 100

_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[!#-\[\]_a-z~]{1,500}")  # ASCII without space, quote, backslash, ^ ` { | }
_LOOPBACK = re.compile(r"http://(127\.0\.0\.1|\[::1\])(?::[0-9]{1,5})?(/.*)?")
_UP = re.compile(r"(?:^|/)(?:\.|%2e){1,2}(?:/|$)", re.IGNORECASE)
_SCOPE = re.compile(r"\*|[a-z_]{1,50}\.(?:\*|[a-z_]{1,50})")
_VERIFIER = re.compile(r"[A-Za-z0-9._~-]{43,128}")
_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")


def digest(secret: str) -> str:
    """What is kept of a secret that is random enough for nobody to guess it."""
    return hashlib.sha256(secret.encode()).hexdigest()


def same(secret: str, kept: str | None) -> bool:
    """Whether a secret is the one that was kept, in a time that says nothing of how near it came."""
    return hmac.compare_digest(digest(secret), kept or "")


def is_challenge(text: str) -> bool:
    """Whether this can be a challenge by S256 (RFC 7636): the digest of a verifier, and nothing longer."""
    return _CHALLENGE.fullmatch(text) is not None


def proves(verifier: str, challenge: str) -> bool:
    """Whether the verifier is the one behind the challenge.

    >>> proves("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM")
    True
    """
    if not _VERIFIER.fullmatch(verifier):
        return False
    found = urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    return hmac.compare_digest(found, challenge)


def checked_redirect_uri(uri: str) -> str:
    """The URI, if answers may be sent there: https, loopback (RFC 8252) or an app's own scheme, spelt one way only."""
    reason = _wrong_with(uri)
    if reason is not None:
        raise InvalidInput(field="redirect_uris", reason=f"{uri[:200]!r}: {reason}")
    return uri


def _wrong_with(uri: str) -> str | None:
    if not _URI.fullmatch(uri) or "#" in uri or "*" in uri:
        return "it is an absolute URI of ASCII, with no fragment and no wildcard"
    try:
        parts = urlsplit(uri)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return "it is no URI"
    if "@" in parts.netloc or _UP.search(parts.path):
        return "it names no user, and its path goes nowhere up"
    if parts.scheme == "https":
        return None if host and parts.netloc == parts.netloc.lower() else "it names a host, in lower case"
    if parts.scheme == "http":
        return None if _LOOPBACK.fullmatch(uri) else "plain http goes to 127.0.0.1 or [::1] only"
    if "." not in parts.scheme:
        return "an app's own scheme is a domain name turned around: com.example.app:/done"
    return None


def redirects_to(uri: str, registered: Iterable[str]) -> bool:
    """Whether answers may be sent to this URI: one that is registered, to the letter.

    Only of a loopback address the port is free: an app can't know which one it will get (RFC 8252, section 7.3).

    >>> redirects_to("http://127.0.0.1:51004/done", ["http://127.0.0.1/done"])
    True
    >>> redirects_to("https://shop.example/done/../x", ["https://shop.example/done"])
    False
    """
    known = set(registered)
    if uri in known:
        return True
    here = _loopback(uri)
    return here is not None and here in {_loopback(one) for one in known}


def _loopback(uri: str) -> tuple[str, str] | None:
    found = _LOOPBACK.fullmatch(uri) if _wrong_with(uri) is None else None
    return None if found is None else (found[1], found[2] or "")


def is_sure_of_its_redirects(uris: Iterable[str]) -> bool:
    """Whether nobody but the client can get what is sent there: other apps may listen on loopback and own schemes."""
    return all(uri.startswith("https://") for uri in uris)


def scopes_of(text: str) -> tuple[str, ...]:
    """The scopes of a request or a token, as they come; `InvalidInput` for what can't be a permission or a pattern."""
    scopes = tuple(dict.fromkeys(text.split(" "))) if text else ()
    if len(scopes) > MAX_SCOPES or not all(map(_SCOPE.fullmatch, scopes)):
        raise InvalidInput(field="scope", reason="scopes are permissions or patterns, with a space between them")
    return scopes


def checked_scopes(scopes: Iterable[str], known: Iterable[str]) -> list[str]:
    """The scopes, sorted; refuses those that no operation of this mall asks for."""
    names = set(known)
    for scope in scopes:
        if not _SCOPE.fullmatch(scope) or not any(allows({scope}, name) for name in names):
            raise InvalidInput(field="scopes", reason=f"no operation asks for {scope[:80]!r}")
    return sorted(set(scopes))


def covers_scope(allowed: Iterable[str], scope: str) -> bool:
    """Whether a set of scopes includes another one, pattern or not.

    >>> covers_scope({"structure.*"}, "structure.read"), covers_scope({"structure.read"}, "structure.*")
    (True, False)
    """
    held = set(allowed)
    return scope in held or "*" in held or (scope != "*" and f"{scope.split('.', 1)[0]}.*" in held)


def scopes_within(text: str, allowed: Sequence[str]) -> tuple[str, ...] | None:
    """The scopes of a request, or all that are allowed, if it has none; nothing, if one of them is not allowed."""
    try:
        asked = scopes_of(text)
    except InvalidInput:
        return None
    if not asked:
        return tuple(allowed)
    return asked if all(covers_scope(allowed, scope) for scope in asked) else None


def narrowed_scopes(scopes: Iterable[str], held: Iterable[str], known: Iterable[str]) -> tuple[str, ...]:
    """The scopes, as far as somebody holds them: a pattern that is held only in part becomes what is held of it.

    >>> narrowed_scopes(["structure.*"], {"structure.read"}, {"structure.read", "structure.edit"})
    ('structure.read',)
    """
    mine, names, kept = set(held), set(known), set[str]()
    for scope in scopes:
        meant = {name for name in names if allows({scope}, name)}
        kept |= {scope} if meant and meant <= mine else meant & mine
    return tuple(sorted(kept))


def checked_grant_types(grant_types: Iterable[str], auth_method: str, redirect_uris: Iterable[str]) -> list[str]:
    """The grant types, if they fit each other, how the client shows who it is, and where it gets its answers."""
    given = sorted(set(grant_types))
    coded = "authorization_code" in given
    if not given or not set(given) <= set(GRANT_TYPES):
        raise InvalidInput(field="grant_types", reason=f"they are among {', '.join(GRANT_TYPES)}")
    if "client_credentials" in given and auth_method == "none":
        raise InvalidInput(field="grant_types", reason="a client without credentials can't present any")
    if "refresh_token" in given and not coded:
        raise InvalidInput(field="grant_types", reason="refresh_token goes on from an authorization_code")
    if coded != bool(list(redirect_uris)):
        raise InvalidInput(field="redirect_uris", reason="authorization_code needs them, and nothing else does")
    return given
