"""Short ways to declare changes, and to look at them from the oldest version."""

from collections.abc import Sequence
from typing import Any

from mallcore.api.versions import Change, Release, Versions, View
from mallcore.kernel.operations import Catalogue, Operation

OLDEST = "2026-01-01"


def changed(touches: Any, *was: Any, version: str = "2026-11-01", **more: Any) -> type[Change]:
    """A change, as its class body would make it."""
    body = {"__doc__": "For a test.", "version": version, "touches": touches, "was": list(was), **more}
    made: type[Change] = type(Change)("Tested", (Change,), body)
    return made


def versions(*changes: type[Change]) -> Versions:
    """Versions with a release for each of the changes, and one before them."""
    names = {OLDEST, *(one.declared.version for one in changes)}
    return Versions([Release(name) for name in names], changes)


def oldest(*changes: type[Change], operations: Sequence[Operation] = ()) -> View:
    """How it was before all of them."""
    return versions(*changes).view(Catalogue(operations), OLDEST)


def down(view: View, kind: Any, data: Any) -> Any:
    """Data as the version shows them."""
    convert = view.down(kind)
    return data if convert is None else convert(data)


def up(view: View, kind: Any, data: Any) -> Any:
    """Data as the newest version takes them."""
    convert = view.up(kind)
    return data if convert is None else convert(data)
