"""Tables of attachments. Rows are only ever added; what changes is a state, and each state says what may follow.

``blob``: one content of one unit. ``replica``: where copies of it lie. ``attachment``, ``version``, ``label``: what
people name. ``upload``: the intent that stands before the first byte is written, and outlives every rollback.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, ForeignKeyConstraint, Index, Integer, String, Table

from mallcore.kernel.tables import Id, Json, UtcTime, metadata

Digest = String(64)
Incarnation = String(32)

blob = Table(
    "mall_blob",
    metadata,
    Column("unit_id", Id, primary_key=True),
    Column("digest", Digest, primary_key=True),
    Column("incarnation", Incarnation, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("state", String(12), nullable=False),  # pending | ready | deleting
    Column("detected_type", String(100), nullable=False),
    Column("facts", Json),  # what inspection found: width, height, frames
    Column("created_at", UtcTime, nullable=False),
    Column("touched_at", UtcTime, nullable=False),  # last claimed: the collector's grace counts from here
    Index("ix_mall_blob_state_touched_at", "state", "touched_at"),
)

replica = Table(
    "mall_replica",
    metadata,
    Column("unit_id", Id, primary_key=True),
    Column("digest", Digest, primary_key=True),
    Column("incarnation", Incarnation, primary_key=True),
    Column("store", String(40), primary_key=True),
    Column("object_key", String(300), nullable=False),
    Column("state", String(12), nullable=False),  # pending | ready | lost | deleting
    Column("etag", String(200)),
    Column("store_version", String(200)),
    Column("created_at", UtcTime, nullable=False),
    Column("verified_at", UtcTime),
    Index("ix_mall_replica_store_state", "store", "state"),
    Index("ix_mall_replica_object_key", "object_key"),
)

attachment = Table(
    "mall_attachment",
    metadata,
    Column("id", Id, primary_key=True),
    Column("unit_id", Id, nullable=False),
    Column("channel_id", Id),
    Column("owner_kind", String(40), nullable=False),
    Column("owner_id", String(200), nullable=False),
    Column("slot", String(40), nullable=False),
    Column("head", Integer, nullable=False),  # number of the newest version
    Column("created_by", String(200), nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Column("removed_at", UtcTime),
    Index("ix_mall_attachment_owner", "owner_kind", "owner_id", "id"),
    Index("ix_mall_attachment_unit_id_id", "unit_id", "id"),
)

version = Table(
    "mall_attachment_version",
    metadata,
    Column("attachment_id", Id, primary_key=True),
    Column("n", Integer, primary_key=True, autoincrement=False),
    Column("unit_id", Id, nullable=False),
    Column("digest", Digest, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("file_name", String(255), nullable=False),
    Column("declared_type", String(100)),
    Column("detected_type", String(100), nullable=False),
    Column("meta", Json),
    Column("created_by", String(200), nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Column("retain_until", UtcTime),
    Column("dropped_at", UtcTime),  # erased or expired: the record stays, the content does not
    Column("dropped_for", String(200)),
    ForeignKeyConstraint(["attachment_id"], ["mall_attachment.id"]),
    Index("ix_mall_attachment_version_unit_id_digest", "unit_id", "digest"),
    Index("ix_mall_attachment_version_created_by", "created_by"),
)

label = Table(
    "mall_attachment_label",
    metadata,
    Column("attachment_id", Id, primary_key=True),
    Column("name", String(40), primary_key=True),
    Column("n", Integer, nullable=False),
    Column("moves", Integer, nullable=False),  # how often it was moved; a move is a compare-and-set on n
    Column("at", UtcTime, nullable=False),
)

label_move = Table(
    "mall_attachment_label_move",
    metadata,
    Column("attachment_id", Id, primary_key=True),
    Column("name", String(40), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("n", Integer),  # nothing: the label was taken away
    Column("by", String(200), nullable=False),
    Column("at", UtcTime, nullable=False),
)

pin = Table(
    "mall_attachment_pin",
    metadata,
    Column("attachment_id", Id, primary_key=True),
    Column("n", Integer, primary_key=True, autoincrement=False),
    Column("holder", String(200), primary_key=True),  # snapshot:launch, channel:chn_…
    Column("label", String(40), primary_key=True),  # of a snapshot: which label stood there; else empty
    Column("revision", BigInteger),  # of a channel: the first revision that refers to the version
    Index("ix_mall_attachment_pin_holder", "holder"),
)

hold = Table(
    "mall_attachment_hold",
    metadata,
    Column("id", Id, primary_key=True),
    Column("unit_id", Id, nullable=False),
    Column("attachment_id", Id, nullable=False),
    Column("n", Integer),  # nothing: every version, those to come too
    Column("reason", String(500), nullable=False),
    Column("placed_by", String(200), nullable=False),
    Column("placed_at", UtcTime, nullable=False),
    Column("released_by", String(200)),
    Column("released_at", UtcTime),
    Index("ix_mall_attachment_hold_attachment_id", "attachment_id"),
)

derivative = Table(
    "mall_attachment_derivative",
    metadata,
    Column("unit_id", Id, primary_key=True),
    Column("source_digest", Digest, primary_key=True),
    Column("recipe_digest", Digest, primary_key=True),
    Column("recipe", Json, nullable=False),
    Column("digest", Digest),
    Column("size", BigInteger),
    Column("content_type", String(100)),
    Column("state", String(12), nullable=False),  # making | ready | failed
    Column("error", String(500)),
    Column("lease_until", UtcTime),
    Column("created_at", UtcTime, nullable=False),
    Index("ix_mall_attachment_derivative_unit_id_digest", "unit_id", "digest"),
)

verdict = Table(
    "mall_attachment_verdict",
    metadata,
    Column("unit_id", Id, primary_key=True),
    Column("digest", Digest, primary_key=True),
    Column("check", String(40), primary_key=True),
    Column("result", String(12), nullable=False),  # clean | bad | unsure
    Column("tool", String(200), nullable=False),
    Column("detail", String(500)),
    Column("at", UtcTime, nullable=False),
)

upload = Table(
    "mall_upload",
    metadata,
    Column("id", Id, primary_key=True),
    Column("kind", String(10), nullable=False),  # stage | direct | tus
    Column("unit_id", Id, nullable=False),
    Column("channel_id", Id),
    Column("owner_kind", String(40), nullable=False),
    Column("owner_id", String(200), nullable=False),
    Column("slot", String(40), nullable=False),
    Column("store", String(40), nullable=False),
    Column("object_key", String(300)),  # where bytes lie or may come to lie: the collector deletes them by it
    Column("incarnation", Incarnation),
    Column("digest", Digest),
    Column("size", BigInteger),  # as announced, then as counted
    Column("received", BigInteger, nullable=False),
    Column("file_name", String(255), nullable=False),
    Column("declared_type", String(100)),
    Column("meta", Json),
    Column("state", String(12), nullable=False),  # open | staged | attached | expired
    Column("created_by", String(200), nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Column("lease_until", UtcTime, nullable=False),
    Index("ix_mall_upload_state_lease_until", "state", "lease_until"),
    Index("ix_mall_upload_unit_id_digest", "unit_id", "digest"),
)

upload_part = Table(
    "mall_upload_part",
    metadata,
    Column("upload_id", Id, primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("object_key", String(300), nullable=False),
    Column("start", BigInteger, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("state", String(12), nullable=False),  # writing | written
)

link_use = Table(
    "mall_link_use",
    metadata,
    Column("jti", String(40), primary_key=True),
    Column("used_at", UtcTime),  # of a link that is good once
    Column("revoked_at", UtcTime),
    Column("expires_at", UtcTime, nullable=False, index=True),
)

store_state = Table(
    "mall_object_store",
    metadata,
    Column("name", String(40), primary_key=True),
    Column("url", String(500), nullable=False),  # without credentials
    Column("role", String(12), nullable=False),  # written | mirror | read | drained
    Column("changed_at", UtcTime, nullable=False),
)
