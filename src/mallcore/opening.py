"""Opening what a mall stands on, from its settings: the engine, the object stores, plug-ins by name."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, NamedTuple

import pluggy
from sqlalchemy import Engine, create_engine
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from mallcore.errors import InvalidSettings, MissingExtra
from mallcore.kernel.keys import Sealer
from mallcore.kernel.objects import MAIN, ObjectStore, Stores
from mallcore.kernel.ports import Policy
from mallcore.settings import MallSettings

BUILT_IN = ("postgres", "sqlite", "oauth", "outbound", "pillow", "fsspec", "azure", "s3", "memory", "local")
"""The plug-ins every mall has. Of those that could answer, the last is asked first."""


@dataclass(frozen=True, kw_only=True)
class Given:
    """What a host hands over as objects, beside the settings."""

    folder: Path | None = None
    stores: Mapping[str, ObjectStore] = field(default_factory=dict)
    slots: Iterable[Any] = ()
    edges: Iterable[Any] = ()
    plugins: Iterable[object] = ()
    policy: Policy | None = None
    logins: Iterable[Any] = ()
    issuers: Iterable[Any] = ()
    clock: Callable[[], datetime] | None = None


class Opened(NamedTuple):
    """An engine of our own, and the folder that is gone with it (for a scratch mall)."""

    engine: Engine
    scratch: tempfile.TemporaryDirectory[str] | None


def settings_of(
    database: str | Engine | None,
    folder: Path | None,
    objects: str | ObjectStore | None,
    stores: Mapping[str, str | ObjectStore],
    more: dict[str, Any],
) -> MallSettings:
    """The settings, with what `Mall.open` was given as URLs."""
    urls = {name: one for name, one in stores.items() if isinstance(one, str)}
    url = database if isinstance(database, str) else None
    main = objects if isinstance(objects, str) else None
    return MallSettings.load(folder, database=url, objects=main, stores=urls or None, **more)


def handed_over(objects: str | ObjectStore | None, stores: Mapping[str, str | ObjectStore]) -> dict[str, ObjectStore]:
    """The stores that a host gave as objects of its own."""
    named = {**stores} if objects is None else {MAIN: objects, **stores}
    return {name: one for name, one in named.items() if not isinstance(one, str)}


def engine_of(settings: MallSettings, folder: Path) -> Opened:
    """An engine of our own; ``sqlite://`` gets a temporary file, relative files lie in ``folder``."""
    scratch = None
    url = _url(settings.database.get_secret_value())
    if url.get_backend_name() == "sqlite":
        if url.database in (None, "", ":memory:"):
            scratch = tempfile.TemporaryDirectory(prefix="mallcore-")
            url = url.set(database=str(Path(scratch.name) / "mall.db"))
        elif not url.database.startswith("file:"):
            url = url.set(database=str(folder / url.database))
    try:
        size = settings.pool_size
        return Opened(create_engine(url, pool_size=size, max_overflow=size * 2, pool_pre_ping=False), scratch)
    except NoSuchModuleError:
        raise InvalidSettings(setting="database", reason=f"SQLAlchemy knows no {url.drivername!r}") from None
    except ModuleNotFoundError as error:
        raise MissingExtra(what=f"The database {url.drivername!r}", extra="postgres") from error


def _url(text: str) -> URL:
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):  # a port that is no number, say
        raise InvalidSettings(setting="database", reason="it is no SQLAlchemy URL such as sqlite:///mall.db") from None
    return url.set(drivername="postgresql+psycopg") if url.drivername == "postgresql" else url


def stores_of(settings: MallSettings, given: Given, hooks: pluggy.HookRelay, folder: Path) -> Stores:
    """The stores of the settings, and those a host hands over, which count first."""
    urls = {MAIN: settings.objects, **settings.stores}
    opened = {
        name: _store(hooks, "objects" if name == MAIN else f"stores.{name}", url.get_secret_value(), folder)
        for name, url in urls.items()
        if name not in given.stores
    }
    checkpoints = _store(hooks, "checkpoints", settings.checkpoints.get_secret_value(), folder)
    return Stores({**opened, **given.stores}, checkpoints)


def _store(hooks: pluggy.HookRelay, setting: str, url: str, folder: Path) -> ObjectStore:
    found: ObjectStore | None = hooks.object_store_backend(url=url, folder=folder)
    if found is None:
        scheme = url.partition(":")[0][:40]
        raise InvalidSettings(setting=setting, reason=f"no plug-in serves {scheme!r} object stores")
    return found


def sealer_of(settings: MallSettings) -> Sealer:
    """What seals the keys in the database."""
    secrets = (None if one is None else one.get_secret_value() for one in (settings.secret, settings.old_secret))
    return Sealer(*secrets)


def plugin_of(plugin: object) -> object:
    """A plug-in given as itself, or by its name among the installed entry points."""
    if not isinstance(plugin, str):
        return plugin
    for entry in entry_points(group="mallcore", name=plugin):
        return entry.load()
    raise InvalidSettings(setting="plugins", reason=f"no plug-in named {plugin!r} is installed")
