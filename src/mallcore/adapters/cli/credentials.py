"""Commands of clients, of their API keys, and of what OAuth2 knows of them."""

from __future__ import annotations

from typing import Any

from mallcore import access
from mallcore.adapters.cli import forms
from mallcore.adapters.cli.face import Face
from mallcore.adapters.cli.forms import table
from mallcore.adapters.cli.output import Output

CLIENTS = (
    Face("access clients create", access.create_client, "name", forms.card),
    Face("access clients list", access.list_clients,
         show=table("id", "name", "owner", "contact", "created_at", "disabled_at")),
    Face("access clients show", access.get_client, "client", forms.card),
    Face("access clients update", access.update_client, "client", forms.card),
    Face("access clients disable", access.disable_client, "client", forms.card),
    Face("access clients enable", access.enable_client, "client", forms.card),
)  # fmt: skip
API_KEYS = (
    Face("access keys create", access.create_api_key, "client name", forms.card),
    Face("access keys list", access.list_api_keys,
         show=table("id", "client", "name", "state", "scopes", "plan", "expires_at", "last_used_at")),
    Face("access keys show", access.get_api_key, "api_key", forms.card),
    Face("access keys update", access.update_api_key, "api_key", forms.card),
    Face("access keys rotate", access.rotate_api_key, "api_key", forms.card),
    Face("access keys revoke", access.revoke_api_key, "api_key", forms.card),
)  # fmt: skip


def with_secret(out: Output, made: Any) -> None:
    """A client with its secret, which is shown this once."""
    forms.card(out, made.client)
    if made.secret is not None:
        out.say(f"secret  {made.secret}  (it is not kept: note it now)", "bold")


_OAUTH = table("client", "name", "auth_method", "grant_types", "scopes", "redirect_uris", "trusted", "introspects")
OAUTH = (
    Face("access clients oauth register", access.register_oauth_client, "client scopes", with_secret),
    Face("access clients oauth list", access.list_oauth_clients, show=_OAUTH),
    Face("access clients oauth show", access.get_oauth_client, "client", forms.card),
    Face("access clients oauth update", access.update_oauth_client, "client", forms.card),
    Face("access clients oauth rotate-secret", access.rotate_oauth_secret, "client", with_secret),
    Face("access clients oauth remove", access.remove_oauth_client, "client", forms.card, final=True),
    Face("access consents list", access.list_oauth_consents, show=table("client", "scopes", "at"),
         help="What somebody lets clients do in their name: `--principal user:ada`."),
    Face("access consents withdraw", access.withdraw_oauth_consent, "client", forms.card,
         help="Let a client act in somebody's name no more: `--principal user:ada`."),
)  # fmt: skip
