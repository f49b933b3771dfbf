"""Broadcast hooks every package may listen to, and how a mall builds its one pluggy manager.

Hooks are synchronous. ``event_recorded`` runs inside the transaction, ``event_committed`` after the outermost commit.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pluggy
from sqlalchemy import Engine

from mallcore.errors import InvalidSettings
from mallcore.kernel.events import Event
from mallcore.kernel.objects import ObjectStore
from mallcore.kernel.ports import DatabaseBackend

if TYPE_CHECKING:
    from mallcore.kernel.context import Context

hookspec = pluggy.HookspecMarker("mallcore")
hookimpl = pluggy.HookimplMarker("mallcore")


class KernelHooks:
    """The hooks that belong to no domain."""

    @hookspec(firstresult=True)
    def database_backend(self, engine: Engine, busy_seconds: float) -> DatabaseBackend | None:
        """Provide: what the mall needs to know of the engine's database, or nothing if it is another's."""

    @hookspec(firstresult=True)
    def object_store_backend(self, url: str, folder: Path) -> ObjectStore | None:
        """Provide: the object store behind a URL, or nothing if its scheme is another's.

        Relative paths are meant from ``folder``. Nothing is opened yet: a store connects when it is first asked.
        """

    @hookspec
    def operations_extra(self) -> Iterable[Any]:  # type: ignore[empty-body]
        """Add: operations of one's own, as the functions they are; every face of the mall then has them."""

    @hookspec
    def changes_extra(self) -> Iterable[Any]:  # type: ignore[empty-body]
        """Add: changes between versions of the API, of one's own operations or shapes."""

    @hookspec
    def releases_extra(self) -> Iterable[Any]:  # type: ignore[empty-body]
        """Add: releases, the dated versions of the API and how long each lives."""

    @hookspec
    def event_recorded(self, ctx: Context, event: Event) -> None:
        """Tell: something happened, in this transaction; what a listener writes commits or rolls back with it."""

    @hookspec
    def event_committed(self, event: Event) -> None:
        """Tell: something happened and is committed; a listener can't undo it, and must not raise."""


def manager(specifications: Iterable[type], plugins: Iterable[object]) -> pluggy.PluginManager:
    """A manager of its own for one mall; a plug-in with a misspelt hook is refused by name."""
    built = pluggy.PluginManager("mallcore")
    for specification in specifications:
        built.add_hookspecs(specification)
    for plugin in plugins:
        built.register(plugin, name=_name(plugin))
    try:
        built.check_pending()
    except pluggy.PluginValidationError as error:
        raise InvalidSettings(setting="plugins", reason=str(error)) from error
    return built


def _name(plugin: Any) -> str:
    return str(getattr(plugin, "__name__", None) or f"{type(plugin).__module__}.{type(plugin).__name__}")
