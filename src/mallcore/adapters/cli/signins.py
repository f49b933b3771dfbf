"""Commands of sessions, and of the identities that people sign in by."""

from __future__ import annotations

from mallcore import access
from mallcore.adapters.cli import forms
from mallcore.adapters.cli.face import Face
from mallcore.adapters.cli.forms import table

SIGN_INS = (
    Face("access sessions list", access.list_sessions,
         show=table("id", "principal", "provider", "created_at", "seen_at", "expires_at", "ended_at", "reason")),
    Face("access sessions end", access.end_session, "session", forms.card),
    Face("access sessions end-all", access.end_sessions, "principal", forms.card),
    Face("access identities list", access.list_identities,
         show=table("id", "principal", "provider", "issuer", "subject", "email", "last_at")),
    Face("access identities unlink", access.unlink_identity, "identity", forms.card),
)  # fmt: skip
