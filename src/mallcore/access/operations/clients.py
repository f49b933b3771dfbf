"""Clients: programs that use the mall, each with a principal that is granted roles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from pydantic import Field
from sqlalchemy import insert, select, update

from mallcore.access.model.clients import Client, client
from mallcore.access.operations.grants import grants_changed
from mallcore.access.operations.oauth_denials import deny_tokens
from mallcore.access.operations.oauth_tokens import end_tokens_of
from mallcore.access.operations.verifying import changed
from mallcore.access.rules import checked_principal
from mallcore.errors import InvalidInput, NothingToDo, StaleRevision, UnknownClient
from mallcore.kernel.context import Context
from mallcore.kernel.events import Event
from mallcore.kernel.ids import new_id
from mallcore.kernel.operations import Rest, operation
from mallcore.kernel.paging import Cursor, Limit, Page, decode, page

ClientRef = Annotated[str, Field(max_length=200, description="Its id, or `client:` and its id.")]
ClientName = Annotated[str, Field(min_length=1, max_length=200)]
Contact = Annotated[str | None, Field(max_length=500, description="How to reach whoever runs it.")]
Owner = Annotated[str | None, Field(max_length=200, description="The principal that answers for it: `user:…`.")]
ExpectedRevision = Annotated[int | None, Field(ge=0)]
IdempotencyKey = Annotated[str | None, Field(min_length=1, max_length=200)]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientCreated(Event):
    """A client was made known."""

    name: ClassVar[str] = "access.client_created"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientChanged(Event):
    """What is known of a client was changed."""

    name: ClassVar[str] = "access.client_changed"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientDisabled(Event):
    """A client was shut out: none of its keys is accepted."""

    name: ClassVar[str] = "access.client_disabled"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientEnabled(Event):
    """A client that was shut out is let in again."""

    name: ClassVar[str] = "access.client_enabled"


@operation(permission="access.manage", kind="command", errors=(InvalidInput,), rest=Rest("POST", "/clients", 201))
def create_client(
    ctx: Context,
    *,
    name: ClientName,
    owner: Owner = None,
    contact: Contact = None,
    idempotency_key: IdempotencyKey = None,
) -> Client:
    """Make a client known. It may do nothing until its principal is granted a role.

    >>> create_client(ctx, name="A partner's stock system").principal[:11]
    'client:cli_'
    """
    row: dict[str, Any] = {
        "id": new_id("cli"),
        "name": name,
        "owner": owner if owner is None else checked_principal(owner),
        "contact": contact,
        "version": 1,
        "created_by": ctx.principal.ref,
        "created_at": ctx.now(),
        "disabled_at": None,
    }
    ctx.execute(insert(client), row)
    ctx.record(ClientCreated(subject=_ref(row["id"]), after={"name": name, "owner": owner}))
    changed(ctx)
    return _shown(row)


@operation(permission="access.read", rest=Rest("GET", "/clients"))
def list_clients(ctx: Context, *, limit: Limit = 50, cursor: Cursor = None) -> Page[Client]:
    """All clients, in the order they were made known; those that are disabled among them."""
    query = select(client).order_by(client.c.id).limit(limit + 1)
    if cursor is not None:
        query = query.where(client.c.id > decode(cursor, str)[0])
    return page(ctx.execute(query).all(), limit, lambda row: _shown(row._mapping), lambda row: (row.id,))


@operation(permission="access.read", errors=(UnknownClient,), rest=Rest("GET", "/clients/{client}"))
def get_client(ctx: Context, *, client: ClientRef) -> Client:
    """One client."""
    return _shown(client_row(ctx, client)._mapping)


@operation(permission="access.manage", kind="command", errors=(InvalidInput, StaleRevision, UnknownClient),
           rest=Rest("PATCH", "/clients/{client}"))  # fmt: skip
def update_client(
    ctx: Context,
    *,
    client: ClientRef,
    name: ClientName | None = None,
    owner: Owner = None,
    contact: Contact = None,
    expected_revision: ExpectedRevision = None,
    idempotency_key: IdempotencyKey = None,
) -> Client:
    """Change what is known of a client; what is not given stays. Its ``version`` is its revision."""
    row = client_row(ctx, client)
    if owner is not None:
        checked_principal(owner)
    given = {"name": name, "owner": owner, "contact": contact}
    values = {key: value for key, value in given.items() if value is not None}
    _store(ctx, row, values, expected_revision)
    # How to reach a person is no business of the log's: it is told that it changed.
    told = {key: value if key != "contact" else "changed" for key, value in values.items()}
    before = {key: getattr(row, key) for key in told if key != "contact"}
    ctx.record(ClientChanged(subject=_ref(row.id), before=before, after=told))
    return _shown(client_row(ctx, row.id)._mapping)


@operation(permission="access.manage", kind="command", errors=(NothingToDo, StaleRevision, UnknownClient),
           rest=Rest("POST", "/clients/{client}/disable"))  # fmt: skip
def disable_client(ctx: Context, *, client: ClientRef, idempotency_key: IdempotencyKey = None) -> Client:
    """Shut a client out, with all its keys and tokens, from the moment this is committed. Its grants stay."""
    row = client_row(ctx, client)
    if row.disabled_at is not None:
        raise NothingToDo("This client is disabled already.")
    _store(ctx, row, {"disabled_at": ctx.now()}, None)
    end_tokens_of(ctx, "the client was disabled", client=row.id)
    deny_tokens(ctx, _ref(row.id))
    ctx.record(ClientDisabled(subject=_ref(row.id), before={"disabled": False}, after={"disabled": True}))
    return _shown(client_row(ctx, row.id)._mapping)


@operation(permission="access.manage", kind="command", errors=(NothingToDo, StaleRevision, UnknownClient),
           rest=Rest("POST", "/clients/{client}/enable"))  # fmt: skip
def enable_client(ctx: Context, *, client: ClientRef, idempotency_key: IdempotencyKey = None) -> Client:
    """Let a client in again that was shut out. Keys that were revoked or have expired meanwhile stay so."""
    row = client_row(ctx, client)
    if row.disabled_at is None:
        raise NothingToDo("This client is not disabled.")
    _store(ctx, row, {"disabled_at": None}, None)
    ctx.record(ClientEnabled(subject=_ref(row.id), before={"disabled": True}, after={"disabled": False}))
    return _shown(client_row(ctx, row.id)._mapping)


def client_row(ctx: Context, reference: str) -> Any:
    """The row of a client; `UnknownClient` when there is none."""
    row = ctx.execute(select(client).where(client.c.id == reference.removeprefix("client:"))).one_or_none()
    if row is None:
        raise UnknownClient(client=reference)
    return row


def _store(ctx: Context, row: Any, values: dict[str, Any], expected: int | None) -> None:
    if expected is not None and expected != row.version:
        raise StaleRevision(expected=expected, actual=row.version)
    mine = (client.c.id == row.id, client.c.version == row.version)
    if ctx.execute(update(client).where(*mine).values(version=row.version + 1, **values)).rowcount != 1:
        raise StaleRevision(expected=row.version, actual=client_row(ctx, row.id).version)
    changed(ctx)
    if "disabled_at" in values:  # its grants count for nothing meanwhile: webhooks that it owns would go on
        grants_changed(ctx)


def _ref(id: str) -> str:
    return f"client:{id}"


def _shown(row: Any) -> Client:
    return Client(principal=_ref(row["id"]), **row)
