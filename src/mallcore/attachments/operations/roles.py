"""What each object store is for: where new content is written, where copies go, which one is being emptied."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Select, case, select, update

from mallcore.attachments.model.reports import Undone
from mallcore.attachments.model.tables import replica, store_state
from mallcore.errors import MallError, UnknownStore
from mallcore.kernel.context import Context
from mallcore.kernel.objects import MAIN, Stores

WRITTEN, MIRROR, READ, DRAINED = "written", "mirror", "read", "drained"

_MAIN_FIRST = case((replica.c.store == MAIN, 0), else_=2)  # before any store was given a role
_RANK = case({WRITTEN: 0, MIRROR: 1, DRAINED: 3}, value=store_state.c.role, else_=_MAIN_FIRST)


def written_store(ctx: Context) -> str:
    """The store that new content goes to. Read in the transaction that plans the write, so that a switch is seen."""
    query = select(store_state.c.name).where(store_state.c.role == WRITTEN)
    return ctx.execute(query).scalar_one_or_none() or MAIN


def roles(ctx: Context) -> dict[str, str]:
    """Role by store, of every store that is configured or was; what was never given one is read."""
    found = {row.name: row.role for row in ctx.execute(select(store_state))}
    names = {*ctx.port(Stores).names, *found}
    if WRITTEN not in found.values():
        found[MAIN] = WRITTEN
    return {name: found.get(name, READ) for name in sorted(names)}


def give_role(ctx: Context, store: str, role: str) -> str:
    """Give a store a role; returns the one it had. Only one store is written to: the one before is then read."""
    stores = ctx.port(Stores)
    before = roles(ctx).get(store, READ)
    if store not in stores:
        raise UnknownStore(store=store, known=", ".join(stores.names))
    if role == WRITTEN:
        _set(ctx, written_store(ctx), READ)
    _set(ctx, store, role)
    return before


def _set(ctx: Context, name: str, role: str) -> None:
    stores = ctx.port(Stores)
    url = stores[name].url[:500] if name in stores else ""
    row = {"name": name, "url": url, "role": role, "changed_at": ctx.now()}
    if not ctx.add_new(store_state, row):
        ctx.execute(update(store_state).where(store_state.c.name == name).values(**row))


def best_first(query: Select[Any]) -> Select[Any]:
    """A query over replicas, in the order in which they are to be read."""
    return query.outerjoin(store_state, store_state.c.name == replica.c.store).order_by(_RANK, replica.c.store)


def removed(ctx: Context, store: str, key: str) -> Undone | None:
    """Delete an object; or why that can't be done, now."""
    try:
        ctx.port(Stores)[store].delete(key)
    except MallError as error:
        return Undone(store=store, key=key, reason=f"{error.code}: {error}"[:500])
    return None
