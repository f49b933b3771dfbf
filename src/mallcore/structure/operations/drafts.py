"""Drafts: edits kept aside, previewed, published as one revision, now or at a set time; or discarded."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Annotated, Any, ClassVar

from pydantic import Field
from sqlalchemy import insert, select, tuple_, update

from mallcore.errors import (
    ChannelRemoved,
    DraftClosed,
    EditConflict,
    InvalidInput,
    LimitExceeded,
    NothingToDo,
    StaleRevision,
    UnknownDraft,
)
from mallcore.kernel.context import Context
from mallcore.kernel.events import Event
from mallcore.kernel.ids import new_id
from mallcore.kernel.operations import Rest, operation
from mallcore.kernel.paging import Cursor, Limit, Page, decode, page
from mallcore.structure.model.inputs import Edits
from mallcore.structure.model.shapes import (
    Applied,
    ChannelRef,
    Depth,
    Draft,
    ExpectedRevision,
    IdempotencyKey,
    Locale,
    Message,
    Preview,
    TreeShape,
)
from mallcore.structure.model.tables import draft as draft_table
from mallcore.structure.operations.history import Settle, clash_shapes, difference, refuse_clashes
from mallcore.structure.operations.nodes import applied_fields
from mallcore.structure.operations.reading import TreeView
from mallcore.structure.operations.resolving import resolved
from mallcore.structure.operations.revising import Outcome, revise
from mallcore.structure.operations.scopes import of_channel, of_draft
from mallcore.structure.operations.trees import Known, at_revision, head, known, refuse_removed
from mallcore.structure.rules.apply import apply
from mallcore.structure.rules.edits import Edit, edits_from_json
from mallcore.structure.rules.history import canonical_edits
from mallcore.structure.rules.merge import Merge, merge
from mallcore.structure.rules.nodes import checked_name
from mallcore.structure.rules.tree import Tree

DRAFT, PUBLISH = "structure.draft", "structure.publish"
DraftId = Annotated[str, Field(max_length=40, description="A draft's id.")]
_MAX_EDITS = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class DraftChanged(Event):
    """A draft was opened, edited, published or discarded; ``after`` says which."""

    name: ClassVar[str] = "structure.draft_changed"


@operation(permission=DRAFT, kind="command", subject=of_channel, errors=(ChannelRemoved, InvalidInput),
           rest=Rest("POST", "/channels/{channel}/drafts", 201))  # fmt: skip
def open_draft(
    ctx: Context,
    *,
    channel: ChannelRef,
    name: Annotated[str, Field(max_length=100_000)],
    idempotency_key: IdempotencyKey = None,
) -> Draft:
    """Open a draft on the channel's head: a place for edits that nobody sees until they are published.

    >>> open_draft(ctx, channel="books", name="Christmas").base
    2
    """
    found = known(ctx, channel)
    refuse_removed(ctx, found)
    now = ctx.now()
    row: dict[str, Any] = {
        "id": new_id("drf"),
        "channel_id": found.id,
        "name": checked_name(name),
        "author": ctx.principal.ref,
        "base": head(ctx, found.id).revision,
        "edits": "[]",
        "state": "open",
        "version": 1,
        "created_at": now,
        "changed_at": now,
    }
    ctx.execute(insert(draft_table), row)
    _tell(ctx, found, row["id"], None, "open")
    return _shape(draft_row(ctx, row["id"]))


@operation(permission=DRAFT, subject=of_channel, rest=Rest("GET", "/channels/{channel}/drafts"))
def list_drafts(
    ctx: Context,
    *,
    channel: ChannelRef,
    state: Annotated[str | None, Field(pattern="^(open|published|discarded)$")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[Draft]:
    """The drafts of a channel, newest first."""
    query = select(draft_table).where(draft_table.c.channel_id == known(ctx, channel).id)
    if state is not None:
        query = query.where(draft_table.c.state == state)
    if cursor is not None:
        query = query.where(tuple_(draft_table.c.id) < decode(cursor, str))
    rows = ctx.execute(query.order_by(draft_table.c.id.desc()).limit(limit + 1)).all()
    return page(rows, limit, _shape, lambda row: (row.id,))


@operation(permission=DRAFT, subject=of_draft, errors=(UnknownDraft,), rest=Rest("GET", "/drafts/{draft}"))
def get_draft(ctx: Context, *, draft: DraftId) -> Draft:
    """One draft."""
    return _shape(draft_row(ctx, draft))


@operation(permission=DRAFT, kind="command", subject=of_draft,
           errors=(UnknownDraft, DraftClosed, StaleRevision, InvalidInput, LimitExceeded),
           rest=Rest("POST", "/drafts/{draft}/edits"))  # fmt: skip
def edit_draft(
    ctx: Context,
    *,
    draft: DraftId,
    edits: Edits,
    expected_revision: ExpectedRevision = None,
    idempotency_key: IdempotencyKey = None,
) -> Draft:
    """Add edits to a draft; they must apply to what it holds. ``expected_revision`` is the draft's version here.

    >>> draft = open_draft(ctx, channel="books", name="Christmas").id
    >>> edit_draft(ctx, draft=draft, edits=[UpdateNode(node="fiction", name="Gifts")]).version
    2
    """
    row, found = opened(ctx, draft, expected_revision)
    refuse_removed(ctx, found)
    kept = edits_from_json(json.loads(row.edits))
    tree = apply(at_revision(ctx, found.id, row.base), kept)
    fresh = resolved(tree, edits, {})
    apply(tree, fresh)
    if len(kept) + len(fresh) > _MAX_EDITS:
        raise LimitExceeded(what="the number of edits in a draft", actual=len(kept) + len(fresh), limit=_MAX_EDITS)
    _store(ctx, row, edits=canonical_edits((*kept, *fresh)))
    _tell(ctx, found, row.id, {"edits": len(kept)}, "edited")
    return _shape(draft_row(ctx, draft))


@operation(permission=DRAFT, subject=of_draft, errors=(UnknownDraft,), rest=Rest("GET", "/drafts/{draft}/preview"))
def preview_draft(ctx: Context, *, draft: DraftId) -> Preview:
    """What publishing would do now: the difference to the head, or the clashes that stand in its way.

    >>> draft = open_draft(ctx, channel="books", name="Christmas").id
    >>> edit_draft(ctx, draft=draft, edits=[UpdateNode(node="fiction", name="Gifts")]).edits
    1
    >>> print(preview_draft(ctx, draft=draft).difference.text)
    ~ fiction  "Fiction" -> "Gifts"
    """
    row, found, current, merged = _merged(ctx, draft)
    if merged.clashes:
        shown = difference(found, at_revision(ctx, found.id, row.base), _own_tree(ctx, found, row))
    else:
        shown = difference(found, current, _preview_tree(current, merged))
    return Preview(draft=row.id, onto=current.revision, clashes=clash_shapes(merged.clashes), difference=shown)


@operation(permission=DRAFT, subject=of_draft, errors=(UnknownDraft, EditConflict), output=TreeShape,
           rest=Rest("GET", "/drafts/{draft}/tree"))  # fmt: skip
def preview_tree(ctx: Context, *, draft: DraftId, depth: Depth = None, locale: Locale = None) -> TreeView:
    """The tree as it would be after publishing now; when there are clashes, the draft's base with its own edits."""
    row, found, current, merged = _merged(ctx, draft)
    shown = _own_tree(ctx, found, row) if merged.clashes else _preview_tree(current, merged)
    # A digest of its own: what is no revision must not share a revision's entity tag.
    digest = sha256(f"{row.id}.{row.version}.{current.digest}".encode()).hexdigest()
    return TreeView(shown.as_revision(current.revision, digest, current.at), found.id, depth, locale)


def _preview_tree(current: Tree, merged: Merge) -> Tree:
    return apply(current, [merged.edit])


def _merged(ctx: Context, draft: str) -> tuple[Any, Known, Tree, Merge]:
    row = draft_row(ctx, draft)
    found = known(ctx, row.channel_id)
    current = head(ctx, found.id)
    base = at_revision(ctx, found.id, row.base)
    return row, found, current, merge(base, _own_tree(ctx, found, row), current)


def _own_tree(ctx: Context, found: Known, row: Any) -> Tree:
    return apply(at_revision(ctx, found.id, row.base), edits_from_json(json.loads(row.edits)))


@operation(permission=PUBLISH, kind="command", subject=of_draft,
           errors=(UnknownDraft, DraftClosed, EditConflict, NothingToDo, StaleRevision, ChannelRemoved),
           rest=Rest("POST", "/drafts/{draft}/publish"))  # fmt: skip
def publish_draft(
    ctx: Context,
    *,
    draft: DraftId,
    settle: Settle = None,
    message: Message = "",
    expected_head: ExpectedRevision = None,
    expected_revision: ExpectedRevision = None,
    idempotency_key: IdempotencyKey = None,
) -> Applied:
    """Publish a draft as one revision. What the head changed since is kept; clashes are reported, never overwritten.

    ``expected_revision`` is the draft's version, as in every call on a draft; ``expected_head`` is the channel's.

    >>> draft = open_draft(ctx, channel="books", name="Christmas").id
    >>> edit_draft(ctx, draft=draft, edits=[UpdateNode(node="fiction", name="Gifts")]).state
    'open'
    >>> publish_draft(ctx, draft=draft).revision
    3
    """
    row, found = opened(ctx, draft, expected_revision)
    outcome = published(ctx, found, row, settle, message, expected_head)
    return Applied(**applied_fields(found, outcome))


def published(ctx: Context, found: Known, row: Any, settle: Any, message: str, expected: int | None) -> Outcome:
    """Make the revision of an open draft, and close it."""
    own = edits_from_json(json.loads(row.edits))
    base = at_revision(ctx, found.id, row.base)
    ours = apply(base, own)

    def plan(tree: Tree) -> Sequence[Edit]:
        if tree.revision == row.base:
            return own
        merged = merge(base, ours, tree, settle)
        refuse_clashes(merged.clashes)
        return [merged.edit]

    text = message or f"Publish draft: {row.name}"
    outcome = revise(ctx, found, plan, permission=PUBLISH, message=text, expected_revision=expected)
    if not outcome.changes:
        opened(ctx, row.id, None)  # it was published while we waited, so it is closed, and not empty
        raise NothingToDo("The draft changes nothing, so there is nothing to publish.", draft=row.id)
    _store(ctx, row, state="published", revision=outcome.tree.revision)
    _tell(ctx, found, row.id, {"state": "open"}, "published", outcome.tree.revision)
    return outcome


@operation(permission=DRAFT, kind="command", subject=of_draft, errors=(UnknownDraft, DraftClosed, StaleRevision),
           rest=Rest("DELETE", "/drafts/{draft}"))  # fmt: skip
def discard_draft(
    ctx: Context, *, draft: DraftId, expected_revision: ExpectedRevision = None, idempotency_key: IdempotencyKey = None
) -> Draft:
    """Give up a draft; its edits stay on record, but can't be published any more."""
    row, found = opened(ctx, draft, expected_revision)
    _store(ctx, row, state="discarded")
    _tell(ctx, found, row.id, {"state": "open"}, "discarded")
    return _shape(draft_row(ctx, draft))


def draft_row(ctx: Context, draft: str) -> Any:
    """A draft's row; `UnknownDraft` when there is none."""
    row = ctx.execute(select(draft_table).where(draft_table.c.id == draft)).one_or_none()
    if row is None:
        raise UnknownDraft(draft=draft)
    return row


def opened(ctx: Context, draft: str, expected: int | None) -> tuple[Any, Known]:
    """An open draft's row and its channel; `DraftClosed` when it is open no more."""
    row = draft_row(ctx, draft)
    if row.state != "open":
        raise DraftClosed(draft=draft, state=row.state)
    if expected is not None and expected != row.version:
        raise StaleRevision(expected=expected, actual=row.version)
    return row, known(ctx, row.channel_id)


def _store(ctx: Context, row: Any, **values: Any) -> None:
    """Write a new version of a draft, unless another did since it was read."""
    mine = (draft_table.c.id == row.id, draft_table.c.version == row.version)
    changed = update(draft_table).where(*mine).values(version=row.version + 1, changed_at=ctx.now(), **values)
    if ctx.execute(changed).rowcount != 1:
        raise StaleRevision(expected=row.version, actual=draft_row(ctx, row.id).version)


def _tell(ctx: Context, found: Known, draft: str, before: Any, state: str, number: int | None = None) -> None:
    ctx.record(
        DraftChanged(
            subject=draft,
            unit_id=found.unit_id,
            channel_id=found.id,
            revision=number,
            before=before,
            after={"state": state},
        )
    )


def _shape(row: Any) -> Draft:
    values = dict(row._mapping)
    values["channel"] = values.pop("channel_id")
    values["edits"] = len(json.loads(values["edits"]))
    return Draft(**values)
