"""Errors of clients, of what they show to be recognised, and of how often they ask."""

from __future__ import annotations

from mallcore.errors.roots import MallError, NotFound, Unauthenticated


class UnknownClient(NotFound):
    """There is no client {client!r}: list the clients to see those there are."""

    code = "unknown-client"


class UnknownApiKey(NotFound):
    """There is no API key {api_key!r}: name it by its id, which is no secret."""

    code = "unknown-api-key"


class UnknownConsent(NotFound):
    """Nobody consented to anything for the client {client!r} here."""

    code = "unknown-consent"


class BadCredential(Unauthenticated):
    """The credential is not accepted: {reason}."""

    code = "bad-credential"


class TooManyRequests(MallError):
    """{limit} requests in {window} s are allowed here, and they are used up: try again in {retry_after} s."""

    code = "too-many-requests"
