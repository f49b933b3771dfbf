"""Errors of signing in elsewhere, of identities and of sessions."""

from __future__ import annotations

from mallcore.errors.roots import Conflict, Denied, NotFound, Unavailable


class LoginRefused(Denied):
    """This sign-in is refused ({reason}): nobody was signed in; begin again."""

    code = "login-refused"


class ProviderUnavailable(Unavailable):
    """The login provider {provider!r} can't be reached, or makes no sense: {reason}."""

    code = "provider-unavailable"


class UnknownProvider(NotFound):
    """This mall has no login provider {provider!r}."""

    code = "unknown-provider"


class UnknownSession(NotFound):
    """There is no session {session!r}, or it is over."""

    code = "unknown-session"


class UnknownIdentity(NotFound):
    """There is no identity {identity!r}."""

    code = "unknown-identity"


class IdentityTaken(Conflict):
    """This identity belongs to another user of this mall: unlink it there first."""

    code = "identity-taken"
