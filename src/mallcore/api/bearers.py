"""Bearer tokens: who asks, by an API key or another token that one of the mall's verifiers knows (RFC 6750)."""

from __future__ import annotations

import re
from contextlib import AbstractContextManager
from typing import Protocol

from mallcore.api.http import Authenticate, Request, on_event_loop
from mallcore.api.rules.problems import Refused
from mallcore.errors import BadCredential, InvalidInput, Unauthenticated
from mallcore.kernel.context import Context, Principal
from mallcore.kernel.ports import Presented, Verifier, Verifiers
from mallcore.kernel.work import MemoryOnly

__all__ = ["bearer"]

_TOKEN = re.compile(r"bearer +([!-+\--~]+) *", re.IGNORECASE)  # a host's own token may hold more than RFC 6750 allows
_ANOTHER = re.compile(r"(?:^|,)\s*bearer(?:\s|$)", re.IGNORECASE)
_IN_QUERY = re.compile(r"(?:^|&)access_token=")
_LONGEST = 8192


class _Remembers(Protocol):
    def memory(self, principal: Principal) -> AbstractContextManager[Context]: ...


class Bearer:
    """An `Authenticate` that asks the mall's verifiers, and the host's own about all that none of them takes."""

    def __init__(self, verifiers: Verifiers, otherwise: Authenticate | None, realm: str) -> None:
        self._verifiers = verifiers
        self._otherwise = otherwise
        self._realm = realm

    def __call__(self, request: Request) -> Principal | None:
        """Who asks; raises `Refused` with a challenge for what is sent in a wrong way, or is not accepted."""
        if _IN_QUERY.search(request.query):
            raise self._malformed("access_token", "a token in a URL ends up in logs: send it as Authorization: Bearer")
        header = request.headers.get("authorization")
        if header is None:
            return self._others(request)
        if _several(request):
            raise self._malformed("authorization", "there is more than one")
        found = _TOKEN.fullmatch(header) if len(header) <= _LONGEST else None
        if found is None:
            if _ANOTHER.search(header):
                raise self._malformed("authorization", "write it once, as Bearer and the token")
            return self._others(request)
        verifier = self._verifiers.of(found[1])
        if verifier is not None:
            presented = Presented(found[1], request.address, request.request_id or None)
            return self._verified(verifier, presented)
        if self._otherwise is None:
            raise self._invalid(BadCredential(reason="it is not known here"))
        return self._others(request)

    def _others(self, request: Request) -> Principal | None:
        return None if self._otherwise is None else self._otherwise(request)

    def _verified(self, verifier: Verifier, presented: Presented) -> Principal | None:
        try:
            known: Principal | None = verifier.recall(presented)
            if known is None:
                if on_event_loop():
                    raise MemoryOnly()
                known = verifier.verify(presented)
        except Unauthenticated as error:
            raise self._invalid(error) from None
        return known

    def _invalid(self, error: Unauthenticated) -> Refused:
        return Refused(401, error, self._challenge("invalid_token", str(error)))

    def _malformed(self, field: str, reason: str) -> Refused:
        error = InvalidInput(field=field, reason=reason)
        return Refused(400, error, self._challenge("invalid_request", str(error)))

    def _challenge(self, code: str, description: str) -> dict[str, str]:
        # RFC 6750 allows no quotation mark, no backslash and nothing beyond ASCII in a description.
        plain = re.sub(r'[^\x20-\x7e]|["\\]', "'", description)[:200]
        return {"www-authenticate": f'Bearer realm="{self._realm}", error="{code}", error_description="{plain}"'}


def bearer(mall: _Remembers, otherwise: Authenticate | None = None, *, realm: str = "mall") -> Bearer:
    """An `Authenticate` that recognises ``Authorization: Bearer …`` by the mall's verifiers: API keys, and what a host
    adds. What none of them takes, and requests without it, are for ``otherwise``, the host's own.

    Keys that are in memory are recognised on an event loop; for others a request goes to a thread, once.
    """
    with mall.memory(Principal.anonymous()) as ctx:
        return Bearer(ctx.port(Verifiers), otherwise, realm)


def _several(request: Request) -> bool:
    """Whether the header was sent twice, where the server tells: each of two readers could believe another."""
    raw = request.origin.get("headers")
    return isinstance(raw, list | tuple) and sum(name.lower() == b"authorization" for name, _ in raw) > 1
