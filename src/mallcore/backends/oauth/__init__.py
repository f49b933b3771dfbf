"""OAuth2: an authorization server on Authlib, and what verifies access tokens. Both libraries are the extra `oauth`.

The plug-in ``oauth`` is one every mall has; it imports nothing optional before there is something for it to do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from mallcore.access import Issuer, OwnTokens
from mallcore.errors import MissingExtra
from mallcore.kernel.hooks import hookimpl
from mallcore.kernel.ports import Verifier

if TYPE_CHECKING:
    from mallcore.backends.oauth.server import AuthorizationServer

__all__ = ["authorization_server"]


def authorization_server(mall: Any, authenticate: Any, **options: Any) -> AuthorizationServer:
    """The mall's authorization server: see `mallcore.backends.oauth.server.AuthorizationServer` for the options.

    The mall is opened with the setting ``issuer``. ``authenticate`` tells who is at the browser.
    """
    try:
        from mallcore.backends.oauth.server import AuthorizationServer
    except ModuleNotFoundError as error:
        raise MissingExtra(what="The authorization server", extra="oauth") from error
    return AuthorizationServer(mall, authenticate, **options)


@hookimpl
def access_tokens_backend(
    own: OwnTokens | None, issuers: Sequence[Issuer], clock: Callable[[], datetime]
) -> Verifier | None:
    """What verifies the tokens, if any are to be taken."""
    if own is None and not issuers:
        return None
    try:
        from mallcore.backends.oauth.verifying import TokenVerifier, sources_of
    except ModuleNotFoundError as error:
        raise MissingExtra(what="Verifying access tokens", extra="oauth") from error
    return TokenVerifier(sources_of(own, issuers, clock), clock)
