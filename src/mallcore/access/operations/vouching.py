"""Whether a credential is good still, for what was begun with it and goes on by itself, such as a webhook."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select

from mallcore.access.model.clients import api_key
from mallcore.access.model.oauth import oauth_client, oauth_consent
from mallcore.access.rules.api_keys import state
from mallcore.kernel.context import Context


class KnownCredentials:
    """Fulfils other packages' question: does a credential count still, that is known by its id?

    A key does until it is revoked or over. A token is over soon, and what it began is not: that goes on while its
    client may get tokens, in the name of whoever consented while the consent stands. Of a session, or of what comes
    from elsewhere, nothing else is known than what its principal may do.
    """

    def good(self, ctx: Context, owner: str, id: str, client: str | None) -> bool:
        """Whether its bearer may still act for the owner."""
        if id.startswith("key_"):
            key: Any = ctx.execute(select(api_key).where(api_key.c.id == id)).one_or_none()
            return key is not None and state(key.revoked_at, key.expires_at, ctx.now()) == "active"
        if not id.startswith("tok_") or client is None:
            return True
        known: Any = ctx.execute(select(oauth_client).where(oauth_client.c.client == client)).one_or_none()
        if known is None or known.trusted or not owner.startswith("user:"):
            return known is not None
        consent = (oauth_consent.c.client == client, oauth_consent.c.principal == owner)
        return ctx.execute(select(oauth_consent.c.at).where(*consent)).first() is not None
