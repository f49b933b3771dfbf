"""Signed tokens: what a link or a ticket allows, to whom and how long, in one text that nobody else can make.

``m1.<key number>.<claims>.<MAC>``. The MAC (HMAC-SHA-256) covers the text before it exactly as it was sent: nothing is
decoded before that holds, and one token has one spelling. The key's number names the one key to try.
"""

from __future__ import annotations

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from typing import NamedTuple

from mallcore.errors import InvalidInput, LinkRefused

ANYONE = "*"
LEEWAY = 60  # seconds that clocks may differ, at both ends of the window
LONGEST = 2048  # characters of a token; a longer text is refused before anything else is done with it
SLOWEST = 7 * 24 * 3600  # seconds a link may be good for, as with a store's own signed URLs
_TAG = "m1"
_NO_KEY = b"\0" * 32  # what is tried for an unknown number, so that it takes as long as a known one


class Claims(NamedTuple):
    """What a token says. ``version`` is an immutable reference (of a ticket: the upload); times are Unix seconds.

    ``bound_to`` is `ANYONE` or comes from `binding`; ``epoch`` counts how often the sessions of whom it is bound to
    were ended. ``recipe`` is the digest of a derivative's recipe, or nothing for the content itself.
    """

    method: str
    purpose: str
    version: str
    jti: str
    not_before: int
    expires: int
    bound_to: str = ANYONE
    epoch: int = 0
    disposition: str = "attachment"
    recipe: str = ""
    once: bool = False
    file_name: str = ""


def signed(claims: Claims, number: int, key: bytes) -> str:
    """The token of these claims under the key with this number."""
    body = f"{_TAG}.{number}.{_packed(claims)}"
    token = f"{body}.{_mac(key, body.encode()).decode()}"
    if len(token) > LONGEST:
        raise InvalidInput(field="file_name", reason="it is too long for a link")
    return token


def opened(token: str, find: Callable[[int], bytes | None]) -> Claims:
    """What a token says, if it was signed with the key it names; `LinkRefused` with a reason otherwise.

    ``find`` returns the key with a number, or nothing. Whether the claims hold now, and for whom, is another question.
    """
    if len(token) > LONGEST:
        raise LinkRefused(reason="too-long")
    raw = token.encode("utf-8", "replace")
    body, _, mac = raw.rpartition(b".")
    tag, _, rest = body.partition(b".")
    number, _, packed = rest.partition(b".")
    key = find(int(number)) if _is_number(number) else None
    genuine = hmac.compare_digest(_mac(key or _NO_KEY, body), mac)
    if key is None and _is_number(number):
        raise LinkRefused(reason="unknown-key")
    if not genuine or key is None or tag != _TAG.encode():
        raise LinkRefused(reason="forged")
    return _unpacked(packed)


def number_in(token: str) -> int:
    """The number of the key a token was signed with; of one that has opened."""
    return int(token.split(".", 2)[1])


def refusal(claims: Claims, now: float, method: str, purpose: str) -> str | None:
    """Why the claims do not allow this now; nothing when they do."""
    if claims.method != method:
        return "wrong-method"
    if claims.purpose != purpose:
        return "wrong-purpose"
    if now < claims.not_before - LEEWAY:
        return "not-yet-valid"
    if now >= claims.expires + LEEWAY:
        return "expired"
    return None


def binding(key: bytes, principal: str, session: str | None = None) -> str:
    """How a token names whom it is bound to, without telling: a keyed digest of the principal, or of its session."""
    about = f"principal\n{principal}" if session is None else f"session\n{principal}\n{session}"
    return ("p" if session is None else "s") + hmac.digest(key, about.encode(), "sha256").hex()[:32]


def is_bound_to(claims: Claims, key: bytes, principal: str, session: str | None) -> bool:
    """Whether the token is for this caller (or for anyone)."""
    if claims.bound_to == ANYONE:
        return True
    mine = binding(key, principal, session if claims.bound_to.startswith("s") else None)
    return hmac.compare_digest(mine.encode(), claims.bound_to.encode())


def token_in(target: str, prefix: str = "/links/") -> str:
    """The token in a request's target, as it was sent: path and query, not decoded.

    A link takes no parameters, so any query is refused, and so is any other spelling of the path.

    >>> token_in("/links/m1.1.YQ.bWFj")
    'm1.1.YQ.bWFj'
    """
    token = target.removeprefix(prefix)
    if token == target or not token or any(sign in token for sign in "/?#%&;"):
        raise LinkRefused(reason="forged")
    return token


def _is_number(text: bytes) -> bool:
    return text.isdigit() and len(text) < 10 and not text.startswith(b"0")


def _mac(key: bytes, body: bytes) -> bytes:
    """The MAC as it stands in the token: compared as text, since base64 has several spellings for one value."""
    return urlsafe_b64encode(hmac.digest(key, body, "sha256"))[:43]


def _packed(claims: Claims) -> str:
    method, purpose, version, jti, start, end, bound_to, epoch, disposition, recipe, once, name = claims
    lines = (
        f"{method}\n{purpose}\n{version}\n{jti}\n{start}\n{end}\n{bound_to}\n{epoch}\n{disposition}\n{recipe}\n"
        f"{'1' if once else '0'}\n{name}"
    )
    if lines.count("\n") != len(claims) - 1:
        raise InvalidInput(field="link", reason="no part of a link may hold a line break")
    return urlsafe_b64encode(lines.encode()).rstrip(b"=").decode()


def _unpacked(packed: bytes) -> Claims:
    """The claims: whoever signed them was us, so that only another version of us can have written them otherwise."""
    lines = urlsafe_b64decode(packed + b"==").decode().split("\n")
    method, purpose, version, jti, start, end, bound_to, epoch, disposition, recipe, once, name = lines
    return Claims(
        method,
        purpose,
        version,
        jti,
        int(start),
        int(end),
        bound_to,
        int(epoch),
        disposition,
        recipe,
        once == "1",
        name,
    )
