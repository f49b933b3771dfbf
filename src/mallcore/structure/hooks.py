"""Hook specifications of the structure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mallcore.errors import MallError
from mallcore.kernel.hooks import hookspec

if TYPE_CHECKING:
    from mallcore.kernel.context import Context


@dataclass(frozen=True, slots=True)
class Change:
    """A revision that is about to be made; ``attributes`` are those that are new or changed, node by node."""

    unit_id: str
    channel_id: str
    revision: int
    attributes: tuple[Mapping[str, Any], ...]


class StructureHooks:
    """The hooks of the structure."""

    @hookspec
    def structure_check(self, ctx: Context, change: Change) -> MallError | None:
        """Veto: the error for which a change is refused, or nothing. It may read, and must not write."""
