"""Signing in by a login provider, step by step: to the provider, back with its answer, and out again.

Nothing here is an operation: a face of the mall calls it with what browsers bring. The provider is asked between units
of work, never in one. Every refusal goes on record.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from mallcore.access.hooks import Identity, LoginAnswer, LoginProvider, LoginRequest
from mallcore.access.model.logins import session as sessions
from mallcore.access.operations.identities import (
    NewUser,
    any_new_user,
    known,
    once,
    provisioned,
    refuse_doubtful,
    seen,
    ticket_for,
)
from mallcore.access.operations.sealing import LOGINS, opened, seal
from mallcore.access.operations.sessions import (
    IDLE,
    LIFE,
    Caller,
    Lives,
    NewSession,
    SignedInBy,
    acting,
    close,
    of_token,
    open_session,
    proof_of,
)
from mallcore.access.rules.logins import checked_provider, local_path
from mallcore.errors import IdentityTaken, InvalidInput, InvalidSettings, LoginRefused, MallError, UnknownProvider
from mallcore.kernel.context import Context, Principal
from mallcore.kernel.events import AccessDenied
from mallcore.kernel.ids import is_text
from mallcore.kernel.keys import Keyring
from mallcore.kernel.sparing import Sparing, neighbourhood

SLOTS = "abcd"
"""So many sign-ins of one browser can be under way at once: each has a cookie."""
GOOD = timedelta(minutes=10)
_STATE = "state"
_SYSTEM = Principal.system("logins")


class Logins:
    """Port: the login providers of a mall by name, who is let in as a new user, and how long sessions are good."""

    def __init__(
        self,
        providers: Iterable[LoginProvider] = (),
        *,
        new_user: NewUser = any_new_user,
        idle_seconds: int = IDLE,
        life_seconds: int = LIFE,
    ) -> None:
        self._providers: dict[str, LoginProvider] = {}
        self.new_user = new_user
        self.lives = Lives(idle_seconds, life_seconds)
        for one in providers:
            if not isinstance(one, LoginProvider):
                raise InvalidSettings(setting="logins", reason=f"{type(one).__name__} is no LoginProvider")
            if checked_provider(one.name) in self._providers:
                raise InvalidSettings(setting="logins", reason=f"two providers are called {one.name!r}")
            self._providers[one.name] = one

    @classmethod
    def of(cls, given: Iterable[LoginProvider]) -> Logins:
        """What a host gave: this, or just the providers."""
        return given if isinstance(given, Logins) else cls(given)

    def __iter__(self) -> Iterator[LoginProvider]:
        return iter(self._providers.values())

    def find(self, name: str) -> LoginProvider:
        """The provider of this name."""
        if name not in self._providers:
            raise UnknownProvider(provider=name[:60])
        return self._providers[name]


@dataclass(frozen=True, slots=True)
class Begun:
    """Where the browser goes now, and what it keeps in the cookie of a slot until it is back."""

    url: str = field(repr=False)
    slot: str
    kept: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class SignedIn:
    """Who has signed in. There is a new session, or a ticket for the one there was (then it asked for a link)."""

    identity: Identity
    return_to: str
    session: NewSession | None = None
    ticket: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class SignedOut:
    """Where the browser goes now: the provider ends its own sign-in there, if it can."""

    url: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Returned:
    """What a browser is back with: its parameters, and the cookies of its slots."""

    parameters: Mapping[str, str] = field(repr=False)
    kept: Mapping[str, str] = field(default_factory=dict, repr=False)
    session: str | None = field(default=None, repr=False)
    """The token of the session it had."""


class SigningIn:
    """The steps, for a mall whose units of work ``begin`` opens."""

    def __init__(self, begin: Callable[[Principal], AbstractContextManager[Context]]) -> None:
        self._begin = begin
        self._sparing = Sparing(20, 300)

    def start(
        self, provider: str, redirect_uri: str, return_to: str = "/", *, had: Iterable[str] = (),
        link: Principal | None = None, fresh: bool = False,
    ) -> Begun:  # fmt: skip
        """Begin a sign-in. ``had`` are the slots the browser has cookies of; ``link`` asks for another identity."""
        free = [one for one in SLOTS if one not in set(had)] or SLOTS
        state = secrets.choice(free) + secrets.token_urlsafe(32)
        with self._begin(_SYSTEM) as ctx:
            found, keyring, until = ctx.port(Logins).find(provider), ctx.port(Keyring), ctx.now() + GOOD
        to = local_path(return_to)
        redirect = found.authorization(LoginRequest(redirect_uri, state, fresh or link is not None))
        about = {
            "state": state, "provider": provider, "redirect_uri": redirect_uri, "return_to": to,
            "until": until.timestamp(), "kept": dict(redirect.kept), "link": None if link is None else link.session,
        }  # fmt: skip
        return Begun(redirect.url, state[0], seal(keyring, LOGINS, _STATE, about))

    def finish(self, provider: str, returned: Returned, caller: Caller) -> SignedIn:
        """End a sign-in: the browser is the one that began it, it counts once, and the provider's answer is proven."""
        try:
            with self._begin(_SYSTEM) as ctx:
                about, found = _taken(ctx, provider, returned), ctx.port(Logins).find(provider)
            answer = LoginAnswer(returned.parameters, about["redirect_uri"], about["kept"])
            identity = _checked(found.callback(answer))
            with self._begin(_SYSTEM) as ctx:
                ctx.commanding, ctx.operation = True, "access.sign_in"
                return _let_in(ctx, found, identity, about, returned, caller)
        except (LoginRefused, IdentityTaken) as refused:
            self._record(refused, provider, caller)
            raise

    def out(self, token: str | None, return_to: str, absolute: str | None) -> SignedOut:
        """End the session of a token, if it is one; ``absolute`` is where a provider may send the browser back to."""
        url = local_path(return_to)
        if token is None:
            return SignedOut(url)
        with self._begin(_SYSTEM) as ctx:
            row, logins = of_token(ctx, token), ctx.port(Logins)
            if row is None or row.ended_at is not None:
                return SignedOut(url)
            proof = proof_of(ctx, row)
            whose = acting(ctx, Principal.user(row.principal.partition(":")[2], row.id))
            whose.operation = "access.sign_out"
            close(whose, "signed-out", sessions.c.id == row.id)
        return SignedOut(_elsewhere(logins, row.provider, proof, absolute) or url)

    def notice(self, provider: str, token: str, caller: Caller) -> int:
        """A provider's own message that a sign-in is over: ends the sessions that it opened; returns how many."""
        try:
            with self._begin(_SYSTEM) as ctx:
                found = ctx.port(Logins).find(provider)
            told = found.notice(token)
            with self._begin(_SYSTEM) as ctx:
                ctx.commanding, ctx.operation = True, "access.provider_logout"
                if not once(ctx, f"notice {told.issuer} {told.id}", told.expires_at):
                    raise LoginRefused(reason="this message came before")
                return _end_told(ctx, provider, told.issuer, told.subject, told.session)
        except LoginRefused as refused:
            self._record(refused, provider, caller)
            raise

    def _record(self, refused: MallError, provider: str, caller: Caller) -> None:
        withheld = self._sparing.take(neighbourhood(caller.address))
        if withheld is not None:
            told = {"provider": provider[:60], **({"withheld": withheld} if withheld else {})}
            reason = str(refused.details.get("reason", refused.code))
            event = AccessDenied(
                subject="sign-in",
                operation="access.sign_in",
                principal="anonymous:*",
                reason=reason,
                details={**caller.details, **told},
            )
            with self._begin(_SYSTEM) as ctx:
                ctx.work.denials.append(event)


def _taken(ctx: Context, provider: str, returned: Returned) -> dict[str, Any]:
    """What the mall has kept in the browser for this state; from now on, the state counts no more."""
    state = returned.parameters.get("state", "")
    about = opened(ctx.port(Keyring), LOGINS, _STATE, returned.kept.get(state[:1], ""))
    if about is None or not hmac.compare_digest(about["state"].encode(), state.encode("utf-8", "replace")):
        raise LoginRefused(reason="it was not begun in this browser")
    if about["provider"] != provider:
        raise LoginRefused(reason="it was begun at another provider")
    if about["until"] <= ctx.now().timestamp():
        raise LoginRefused(reason="it took too long")
    ctx.commanding = True
    if not once(ctx, f"state {state}", datetime.fromtimestamp(about["until"], UTC)):
        raise LoginRefused(reason="it was finished before")
    return about


def _checked(identity: Identity) -> Identity:
    """An identity that can be kept; what a provider says of a person is cut to what it can mean."""
    names = (identity.issuer, 500), (identity.subject, 255), (identity.session or "-", 255)
    if not all(0 < len(one) <= most and is_text(one) for one, most in names):
        raise LoginRefused(reason="the provider's name for the person can't be kept")
    return replace(identity, email=_text(identity.email), name=_text(identity.name))


def _text(said: Any) -> str | None:
    return said[:320] if isinstance(said, str) and is_text(said) else None


def _let_in(
    ctx: Context, provider: LoginProvider, identity: Identity, about: dict[str, Any], returned: Returned, caller: Caller
) -> SignedIn:
    row = known(ctx, identity)
    if about["link"] is not None:
        return _to_be_linked(ctx, provider, identity, row, about, returned)
    if row is None:
        row = provisioned(ctx, provider.name, identity, ctx.port(Logins).new_user)
    else:
        seen(ctx, row, identity)
    opened_session = open_session(
        ctx,
        user=row.principal.partition(":")[2],
        caller=caller,
        by=SignedInBy(row.id, provider.name, identity.session, identity.proof),
        replaces=returned.session,
    )
    return SignedIn(identity, about["return_to"], opened_session)


def _to_be_linked(
    ctx: Context, provider: LoginProvider, identity: Identity, row: Any, about: dict[str, Any], returned: Returned
) -> SignedIn:
    """A ticket, for the session that asked; the browser must have it still."""
    had = None if returned.session is None else of_token(ctx, returned.session)
    if had is None or had.id != about["link"]:
        raise LoginRefused(reason="whoever asked to link it is signed in no more")
    refuse_doubtful(provider, identity)
    if row is not None and row.principal != had.principal:
        raise IdentityTaken()
    return SignedIn(identity, about["return_to"], ticket=ticket_for(ctx, provider, identity, had.id))


def _elsewhere(logins: Logins, provider: str | None, proof: str | None, absolute: str | None) -> str | None:
    """Where the provider ends its own sign-in; one that can't be reached keeps nobody from signing out here."""
    try:
        return None if provider is None else logins.find(provider).logout(proof, absolute)
    except MallError:
        return None


def _end_told(ctx: Context, provider: str, issuer: str, subject: str | None, session: str | None) -> int:
    which: list[Any] = [sessions.c.provider == provider]
    if session is not None:
        which.append(sessions.c.provider_session == session)
    if subject is not None:
        row = known(ctx, Identity(issuer, subject))
        which.append(sessions.c.identity == (None if row is None else row.id))
    if len(which) == 1:
        raise InvalidInput(field="logout_token", reason="it says neither whose sessions are over nor which")
    return len(close(ctx, "provider", *which))
