"""Roles and grants: setting, giving, taking, listing; and the memory that access checks are answered from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sized
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from pydantic import Field
from sqlalchemy import Connection, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from mallcore.access.model import Bounds, Grant, Permission, Permissions, Role, access_grant, role
from mallcore.access.model.clients import client
from mallcore.access.operations.widening import refuse_wider
from mallcore.access.rules import (
    BUILT_IN,
    Held,
    Scope,
    allows,
    checked_permissions,
    checked_principal,
    checked_role,
    checked_scope,
)
from mallcore.errors import (
    AlreadyExists,
    Conflict,
    InvalidInput,
    StaleRevision,
    UnknownChannel,
    UnknownGrant,
    UnknownRole,
    UnknownUnit,
)
from mallcore.kernel.context import Context, Principal
from mallcore.kernel.events import Event
from mallcore.kernel.ids import new_id
from mallcore.kernel.operations import Catalogue, Rest, operation
from mallcore.kernel.paging import Cursor, Limit, Page, decode, page
from mallcore.kernel.ports import NOWHERE, Policy, Reach

TOPIC = "access"
RoleName = Annotated[str, Field(max_length=100)]
PrincipalRef = Annotated[str, Field(max_length=200, description="`user:…`, `client:…`, `plugin:…` or `anonymous:*`.")]
IdempotencyKey = Annotated[str | None, Field(min_length=1, max_length=200)]
Reference = Annotated[str | None, Field(max_length=7000)]
_MAX_CACHED = 100_000
EVERYBODY = "anonymous:*"  # what is granted to nobody in particular is granted to all


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleSet(Event):
    """A role was defined, changed or removed."""

    name: ClassVar[str] = "access.role_set"


@dataclass(frozen=True, slots=True, kw_only=True)
class GrantGiven(Event):
    """A principal was given a role."""

    name: ClassVar[str] = "access.grant_given"


@dataclass(frozen=True, slots=True, kw_only=True)
class GrantTaken(Event):
    """A grant was taken back."""

    name: ClassVar[str] = "access.grant_taken"


class Places:
    """Port: finds the ids behind the references of a grant's scope; the package that owns them fulfils it."""

    def unit(self, ctx: Context, reference: str) -> str:
        """A unit's id."""
        raise UnknownUnit(unit=reference)

    def node(self, ctx: Context, channel: str, reference: str | None) -> tuple[str, str, str]:
        """A unit's, channel's and node's ids (without a reference, the channel's root)."""
        raise UnknownChannel(channel=channel)


class HostPermissions:
    """Port: permissions that no operation asks for, but the host's own routes do."""

    def __init__(self, names: Iterable[str] = ()) -> None:
        self.names = frozenset(names)


class Grants(Policy):
    """The mall's own policy: grants of roles, in memory per principal, forgotten whenever one changes anywhere.

    ``told`` says whether this process hears of changes made by others; while it does not, nothing is kept.
    """

    def __init__(self, connect: Callable[[], AbstractContextManager[Connection]], told: Callable[[], bool]) -> None:
        self._connect = connect
        self._told = told
        self._reach: dict[tuple[str, str], Reach] = {}
        self._held: dict[str, list[Held]] = {}
        self._seen: tuple[Any, ...] = ()
        self.generation = 0

    def recall(self, principal: Principal, permission: str) -> Reach | None:
        """Where a principal holds a permission, if that is in memory, and others' changes are heard of."""
        return self._reach.get((principal.ref, permission)) if self._told() else None

    def reach(self, principal: Principal, permission: str) -> Reach:
        """Where a principal holds a permission."""
        key = (principal.ref, permission)
        known = self.recall(principal, permission)
        if known is None:
            generation = self.generation
            known = _reach(self._of(principal.ref), permission)
            # A change that came while we were reading must not be hidden by what we read.
            if generation == self.generation and self._keeps(self._reach):
                self._reach[key] = known
        return known

    def forget(self) -> None:
        """Read grants anew from here on."""
        self.generation += 1
        self._reach = {}
        self._held = {}

    def notice(self, seen: tuple[Any, ...]) -> None:
        """Forget, if what can be seen of roles and grants at a glance is not what it was."""
        if seen != self._seen:
            self._seen = seen
            self.forget()

    def _keeps(self, memory: Sized) -> bool:
        return self._told() and len(memory) < _MAX_CACHED

    def _of(self, ref: str) -> list[Held]:
        known = self._held.get(ref) if self._told() else None
        if known is None:
            generation = self.generation
            with self._connect() as connection:
                known = _held(connection, ref)
            if generation == self.generation and self._keeps(self._held):
                self._held[ref] = known
        return known


def look(ctx: Context) -> None:
    """See whether roles or grants changed: every change adds an id, takes a row away, or raises a version."""
    policy = ctx.services.policy
    if isinstance(policy, Grants):
        grants = select(func.count(), func.max(access_grant.c.id)).select_from(access_grant)
        roles = select(func.count(), func.sum(role.c.version)).select_from(role)
        clients = select(func.count(), func.sum(client.c.version)).select_from(client)
        policy.notice(tuple(seen for query in (grants, roles, clients) for seen in ctx.execute(query).one()))


def _held(connection: Connection, ref: str) -> list[Held]:
    query = select(access_grant.c.role, access_grant.c.scope, access_grant.c.scope_id, role.c.permissions)
    joined = query.join(role, role.c.name == access_grant.c.role, isouter=True)
    shut_out = select(client.c.id).where(client.c.id == ref.removeprefix("client:"), client.c.disabled_at.is_not(None))
    whose = {EVERYBODY} if ref.startswith("client:") and connection.execute(shut_out).first() else {ref, EVERYBODY}
    rows = connection.execute(joined.where(access_grant.c.principal.in_(whose)))
    return [Held(frozenset(BUILT_IN.get(row.role, row.permissions or ())), row.scope, row.scope_id) for row in rows]


def _reach(held: Iterable[Held], permission: str) -> Reach:
    found = [(one.scope, one.scope_id) for one in held if allows(one.permissions, permission)]
    if not found:
        return NOWHERE

    def ids(scope: str) -> frozenset[str]:
        return frozenset(id for kind, id in found if kind == scope and id is not None)

    return Reach(("mall", None) in found, ids("unit"), ids("channel"), ids("subtree"))


@operation(
    permission="access.manage", kind="command", errors=(InvalidInput, StaleRevision), rest=Rest("PUT", "/roles/{role}")
)
def set_role(
    ctx: Context,
    *,
    role: RoleName,
    permissions: Annotated[list[Annotated[str, Field(max_length=100)]], Field(max_length=200)],
    expected_revision: Annotated[int | None, Field(ge=0)] = None,
    idempotency_key: IdempotencyKey = None,
) -> Role:
    """Define a role, or change what it allows. ``*`` and ``structure.*`` stand for all and for all of a domain.

    >>> set_role(ctx, role="planner", permissions=["structure.draft", "structure.read"]).version
    1
    """
    wanted = checked_permissions(permissions, known_permissions(ctx))
    refuse_wider(ctx, wanted, "a role")
    before = _role_row(ctx, checked_role(role))
    version = 0 if before is None else before.version
    if expected_revision is not None and expected_revision != version:
        raise StaleRevision(expected=expected_revision, actual=version)
    _store_role(ctx, role, list(wanted), version)
    ctx.record(
        RoleSet(
            subject=role, before=before and {"permissions": before.permissions}, after={"permissions": list(wanted)}
        )
    )
    grants_changed(ctx)
    return Role(name=role, permissions=list(wanted), built_in=False, version=version + 1)


def _store_role(ctx: Context, name: str, permissions: list[str], version: int) -> None:
    values = {"permissions": permissions, "version": version + 1}
    if version == 0:
        try:
            ctx.execute(insert(role), {"name": name, **values})
        except IntegrityError:
            raise AlreadyExists(what="role", name=name) from None
    elif ctx.execute(update(role).where(role.c.name == name, role.c.version == version).values(**values)).rowcount != 1:
        raise StaleRevision(expected=version, actual=version + 1)


@operation(permission="access.read", rest=Rest("GET", "/roles"))
def list_roles(ctx: Context, *, limit: Limit = 50, cursor: Cursor = None) -> Page[Role]:
    """All roles by name, built-in ones among them."""
    own = ctx.execute(select(role)).all()
    roles = [Role(name=name, permissions=list(allowed), built_in=True) for name, allowed in BUILT_IN.items()]
    roles += [Role(name=row.name, permissions=row.permissions, built_in=False, version=row.version) for row in own]
    after = "" if cursor is None else decode(cursor, str)[0]
    shown = sorted((one for one in roles if one.name > after), key=lambda one: one.name)
    return page(shown[: limit + 1], limit, lambda one: one, lambda one: (one.name,))


@operation(
    permission="access.manage", kind="command", errors=(UnknownRole, Conflict), rest=Rest("DELETE", "/roles/{role}")
)
def remove_role(ctx: Context, *, role: RoleName, idempotency_key: IdempotencyKey = None) -> Role:
    """Remove a role that nobody holds."""
    row = _role_row(ctx, checked_role(role))
    if row is None:
        raise UnknownRole(role=role)
    if ctx.execute(select(access_grant.c.id).where(access_grant.c.role == role).limit(1)).first():
        raise Conflict(f"The role {role!r} is held by somebody: revoke those grants first.")
    _delete_role(ctx, role)
    ctx.record(RoleSet(subject=role, before={"permissions": row.permissions}))
    grants_changed(ctx)
    return Role(name=role, permissions=row.permissions, built_in=False, version=row.version)


def _delete_role(ctx: Context, name: str) -> None:
    ctx.execute(delete(role).where(role.c.name == name))


def _role_row(ctx: Context, name: str) -> Any:
    return ctx.execute(select(role).where(role.c.name == name)).one_or_none()


@operation(
    permission="access.manage", kind="command", errors=(UnknownRole, InvalidInput), rest=Rest("POST", "/grants", 201)
)
def grant(
    ctx: Context,
    *,
    principal: PrincipalRef,
    role: RoleName,
    scope: Scope = "mall",
    unit: Reference = None,
    channel: Reference = None,
    node: Reference = None,
    idempotency_key: IdempotencyKey = None,
) -> Grant:
    """Give a principal a role: in the whole mall, a unit, a channel, or a subtree. Giving twice gives once.

    >>> grant(ctx, principal="user:ada", role="editor", scope="channel", channel="books").scope
    'channel'
    """
    checked_principal(principal)
    checked_scope(scope, unit, channel, node)
    refuse_wider(ctx, _permissions(ctx, role), "a grant")
    unit_id, channel_id, scope_id = _place(ctx, scope, unit, channel, node)
    same = _same(principal, role, scope, scope_id)
    known = ctx.execute(select(access_grant).where(*same)).first()
    if known is not None:
        return _shown(known._mapping)
    row: dict[str, Any] = {
        "id": new_id("grt"), "principal": principal, "role": role, "scope": scope, "scope_id": scope_id,
        "channel_id": channel_id, "author": ctx.principal.ref, "at": ctx.now(),
    }  # fmt: skip
    ctx.execute(insert(access_grant), row)
    ctx.record(GrantGiven(subject=row["id"], unit_id=unit_id, channel_id=channel_id, after=_plain(row)))
    grants_changed(ctx)
    return _shown(row)


def _permissions(ctx: Context, role: str) -> Iterable[str]:
    """What a role allows; `UnknownRole` when there is none."""
    row = None if role in BUILT_IN else _role_row(ctx, role)
    if role not in BUILT_IN and row is None:
        raise UnknownRole(role=role)
    return BUILT_IN[role] if row is None else row.permissions


def _same(principal: str, role: str, scope: str, scope_id: str | None) -> tuple[Any, ...]:
    columns = access_grant.c
    there = columns.scope_id.is_(None) if scope_id is None else columns.scope_id == scope_id
    return (columns.principal == principal, columns.role == role, columns.scope == scope, there)


def _place(
    ctx: Context, scope: str, unit: str | None, channel: str | None, node: str | None
) -> tuple[str | None, str | None, str | None]:
    """The unit's, the channel's and the scope's own id."""
    places = ctx.port(Places)
    if scope == "unit":
        unit_id = places.unit(ctx, unit or "")
        return unit_id, None, unit_id
    if scope == "mall":
        return None, None, None
    unit_id, channel_id, node_id = places.node(ctx, channel or "", node)
    return unit_id, channel_id, node_id if scope == "subtree" else channel_id


@operation(permission="access.manage", kind="command", errors=(UnknownGrant,), rest=Rest("DELETE", "/grants/{grant}"))
def revoke(
    ctx: Context, *, grant: Annotated[str, Field(max_length=40)], idempotency_key: IdempotencyKey = None
) -> Grant:
    """Take a grant back; it counts no more from the moment this is committed."""
    row = ctx.execute(select(access_grant).where(access_grant.c.id == grant)).one_or_none()
    if row is None:
        raise UnknownGrant(grant=grant)
    ctx.execute(delete(access_grant).where(access_grant.c.id == grant))
    ctx.record(GrantTaken(subject=grant, channel_id=row.channel_id, before=_plain(row._mapping)))
    grants_changed(ctx)
    return _shown(row._mapping)


def _shown(row: Any) -> Grant:
    told = dict(row)
    return Grant(granted_by=told.pop("author"), granted_at=told.pop("at"), **told)


def _plain(row: Any) -> dict[str, Any]:
    return {name: row[name] for name in ("principal", "role", "scope", "scope_id")}


@operation(permission="access.read", rest=Rest("GET", "/grants"))
def list_grants(
    ctx: Context,
    *,
    principal: PrincipalRef | None = None,
    role: RoleName | None = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[Grant]:
    """Grants in the order they were given; of one principal or role, if asked."""
    query = select(access_grant).order_by(access_grant.c.id).limit(limit + 1)
    for column, value in ((access_grant.c.principal, principal), (access_grant.c.role, role)):
        if value is not None:
            query = query.where(column == value)
    if cursor is not None:
        query = query.where(access_grant.c.id > decode(cursor, str)[0])
    return page(ctx.execute(query).all(), limit, lambda row: _shown(row._mapping), lambda row: (row.id,))


@operation(permission=None, rest=Rest("GET", "/me"))
def my_permissions(ctx: Context) -> Permissions:
    """Who the caller is to this mall, and what it may do where."""
    reaches = {name: ctx.reach(name) for name in sorted(known_permissions(ctx))}
    credential = ctx.principal.credential
    return Permissions(
        principal=ctx.principal.ref,
        credential=None if credential is None else credential.id,
        permissions=[_permission(name, reach) for name, reach in reaches.items() if reach],
    )


def known_permissions(ctx: Context) -> set[str]:
    """The permissions there are: those that operations ask for, and those of the host's own."""
    asked = {one.permission for one in ctx.port(Catalogue).values()}
    return {name for name in asked if name is not None} | ctx.port(HostPermissions).names


def _permission(name: str, reach: Reach) -> Permission:
    within = reach.within
    return Permission(
        permission=name,
        everywhere=reach.everywhere,
        units=sorted(reach.units),
        channels=sorted(reach.channels),
        nodes=sorted(reach.nodes),
        within=None if within is None else Bounds(units=sorted(within.units), channels=sorted(within.channels)),
    )


def grants_changed(ctx: Context) -> None:
    """Who may do what is changed: everybody forgets what they know of it, when this is committed."""
    policy = ctx.services.policy
    if isinstance(policy, Grants):
        ctx.work.on_commit(policy.forget)
    ctx.backend.announce(ctx.connection, f"{TOPIC} *")
