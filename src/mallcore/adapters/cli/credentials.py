"""Commands of clients and of their API keys."""

from __future__ import annotations

from mallcore import access
from mallcore.adapters.cli import forms
from mallcore.adapters.cli.face import Face
from mallcore.adapters.cli.forms import table

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
