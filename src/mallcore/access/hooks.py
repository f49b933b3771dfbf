"""Hooks of access, and Protocols that providers fulfil: who signs people in. Decisions are a `Policy`'s."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol, runtime_checkable

from mallcore.access.rules.issuers import Issuer
from mallcore.kernel.hooks import hookspec
from mallcore.kernel.keys import Keyring
from mallcore.kernel.ports import Verifier


@dataclass(frozen=True, slots=True)
class LoginRequest:
    """What a provider is asked for: to sign in whoever is at the browser, and send it back to ``redirect_uri``.

    ``state`` comes back with the browser; the mall has bound it to that. ``fresh`` asks for a sign-in that is made now,
    whatever session the provider has.
    """

    redirect_uri: str
    state: str = field(repr=False)
    fresh: bool = False
    hint: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class LoginRedirect:
    """Where the browser is sent, and what the provider wants back with its answer; the mall seals that."""

    url: str = field(repr=False)
    kept: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class LoginAnswer:
    """What came back with the browser: the parameters of its request. Their ``state`` is the one that was sent."""

    parameters: Mapping[str, str] = field(repr=False)
    redirect_uri: str
    kept: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class LoginTokens:
    """What a provider gave beside the identity: to ask it more, in the person's name. The mall keeps none of it."""

    access: str = field(repr=False)
    refresh: str | None = field(default=None, repr=False)
    expires_in: int | None = None


@dataclass(frozen=True, slots=True)
class Identity:
    """Who signed in. Only issuer and subject say who that is: an e-mail address may be another's tomorrow.

    ``session`` is the provider's name for the sign-in, ``proof`` what it wants to see when that is ended.
    """

    issuer: str
    subject: str
    email: str | None = field(default=None, repr=False)
    email_verified: bool = False
    name: str | None = field(default=None, repr=False)
    claims: Mapping[str, Any] = field(default_factory=dict, repr=False)
    session: str | None = field(default=None, repr=False)
    proof: str | None = field(default=None, repr=False)
    tokens: LoginTokens | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class LogoutNotice:
    """A provider says that a sign-in is over: of a subject, or one session of it. ``id`` counts once."""

    issuer: str
    id: str
    expires_at: datetime
    subject: str | None = None
    session: str | None = None


@runtime_checkable
class LoginProvider(Protocol):
    """Signs people in elsewhere. What goes wrong is a `LoginRefused`, or a `ProviderUnavailable`.

    It is called outside any unit of work, from several threads at once, and it keeps no secret of a person.
    """

    @property
    def name(self) -> str:
        """What it is called in this mall: part of a path."""
        ...

    @property
    def trusted(self) -> bool:
        """Whether its word on an e-mail address is enough to offer a link to whoever is signed in."""
        ...

    def authorization(self, request: LoginRequest) -> LoginRedirect:
        """Where to send a browser, so that its user signs in."""
        ...

    def callback(self, answer: LoginAnswer) -> Identity:
        """Who that was, proven."""
        ...

    def refresh(self, identity: Identity) -> Identity:
        """The same identity with new tokens, by its refresh token."""
        ...

    def logout(self, proof: str | None, return_to: str | None) -> str | None:
        """Where to send a browser, so that the provider ends its sign-in, too; nothing: it can't."""
        ...

    def notice(self, token: str) -> LogoutNotice:
        """What a message of the provider's own says (a back-channel logout), proven."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnTokens:
    """The access tokens of this mall's own authorization server: what they say, which keys sign them.

    ``refuses`` says whether one was taken back, by its ids, its client, and when it was issued; ``ready`` whether it
    says so without waiting.
    """

    url: str
    audience: str
    algorithm: str
    keys: Keyring
    refuses: Callable[[Iterable[str], str, float], bool]
    ready: Callable[[], bool]


class AccessHooks:
    """The hooks that belong to access."""

    @hookspec(firstresult=True)
    def access_tokens_backend(
        self, own: OwnTokens | None, issuers: Sequence[Issuer], clock: Callable[[], datetime]
    ) -> Verifier | None:
        """Provide: what verifies access tokens (JWT), of this mall's own authorization server and of other issuers."""
