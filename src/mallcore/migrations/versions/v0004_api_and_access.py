"""API keys, clients, tokens, sign-ins, webhooks, and who uses which version of the API."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Add tables; nothing that is there changes."""
    _usage()
    _keys()
    _logins()
    _oauth()
    _webhooks()
    op.execute("UPDATE mall_schema SET version = 4")


def _column(name: str, kind: Any, *, null: bool = False, key: bool = False) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=null, primary_key=key, autoincrement=False)


def _usage() -> None:
    op.create_table(
        "mall_api_usage",
        _column("day", sa.Date, key=True),
        _column("client", sa.String(200), key=True),
        _column("version", sa.String(40), key=True),
        _column("operation", sa.String(200), key=True),
        _column("field", sa.String(200), key=True),
        _column("count", sa.BigInteger),
        _column("last_at", _TIME),
    )
    op.create_table(
        "mall_api_notice",
        _column("version", sa.String(40), key=True),
        _column("state", sa.String(20), key=True),
        _column("at", _TIME),
    )


def _keys() -> None:
    op.create_table(
        "mall_client",
        _column("id", sa.String(40), key=True),
        _column("name", sa.String(200)),
        _column("owner", sa.String(200), null=True),
        _column("contact", sa.String(500), null=True),
        _column("version", sa.Integer),
        _column("created_by", sa.String(200)),
        _column("created_at", _TIME),
        _column("disabled_at", _TIME, null=True),
    )
    op.create_table(
        "mall_api_key",
        _column("id", sa.String(40), key=True),
        _column("client_id", sa.String(40)),
        _column("name", sa.String(200)),
        _column("digest", sa.String(80)),
        _column("former", sa.String(80), null=True),
        _column("former_until", _TIME, null=True),
        *(_column(name, sa.JSON, null=True) for name in ("scopes", "units", "channels", "addresses")),
        _column("api_version", sa.String(40), null=True),
        _column("pin", sa.Boolean),
        _column("plan", sa.String(100), null=True),
        _column("expires_at", _TIME, null=True),
        _column("version", sa.Integer),
        _column("created_by", sa.String(200)),
        _column("created_at", _TIME),
        _column("revoked_at", _TIME, null=True),
        _column("last_used_at", _TIME, null=True),
    )
    op.create_index("ix_mall_api_key_client_id", "mall_api_key", ["client_id"])


def _logins() -> None:
    op.create_table(
        "mall_identity",
        _column("id", sa.String(40), key=True),
        _column("issuer", sa.String(500)),
        _column("subject", sa.String(255)),
        _column("principal", sa.String(200)),
        _column("provider", sa.String(100)),
        _column("about", sa.Text),
        _column("created_at", _TIME),
        _column("last_at", _TIME),
        sa.UniqueConstraint("issuer", "subject", name="uq_mall_identity_issuer_subject"),
    )
    op.create_index("ix_mall_identity_principal", "mall_identity", ["principal"])
    op.create_table(
        "mall_session",
        _column("id", sa.String(40), key=True),
        _column("digest", sa.String(64)),
        _column("principal", sa.String(200)),
        _column("epoch", sa.Integer),
        _column("identity", sa.String(40), null=True),
        _column("provider", sa.String(100), null=True),
        _column("provider_session", sa.String(255), null=True),
        _column("proof", sa.Text, null=True),
        _column("about", sa.Text),
        _column("created_at", _TIME),
        _column("seen_at", _TIME),
        _column("idle_until", _TIME),
        _column("expires_at", _TIME),
        _column("ended_at", _TIME, null=True),
        _column("reason", sa.String(40), null=True),
        sa.UniqueConstraint("digest", name="uq_mall_session_digest"),
    )
    for names in (["principal", "id"], ["identity"], ["expires_at"]):
        op.create_index(f"ix_mall_session_{'_'.join(names)}", "mall_session", names)
    op.create_table("mall_login_state", _column("id", sa.String(64), key=True), _column("expires_at", _TIME))
    op.create_index("ix_mall_login_state_expires_at", "mall_login_state", ["expires_at"])


def _oauth() -> None:
    op.create_table(
        "mall_oauth_client",
        _column("client", sa.String(180), key=True),
        _column("auth_method", sa.String(40)),
        *(_column(name, sa.JSON) for name in ("grant_types", "redirect_uris", "scopes")),
        _column("secret", sa.String(64), null=True),
        _column("old_secret", sa.String(64), null=True),
        _column("old_secret_until", _TIME, null=True),
        _column("jwks", sa.JSON, null=True),
        _column("trusted", sa.Boolean),
        _column("introspects", sa.Boolean),
        _column("version", sa.Integer),
        _column("created_at", _TIME),
    )
    op.create_table(
        "mall_oauth_consent",
        _column("principal", sa.String(200), key=True),
        _column("client", sa.String(180), key=True),
        _column("scopes", sa.JSON),
        _column("at", _TIME),
    )
    _oauth_tokens()


def _oauth_tokens() -> None:
    op.create_table(
        "mall_oauth_code",
        _column("digest", sa.String(64), key=True),
        _column("client", sa.String(180)),
        _column("principal", sa.String(200)),
        _column("redirect_uri", sa.String(600), null=True),
        _column("scopes", sa.JSON),
        _column("challenge", sa.String(43)),
        _column("family", sa.String(40)),
        _column("until", _TIME),
        _column("used_at", _TIME, null=True),
    )
    op.create_table(
        "mall_oauth_family",
        _column("id", sa.String(40), key=True),
        _column("client", sa.String(180)),
        _column("principal", sa.String(200)),
        _column("scopes", sa.JSON),
        _column("at", _TIME),
        _column("until", _TIME),
        _column("ended_at", _TIME, null=True),
    )
    op.create_table(
        "mall_oauth_refresh",
        _column("digest", sa.String(64), key=True),
        _column("family", sa.String(40)),
        _column("until", _TIME),
        _column("used_at", _TIME, null=True),
    )
    op.create_table(
        "mall_oauth_denied", _column("id", sa.String(200), key=True), _column("at", _TIME), _column("until", _TIME)
    )
    indexed = (("code", "until"), ("family", "client"), ("family", "principal"), ("family", "until"))
    for table, name in (*indexed, ("refresh", "family"), ("denied", "until")):
        op.create_index(f"ix_mall_oauth_{table}_{name}", f"mall_oauth_{table}", [name])


def _webhooks() -> None:
    op.create_table(
        "mall_webhook",
        _column("id", sa.String(40), key=True),
        _column("url", sa.Text),
        _column("events", sa.JSON),
        _column("unit_id", sa.String(40), null=True),
        _column("channel_id", sa.String(40), null=True),
        _column("version", sa.String(40), null=True),
        _column("description", sa.String(500)),
        _column("state", sa.String(20)),
        _column("reason", sa.String(500), null=True),
        _column("owner", sa.String(200)),
        _column("narrowed", sa.JSON, null=True),
        _column("created_at", _TIME),
        _column("changed_at", _TIME),
        _column("failing_since", _TIME, null=True),
        _column("paused_until", _TIME, null=True),
    )
    op.create_table(
        "mall_webhook_secret",
        _column("webhook_id", sa.String(40), key=True),
        _column("number", sa.Integer, key=True),
        _column("secret", sa.String(200)),
        _column("created_at", _TIME),
        _column("retires_at", _TIME, null=True),
    )
    _outbox()


def _outbox() -> None:
    op.create_table(
        "mall_outbox",
        _column("id", sa.String(40), key=True),
        _column("event", sa.String(100)),
        _column("unit_id", sa.String(40), null=True),
        _column("channel_id", sa.String(40), null=True),
        _column("subject", sa.String(300)),
        _column("payload", sa.JSON),
        _column("at", _TIME),
        _column("spread_at", _TIME, null=True),
    )
    op.create_index("ix_mall_outbox_at", "mall_outbox", ["at"])
    _partial("ix_mall_outbox_unspread", "mall_outbox", ["id"], "spread_at IS NULL")
    op.create_table(
        "mall_webhook_delivery",
        _column("id", sa.String(40), key=True),
        _column("webhook_id", sa.String(40)),
        _column("event_id", sa.String(40)),
        _column("event", sa.String(100)),
        _column("state", sa.String(20)),
        _column("attempts", sa.Integer),
        _column("due_at", _TIME),
        _column("claim", sa.String(40), null=True),
        _column("claimed_until", _TIME, null=True),
        _column("status", sa.Integer, null=True),
        _column("error", sa.String(500), null=True),
        _column("created_at", _TIME),
        _column("tried_at", _TIME, null=True),
    )
    unique = ["webhook_id", "event_id"]
    op.create_index("uq_mall_webhook_delivery_event_id", "mall_webhook_delivery", unique, unique=True)
    op.create_index("ix_mall_webhook_delivery_event_id", "mall_webhook_delivery", ["event_id"])
    _partial("ix_mall_webhook_delivery_dead", "mall_webhook_delivery", ["id"], "state = 'dead'")
    _partial("ix_mall_webhook_delivery_waiting", "mall_webhook_delivery", ["webhook_id", "due_at"], "state = 'waiting'")


def _partial(name: str, table: str, columns: list[str], condition: str) -> None:
    op.create_index(name, table, columns, sqlite_where=sa.text(condition), postgresql_where=sa.text(condition))
