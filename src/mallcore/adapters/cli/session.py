"""One run of a command: which folder, which mall, in whose name, and where its output goes."""

from __future__ import annotations

import getpass
import os
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from mallcore import Context, Mall, Principal, structure
from mallcore.adapters.cli.output import Output
from mallcore.errors import InvalidInput, NotFound
from mallcore.settings import FILE

FOLDER_VARIABLE = "MALLCORE_MALL"
DATABASE_VARIABLE = "MALLCORE_DATABASE"


@dataclass
class Options:
    """What every command takes, before it or behind it."""

    mall: str | None = None
    json: bool = False

    def refined(self, mall: str | None, json: bool) -> Options:
        """With what was given nearer to the command."""
        return Options(self.mall if mall is None else mall, self.json or json)


class Cli:
    """What a command works with; its mall is opened when first asked for and closed when the command ends."""

    def __init__(self, options: Options) -> None:
        self.out = Output(options.json)
        self.named = options.mall
        """The folder that was named on the command line, if one was."""
        self.folder = Path(options.mall or os.environ.get(FOLDER_VARIABLE) or ".")
        self.principal = Principal.system(f"cli:{user()}")
        self._open = ExitStack()
        self._mall: Mall | None = None

    def __enter__(self) -> Cli:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    @property
    def mall(self) -> Mall:
        """The mall of the folder. One command is over too soon to follow other processes."""
        return self.open(follow=False) if self._mall is None else self._mall

    def open(self, **settings: Any) -> Mall:
        """Open the mall of the folder in a way of one's own."""
        require_mall(self.folder)
        return self.use(Mall.open(folder=self.folder, **settings))

    def use(self, mall: Mall) -> Mall:
        """Work with this mall from here on; it is closed when the command ends."""
        self._mall = self._open.enter_context(mall)
        return mall

    def begin(self) -> AbstractContextManager[Context]:
        """A unit of work in the name of whoever types."""
        return self.mall.begin(self.principal)

    def call(self, operation: Callable[..., Any], /, **given: Any) -> Any:
        """One operation in a unit of work of its own."""
        with self.begin() as ctx:
            return operation(ctx, **given)

    def channel(self, given: str | None = None) -> str:
        """The channel that was named, or the only one there is."""
        if given is not None:
            return given
        found = self.call(structure.list_channels, limit=2).items
        if not found:
            raise NotFound("There is no channel in this mall: make one with `mallcore channels create`.")
        if len(found) > 1:
            raise InvalidInput("There are several channels: say which with --channel.", field="channel")
        return str(found[0].id)


def require_mall(folder: Path) -> None:
    """Refuse a folder that is not a mall's: an empty database would be made there, and nobody asked for one."""
    if not folder.is_dir():
        raise NotFound(f"There is no folder {str(folder)!r}: name the mall's with --mall.", mall=str(folder))
    if not (folder / FILE).is_file() and DATABASE_VARIABLE not in os.environ:
        raise NotFound(
            f"There is no mall in {str(folder.resolve())!r} (it has no {FILE}): "
            "make one with `mallcore init`, or name its folder with --mall.",
            mall=str(folder),
        )


def user() -> str:
    """The name of whoever types, as it stands in revisions and audit records.

    >>> ":" in user()
    False
    """
    try:
        name = getpass.getuser()
    except (KeyError, OSError, ImportError):  # no name for this user id, as often in a container
        name = f"uid-{os.getuid()}" if hasattr(os, "getuid") else "unknown"
    return "".join(each if each.isprintable() and each != ":" else "_" for each in name)[:100] or "unknown"
