"""What an authorization server keeps in the mall, each step in a unit of work of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager

from mallcore.access.model.oauth import OAuthClient
from mallcore.access.operations import oauth_clients, oauth_consents, oauth_denials, oauth_tokens
from mallcore.access.operations.oauth_tokens import Code, Refresh
from mallcore.access.rules import allows
from mallcore.kernel.context import Context, Principal

_SERVER = Principal.system("oauth")


class OAuthStore:
    """Clients, codes, families of tokens and consents, for the authorization server.

    What is found out stays on record though a request is refused: a code that comes twice ends what was made from it.
    """

    def __init__(self, begin: Callable[[Principal], AbstractContextManager[Context]]) -> None:
        self._begin = begin

    @contextmanager
    def _apart(self) -> Iterator[Context]:
        with self._begin(_SERVER) as ctx, ctx.apart() as work:
            yield work

    def client(self, client: str) -> OAuthClient | None:
        """What OAuth2 knows of a client, if it does."""
        with self._begin(_SERVER) as ctx:
            return oauth_clients.find_oauth_client(ctx, client)

    def opens(self, client: str, secret: str) -> bool:
        """Whether this is the client's secret."""
        with self._begin(_SERVER) as ctx:
            return oauth_clients.opens_with(ctx, client, secret)

    def permissions(self) -> frozenset[str]:
        """What scopes are made of: the permissions that operations of this mall ask for."""
        with self._begin(_SERVER) as ctx:
            return oauth_clients.asked_permissions(ctx)

    def held(self, principal: Principal, scopes: Iterable[str]) -> frozenset[str]:
        """Those of the permissions among the scopes that a principal holds somewhere."""
        wanted = set(scopes)
        with self._begin(principal) as ctx:
            asked = oauth_clients.asked_permissions(ctx)
            return frozenset(name for name in asked if allows(wanted, name) and ctx.reach(name))

    def issue(self, code: Code, seconds: float) -> str:
        """A new authorization code."""
        with self._apart() as ctx:
            return oauth_tokens.keep_code(ctx, code, seconds)

    def code(self, text: str, client: str) -> Code | None:
        """What an authorization code stands for. One that was used ends its family, and stands for nothing."""
        with self._apart() as ctx:
            found = oauth_tokens.find_code(ctx, text, client)
            if found is None or not found.used:
                return found
            oauth_tokens.end_tokens(ctx, found.family, "a code was used twice")
            return None

    def redeem(self, text: str, code: Code, life: float, refresh: float | None) -> tuple[bool, str | None]:
        """Use a code up: whether it could be, and the first refresh token of its family, if there are to be any."""
        with self._apart() as ctx:
            if not oauth_tokens.use_code(ctx, text, code, life):
                return False, None
            return True, None if refresh is None else oauth_tokens.keep_refresh(ctx, code.family, refresh)

    def refresh(self, text: str, client: str) -> Refresh | None:
        """The refresh token of a client, and its family. One that was used ends the family."""
        with self._apart() as ctx:
            found = oauth_tokens.find_refresh(ctx, text)
            if found is None or found.client != client:
                return None
            if found.used:
                oauth_tokens.end_tokens(ctx, found.family, "a refresh token was used twice")
            return found

    def look_at(self, text: str) -> Refresh | None:
        """The refresh token and its family, for whoever asks about it: that does not use it."""
        with self._begin(_SERVER) as ctx:
            return oauth_tokens.find_refresh(ctx, text)

    def rotate(self, text: str, refresh: Refresh, seconds: float) -> str | None:
        """The next refresh token in the place of this one; nothing if another was faster, or the family ended."""
        with self._apart() as ctx:
            if not oauth_tokens.use_refresh(ctx, text, refresh):
                return None
            return oauth_tokens.keep_refresh(ctx, refresh.family, seconds)

    def end(self, family: str, reason: str) -> None:
        """End a family of tokens."""
        with self._apart() as ctx:
            oauth_tokens.end_tokens(ctx, family, reason)

    def deny(self, token: str) -> None:
        """Refuse an access token, by its id, from now on."""
        with self._apart() as ctx:
            oauth_denials.deny_tokens(ctx, token)

    def once(self, what: str) -> bool:
        """Whether this is the first time that something which counts once has come (an assertion of a client, say)."""
        with self._apart() as ctx:
            return oauth_denials.first(ctx, what)

    def consented(self, principal: str, client: str) -> frozenset[str]:
        """The scopes somebody let a client have before."""
        with self._begin(_SERVER) as ctx:
            return oauth_consents.consented(ctx, principal, client)

    def consent(self, principal: str, client: str, scopes: Iterable[str]) -> None:
        """Remember what somebody lets a client have."""
        with self._apart() as ctx:
            oauth_consents.keep_consent(ctx, principal, client, scopes)

    def forget_old(self) -> int:
        """Drop what is over; returns how many rows. Part of the scheduler's housekeeping."""
        with self._apart() as ctx:
            return oauth_tokens.forget_old_tokens(ctx)
