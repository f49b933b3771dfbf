"""Tables of the audit log. Records are only ever added; entering the tree fills their last columns once."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, String, Table, Text, text

from mallcore.kernel.tables import Id, Json, UtcTime, metadata

_WAITING = text("log_index IS NULL")

audit_record = Table(
    "mall_audit_record",
    metadata,
    Column("id", Id, primary_key=True),
    Column("at", UtcTime, nullable=False),
    Column("principal", String(200), nullable=False),
    Column("operation", String(100), nullable=False),
    Column("event", String(100), nullable=False),
    Column("outcome", String(10), nullable=False),
    Column("subject", String(200), nullable=False),
    Column("unit_id", Id),
    Column("channel_id", Id),
    Column("revision", BigInteger),
    Column("before", Json),
    Column("after", Json),
    Column("request_id", String(100), nullable=False),
    Column("jti", String(64)),
    Column("sealed", Text),
    Column("form", Integer),
    Column("leaf", LargeBinary),
    Column("log_index", BigInteger),
    Index("ix_mall_audit_record_channel_id_id", "channel_id", "id"),
    Index("ix_mall_audit_record_principal_id", "principal", "id"),
    Index("ix_mall_audit_record_subject_id", "subject", "id"),
    Index("ix_mall_audit_record_jti", "jti"),
    Index("ix_mall_audit_record_log_index", "log_index"),
    Index("ix_mall_audit_record_waiting", "id", sqlite_where=_WAITING, postgresql_where=_WAITING),
)
"""``leaf`` is the hash of what counts (`rules.leaves`), ``form`` how that was made; old code leaves both empty.

``sealed`` holds a person's details, encrypted; ``log_index`` is the place in the tree, empty while it waits for one.
"""

audit_head = Table(
    "mall_audit_head",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("origin", String(100), nullable=False),
    Column("size", BigInteger, nullable=False),
)
"""One row: the log's name and how long it is. Whoever makes it longer holds its lock."""

audit_tile = Table(
    "mall_audit_tile",
    metadata,
    Column("level", Integer, primary_key=True, autoincrement=False),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("hashes", LargeBinary, nullable=False),
)

audit_checkpoint = Table(
    "mall_audit_checkpoint",
    metadata,
    Column("size", BigInteger, primary_key=True, autoincrement=False),
    Column("note", Text, nullable=False),
    Column("key_number", Integer, nullable=False),
    Column("made_at", UtcTime, nullable=False),
    Column("stored_at", UtcTime),
    Column("failure", String(1000)),
)
"""Signed checkpoints; one without ``stored_at`` is yet to be written to the second store."""

audit_subject = Table(
    "mall_audit_subject",
    metadata,
    Column("pseudonym", String(40), primary_key=True),
    Column("lookup", String(64), index=True),
    Column("key_number", Integer, nullable=False),
    Column("wrapped", String(200)),
    Column("ref", Text),
    Column("made_at", UtcTime, nullable=False),
    Column("erased_at", UtcTime, index=True),
)
"""Who a pseudonym stands for: ``ref`` under the subject's key, which is ``wrapped``; both go at erasure."""

audit_line = Table("mall_audit_line", metadata, Column("digest", String(64), primary_key=True))
"""The lines of edge logs that were taken in."""
