"""Units and channels: creating, listing, settings, removing and restoring."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from pydantic import Field
from sqlalchemy import Select, insert, or_, select, tuple_, update
from sqlalchemy.exc import IntegrityError

from mallcore.errors import AlreadyExists, ChannelRemoved, InvalidInput, LimitExceeded, StaleRevision
from mallcore.kernel.context import Context
from mallcore.kernel.events import Event
from mallcore.kernel.ids import is_id, new_id
from mallcore.kernel.operations import Rest, anywhere, operation
from mallcore.kernel.paging import Cursor, Limit, Page, decode, page
from mallcore.kernel.reaching import seen
from mallcore.structure.model import tables
from mallcore.structure.model.shapes import (
    Attributes,
    Channel,
    ChannelRef,
    ExpectedRevision,
    IdempotencyKey,
    Locale,
    Message,
    MinRevision,
    Name,
    Slug,
    Translations,
    Unit,
    plain,
)
from mallcore.structure.model.tables import channel, revision, unit
from mallcore.structure.operations.revising import revise
from mallcore.structure.operations.scopes import of_channel, of_unit, unit_row
from mallcore.structure.operations.trees import TOPIC, Known, Trees, head, known
from mallcore.structure.operations.writing import write_nodes
from mallcore.structure.rules.edits import Create, Edit, Rename, SetAttributes
from mallcore.structure.rules.history import canonical_edits, digest
from mallcore.structure.rules.nodes import (
    Node,
    checked_attributes,
    checked_locale,
    checked_name,
    checked_slug,
    checked_translations,
)
from mallcore.structure.rules.tree import Tree

UnitRef = Annotated[
    str | None, Field(max_length=100, description="A unit's id or slug; may be left out when there is one.")
]
Currency = Annotated[str, Field(pattern=r"^[A-Z]{3}$", description="ISO 4217 code.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitCreated(Event):
    """A unit was created."""

    name: ClassVar[str] = "structure.unit_created"


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitChanged(Event):
    """A unit's name changed."""

    name: ClassVar[str] = "structure.unit_changed"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelCreated(Event):
    """A channel was created."""

    name: ClassVar[str] = "structure.channel_created"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelGone(Event):
    """A channel was removed; its history stays."""

    name: ClassVar[str] = "structure.channel_removed"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelRestored(Event):
    """A removed channel is back."""

    name: ClassVar[str] = "structure.channel_restored"


@operation(permission="structure.units", kind="command", errors=(AlreadyExists, InvalidInput, LimitExceeded),
           rest=Rest("POST", "/units", 201))  # fmt: skip
def create_unit(ctx: Context, *, slug: Slug, name: Name, idempotency_key: IdempotencyKey = None) -> Unit:
    """Create a business unit (a tenant)."""
    row: dict[str, Any] = {
        "id": new_id("unt"),
        "slug": checked_slug(slug),
        "name": checked_name(name),
        "version": 1,
        "created_at": ctx.now(),
    }
    if ctx.execute(select(unit.c.id).where(unit.c.slug == row["slug"])).first():
        raise AlreadyExists(what="unit", name=slug)
    _insert(ctx, unit, row, "unit")
    ctx.record(UnitCreated(subject=row["id"], unit_id=row["id"], after={"slug": slug, "name": row["name"]}))
    return Unit(**row)


@operation(permission="structure.read", subject=anywhere, rest=Rest("GET", "/units"))
def list_units(ctx: Context, *, limit: Limit = 50, cursor: Cursor = None) -> Page[Unit]:
    """The units the caller may see, by slug."""
    query = select(unit).order_by(unit.c.slug).limit(limit + 1)
    reach = ctx.reach("structure.read")
    if not reach.everywhere:
        around = select(channel.c.unit_id).where(seen(reach, channel.c.unit_id, channel.c.id))
        query = query.where(or_(seen(reach, unit.c.id), unit.c.id.in_(around)))
    if cursor is not None:
        query = query.where(unit.c.slug > decode(cursor, str)[0])
    return page(ctx.execute(query).all(), limit, _unit, lambda row: (row.slug,))


@operation(permission="structure.read", subject=of_unit, rest=Rest("GET", "/units/{unit}"))
def get_unit(ctx: Context, *, unit: Annotated[str, Field(max_length=100)]) -> Unit:
    """One unit, by id or slug."""
    return _unit(unit_row(ctx, unit))


@operation(permission="structure.units", kind="command", subject=of_unit, errors=(StaleRevision, InvalidInput),
           rest=Rest("PATCH", "/units/{unit}"))  # fmt: skip
def update_unit(
    ctx: Context,
    *,
    unit: Annotated[str, Field(max_length=100)],
    name: Name,
    expected_revision: ExpectedRevision = None,
    idempotency_key: IdempotencyKey = None,
) -> Unit:
    """Rename a unit. Its ``version`` is what ``expected_revision`` is compared with."""
    row = unit_row(ctx, unit)
    if expected_revision is not None and expected_revision != row.version:
        raise StaleRevision(expected=expected_revision, actual=row.version)
    values = {"name": checked_name(name), "version": row.version + 1}
    _store_unit(ctx, row, values)
    ctx.record(UnitChanged(subject=row.id, unit_id=row.id, before={"name": row.name}, after={"name": values["name"]}))
    return _unit(unit_row(ctx, row.id))


def _store_unit(ctx: Context, row: Any, values: dict[str, Any]) -> None:
    mine = (unit.c.id == row.id, unit.c.version == row.version)
    if ctx.execute(update(unit).where(*mine).values(**values)).rowcount != 1:
        raise StaleRevision(expected=row.version, actual=unit_row(ctx, row.id).version)


@operation(permission="structure.channels", kind="command", subject=of_unit,
           errors=(AlreadyExists, InvalidInput, LimitExceeded), rest=Rest("POST", "/channels", 201))  # fmt: skip
def create_channel(
    ctx: Context,
    *,
    slug: Slug,
    name: Name,
    unit: UnitRef = None,
    locale: Annotated[str, Field(max_length=35)] = "en",
    currency: Currency = "EUR",
    translations: Translations = None,
    settings: Attributes = None,
    message: Message = "",
    idempotency_key: IdempotencyKey = None,
) -> Channel:
    """Create a channel: a storefront with a tree of its own, empty at revision 0.

    >>> create_channel(ctx, slug="toys", name="Toys", currency="SEK").revision
    0
    """
    owner = unit_row(ctx, unit)
    if is_id(slug, "chn"):
        raise InvalidInput(field="slug", reason="it has the form of a channel's id")
    taken = select(channel.c.id).where(channel.c.unit_id == owner.id, channel.c.slug == checked_slug(slug))
    if ctx.execute(taken).first():
        raise AlreadyExists(what="channel", name=slug)
    root = Node(
        id=new_id("chn"),
        kind="channel",
        parent_id=None,
        position=0,
        slug=slug,
        name=checked_name(name),
        translations=checked_translations(translations or {}),
        attributes=checked_attributes(
            {"locale": checked_locale(locale), "currency": currency, **({"settings": settings} if settings else {})}
        ),
    )
    _begin(ctx, owner, root, message)
    return _channel(ctx, root.id)


def _begin(ctx: Context, owner: Any, root: Node, message: str) -> None:
    """Write a channel's row, its revision 0 and its root; other processes learn its name."""
    at, edits = ctx.now(), canonical_edits([Create(root)])
    chained = digest("", 0, ctx.principal.ref, message, at, edits)
    row = {
        "id": root.id,
        "unit_id": owner.id,
        "slug": root.slug,
        "name": root.name,
        "locale": root.attributes["locale"],
        "currency": root.attributes["currency"],
        "head": 0,
        "digest": chained,
        "created_at": at,
        "revised_at": at,
    }
    _insert(ctx, channel, row, "channel")
    ctx.backend.create_partitions(ctx.connection, ("mall_revision", "mall_node"), root.id)
    genesis = {"channel_id": root.id, "number": 0, "author": ctx.principal.ref, "message": message, "at": at}
    ctx.execute(insert(revision), {**genesis, "edits": edits, "digest": chained})
    write_nodes(ctx, root.id, 0, [root])
    ctx.work.local[root.id] = Tree.of(root.id, [root], 0, chained, at)
    ctx.work.on_rollback(lambda: ctx.work.local.pop(root.id, None) and None)
    ctx.record(
        ChannelCreated(subject=root.id, unit_id=owner.id, channel_id=root.id, revision=0, after={"slug": root.slug})
    )
    _tell_names(ctx, root.id, root.slug)


def _tell_names(ctx: Context, channel_id: str, slug: str) -> None:
    trees = ctx.port(Trees)
    ctx.work.on_commit(lambda: trees.forget_names(channel_id, slug))
    ctx.backend.announce(ctx.connection, f"{TOPIC} {channel_id}:*{slug}")


def _insert(ctx: Context, table: Any, row: dict[str, Any], what: str) -> None:
    try:
        ctx.execute(insert(table), row)
    except IntegrityError:
        # Another transaction was faster than our look. The transaction is lost, the answer is not.
        raise AlreadyExists(what=what, name=row["slug"]) from None


@operation(permission="structure.read", subject=anywhere, rest=Rest("GET", "/channels"))
def list_channels(
    ctx: Context, *, unit: UnitRef = None, removed: bool = False, limit: Limit = 50, cursor: Cursor = None
) -> Page[Channel]:
    """The channels the caller may see, by unit and slug; ``removed`` lists those that were removed instead."""
    query = _visible(ctx).where(channel.c.removed_at.is_not(None) if removed else channel.c.removed_at.is_(None))
    if unit is not None:
        named = tables.unit.c.id == unit if is_id(unit, "unt") else tables.unit.c.slug == unit
        query = query.where(channel.c.unit_id.in_(select(tables.unit.c.id).where(named)))
    key = (channel.c.unit_id, channel.c.slug)
    if cursor is not None:
        query = query.where(tuple_(*key) > decode(cursor, str, str))
    rows = ctx.execute(query.order_by(*key).limit(limit + 1)).all()
    return page(rows, limit, _brief, lambda row: (row.unit_id, row.slug))


def _visible(ctx: Context) -> Select[*tuple[Any, ...]]:
    reach = ctx.reach("structure.read")
    return select(channel).where(seen(reach, channel.c.unit_id, channel.c.id))


@operation(permission="structure.read", subject=of_channel, rest=Rest("GET", "/channels/{channel}"))
def get_channel(ctx: Context, *, channel: ChannelRef, min_revision: MinRevision = None) -> Channel:
    """One channel with its settings."""
    found = known(ctx, channel)
    head(ctx, found.id, min_revision)
    return _channel(ctx, found.id)


@operation(permission="structure.channels", kind="command", subject=of_channel,
           errors=(StaleRevision, ChannelRemoved, InvalidInput), rest=Rest("PATCH", "/channels/{channel}"))  # fmt: skip
def update_channel(
    ctx: Context,
    *,
    channel: ChannelRef,
    name: Name | None = None,
    translations: Translations = None,
    locale: Locale = None,
    currency: Currency | None = None,
    settings: Attributes = None,
    message: Message = "",
    expected_revision: ExpectedRevision = None,
    idempotency_key: IdempotencyKey = None,
) -> Channel:
    """Change a channel's name or settings, as a revision like any other; in ``settings``, ``null`` removes a key.

    >>> update_channel(ctx, channel="books", settings={"page_size": 24}).revision
    3
    """
    found = known(ctx, channel)
    if locale is not None:
        checked_locale(locale)

    def plan(tree: Tree) -> list[Edit]:
        changed: dict[str, Any] = {key: value for key, value in (("locale", locale), ("currency", currency)) if value}
        if settings is not None:
            merged = {**plain(tree.root.attributes.get("settings", {})), **settings}
            changed["settings"] = {key: value for key, value in merged.items() if value is not None} or None
        return [Rename(found.id, name, None, translations), SetAttributes(found.id, changed)]

    revise(ctx, found, plan, permission="structure.channels", message=message, expected_revision=expected_revision)
    return _channel(ctx, found.id)


@operation(permission="structure.channels", kind="command", subject=of_channel, errors=(StaleRevision, ChannelRemoved),
           rest=Rest("DELETE", "/channels/{channel}"))  # fmt: skip
def remove_channel(
    ctx: Context,
    *,
    channel: ChannelRef,
    expected_revision: ExpectedRevision = None,
    idempotency_key: IdempotencyKey = None,
) -> Channel:
    """Remove a channel: nothing can be changed in it until it is restored; its history stays readable."""
    found = known(ctx, channel)
    if not _set_removed(ctx, found, True, expected_revision):
        raise ChannelRemoved(channel=found.slug)
    ctx.record(ChannelGone(subject=found.id, unit_id=found.unit_id, channel_id=found.id, before={"slug": found.slug}))
    return _channel(ctx, found.id)


@operation(permission="structure.channels", kind="command", subject=of_channel, errors=(StaleRevision,),
           rest=Rest("POST", "/channels/{channel}/restore"))  # fmt: skip
def restore_channel(
    ctx: Context,
    *,
    channel: ChannelRef,
    expected_revision: ExpectedRevision = None,
    idempotency_key: IdempotencyKey = None,
) -> Channel:
    """Bring a removed channel back, as it was. A channel that was not removed stays as it is."""
    found = known(ctx, channel)
    if _set_removed(ctx, found, False, expected_revision):
        ctx.record(
            ChannelRestored(subject=found.id, unit_id=found.unit_id, channel_id=found.id, after={"slug": found.slug})
        )
    return _channel(ctx, found.id)


def _set_removed(ctx: Context, found: Known, removed: bool, expected: int | None) -> bool:
    """Remove or restore the channel; whether it was not so already, by the database's word."""
    query = select(channel.c.head, channel.c.removed_at).where(channel.c.id == found.id).with_for_update()
    row = ctx.execute(query).one()
    if expected is not None and row.head != expected:
        raise StaleRevision(expected=expected, actual=row.head)
    if (row.removed_at is not None) == removed:
        return False
    ctx.execute(update(channel).where(channel.c.id == found.id).values(removed_at=ctx.now() if removed else None))
    _tell_names(ctx, found.id, found.slug)
    return True


def _unit(row: Any) -> Unit:
    return Unit(**row._mapping)


def _channel(ctx: Context, channel_id: str) -> Channel:
    row = ctx.execute(select(channel).where(channel.c.id == channel_id)).one()
    root = head(ctx, channel_id).root
    extra = {"translations": dict(root.translations), "settings": plain(root.attributes.get("settings", {}))}
    return _brief(row).model_copy(update=extra)


def _brief(row: Any) -> Channel:
    values = dict(row._mapping)
    return Channel(revision=values.pop("head"), **values)
