"""Parameters of OAuth2 requests, strict: each once, of printable ASCII, in a body of the right kind."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from urllib.parse import parse_qsl

from mallcore.api import Request

FORM = "application/x-www-form-urlencoded"
LARGEST_BODY = 64 << 10
LARGEST_QUERY = 8 << 10
_MOST = 50
_PRINTABLE = re.compile(r"[ -~]*")
_KNOWN = frozenset(
    (
        *("client_id", "client_secret", "client_assertion", "client_assertion_type", "code", "code_challenge"),
        *("code_challenge_method", "code_verifier", "grant_type", "redirect_uri", "refresh_token", "resource"),
        *("response_mode", "response_type", "scope", "state", "token", "token_type_hint", "ticket", "decision"),
    )
)


class Refused(Exception):
    """A request that is refused before anything is looked up: an error of RFC 6749, section 5.2."""

    def __init__(self, description: str, error: str = "invalid_request", status: int = 400) -> None:
        super().__init__(description)
        self.error = error
        self.description = description
        self.status = status


def in_query(request: Request) -> dict[str, str]:
    """The parameters of the query."""
    if len(request.query) > LARGEST_QUERY:
        raise Refused("The query is too long.", status=414)
    return _parameters(request.query)


def in_form(request: Request) -> dict[str, str]:
    """The parameters of the body, which is a form."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != FORM:
        raise Refused(f"The body is not {FORM}.", status=415)
    declared = request.headers.get("content-length", "")
    if len(request.body) > LARGEST_BODY or (declared.isdecimal() and int(declared[:19]) > LARGEST_BODY):
        raise Refused("The body is too long.", status=413)
    try:
        return _parameters(request.body.decode("ascii"))
    except UnicodeDecodeError:
        raise Refused("The body is no form: it holds more than ASCII.") from None


def _parameters(text: str) -> dict[str, str]:
    """The parameters that mean something, each once; what has no value was not given (RFC 6749, section 3.1)."""
    try:
        pairs = parse_qsl(text, max_num_fields=_MOST, errors="strict")
    except ValueError:
        raise Refused("The parameters can't be read.") from None
    found: dict[str, str] = {}
    for name, value in pairs:
        if name not in _KNOWN:
            continue
        if name in found:
            raise Refused(f"The parameter {name} is there twice.")
        if not _PRINTABLE.fullmatch(value):
            raise Refused(f"The parameter {name} holds more than printable ASCII.")
        found[name] = value
    return found


def authenticated_once(headers: Mapping[str, str], form: Mapping[str, str]) -> None:
    """Refuse a client that shows who it is in more than one way (RFC 6749, section 2.3), or unreadably."""
    header = headers.get("authorization")
    ways = [header is not None, "client_secret" in form, "client_assertion" in form]
    if sum(ways) > 1:
        raise Refused("The client shows who it is in more than one way.")
    if header is not None:
        client = _basic_client(header)
        if form.get("client_id", client) != client:
            raise Refused("The client_id is not the one of the Authorization header.")


def _basic_client(header: str) -> str:
    scheme, _, encoded = header.partition(" ")
    try:
        client, colon, _ = base64.b64decode(encoded.strip(), validate=True).decode("ascii").partition(":")
    except (binascii.Error, ValueError):
        client, colon = "", ""
    if scheme.lower() != "basic" or not colon or not _PRINTABLE.fullmatch(client):
        raise Refused("The client could not be recognised.", "invalid_client", 401)
    return client
