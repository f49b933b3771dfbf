"""Direct uploads: a ticket lets a browser send one content straight to the store; then the upload is finished.

Where the store signs requests, the ticket leads to it, under a key that nothing is ever served from. Where it can't
(files, memory), the ticket leads to the mall, which holds whoever comes to the very same: once, in time, this size,
this type, this digest. What has arrived is believed only when `finish_direct` has read it.
"""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Annotated, Any, NamedTuple

from pydantic import Field
from sqlalchemy import select, update

from mallcore.attachments.model.shapes import Content, FileName, MediaType, Meta, OwnerRef, Sha256, SlotName, Staged
from mallcore.attachments.model.shapes import UnitRef as Unit
from mallcore.attachments.model.tables import upload as uploads
from mallcore.attachments.model.tables import upload_part
from mallcore.attachments.model.uploads import Method, Seconds, Size, Ticket, UploadRef
from mallcore.attachments.operations.arriving import Arrived, arrived
from mallcore.attachments.operations.edges import Addresses
from mallcore.attachments.operations.finishing import (
    Begun,
    begin,
    finished,
    refuse_writing,
    sources,
    staged,
    staged_meanwhile,
    upload_row,
)
from mallcore.attachments.operations.happened import LinkDenied
from mallcore.attachments.operations.owners import of_owner, of_upload, owner_of
from mallcore.attachments.operations.policies import Slots
from mallcore.attachments.operations.received import TicketMade, TicketUsed
from mallcore.attachments.operations.staging import Intended
from mallcore.attachments.rules.names import checked_file_name
from mallcore.attachments.rules.tokens import Claims, opened, refusal, signed
from mallcore.attachments.rules.uploading import checked_meta, refuse_other_type, terms
from mallcore.errors import (
    ContentMismatch,
    ContentRefused,
    InvalidInput,
    LimitExceeded,
    LinkRefused,
    NotFound,
    ObjectExists,
    ObjectMissing,
    StageFirst,
    StoreDenied,
    StoreUnavailable,
    UnknownKey,
    UnknownSlot,
    UnknownUpload,
    UploadClosed,
    WrongOffset,
)
from mallcore.kernel.context import Context
from mallcore.kernel.keys import Key, Keyring
from mallcore.kernel.objects import Signed, Stores
from mallcore.kernel.operations import Rest, operation
from mallcore.kernel.recording import deciding, record_now

KIND = PURPOSE = "direct"
FINISH_WITHIN = timedelta(hours=1)  # after its ticket has expired
TicketText = Annotated[str, Field(max_length=2048, description="What the ticket's URL holds.", repr=False)]


class Admitted(NamedTuple):
    """A ticket that holds: its upload, and the part that it may bring."""

    row: Any
    part: Any


@operation(permission="attachments.write", subject=of_owner,
           errors=(InvalidInput, LimitExceeded, StageFirst, StoreDenied, StoreUnavailable, UnknownSlot),
           rest=Rest("POST", "/uploads/direct", 201))  # fmt: skip
def begin_direct(
    ctx: Context,
    *,
    owner: OwnerRef,
    file_name: FileName,
    size: Size,
    slot: SlotName = "file",
    unit: Unit = None,
    sha256: Sha256 = None,
    declared_type: MediaType = None,
    form: bool = False,
    seconds: Seconds = 900,
    meta: Meta = None,
) -> Ticket:
    """A ticket with which a browser, say, sends one file straight to the store; with ``form`` by an HTML form.

    The upload is on record before the ticket goes out. Give the ticket to whoever has the file, and call
    `finish_direct` when that has sent it.
    """
    about, policy = owner_of(ctx, owner, unit), ctx.port(Slots)[slot]
    intended = Intended(KIND, about, policy, checked_file_name(file_name), declared_type, checked_meta(meta))
    begun = begin(ctx, intended, size, sha256, timedelta(seconds=seconds) + FINISH_WITHIN, whole=True)
    row = begun.row
    found = _by_store(ctx, begun, form, seconds) or _by_mall(ctx, begun, form, seconds)
    details = {"size": size, "method": found.method, "store": row.store, "expires": found.expires.isoformat()}
    record_now(ctx, TicketMade(subject=row.id, unit_id=row.unit_id, channel_id=row.channel_id, details=details))
    return Ticket(
        upload=row.id,
        method="POST" if form else "PUT",
        url=found.url,
        headers=dict(found.headers),
        fields=dict(found.fields),
        expires=found.expires,
    )


@operation(permission=None,
           errors=(ContentMismatch, LimitExceeded, LinkRefused, StageFirst, StoreUnavailable),
           rest=Rest("PUT", "/uploads/{upload}/content", 204, raw="content", streamed=True, posted=True))  # fmt: skip
def receive_direct(
    ctx: Context,
    *,
    upload: UploadRef,
    ticket: TicketText,
    content: Content,
    method: Method = "PUT",
    content_type: MediaType = None,
) -> None:
    """Take what a bearer of one of the mall's own tickets sends. All of it, and just what was announced, or nothing.

    Raises `LinkRefused`, whose ``reason`` is one of: too-long, forged, unknown-key, wrong-method, wrong-purpose,
    not-yet-valid, expired, foreign, gone, used. Whoever comes, with what result, is on record before a byte is read.
    """
    refuse_writing(ctx)
    with deciding(ctx) as own:
        found = _decided(own, upload, ticket, method)
    if isinstance(found, LinkRefused):
        raise found
    row = found.row
    refuse_other_type(row.declared_type, content_type)
    with arrived(content, row.size, "the size of the upload in bytes") as part:
        _refuse_other(row, part)
        _kept(ctx, found, part)


@operation(permission="attachments.write", subject=of_upload,
           errors=(ContentMismatch, ContentRefused, LimitExceeded, StageFirst, StoreUnavailable, UnknownUpload,
                   UploadClosed, WrongOffset),
           rest=Rest("POST", "/uploads/direct/{upload}/finish"))  # fmt: skip
def finish_direct(ctx: Context, *, upload: UploadRef) -> Staged:
    """Take what was sent with a ticket, to be attached with the upload's id within the hour; once more is harmless.

    It is read, counted, hashed and looked into: what its sender says of it is never believed. Content that is not
    what was announced, or that the slot does not take, ends the upload. `WrongOffset`: nothing has arrived yet.
    """
    row = upload_row(ctx, upload, KIND)
    if row.state == "staged":
        return staged(ctx, row)
    (part,) = sources(ctx, upload, "writing", "written")
    try:
        ctx.port(Stores)[part.store].stat(part.object_key)
    except ObjectMissing:
        return staged_meanwhile(ctx, row, WrongOffset(actual=0, given=row.size))
    return finished(ctx, row, [part])


def _by_store(ctx: Context, begun: Begun, form: bool, seconds: int) -> Signed | None:
    """A request to the store itself, where it signs such."""
    row = begun.row
    store, kind = ctx.port(Stores)[row.store], row.declared_type
    if form:
        if not store.capabilities.presign_post:
            return None
        return store.sign_post(begun.key, seconds=seconds, max_size=row.size, content_type=kind)
    if not store.capabilities.presign_put:
        return None
    return store.sign_put(begun.key, seconds=seconds, size=row.size, sha256=row.digest, content_type=kind)


def _by_mall(ctx: Context, begun: Begun, form: bool, seconds: int) -> Signed:
    """A request to the mall, bound to the same."""
    row = begun.row
    method, start = "POST" if form else "PUT", int(ctx.now().timestamp())
    key = ctx.port(Keyring).current("links")
    claims = Claims(
        method=method,
        purpose=PURPOSE,
        version=row.id,
        jti=secrets.token_hex(16),
        not_before=start,
        expires=start + seconds,
        recipe=terms(method, row.size, row.digest, row.declared_type, begun.key),
        once=True,
    )
    token = signed(claims, key.number, _ticket_key(key))
    headers = {} if form else {"content-length": str(row.size)}
    if row.declared_type is not None and not form:
        headers["content-type"] = row.declared_type
    url = f"{ctx.port(Addresses).url}/uploads/{row.id}/content?ticket={token}"
    return Signed(
        method=method, url=url, headers=headers, expires=datetime.fromtimestamp(claims.expires, row.created_at.tzinfo)
    )


@lru_cache(maxsize=64)
def _ticket_key(key: Key) -> bytes:
    return key.derive(PURPOSE)


def _decided(ctx: Context, upload: str, ticket: str, method: str) -> Admitted | LinkRefused:
    """What becomes of a ticket now; on record with it, within `deciding`."""
    try:
        claims = opened(ticket, lambda number: _key(ctx, number))
        found = _admitted(ctx, upload, claims, method)
    except LinkRefused as refused:
        _denied(ctx, str(refused.details["reason"]))
        return refused
    row = found.row
    details = {"jti": claims.jti, "size": row.size}
    ctx.record(TicketUsed(subject=row.id, unit_id=row.unit_id, channel_id=row.channel_id, details=details))
    return found


def _key(ctx: Context, number: int) -> bytes | None:
    try:
        return _ticket_key(ctx.port(Keyring).find("links", number))
    except UnknownKey:
        return None


def _admitted(ctx: Context, upload: str, claims: Claims, method: str) -> Admitted:
    """The upload of a genuine ticket; `LinkRefused` unless it allows this now."""
    reason = refusal(claims, ctx.now().timestamp(), method, PURPOSE)
    if reason is None and claims.version != upload:
        reason = "foreign"
    if reason is not None:
        raise LinkRefused(reason=reason)
    try:
        row = upload_row(ctx, upload, KIND)
    except (NotFound, UploadClosed):
        raise LinkRefused(reason="gone") from None
    part = ctx.execute(select(upload_part).where(upload_part.c.upload_id == upload)).one_or_none()
    if part is None or part.state != "writing":
        raise LinkRefused(reason="used")
    if claims.recipe != terms(method, row.size, row.digest, row.declared_type, part.object_key):
        raise LinkRefused(reason="foreign")
    return Admitted(row, part)


def _denied(ctx: Context, reason: str) -> None:
    """The refusal as an event; what a forged ticket says is not repeated."""
    about: dict[str, Any] = {"operation": ctx.operation, "permission": "attachments.write"}
    ctx.record(LinkDenied(subject="ticket", principal=ctx.principal.ref, reason=reason, **about))


def _refuse_other(row: Any, part: Arrived) -> None:
    """Raise unless it is what the ticket was made for; of content that was cut, whatever cut it."""
    for what, expected, actual in (("size", row.size, part.size), ("SHA-256", row.digest, part.digest)):
        if expected is not None and expected != actual:
            raise ContentMismatch(what=what, expected=expected, actual=actual) from part.cut


def _kept(ctx: Context, found: Admitted, part: Arrived) -> None:
    """The bytes under their key, which is free until somebody has used the ticket."""
    row = found.row
    store = ctx.port(Stores)[row.store]
    try:
        store.put_new(
            found.part.object_key, part.file, size=part.size, sha256=part.digest, content_type=row.declared_type
        )
    except ObjectExists:
        with deciding(ctx) as own:
            _denied(own, "used")
        raise LinkRefused(reason="used") from None
    with ctx.apart() as own:
        mine = (upload_part.c.upload_id == row.id, upload_part.c.state == "writing")
        own.execute(update(upload_part).where(*mine).values(state="written", size=part.size))
        own.execute(update(uploads).where(uploads.c.id == row.id, uploads.c.state == "open").values(received=part.size))
