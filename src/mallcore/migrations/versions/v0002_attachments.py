"""Attachments: contents and where they lie, versions and labels, uploads; the mall's own keys, and ends of sessions."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_JSON = sa.JSON(none_as_null=True)
_TIME = sa.DateTime(timezone=True)
_ID = sa.String(40)


def upgrade() -> None:
    """Add the tables; nothing that was there changes."""
    _keys()
    _blobs()
    _verdicts()
    _derivatives()
    _attachments()
    _versions()
    _labels()
    _pins()
    _holds()
    _uploads()
    _parts()
    _links()
    _sessions()
    _stores()
    op.execute("UPDATE mall_schema SET version = 2")


def _column(name: str, kind: Any, *, null: bool = False, key: bool = False) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=null, primary_key=key, autoincrement=False)


def _keys() -> None:
    op.create_table(
        "mall_key",
        _column("purpose", sa.String(40), key=True),
        _column("number", sa.Integer, key=True),
        _column("secret", sa.String(200)),
        _column("created_at", _TIME),
        _column("retires_at", _TIME, null=True),
        _column("revoked_at", _TIME, null=True),
    )


def _blobs() -> None:
    op.create_table(
        "mall_blob",
        _column("unit_id", _ID, key=True),
        _column("digest", sa.String(64), key=True),
        _column("incarnation", sa.String(32)),
        _column("size", sa.BigInteger),
        _column("state", sa.String(12)),
        _column("detected_type", sa.String(100)),
        _column("facts", _JSON, null=True),
        _column("created_at", _TIME),
        _column("touched_at", _TIME),
    )
    op.create_index("ix_mall_blob_state_touched_at", "mall_blob", ["state", "touched_at"])
    op.create_table(
        "mall_replica",
        _column("unit_id", _ID, key=True),
        _column("digest", sa.String(64), key=True),
        _column("incarnation", sa.String(32), key=True),
        _column("store", sa.String(40), key=True),
        _column("object_key", sa.String(300)),
        _column("state", sa.String(12)),
        _column("etag", sa.String(200), null=True),
        _column("store_version", sa.String(200), null=True),
        _column("created_at", _TIME),
        _column("verified_at", _TIME, null=True),
    )
    op.create_index("ix_mall_replica_object_key", "mall_replica", ["object_key"])
    op.create_index("ix_mall_replica_store_state", "mall_replica", ["store", "state"])


def _verdicts() -> None:
    op.create_table(
        "mall_attachment_verdict",
        _column("unit_id", _ID, key=True),
        _column("digest", sa.String(64), key=True),
        _column("check", sa.String(40), key=True),
        _column("result", sa.String(12)),
        _column("tool", sa.String(200)),
        _column("detail", sa.String(500), null=True),
        _column("at", _TIME),
    )


def _derivatives() -> None:
    op.create_table(
        "mall_attachment_derivative",
        _column("unit_id", _ID, key=True),
        _column("source_digest", sa.String(64), key=True),
        _column("recipe_digest", sa.String(64), key=True),
        _column("recipe", _JSON),
        _column("digest", sa.String(64), null=True),
        _column("size", sa.BigInteger, null=True),
        _column("content_type", sa.String(100), null=True),
        _column("state", sa.String(12)),
        _column("error", sa.String(500), null=True),
        _column("lease_until", _TIME, null=True),
        _column("created_at", _TIME),
    )
    op.create_index("ix_mall_attachment_derivative_unit_id_digest", "mall_attachment_derivative", ["unit_id", "digest"])


def _attachments() -> None:
    op.create_table(
        "mall_attachment",
        _column("id", _ID, key=True),
        _column("unit_id", _ID),
        _column("channel_id", _ID, null=True),
        _column("owner_kind", sa.String(40)),
        _column("owner_id", sa.String(200)),
        _column("slot", sa.String(40)),
        _column("head", sa.Integer),
        _column("created_by", sa.String(200)),
        _column("created_at", _TIME),
        _column("removed_at", _TIME, null=True),
    )
    op.create_index("ix_mall_attachment_owner", "mall_attachment", ["owner_kind", "owner_id", "id"])
    op.create_index("ix_mall_attachment_unit_id_id", "mall_attachment", ["unit_id", "id"])


def _versions() -> None:
    op.create_table(
        "mall_attachment_version",
        _column("attachment_id", _ID, key=True),
        _column("n", sa.Integer, key=True),
        _column("unit_id", _ID),
        _column("digest", sa.String(64)),
        _column("size", sa.BigInteger),
        _column("file_name", sa.String(255)),
        _column("declared_type", sa.String(100), null=True),
        _column("detected_type", sa.String(100)),
        _column("meta", _JSON, null=True),
        _column("created_by", sa.String(200)),
        _column("created_at", _TIME),
        _column("retain_until", _TIME, null=True),
        _column("dropped_at", _TIME, null=True),
        _column("dropped_for", sa.String(200), null=True),
        sa.ForeignKeyConstraint(
            ["attachment_id"], ["mall_attachment.id"], name="fk_mall_attachment_version_attachment_id"
        ),
    )
    op.create_index("ix_mall_attachment_version_created_by", "mall_attachment_version", ["created_by"])
    op.create_index("ix_mall_attachment_version_unit_id_digest", "mall_attachment_version", ["unit_id", "digest"])


def _labels() -> None:
    op.create_table(
        "mall_attachment_label",
        _column("attachment_id", _ID, key=True),
        _column("name", sa.String(40), key=True),
        _column("n", sa.Integer),
        _column("moves", sa.Integer),
        _column("at", _TIME),
    )
    op.create_table(
        "mall_attachment_label_move",
        _column("attachment_id", _ID, key=True),
        _column("name", sa.String(40), key=True),
        _column("number", sa.Integer, key=True),
        _column("n", sa.Integer, null=True),
        _column("by", sa.String(200)),
        _column("at", _TIME),
    )


def _pins() -> None:
    op.create_table(
        "mall_attachment_pin",
        _column("attachment_id", _ID, key=True),
        _column("n", sa.Integer, key=True),
        _column("holder", sa.String(200), key=True),
        _column("label", sa.String(40), key=True),
        _column("revision", sa.BigInteger, null=True),
    )
    op.create_index("ix_mall_attachment_pin_holder", "mall_attachment_pin", ["holder"])


def _holds() -> None:
    op.create_table(
        "mall_attachment_hold",
        _column("id", _ID, key=True),
        _column("unit_id", _ID),
        _column("attachment_id", _ID),
        _column("n", sa.Integer, null=True),
        _column("reason", sa.String(500)),
        _column("placed_by", sa.String(200)),
        _column("placed_at", _TIME),
        _column("released_by", sa.String(200), null=True),
        _column("released_at", _TIME, null=True),
    )
    op.create_index("ix_mall_attachment_hold_attachment_id", "mall_attachment_hold", ["attachment_id"])


def _uploads() -> None:
    op.create_table(
        "mall_upload",
        _column("id", _ID, key=True),
        _column("kind", sa.String(10)),
        _column("unit_id", _ID),
        _column("channel_id", _ID, null=True),
        _column("owner_kind", sa.String(40)),
        _column("owner_id", sa.String(200)),
        _column("slot", sa.String(40)),
        _column("store", sa.String(40)),
        _column("object_key", sa.String(300), null=True),
        _column("incarnation", sa.String(32), null=True),
        _column("digest", sa.String(64), null=True),
        _column("size", sa.BigInteger, null=True),
        _column("received", sa.BigInteger),
        _column("file_name", sa.String(255)),
        _column("declared_type", sa.String(100), null=True),
        _column("meta", _JSON, null=True),
        _column("state", sa.String(12)),
        _column("created_by", sa.String(200)),
        _column("created_at", _TIME),
        _column("lease_until", _TIME),
    )
    op.create_index("ix_mall_upload_state_lease_until", "mall_upload", ["state", "lease_until"])
    op.create_index("ix_mall_upload_unit_id_digest", "mall_upload", ["unit_id", "digest"])


def _parts() -> None:
    op.create_table(
        "mall_upload_part",
        _column("upload_id", _ID, key=True),
        _column("number", sa.Integer, key=True),
        _column("object_key", sa.String(300)),
        _column("start", sa.BigInteger),
        _column("size", sa.BigInteger),
        _column("state", sa.String(12)),
    )


def _links() -> None:
    op.create_table(
        "mall_link_use",
        _column("jti", sa.String(40), key=True),
        _column("used_at", _TIME, null=True),
        _column("revoked_at", _TIME, null=True),
        _column("expires_at", _TIME),
    )
    op.create_index("ix_mall_link_use_expires_at", "mall_link_use", ["expires_at"])


def _sessions() -> None:
    op.create_table(
        "mall_session_epoch",
        _column("principal", sa.String(200), key=True),
        _column("epoch", sa.Integer),
        _column("at", _TIME),
    )


def _stores() -> None:
    op.create_table(
        "mall_object_store",
        _column("name", sa.String(40), key=True),
        _column("url", sa.String(500)),
        _column("role", sa.String(12)),
        _column("changed_at", _TIME),
    )
