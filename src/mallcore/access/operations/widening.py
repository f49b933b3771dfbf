"""What a credential must not bring about: something that is good for more than it is itself."""

from __future__ import annotations

from collections.abc import Iterable

from mallcore.access.rules.api_keys import covers
from mallcore.kernel.context import Context


def refuse_wider(ctx: Context, scopes: Iterable[str] | None, what: str) -> None:
    """Refuse, if the caller was recognised by a credential that does not include these scopes (nothing: all)."""
    own = ctx.principal.credential
    if own is not None and not covers(own.scopes, scopes):
        ctx.refuse("access.manage", reason=f"{what} of wider scopes than the caller's own")
